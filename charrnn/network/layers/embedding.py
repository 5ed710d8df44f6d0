"""The embedding: a row of a table for each character."""

from __future__ import annotations

import numpy as np

from charrnn.network.layers.place import Arrays, Call, LayerBuffers, Place
from charrnn.network.nodes import Embedding
from charrnn.network.program import Memory, Program
from charrnn.network.weights import Matrix, Table, plain_index


class EmbeddingLayer:
    """Rows chosen by character."""

    def __init__(self, node: Embedding, place: Place) -> None:
        self.node, self.width, dtype = node, place.width(node), place.dtype
        rows = np.arange(node.reads[0].size) * node.size
        columns = plain_index(node.size, self.width, 1)
        at = place.at[node.named("weight")]
        self.table = Table(at, rows, columns, self.width, 0, dtype)
        self._nothing = np.zeros(self.width, dtype)  # what is added to each row

    def matrices(self) -> list[Matrix]:
        """None: choosing a row is no product."""
        return []

    def buffers(self, steps: int, batch: int) -> LayerBuffers:
        """Room for a pass."""
        return LayerBuffers(steps, batch, self.width, self.table.rows.dtype)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        self.table.prepare_training()

    def pack_vectors(self, values: np.ndarray) -> None:
        """There are none."""

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the rows."""
        self.table.pack(values, self._nothing, part, parts)

    def forward(
        self, sources: Arrays, run: LayerBuffers, call: Call, first: int, last: int
    ) -> None:
        """The rows of all steps of some lanes."""
        self.table.gather(sources[0], run.output, first, last)

    def backward(
        self, run: LayerBuffers, dsources: Arrays, call: Call, first: int, last: int
    ) -> None:
        """Characters have no gradient."""

    def differentiate(
        self, sources: Arrays, run: LayerBuffers, scratch: np.ndarray, part: int, parts: int
    ) -> None:
        """Sum the gradients of each row, this thread's columns."""
        self.table.scatter(run.doutput, sources[0], part, parts)

    def unpack(self, gradients: np.ndarray, run: LayerBuffers, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        self.table.unpack(gradients, part, parts)

    def emit(self, program: Program, sources: list[Memory]) -> Memory:
        """A copy of the character's row."""
        return program.copy_rows(self.table.rows)
