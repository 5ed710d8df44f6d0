"""What a network is made of, stated once: its layers, and what each of them reads.

``build`` is the statement. Shapes and first values of parameters, the layers that compute,
buffers, the program that writes text and the description follow from it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from charrnn.cells import CELLS
from charrnn.config import ModelConfig
from charrnn.network.nodes import (
    Characters,
    Dense,
    DocumentClass,
    Embedding,
    Joined,
    Labels,
    Layer,
    NextCharacter,
    Node,
    Parameter,
    PositionClass,
    Recurrent,
)


class Graph(NamedTuple):
    """A network: layers in an order in which each reads what stands before it, and a head."""

    layers: tuple[Layer, ...]
    head: Layer

    @property
    def nodes(self) -> tuple[Layer, ...]:
        """All that has parameters, in the order of these."""
        return *self.layers, self.head

    @property
    def recurrent(self) -> list[Recurrent]:
        """The layers that have states."""
        return [layer for layer in self.layers if isinstance(layer, Recurrent)]

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, in the order in which they lie one after the other."""
        return [parameter for node in self.nodes for parameter in node.parameters]


@functools.lru_cache(maxsize=256)
def build(config: ModelConfig) -> Graph:
    """Characters → embedding → recurrent layers → feed-forward layers → head.

    A network that reads has two recurrent layers in place of each, one for each direction.
    """
    layers: list[Layer] = []

    def add(layer: Layer) -> Layer:
        layers.append(layer)
        return layer

    vocabulary = config.vocabulary_size
    below: Node = Characters("", (), vocabulary)
    told = (Labels("", (), config.classes),) if config.writes and config.classes else ()
    if config.embedding_size:
        below = add(Embedding("embedding.{}", (below,), config.embedding_size))
    for number in range(config.layers):
        directions = [add(layer) for layer in _recurrent(config, number, (below, *told))]
        below = directions[0] if config.writes else add(Joined.of(*directions))
        told = ()
    for number in range(config.readout_layers):
        below = add(Dense(f"dense.{number}.{{}}", (below,), config.dense_size))
    return Graph(tuple(layers), _head(config, below))


def _recurrent(config: ModelConfig, number: int, reads: tuple[Node, ...]) -> Iterator[Recurrent]:
    """The recurrent layers with a number: one, or of a network that reads, one for each way."""
    cell = CELLS[config.cell, config.activation]
    feedback = 0 if cell.output_block is None else config.vocabulary_size
    for reverse in (False,) if config.writes else (False, True):
        names = f"rnn.{{}}_l{number}{'_reverse' if reverse else ''}"
        yield Recurrent(
            names, reads, config.hidden_size, cell, config.initial_state, feedback, reverse
        )


def _head(config: ModelConfig, below: Node) -> Layer:
    names, reads = "readout.{}", (below,)
    if config.writes:
        return NextCharacter(names, reads, config.vocabulary_size)
    if config.task == "label":
        return DocumentClass(names, reads, config.classes, config.multiple, config.ngram_buckets)
    return PositionClass(names, reads, config.classes)
