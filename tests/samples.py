"""Random networks, batches and states for the tests; the same for the same seed."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from charrnn.cells import CELLS
from charrnn.config import ModelConfig, Plan, SamplingConfig
from charrnn.errors import UsageError
from charrnn.inference.choosing import anything, choosing
from charrnn.inference.session import Session
from charrnn.network.graph import build
from charrnn.network.network import Network
from charrnn.text.batch import Batch
from charrnn.text.vocabulary import SPECIALS, Vocabulary

#: What a network can have beside its cell.
VARIANTS = {
    "plain": {},
    "dense-before": {"dense_before": 2},
    "deep-readout": {"readout_layers": 2, "readout_size": 5},
    "learned-start": {"initial_state": "learned"},
    "random-start": {"initial_state": "random"},
}


#: What a network can do with texts that it reads.
READERS = {
    "label": {"task": "label", "classes": 4},
    "labels": {"task": "label", "classes": 3, "multiple": True, "ngram_buckets": 40},
    "tags": {"task": "tags", "classes": 5},
}

#: What a network can be that is told labels of the texts that it writes.
TOLD = {
    "told": {"classes": 4},
    "told-embedded": {"classes": 4, "embedding_size": 5},
}


def size_for(cell, hidden_size, vocabulary_size):
    """The hidden size, or more where the cell has units for all characters beside others."""
    least = 1 if CELLS[cell].output_scale is None else vocabulary_size + 3
    return max(hidden_size, least)


def config_of(cell, layers=1, hidden_size=7, embedding_size=0, vocabulary_size=11, **more):
    """The configuration of a network of ``cell``, a key of the registry, as deep as it can be."""
    name, activation = cell
    layers = min(layers, CELLS[cell].most_layers)
    hidden_size = size_for(cell, hidden_size, vocabulary_size)
    return ModelConfig(
        vocabulary_size, name, activation, layers, hidden_size, embedding_size, **more
    )


def memory_sizes(config):
    """Elements of each state that a step of the first layer reads from the one before."""
    return build(config).recurrent[0].memory


def is_possible(cell, more):
    """Whether a network of the cell can have so much beside it."""
    try:
        config_of(cell, **more)
    except UsageError:
        return False
    return True


def _cells(keys):
    ids = ["-".join(key) for key in keys]
    return pytest.mark.parametrize("cell", keys, ids=ids)


def variants(*names, among=tuple(CELLS)):
    """Runs a test with what each name adds, where the cell can have it, for one cell of each kind;
    for the others with the first name alone.
    """
    rows = {
        "-".join([*cell, name]): (cell, VARIANTS[name])
        for cell in among
        for name in (names if cell in CELLS_OF_EACH_KIND else names[:1])
        if is_possible(cell, VARIANTS[name])
    }
    return pytest.mark.parametrize(("cell", "more"), rows.values(), ids=rows.keys())


def _kind(cell):
    """What the time loop makes a difference of."""
    kind = CELLS[cell]
    return (len(kind.states), bool(kind._fields), bool(kind.middle_blocks), kind.output_block,
            kind.groups > 1, kind.by_character)  # fmt: skip


#: Runs a test for every cell of the registry, none of them named.
every_cell = _cells(list(CELLS))

_TRAINED = [key for key, cell in CELLS.items() if cell.trained]

#: Runs a test for every cell whose own weights are trained.
every_trained_cell = _cells(_TRAINED)

CELLS_OF_EACH_KIND = list({_kind(cell): cell for cell in reversed(CELLS)}.values())

#: Runs a test for one cell of each kind, where each costs much compiling.
one_cell_of_each_kind = _cells(CELLS_OF_EACH_KIND)

#: Runs a test for every cell that can be stacked, which is what reads both ways.
every_stacked_cell = _cells([key for key, cell in CELLS.items() if cell.most_layers > 1])

#: Runs a test for one of them of each kind, where each costs much compiling.
one_stacked_cell_of_each_kind = _cells(
    [key for key in CELLS_OF_EACH_KIND if CELLS[key].most_layers > 1]
)

#: Runs a test for every cell with everything that a network can have.
every_variant = variants(*VARIANTS)

#: Runs a test for every cell whose own weights are trained, with everything.
every_trained_variant = variants(*VARIANTS, among=_TRAINED)


def plan_of(**values):
    """A plan of a run, of which a test says what it is about."""
    rates = dict.fromkeys(("dropout", "weight_decay", "most_epochs"), 0.0)
    counts = {"batch_size": 4, "sequence_length": 64, "validations": 4, "validation_positions": 0}
    return Plan(**{"optimizer": "adam", "learning_rate": 0.01, **rates, **counts, **values})


def random_network(config, *, dtype=np.float64, threads=1, seed=1):
    """A network whose biases are not zero either, ready to be trained."""
    network = Network(config, threads=threads, dtype=dtype)
    rng = np.random.default_rng(seed)
    network.initialize(rng=rng)
    for parameter in network.parameters.values():
        if parameter.ndim == 1:
            parameter[...] = rng.normal(0, 0.3, parameter.shape)
    network.prepare_training()
    return network


def random_batch(config, steps, lanes, *, resets=True, seed=2):
    """A chunk in which documents start at random; never at the first step of the first lane."""
    rng = np.random.default_rng(seed)
    inputs, targets = rng.integers(0, config.vocabulary_size, (2, steps, lanes), np.int32)
    starts = np.zeros((steps, lanes), np.uint8)
    if resets:
        starts[rng.random((steps, lanes)) < 0.15] = 1
        starts[steps // 2] |= np.arange(lanes) % 2 == 1
        starts[0, 0] = 0
    return Batch(inputs, targets, starts)


def random_documents(config, steps=20, lanes=3, *, weights=False, seed=2):
    """A chunk of documents to be read, side by side and one after the other, none at some places.

    As ``charrnn.text.documents`` packs them: a document starts where another one ends, or a hole.
    """
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, config.vocabulary_size, (steps, lanes), np.int32)
    resets, spans = np.zeros((steps, lanes), np.uint8), []
    for lane in range(lanes):
        bounds = np.unique([0, steps, *rng.integers(1, steps, max(1, steps // 6))])
        resets[bounds[:-1], lane] = 1
        spans += [(lane, *span) for span in itertools.pairwise(bounds)]
    rng.shuffle(spans)
    spans = np.array(spans[: max(1, len(spans) * 4 // 5)], np.int32)
    counted = np.zeros((steps, lanes), np.bool_)
    for lane, first, last in spans:
        counted[first:last, lane] = True
    if config.task != "label":
        targets = rng.integers(0, config.classes, (steps, lanes), np.int32)
        return Batch(inputs, targets, resets, counted & (rng.random((steps, lanes)) < 0.8))
    if config.multiple:
        targets = rng.random((len(spans), config.classes)) < 0.4
    else:
        targets = rng.integers(0, config.classes, len(spans), np.int32)
    own = rng.uniform(0.2, 3, len(spans)) if weights else None
    return Batch(inputs, targets, resets, counted, spans=spans, weights=own)


def random_labels(batch, config, attributes=2, *, seed=4):
    """The same chunk with labels [A, T, B] that a writer is told, some of them none."""
    labels = np.random.default_rng(seed).integers(
        -1, config.classes, (attributes, *batch.inputs.shape), np.int32
    )
    return dataclasses.replace(batch, labels=labels)


def random_state(network, lanes, *, seed=3):
    """A state whose memory is not zero but in the padded columns."""
    state, rng = network.initial_state(lanes), np.random.default_rng(seed)
    names = network.recurrent_layers[0].cell.states
    for name, size in memory_sizes(network.config).items():
        part = state[:, names.index(name), :, :size]
        part[...] = rng.normal(0, 0.5, part.shape)
    return state


def assert_padding_is_nothing(network, state):
    """What a state holds beyond its elements: zero, or a probability of next to nothing."""
    cell, memory = network.recurrent_layers[0].cell, memory_sizes(network.config)
    for number, name in enumerate(cell.states):
        is_output = cell.output_block is not None and number == cell.source
        padding = state[:, number, :, memory.get(name, network.config.hidden_size) :]
        assert np.abs(padding).max(initial=0) <= (1e-30 if is_output else 0)


def part_of(batch, steps=slice(None), lanes=slice(None)):
    """The same steps and lanes of all arrays of a batch."""
    arrays = (batch.inputs, batch.targets, batch.resets)
    return Batch(*(np.ascontiguousarray(a[steps, lanes]) for a in arrays))


def assert_same_bits(one, other):
    """Equal to the last bit, and numbers at all."""
    assert one.dtype == other.dtype
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, other)


def choosing_of(network, config, *, may_end=True):
    """How texts of a network are written whose vocabulary does not matter."""
    size = network.config.vocabulary_size
    characters = "".join(chr(0x4E00 + n) for n in range(size - SPECIALS))
    return choosing(config, Vocabulary(characters), anything(size, network.dtype, may_end=may_end))


def session_of(network, texts=1):
    """A session of texts at their beginning."""
    own = choosing_of(network, SamplingConfig())
    return Session(network.program(texts), own.chooser, own.recall(texts))
