"""What the units of a network do while it reads a text, and what it loses without one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from charrnn.network.heads import OutputUnits
from charrnn.network.network import Network
from charrnn.network.nodes import Joined, Layer, Node, Recurrent
from charrnn.text.documents import Documents
from charrnn.text.running import RunningText
from charrnn.text.vocabulary import Vocabulary, code_points
from charrnn.training.evaluation import batch_at, document_shares, loss_of
from charrnn.training.reading import MARGIN, chunk_shape

_STEPS = 64


class Unit(NamedTuple):
    """Where a unit is: its layer from the input up, its way of reading, its place there."""

    layer: int  # from 1 up
    backwards: bool
    number: int  # from 0 up

    @property
    def name(self) -> str:
        """The same in a word, such as 2.17 or 1.5←."""
        return f"{self.layer}.{self.number}{'←' * self.backwards}"


@dataclass(frozen=True, eq=False)
class Activity:
    """N positions of a text, and the outputs of all U units after each was read."""

    text: str  # [N], the character that is read; a line end where a running text begins
    bounds: np.ndarray  # int64 [D + 1], where documents begin, and the end
    outputs: np.ndarray  # float32 [N, U]
    units: list[Unit]  # [U]

    @property
    def documents(self) -> Iterator[tuple[int, int]]:
        """First position of each document, and one past its last."""
        return pairwise(self.bounds.tolist())

    @cached_property
    def _spelled(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct characters, and which of them each position has."""
        return np.unique(code_points(self.text, "surrogatepass"), return_inverse=True)

    @cached_property
    def alphabet(self) -> list[str]:
        """The distinct characters of the text."""
        return list(map(chr, self._spelled[0].tolist()))

    def sums_by_character(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of ``values`` [N] over the positions of each of the ``alphabet``, and how many."""
        places, count = self._spelled[1], len(self.alphabet)
        return np.bincount(places, values, count), np.bincount(places, minlength=count)

    @cached_property
    def document(self) -> np.ndarray:
        """The document that each position is in [N]."""
        return np.repeat(np.arange(self.bounds.size - 1), np.diff(self.bounds))


def activity(network: Network, vocabulary: Vocabulary, text: RunningText | Documents) -> Activity:
    """Let a network read a text."""
    if isinstance(text, Documents):
        outputs = _outputs_in_documents(network, text)
        tokens, bounds = text.tokens, np.append(0, text.ends)
    else:
        outputs = _outputs_in_running(network, text)
        tokens = text.tokens[:-1]
        bounds = np.union1d(text.starts, [0, tokens.size])
    return Activity(shown(tokens, vocabulary), bounds, outputs, units_of(network))


def shown(tokens: np.ndarray, vocabulary: Vocabulary) -> str:
    """A character for each token: a line end for the start of a document."""
    characters = np.array([vocabulary.decode([n]) or "\n" for n in range(vocabulary.size)])
    return "".join(characters[tokens].tolist())


def units_of(network: Network) -> list[Unit]:
    """All units of recurrent layers, in the order of their outputs."""
    directions = 1 if network.config.writes else 2
    return [
        Unit(place // directions + 1, node.reverse, number)
        for place, node in enumerate(network.graph.recurrent)
        for number in range(node.size)
    ]


def _outputs_in_running(network: Network, text: RunningText) -> np.ndarray:
    """[N, U]; a text is read in lanes as it is where it is scored."""
    outputs = np.empty((text.positions, len(units_of(network))), np.float32)
    shares = document_shares(text.tokens)
    state, labelling = network.initial_state(len(shares.starts)), text.labelling
    for first in range(0, shares.steps, _STEPS):
        positions, counted = shares.at(np.arange(first, first + _STEPS))
        batch = batch_at(text.tokens, positions, counted, labelling)
        found, state = network.units(batch, state)
        outputs[positions[counted]] = found[counted]
    return outputs


def _outputs_in_documents(network: Network, texts: Documents) -> np.ndarray:
    outputs = np.empty((texts.positions, len(units_of(network))), np.float32)
    for chunk in texts.chunks(*chunk_shape(texts), MARGIN if texts.by_position else 0):
        state = network.initial_state(chunk.batch.inputs.shape[1])
        outputs[chunk.tokens] = network.units(chunk.batch, state)[0][chunk.at]
    return outputs


def _weights_of(network: Network, node: Recurrent, unit: int) -> Iterator[np.ndarray]:
    """Views of the weights by which all that reads a layer reads a unit of it."""
    if not node.feedback:
        yield network.parameters[node.named("weight_hh")][..., unit]
    for reader in network.graph.nodes:
        at = _place_in(reader, node)
        if at is None or isinstance(reader, Joined):
            continue
        if isinstance(reader, OutputUnits):
            head = network.heads[network.graph.heads.index(reader)]
            yield head.scales[unit : unit + 1]  # empty beyond the output
        own = ("weight_ih",) if isinstance(reader, Recurrent) else ("weight", "query")
        for name in map(reader.named, own):
            if name in network.parameters:
                yield network.parameters[name][..., at + unit]


def _place_in(reader: Layer, node: Node) -> int | None:
    """Where the units of a node begin among those that a layer reads; None: it reads others."""
    parts = [part for source in reader.reads for part in source.parts]
    return sum(part.size for part in parts[: parts.index(node)]) if node in parts else None


class Silencer:
    """Measures what a network loses on a text where the output of a unit is 0 to all that reads it.

    That is to the layers above, to the head and to its own layer's next step. What a cell keeps
    inside stays. Zero is the middle of a unit's range, and exact for every cell; its mean would
    have no place in cells that multiply what they read of themselves.
    """

    def __init__(self, network: Network, text: RunningText | Documents) -> None:
        self._network = network.with_values(network.values)
        self._text, self._units = text, units_of(network)
        self.loss = loss_of(self._network, text)

    def change(self, unit: int) -> float:
        """By how much the mean loss is higher without a unit, in nats."""
        network, own = self._network, self._units[unit]
        nodes = [n for n in network.graph.recurrent if n.reverse == own.backwards]
        weights = list(_weights_of(network, nodes[own.layer - 1], own.number))
        kept = [view.copy() for view in weights]
        for view in weights:
            view[...] = 0
        network.pack()
        loss = loss_of(network, self._text)
        for view, values in zip(weights, kept, strict=True):
            view[...] = values
        return loss - self.loss
