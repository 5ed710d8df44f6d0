"""``charrnn plan``: it tells what ``charrnn train`` then does, and trains nothing."""

import dataclasses
import json
import os

import pytest
from commands import assert_one_line_error, execute, invoke
from readers import labelled_lines, paired_lines, tagged_lines
from trained import DINOSAURS, FABLES

from charrnn.storage.checkpoint import load_model
from charrnn.training import forecast as forecasts
from charrnn.training import planning, sizes

#: A text for each task, and the options that say so.
TASKS = {
    "prose": (FABLES.read_text("utf-8")[:6000], []),
    "lines": (DINOSAURS.read_text("utf-8")[:4000], ["--lines", "--cell", "gru"]),
    "label": ("\n".join(labelled_lines()[:90] + labelled_lines()[-90:]), ["--task", "label"]),
    "tags": ("\n".join(tagged_lines()[:80]), ["--task", "tags"]),
    "restore": (FABLES.read_text("utf-8")[:6000], ["--restore", "case"]),
    "pairs": ("\n".join(paired_lines()[:150]), ["--task", "pairs"]),
}
SMALL = ("--layers", 1, "--batch-size", 8, "--sequence-length", 32)


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """Few updates are measured, and a machine is always as fast."""
    monkeypatch.setattr(forecasts, "_SECONDS", 0.0)
    for module in (planning, sizes):
        monkeypatch.setattr(module, "characters_a_second", lambda *_: 2e4)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TASKS["prose"][0], encoding="utf-8")
    return path


def _planned(*arguments):
    done = invoke("plan", "--json", *arguments)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("task", TASKS)
def test_a_run_is_as_it_was_planned(tmp_path, task):
    text, options = TASKS[task]
    corpus, model = tmp_path / "corpus", tmp_path / "m"
    corpus.write_text(text, encoding="utf-8")
    options = [corpus, *options, *SMALL, "--steps", 6, "--validations", 1]
    planned = _planned(*options)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    assert invoke("train", *options, "--model", model).exit_code == 0
    trained = load_model(model)
    shape = dataclasses.asdict(trained.config)
    assert {name: planned[name] for name in shape} == shape
    assert planned["options"] == trained.training["options"]
    assert planned["steps"] == trained.training["steps"]
    read = planned["training_characters"] * planned["epochs"]
    assert read == pytest.approx(trained.training["characters"], rel=0.2)  # as texts are packed


@pytest.mark.parametrize(
    ("given", "named"), [([], "lstm 1×32"), (["--members", 3], "lstm 1×64, 3 members")]
)
def test_a_budget_chooses_the_size_that_a_run_says_too(corpus, tmp_path, given, named):
    options = [corpus, *SMALL, "--budget", "0.4s", *given]
    done = invoke("plan", *options)
    assert done.exit_code == 0
    rows = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert " ".join(rows[0].split()).startswith(f"network {named}")
    assert max(map(len, done.stdout.splitlines())) <= 80
    (lanes,) = (row.split() for row in rows if row.startswith("lanes"))
    assert lanes == ["lanes", "8", "×", "32", "steps", "given"]
    said = invoke("train", *options, "--model", tmp_path / "m").stderr
    why = " ".join(done.stdout.split("weights")[0].split()[1 + len(named.split()) :])
    assert said.startswith(f"{named},") and f"\n{why}\n" in said


@pytest.mark.parametrize(
    ("given", "steps", "epochs", "seconds"),
    [
        (["--steps", 50], 50, 50 * 256 / 5401, None),
        (["--epochs", 3], None, 3, None),
        (["--budget", "0.5s"], None, None, 0.5),
    ],
)
def test_what_a_run_takes(corpus, given, steps, epochs, seconds):
    planned = _planned(corpus, *SMALL, "--hidden-size", 16, "--validations", 1, *given)
    assert steps in (None, planned["steps"]) and seconds in (None, planned["seconds"])
    assert epochs is None or planned["epochs"] == pytest.approx(epochs, rel=0.02)
    assert planned["seconds"] > 0 and planned["characters_per_second"] > 0
    assert planned["memory"] > 2**20


def test_a_small_text_is_learned_before_a_long_budget_is_over(corpus):
    done = invoke("plan", corpus, *SMALL, "--hidden-size", 4, "--budget", "2h")
    assert "the run ends there, before its 2h are over; more --epochs" in " ".join(
        line[28:].strip() for line in done.stdout.splitlines()
    )
    planned = _planned(corpus, *SMALL, "--hidden-size", 4, "--budget", "2h")
    assert planned["epochs"] == pytest.approx(planned["options"]["most_epochs"], rel=0.01)
    assert planned["seconds"] < 3600


def test_a_model_to_start_from_and_warnings(corpus, tmp_path):
    model = tmp_path / "m"
    options = [*SMALL, "--steps", 4, "--validations", 1]
    assert invoke("train", corpus, "--hidden-size", 12, "--model", model, *options).exit_code == 0
    done = invoke("plan", DINOSAURS, "--init-from", model, *options)
    assert "lstm 1×12" in done.stdout and "that of " in done.stdout
    assert "--lines makes each of them" in done.stderr


@pytest.mark.faults
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_no_more_threads_than_processors_that_it_may_use(corpus):
    one = {min(os.sched_getaffinity(0))}
    done = execute("plan", corpus, *SMALL, "--threads", 100, "--json",
                   preexec_fn=lambda: os.sched_setaffinity(0, one))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["why"]["speed"] == "characters a second, on 1 thread"


def test_errors_are_those_of_train(corpus, tmp_path):
    (tmp_path / "empty").touch()
    for arguments, code, words in (
        (["no-such-file"], 1, "no-such-file"),
        ([tmp_path / "empty"], 1, "no characters"),
        ([corpus, "--steps", 5, "--epochs", 1], 2, "only one of"),
        ([corpus, "--hidden-size", 10**9], 2, "hidden size"),
        ([corpus, "--patience", 3, "--validation-fraction", 0], 2, "--patience"),
        ([corpus, "--bugdet", "3m"], 2, "--budget"),
    ):
        assert_one_line_error(invoke("plan", *arguments), code, words)
