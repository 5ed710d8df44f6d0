"""A layer kind and a head that the program does not have, written as anyone would add them."""

import math

import gradcheck
import numpy as np
import pytest
from samples import assert_same_bits, config_of, every_cell, is_possible, plan_of, session_of

from charrnn.cells import CELLS
from charrnn.config import OPTIMIZERS, ModelConfig
from charrnn.errors import UsageError
from charrnn.network.graph import Graph, build
from charrnn.network.heads import NextCharacter
from charrnn.network.layers.next_character import NextCharacterHead
from charrnn.network.layers.place import LayerBuffers
from charrnn.network.network import Network
from charrnn.network.nodes import Layer, Recurrent
from charrnn.network.parameters import parameter_count
from charrnn.text.batch import Batch
from charrnn.text.vocabulary import START
from charrnn.training.optimizer import create_optimizer

VOCABULARY, LANES, STEPS = 11, 3, 6
CONFIG = ModelConfig(VOCABULARY, layers=2, hidden_size=7)


# A layer kind: the sum of what it reads, scaled


class Sum(Layer):
    """Adds up the nodes that it reads, times a fixed scale."""

    scale = 0.75

    def create(self, place):
        return SumLayer(self, place)


class SumLayer:
    """Reads several layers of one width; it has no parameters."""

    def __init__(self, node, place):
        self.node, self.width, self.dtype = node, place.width(node), place.dtype

    def matrices(self):
        return []

    def buffers(self, steps, batch):
        return LayerBuffers(steps, batch, self.width, self.dtype)

    def prepare_training(self):
        pass

    def pack_vectors(self, values):
        pass

    def pack(self, values, part, parts):
        pass

    def forward(self, sources, run, call, first, last):
        lanes = np.s_[:, first:last]
        run.output[lanes] = self.node.scale * sum(source[lanes] for source in sources)

    def backward(self, run, dsources, call, first, last):
        for dsource in dsources:
            dsource[:, first:last] = self.node.scale * run.doutput[:, first:last]

    def differentiate(self, sources, run, scratch, part, parts):
        pass

    def unpack(self, gradients, run, part, parts):
        pass


# A head: the character after the next


class CharacterAfterNext(NextCharacter):
    """Logits of the character that follows the next one."""

    def create(self, place):
        return CharacterAfterNextHead(self, place)


class CharacterAfterNextHead(NextCharacterHead):
    """The last step of a chunk does not know what it should say, and does not count."""

    def targets(self, batch):
        counted = np.ones(batch.targets.shape, bool)
        counted[-1] = False
        return np.roll(batch.targets, -1, axis=0), counted


def _reads(cell, below, characters):
    """What a recurrent layer reads that lies above ``below``."""
    return (below, characters) if CELLS[cell].by_character else (below,)


def _graph(cells=("lstm", "lstm"), sizes=(7, 7), head=NextCharacter, joined=True):
    """Two recurrent layers, both of which the head sees: their sum, or else the upper alone."""
    characters = build(CONFIG).layers[0].reads[0]
    reads = _reads((cells[0], "tanh"), characters, characters)
    below = Recurrent("rnn.{}_l0", reads, sizes[0], CELLS[cells[0], "tanh"])
    above = Recurrent("rnn.{}_l1", (below,), sizes[1], CELLS[cells[1], "tanh"])
    layers = [below, above]
    if joined:
        layers.append(Sum("", (below, above), sizes[1]))
    return Graph(tuple(layers), (head("readout.{}", (layers[-1],), VOCABULARY),))


def _network(graph, threads=1, dtype=np.float64):
    network = Network(CONFIG, threads=threads, dtype=dtype, graph=graph)
    network.initialize(rng=np.random.default_rng(1))
    network.prepare_training()
    return network


def _batch(steps=STEPS):
    inputs, targets = np.random.default_rng(2).integers(0, VOCABULARY, (2, steps, LANES), np.int32)
    resets = np.zeros((steps, LANES), np.uint8)
    resets[0], resets[3, 1] = 1, 1
    return Batch(inputs, targets, resets)


def _gradient_error(network, batch):
    """Of all parameters together, against central differences."""
    state = network.initial_state(LANES)

    def losses(values):
        network.values[:] = values
        network.pack()
        return network.losses(batch, state)[0]

    network.loss_and_gradients(batch, state)
    gradient, values = network.gradients.copy(), network.values.copy()
    return gradcheck.relative_error(losses, values, gradient, rng=np.random.default_rng(3))


def test_a_layer_may_read_several_whose_gradients_add_up():
    """The lower layer is read by two: the upper one and the sum."""
    assert _gradient_error(_network(_graph()), _batch()) < 1e-6


def test_the_sum_is_what_it_says():
    """With the upper layer's matrices zero, hidden states there are zero: the lower one is left."""
    network, alone = _network(_graph()), _network(_graph(joined=False))
    for name in ("rnn.weight_ih_l1", "rnn.weight_hh_l1"):
        network.parameters[name][:] = 0
    network.parameters["rnn.bias_ih_l1"][:] = 0
    network.pack()
    batch, state = _batch(), network.initial_state(LANES)
    logits = network.parameters["readout.weight"] * Sum.scale
    first = Network(ModelConfig(VOCABULARY, layers=1, hidden_size=7), dtype=np.float64)
    names = [name for name in first.parameters if name.startswith("rnn.")]
    first.load({**{name: network.parameters[name] for name in names}, "readout.weight": logits,
                "readout.bias": network.parameters["readout.bias"]})  # fmt: skip
    expected, _ = first.losses(batch, first.initial_state(LANES))
    np.testing.assert_allclose(network.losses(batch, state)[0], expected, rtol=1e-12)
    assert np.abs(alone.losses(batch, state)[0] - expected).max() > 0.01


def test_threads_make_no_difference_to_added_gradients():
    gradients = []
    for threads in (1, 2, 3):
        network = _network(_graph(), threads)
        network.loss_and_gradients(_batch(), network.initial_state(LANES))
        gradients.append(network.gradients.copy())
    assert_same_bits(gradients[0], gradients[1])
    assert_same_bits(gradients[0], gradients[2])


@pytest.mark.cells
@pytest.mark.parametrize(
    "cell", [name for (name, activation), cell in CELLS.items()
             if cell.most_layers > 1 and activation == "tanh"],
)  # fmt: skip
@pytest.mark.parametrize("sizes", [(7, 12), (20, 5)], ids=str)
def test_cells_and_sizes_may_differ_from_layer_to_layer(cell, sizes):
    graph = _graph((cell, "gru"), sizes, joined=False)
    network = _network(graph)
    assert network.parameters["rnn.weight_ih_l1"].shape == (3 * sizes[1], sizes[0])
    assert _gradient_error(network, _batch()) < 1e-6


def test_states_of_layers_that_differ_are_handed_on():
    """Two chunks, the second from the state of the first, are one chunk."""
    network, batch = _network(_graph(("lstm", "gru"), (20, 5), joined=False)), _batch()
    whole, after = network.losses(batch, network.initial_state(LANES))
    state, parts = network.initial_state(LANES), []
    for steps in (np.s_[:2], np.s_[2:]):
        part = Batch(*(np.ascontiguousarray(a[steps])
                       for a in (batch.inputs, batch.targets, batch.resets)))  # fmt: skip
        losses, state = network.losses(part, state)
        parts.append(losses)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-12)
    np.testing.assert_allclose(state, after, rtol=1e-12)


# Layers that read backwards


def _one_layer(cell, reverse, start="zeros", threads=1):
    """A network of one recurrent layer that reads forwards or backwards."""
    characters = build(CONFIG).layers[0].reads[0]
    kind = CELLS[cell]
    layer = Recurrent(
        "rnn.{}_l0", _reads(cell, characters, characters), 7, kind, start,
        feedback=0 if kind.output_block is None else VOCABULARY, reverse=reverse,
    )  # fmt: skip
    return _network(Graph((layer,), (NextCharacter("readout.{}", (layer,), VOCABULARY),)), threads)


def _mirrored(batch):
    """The same texts from their ends: a document starts where it ended."""
    ends = np.roll(batch.resets, -1, axis=0)
    ends[-1] = 1
    return Batch(*(np.ascontiguousarray(a[::-1]) for a in (batch.inputs, batch.targets, ends)))


@every_cell
@pytest.mark.parametrize("start", ["zeros", "learned"])
def test_reading_backwards_is_reading_what_is_written_backwards(cell, start):
    backwards, forwards = (_one_layer(cell, reverse, start) for reverse in (True, False))
    for name, parameter in backwards.parameters.items():
        if parameter.ndim == 1:  # biases, per-unit parameters, first states
            parameter[...] = np.random.default_rng(parameter.size).normal(0, 0.5, parameter.shape)
        forwards.parameters[name][...] = parameter
    for network in (backwards, forwards):
        network.pack()
    batch = _batch()
    state = forwards.initial_state(LANES)
    losses, after = backwards.loss_and_gradients(batch, state)
    mirrored, mirrored_after = forwards.loss_and_gradients(_mirrored(batch), state)
    np.testing.assert_allclose(losses, mirrored[::-1], rtol=1e-12)
    np.testing.assert_allclose(after, mirrored_after, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(backwards.gradients, forwards.gradients, rtol=1e-9, atol=1e-13)


def test_what_a_chunk_began_with_is_nothing_to_a_layer_that_begins_at_its_end():
    network = _one_layer(("lstm", "tanh"), reverse=True)
    batch = _batch()
    batch.resets[:] = 0
    state = np.random.default_rng(6).normal(size=network.initial_state(LANES).shape)
    losses, _ = network.losses(batch, state)
    assert_same_bits(losses, network.losses(batch, network.initial_state(LANES))[0])


def _both_ways(cell, threads=1):
    """A layer that reads each way, and one that reads the sum of both."""
    characters = build(CONFIG).layers[0].reads[0]
    ways = tuple(
        Recurrent(names, _reads(cell, characters, characters), 7, CELLS[cell], reverse=reverse)
        for names, reverse in (("rnn.{}_l0", False), ("rnn.{}_l0_reverse", True))
    )
    joined = Sum("", ways, 7)
    reads = _reads(cell, joined, characters)
    above = Recurrent("rnn.{}_l1_reverse", reads, 5, CELLS[cell], reverse=True)
    head = NextCharacter("readout.{}", (above,), VOCABULARY)
    return _network(Graph((*ways, joined, above), (head,)), threads)


@pytest.mark.parametrize("cell", [key for key, cell in CELLS.items() if cell.most_layers > 1],
                         ids="-".join)  # fmt: skip
def test_layers_of_both_directions_have_their_gradients(cell):
    assert _gradient_error(_both_ways(cell), _batch()) < 1e-6


def test_threads_make_no_difference_to_either_direction():
    batch, results = _batch(), []
    for threads in (1, 2, 3):
        network = _both_ways(("gru-reset-before", "tanh"), threads)
        losses, _ = network.loss_and_gradients(batch, network.initial_state(LANES), (0.3, 7))
        results.append((losses, network.gradients.copy()))
    for losses, gradients in results[1:]:
        assert_same_bits(losses, results[0][0])
        assert_same_bits(gradients, results[0][1])


def test_what_reads_backwards_writes_nothing():
    network = _one_layer(("gru", "tanh"), reverse=True)
    with pytest.raises(UsageError, match="reads backwards writes no text"):
        network.program(1)


@pytest.mark.cells
def test_a_text_is_written_by_cells_that_differ():
    """What a session expects next is what the network does, layer by layer."""
    cells = "lstm-peephole", "gru-reset-before"  # one with fields, one with a second product
    network = _network(_graph(cells, (20, 5), joined=False), threads=2, dtype=np.float32)
    for parameter in network.parameters.values():
        if parameter.ndim == 1:  # per-unit parameters and biases
            parameter[...] = np.random.default_rng(parameter.size).normal(0, 0.5, parameter.shape)
    network.pack()
    text = np.arange(3, VOCABULARY, dtype=np.int32)
    session = session_of(network)
    rows = [session.logits(), *(session.feed(text[n : n + 1, None]) for n in range(text.size - 1))]
    logits = np.concatenate(rows)[:, :VOCABULARY].astype(np.float64)
    found = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(text.size), text]
    inputs = np.array([START, *text[:-1]], np.int32)[:, None]
    batch = Batch(inputs, text[:, None].copy(), (inputs == START).astype(np.uint8))
    losses, _ = network.losses(batch, network.initial_state(1))
    np.testing.assert_allclose(found, losses[:, 0], rtol=1e-5)


def test_a_head_of_its_own_has_its_losses_and_gradients():
    network = _network(_graph(head=CharacterAfterNext))
    batch, state = _batch(), network.initial_state(LANES)
    losses, _ = network.losses(batch, state)
    assert np.all(losses[-1] == 0) and np.all(losses[:-1] > 0)
    assert _gradient_error(network, batch) < 1e-6


def test_such_a_head_learns_what_the_next_character_does_not_tell():
    """Every second character is 4, so that only every other one of the next is to be guessed."""
    network = _network(_graph(head=CharacterAfterNext), dtype=np.float32)
    rng = np.random.default_rng(4)
    text = rng.integers(0, 3, (41, LANES)).astype(np.int32)
    text[1::2] = 4
    batch = Batch(text[:-1].copy(), text[1:].copy(), np.zeros((40, LANES), np.uint8))
    for _ in range(150):
        losses, _ = network.loss_and_gradients(batch, network.initial_state(LANES))
        network.values -= 0.01 * network.gradients / LANES
        network.pack()
    told, guessed = losses[1:-1:2], losses[2:-1:2]  # after a 4 comes another, and the reverse
    assert told.mean() < 0.1
    assert guessed.mean() < math.log(3) + 0.2


# Positions that do not count


def test_predictions_that_do_not_count_have_no_loss_and_no_gradient():
    network = _network(build(CONFIG))
    batch, state = _batch(), network.initial_state(LANES)
    counted = np.random.default_rng(5).random(batch.targets.shape) < 0.6
    part = Batch(batch.inputs, batch.targets, batch.resets, counted)
    losses, after = network.losses(batch, state)
    some, after_some = network.losses(part, state)
    np.testing.assert_array_equal(some, np.where(counted, losses, 0))
    assert_same_bits(after_some, after)
    assert part.count == np.count_nonzero(counted) and batch.count == batch.targets.size
    assert _gradient_error(network, part) < 1e-6


def test_where_nothing_counts_nothing_is_learned():
    network = _network(build(CONFIG))
    batch = _batch()
    nothing = Batch(batch.inputs, batch.targets, batch.resets, np.zeros(batch.targets.shape, bool))
    network.loss_and_gradients(nothing, network.initial_state(LANES))
    assert not network.gradients.any()


# Declarations


class HeldRecurrent(Recurrent):
    """Its recurrent matrix stays as it is drawn; nothing makes its biases smaller."""

    @property
    def parameters(self):
        held = {"rnn.weight_hh_l0": {"trained": False}, "rnn.bias_hh_l0": {"decayed": False}}
        return tuple(p._replace(**held.get(p.name, {})) for p in super().parameters)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_declared_neither_trained_nor_decayed_is_not(optimizer):
    characters = build(CONFIG).layers[0].reads[0]
    layer = HeldRecurrent("rnn.{}_l0", (characters,), 7, CELLS["gru", "tanh"])
    network = _network(Graph((layer,), (NextCharacter("readout.{}", (layer,), VOCABULARY),)))
    network.parameters["rnn.bias_hh_l0"][...] = 0.5
    before = {name: parameter.copy() for name, parameter in network.parameters.items()}
    plan = plan_of(optimizer=optimizer, learning_rate=0.01, weight_decay=1.0)
    updates = create_optimizer(plan, network)
    network.loss_and_gradients(_batch(), network.initial_state(LANES))
    assert not network.views(network.gradients)["rnn.weight_hh_l0"].any()
    assert network.views(network.gradients)["rnn.bias_hh_l0"].all()
    network.gradients[:] = 0  # decay alone
    for _ in range(20):
        updates.update(1, updates.gradient_norm(1), 0.01)
    for name, parameter in network.parameters.items():
        if name in ("rnn.weight_hh_l0", "rnn.bias_hh_l0"):
            assert_same_bits(parameter, before[name])
        else:
            np.testing.assert_allclose(parameter, before[name] * 0.99**20, rtol=1e-6)


@every_cell
@pytest.mark.parametrize("more", [{}, {"embedding_size": 5}, {"initial_state": "learned"}], ids=str)
def test_what_is_declared_is_what_is_drawn(cell, more):
    if not is_possible(cell, more):
        return
    config = config_of(cell, 2, 6, vocabulary_size=VOCABULARY, **more)
    rng = np.random.default_rng(1)
    for parameter in build(config).parameters:
        drawn = parameter.draw(rng)
        assert drawn.shape == parameter.shape and drawn.dtype == np.float32
    assert parameter_count(config) == sum(
        math.prod(parameter.shape) for parameter in build(config).parameters
    )


def test_characters_choose_among_one_matrix():
    """The embedding, or the first layer's input matrix; all other matrices read units."""
    for size, name in ((0, "rnn.weight_ih_l0"), (5, "embedding.weight")):
        declared = build(ModelConfig(VOCABULARY, embedding_size=size)).parameters
        assert [p.name for p in declared if p.chosen] == [name]
        others = [p for p in declared if len(p.shape) == 2 and not p.chosen]
        assert [p.units for p in others] == [p.shape[1] for p in others]
