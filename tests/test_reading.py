"""Networks that read both ways, and writers that are told labels: twins, gradients, threads."""

import dataclasses
import itertools

import gradcheck
import naive
import numpy as np
import pytest
from samples import (
    READERS,
    TOLD,
    assert_same_bits,
    config_of,
    every_stacked_cell,
    one_stacked_cell_of_each_kind,
    random_batch,
    random_documents,
    random_labels,
    random_network,
    random_state,
)

from charrnn.cells import CELLS
from charrnn.errors import UsageError
from charrnn.network.network import Network

every_reader = pytest.mark.parametrize("task", READERS)
every_told = pytest.mark.parametrize("told", TOLD)
LSTM, GRU = ("lstm", "tanh"), ("gru", "tanh")

#: What a network that reads can have beside its task.
MORE = {
    "plain": {},
    "embedding": {"embedding_size": 5},
    "dense": {"dense_before": 1, "readout_layers": 1, "readout_size": 6},
    "learned-start": {"initial_state": "learned"},
}


def _reader(cell, task, *, layers=2, hidden_size=7, dtype=np.float64, threads=1, **more):
    config = config_of(cell, layers, hidden_size, **READERS[task], **more)
    return random_network(config, dtype=dtype, threads=threads)


def _losses(network, batch):
    return network.losses(batch, network.initial_state(batch.inputs.shape[1]))[0]


def _train(network, batch, dropout=(0.0, None)):
    """Losses and gradients."""
    state = network.initial_state(batch.inputs.shape[1])
    losses, _ = network.loss_and_gradients(batch, state, dropout)
    return losses, network.gradients.copy()


def _gradient_errors(network, batch, state, step):
    """Of each tensor, against central differences."""

    def losses(values):
        network.values[:] = values
        network.pack()
        return network.losses(batch, state)[0]

    network.loss_and_gradients(batch, state)
    gradient, values = network.gradients.copy(), network.values.copy()
    shapes = {name: tensor.shape for name, tensor in network.parameters.items()}
    rng = np.random.default_rng(5)
    return gradcheck.errors_per_tensor(losses, values, gradient, shapes, rng=rng, step=step)


# The twin and central differences


@every_stacked_cell
@every_reader
@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_what_a_network_reads_is_what_its_twin_reads(cell, task, more):
    """The twin reads each document alone, so that none sees another, or what is in a hole."""
    network = _reader(cell, task, threads=2, **more)
    batch = random_documents(network.config, weights=True)
    logits = network.logits(batch)
    exact = naive.read(network.config, network.parameters, batch)
    np.testing.assert_allclose(logits, exact, rtol=1e-11, atol=1e-12)
    losses = naive.reading_losses(network.config, exact, batch)
    np.testing.assert_allclose(_losses(network, batch), losses, rtol=1e-10, atol=1e-12)


@every_reader
def test_in_float32_it_differs_by_rounding_only(task):
    network = _reader(LSTM, task, hidden_size=40, dtype=np.float32, threads=2)
    batch = random_documents(network.config, 64, 9)
    exact = naive.read(network.config, network.parameters, batch)
    np.testing.assert_allclose(network.logits(batch), exact, rtol=1e-5, atol=1e-5)


@every_stacked_cell
@every_reader
def test_gradients_of_readers_are_those_of_central_differences(cell, task):
    """Documents with weights, positions with holes; the second layer reads both directions."""
    network = _reader(cell, task, embedding_size=5)
    batch = random_documents(network.config, weights=True)
    state = network.initial_state(3)
    errors = _gradient_errors(network, batch, state, 1e-6 if "relu" in cell else 1e-4)
    assert max(errors.values()) < 1e-7, errors


@pytest.mark.parametrize("more", [MORE["dense"], MORE["learned-start"]], ids=["dense", "learned"])
@every_reader
def test_so_are_those_of_what_else_a_reader_can_have(task, more):
    network = _reader(LSTM, task, **more)
    batch = random_documents(network.config)
    errors = _gradient_errors(network, batch, network.initial_state(3), 1e-4)
    assert max(errors.values()) < 1e-7, errors


@every_stacked_cell
@every_told
def test_a_told_writer_equals_the_twin_and_has_its_gradients(cell, told):
    config = config_of(cell, 2, **TOLD[told])
    network = random_network(config, threads=2)
    batch = random_labels(random_batch(config, 12, 3), config)
    state = random_state(network, 3)
    losses, after = network.losses(batch, state)
    exact, exact_after = naive.forward(config, network.parameters, batch, state)
    np.testing.assert_allclose(losses, exact, rtol=1e-11)
    np.testing.assert_allclose(after, exact_after, rtol=0, atol=1e-12)
    assert_same_bits(network.loss_and_gradients(batch, state)[0], losses)
    errors = _gradient_errors(network, batch, state, 1e-6 if "relu" in cell else 1e-4)
    assert max(errors.values()) < 1e-7, errors


@every_told
def test_a_writer_that_is_told_nothing_is_one_without_labels(told):
    """To the bit where characters choose rows, and otherwise but for the order of sums."""
    config = config_of(GRU, 2, **TOLD[told])
    network = random_network(config, dtype=np.float32)
    plain = Network(dataclasses.replace(config, classes=0))
    tensors = dict(network.parameters)
    tensors["rnn.weight_ih_l0"] = tensors["rnn.weight_ih_l0"][:, : -config.classes]
    plain.load(tensors)
    batch, state = random_batch(config, 12, 3), random_state(network, 3)
    expected, _ = plain.losses(batch, state)
    unlabelled = dataclasses.replace(batch, labels=np.full((2, 12, 3), -1, np.int32))
    for own in (batch, unlabelled):
        losses, _ = network.losses(own, state)
        np.testing.assert_allclose(losses, expected, rtol=1e-6)
        if not config.embedding_size:
            assert_same_bits(losses, expected)


def test_a_label_that_never_comes_has_no_gradient():
    config = config_of(LSTM, **TOLD["told"])
    network = random_network(config)
    batch = random_labels(random_batch(config, 12, 3), config)
    batch.labels[batch.labels == 2] = -1
    network.loss_and_gradients(batch, random_state(network, 3))
    columns = network.views(network.gradients)["rnn.weight_ih_l0"][:, -config.classes :]
    assert not columns[:, 2].any() and np.abs(columns[:, [0, 1, 3]]).max(axis=0).min() > 0


# Threads


@pytest.mark.parametrize("name", [*READERS, *TOLD])
def test_threads_make_no_difference_to_the_bit(name):
    results = []
    for threads in (1, 2, 3, 5):
        config = config_of(LSTM, 2, 20, **{**READERS, **TOLD}[name])
        network = random_network(config, dtype=np.float32, threads=threads)
        if name in READERS:
            batch = random_documents(config, 24, 13, weights=True)
        else:
            batch = random_labels(random_batch(config, 24, 13), config)
        results.append(_train(network, batch, (0.3, 7)))
    for losses, gradients in results[1:]:
        assert_same_bits(losses, results[0][0])
        assert_same_bits(gradients, results[0][1])


@every_reader
def test_without_dropout_both_passes_give_the_same_losses(task):
    network = _reader(GRU, task, dtype=np.float32)
    batch = random_documents(network.config, weights=True)
    assert_same_bits(_train(network, batch)[0], _losses(network, batch))


# What does not count


def _with_other_holes(batch, config):
    """Other characters where no document is, and other classes where none counts."""
    rng = np.random.default_rng(9)
    inputs, targets = batch.inputs.copy(), batch.targets.copy()
    read = np.zeros(inputs.shape, bool)
    if batch.spans is None:  # what is not counted is still read where it is inside of a document
        read[:] = True
        targets[~batch.counted] = rng.integers(0, config.classes, np.sum(~batch.counted))
    else:
        read = batch.counted
    inputs[~read] = rng.integers(0, config.vocabulary_size, np.sum(~read))
    return dataclasses.replace(batch, inputs=inputs, targets=targets)


@every_reader
def test_what_stands_in_a_hole_changes_no_bit(task):
    network = _reader(LSTM, task, dtype=np.float32, threads=2)
    batch = random_documents(network.config, 24, 5, weights=True)
    other = _with_other_holes(batch, network.config)
    assert not np.array_equal(
        other.inputs if batch.spans is not None else other.targets,
        batch.inputs if batch.spans is not None else batch.targets,
    )
    for one, two in zip(_train(network, batch), _train(network, other), strict=True):
        assert_same_bits(one, two)


def test_a_gap_of_tags_changes_no_bit_of_its_neighbours():
    """Characters of a lane that no document has, between two that count."""
    network = _reader(GRU, "tags", dtype=np.float32)
    rng = np.random.default_rng(3)
    inputs, targets = (rng.integers(0, 5, (12, 2), np.int32) for _ in "it")
    resets = np.zeros((12, 2), np.uint8)
    resets[[0, 5, 8]] = 1
    counted = np.ones((12, 2), bool)
    counted[5:8] = False
    batch = dataclasses.replace(random_documents(network.config, 12, 2), inputs=inputs,
                                targets=targets, resets=resets, counted=counted)  # fmt: skip
    before = _train(network, batch)
    inputs[5:8] = (inputs[5:8] + 1) % 5
    for one, two in zip(before, _train(network, batch), strict=True):
        assert_same_bits(one, two)


def test_a_document_that_weighs_nothing_is_not_learned():
    network = _reader(GRU, "label")
    batch = random_documents(network.config, 24, 5)
    weights = np.ones(len(batch.spans))
    weights[::2] = 0
    some = dataclasses.replace(batch, weights=weights)
    fewer = dataclasses.replace(batch, spans=batch.spans[1::2].copy(),
                                targets=batch.targets[1::2].copy())  # fmt: skip
    losses, gradients = _train(network, some)
    fewer_losses, fewer_gradients = _train(network, fewer)
    np.testing.assert_allclose(losses[1::2], fewer_losses, rtol=1e-12)
    assert not losses[::2].any() and some.count == len(batch.spans) // 2
    np.testing.assert_allclose(gradients, fewer_gradients, rtol=1e-9, atol=1e-12)


def test_weights_are_factors_of_losses_and_gradients():
    network = _reader(GRU, "labels")
    batch = random_documents(network.config)
    twice = dataclasses.replace(batch, weights=np.full(len(batch.spans), 2.0))
    for one, two in zip(_train(network, batch), _train(network, twice), strict=True):
        np.testing.assert_allclose(2 * one, two, rtol=1e-12)


# Documents do not see each other


@one_stacked_cell_of_each_kind
@every_reader
def test_a_document_is_read_alone_wherever_it_stands(cell, task):
    """The same logits to the bit, alone in a chunk of its length, or anywhere among others."""
    network = _reader(cell, task, hidden_size=20, dtype=np.float32, threads=2)
    batch = random_documents(network.config, 24, 9)
    together = network.logits(batch)
    alone = random_documents(network.config, 24, 1)
    spans = batch.spans if batch.spans is not None else _segments(batch.resets)
    for number, (lane, first, last) in enumerate(spans):
        length = last - first
        own = dataclasses.replace(
            alone,
            inputs=batch.inputs[first:last, [lane]].copy(),
            resets=(np.arange(length) == 0).astype(np.uint8)[:, None],
            spans=None if batch.spans is None else np.array([[0, 0, length]], np.int32),
        )
        found = network.logits(own)
        if batch.spans is None:
            assert_same_bits(found[:, 0], together[first:last, lane])
        else:
            assert_same_bits(found[0], together[number])


def _segments(resets):
    """Lane, first step and one past the last of what lies between resets; a few of them."""
    for lane in range(0, resets.shape[1], 4):
        bounds = [*np.flatnonzero(resets[:, lane]), len(resets)]
        yield from ((lane, *span) for span in itertools.pairwise(bounds))


# Names, shapes, and what cannot be


@every_stacked_cell
def test_tensors_have_pytorchs_names_and_shapes(cell):
    config = config_of(cell, 2, 7, **READERS["tags"])
    shapes = {name: p.shape for name, p in Network(config, threads=1).parameters.items()}
    rows = CELLS[cell].gates * 7
    before = (config.vocabulary_size,) if CELLS[cell].by_character else ()
    for layer, width in enumerate((config.vocabulary_size, 14)):
        for way in ("", "_reverse"):
            assert shapes.pop(f"rnn.weight_ih_l{layer}{way}") == (rows, width)
            assert shapes.pop(f"rnn.weight_hh_l{layer}{way}") == (*before, rows, 7)
            for own in ("ih", "hh"):
                assert shapes.pop(f"rnn.bias_{own}_l{layer}{way}") == (rows,)
            for field in CELLS[cell].learned():
                assert shapes.pop(f"rnn.{field}_l{layer}{way}") == (7,)
    assert shapes == {"readout.weight": (5, 14), "readout.bias": (5,)}


def test_a_label_is_told_by_a_query_over_all_units():
    config = config_of(GRU, 1, 7, **READERS["label"])
    names = {name: p.shape for name, p in Network(config, threads=1).parameters.items()}
    assert names["readout.query"] == (14,)
    assert names["readout.weight"] == (4, 14) and names["readout.bias"] == (4,)
    dense = config_of(GRU, 1, 7, readout_layers=1, readout_size=6, **READERS["label"])
    assert Network(dense, threads=1).parameters["readout.query"].shape == (6,)


@every_told
def test_labels_widen_the_first_layers_matrix_alone(told):
    config = config_of(LSTM, 2, **TOLD[told])
    with_labels, without = (
        {name: p.shape for name, p in Network(c, threads=1).parameters.items()}
        for c in (config, dataclasses.replace(config, classes=0))
    )
    rows, columns = without["rnn.weight_ih_l0"]
    assert with_labels == {**without, "rnn.weight_ih_l0": (rows, columns + config.classes)}


@pytest.mark.parametrize(
    ("cell", "more", "words"),
    [
        (("jordan", "tanh"), READERS["tags"], "jordan only writes.*another `cell`"),
        (("jordan", "tanh"), TOLD["told"], "jordan only writes.*another `cell`"),
        (GRU, {"task": "tags", "classes": 1}, "classes must be 2 or more|classes must be from 2"),
        (GRU, {"task": "label", "classes": 0, "multiple": True}, "classes must be .*1"),
        (GRU, {"task": "tags", "classes": 4, "multiple": True}, "`multiple` is for the task label"),
        (GRU, {"classes": 4, "multiple": True}, "`multiple` is for the task label"),
        (GRU, {"task": "rhyme", "classes": 4}, "task must be one of write, label, tags, restore"),
    ],
)
def test_what_cannot_be_is_refused(cell, more, words):
    with pytest.raises(UsageError, match=words):
        config_of(cell, **more)


@every_reader
def test_a_reader_writes_no_text(task):
    with pytest.raises(UsageError, match="reads backwards writes no text"):
        _reader(GRU, task).program(1)
