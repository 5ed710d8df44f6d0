"""A run that has lost its way goes back, with a lower rate, and resumes to the same bits."""

import json

import numpy as np
import pytest
from commands import execute
from samples import assert_same_bits
from trained import FABLES, run, small_trainer

from charrnn.storage.checkpoint import load_model, load_resume, resume_path, save_resume
from charrnn.training.recovery import SLOWER, Recovery

#: Plain gradient descent bears a tenth of this; at first it learns, then it is lost.
TOO_HIGH = 30.0
LOST = {
    "steps": 300,
    "hidden_size": 48,
    "shape": {"cell": "gru"},
    "optimizer": "sgd",
    "learning_rate": TOO_HIGH,
    "batch_size": 64,
    "sequence_length": 64,
    "warmup_steps": 120,
}


def _watched(losses, horizon=25):
    """What a run with these losses does: (updates, step gone back to) of each return."""
    recovery, average, returns = Recovery(np.zeros(4), horizon), np.zeros(4), []
    for step, loss in enumerate(losses, 1):
        average[:] = step
        recovery.note(loss, average, step)
        assert (recovery.weights == recovery.step).all()
        if recovery.is_lost:
            returns.append((step, recovery.step))
            recovery.turn_back(step)
    return returns


def _level(steps, loss):
    """Losses about one value, with the noise of single updates."""
    return loss * (1 + 0.05 * np.random.default_rng(1).standard_normal(steps))


def _learned(steps, last=1.5):
    """Losses of a sound run."""
    return _level(steps, last) + 2 * np.exp(-np.arange(steps) / 50)


def test_a_loss_that_stays_high_is_a_run_that_is_lost():
    ((step, before),) = _watched([*_learned(300), *_level(80, 3.5)])
    assert 350 < step < 380
    assert 200 < before <= 300


def test_where_the_run_goes_back_its_loss_was_still_low():
    ((_, before),) = _watched([*_learned(300), *np.linspace(1.5, 4, 60), *_level(30, 4)])
    assert before <= 320


@pytest.mark.parametrize(
    "losses",
    [
        _learned(1000),
        [*_learned(300), *_level(300, 1.8)],  # a harder part of the text
        [*_learned(300), *[40.0] * 3, *_level(300, 1.6)],  # one jump that is overcome
        [*_learned(300, last=0.01), *np.full(300, 0.05)],  # learned by heart, but for a little
        np.full(300, 4.2),  # never learned anything
    ],
)
def test_what_is_not_lost(losses):
    assert _watched(losses) == []


def test_each_return_is_judged_by_the_lowest_loss():
    lost_again = [*_learned(300), *_level(150, 3.5)]
    assert len(_watched(lost_again)) == 2


def test_few_lanes_are_given_more_updates():
    def horizon(characters):
        return Recovery.create(np.zeros(4), characters).horizon

    assert horizon(64 * 64) == 25
    assert horizon(64) == pytest.approx(64 * horizon(64 * 64), rel=0.05)


def test_a_run_with_too_high_a_rate_is_caught():
    trainer = small_trainer(FABLES, **LOST)
    records = run(trainer)
    (first, *_) = returned = [r for r in records if r.returned_to is not None]
    assert trainer.recovery.returns == len(returned)
    after = [r for r in records if r.step > first.step]
    assert after[0].learning_rate < 0.05 * SLOWER * TOO_HIGH  # it rises from zero again
    assert max(r.learning_rate for r in after) < SLOWER * TOO_HIGH
    before = [r.loss for r in records if first.step - 20 <= r.step <= first.step]
    assert np.mean([r.loss for r in records[-20:]]) < 0.5 * np.mean(before)
    assert trainer.best.training["returns"] == len(returned)


@pytest.mark.faults
def test_it_resumes_to_the_same_bits(tmp_path):
    """Stopped just before the return and just after it, with what is learned since in between."""
    whole = small_trainer(FABLES, **LOST)
    records = run(whole)
    at = next(r.step for r in records if r.returned_to is not None)
    for stop in (at - 1, at, at + 60):
        first = small_trainer(FABLES, **LOST)
        for record in first.run():
            if record.step == stop:
                break
        save_resume(tmp_path / "r", first.capture())
        second = small_trainer(FABLES, **LOST)
        second.restore(load_resume(tmp_path / "r"), first.best)
        losses = [r.loss for r in run(second)]
        assert losses == [r.loss for r in records[stop:]]
        assert_same_bits(second.network.values, whole.network.values)
        assert second.recovery.figures == whole.recovery.figures


@pytest.mark.faults
def test_the_user_is_told(tmp_path):
    model, log = tmp_path / "m", tmp_path / "log"
    done = execute("train", FABLES, "--model", model, "--cell", "gru", "--layers", 1,
                   "--hidden-size", 48, "--steps", 300, "--optimizer", "sgd",
                   "--learning-rate", TOO_HIGH,
                   "--warmup-steps", 120, "--batch-size", 64, "--log", log)  # fmt: skip
    assert done.returncode == 0
    told = [line for line in done.stderr.decode().splitlines() if "risen and stayed high" in line]
    returned = [r for r in map(json.loads, log.open()) if r["returned_to"] is not None]
    assert len(told) == len(returned) > 0
    assert f"in {returned[0]['returned_to']:,} steps" in told[0]
    assert load_resume(resume_path(model)).values["recovery"]["returns"] == len(returned)
    assert load_model(model).finite
