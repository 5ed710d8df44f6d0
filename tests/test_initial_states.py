"""What documents start from: zeros, learned states, or random ones in training."""

import naive
import numpy as np
import pytest
from samples import (
    assert_padding_is_nothing,
    assert_same_bits,
    config_of,
    every_cell,
    every_trained_cell,
    memory_sizes,
    part_of,
    random_batch,
    random_network,
    size_for,
    variants,
)
from trained import DINOSAURS, run, small_trainer

from charrnn.config import TextConfig
from charrnn.text.batch import Batch
from charrnn.text.corpus import frame
from charrnn.text.vocabulary import START
from charrnn.training.evaluation import evaluate


def _network(cell, kind, **values):
    return random_network(config_of(cell, layers=2, initial_state=kind, **values), dtype=np.float32)


def _memory(network, state):
    """Each state that is memory, as the name and an array [L, B, size], and what else there is."""
    rest, names = state.copy(), network.recurrent_layers[0].cell.states
    parts = {}
    for name, size in memory_sizes(network.config).items():
        parts[name] = state[:, names.index(name), :, :size]
        rest[:, names.index(name), :, :size] = 0
    return parts, rest


@every_cell
@pytest.mark.parametrize("kind", ["zeros", "random"])
def test_other_networks_start_from_zeros(cell, kind):
    assert np.all(_network(cell, kind).initial_state(3) == 0)


# Learned


@every_trained_cell
def test_the_initial_state_holds_what_was_learned(cell):
    network = _network(cell, "learned")
    for change in (0, 1):
        for layer in range(network.config.layers):
            for name in memory_sizes(network.config):
                network.parameters[f"rnn.initial_{name}_l{layer}"] += change
        network.pack()
        parts, rest = _memory(network, network.initial_state(3))
        for name, values in parts.items():
            for layer, lanes in enumerate(values):
                assert np.all(lanes == network.parameters[f"rnn.initial_{name}_l{layer}"])
                assert np.all(lanes != 0)
        assert np.all(rest == 0)


@variants("plain", "learned-start")
def test_a_document_starts_from_the_initial_state(cell, more):
    """Where a reset says so: with the bits of a chunk that is given that state."""
    network = random_network(config_of(cell, layers=2, **more), dtype=np.float32)
    batch = random_batch(network.config, 10, 3, resets=False)
    batch.resets[4] = 1
    losses, after = network.losses(batch, network.initial_state(3))
    rest = part_of(batch, slice(4, None))
    rest.resets[:] = 0
    alone, after_alone = network.losses(rest, network.initial_state(3))
    assert_same_bits(losses[4:], alone)
    assert_same_bits(after, after_alone)


def _tokens(network, documents, length):
    text = np.random.default_rng(4).integers(3, network.config.vocabulary_size, (documents, length))
    return np.append(np.insert(text, 0, START, axis=1), START)


@variants("learned-start", "random-start")
def test_evaluation_starts_from_what_was_learned_or_from_zeros(cell, more):
    network = random_network(config_of(cell, layers=2, **more), dtype=np.float32)
    tokens = _tokens(network, documents=5, length=30)
    batch = Batch(*frame(tokens[:-1, None], tokens[1:, None]))
    state = np.full(network.initial_state(1).shape, 9.0)  # forgotten where the text starts
    exact, _ = naive.forward(network.config, network.parameters, batch, state)
    assert evaluate(network, tokens).nats == pytest.approx(exact.sum(), rel=1e-5)


@every_trained_cell
def test_training_moves_learned_states(cell):
    name, activation = cell
    shape = {"cell": name, "activation": activation, "initial_state": "learned"}
    trainer = small_trainer(DINOSAURS, text=TextConfig(lines=True), steps=5, shape=shape,
                            hidden_size=size_for(cell, 16, 60))  # fmt: skip
    run(trainer)
    learned = {n: t for n, t in trainer.network.parameters.items() if "initial" in n}
    assert len(learned) == len(memory_sizes(trainer.network.config))
    assert all(np.count_nonzero(tensor) > tensor.size / 2 for tensor in learned.values())


# Random


def _documents(losses):
    """Losses of documents of six characters, a row for each, of what ``_same_documents`` makes."""
    return losses.reshape(-1, 6, losses.shape[1]).swapaxes(1, 2).reshape(-1, 6)


def _same_documents(config):
    """Four lanes that read the same six characters three times, each time as a document."""
    text = random_batch(config, 6, 1, resets=False)
    inputs, targets = (np.tile(a, (3, 4)) for a in (text.inputs, text.targets))
    resets = np.zeros(inputs.shape, np.uint8)
    resets[::6] = 1
    return Batch(inputs, targets, resets)


@every_cell
def test_every_document_starts_from_a_random_state_of_its_own(cell):
    network = _network(cell, "random")
    batch, state = _same_documents(network.config), network.initial_state(4)
    trained = _documents(network.loss_and_gradients(batch, state, (0.0, 5))[0])
    assert len({row.tobytes() for row in trained}) == 12
    assert np.unique(trained[:, 0]).size > 9
    evaluated = _documents(network.losses(batch, state)[0])
    assert_same_bits(evaluated, np.tile(evaluated[0], (12, 1)))


@every_cell
def test_random_states_depend_on_the_key_and_on_nothing_else(cell):
    def trained(key):
        network = _network(cell, "random")
        batch = _same_documents(network.config)
        losses, after = network.loss_and_gradients(batch, network.initial_state(4), (0.0, key))
        return losses, after, network.gradients

    first = trained(5)
    for one, same in zip(first, trained(5), strict=True):
        assert_same_bits(one, same)
    for one, other in zip(first, trained(6), strict=True):
        assert np.any(one != other)


@every_cell
def test_random_states_are_small_and_independent(cell):
    """Of mean 0 and deviation 0.1 in all that is memory, and nothing elsewhere."""
    network = _network(cell, "random", hidden_size=20, vocabulary_size=20)
    batch = random_batch(network.config, 1, 500, resets=False)
    batch.resets[:] = 1
    network.loss_and_gradients(batch, network.initial_state(500), (0.0, 3))
    (chunk,) = network._runs.values()
    start = np.stack([buffers.first for buffers in chunk.recurrent])
    assert_padding_is_nothing(network, start)
    parts, rest = _memory(network, start)
    assert np.all(rest == 0)
    drawn = np.concatenate([values[..., :20].reshape(-1, 10_000) for values in parts.values()])
    assert np.abs(drawn.mean(axis=1)).max() < 5 * 0.1 / 100
    assert np.abs(drawn.std(axis=1) / 0.1 - 1).max() < 5 / np.sqrt(2 * 10_000)
    correlations = np.atleast_2d(np.corrcoef(drawn)) - np.eye(len(drawn))
    assert np.abs(correlations).max() < 5 / 100
    neighbours = drawn[:, 1:] * drawn[:, :-1] / 0.1**2
    assert np.abs(neighbours.mean(axis=1)).max() < 5 / 100


@every_cell
def test_a_document_that_goes_on_keeps_its_state(cell):
    """Nothing is drawn for a lane in whose chunk no document starts."""
    network = _network(cell, "random")
    batch = random_batch(network.config, 8, 3, resets=False)
    batch.resets[2, 1] = 1
    state = network.initial_state(3)
    losses, _ = network.losses(batch, state)
    trained, _ = network.loss_and_gradients(batch, state, (0.0, 5))
    assert_same_bits(trained[:, [0, 2]], losses[:, [0, 2]])
    assert_same_bits(trained[:2], losses[:2])
    assert np.all(trained[2:, 1] != losses[2:, 1])
