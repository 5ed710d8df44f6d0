"""Matrices as the product tiles read them, in float32, float64 or pairs of bfloat16.

A matrix W [depth, columns] is packed in *panels*: for each strip of ``TILE_VECTORS`` registers of
columns one block in memory, [depth, width], read once from beginning to end for every tile of rows.
With bfloat16 an element of a panel is an int32 that holds two neighbours along the depth, which the
processor multiplies and adds at once; the panels' dtype, int32, says so to everything below.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from charrnn.compute.bfloat16 import bfloat16_bits, store_bfloat16, store_pairs
from charrnn.compute.cache import PART, kernel
from charrnn.compute.target import TILE_ROWS, TILE_VECTORS, VECTOR_BYTES
from charrnn.compute.transposition import transpose
from charrnn.compute.vector import broadcast, lanes, load, store

#: Rows of the summed dimension that one block of a weight gradient packs: a panel of that depth
#: stays in L1 (docs/measurements.md).
BLOCK_DEPTH = 128

#: Columns of the other factor that are packed together: a row of them is read in one go, and a
#: panel that is in L1 meets them all (docs/measurements.md).
GROUP_COLUMNS = 128

#: dtype of panels that hold pairs of bfloat16.
PAIRS = np.dtype(np.int32)


def padded(size: int, dtype: np.dtype | type) -> int:
    """``size`` rounded up to whole registers and whole tiles of rows."""
    unit = max(VECTOR_BYTES // np.dtype(dtype).itemsize, TILE_ROWS)
    return -(-size // unit) * unit


def panel_width(dtype: np.dtype | type) -> int:
    """Columns of one panel."""
    return TILE_VECTORS * VECTOR_BYTES // np.dtype(dtype).itemsize


def packed_size(depth: int, columns: int, dtype: np.dtype | type) -> int:
    """Elements that the panels of a [depth, columns] matrix take; the depth is ``padded``."""
    width = panel_width(dtype)
    return _steps(depth, dtype) * -(-columns // width) * width


def gradient_scratch_size(width: int, dtype: np.dtype | type) -> int:
    """Elements of scratch that a thread needs in ``products.weight_gradient``."""
    columns = _steps(BLOCK_DEPTH, dtype) * GROUP_COLUMNS
    return columns + packed_size(BLOCK_DEPTH, width, dtype)


def _steps(depth: int, dtype: np.dtype | type) -> int:
    """Elements of a panel along the depth."""
    return depth // 2 if np.dtype(dtype) == PAIRS else depth


def put(panels, at, width, d, i, value):
    """Write element [d, i] of the panel that begins at ``at``, of ``width`` columns."""


@overload(put, jit_options=PART)
def _put(panels, at, width, d, i, value):
    if panels.dtype == types.int32:

        def put_half(panels, at, width, d, i, value):
            halves = panels.view(np.uint16)
            halves[2 * at + ((d >> 1) * width + i) * 2 + (d & 1)] = bfloat16_bits(value)

        return put_half

    def put_whole(panels, at, width, d, i, value):
        panels[at + d * width + i] = value

    return put_whole


def steps_of(depth, panels):
    """Elements of a panel along ``depth``."""


@overload(steps_of, jit_options=PART)
def _steps_of(depth, panels):
    if panels.dtype == types.int32:
        return lambda depth, panels: (depth + 1) // 2
    return lambda depth, panels: depth


def pack_square(source, at, stride, panels, panels_at, width):
    """Write registers of columns that lie along the depth, ``stride`` apart, in the source."""


@overload(pack_square, jit_options=PART)
def _pack_square(source, at, stride, panels, panels_at, width):
    if panels.dtype != types.int32:
        return lambda source, at, stride, panels, panels_at, width: transpose(
            source, at, stride, panels, panels_at, width
        )

    def pairs(source, at, stride, panels, panels_at, width):
        size = lanes(panels)
        rounded = np.empty(size * size, np.int32)
        halves = rounded.view(np.uint16)
        for i in range(size):
            for d in range(0, 2 * size, size):
                store_bfloat16(halves, i * 2 * size + d, load(source, at + i * stride + d))
        transpose(rounded, 0, size, panels, panels_at, width)

    return pairs


@kernel
def _distance(index, first, count):
    """From each of ``count`` places to the next; 0 if that varies or one of them is padding."""
    if count < 2 or first + count > index.size or index[first] < 0:
        return 0
    distance = index[first + 1] - index[first]
    for i in range(first + 1, first + count):
        if index[i] < 0 or index[i] - index[i - 1] != distance:
            return 0
    return distance


@kernel
def _pack_part(source, source_at, depth_index, column_index, d, depth, c, panels, at, width):
    """What is neither along the columns nor along the depth, or has padding in it."""
    for j in range(depth):
        for i in range(lanes(panels)):
            present = c + i < column_index.size and column_index[c + i] >= 0
            value = source[0] * 0
            if present and depth_index[d + j] >= 0:
                value = source[source_at + depth_index[d + j] + column_index[c + i]]
            put(panels, at, width, j, i, value)


@kernel
def pack(source, source_at, depth_index, column_index, panels, part, parts):
    """Write the matrix source[depth_index[d] + column_index[c]] as panels; index -1 is padding.

    The two index arrays map the padded, block-ordered matrix that products use to the flat
    parameter that holds it, transposed or not; neighbours in it are neighbours in a column or in a
    row, and are moved by whole registers. Threads share the panels.
    """
    size, steps = lanes(panels), steps_of(depth_index.size, panels)
    width, square = TILE_VECTORS * size, size * depth_index.size // steps
    for panel in range(part, -(-column_index.size // width), parts):
        for c in range(panel * width, (panel + 1) * width, size):
            for d in range(0, depth_index.size, square):
                depth = min(square, depth_index.size - d)
                at = (panel * steps + steps_of(d, panels)) * width + c - panel * width
                down, across = _distance(depth_index, d, depth), _distance(column_index, c, size)
                if down == 1 and across and depth == square:
                    start = source_at + depth_index[d] + column_index[c]
                    pack_square(source, start, across, panels, at, width)
                elif down and across == 1:
                    start = source_at + depth_index[d] + column_index[c]
                    for step in range(steps_of(depth, panels)):
                        store_rows(panels, at + step * width, source, start, down, step, depth)
                else:
                    _pack_part(source, source_at, depth_index, column_index, d, depth, c,
                               panels, at, width)  # fmt: skip


@kernel
def unpack(packed, depth_index, column_index, target, target_at, part, parts):
    """Write the gradient of a packed matrix, result[c, d], to the parameter it was packed from."""
    columns, depth = column_index.size, depth_index.size
    for c in range(columns * part // parts, columns * (part + 1) // parts):
        if column_index[c] >= 0:
            for d in range(depth):
                if depth_index[d] >= 0:
                    at = target_at + depth_index[d] + column_index[c]
                    target[at] = packed[c * depth + d]


def operand(a, at, row, rows, depth, panels):
    """A as the tile reads it beside ``panels``: (array, offset, row stride, steps of depth)."""


@overload(operand, jit_options=PART)
def _operand(a, at, row, rows, depth, panels):
    if panels.dtype != types.int32:
        return lambda a, at, row, rows, depth, panels: (a, at, row, depth)

    def rounded(a, at, row, rows, depth, panels):
        pairs = np.empty(rows * depth // 2, np.int32)
        halves = pairs.view(np.uint16)
        for r in range(rows):
            for d in range(0, depth, lanes(a)):
                store_bfloat16(halves, r * depth + d, load(a, at + r * row + d))
        return pairs, 0, depth // 2, depth // 2

    return rounded


def store_rows(packed, at, x, x_at, x_row, step, depth):
    """Write to ``packed`` the step's registers at ``x_at``: one row, or a pair of rows.

    Rows at or beyond ``depth`` count as zeros.
    """


@overload(store_rows, jit_options=PART)
def _store_rows(packed, at, x, x_at, x_row, step, depth):
    if packed.dtype != types.int32:

        def one(packed, at, x, x_at, x_row, step, depth):
            store(packed, at, load(x, x_at + step * x_row))

        return one

    def pair(packed, at, x, x_at, x_row, step, depth):
        low = load(x, x_at + 2 * step * x_row)
        high = broadcast(x, 0.0)
        if 2 * step + 1 < depth:
            high = load(x, x_at + (2 * step + 1) * x_row)
        store_pairs(packed, at, low, high)

    return pair


@kernel
def pack_rows(x, x_at, x_row, width, depth, panels, panels_at):
    """Copy ``width`` columns of ``depth`` rows, ``x_row`` elements apart, into panels that are
    ``BLOCK_DEPTH`` deep.
    """
    strip = TILE_VECTORS * lanes(x)
    full = steps_of(BLOCK_DEPTH, panels)
    for step in range(steps_of(depth, panels)):
        for column in range(0, width, lanes(x)):
            panel, within = column // strip, column % strip
            at = panels_at + (panel * full + step) * strip + within
            store_rows(panels, at, x, x_at + column, x_row, step, depth)


@kernel
def pack_columns(d, d_at, d_row, columns, unit, depth, packed, bias, bias_at):
    """Copy ``columns`` columns of ``depth`` rows, and add their sums to ``bias``.

    Each ``unit`` of them lies by itself in ``packed``, [depth, unit], as a panel does.
    """
    stride = steps_of(BLOCK_DEPTH, packed) * unit
    for row in range(depth):
        for column in range(0, columns, lanes(d)):
            total = load(bias, bias_at + column) + load(d, d_at + row * d_row + column)
            store(bias, bias_at + column, total)
    for step in range(steps_of(depth, packed)):
        for column in range(0, columns, lanes(d)):
            at = column // unit * stride + step * unit + column % unit
            store_rows(packed, at, d, d_at + column, d_row, step, depth)
