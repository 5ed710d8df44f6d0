"""The layers of a network: where their matrices lie, how they are packed, their passes.

Inside the compiled core a matrix is padded to whole registers and its columns are ordered in the
cell's blocks; a parameter is neither. Index arrays translate, in both directions, when weights
are packed after an update and when gradients come back.
"""

from __future__ import annotations

import numpy as np

from charrnn.compute import packing, products, readout, recurrence
from charrnn.config import ModelConfig
from charrnn.parameters import cell_of


def plain_index(size: int, width: int, stride: int) -> np.ndarray:
    """``arange(size)·stride``, then -1 (padding) up to ``width``."""
    index = np.full(width, -1, np.int64)
    index[:size] = np.arange(size) * stride
    return index


def block_index(blocks: tuple[int, ...], size: int, width: int, stride: int) -> np.ndarray:
    """Where the columns of neighbouring padded blocks lie in a matrix with a row for each unit.

    Column (blocks[g] - first block)·width + j is row g·size + j of the matrix, rows being
    ``stride`` elements apart; -1 where j is padding.
    """
    index = np.full((len(blocks), width), -1, np.int64)
    for gate, block in enumerate(blocks):
        index[block - min(blocks), :size] = (gate * size + np.arange(size)) * stride
    return index.reshape(-1)


class Matrix:
    """A weight matrix, as panels for x·W (forward) and for d·Wᵀ (backward).

    ``depth_index`` and ``column_index`` add up to the place of an element in the flat parameters,
    counted from ``at``. ``panels`` is the dtype of the panels: ``dtype``, or ``packing.PAIRS``.
    """

    def __init__(self, at: int, depth_index, column_index, dtype, panels) -> None:
        self.at, self.depth_index, self.column_index = at, depth_index, column_index
        self.depth, self.columns = depth_index.size, column_index.size
        self.forward = np.empty(packing.packed_size(self.depth, self.columns, panels), panels)
        self.backward = np.empty(0, panels)
        self.gradient = self.bias_gradient = np.empty(0, dtype)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        dtype, panels = self.gradient.dtype, self.forward.dtype
        self.backward = np.empty(packing.packed_size(self.columns, self.depth, panels), panels)
        self.gradient = np.empty(self.columns * self.depth, dtype)
        self.bias_gradient = np.empty(self.columns, dtype)

    def pack(self, values: np.ndarray, start: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the panels; the bias is no part of them."""
        rows, columns = self.depth_index, self.column_index
        packing.pack(values, self.at, rows, columns, self.forward, part, parts)
        if self.backward.size:
            packing.pack(values, self.at, columns, rows, self.backward, part, parts)

    def differentiate(self, d, first_column, x, scratch, accumulate, part, parts) -> None:
        """Sum this thread's share of the gradient over rows d [N, ·] and x [N, depth]."""
        products.weight_gradient(
            d, first_column, self.columns, x, scratch, self.gradient, self.bias_gradient,
            accumulate, part, parts,
        )  # fmt: skip

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradient to the flat ``gradients``."""
        packing.unpack(
            self.gradient, self.depth_index, self.column_index, gradients, self.at, part, parts
        )


class Table:
    """Rows to be chosen by character: an embedding, or the input matrix of one-hot characters.

    A one-hot input times a matrix is one of its columns, so the table is that matrix transposed,
    with the layer's bias added: choosing a row is the whole input product.
    """

    def __init__(self, at: int, row_index, column_index, width: int, first: int, dtype) -> None:
        self.at, self.row_index, self.column_index = at, row_index, column_index
        self.first = first  # column of a row where the parameter's own columns begin
        self.rows = np.empty((row_index.size, width), dtype)
        self.gradient = np.empty((0, 0), dtype)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        shape = self.row_index.size, self.column_index.size
        self.gradient = np.empty(shape, self.rows.dtype)

    @property
    def bias_gradient(self) -> np.ndarray:
        """Gradient of what was added to every row."""
        return self.gradient.sum(axis=0)

    def pack(self, values: np.ndarray, start: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the rows: ``start`` [width] plus the parameter."""
        readout.fill_table(
            values, self.at, self.row_index, self.column_index, self.first, start,
            self.rows, part, parts,
        )  # fmt: skip

    def gather(self, indices, result, first: int, last: int) -> None:
        """result[:, first:last] = rows[indices]."""
        readout.gather_rows(self.rows, indices, result, first, last)

    def scatter(self, d, indices, part: int, parts: int) -> None:
        """Sum the gradients ``d`` [T, B, ·] of the chosen rows, this thread's columns."""
        readout.scatter_rows(d, self.first, indices, self.gradient, part, parts)

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradient to the flat ``gradients``."""
        packing.unpack(
            self.gradient.reshape(-1), self.column_index, self.row_index, gradients, self.at,
            part, parts,
        )  # fmt: skip


class Recurrent:
    """A recurrent layer: an input matrix (or a table, where it reads characters), a recurrent
    matrix and two biases, whose places in the flat parameters are given.
    """

    def __init__(self, config: ModelConfig, layer: int, places: dict, dtype, panels) -> None:
        self.cell = cell = cell_of(config)
        size = config.hidden_size
        inputs = size if layer else config.input_size
        self.width = width = packing.padded(size, dtype)
        self.row = cell.blocks * width
        self.input_columns = (min(cell.input_blocks) * width, cell.gates * width)
        self.recurrent_columns = (min(cell.recurrent_blocks) * width, cell.gates * width)
        self.bias = np.zeros(self.row, dtype)
        self._input_bias = places["bias_ih"], block_index(cell.input_blocks, size, width, 1)
        self._recurrent_bias = places["bias_hh"], block_index(cell.recurrent_blocks, size, width, 1)
        self.recurrent = Matrix(
            places["weight_hh"],
            plain_index(size, width, 1),
            block_index(cell.recurrent_blocks, size, width, size),
            dtype,
            panels,
        )
        at, columns = places["weight_ih"], block_index(cell.input_blocks, size, width, inputs)
        self.input: Matrix | Table
        if layer == 0 and not config.embedding_size:
            rows = np.arange(inputs)
            self.input = Table(at, rows, columns, self.row, self.input_columns[0], dtype)
        else:
            depth = plain_index(inputs, packing.padded(inputs, dtype), 1)
            self.input = Matrix(at, depth, columns, dtype, panels)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        self.input.prepare_training()
        self.recurrent.prepare_training()

    def pack_bias(self, values: np.ndarray) -> None:
        """Add the two biases up in one row of blocks; ``pack`` of a table needs it."""
        self.bias[:] = 0
        for (first, _), (at, index) in self._placed_biases():
            present = np.flatnonzero(index >= 0)
            self.bias[first + present] += values[at + index[present]]

    def _placed_biases(self):
        columns = self.input_columns, self.recurrent_columns
        return zip(columns, (self._input_bias, self._recurrent_bias), strict=True)

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights."""
        self.input.pack(values, self.bias, part, parts)
        self.recurrent.pack(values, self.bias, part, parts)

    def forward(self, x, run: LayerBuffers, resets, dropout, first: int, last: int) -> None:
        """All steps of the lanes ``first … last``; ``x`` [T, B, ·] or characters [T, B]."""
        if isinstance(self.input, Table):
            self.input.gather(x, run.gates, first, last)
        else:
            recurrence.project_lanes(
                x, self.input.forward, self.bias, run.gates, self.input_columns, first, last
            )
        recurrence.forward_lanes(
            self.cell, run.gates, run.states, run.output, resets, self.recurrent.forward,
            self.recurrent_columns, dropout, first, last,
        )  # fmt: skip

    def backward(self, run: LayerBuffers, dx, resets, dropout, first: int, last: int) -> None:
        """The way back; gradients of the pre-activations stay in ``run.gates``.

        ``dx`` receives the gradient of the input, unless the input is characters.
        """
        recurrence.backward_lanes(
            self.cell, run.gates, run.states, run.dstates, run.doutput, resets,
            self.recurrent.backward, self.recurrent_columns, dropout, first, last,
        )  # fmt: skip
        if isinstance(self.input, Matrix):
            recurrence.unproject_lanes(
                run.gates, self.input_columns, self.input.backward, dx, first, last
            )

    def differentiate(self, x, run: LayerBuffers, scratch, part: int, parts: int) -> None:
        """Sum this thread's share of the gradients of all matrices and biases."""
        d = run.gates.reshape(-1, self.row)
        hidden = run.states[0, :-1].reshape(-1, self.width)
        self.recurrent.differentiate(
            d, self.recurrent_columns[0], hidden, scratch, False, part, parts
        )
        if isinstance(self.input, Table):
            self.input.scatter(run.gates, x, part, parts)
        else:
            x = x.reshape(-1, x.shape[2])
            self.input.differentiate(d, self.input_columns[0], x, scratch, False, part, parts)

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        self.input.unpack(gradients, part, parts)
        self.recurrent.unpack(gradients, part, parts)
        if part == 0:
            for matrix, (at, index) in (
                (self.input, self._input_bias),
                (self.recurrent, self._recurrent_bias),
            ):
                present = np.flatnonzero(index >= 0)
                gradients[at + index[present]] = matrix.bias_gradient[present]


class LayerBuffers:
    """What a layer leaves behind in a pass of T steps over B lanes; sizes in ``recurrence``."""

    def __init__(self, layer: Recurrent, steps: int, batch: int, dtype) -> None:
        count, width = len(layer.cell.states), layer.width
        self.gates = np.empty((steps, batch, layer.row), dtype)
        self.states = np.zeros((count, steps + 1, batch, width), dtype)
        self.output = np.empty((steps, batch, width), dtype)
        self.dstates = np.empty((count, batch, width), dtype)
        self.doutput = np.empty((steps, batch, width), dtype)
