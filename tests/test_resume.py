"""A run that was stopped goes on to the same bits as one that was not."""

import dataclasses
import functools
import hashlib
import json
import re
import shlex
import signal

import numpy as np
import pytest
from commands import QUICK, assert_one_line_error, invoke, start
from samples import every_variant, size_for
from subprocesses import ROOT
from trained import small_trainer

from charrnn.cells import CELLS
from charrnn.cli import resuming
from charrnn.cli import run as run_module
from charrnn.config import INITIAL_STATES, OPTIMIZERS, TextConfig, TrainingConfig
from charrnn.errors import ModelFileError, UsageError
from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import load_model, load_resume, resume_path, save_model, save_resume
from charrnn.training import planning
from charrnn.training.evaluation import evaluate
from charrnn.training.setup import create_trainer
from charrnn.training.validation import Validation

CORPUS = str(ROOT / "corpora" / "dinosaurs.txt")
FABLES = str(ROOT / "corpora" / "fables.txt")
STEPS = 12
TRAINING = TrainingConfig(
    batch_size=8, sequence_length=16, steps=STEPS, warmup_steps=3, validations=4, dropout=0.3
)


def new_trainer(training=TRAINING, corpus=CORPUS, hidden_size=12, cell=("lstm", "tanh"), **more):
    name, activation = cell
    layers = min(2, CELLS[cell].most_layers)
    hidden_size = size_for(cell, hidden_size, 60)
    return create_trainer(
        [corpus], TextConfig(lines=True), training, hidden_size=hidden_size, layers=layers,
        cell=name, activation=activation, **more,
    )  # fmt: skip


def everything(trainer):
    """Hash of all that the coming steps and the result depend on, times left out."""
    state = trainer.capture()
    digest = hashlib.sha256()
    for name in sorted(state.arrays):
        digest.update(state.arrays[name].tobytes())
    values = {k: v for k, v in state.values.items() if k != "seconds"}
    values["best"] = {k: v for k, v in (values["best"] or {}).items() if k != "seconds"}
    values["history"]["points"] = [p._replace(seconds=0) for p in trainer.history.points]
    digest.update(json.dumps(values, sort_keys=True).encode())
    if trainer.best:
        for name in sorted(trainer.best.tensors):
            digest.update(trainer.best.tensors[name].tobytes())
    return digest.hexdigest()


def run(trainer, stop_after=None):
    """Make the run, or the first steps of it; its records without times."""
    records = []
    for record in trainer.run():
        records.append((record.step, record.loss, record.learning_rate, record.gradient_norm,
                        record.validation_loss))  # fmt: skip
        if stop_after is not None and len(records) + 1 == stop_after:
            trainer.stop()
    return records


def assert_resumes_after(path, steps, whole, **shape):
    """A run that is stopped after ``steps`` and taken up again ends as ``whole``."""
    first = new_trainer(**shape)
    records = run(first, steps)
    assert len(records) == steps
    save_resume(path, first.capture())
    second = new_trainer(**shape)
    # Before the first validation the model that was saved is not one of the uninterrupted run.
    best = first.best if np.isfinite(first.best_loss) else None
    second.restore(load_resume(path), best)
    records += run(second)
    assert [r[:4] for r in records] == [r[:4] for r in whole[0]]
    assert everything(second) == whole[1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_ends_with_the_same_bits(optimizer, tmp_path):
    training = dataclasses.replace(TRAINING, optimizer=optimizer)
    whole = whole_run(training=training)
    assert_resumes_after(tmp_path / "run.resume", 5, whole, training=training)


@functools.cache
def whole_run(**shape):
    """Records and end of a run that nobody stops."""
    trainer = new_trainer(**shape)
    return run(trainer), everything(trainer)


@pytest.mark.parametrize("start", INITIAL_STATES)
@pytest.mark.parametrize("steps", range(2, STEPS))
def test_stopped_at_any_step_it_ends_with_the_same_bits(steps, start, tmp_path):
    whole = whole_run(initial_state=start)
    assert_resumes_after(tmp_path / "run.resume", steps, whole, initial_state=start)


def test_stopped_after_its_first_step_it_goes_on(tmp_path):
    """As by a signal while kernels are compiled: its clock had not yet begun."""
    text = TextConfig(validation_fraction=0)
    first, second = small_trainer(text=text), small_trainer(text=text)
    first.stop()
    assert len(run(first)) == 1
    second.restore(first.capture(), None)
    records = list(second.run())
    assert records[0].step == 2 and records[0].characters_per_second == 0
    assert records[-1].step == 40 and records[-1].characters_per_second > 0


@every_variant
def test_every_network_ends_with_the_same_bits(cell, more, tmp_path):
    """Stopped between two validations."""
    shape = {"cell": cell, "embedding_size": 5, **more}
    assert_resumes_after(tmp_path / "run.resume", 5, whole_run(**shape), **shape)


def test_validated_on_a_part_of_the_text_it_ends_with_the_same_bits(tmp_path):
    trainer = new_trainer(corpus=FABLES)
    assert trainer.validation.evaluated == 8192 < trainer.held_back.positions
    assert_resumes_after(tmp_path / "run.resume", 5, whole_run(corpus=FABLES), corpus=FABLES)


def test_the_average_goes_on_where_it_was(tmp_path):
    """It is not made anew of the weights, which are others by then."""
    first, second = new_trainer(), new_trainer()
    run(first, 5)
    save_resume(tmp_path / "run.resume", first.capture())
    second.restore(load_resume(tmp_path / "run.resume"), None)
    np.testing.assert_array_equal(second.optimizer.average, first.optimizer.average)
    assert np.any(second.optimizer.average != second.network.values)


RMSPROP = dataclasses.replace(TRAINING, optimizer="rmsprop")


@pytest.mark.parametrize(
    "change, named",
    [
        ({"corpus": FABLES}, r"corpus \(dinosaurs.txt \w{8}; now fables.txt \w{8}\)"),
        ({"hidden_size": 13}, r"hidden_size \(12; now 13\)"),
        ({"cell": ("gru", "tanh")}, r"cell \(lstm; now gru\)"),
        ({"readout_layers": 1}, r"readout_layers \(0; now 1\)"),
        ({"initial_state": "random"}, r"initial_state \(zeros; now random\)"),
        ({"training": RMSPROP}, r"optimizer \(soap; now rmsprop\)"),
    ],
)
def test_another_corpus_or_shape_is_refused_with_both_values(change, named):
    trainer, other = new_trainer(), new_trainer(**change)
    before = everything(other)
    with pytest.raises(UsageError, match=named):
        other.restore(trainer.capture(), None)
    assert everything(other) == before


def test_nothing_is_copied_to_compare(monkeypatch):
    first, second = new_trainer(), new_trainer()
    saved = first.capture()
    monkeypatch.setattr(type(second), "capture", None)
    second.restore(saved, None)


def test_the_state_is_the_same_on_every_machine():
    """What pads it to whole registers, as wide as the processor's, is left out."""
    trainer = new_trainer(cell=("gru", "tanh"), hidden_size=13)
    run(trainer, 3)
    assert trainer.capture().arrays["state"].shape == (2, 1, 8, 13)
    assert trainer.state.shape[3] > 13 and not trainer.state[..., 13:].any()


def train(model, *options):
    return invoke("train", CORPUS, "--lines", "--model", model, *options)


@pytest.mark.faults
def test_command_goes_on_after_a_signal(tmp_path):
    """SIGINT in the middle, then --resume: the model is that of a run without the signal."""
    quick = ("--layers", 1, "--hidden-size", 16, "--batch-size", 16, "--steps", 1500)
    whole, model = tmp_path / "whole.safetensors", tmp_path / "model.safetensors"
    log = tmp_path / "log.jsonl"
    assert train(whole, *quick, "--log", tmp_path / "whole.jsonl").exit_code == 0
    command = ("train", CORPUS, "--lines", "--model", model, *quick, "--log", log)
    with start(*command) as process:
        process.until(b"  validation ")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    again = f"charrnn train {CORPUS} --model {model} --log {log} --resume"
    assert f"stopped; to go on: {again}\n" in said.decode()
    stopped_at = load_resume(resume_path(model)).values["step"]
    assert 0 < stopped_at < 1500
    result = invoke(*shlex.split(again)[1:])
    assert result.exit_code == 0, result.stderr
    for name, tensor in load_model(whole).tensors.items():
        np.testing.assert_array_equal(tensor, load_model(model).tensors[name])
    steps = [[json.loads(line)["step"] for line in path.read_text().splitlines()]
             for path in (tmp_path / "whole.jsonl", log)]  # fmt: skip
    assert steps[0] == steps[1]


def test_a_log_is_cut_at_the_step_and_at_an_unfinished_line(tmp_path):
    model, log = tmp_path / "model.safetensors", tmp_path / "log.jsonl"
    assert train(model, *QUICK, "--log", log).exit_code == 0
    whole = log.read_text()
    log.write_text(whole + '{"step": 31, "loss": 1}\n' + '{"step": 3')
    assert train(model, "--resume", "--steps", 40, "--log", log).exit_code == 0
    assert log.read_text().startswith(whole)
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == sorted(set(steps)) and steps[-1] == 40


@pytest.mark.parametrize(
    ("extent", "given", "more"),
    [
        (["--steps", 6], [], "--steps 12"),
        (["--steps", 6], ["--steps", 2], "--steps 8"),
        (["--epochs", 0.05], [], "--epochs 0.1"),
        (["--budget", "0.2s"], [], "--budget 0.4s|--budget 0.8s"),
    ],
    ids=str,
)
def test_a_run_that_is_complete_says_how_to_go_on(tmp_path, extent, given, more):
    """Before it says anything else, and it is enough."""
    model, log = tmp_path / "model.safetensors", tmp_path / "log.jsonl"
    assert train(model, *QUICK[:8], "--validations", 1, *extent).exit_code == 0
    done = train(model, "--resume", *given, "--log", log)
    assert_one_line_error(done, 2, "the run is complete after ", "to go on give more, such as ")
    assert re.search(rf"such as ({more})$", done.stderr.strip())
    assert load_model(model) and not log.exists()
    more = done.stderr.strip().rpartition("such as ")[2].split()
    again = train(model, "--resume", *more)
    assert again.exit_code == 0, again.stderr
    assert again.stderr.startswith(f"the schedule is made anew for {' '.join(more)}\n")


def test_another_text_is_refused_with_the_way_to_train_on_with_it(tmp_path):
    model = tmp_path / "model.safetensors"
    assert train(model, *QUICK).exit_code == 0
    done = invoke("train", FABLES, "--model", model, "--resume", "--steps", 60)
    words = ("corpus (dinosaurs.txt ", "now fables.txt ", "charrnn train OTHER --init-from MODEL")
    assert "--init-from" in done.stderr.splitlines()[-1]
    assert done.exit_code == 2 and all(word in done.stderr for word in words), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_that_finds_nothing_better_says_which_model_there_is(tmp_path, monkeypatch):
    losses = iter([3.0, 2.0, 2.5, 4.0, 5.0, 1.0])
    monkeypatch.setattr("charrnn.training.trainer.validate", lambda *_: Validation(next(losses)))
    model = tmp_path / "model.safetensors"
    first = train(model, *QUICK)
    assert first.stderr.splitlines()[-1].startswith(f"saved {model}: validation loss 2.0000 nats")
    second = train(model, "--resume", "--steps", 45)
    said = f"no better than before: {model} is still that of step 20, validation loss 2.0000 nats"
    assert second.stderr.splitlines()[-1].startswith(said)
    assert "saved" not in second.stderr
    assert load_model(model).training["steps"] == 20
    third = train(model, "--resume", "--steps", 90)
    assert third.stderr.splitlines()[-1].startswith(f"saved {model}: validation loss 1.0000 nats")


@pytest.mark.parametrize(
    ("corpus", "options", "said"),
    [
        (["a b.txt", "c.txt"], {}, "to go on: charrnn train 'a b.txt' c.txt --resume"),
        (["-a.txt"], {"model": None}, "to go on: charrnn train ./-a.txt --resume"),
        (["a"], {"model": "m's", "sample_every": 3},
         """to go on: charrnn train a --model 'm'"'"'s' --sample-every 3 --resume"""),
        (["a", "-"], {}, "to go on, with the same text on standard input: "
                         "charrnn train a - --resume"),
    ],
)  # fmt: skip
def test_the_command_that_goes_on(corpus, options, said):
    assert resuming.how_to_go_on(corpus, **options) == said


def test_more_steps_can_be_given_and_other_options_cannot(tmp_path):
    model = tmp_path / "model.safetensors"
    assert train(model, *QUICK).exit_code == 0
    complete = train(model, "--resume")
    assert complete.exit_code == 2 and "complete" in complete.stderr
    refused = train(model, "--resume", "--hidden-size", 32)
    assert refused.exit_code == 2 and "--hidden-size 16" in refused.stderr
    extended = train(model, "--resume", "--steps", 40)
    assert extended.exit_code == 0 and "--steps 40" in extended.stderr
    assert load_resume(resume_path(model)).values["step"] == 40
    # The best of all, as the last step that validates is better than those before.
    assert extended.stderr.count("  validation ") == 1
    assert load_model(model).training["steps"] == 40


@pytest.mark.parametrize(("given", "expected"), [([], 3), (["--validations", 6], 6)])
def test_a_longer_run_validates_as_often_as_before_or_as_it_is_told(tmp_path, given, expected):
    """Of the whole run, so what it has behind it counts."""
    model, log = tmp_path / "model.safetensors", tmp_path / "log.jsonl"
    assert train(model, *QUICK).exit_code == 0
    assert train(model, "--resume", "--steps", 60, *given, "--log", log).exit_code == 0
    assert load_resume(resume_path(model)).values["training"]["validations"] == expected
    records = [json.loads(line) for line in log.read_text().splitlines()]
    validated = [r["step"] for r in records if r["validation_loss"] is not None]
    assert validated == [step for step in range(60 // expected, 61, 60 // expected) if step > 30]


def test_a_resumed_run_validates_on_the_same_part_of_the_text(tmp_path, monkeypatch):
    """However long it is made."""
    model = tmp_path / "model.safetensors"
    arguments = ("train", FABLES, "--model", model)
    begun = invoke(*arguments, *QUICK, "--precision", "float32")
    assert "characters to learn, 8,192 of 8,496 to validate" in begun.stderr
    monkeypatch.setattr(planning, "_FEWEST_POSITIONS", 16)
    extended = invoke(*arguments, "--resume", "--steps", 40)
    assert "8,192 of 8,496 to validate" in extended.stderr
    training = load_model(model).training
    whole = create_trainer([FABLES], training=TRAINING, hidden_size=8)
    some = evaluate(load(model).network, whole.held_back.tokens, most=8192)
    assert training["validation_loss"] == some.nats_per_character


def test_resuming_without_a_run_or_with_a_damaged_file_is_one_line(tmp_path):
    model = tmp_path / "model.safetensors"
    missing = train(model, "--resume")
    assert missing.exit_code == 1 and len(missing.stderr.splitlines()) == 1
    resume_path(model).write_bytes(b"garbage")
    with pytest.raises(ModelFileError, match="resume file"):
        load_resume(resume_path(model))
    assert train(model, "--resume").exit_code == 1


def test_a_run_that_is_stopped_before_it_is_validated_says_so(tmp_path, capsys):
    """Whether it has become better is not known."""
    model, trainer = tmp_path / "model.safetensors", small_trainer(steps=40)
    for record in trainer.run():
        if record.improved:
            break
    save_model(model, trainer.best)
    trainer.stop()
    run_module.run(trainer, model, None, again="")
    said = f"not validated since it went on: {model} is still that of step {record.step}, "
    assert said in capsys.readouterr().err
