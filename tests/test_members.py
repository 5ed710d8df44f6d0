"""Networks side by side that write together: each learns as it would alone, all tell a mean."""

import dataclasses

import gradcheck
import numpy as np
import pytest
from samples import (
    CELLS_OF_EACH_KIND,
    TOLD,
    assert_same_bits,
    config_of,
    part_of,
    random_batch,
    random_network,
    random_state,
)
from trained import FABLES, with_biases

from charrnn.cells import CELLS
from charrnn.compute.readout import IMPOSSIBLE, NEVER, mix_rows
from charrnn.config import ModelConfig, TrainingConfig
from charrnn.errors import UsageError
from charrnn.network.network import Network
from charrnn.network.parameters import parameter_shapes
from charrnn.studies.activity import Silencer, units_of
from charrnn.text.running import RunningText
from charrnn.text.vocabulary import START
from charrnn.training.adaptation import PIECE, evaluate_adapting
from charrnn.training.evaluation import evaluate
from charrnn.training.setup import create_trainer
from charrnn.training.transfer import carry_over

LSTM = "lstm", "tanh"


#: One of each kind, but those that feed back an output, which is that of one network.
one_cell_of_each_kind = pytest.mark.parametrize(
    "cell", [cell for cell in CELLS_OF_EACH_KIND if CELLS[cell].output_block is None], ids="-".join
)


def _config(cell, **more):
    return config_of(cell, layers=2, members=3, **more)


def _members_of(network):
    """Each member as a network of its own."""
    config = dataclasses.replace(network.config, members=1)
    for number in range(network.config.members):
        alone = Network(config, dtype=network.dtype)
        names = f"members.{number}."
        alone.load({name: network.parameters[names + name] for name in alone.parameters})
        alone.prepare_training()
        yield names, alone


def _states_of(network, state):
    """What each member has of a state."""
    return np.split(state, network.config.members)


def _log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@one_cell_of_each_kind
@pytest.mark.parametrize("more", [{}, {"embedding_size": 5}], ids=["plain", "embedded"])
def test_each_learns_as_it_would_alone(cell, more):
    network = random_network(_config(cell, **more), threads=2)
    batch, state = random_batch(network.config, 20, 3), random_state(network, 3)
    losses, after = network.loss_and_gradients(batch, state)
    gradients = network.views(network.gradients)

    alone = []
    parts = zip(_members_of(network), _states_of(network, state), strict=True)
    for number, ((names, own), before) in enumerate(parts):
        found, end = own.loss_and_gradients(batch, before)
        alone.append(found)
        np.testing.assert_allclose(_states_of(network, after)[number], end, atol=1e-12)
        for name, gradient in own.views(own.gradients).items():
            np.testing.assert_allclose(gradients[names + name], gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(losses, np.mean(alone, axis=0), rtol=1e-12)
    assert np.ptp(alone, axis=0).max() > 0.01  # they are not all the same


@one_cell_of_each_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_they_tell_the_mean_of_their_probabilities(cell, dtype):
    network = random_network(_config(cell), dtype=dtype, threads=2)
    batch = random_batch(network.config, 60, 3)  # more rows than are mixed at once
    batch.resets[0] = 1
    batch = dataclasses.replace(batch, counted=np.arange(180).reshape(60, 3) % 4 != 0)
    logits = [own.logits(batch) for _, own in _members_of(network)]
    mean = np.log(np.mean(np.exp([_log_softmax(own) for own in logits]), axis=0))
    tolerance = {"rtol": 0, "atol": 100 * np.finfo(dtype).eps}
    np.testing.assert_allclose(network.logits(batch), mean, **tolerance)
    losses, _ = network.losses(batch, network.initial_state(3))
    expected = -np.take_along_axis(mean, batch.targets[..., None], -1)[..., 0]
    np.testing.assert_allclose(losses, expected * batch.counted, **tolerance)


def test_what_all_hold_for_next_to_impossible_has_a_probability():
    """Less than the smallest number is as far from nothing as it should be."""
    logits = np.zeros((3, 1, 16), np.float32)
    logits[:, :, 3] = [[-200], [-210], [-1000]]
    logits[:, :, 9:] = NEVER
    mixed = np.empty((1, 16), np.float32)
    mix_rows(logits, mixed)
    assert mixed[0, 3] == pytest.approx(-200 - np.log(8) - np.log(3), abs=1e-3)
    np.testing.assert_allclose(mixed[0, [0, 1, 8]], -np.log(8), rtol=1e-6)
    assert np.all(mixed[0, 9:] < IMPOSSIBLE)


def test_gradients_of_the_last_step_are_those_of_what_they_tell_together():
    network = random_network(config_of(LSTM, members=2), threads=2)
    batch, state = random_batch(network.config, 9, 3), random_state(network, 3)
    batch.resets[1:] = 0
    gradients = network.state_gradients(batch, state)  # [T, L, B, H]
    assert gradients.shape == (9, 2, 3, 7)
    # What the last step's losses make of the hidden states that the step before has left.
    cut, last = part_of(batch, slice(-1)), part_of(batch, slice(-1, None))
    _, before = network.losses(cut, state)

    def losses(changed):
        return network.losses(last, changed)[0]

    gradient = np.zeros_like(before)
    gradient[:, 0, :, :7] = gradients[-2]
    for layer in range(2):
        error = gradcheck.relative_error(
            losses, before, gradient, rng=np.random.default_rng(layer),
            part=(layer, 0, slice(None), slice(7)),
        )  # fmt: skip
        assert error < 1e-7, layer


def test_threads_and_blocks_change_no_bit(monkeypatch):
    from charrnn.network.layers import next_character

    monkeypatch.setattr(next_character, "_LOGIT_BYTES", 1)  # blocks of 64 rows
    results = []
    for threads in (1, 2):
        config = config_of(LSTM, 2, 20, members=2, vocabulary_size=130)
        network = random_network(config, dtype=np.float32, threads=threads)
        batch, state = random_batch(config, 20, 13), random_state(network, 13)
        told, _ = network.losses(batch, state)
        network.loss_and_gradients(batch, state, (0.3, 7))
        results.append((told, network.gradients.copy()))
    assert_same_bits(results[0][0], results[1][0])
    assert_same_bits(results[0][1], results[1][1])


@pytest.mark.parametrize("size", [None, 20])
def test_none_of_them_is_no_network(size):
    with pytest.raises(UsageError, match="members must be from 1 to 64, not 0"):
        create_trainer([str(FABLES)], training=TrainingConfig(steps=1), hidden_size=size, members=0)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"cell": "jordan", "layers": 1}, ["several `members`", "feed their output back"]),
        ({"task": "tags", "classes": 3}, ["`members`", "networks that write"]),
    ],
)
def test_what_cannot_be_is_refused(shape, words):
    with pytest.raises(UsageError) as error:
        ModelConfig.for_vocabulary(11, hidden_size=20, **{"members": 2, **shape})
    assert all(word in str(error.value) for word in words), error.value


def test_a_unit_of_any_member_can_be_silenced():
    """A network with all columns of a unit set to 0 by hand has the same loss."""
    network = random_network(config_of(LSTM, layers=2, hidden_size=5, members=2))
    tokens = np.random.default_rng(3).integers(3, 11, 300).astype(np.uint8)
    tokens[0] = tokens[-1] = 0
    silencer, units = Silencer(network, RunningText(tokens)), units_of(network)
    assert [(own.layer, own.number) for own in units] == [
        (layer, number) for layer in (1, 2, 3, 4) for number in range(5)
    ]
    for unit, columns in (
        (7, ("members.0.rnn.weight_hh_l1", "members.0.readout.weight")),
        (11, ("members.1.rnn.weight_hh_l0", "members.1.rnn.weight_ih_l1")),
    ):
        by_hand = network.with_values(network.values)
        for name in columns:
            by_hand.parameters[name][:, units[unit].number] = 0
        by_hand.pack()
        expected = evaluate(by_hand, tokens).nats_per_character - silencer.loss
        assert silencer.change(unit) == pytest.approx(expected, abs=1e-12)
        assert expected != 0


@pytest.mark.parametrize("told", [{}, TOLD["told"]], ids=["plain", "told"])
def test_new_characters_are_new_to_all_of_them(told):
    config = config_of(LSTM, 2, members=2, vocabulary_size=20, **told)
    larger = dataclasses.replace(config, vocabulary_size=24)
    rng = np.random.default_rng(1)
    tensors = {n: rng.standard_normal(s, np.float32) for n, s in parameter_shapes(config).items()}
    saved = dataclasses.replace(with_biases("a"), config=config, tensors=tensors)
    network, labels = Network(larger, threads=1), config.classes
    network.initialize(rng=np.random.default_rng(2))
    carry_over(saved, network)
    for number in range(2):
        own = {
            name: (tensors[names], network.parameters[names])
            for name in ("rnn.weight_ih_l0", "readout.weight", "readout.bias")
            for names in [f"members.{number}.{name}"]
        }
        old, new = own["rnn.weight_ih_l0"]
        np.testing.assert_array_equal(new[:, :20], old[:, :20])
        np.testing.assert_array_equal(new[:, 24:], old[:, 20 : 20 + labels])
        old, new = own["readout.weight"]
        np.testing.assert_array_equal(new[:20], old)
        old, new = own["readout.bias"]
        np.testing.assert_allclose(new[20:], old.mean() - np.log(4), rtol=1e-6)


def test_a_text_is_predicted_together_while_each_learns_from_it():
    """Of the first piece, from which nothing has been learned yet."""
    network = random_network(config_of(LSTM, members=2), dtype=np.float32)
    tokens = np.random.default_rng(3).integers(3, 11, 3 * PIECE).astype(np.uint8)
    tokens[0] = START
    plain, adapted = np.empty((2, tokens.size - 1), np.float32)
    evaluate(network, tokens, plain)
    evaluate_adapting(network, tokens, adapted)
    np.testing.assert_allclose(adapted[:PIECE], plain[:PIECE], rtol=1e-5)
    assert np.abs(adapted[PIECE:] - plain[PIECE:]).max() > 1e-4
