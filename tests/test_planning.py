"""What a run leaves open is chosen from the text and the time, and nothing else is touched."""

import dataclasses
import functools
import itertools
import json
import math
import types

import numpy as np
import pytest
from commands import invoke
from samples import assert_same_bits, config_of, every_variant, random_network
from trained import DINOSAURS, FABLES, run

from charrnn.cli.remarks import remarks_on
from charrnn.config import (
    LEARNING_RATES,
    OPTIMIZERS,
    WEIGHT_DECAYS,
    ModelConfig,
    TextConfig,
    TrainingConfig,
)
from charrnn.errors import UsageError
from charrnn.network.network import Network
from charrnn.network.parameters import parameter_count, recurrent_weight_count
from charrnn.storage.checkpoint import load_model, load_resume, resume_path
from charrnn.text.running import Lanes
from charrnn.training import planning, sizes
from charrnn.training.planning import (
    EPOCHS,
    FEWEST_CHARACTERS,
    MOST_CHARACTERS,
    complete,
)
from charrnn.training.setup import create_trainer
from charrnn.training.sizes import suited_shape

SHAPE = ModelConfig(vocabulary_size=60)
#: Characters of texts from a word to a library.
TEXTS = [1, 30, 1000, 20_000, 85_000, 300_000, 10**6, 10**7, 10**9]
RUNS = [{}, {"epochs": 3.0}, {"steps": 500}, {"budget": 30.0}]


@pytest.fixture
def speed(monkeypatch):
    """A machine whose speed is known: 10⁹ weights times characters a second."""
    monkeypatch.setattr(sizes, "_multiply_adds_a_second", lambda *_: 1e9)
    monkeypatch.setattr(
        planning, "characters_a_second", lambda network, *_: 1e9 / network.values.size
    )


@functools.cache
def _network(hidden_size=16):
    return Network(config_of(("lstm", "tanh"), 1, hidden_size), threads=1)


def _completed(positions, hidden_size=16, held_back=5000, **given):
    return complete(TrainingConfig(**given), _network(hidden_size), positions, held_back)


def _size(positions, shape=SHAPE, **given):
    return suited_shape(shape, TrainingConfig(**given), positions).hidden_size


def _most_epochs(positions, hidden_size=16):
    weights = recurrent_weight_count(_network(hidden_size).config)
    return planning._most_epochs(positions, weights, "write")


def _rises(values):
    """No value is below the one before, and the last is above the first."""
    return values == sorted(values) and values[-1] > values[0]


# What was given


@pytest.mark.parametrize("extent", RUNS, ids=str)
@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(TrainingConfig)])
def test_only_what_was_left_open_is_chosen(speed, field, extent):
    config = TrainingConfig(**extent)
    filled = complete(config, _network(), 50_000, 5000)
    chosen = {
        "batch_size",
        "sequence_length",
        "optimizer",
        "learning_rate",
        "dropout",
        "label_smoothing",
        "weight_decay",
        "precision",
    }
    chosen |= {"validations", "validation_positions", "most_epochs"}
    chosen |= set() if extent else {"steps"}
    assert (getattr(filled, field) != getattr(config, field)) == (field in chosen)
    assert getattr(filled, field) is not None or field in {"epochs", "steps", "budget"}


@pytest.mark.parametrize(
    "given",
    [{"batch_size": 3}, {"learning_rate": 0.123}, {"dropout": 0.0}, {"dropout": 0.7},
     {"weight_decay": 0.0}, {"weight_decay": 0.9},
     {"validations": 1}, {"validations": 1000}, {"validation_positions": 7},
     {"most_epochs": 0.0}, {"most_epochs": 7.0}],
)  # fmt: skip
@pytest.mark.parametrize("positions", [30, 50_000, 10**7])
def test_what_was_given_stays(speed, given, positions):
    for extent in RUNS:
        filled = _completed(positions, **given, **extent)
        assert {name: getattr(filled, name) for name in given} == given


def test_what_is_complete_stays_as_it_is(speed):
    for extent in RUNS:
        filled = _completed(50_000, **extent)
        assert complete(filled, _network(), 10**7, 10**6) == filled


@pytest.mark.parametrize("extent", RUNS, ids=str)
def test_a_size_that_was_given_stays(extent):
    trainer = create_trainer(
        [str(FABLES)], training=TrainingConfig(batch_size=8, **extent), layers=1, hidden_size=7
    )
    assert trainer.network.config.hidden_size == 7


def test_the_shape_beside_its_size_stays(speed):
    shape = ModelConfig(100, "gru", layers=3, embedding_size=9, readout_layers=1, readout_size=5)
    suited = suited_shape(shape, TrainingConfig(), 10**6)
    assert suited.hidden_size != shape.hidden_size
    assert dataclasses.replace(suited, hidden_size=shape.hidden_size) == shape


def test_a_shape_that_makes_no_sense_is_refused_before_it_is_measured():
    with pytest.raises(UsageError, match="one layer"):
        create_trainer([str(FABLES)], training=TrainingConfig(budget=5), cell="jordan", layers=2)


# How long


def test_a_run_without_an_extent_reads_some_characters():
    read = []
    for positions in TEXTS:
        config = _completed(positions, sequence_length=16)
        chunk = config.batch_size * min(16, positions)
        characters = config.steps * chunk
        wanted = min(max(EPOCHS * positions, FEWEST_CHARACTERS), MOST_CHARACTERS)
        wanted = min(wanted, _most_epochs(positions) * positions)
        assert wanted <= characters < wanted + chunk
        read.append(characters)
    assert _rises(read)


def test_a_small_text_is_not_read_for_ever():
    """The smaller it is, and the lighter the network, the more passes it takes to learn it."""
    assert _rises([_most_epochs(positions, 128) for positions in (8000, 4000, 1000, 30, 1)])
    for positions in (20_000, 10**6):
        by_size = [_most_epochs(positions, size) for size in (128, 64, 16, 8)]
        assert _rises(by_size)
    assert _completed(3000, 128).steps * 32 * 64 < 0.6 * FEWEST_CHARACTERS
    assert _completed(3000, 128, steps=10**6).steps == 10**6
    assert _completed(3000, 128, epochs=5000).epochs == 5000


def test_a_budget_ends_where_a_small_text_is_learned(speed):
    enough, long = _completed(3000, 128, budget=600.0), _completed(3000, 128, budget=6000.0)
    assert enough.most_epochs == pytest.approx(_most_epochs(3000, 128), abs=0.1)
    assert long == dataclasses.replace(enough, budget=6000.0)
    for given in ({"budget": 1.0}, {"epochs": 9999}, {"steps": 10**6}, {}):
        assert _completed(3000, 128, **given).most_epochs == 0
    assert _completed(10**7, 128, budget=60.0).most_epochs == 0


# Lanes


def test_lanes_are_a_power_of_two_between_bounds():
    lanes = [_completed(positions).batch_size for positions in TEXTS]
    assert _rises(lanes)
    for n, positions in zip(lanes, TEXTS, strict=True):
        enough = positions >= 64 * 64
        assert n in (32, 64) if enough else n == max(1, min(32, positions // min(64, positions)))


def test_a_longer_sequence_takes_no_more_lanes():
    for positions in TEXTS:
        lanes = [_completed(positions, sequence_length=n).batch_size for n in (512, 64, 16, 1)]
        assert lanes == sorted(lanes)


# Learning rate


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_rate_falls_with_the_size_and_rises_with_the_lanes(optimizer):
    usual, rates = LEARNING_RATES[optimizer], []
    for size, batch in itertools.product((1024, 512, 256, 128, 16), (1, 8, 64, 1000)):
        network = _network(size)
        config = TrainingConfig(optimizer=optimizer, batch_size=batch, dropout=0.0, steps=1)
        rates.append(complete(config, network, 10**6, 0).learning_rate)
    table = np.array(rates).reshape(5, 4)
    assert (np.diff(table, axis=0) >= 0).all() and (np.diff(table, axis=1) > 0).all()
    assert (table > 0).all() and (table < 100).all()
    np.testing.assert_allclose(table[2:, 2], usual)  # 64 lanes, no more than 256 units
    assert (table[:2] < table[2]).all()


# Dropout and weight decay


@pytest.mark.parametrize(
    ("field", "highest"), [("dropout", planning._HIGHEST_DROPOUT), ("weight_decay", 1.0)]
)
def test_a_net_is_held_back_by_what_it_reads_again_and_by_its_weights(speed, field, highest):
    steps = [1, 100, 10**3, 10**4, 10**5, 10**7]
    by_steps = [_completed(50_000, steps=n, batch_size=32) for n in steps]
    by_budget = [_completed(50_000, budget=s, batch_size=32) for s in (0.1, 1.0, 10.0, 100.0, 1e4)]
    by_size = [_completed(50_000, size, epochs=10) for size in (8, 32, 64, 128, 256)]
    by_text = [_completed(n, steps=1000, batch_size=32) for n in reversed(TEXTS)]
    for completed in (by_steps, by_budget, by_size, by_text):
        found = [getattr(config, field) for config in completed]
        assert _rises(found)
        assert all(0 <= value <= highest for value in found)
    assert getattr(by_steps[-1], field) == getattr(by_text[-1], field) == highest


def test_a_text_that_is_read_once_needs_no_dropout_and_little_decay():
    for size in (8, 128):
        completed = _completed(10**7, size, epochs=1)
        assert completed.dropout == 0
        assert completed.weight_decay < 0.1


TASKS = [
    (0.0, {}),
    (0.0, {"task": "pairs", "classes": 9, "symbols": 6, "decoder": "attention"}),
    (0.1, {"task": "label", "classes": 9}),
    (0.1, {"task": "tags", "classes": 9}),
]


@pytest.mark.parametrize("least, task", TASKS)
def test_a_network_that_tells_classes_is_told_little_and_needs_dropout(least, task):
    """Pairs tell a symbol for each character, as a text that is written does."""
    shape = dataclasses.replace(SHAPE, **task)
    once, often = (planning._dropout(own, shape) for own in (2.0, 500.0))
    assert once == least and least + 0.1 <= often <= 0.4


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_has_a_weight_decay_of_its_own(optimizer):
    decay = _completed(50_000, 64, steps=50, optimizer=optimizer).weight_decay
    usual = _completed(50_000, 64, steps=50).weight_decay
    share = WEIGHT_DECAYS[optimizer] / WEIGHT_DECAYS["adam"]
    assert decay == pytest.approx(usual * share, rel=0.05)
    assert 0 < decay * LEARNING_RATES[optimizer] < 0.01


# Validations


def test_validations_take_a_small_share_of_the_time(speed):
    """Where they are not so few that a run could not do without one of them."""
    texts, found, read = (500, 5000, 20_000, 10**5, 2**18), [], []
    runs = [{"steps": n} for n in (1, 1000, 10**4, 10**5)]
    runs += [{"budget": s} for s in (0.01, 5.0, 30.0, 300.0)]
    for held_back, extent in itertools.product(texts, runs):
        config = _completed(300_000, held_back=held_back, batch_size=64, dropout=0.0, **extent)
        validated = config.validation_positions
        seconds = extent.get("budget", 0) * 1e9 / _network().values.size
        characters = seconds or extent["steps"] * 64 * 64
        # As much as evaluation is faster than training: not at all where a text is short.
        cost = config.validations * validated / (2.5 if validated > 4000 else 1.0)
        fewest = config.validations == 4 and validated == min(held_back, 2**13)
        whole = config.validations == 4 and validated == held_back
        assert cost <= (0.08 if whole else 0.04) * characters or fewest
        found.append(config.validations)
        read.append(validated)
    table, read = np.array(found).reshape(5, 2, 4), np.array(read).reshape(5, 2, 4)
    assert (np.diff(table * read, axis=2) >= 0).all() and (np.diff(read, axis=2) >= 0).all()
    # A text of which a part is read may be read less of than a shorter one that is read whole.
    assert (np.diff(table[:3], axis=0) <= 0).all() and (np.diff(read[:3], axis=0) >= 0).all()
    assert (read <= np.array(texts)[:, None, None]).all()
    assert (table[:, :, 0] == 4).all() and (table[:2, :, -1] == 50).all()
    assert table.min() == 4 and table.max() == 50 and len(set(found)) > 6


@pytest.mark.parametrize("vocabulary_size", [60, 1000, 10_000])
def test_how_much_is_validated_follows_the_time_too(monkeypatch, vocabulary_size):
    """A large vocabulary leaves a run few characters, and a validation has its share of them."""
    network = Network(ModelConfig.for_vocabulary(vocabulary_size, hidden_size=8), threads=1)
    weights, read = recurrent_weight_count(network.config), []
    for held_back, speed, budget in itertools.product(
        (0, 16, 8191, 50_000, 2**18), (1e8, 1e10, 1e12), (1.0, 20.0, 60.0, 600.0)
    ):
        pace = speed / parameter_count(network.config)
        monkeypatch.setattr(planning, "characters_a_second", lambda *_, pace=pace: pace)
        positions = 10 * held_back + 1
        config = complete(TrainingConfig(budget=budget), network, positions, held_back)
        most = planning._most_epochs(positions, weights, "write") * positions
        characters = min(pace * budget, most)
        validated = config.validation_positions
        assert validated in {held_back, *(2**n for n in range(13, 18))} and validated <= held_back
        share = config.validations * (4096 + validated / 2.5) / characters
        whole = config.validations == 4 and validated == held_back
        assert share <= (0.08 if whole else 0.04) or validated <= 2**13
        if 2**13 < validated < held_back:
            assert share > 0.02  # no less is read than there is time for
        read.append(validated)
    table = np.array(read).reshape(5, 3, 4)
    assert (np.diff(table, axis=2) >= 0).all() and (np.diff(table, axis=1) >= 0).all()
    assert (table[:3] == np.array([0, 16, 8191])[:, None, None]).all()
    assert table[4, 0, 0] == 2**13 and table[4, 2, 3] == 2**18


def test_without_a_text_to_validate_on_a_run_has_few_intervals():
    assert _completed(50_000, held_back=0, steps=10**6).validations == 4


def test_a_run_has_as_many_validations_as_were_planned():
    def trainer(steps):
        config = TrainingConfig(
            batch_size=8, sequence_length=8, dropout=0.0, steps=steps, precision="float32"
        )
        return create_trainer([str(DINOSAURS)], training=config, layers=1, hidden_size=8)

    short, long = trainer(60), trainer(20_000)
    assert short.plan.validations == 4
    assert remarks_on(short)[1].endswith("dropout 0, float32, 4 validations")
    assert sum(record.validation_loss is not None for record in run(short)) == 4
    positions = long.validation.positions
    assert long.plan.validations == planning._validations(positions, 20_000 * 64)
    assert 4 < long.plan.validations < 50


# Size


@pytest.mark.parametrize("extent", RUNS, ids=str)
def test_the_size_rises_with_the_text_and_has_bounds(speed, extent):
    sizes = [_size(positions, **extent) for positions in TEXTS]
    assert all(32 <= size <= 1024 and size % 32 == 0 for size in sizes)
    assert _rises(sizes)


def test_the_size_rises_with_the_time(speed):
    for given in (
        [{"budget": s} for s in (0.01, 1.0, 30.0, 180.0, 3600.0, 1e6)],
        [{"steps": n} for n in (1, 100, 1000, 10**4, 10**6)],
        [{"epochs": n} for n in (0.1, 1.0, 10.0, 100.0)],
    ):
        sizes = [_size(300_000, **extent) for extent in given]
        assert _rises(sizes)
        assert all(32 <= size <= 1024 for size in sizes)


def test_a_small_text_bounds_the_weights(speed):
    """However much time there is."""
    for positions in (20_000, 85_000):
        size = _size(positions, budget=1e6)
        smaller = dataclasses.replace(SHAPE, hidden_size=size - 32)
        assert parameter_count(smaller) < 24 * positions
        larger = dataclasses.replace(SHAPE, hidden_size=size + 32)
        assert parameter_count(larger) > 24 * positions


@pytest.mark.parametrize("positions", [50_000, 300_000, 10**6])
def test_time_that_more_passes_would_waste_makes_a_larger_network(speed, positions):
    """Until the text bounds its weights, no network is done before the budget is."""
    for budget in (1.0, 10.0, 100.0, 1000.0, 1e4, 1e5):
        shape = dataclasses.replace(SHAPE, hidden_size=_size(positions, budget=budget))
        weights = recurrent_weight_count(shape)
        at_a_bound = weights > 20 * positions or shape.hidden_size == 1024
        passes = 1e9 * budget / weights / positions  # at the speed of the fixture
        useful = planning._most_epochs(positions, weights, "write")
        assert at_a_bound or passes < 1.1 * useful  # sizes are multiples of 32


def test_more_layers_or_gates_take_fewer_units():
    sizes = [_size(10**6, dataclasses.replace(SHAPE, layers=layers)) for layers in (1, 2, 4)]
    assert sizes == sorted(set(sizes), reverse=True)
    assert _size(10**6, dataclasses.replace(SHAPE, cell="elman")) > _size(10**6)


@pytest.mark.parametrize("given", [{"budget": 3e4}, {"epochs": 10.0}, {}], ids=str)
def test_time_beyond_what_a_network_learns_is_for_more_of_them(speed, given):
    """The smaller the text is; each of them has a share of the weights."""
    config, found = TrainingConfig(**given), []
    for positions in (10**8, 10**7, 10**6, 300_000):
        alone = suited_shape(SHAPE, config, positions)
        shape = suited_shape(SHAPE, config, positions, most_members=5)
        assert alone.members == 1 <= shape.members <= 5
        assert shape == alone or shape.hidden_size < alone.hidden_size
        found.append(shape.members)
    assert found[0] == 1 and _rises(found)
    chosen_by_characters = dataclasses.replace(SHAPE, cell="second-order")
    assert suited_shape(chosen_by_characters, config, 10**6, most_members=5).members == 1
    held = dataclasses.replace(SHAPE, members=3)
    assert suited_shape(held, config, 10**6).members == 3


# The measurement


@every_variant
def test_measuring_leaves_the_network_as_it_is(cell, more):
    """Its weights, and what it makes of a text from a state on."""
    network = random_network(config_of(cell, 2, **more), dtype=np.float32)
    values, state = network.values.copy(), network.initial_state(3)
    text = Lanes(np.arange(40, dtype=np.int32) % 11, 3, 8).next()
    before = network.losses(text, state)
    assert 0 < planning.characters_a_second(network, 3, 8) < math.inf
    assert_same_bits(network.values, values)
    assert_same_bits(network.initial_state(3), state)
    for one, other in zip(network.losses(text, state), before, strict=True):
        assert_same_bits(one, other)


def test_a_run_with_what_was_measured_is_the_run_in_which_it_was_given():
    """To the last bit: what is measured first leaves no trace."""

    def trainer(**given):
        # The rate stays as it is: otherwise it follows the clock.
        training = TrainingConfig(batch_size=8, sequence_length=8, final_rate=1.0, **given)
        return create_trainer([str(DINOSAURS)], training=training, layers=1, hidden_size=8)

    measured = trainer(budget=60)
    names = "optimizer", "dropout", "weight_decay"
    chosen = {name: getattr(measured.plan, name) for name in names}
    given = trainer(steps=10, **chosen)
    for made in (measured, given):
        for record in made.run():
            if record.step == 10:
                break
    assert_same_bits(measured.network.values, given.network.values)
    assert_same_bits(measured.optimizer.average, given.optimizer.average)
    assert_same_bits(measured.state, given.state)


# As a whole


def test_a_budget_chooses_a_network_that_is_trained(speed):
    trainer = create_trainer([str(FABLES)], training=TrainingConfig(budget=0.3), layers=1)
    shape, config = trainer.network.config, trainer.plan
    assert shape.hidden_size == _size(trainer.positions, shape, budget=0.3)
    assert (config.epochs, config.steps, config.budget) == (None, None, 0.3)
    assert None not in (config.batch_size, config.learning_rate, config.dropout)
    run(trainer)
    assert trainer.best.config == shape
    assert trainer.best.training["options"] == dataclasses.asdict(config)


def test_a_budget_is_measured_on_this_machine():
    sizes = [
        create_trainer([str(FABLES)], training=TrainingConfig(budget=seconds), layers=1)
        .network.config.hidden_size
        for seconds in (0.001, 1e6)
    ]  # fmt: skip
    assert 32 == sizes[0] < sizes[1] <= 1024


def _train(model, *options):
    done = invoke("train", DINOSAURS, "--lines", "--model", model, "--layers", 1, *options)
    assert done.exit_code == 0, done.stderr


def _chosen(model):
    """What the run of a model chose, its extent too, as its resume file has it."""
    values = load_resume(resume_path(model)).values
    names = ("batch_size", "learning_rate", "dropout", "weight_decay", "validations",
             "validation_positions", "most_epochs")  # fmt: skip
    training = {name: values["training"][name] for name in (*names, "epochs", "steps", "budget")}
    return {**training, "hidden_size": values["shape"]["hidden_size"]}


def test_a_resumed_run_keeps_what_was_chosen(tmp_path, monkeypatch):
    """Even where a new run would choose otherwise."""
    clock = types.SimpleNamespace(monotonic=itertools.count(0, 0.001).__next__)
    monkeypatch.setattr("charrnn.training.clock.time", clock)
    _train(tmp_path / "m", "--steps", 5)
    chosen = _chosen(tmp_path / "m")
    monkeypatch.setattr(planning, "_lanes_of", lambda *_: 16)
    monkeypatch.setattr(planning, "_rate_factor", lambda *_: 0.123)
    monkeypatch.setattr(planning, "_dropout", lambda *_: 0.123)
    monkeypatch.setattr(planning, "_validations", lambda *_: 3)
    monkeypatch.setattr(planning, "_FEWEST_POSITIONS", 64)
    monkeypatch.setattr(sizes, "_SMALLEST", 96)
    _train(tmp_path / "new", "--steps", 6)
    fresh = _chosen(tmp_path / "new")
    others = {name for name in chosen if fresh[name] != chosen[name]}
    assert others == {*chosen} - {"most_epochs", "epochs", "budget"}
    for extent in ({"steps": 6}, {"steps": None, "epochs": 2.0}, {"epochs": None, "budget": 1.0}):
        options = [f"--{name}={value}" for name, value in extent.items() if value]
        _train(tmp_path / "m", "--resume", *options)
        chosen |= extent
        assert _chosen(tmp_path / "m") == chosen


def test_a_run_that_ended_before_its_time_can_be_given_more(tmp_path, monkeypatch):
    """With --resume, and then it takes all of the time."""
    monkeypatch.setattr(planning, "_most_epochs", lambda *_: 2.0)
    model = tmp_path / "m"
    options = ("train", DINOSAURS, "--lines", "--model", model, "--layers", 1)
    done = invoke(*options, "--hidden-size", 8, "--budget", "5s")
    assert "is learned in 2 passes: the run ends there, before its 5s are over" in done.stderr
    values = load_resume(resume_path(model)).values
    trainer = create_trainer(
        [str(DINOSAURS)], TextConfig(lines=True), TrainingConfig(steps=1), hidden_size=8
    )
    chunk = trainer.lanes.batch * trainer.lanes.length
    assert values["step"] == math.ceil(2 * trainer.positions / chunk)
    assert values["seconds"] < 5 and load_model(model).training["validation_loss"]
    complete = invoke(*options[:5], "--resume")
    assert complete.exit_code == 2 and "the run is complete" in complete.stderr
    seconds = values["seconds"] + 0.5
    more = invoke(*options[:5], "--resume", "--budget", f"{seconds:.2f}")
    assert more.exit_code == 0 and "is learned" not in more.stderr
    values = load_resume(resume_path(model)).values
    assert values["seconds"] > seconds - 0.1 and values["training"]["most_epochs"] == 0


def test_the_model_file_and_the_log_say_what_was_chosen(tmp_path):
    log = tmp_path / "log.jsonl"
    _train(tmp_path / "m", "--steps", 3, "--warmup-steps", 0, "--log", log)
    options = load_model(tmp_path / "m").training["options"]
    first = json.loads(log.read_text().splitlines()[0])
    assert first["learning_rate"] <= options["learning_rate"]
    assert first["characters"] == first["step"] * options["batch_size"] * 64


@pytest.mark.parametrize("fast", [True, False])
def test_training_takes_bfloat16_where_that_is_faster(monkeypatch, fast):
    monkeypatch.setattr(planning, "FAST_BFLOAT16", fast)
    assert planning.training_precision(TrainingConfig()) == ("bfloat16" if fast else "float32")
    assert planning.training_precision(TrainingConfig(precision="float32")) == "float32"
