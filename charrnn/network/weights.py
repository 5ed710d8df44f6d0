"""The matrices of a network: where they lie among the parameters, and how they are packed.

Inside the compiled core a matrix is padded to whole registers and its columns are ordered in the
cell's blocks; a parameter is neither. Index arrays translate, in both directions, when weights
are packed after an update and when gradients come back.
"""

from __future__ import annotations

import numpy as np

from charrnn.compute import packing, products, readout
from charrnn.compute.target import HAS_BFLOAT16
from charrnn.errors import UsageError


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


def block_places(blocks: tuple[int, ...], size: int, width: int) -> np.ndarray:
    """Columns of a row that hold the units of some blocks, gate by gate."""
    return np.concatenate([block * width + np.arange(size) for block in blocks])


class Matrix:
    """A weight matrix, as panels for x·W (forward) and for d·Wᵀ (backward).

    ``depth_index`` and ``column_index`` add up to the place of an element in the flat parameters,
    counted from ``at``. ``panels`` is the dtype of the panels: ``dtype``, or ``packing.PAIRS``.
    A product makes ``each`` column; matrices to choose from are ``apart`` elements of the panels.
    """

    def __init__(
        self,
        at: int,
        depth_index: np.ndarray,
        column_index: np.ndarray,
        dtype: np.dtype,
        panels: np.dtype,
    ) -> None:
        self.at, self.depth_index, self.column_index = at, depth_index, column_index
        self.depth, self.columns = depth_index.size, column_index.size
        self.each, self.apart, self.apart_back = self.columns, 0, 0
        self.forward = np.empty(packing.packed_size(self.depth, self.columns, panels), panels)
        self.backward = np.empty(0, panels)
        self.gradient = self.bias_gradient = np.empty(0, dtype)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        dtype, panels = self.gradient.dtype, self.forward.dtype
        self.backward = np.empty(packing.packed_size(self.columns, self.depth, panels), panels)
        self.gradient = np.empty(self.columns * self.depth, dtype)
        self.bias_gradient = np.empty(self.columns, dtype)

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the panels."""
        rows, columns = self.depth_index, self.column_index
        packing.pack(values, self.at, rows, columns, self.forward, part, parts)
        if self.backward.size:
            packing.pack(values, self.at, columns, rows, self.backward, part, parts)

    def made(self, rows: np.ndarray, first: int = 0) -> products.Columns:
        """The columns of rows [N, ·] that the matrix makes, or their gradients."""
        return products.Columns(rows, first, self.each)

    def read(self, rows: np.ndarray, first: int = 0) -> products.Columns:
        """The columns of rows [N, ·] that the matrix reads."""
        return products.Columns(rows, first, self.depth)

    def differentiate(
        self,
        d: products.Columns,
        x: products.Columns,
        scratch: np.ndarray,
        part: int,
        parts: int,
        *,
        accumulate: bool = False,
    ) -> None:
        """Sum this thread's share of the gradient over rows: ``d`` was ``made`` of ``x``."""
        sums = products.Sums(self.gradient, self.bias_gradient, scratch)
        products.weight_gradient(d, x, sums, accumulate, part, parts)

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradient to the flat ``gradients``."""
        packing.unpack(
            self.gradient, self.depth_index, self.column_index, gradients, self.at, part, parts
        )


class ChosenMatrices(Matrix):
    """``count`` matrices side by side, of which each row of a product chooses one.

    Their parameters are ``stride`` elements apart; the columns of each begin with a panel.
    """

    def __init__(
        self,
        count: int,
        stride: int,
        at: int,
        indices: tuple[np.ndarray, np.ndarray],
        dtype: np.dtype,
        panels: np.dtype,
    ) -> None:
        depth, own = indices
        unit = packing.panel_width(panels)
        columns = np.full((count, -(-own.size // unit) * unit), -1, np.int64)
        columns[:, : own.size] = np.where(own < 0, -1, own + stride * np.arange(count)[:, None])
        super().__init__(at, depth, columns.reshape(-1), dtype, panels)
        self.count, self.each, self._room = count, own.size, columns.shape[1]
        self.apart = packing.packed_size(self.depth, self._room, panels)
        self.apart_back = packing.packed_size(self._room, unit, panels)

    def differentiate_chosen(
        self,
        chosen: np.ndarray,
        d: products.Columns,
        x: products.Columns,
        scratch: np.ndarray,
        part: int,
        parts: int,
    ) -> None:
        """Sum the gradients of this thread's matrices over the rows that have ``chosen`` [N] them.

        ``d`` was made of ``x``.
        """
        order = np.argsort(chosen, kind="stable")
        ends = np.searchsorted(chosen[order], np.arange(self.count + 1))
        gradients = self.gradient.reshape(self.count, self._room, self.depth)
        bias = np.empty(self.each, self.gradient.dtype)
        for n in range(part, self.count, parts):
            rows = order[ends[n] : ends[n + 1]]
            own, read = (products.Columns(np.ascontiguousarray(
                rows_of.rows[rows, rows_of.first : rows_of.first + rows_of.size]
            ), 0, rows_of.size) for rows_of in (d, x))  # fmt: skip
            sums = products.Sums(gradients[n, : self.each].reshape(-1), bias, scratch)
            products.weight_gradient(own, read, sums, False, 0, 1)


class Table:
    """Rows to be chosen by character: an embedding, or the input matrix of one-hot characters.

    A one-hot input times a matrix is one of its columns, so the table is that matrix transposed,
    with the layer's bias added: choosing a row is the whole input product.
    """

    def __init__(
        self,
        at: int,
        row_index: np.ndarray,
        column_index: np.ndarray,
        width: int,
        first: int,
        dtype: np.dtype,
    ) -> None:
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

    def gather(self, indices: np.ndarray, result: np.ndarray, first: int, last: int) -> None:
        """result[:, first:last] = rows[indices]."""
        readout.gather_rows(self.rows, indices, result, first, last)

    def add(self, indices: np.ndarray, result: np.ndarray, first: int, last: int) -> None:
        """result[:, first:last] += rows[indices[a]] for each a; below 0: nothing."""
        readout.add_rows(self.rows, indices, result, first, last)

    def scatter(self, d: np.ndarray, indices: np.ndarray, part: int, parts: int) -> None:
        """Sum the gradients ``d`` [T, B, ·] of the rows chosen [T, B], or added [A, T, B], of this
        thread's columns.
        """
        indices = indices.reshape(-1, *d.shape[:2])
        readout.scatter_rows(d, self.first, indices, self.gradient, part, parts)

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradient to the flat ``gradients``."""
        packing.unpack(
            self.gradient.reshape(-1), self.column_index, self.row_index, gradients, self.at,
            part, parts,
        )  # fmt: skip


def panel_dtype(precision: str, dtype: np.dtype) -> np.dtype:
    """The type of packed weights, where all else is of ``dtype``.

    "auto" is float32: what a text scores or a seed writes should not depend on the machine.
    Training takes what is faster (see ``planning``). Raises ``UsageError`` where the processor
    cannot multiply bfloat16.
    """
    if precision != "bfloat16":
        return dtype
    if not HAS_BFLOAT16:
        raise UsageError(
            "this processor cannot multiply bfloat16 (it lacks AVX512-BF16): "
            "give `precision` float32"
        )
    return packing.PAIRS
