"""``charrnn train --sample-every``: text is seen while the model learns, nothing else changes."""

import json
import re
import types

import numpy as np
import pytest
from commands import QUICK, invoke
from trained import DINOSAURS, FABLES, language_model, live_model, run, small_trainer

from charrnn.cli import run as run_module
from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import load_model, load_resume, resume_path
from charrnn.training import clock as extent


def _train(model, *options, corpus=FABLES):
    done = invoke("train", corpus, "--model", model, *QUICK, *options)
    assert (done.exit_code, done.stdout) == (0, "")
    return done.stderr


def _samples(shown):
    """Step and text of each sample."""
    found = re.findall(r"^a sample at step ([\d,]+):\n(.*?)\n\n", shown, re.DOTALL | re.MULTILINE)
    return [(int(step), text) for step, text in found]


def test_samples_come_at_their_steps(tmp_path):
    samples = _samples(_train(tmp_path / "m", "--sample-every", 12))
    assert [step for step, _ in samples] == [12, 24]
    assert all(100 < len(text) <= 200 for _, text in samples)
    assert "a sample" not in _train(tmp_path / "n", "--sample-every", 31)
    assert "a sample" not in _train(tmp_path / "o")


def test_a_sample_is_what_the_model_writes_then(tmp_path):
    precision = "--precision", "float32"  # as the model writes
    ((_, text),) = _samples(_train(tmp_path / "m", "--sample-every", 30, *precision))
    assert load_model(tmp_path / "m").history["samples"] == [[30, text]]
    written = load(tmp_path / "m").sample(200, seed=30)
    assert text == written.rstrip()


def test_a_sample_is_of_the_averaged_weights():
    """As the model is that is kept; the run goes on with its own."""
    trainer = small_trainer(steps=20)
    run(trainer)
    before = trainer.network.values.copy()
    _, _, text = run_module._sample(trainer).partition("\n")
    written = language_model(trainer.best).sample(200, seed=20)
    assert text.rstrip() == written.rstrip()
    assert live_model(trainer).sample(200, seed=20) != written
    np.testing.assert_array_equal(trainer.network.values, before)


def test_short_documents_fill_the_sample_too(tmp_path):
    shown = _train(tmp_path / "m", "--lines", "--sample-every", 30, corpus=DINOSAURS)
    ((_, text),) = _samples(shown)
    assert text.count("\n") > 1


def test_the_model_and_the_state_keep_their_bits(tmp_path):
    options = ("--dropout", 0.3)
    _train(tmp_path / "with", "--sample-every", 1, *options)
    _train(tmp_path / "without", *options)
    for read in (load_model, lambda path: load_resume(resume_path(path))):
        a, b = read(tmp_path / "with"), read(tmp_path / "without")
        a, b = (getattr(x, "tensors", None) or x.arrays for x in (a, b))
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_what_would_control_a_terminal_is_shown(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\x1b[31mred\x9b\u202e\r" * 100, encoding="utf-8", newline="")
    options = ("--sample-every", 10, "--steps", 200, "--dropout", 0, "--learning-rate", 0.01)
    shown = _train(tmp_path / "m", *options, corpus=corpus)
    assert "^[[31mred<U+009B><RIGHT-TO-LEFT OVERRIDE>^M" in shown
    assert not set("\x1b\x9b\u202e\r") & set(shown)


def test_samples_do_not_count_in_the_time(tmp_path, monkeypatch):
    """By a clock of the test's own, on which a look at it takes a second, a sample 10,000."""
    clock = [0.0]

    def look():
        clock[0] += 1
        return clock[0]

    def sample(_):
        clock[0] += 10_000
        return "text"

    monkeypatch.setattr(extent, "time", types.SimpleNamespace(monotonic=look))
    monkeypatch.setattr(run_module, "_sample", sample)
    log = tmp_path / "log.jsonl"
    _train(tmp_path / "m", "--sample-every", 5, "--log", log)
    assert clock[0] > 50_000
    assert json.loads(log.read_text().splitlines()[-1])["seconds"] < 1000


@pytest.mark.parametrize("steps", ["0", "-1", "often"])
def test_steps_are_a_number_from_one(tmp_path, steps):
    done = invoke("train", FABLES, "--model", tmp_path / "m", f"--sample-every={steps}")
    assert done.exit_code == 2 and "--sample-every" in done.stderr
