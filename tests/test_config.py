"""Every value out of range is refused with its name and its range; the ends of a range are in."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from commands import assert_one_line_error, invoke

from charrnn.cells import CELLS
from charrnn.config import (
    INITIAL_STATES,
    MAX_SIZE,
    OPTIMIZERS,
    ModelConfig,
    TextConfig,
    TrainingConfig,
)
from charrnn.errors import UsageError


def _model(**values):
    return ModelConfig(**{"vocabulary_size": 30, **values})


def _deep(**values):
    return _model(readout_layers=1, **values)


#: Class, field, the ends of its range, values beyond them, words of the message.
RANGES = [
    (_model, "vocabulary_size", (4, MAX_SIZE), (3, 0, -1, MAX_SIZE + 1), "vocabulary size"),
    (_model, "layers", (1, 64), (0, -1, 65), "layers must be from 1 to 64"),
    (_model, "members", (1, 64), (0, -1, 65), "members must be from 1 to 64"),
    (_model, "hidden_size", (1, MAX_SIZE), (0, -3, 10**9), "hidden size must be from 1 to 65536"),
    (_model, "embedding_size", (0, MAX_SIZE), (-1, 10**9), "embedding size must be from 0 to"),
    (_model, "dense_before", (0, 64), (-1, 65), "dense layers before each must be from 0 to 64"),
    (_model, "readout_layers", (0, 64), (-1, 65), "readout layers must be from 0 to 64"),
    (_deep, "readout_size", (0, MAX_SIZE), (-1, 10**9), "readout size must be from 0 to 65536"),
    (TextConfig, "min_count", (1, 10**9), (0, -1), "min count must be from 1"),
    (TextConfig, "validation_fraction", (0, 0.9), (-0.1, 0.91, math.nan), "from 0 to 0.9"),
    (TrainingConfig, "batch_size", (1, MAX_SIZE), (0, -1), "batch size must be from 1 to 65536"),
    (TrainingConfig, "sequence_length", (1, MAX_SIZE), (0, MAX_SIZE + 1), "sequence length"),
    (TrainingConfig, "epochs", (0.1, 1000), (0, -1, math.nan, math.inf), "epochs must be"),
    (TrainingConfig, "steps", (1, 10**15), (0, -1, 10**16), "steps must be above 0"),
    (TrainingConfig, "budget", (0.1, 1e6), (0, -1.5, math.nan), "budget must be above 0"),
    (TrainingConfig, "learning_rate", (1e-9, 99.9), (0, -1, 100, math.nan), "learning rate"),
    (TrainingConfig, "warmup_steps", (0, 10**9), (-1,), "warm-up steps must be from 0"),
    (TrainingConfig, "final_rate", (0, 1), (-0.1, 1.1, math.nan), "final rate must be from 0 to 1"),
    (TrainingConfig, "beta1", (0, 0.999), (1, -0.1, math.nan), "betas must be from 0 to below 1"),
    (TrainingConfig, "beta2", (0, 0.999), (1, -0.1, math.nan), "betas must be from 0 to below 1"),
    (TrainingConfig, "dropout", (0, 0.999), (1, 1.5, -0.1, math.nan), "from 0 to below 1"),
    (TrainingConfig, "weight_decay", (0, 1), (-0.1, 1.1, math.nan), "weight decay must be from 0"),
    (TrainingConfig, "averaging", (0, 0.9999), (1, -0.1, math.nan), "averaging must be from 0 to"),
    (TrainingConfig, "clip_norm", (0, 1e9), (-1, math.nan), "clipping must not be negative"),
    (TrainingConfig, "clip_value", (0, 1e9), (-1, math.nan), "clipping must not be negative"),
    (TrainingConfig, "most_epochs", (0, 0.5, 1e6), (-1, math.nan), "most epochs must be from 0"),
    (TrainingConfig, "validations", (1, 10**6), (0, 10**6 + 1), "validations must be from 1"),
    (TrainingConfig, "seed", (0, 2**63 - 1), (-1, 2**63), "seed must be from 0"),
    (TrainingConfig, "threads", (0, 4096), (-1, 4097), "threads must be from 0 to 4096"),
]


@pytest.mark.parametrize(
    ("create", "field", "value", "words"),
    [(create, field, value, words) for create, field, _, wrong, words in RANGES for value in wrong],
)
def test_values_out_of_range_are_refused(create, field, value, words):
    with pytest.raises(UsageError) as caught:
        create(**{field: value})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("create", "field", "ends"), [row[:3] for row in RANGES])
def test_the_ends_of_a_range_are_taken(create, field, ends):
    for value in ends:
        assert getattr(create(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("create", "values", "choices"),
    [
        (_model, {"cell": "lstn"}, [name for name, _ in CELLS]),
        (_model, {"activation": "relu"}, ["lstm", "tanh", "relu"]),
        (_model, {"cell": "elman", "activation": "sin"}, ["elman", "tanh", "relu", "sin"]),
        (_model, {"cell": "jordan", "layers": 1, "activation": "sin"}, ["jordan", "tanh", "relu"]),
        (_model, {"initial_state": "ones"}, ["initial state", *INITIAL_STATES]),
        (TrainingConfig, {"optimizer": "adamw"}, OPTIMIZERS),
    ],
)
def test_unknown_names_are_refused_with_the_choices(create, values, choices):
    with pytest.raises(UsageError) as caught:
        create(**values)
    assert all(choice in str(caught.value) for choice in choices)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cell": "jordan", "layers": 2}, ["jordan takes one layer", "`layers` 1"]),
        ({"cell": "jordan", "layers": 1, "readout_layers": 1}, ["jordan", "no readout layers"]),
        ({"readout_size": 20}, ["readout size", "`readout_layers`"]),
        ({"layers": 2.0}, ["layers must be a whole number, not 2.0"]),
        ({"readout_layers": True}, ["readout_layers must be a whole number, not True"]),
        ({"readout_size": "20"}, ["readout_size must be a whole number, not '20'"]),
        ({"cell": None}, ["cell must be text, not None"]),
        ({"initial_state": 0}, ["initial_state must be text, not 0"]),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused_with_the_way_out(values, words):
    with pytest.raises(UsageError) as caught:
        _model(**values)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("cell", "layers"), [("lstm", 2), ("jordan", 1), ("echo-state", 1)])
def test_a_shape_has_as_many_layers_as_its_cell_takes_where_none_are_given(cell, layers):
    assert ModelConfig.for_vocabulary(30, cell=cell).layers == layers
    assert ModelConfig.for_vocabulary(30, cell=cell, layers=1).layers == 1


@pytest.mark.parametrize(
    ("create", "values", "message"),
    [
        (TrainingConfig, {"steps": 2.5}, "steps must be a whole number, not 2.5"),
        (TrainingConfig, {"epochs": "3"}, "epochs must be a number, not '3'"),
        (TrainingConfig, {"budget": "3m"}, "budget must be a number, not '3m'"),
        (TrainingConfig, {"seed": None}, "seed must be a whole number, not None"),
        (TrainingConfig, {"patience": True}, "patience must be a whole number, not True"),
        (TrainingConfig, {"dropout": False}, "dropout must be a number, not False"),
        (TrainingConfig, {"steps": np.int64(5)}, "steps must be a whole number, not "),
        (TrainingConfig, {"clip_norm": 10**30}, "clip_norm must be a number, not 10"),
        (TrainingConfig, {"averaging": None}, "averaging must be a number, not None"),
        (TrainingConfig, {"optimizer": ["adam"]}, "optimizer must be text, not ['adam']"),
        (TextConfig, {"validation": "a\0"}, "validation must be the name of a file"),
        (TextConfig, {"lines": "yes"}, "lines must be True or False, not 'yes'"),
        (TextConfig, {"lines": 1}, "lines must be True or False, not 1"),
        (TextConfig, {"encoding": None}, "encoding must be text, not None"),
        (TextConfig, {"validation": 5}, "validation must be text, not 5"),
        (TextConfig, {"min_count": 2.0}, "min_count must be a whole number, not 2.0"),
    ],
    ids=str,
)
def test_values_of_another_type_are_refused(create, values, message):
    """All that is taken can be written to a model file, which is JSON."""
    with pytest.raises(UsageError, match=re.escape(message)):
        create(**values)


def test_numbers_that_json_knows_are_taken():
    config = TrainingConfig(learning_rate=np.float64(0.5), epochs=3, weight_decay=0)
    assert json.loads(json.dumps(dataclasses.asdict(config)))["learning_rate"] == 0.5


@pytest.mark.parametrize("given", [("epochs", "steps"), ("steps", "budget"), ("epochs", "budget")])
def test_only_one_of_epochs_steps_and_budget(given, tmp_path):
    with pytest.raises(UsageError, match=f"give only one of {', '.join(given)}"):
        TrainingConfig(**dict.fromkeys(given, 3))
    options = [word for name in given for word in (f"--{name}", "3")]
    model = tmp_path / "m.safetensors"
    done = invoke("train", "no-such-corpus.txt", "--model", model, *options)
    assert_one_line_error(done, 2, *given)
    assert not model.exists()


def test_the_defaults_are_in_range():
    assert TextConfig() == TextConfig(validation_fraction=0.1)
    training = TrainingConfig()
    assert training.epochs is training.steps is training.budget is None
    assert training.batch_size is training.dropout is training.learning_rate is None
    assert _model().input_size == 30
    assert _model(embedding_size=5).input_size == 5
    assert _model(hidden_size=9).dense_size == _deep(hidden_size=9).dense_size == 9
    assert _deep(hidden_size=9, readout_size=4).dense_size == 4
