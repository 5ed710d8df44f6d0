"""What a layer is told of the network that it is part of, and what layers have in common."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from charrnn.compute import packing
from charrnn.compute.recurrence import Dropout
from charrnn.network.nodes import Node
from charrnn.network.weights import Matrix, plain_index

#: What a layer reads, or the gradients of it: an array for each node, or None for characters.
Arrays = list[Any]


class Place(NamedTuple):
    """Where a layer's parameters begin in the flat ones, and what it computes with."""

    at: dict[str, int]  # by the parameters' full names
    dtype: np.dtype  # of all but packed weights
    panels: np.dtype  # of packed weights
    head: Any = None  # the network's, for layers that feed its output back

    def width(self, node: Node) -> int:
        """Columns of a node's output, padded."""
        return sum(packing.padded(part.room, self.dtype) for part in node.parts)

    def units(self, node: Node) -> np.ndarray:
        """Which unit each column of a node's output holds; -1: it is padding."""
        indices, units = [], 0
        for part in node.parts:
            index = plain_index(part.size, packing.padded(part.room, self.dtype), 1)
            indices.append(np.where(index < 0, index, index + units))
            units += part.size
        return np.concatenate(indices)

    def linear(self, name: str, source: Node, size: int) -> Matrix:
        """The matrix of a feed-forward layer that makes ``size`` units of ``source``."""
        depth = self.units(source)
        columns = plain_index(size, packing.padded(size, self.dtype), source.size)
        return Matrix(self.at[name], depth, columns, self.dtype, self.panels)


class Call(NamedTuple):
    """What a pass is given beside buffers."""

    starts: np.ndarray  # [T, B]: 0, or r + 1 where a document starts from initial state r
    dropout: Dropout
    spans: np.ndarray  # [D, 3], documents that are written of what was read, by their lanes
    read: np.ndarray  # [D, 3], what they have read

    def documents(self, first: int, last: int) -> tuple[int, int]:
        """The first, and one past the last, of the documents of some lanes."""
        begin, end = np.searchsorted(self.spans[:, 0], (first, last))
        return int(begin), int(end)


class LayerBuffers:
    """What a layer leaves behind in a pass of T steps over B lanes."""

    def __init__(self, steps: int, batch: int, width: int, dtype: np.dtype) -> None:
        self.output = np.empty((steps, batch, width), dtype)
        self.doutput = np.empty((steps, batch, width), dtype)  # its gradient


class WithoutParameters:
    """What a layer that has no parameters does with them: nothing."""

    def matrices(self) -> list:
        """None."""
        return []

    def prepare_training(self) -> None:
        """There is nothing to prepare."""

    def pack_vectors(self, values: np.ndarray) -> None:
        """There is nothing to take."""

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """There is nothing to pack."""

    def differentiate(
        self, sources: Arrays, run: LayerBuffers, scratch: np.ndarray, part: int, parts: int
    ) -> None:
        """There are no parameters."""

    def unpack(self, gradients: np.ndarray, run: LayerBuffers, part: int, parts: int) -> None:
        """There are no parameters."""
