"""A run ends where it gets no better: after so many validations as it was given patience."""

import math

import pytest
from commands import QUICK, assert_one_line_error, invoke
from trained import FABLES, run, small_trainer

from charrnn.config import TextConfig
from charrnn.errors import UsageError
from charrnn.storage.checkpoint import load_model, load_resume, resume_path
from charrnn.training.validation import Validation

#: One validation every three steps of QUICK with this.
OPTIONS = (*QUICK, "--validations", 10)
LOSSES = [3.0, 2.5, 2.6, math.nan, 2.4, 2.4, 2.5, 2.6, 1.0, 0.5]


@pytest.fixture
def model(tmp_path):
    return tmp_path / "m.safetensors"


@pytest.fixture
def losses(monkeypatch):
    """Let validations find the losses of the list that is given back; what is found is removed."""
    coming = list(LOSSES)
    monkeypatch.setattr("charrnn.training.trainer.validate", lambda *_: Validation(coming.pop(0)))
    return coming


@pytest.mark.parametrize(("patience", "validations"), [(1, 3), (2, 4), (3, 8), (4, 10), (0, 10)])
def test_it_ends_after_so_many_validations_in_a_row(losses, patience, validations):
    trainer = small_trainer(steps=30, validations=10, patience=patience)
    records = run(trainer)
    assert len(LOSSES) - len(losses) == validations
    assert records[-1].step == 3 * validations
    assert trainer.best.training["validation_loss"] == min(
        loss for loss in LOSSES[:validations] if loss == loss
    )


def test_the_command_says_so_and_keeps_the_best(losses, model):
    done = invoke("train", FABLES, "--model", model, *OPTIONS, "--patience", 3)
    assert done.exit_code == 0
    *_, said, saved = done.stderr.splitlines()
    assert said == "stopped: the validation loss has not improved in 3 validations"
    assert "at step 15 of 24" in saved
    assert load_model(model).training["steps"] == 15
    assert load_model(model).training["options"]["patience"] == 3


def test_it_is_not_said_of_other_runs(model):
    done = invoke("train", FABLES, "--model", model, *OPTIONS, "--patience", 10)
    assert done.exit_code == 0 and "stopped" not in done.stderr


@pytest.mark.parametrize("stop_after", [7, 18, 19, 23])
def test_a_resumed_run_ends_where_one_without_a_break_would(losses, stop_after):
    settings = {"steps": 30, "validations": 10, "patience": 3}
    first, second = small_trainer(**settings), small_trainer(**settings)
    for record in first.run():
        if record.step == stop_after - 1:
            first.stop()
    second.restore(first.capture(), first.best)
    assert run(second)[-1].step == 24


def test_more_patience_can_be_given(losses, model):
    assert invoke("train", FABLES, "--model", model, *OPTIONS, "--patience", 3).exit_code == 0
    again = ("train", FABLES, "--model", model, "--resume")
    complete = "the run is complete after 24 steps: to go on give more, such as --patience 6"
    assert_one_line_error(invoke(*again), 2, complete)
    assert invoke(*again, "--patience", 0).exit_code == 0
    assert load_resume(resume_path(model)).values["step"] == 30
    assert load_model(model).training["validation_loss"] == 0.5


def test_it_needs_something_to_validate_on(model):
    with pytest.raises(UsageError, match="`patience`"):
        small_trainer(text=TextConfig(validation_fraction=0), patience=1)
    options = ("--model", model, *OPTIONS, "--patience", 2, "--validation-fraction", 0)
    assert_one_line_error(invoke("train", FABLES, *options), 2, "--patience", "--validation")
    assert not model.exists()
