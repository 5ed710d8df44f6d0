"""Comparing cells: their configurations, and that each is trained as it would be alone."""

import dataclasses
import math

import numpy as np
import pytest
from samples import assert_same_bits
from trained import DINOSAURS, FABLES

from charrnn.cells import CELL_NAMES, CELLS
from charrnn.config import MAX_SIZE, ModelConfig, TextConfig, TrainingConfig
from charrnn.errors import UsageError
from charrnn.network.parameters import parameter_count, with_weights
from charrnn.studies.comparison import combinations, compare, model_configs
from charrnn.training import planning
from charrnn.training.setup import create_trainer

TRAINING = TrainingConfig(batch_size=16, sequence_length=32, steps=12, warmup_steps=3,
                          validations=3, dropout=0.2)  # fmt: skip


def _cells(*names):
    return [{"cell": name} for name in names]


def _made(trials):
    """All trials, each made to its end."""
    made = []
    for trial in trials:
        assert all(record.step for record in trial.run())
        made.append(trial)
    return made


def test_cells_that_are_named_twice_are_refused_with_the_choices():
    assert combinations({"cell": CELL_NAMES}) == _cells(*CELL_NAMES)
    with pytest.raises(UsageError, match=f"gru is named twice.*{', '.join(CELL_NAMES)}"):
        combinations({"cell": ["gru", "elman", "gru"]})
    with pytest.raises(UsageError, match=r"0\.5 is named twice: name each of 0\.5, 0 once"):
        combinations({"layers": [1, 2], "dropout": [0.5, 0, 0.5]})


def test_all_combinations_are_made_the_last_field_changing_first():
    found = combinations({"seed": [1, 2], "dropout": [0.0, 0.5]})
    assert [tuple(own.values()) for own in found] == [(1, 0.0), (1, 0.5), (2, 0.0), (2, 0.5)]
    assert set(map(tuple, found)) == {("seed", "dropout")}


# Sizes

ASKED = ModelConfig(60, "lstm", "tanh", 1, 64, 16)


def test_the_same_size_is_the_default():
    configs = model_configs(ASKED, _cells(*CELL_NAMES))
    assert configs == [dataclasses.replace(ASKED, cell=name) for name in CELL_NAMES]


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("hidden", [1, 2, 64, 500])
def test_equal_weights_are_as_close_as_a_hidden_size_can_make_them(cell, hidden):
    asked = dataclasses.replace(ASKED, hidden_size=hidden)
    (config,) = model_configs(asked, _cells(cell), equal_weights=True)
    assert config == dataclasses.replace(asked, cell=cell, hidden_size=config.hidden_size)

    def distance(size):
        sized = dataclasses.replace(config, hidden_size=size)
        return abs(parameter_count(sized) - parameter_count(asked))

    sizes = range(max(config.hidden_size - 3, 1), config.hidden_size + 4)
    assert distance(config.hidden_size) == min(map(distance, sizes))


def test_an_lstm_is_its_own_measure():
    assert model_configs(ASKED, _cells("lstm"), equal_weights=True) == [ASKED]


@pytest.mark.parametrize(("weights", "size"), [(1, 1), (10**18, MAX_SIZE)])
def test_numbers_of_weights_out_of_reach(weights, size):
    assert with_weights(ASKED, weights).hidden_size == size


@pytest.mark.parametrize("equal", [False, True])
def test_a_cell_has_no_more_layers_than_it_takes(monkeypatch, equal):
    monkeypatch.setattr(CELLS["elman", "tanh"], "most_layers", 2, raising=False)
    for asked, expected in ((1, 1), (2, 2), (3, 2)):
        stacked = dataclasses.replace(ASKED, layers=asked)
        elman, lstm = model_configs(stacked, _cells("elman", "lstm"), equal_weights=equal)
        assert (elman.layers, lstm.layers) == (expected, asked)
        if equal:  # to the lstm of the layers asked for
            assert parameter_count(elman) == pytest.approx(parameter_count(lstm), rel=0.02)


# Runs


@pytest.mark.parametrize(
    ("source", "lines", "fraction"),
    [(DINOSAURS, True, 0.1), (FABLES, False, 0.1), (FABLES, False, 0)],
)
def test_each_cell_is_trained_as_it_would_be_alone(source, lines, fraction):
    """To the same bits: the second does not find what the first has left."""
    text = TextConfig(lines=lines, validation_fraction=fraction)
    sizes = {"layers": 1, "hidden_size": 9, "embedding_size": None}
    cells = ["elman", "gru"]
    trials = _made(compare([str(source)], _cells(*cells), text, TRAINING, **sizes))
    assert [trial.result.cell for trial in trials] == cells
    for trial in trials:
        result, best = trial.result, trial.trainer.best
        alone = create_trainer([str(source)], text, TRAINING, cell=result.cell, **sizes)
        last = list(alone.run())[-1]
        for name, tensor in alone.best.tensors.items():
            assert_same_bits(best.tensors[name], tensor)
        assert result.validation_loss == alone.best.training["validation_loss"]
        assert result.training_loss == alone.best.training["training_loss"]
        assert (result.steps, result.error) == (last.step, None)
        assert result.seconds > 0 and result.characters_per_second > 0


@pytest.mark.parametrize("equal_weights", [False, True])
def test_a_size_that_is_left_open_is_chosen_for_all_cells(equal_weights):
    """That of the lstm; what else is open each run chooses for itself."""
    training = TrainingConfig(steps=2, sequence_length=32)
    arguments = ([str(FABLES)], _cells("lstm", "elman"), TextConfig(), training)
    trials = _made(compare(*arguments, layers=1, equal_weights=equal_weights))
    lstm, elman = (trial.result for trial in trials)
    alone = create_trainer([str(FABLES)], None, training, layers=1)
    assert lstm.hidden_size == alone.network.config.hidden_size
    if equal_weights:
        assert elman.weights == pytest.approx(lstm.weights, rel=0.05)
    else:
        assert elman.hidden_size == lstm.hidden_size
    assert elman.error is lstm.error is None


def test_all_cells_are_measured_on_the_same_text(monkeypatch):
    """Also where one of them is faster, so that alone it would read more of it."""
    longer = iter((100, 200))
    monkeypatch.setattr(planning, "_validation_positions", lambda *_: next(longer))
    sizes = {"layers": 1, "hidden_size": 8}
    for trial in _made(
        compare([str(FABLES)], _cells("lstm", "elman"), TextConfig(), TRAINING, **sizes)
    ):
        assert trial.trainer.best.training["options"]["validation_positions"] == 100


def test_a_result_is_of_the_best_model_and_of_the_whole_run():
    """A learning rate at which the loss goes up again."""
    training = dataclasses.replace(TRAINING, steps=30, validations=30, optimizer="sgd",
                                   learning_rate=60.0, final_rate=1.0)  # fmt: skip
    sizes = {"layers": 1, "hidden_size": 8}
    (trial,) = _made(compare([str(FABLES)], _cells("elman"), TextConfig(), training, **sizes))
    result = trial.result
    alone = create_trainer([str(FABLES)], None, training, cell="elman", **sizes)
    losses = [record.validation_loss for record in alone.run()]
    assert np.argmin(losses) < 29
    assert result.validation_loss == min(losses)
    assert result.bits_per_character == min(losses) / math.log(2)
    assert result.steps == 30
