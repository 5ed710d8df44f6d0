"""Matrix products: a register tile, and the loops around it.

A product C = S + A·W takes W packed (see ``packing``). The start S is C itself (to accumulate), or
a bias row with row stride 0. Columns come in whole registers: matrices are padded with zeros.

Each element of C is one sum in order of depth whatever tile it falls into, so results do not
depend on how rows are shared among threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from charrnn.compute.bfloat16 import multiply_add_pairs
from charrnn.compute.cache import kernel
from charrnn.compute.packing import (
    BLOCK_DEPTH,
    GROUP_COLUMNS,
    operand,
    pack_columns,
    pack_rows,
    steps_of,
)
from charrnn.compute.target import TILE_ROWS, TILE_VECTORS
from charrnn.compute.vector import (
    VectorType,
    lanes,
    llvm_type,
    pointer,
    splat,
    unaligned_load,
    unaligned_store,
)

#: Rows of A that pass all panels together: they stay in cache (docs/measurements.md).
_ROWS_TOGETHER = 64


class Rows(NamedTuple):
    """Rows in a flat array: where the first begins, and the elements from one to the next."""

    flat: Any
    at: int
    stride: int


class Columns(NamedTuple):
    """Neighbouring columns of rows [N, ·]: the first, and how many."""

    rows: Any
    first: int
    size: int


class Sums(NamedTuple):
    """A weight gradient, that of the bias, and what a thread needs to make them."""

    matrix: Any  # flat [columns, width]
    bias: Any  # [columns]
    scratch: Any  # [gradient_scratch_size(width)], the thread's own


class Loop:
    """A counted loop in LLVM IR that carries values (accumulators, positions) around."""

    def __init__(self, builder, count, carried):
        self.builder = builder
        before = builder.block
        self.body = builder.append_basic_block("body")
        self.end = builder.append_basic_block("end")
        zero = ir.Constant(count.type, 0)
        builder.cbranch(builder.icmp_signed(">", count, zero), self.body, self.end)
        builder.position_at_end(self.body)
        self.carried = []
        for value in (zero, *carried):
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            self.carried.append(phi)
        self.before, self.start, self.count = before, carried, count

    def close(self, carried):
        """End the body with the next carried values; return the values after the loop."""
        builder = self.builder
        step = builder.add(self.carried[0], ir.Constant(self.count.type, 1))
        for phi, value in zip(self.carried, (step, *carried), strict=True):
            phi.add_incoming(value, builder.block)
        last = builder.block
        builder.cbranch(builder.icmp_signed("<", step, self.count), self.body, self.end)
        builder.position_at_end(self.end)
        results = []
        for value, start in zip(carried, self.start, strict=True):
            phi = builder.phi(value.type)
            phi.add_incoming(start, self.before)
            phi.add_incoming(value, last)
            results.append(phi)
        return results


def multiply_add(builder, value, weight, total):
    """total + value·weight: fused where the processor has it, or pairs of bfloat16."""
    type_ = total.type
    if isinstance(weight.type.element, ir.IntType):
        return multiply_add_pairs(builder, value, weight, total)
    bits = 32 if isinstance(type_.element, ir.FloatType) else 64
    name = f"llvm.fmuladd.v{type_.count}f{bits}"
    function = ir.FunctionType(type_, [type_] * 3)
    fused = cgutils.get_or_insert_function(builder.module, function, name)
    return builder.call(fused, [value, weight, total])


def _tile(rows, vectors):
    """A function that computes ``rows`` rows × ``vectors`` registers of columns of a product.

    The whole loop over depth is vector IR on raw pointers: accumulators are SSA values, never an
    array. Arguments: the first row; A's stride along depth, and A with offset and row stride; panel
    with offset; start with offset and row stride; C with offset and row stride; depth.
    """

    @intrinsic
    def tile(
        typingctx, row, a_step, a, a_at, a_row, panel, panel_at, start, start_at, start_row,
        c, c_at, c_row, depth,
    ):  # fmt: skip
        vector = VectorType(c.dtype)
        register = llvm_type(vector)
        packed = llvm_type(VectorType(panel.dtype))
        panel_step = TILE_VECTORS * vector.lanes

        def codegen(context, builder, sig, args):
            (row_, a_step_, a_, a_at_, a_row_, panel_, panel_at_, start_, start_at_, start_row_,
             c_, c_at_, c_row_, depth_) = args  # fmt: skip

            def row_pointers(type_, array, at, stride):
                first = pointer(context, builder, type_, array, at)
                indices = [builder.add(row_, row_.type(i)) for i in range(rows)]
                return [builder.gep(first, [builder.mul(stride, index)]) for index in indices]

            def columns(row):
                return [
                    builder.gep(row, [ir.IntType(64)(v * vector.lanes)]) for v in range(vectors)
                ]

            def cells(pointers):
                return [column for row in pointers for column in columns(row)]

            a_rows = row_pointers(sig.args[2], a_, a_at_, a_row_)
            starts = cells(row_pointers(sig.args[7], start_, start_at_, start_row_))
            accumulators = [unaligned_load(builder, p, register) for p in starts]
            first_panel = pointer(context, builder, sig.args[5], panel_, panel_at_)

            loop = Loop(builder, depth_, [a_step_.type(0), first_panel, *accumulators])
            _, position, strip, *sums = loop.carried
            weights = [unaligned_load(builder, p, packed) for p in columns(strip)]
            for i, row in enumerate(a_rows):
                value = splat(builder, builder.load(builder.gep(row, [position])), packed)
                for v, weight in enumerate(weights):
                    at = i * vectors + v
                    sums[at] = multiply_add(builder, value, weight, sums[at])
            next_strip = builder.gep(strip, [ir.IntType(64)(panel_step)])
            _, _, *sums = loop.close([builder.add(position, a_step_), next_strip, *sums])

            targets = cells(row_pointers(sig.args[10], c_, c_at_, c_row_))
            for value, target in zip(sums, targets, strict=True):
                unaligned_store(builder, value, target)
            return context.get_dummy_value()

        i = types.intp
        return types.void(i, i, a, i, i, panel, i, start, i, i, c, i, i, i), codegen

    return tile


_WHOLE, _PAIR, _SINGLE = (_tile(TILE_ROWS, vectors) for vectors in (TILE_VECTORS, 2, 1))


def _strip(tall, vectors):
    """A kernel that multiplies all rows with ``vectors`` registers of columns of one panel."""
    half, pair, single = (_tile(rows, vectors) for rows in (4, 2, 1))

    def strip(rows, operands):
        row = 0
        while rows - row >= TILE_ROWS:
            tall(row, 1, *operands)
            row += TILE_ROWS
        if TILE_ROWS > 4 and rows - row >= 4:
            half(row, 1, *operands)
            row += 4
        if rows - row >= 2:
            pair(row, 1, *operands)
            row += 2
        if rows - row >= 1:
            single(row, 1, *operands)

    # Numba links kernels by their name: a namesake that another process has left in the cache
    # must not be taken for this one.
    strip.__qualname__ = f"_strip{vectors}"
    return kernel(strip)


_whole_strip, _pair_strip = _strip(_WHOLE, TILE_VECTORS), _strip(_PAIR, 2)
_single_strip = _strip(_SINGLE, 1)


@kernel
def _registers(columns, size):
    """Registers of ``size`` columns that the next tile takes: those of a panel, or 2, or 1."""
    whole = columns // size
    return TILE_VECTORS if whole >= TILE_VECTORS else min(whole, 2)


@kernel
def multiply(a, rows, panels, depth, start, c, columns):
    """C[rows, columns] = start + A[rows, depth] · W, where A, start and C are ``Rows``.

    ``panels`` holds W as ``pack`` writes it; ``columns`` is a whole number of registers.
    A start of stride 0 adds one row (a bias) to all; ``start`` may be C.
    """
    multiply_part(a, rows, panels, depth, start, c, columns, depth)


@kernel
def multiply_part(a, rows, panels, depth, start, c, columns, whole):
    """As ``multiply``, with the first ``depth`` rows and ``columns`` of a W that is ``whole`` deep.

    ``panels`` may begin where a row of W does, for rows further down.
    """
    size, panel_steps = lanes(c.flat), steps_of(whole, panels)
    width = TILE_VECTORS * size
    for row in range(0, rows, _ROWS_TOGETHER):
        count = min(_ROWS_TOGETHER, rows - row)
        left, left_at, left_row, steps = operand(
            a.flat, a.at + row * a.stride, a.stride, count, depth, panels
        )
        column = 0
        while column < columns:
            panel = column // width * width * panel_steps + column % width
            operands = (
                left, left_at, left_row, panels, panel,
                start.flat, start.at + row * start.stride + column, start.stride,
                c.flat, c.at + row * c.stride + column, c.stride, steps,
            )  # fmt: skip
            registers = _registers(columns - column, size)
            if registers == TILE_VECTORS:
                _whole_strip(count, operands)
            elif registers == 2:
                _pair_strip(count, operands)
            else:
                _single_strip(count, operands)
            column += registers * size


@kernel
def _add_products(sums, group, unit, panels_at, width, column, depth):
    """Add to ``group`` columns what ``pack_columns`` has packed times what ``pack_rows`` has.

    Each panel is multiplied with all columns while it is in L1.
    """
    result, scratch = sums.matrix, sums.scratch
    size, full = lanes(result), steps_of(BLOCK_DEPTH, scratch)
    strip = TILE_VECTORS * size
    left = 0
    while left < width:
        registers = _registers(width - left, size)
        panel = panels_at + left // strip * strip * full + left % strip
        for own in range(0, group, TILE_ROWS):
            at = (column + own) * width + left
            operands = (scratch, own // unit * unit * full + own % unit, 1, scratch, panel,
                        result, at, width, result, at, width, steps_of(depth, scratch))  # fmt: skip
            if registers == TILE_VECTORS:
                _WHOLE(0, unit, *operands)
            elif registers == 2:
                _PAIR(0, unit, *operands)
            else:
                _SINGLE(0, unit, *operands)
        left += registers * size


@kernel
def weight_gradient(d, x, sums, accumulate, part, parts):
    """sums.matrix (+)= Dᵀ·X and sums.bias (+)= Σ D, summed over rows.

    D and X are ``Columns`` of [N, ·], both counts ``padded``. Threads share the columns of D and
    never split the sum.
    """
    rows, d_row = d.rows.shape
    x_row = x.rows.shape[1]
    flat_d, flat_x = d.rows.reshape(-1), x.rows.reshape(-1)
    unit = max(TILE_ROWS, lanes(flat_x))
    units = d.size // unit
    first, last = units * part // parts * unit, units * (part + 1) // parts * unit
    if not accumulate:
        sums.matrix[first * x.size : last * x.size] = 0
        sums.bias[first:last] = 0
    panels_at = steps_of(BLOCK_DEPTH, sums.scratch) * GROUP_COLUMNS
    for row in range(0, rows, BLOCK_DEPTH):
        depth = min(BLOCK_DEPTH, rows - row)
        pack_rows(flat_x, row * x_row + x.first, x_row, x.size, depth, sums.scratch, panels_at)
        for column in range(first, last, GROUP_COLUMNS):
            group = min(GROUP_COLUMNS, last - column)
            d_at = row * d_row + d.first + column
            pack_columns(flat_d, d_at, d_row, group, unit, depth, sums.scratch, sums.bias, column)
            _add_products(sums, group, unit, panels_at, x.size, column, depth)
