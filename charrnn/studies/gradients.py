"""How far gradients flow back through time: norms of ∂loss_t/∂h_{t-k} on a text.

h_{t-k} is the hidden states of all layers after the step that reads character t-k, loss_t that of
predicting what follows character t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charrnn.cells import most_layers
from charrnn.config import ModelConfig
from charrnn.errors import UsageError
from charrnn.network.graph import build
from charrnn.network.network import Network
from charrnn.network.parameters import initial_values, parameter_shapes
from charrnn.storage.checkpoint import SavedModel, load_finite_model
from charrnn.text.batch import Batch
from charrnn.text.corpus import Corpus
from charrnn.text.display import printable
from charrnn.text.vocabulary import SPECIALS, START, Vocabulary
from charrnn.training.evaluation import BURN_IN, batch_at
from charrnn.training.needs import check_room

#: A gradient explodes where it is longer than this many times its length at k = 0.
GROWTH = 1000

#: Steps times lanes of one backward pass: 35 MB for each layer of an LSTM of 128 units.
_ROWS = 4096
_BURN_IN_STEPS = 64

#: Arrays of all weights in float32 that a network has here: as they were drawn, and two of twice
#: the size, its weights and their gradients.
_ARRAYS = 5


class Places(NamedTuple):
    """The positions of a text whose losses are differentiated."""

    positions: np.ndarray  # [P] of the last character read before the loss
    depths: np.ndarray  # [P] steps back from there to the start of the document
    steps: int  # K: the most steps back that are wanted, and that there are

    @property
    def counts(self) -> np.ndarray:
        """How many positions reach back k steps, [K + 1]."""
        return np.count_nonzero(self._reached, axis=1)

    @property
    def _reached(self) -> np.ndarray:
        return self.depths >= np.arange(self.steps + 1)[:, np.newaxis]

    def mean(self, norms: np.ndarray) -> np.ndarray:
        """Means [K + 1] of ``norms`` [K + 1, P] over the positions that reach back so far."""
        return norms.mean(axis=1, where=self._reached)


@dataclass(frozen=True, eq=False)
class Curve:
    """The gradient of one network against the number of steps back."""

    model: SavedModel
    origin: str | None  # the model file; None of a network that was not trained
    norms: np.ndarray  # [K + 1], means over positions; infinite where float64 overflowed

    @property
    def relative(self) -> np.ndarray:
        """The norms over that at k = 0, [K + 1]; not finite where either is not, or 0 / 0."""
        with np.errstate(all="ignore"):
            return self.norms / self.norms[0]

    @property
    def explodes_at(self) -> int | None:
        """The smallest k with more than ``GROWTH`` times the norm at k = 0, or an infinite one."""
        with np.errstate(over="ignore"):
            passed = np.isinf(self.norms) | (self.norms > GROWTH * self.norms[0])
        return int(np.argmax(passed)) if passed.any() else None


def load_writer(path: str | Path) -> SavedModel:
    """A model whose gradients can be measured: those of the loss of each next character.

    Raises ``UsageError`` for one that reads, ``ModelFileError`` as ``load_finite_model`` does.
    """
    model = load_finite_model(path)
    if not model.config.writes:
        raise UsageError(f"{printable(str(path))} writes no text: gradients are measured of models "
                         "that do")  # fmt: skip
    return model


def choose_places(tokens: np.ndarray, count: int, steps_back: int) -> Places:
    """At most ``count`` positions, spread evenly over those of ``tokens`` that qualify.

    These are the positions ``steps_back`` or more steps after the start of their document; where
    there are fewer than ``count`` of them, as many steps less as makes them enough.
    """
    starts = np.flatnonzero(tokens[:-1] == START)
    lengths = np.diff(starts, append=tokens.size - 1)
    depth = min(steps_back, int(lengths.max()) - 1)
    while depth and np.maximum(lengths - depth, 0).sum() < count:
        depth -= 1
    room = np.maximum(lengths - depth, 0)  # positions of each document that are deep enough
    ends = np.cumsum(room)
    count = min(count, int(ends[-1]))
    chosen = np.arange(count) * ends[-1] // count
    document = np.searchsorted(ends, chosen, side="right")
    depths = depth + chosen - (ends - room)[document]
    return Places(starts[document] + depths, depths, min(steps_back, int(depths.max())))


def untrained(
    vocabulary: Vocabulary,
    *,
    seed: int,
    cell: str = "lstm",
    layers: int | None = None,
    **shape: Any,
) -> SavedModel:
    """The network that ``train`` begins with on a single text, for ``ModelConfig``'s ``shape``.

    It has no more layers than its cell can have. Raises ``CharrnnError`` where it is too large for
    the memory.
    """
    if layers is not None:
        layers = min(layers, most_layers(cell))
    config = ModelConfig.for_vocabulary(vocabulary.size, cell=cell, layers=layers, **shape)
    check_room(config, _ARRAYS)
    drawn = initial_values(config, rng=np.random.default_rng([seed, 0]))
    return SavedModel(config, vocabulary, dict(zip(parameter_shapes(config), drawn, strict=True)))


def measure(
    model: SavedModel, corpus: Corpus, places: Places, *, scale: float = 1.0, threads: int = 0
) -> np.ndarray:
    """Mean norm of ∂loss_t/∂h_{t-k} for k = 0 … K at the ``places`` of a text, [K + 1].

    Recurrent weights are multiplied by ``scale`` first. What is no number has overflowed on its
    way, and is infinite. Raises ``UsageError`` for a scale that is negative or not finite.
    """
    if not 0 <= scale < math.inf:
        raise UsageError(f"the scale must be 0 or more and finite, not {scale}")
    # float32 ends at 1e-45: an Elman network of 2×128 units that is not trained gets there in 200
    # steps, and exploding ones pass its largest number in fewer.
    network = Network(model.config, threads=threads, dtype=np.float64)
    network.prepare_training()
    read = _reader(corpus, model.vocabulary)
    groups = -(-places.positions.size * (places.steps + 1) // _ROWS)
    with np.errstate(all="ignore"):
        network.load(_scaled(model, scale))
        norms = [
            _norms(network, read, positions, places.steps)
            for positions in np.array_split(places.positions, min(groups, places.positions.size))
        ]
        return places.mean(np.concatenate(norms, axis=1))


def figures(curves: Sequence[Curve], places: Places) -> dict[str, Any]:
    """All that was measured as JSON values; what is not finite becomes None."""

    def numbers(values: np.ndarray) -> list[float | None]:
        return [float(v) if math.isfinite(v) else None for v in values]

    return {
        "steps_back": places.steps,
        "positions": places.counts.tolist(),
        "curves": [
            {
                "model": curve.origin,
                **asdict(curve.model.config),
                "explodes_at": curve.explodes_at,
                "norms": numbers(curve.norms),
                "relative": numbers(curve.relative),
            }
            for curve in curves
        ],
    }


def _scaled(model: SavedModel, scale: float) -> dict[str, np.ndarray]:
    """The tensors with recurrent matrices times ``scale``, in float64."""
    matrices = {layer.named("weight_hh") for layer in build(model.config).recurrent}
    scaled = {name: model.tensors[name] * np.float64(scale) for name in matrices}
    return {**model.tensors, **scaled}


_Read = Callable[[np.ndarray], Batch]


def _reader(corpus: Corpus, vocabulary: Vocabulary) -> _Read:
    """``batch_at`` of the text, in the tokens of another vocabulary."""
    characters = vocabulary.encode(corpus.vocabulary.characters)
    table = np.concatenate([np.arange(SPECIALS), characters]).astype(np.int32)

    def read(positions: np.ndarray) -> Batch:
        batch = batch_at(corpus.tokens, positions)
        return Batch(table[batch.inputs], table[batch.targets], batch.resets)

    return read


def _norms(network: Network, read: _Read, positions: np.ndarray, steps: int) -> np.ndarray:
    """Norms [steps + 1, B] for the ``positions`` [B], in order of k."""
    state, first = network.initial_state(positions.size), positions - steps
    for t in range(-BURN_IN, 0, _BURN_IN_STEPS):
        batch = read(first + t + np.arange(_BURN_IN_STEPS)[:, np.newaxis])
        _, state = network.losses(batch, state)
    batch = read(first + np.arange(steps + 1)[:, np.newaxis])
    return _lengths(network.state_gradients(batch, state))[::-1]


def _lengths(gradients: np.ndarray) -> np.ndarray:
    """Norms [T, B] of [T, L, B, H]; squares alone would leave the range of float64."""
    largest = np.abs(gradients).max(axis=(1, 3), keepdims=True)
    shares = gradients / np.where(largest > 0, largest, 1)
    lengths = largest[:, 0, :, 0] * np.sqrt(np.square(shares).sum(axis=(1, 3)))
    return np.where(np.isfinite(lengths), lengths, np.inf)
