"""The loop: it learns, gives the same bits, skips what is not finite, ends when it should."""

import dataclasses
import itertools
import json
import math
import types

import numpy as np
import pytest
from samples import assert_same_bits, every_variant, size_for
from trained import DINOSAURS, FABLES, dinosaurs, fables, language_model, run, small_trainer

from charrnn.cells import CELLS
from charrnn.cli.remarks import remarks_on
from charrnn.config import TextConfig
from charrnn.errors import CorpusError, TrainingError, UsageError
from charrnn.storage.checkpoint import load_model, save_model
from charrnn.training import clock as extent
from charrnn.training.evaluation import loss_of
from charrnn.training.optimizer import Optimizer
from charrnn.training.planning import FEWEST_CHARACTERS
from charrnn.training.setup import create_trainer
from charrnn.training.trainer import MOST_SKIPPED
from charrnn.training.validation import Validation


def _validations(records):
    return [record for record in records if record.validation_loss is not None]


@every_variant
def test_every_cell_learns(cell, more):
    name, activation = cell
    shape = {"cell": name, "activation": activation, "embedding_size": 8, **more}
    layers = min(2, CELLS[cell].most_layers)
    trainer = small_trainer(
        steps=80, layers=layers, hidden_size=size_for(cell, 16, 70), shape=shape
    )
    records = run(trainer)
    first, last = ([r.loss for r in part] for part in (records[:5], records[-5:]))
    assert np.mean(last) < np.mean(first) - 0.2
    losses = [r.validation_loss for r in _validations(records)]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert min(losses) < math.log(trainer.vocabulary.size)
    assert (trainer.best.config.cell, trainer.best.config.activation) == cell


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd"])
def test_every_optimizer_learns(optimizer):
    records = run(small_trainer(steps=80, optimizer=optimizer))
    assert records[-1].validation_loss < records[0].loss - 0.2


def test_the_same_seed_gives_the_same_bits():
    """From run to run and with any number of threads; another seed gives others."""

    def trained(**options):
        trainer = small_trainer(DINOSAURS, text=TextConfig(lines=True), layers=2,
                                **{"dropout": 0.3, **options})  # fmt: skip
        return run(trainer), trainer

    records, one = trained(threads=1)
    for threads in (1, 2):
        again, other = trained(threads=threads)
        assert [r.loss for r in again] == [r.loss for r in records]
        assert [r.validation_loss for r in again] == [r.validation_loss for r in records]
        assert_same_bits(other.network.values, one.network.values)
        for name, tensor in one.best.tensors.items():
            assert_same_bits(other.best.tensors[name], tensor)
    for changed in ({"seed": 2}, {"dropout": 0.2}):
        assert [r.loss for r in trained(threads=1, **changed)[0]] != [r.loss for r in records]


def test_every_chunk_drops_other_units():
    trainer, drawn = small_trainer(steps=20, dropout=0.3), []
    differentiate = trainer.network.loss_and_gradients

    def noting(batch, state, dropout):
        drawn.append(dropout)
        return differentiate(batch, state, dropout)

    trainer.network.loss_and_gradients = noting
    run(trainer)
    assert {rate for rate, _ in drawn} == {0.3}
    assert len({key for _, key in drawn}) == 20


def test_records_add_up():
    trainer = small_trainer(steps=20, dropout=0.0)
    records = run(trainer)
    size = trainer.lanes.batch * trainer.lanes.length
    assert [r.step for r in records] == list(range(1, 21))
    assert [r.characters for r in records] == [size * r.step for r in records]
    assert [r.progress for r in records] == pytest.approx([r.step / 20 for r in records])
    assert records[-1].epoch == pytest.approx(20 * size / trainer.positions)
    assert all(r.gradient_norm > 0 and r.skipped == 0 for r in records)
    rates = [r.learning_rate for r in records]
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(0.05 * trainer.optimizer.highest_rate)


# How long


@pytest.mark.parametrize("epochs", [0.1, 1, 1.5])
def test_epochs_become_steps(epochs):
    trainer = small_trainer(DINOSAURS, epochs=epochs)
    records = run(trainer)
    size = trainer.lanes.batch * trainer.lanes.length
    assert len(records) == math.ceil(epochs * trainer.positions / size)
    assert records[-1].epoch >= epochs > records[-2].epoch
    assert records[-1].progress == 1


def test_a_run_has_a_length_by_default(tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("abc " * 2000)
    trainer = create_trainer([str(text)], layers=1, hidden_size=4)
    record = next(trainer.run())
    steps = math.ceil(FEWEST_CHARACTERS / record.characters)
    assert record.progress == pytest.approx(1 / steps)
    assert trainer.plan.steps == steps


@pytest.mark.parametrize("pace", [0.25, 0.26, 0.27, 0.28, 0.29, 0.3, 0.31, 0.32])
def test_a_budget_is_of_seconds(pace, monkeypatch):
    """By a clock of the test's own, which goes on at every look at it, wherever that ends a run."""
    clock = types.SimpleNamespace(monotonic=itertools.count(1000.0, pace).__next__)
    monkeypatch.setattr(extent, "time", clock)
    records = run(small_trainer(budget=30))
    assert records[-1].seconds == pytest.approx(30, abs=3)
    seconds = [r.seconds for r in records]
    assert seconds == sorted(seconds)
    assert seconds[-2] < 30
    assert len(_validations(records)) == 4
    assert records[-1].validation_loss is not None
    rates = [r.learning_rate for r in records]
    assert rates[-1] < 0.1 * max(rates)


@pytest.mark.parametrize(("steps", "times"), [(20, 5), (20, 20), (7, 3), (3, 10), (1, 1), (50, 7)])
def test_as_many_validations_as_asked_for(steps, times):
    records = run(small_trainer(DINOSAURS, steps=steps, validations=times))
    assert len(records) == steps
    assert len(_validations(records)) == min(times, steps)
    assert records[-1].validation_loss is not None


@pytest.mark.parametrize("at", [0, 1, 7])
def test_a_stop_ends_after_the_step_with_a_validation(at):
    trainer = small_trainer(steps=10**6, validations=1)
    records = []
    if not at:
        trainer.stop()
    for record in trainer.run():
        records.append(record)
        if len(records) == at:
            assert trainer.best is None
            trainer.stop()
    assert len(records) == at + 1
    assert records[-1].validation_loss is not None
    assert records[-1].improved
    assert trainer.best.training["steps"] == at + 1


# The best model


def test_the_best_model_is_kept():
    """The one with the lowest validation loss, which it has when it is measured again."""
    trainer = small_trainer(steps=40, validations=10)
    records = []
    for record in trainer.run():
        records.append(record)
        if record.step == 24:  # spoilt: what follows is worse
            trainer.network.values *= 5
            trainer.network.pack()
    losses = {r.step: r.validation_loss for r in _validations(records)}
    best = min(losses, key=losses.get)
    assert best == 24 and losses[40] > losses[24]
    figures = trainer.best.training
    assert (figures["steps"], figures["validation_loss"]) == (best, losses[best])
    model = language_model(trainer.best)
    assert loss_of(model.network, trainer.validation) == losses[best]
    improved = [r.step for r in records if r.improved]
    running = np.minimum.accumulate(list(losses.values()))
    assert improved == [s for s, low in zip(losses, running, strict=True) if losses[s] == low]


def test_the_best_model_says_where_it_came_from(tmp_path):
    figures = dinosaurs().training
    assert figures["corpus"] == ["dinosaurs.txt"]
    assert figures["documents"] == len(set(DINOSAURS.read_text(encoding="utf-8").split()))
    assert figures["text"]["lines"] is True
    assert figures["options"]["steps"] == 300
    assert fables().training["documents"] == 1
    assert fables().training["corpus_characters"] == len(FABLES.read_text(encoding="utf-8"))
    save_model(tmp_path / "m", dinosaurs())
    assert load_model(tmp_path / "m").training == figures == json.loads(json.dumps(figures))


def test_without_validation_the_last_model_is_kept():
    trainer = small_trainer(text=TextConfig(validation_fraction=0))
    records = run(trainer)
    assert not _validations(records)
    assert sum(r.improved for r in records) == 4 and records[-1].improved
    averages = trainer.network.views(trainer.optimizer.average)
    for name, tensor in trainer.best.tensors.items():
        assert_same_bits(tensor, averages[name])
    assert trainer.best.training["validation_loss"] is None
    assert any("no validation" in remark for remark in remarks_on(trainer))


def test_few_lanes_for_the_threads_are_remarked(monkeypatch):
    """With less than half of what its products take at once a thread is slow."""
    trainer = small_trainer(batch_size=12, threads=1)
    monkeypatch.setattr("charrnn.cli.remarks.TILE_ROWS", 24)
    assert not any("lanes are few for" in remark for remark in remarks_on(trainer))
    monkeypatch.setattr("charrnn.cli.remarks.TILE_ROWS", 26)
    [remark] = [remark for remark in remarks_on(trainer) if "lanes are few for" in remark]
    assert remark.startswith("12 lanes are few for 1 thread: ") and "--batch-size 13" in remark


def test_another_file_may_validate(tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("The heron said é to the ferryman. " * 20, encoding="utf-8")
    trainer = small_trainer(text=TextConfig(validation=str(other)))
    records = run(trainer)
    assert trainer.positions == len(FABLES.read_text(encoding="utf-8")) + 1
    model = language_model(trainer.best)
    result = model.evaluate(other.read_text(encoding="utf-8"))
    assert result.unknown == 20
    best = min(r.validation_loss for r in _validations(records))
    assert result.nats_per_character == pytest.approx(best, rel=1e-6)


# The average of the weights


def _states(network, trainer):
    """The weights, and what the network makes of the run's validation text."""
    return network.values.copy(), loss_of(network, trainer.validation)


def test_the_averaged_weights_are_those_of_another_model():
    """The packed ones too; in the run's own all is as it was, to the last bit."""
    trainer = small_trainer(steps=10)
    run(trainer)
    average, (values, loss) = trainer.optimizer.average.copy(), _states(trainer.network, trainer)
    inside, averaged_loss = _states(trainer.averaged(), trainer)
    assert_same_bits(inside, average)
    best = language_model(trainer.best).network
    assert averaged_loss == loss_of(best, trainer.validation)
    assert averaged_loss == trainer.best.training["validation_loss"]
    assert averaged_loss != loss
    after, loss_after = _states(trainer.network, trainer)
    assert_same_bits(after, values)
    assert loss_after == loss
    assert_same_bits(trainer.optimizer.average, average)


def test_what_is_validated_and_kept_changes_no_step():
    def losses(**options):
        return [r.loss for r in run(small_trainer(steps=20, dropout=0.3, **options))]

    assert losses(averaging=0.9, validations=20) == losses(averaging=0.0, validations=1)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_without_averaging_the_weights_are_kept_as_they_are(averaging):
    trainer = small_trainer(text=TextConfig(validation_fraction=0), averaging=averaging)
    run(trainer)
    same = [
        np.array_equal(tensor, trainer.network.parameters[name])
        for name, tensor in trainer.best.tensors.items()
    ]
    assert all(same) if averaging == 0 else not any(same)


# What is not finite


def _spoil(trainer, steps, value=math.nan):
    """Let the gradient's norm be ``value`` at the steps given, counted from 1."""
    norm, count = trainer.optimizer.gradient_norm, itertools.count(1)
    trainer.optimizer.gradient_norm = lambda n: value if next(count) in steps else norm(n)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_gradients_that_are_not_finite_are_skipped_and_counted(value):
    trainer = small_trainer(steps=20)
    spoilt = {1, 4, 5, 6, 12, 20}
    _spoil(trainer, spoilt, value)
    optimizer, before, skipped = trainer.optimizer, trainer.network.values.copy(), 0
    for record in trainer.run():
        skipped += record.step in spoilt
        assert record.skipped == skipped
        assert math.isfinite(record.gradient_norm) == (record.step not in spoilt)
        same = np.array_equal(trainer.network.values, before)
        assert same == (record.step in spoilt)
        before = trainer.network.values.copy()
    assert np.isfinite(before).all()
    assert all(np.isfinite(m).all() for m in optimizer.moments.values())
    assert optimizer.updates == 20 - len(spoilt)
    assert trainer.best.finite


def test_a_state_that_is_no_number_is_forgotten():
    """It alone would spoil every gradient from then on."""
    trainer = small_trainer(steps=20)
    for record in trainer.run():
        if record.step == 10:
            trainer.state[:] = np.nan
    assert record.step == 20
    assert record.skipped == 1
    assert np.isfinite(trainer.state).all()


def test_many_in_a_row_end_the_run_and_keep_the_best():
    trainer = small_trainer(steps=100, validations=10)
    _spoil(trainer, set(range(10, 19)) | set(range(33, 200)))
    records = []
    with pytest.raises(TrainingError, match="`learning_rate`") as caught:
        for record in trainer.run():
            records.append(record)
    assert "\n" not in str(caught.value)
    assert trainer.step == 32 + MOST_SKIPPED == 42
    assert records[-1].skipped == 9 + MOST_SKIPPED - 1
    assert trainer.best.finite
    assert trainer.best.training["validation_loss"] == min(
        r.validation_loss for r in _validations(records)
    )


def test_weights_that_are_no_numbers_are_never_the_best():
    trainer = small_trainer(text=TextConfig(validation_fraction=0), steps=40, validations=40)
    with pytest.raises(TrainingError):
        for record in trainer.run():
            if record.step == 5:
                trainer.network.values[3] = trainer.optimizer.average[3] = np.nan
                trainer.network.pack()
    assert trainer.best.finite
    assert trainer.best.training["steps"] == 5


def test_an_average_that_is_no_number_is_not_the_best_even_if_its_loss_is_one(monkeypatch):
    """As where only the row of a character is spoilt that the validation text has not."""
    monkeypatch.setattr("charrnn.training.trainer.validate", lambda *_: Validation(1.0))
    trainer = small_trainer(steps=4, validations=4, averaging=0.9)
    trainer.optimizer.average[3] = np.nan
    assert not any(record.improved for record in trainer.run())
    assert trainer.best is None


def test_a_loss_that_is_no_number_is_no_figure():
    trainer = small_trainer(steps=4, validations=4)
    record = next(trainer.run())
    assert trainer._figures(record)["training_loss"] == record.loss
    spoilt = dataclasses.replace(record, loss=math.nan)
    assert trainer._figures(spoilt)["training_loss"] is None


def test_the_figures_of_the_best_are_numbers():
    """Where only the average is still finite: it is as it was when the loss was a number."""
    trainer = small_trainer(text=TextConfig(validation_fraction=0), steps=40, validations=40)
    with pytest.raises(TrainingError):
        for record in trainer.run():
            if record.step == 5:
                trainer.network.values[:] = np.nan
                trainer.network.pack()
    assert trainer.best.finite
    assert math.isfinite(trainer.best.training["training_loss"])


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({}, "a smaller `learning_rate` or `clip_norm`; "),
        ({"clip_norm": 0.0}, "a smaller `learning_rate` or clip with `clip_norm` 1; "),
        ({"clip_norm": math.inf}, "a smaller `learning_rate` or clip with `clip_norm` 1; "),
    ],
    ids=str,
)
def test_a_run_that_comes_to_nothing_advises_what_is_left_to_do(options, advice, monkeypatch):
    monkeypatch.setattr(Optimizer, "gradient_norm", lambda self, n: math.nan)
    with pytest.raises(TrainingError) as caught:
        run(small_trainer(hidden_size=5, **options))
    assert f"try {advice}" in f"{caught.value}; "


# Small and odd corpora


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(
    "text",
    ["a", "ab", "hello", "aaaaaaaaaaaaaaaaaaaa", "a" * 500, "the quick brown fox jumps over",
     "a\nb", "\n\na\n\n\nb\n", "é", "\U0001f600" * 3, "\0\1\2" * 9, "abcdefgh\n" * 9],
)  # fmt: skip
def test_tiny_corpora_train_and_sample(tmp_path, text, lines):
    path = tmp_path / "tiny.txt"
    path.write_bytes(text.encode())
    trainer = small_trainer(path, text=TextConfig(lines=lines), steps=8, hidden_size=5)
    records = run(trainer)
    assert len(records) == 8
    assert all(math.isfinite(r.loss) and r.skipped == 0 for r in records)
    assert trainer.lanes.batch * trainer.lanes.length <= trainer.positions
    assert remarks_on(trainer)
    model = language_model(trainer.best)
    assert set(model.sample(50, seed=1)) <= set(text)
    assert math.isfinite(model.evaluate(text).nats_per_character)


def test_one_character_is_learned_by_heart(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a" * 2000)
    trainer = small_trainer(path, steps=100)
    assert run(trainer)[-1].validation_loss < 0.1
    assert language_model(trainer.best).sample(30) == "a" * 30


def test_an_empty_corpus_is_refused(tmp_path):
    path = tmp_path / "empty.txt"
    path.touch()
    with pytest.raises(CorpusError, match="no characters"):
        small_trainer(path)


@pytest.mark.parametrize("shape", [{"cell": "unheard-of"}, {"hidden_size": 0}, {"layers": 0}])
def test_a_shape_that_makes_no_sense_is_refused(shape):
    with pytest.raises(UsageError):
        create_trainer([str(FABLES)], **shape)


def test_many_characters_are_embedded(tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("".join(map(chr, range(0x4E00, 0x4E00 + 400))) * 3, encoding="utf-8")
    trainer = small_trainer(path, steps=3)
    run(trainer)
    assert trainer.best.config.embedding_size > 0
    assert trainer.best.config.vocabulary_size == 403
    assert small_trainer(steps=1).network.config.embedding_size == 0
