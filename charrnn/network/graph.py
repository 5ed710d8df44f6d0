"""What a network is made of, stated once: its layers, and what each of them reads.

``build`` is the statement. Shapes and first values of parameters, the layers that compute,
buffers, the program that writes text and the description follow from it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from charrnn.cells import CELLS
from charrnn.config import ModelConfig
from charrnn.network.heads import Aligned, DocumentClass, NextCharacter, OutputUnits, PositionClass
from charrnn.network.nodes import (
    Characters,
    Context,
    Dense,
    Embedding,
    FirstCharacters,
    Joined,
    Labels,
    Layer,
    Node,
    Parameter,
    Projection,
    Recurrent,
)
from charrnn.network.reservoir import Reservoir
from charrnn.text.vocabulary import SPECIALS


class Graph(NamedTuple):
    """A network: layers in an order in which each reads what stands before it, and its heads.

    Of several heads each learns by itself; what the network tells is the mean of what they do.
    """

    layers: tuple[Layer, ...]
    heads: tuple[Layer, ...]

    @property
    def nodes(self) -> tuple[Layer, ...]:
        """All that has parameters, in the order of these."""
        return *self.layers, *self.heads

    @property
    def tops(self) -> list[Node]:
        """What the heads read, one each."""
        return [head.reads[0] for head in self.heads]

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

    Each recurrent layer may have feed-forward ones before it, which is then a recurrent multilayer
    perceptron (Puskorius & Feldkamp 1994). One that writes may be several such members, which
    share nothing but the characters that they read.

    A network that reads has two recurrent layers in place of each, one for each direction. One that
    writes what belongs to a text is both, one behind the other: see ``_answering``.
    """
    layers: list[Layer] = []
    vocabulary, labels = config.vocabulary_size, config.classes - config.symbols
    if config.writes:
        characters = Characters("", (), vocabulary)
        names = [f"members.{n}." for n in range(config.members)] if config.members > 1 else [""]
        heads = [_writer(config, own, characters, layers) for own in names]
        return Graph(tuple(layers), tuple(heads))
    if config.answers:
        below = _answering(config, layers)
    else:
        size = vocabulary + (labels if config.task == "pairs" else 0)
        below = _both_ways(config, "rnn", Characters("", (), size), layers)
    head = _told(config, "", below, layers)
    return Graph(tuple(layers), (head,))


def _add(layers: list[Layer], layer: Layer) -> Layer:
    layers.append(layer)
    return layer


def _writer(config: ModelConfig, names: str, characters: Node, layers: list[Layer]) -> Layer:
    """The head of a network that writes, whose parameters' names begin so."""
    told = (Labels("", (), config.classes),) if config.classes else ()
    below = _embedded(config, names + "embedding.{}", characters, layers)
    for number in range(config.layers):
        below = _through_dense(config, f"{names}rnn.dense_l{number}", below, layers)
        reads = (below, *told)
        below = _add(layers, _recurrent(config, f"{names}rnn.{{}}_l{number}", reads, characters))
        told = ()
    return _told(config, names, below, layers)


def _answering(config: ModelConfig, layers: list[Layer]) -> Node:
    """A reader of both ways, and layers that write, of which the first attends to what was read.

    All layers that write start from what was read. What the first makes and what it attends to
    become one, as Luong et al. 2015 have it: tanh([c; q] W + b).
    """
    size = config.hidden_size
    characters = FirstCharacters("", (), config.vocabulary_size + config.classes - config.symbols)
    read = _both_ways(config, "reader", characters, layers)
    keys, values = (
        _add(layers, Projection(f"attention.{name}.{{}}", (read,), size))
        for name in ("key", "value")
    )
    symbols = Characters("", (), config.symbols + SPECIALS)
    below: Node = symbols
    for number in range(config.layers):
        below = _through_dense(config, f"rnn.dense_l{number}", below, layers)
        layer = _recurrent(config, f"rnn.{{}}_l{number}", (below,), symbols, read=read)
        below = _add(layers, layer)
        if number == 0:
            context = _add(layers, Context("", (below, keys, values), size))
            both = _add(layers, Joined.of(context, layer))
            below = _add(layers, Dense("attention.{}", (both,), size))
    return below


def _both_ways(config: ModelConfig, name: str, characters: Node, layers: list[Layer]) -> Node:
    """Two recurrent layers in place of each, one for each direction, and what joins them."""
    embedding = "embedding.{}" if name == "rnn" else f"{name}.embedding.{{}}"
    below = _embedded(config, embedding, characters, layers)
    for number in range(config.layers):
        below = _through_dense(config, f"{name}.dense_l{number}", below, layers)
        names = f"{name}.{{}}_l{number}"
        forwards = _add(layers, _recurrent(config, names, (below,), characters))
        names += "_reverse"
        backwards = _add(layers, _recurrent(config, names, (below,), characters, reverse=True))
        below = _add(layers, Joined.of(forwards, backwards))
    return below


def _embedded(config: ModelConfig, names: str, below: Node, layers: list[Layer]) -> Node:
    if not config.embedding_size:
        return below
    trained = CELLS[config.cell, config.activation].trained
    return _add(layers, Embedding(names, (below,), config.embedding_size, trained))


def _through_dense(config: ModelConfig, name: str, below: Node, layers: list[Layer]) -> Node:
    """What a recurrent layer reads of what is ``below``: the last of the layers before it."""
    for number in range(config.dense_before):
        below = _add(layers, Dense(f"{name}.{number}.{{}}", (below,), config.hidden_size))
    return below


def _recurrent(
    config: ModelConfig,
    names: str,
    reads: tuple[Node, ...],
    characters: Node,
    *,
    reverse: bool = False,
    read: Node | None = None,
) -> Recurrent:
    """``characters`` may choose its recurrent matrix; it may start from what was ``read``."""
    cell = CELLS[config.cell, config.activation]
    feedback = 0 if cell.output_block is None else config.vocabulary_size
    start = "read" if read else config.initial_state
    reads = (*reads, *([characters] if cell.by_character else []), *([read] if read else []))
    own = names, reads, config.hidden_size, cell, start, feedback, reverse
    if cell.trained:
        return Recurrent(*own)
    return Reservoir(*own, config.radius, config.leakage)


def _told(config: ModelConfig, names: str, below: Node, layers: list[Layer]) -> Layer:
    """The readout: its feed-forward layers, and the head."""
    for number in range(config.readout_layers):
        below = _add(layers, Dense(f"{names}dense.{number}.{{}}", (below,), config.dense_size))
    return _head(config, names + "readout.{}", (below,))


def _head(config: ModelConfig, names: str, reads: tuple[Node, ...]) -> Layer:
    scale = CELLS[config.cell, config.activation].output_scale
    if config.writes and scale is not None:
        return OutputUnits(names, reads, config.vocabulary_size, scale)
    if config.writes:
        return NextCharacter(names, reads, config.vocabulary_size)
    if config.answers:
        return NextCharacter(names, reads, config.symbols + SPECIALS)
    if config.decoder == "ctc":
        return Aligned(names, reads, config.symbols + SPECIALS)
    if config.task == "label":
        return DocumentClass(names, reads, config.classes, config.multiple, config.ngram_buckets)
    return PositionClass(names, reads, config.classes)
