"""What a run remembers of its way: bounded, the same wherever it was stopped, kept in the model."""

import dataclasses
import json
import math

import pytest
from trained import language_model, small_trainer

from charrnn.errors import ModelFileError
from charrnn.storage.checkpoint import load_model, save_model
from charrnn.storage.metadata import read_history
from charrnn.training.history import MOST, MOST_SAMPLES, History
from charrnn.training.record import Record


def _record(step, **figures):
    values = {"step": step, "characters": 10 * step, "epoch": 1.0, "progress": 0.5, "loss": step,
              "learning_rate": 1 / step, "gradient_norm": 2.0 * step, "skipped": 0,
              "seconds": step / 8, "characters_per_second": 1.0}  # fmt: skip
    return Record(**{**values, **figures})


def _after(steps):
    history = History()
    for step in range(1, steps + 1):
        history.note(_record(step))
    return history


@pytest.mark.parametrize("steps", [1, MOST - 1, MOST, MOST + 1, 1000, 12_345])
def test_points_are_means_of_as_many_updates_and_bounded(steps):
    history = _after(steps)
    every = history.every
    assert len(history.points) < MOST and every == 2 ** round(math.log2(every))
    assert steps < MOST or len(history.points) >= MOST // 2 - 1
    assert [p.step for p in history.points] == list(range(every, steps + 1, every))
    for point in history.points:
        mean = point.step - (every - 1) / 2
        assert point.loss == pytest.approx(mean) and point.gradient_norm == pytest.approx(2 * mean)
        assert (point.characters, point.seconds) == (10 * point.step, round(point.step / 8, 3))
    assert len(history.losses) == steps % every


def test_what_is_no_number_is_left_out():
    history = History(every=2)
    for step, loss, norm in ((1, math.nan, math.inf), (2, 3.0, math.nan), (3, math.inf, 1.0)):
        history.note(_record(step, loss=loss, gradient_norm=norm))
    history.note(_record(4, loss=math.nan, gradient_norm=3.0))
    assert [(p.loss, p.gradient_norm) for p in history.points] == [(3.0, None), (None, 2.0)]
    history.validated(_record(4, validation_loss=math.nan))
    history.validated(_record(5))
    assert history.validations == [(4, None)]
    json.dumps(history.figures, allow_nan=False)


def test_of_validations_the_best_stay_and_of_samples_the_first():
    history = History()
    losses = [(997 * n) % 1000 + 1.0 for n in range(1, 3 * MOST)]
    for step, loss in enumerate(losses, 1):
        history.validated(_record(step, validation_loss=loss))
        history.sampled(step, str(step))
    assert len(history.validations) < MOST and len(history.samples) <= MOST_SAMPLES
    assert min(loss for _, loss in history.validations) == min(losses)
    steps = [step for step, _ in history.validations]
    assert steps == sorted(steps) and dict(history.validations).items() <= {*enumerate(losses, 1)}
    assert history.samples[0] == (1, "1") and history.samples[-1][0] == len(losses)


@pytest.mark.parametrize("at", [1, 150, 199, 200, 333])
def test_taken_up_again_it_goes_on_as_if_nothing_were(at):
    stopped = History.of(read_history(json.loads(json.dumps(_after(at).figures))))
    for step in range(at + 1, 700):
        stopped.note(_record(step))
    assert stopped == _after(699)


def test_a_model_has_the_whole_run_also_what_came_after_it(tmp_path):
    trainer = small_trainer(steps=20, validations=4)
    seen = []
    for record in trainer.run():
        seen.append(record)
    history = trainer.best.history
    assert [point[0] for point in history["points"]] == list(range(1, 21))
    assert [point[1] for point in history["points"]] == [record.loss for record in seen]
    assert history["validations"] == [
        (r.step, r.validation_loss) for r in seen if r.validation_loss is not None
    ]
    save_model(tmp_path / "m", trainer.best)
    saved = load_model(tmp_path / "m")
    assert saved.history == json.loads(json.dumps(history))
    language_model(saved).save(tmp_path / "again")
    assert load_model(tmp_path / "again").history == saved.history


@pytest.mark.parametrize(
    "change",
    [
        {"every": 0},
        {"every": "1"},
        {"points": [[1, 2]]},
        {"points": [[1, "x", 1, 1, 1, 1]]},
        {"points": "abc"},
        {"points": [[1, 1.0, 1.0, 1.0, 1, 1.0]] * 2000},
        {"losses": [None]},
        {"validations": [[-1, 1.0]]},
        {"samples": [[1, 2]]},
        None,
    ],
    ids=str,
)
def test_a_history_that_makes_no_sense_is_damage(tmp_path, change):
    model = small_trainer(steps=2, validations=1)
    for _ in model.run():
        pass
    history = 3 if change is None else {**model.best.history, **change}
    save_model(tmp_path / "m", dataclasses.replace(model.best, history=history))
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(tmp_path / "m")


def test_a_model_without_one_is_read(tmp_path):
    model = small_trainer(steps=2, validations=1)
    for _ in model.run():
        pass
    save_model(tmp_path / "m", dataclasses.replace(model.best, history=None))
    assert load_model(tmp_path / "m").history is None


def test_a_model_says_why_its_network_has_its_size():
    """Also when its run is taken up again, which is told the size."""
    first = small_trainer(hidden_size=None, steps=50)
    (why,) = first.origin["reasons"]
    assert why.startswith(f"{first.network.config.hidden_size} units a layer suit the 25,600 ")
    second = small_trainer(hidden_size=first.network.config.hidden_size, steps=50)
    assert second.origin["reasons"] == []
    second.restore(first.capture(), None)
    assert second.origin["reasons"] == [why]
