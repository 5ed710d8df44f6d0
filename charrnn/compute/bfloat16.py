"""bfloat16 on vector registers: rounding, pairs, and the processor's product of pairs.

Pairs are kept as int32, the first of a pair in the low half; llvmlite knows no bfloat, so the
type is made here and appears inside these functions only.
"""

from __future__ import annotations

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from charrnn.compute.vector import pointer, vector_pointer


class _BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite has no class for."""

    def _to_string(self):
        return "bfloat"

    def __eq__(self, other):
        return isinstance(other, _BFloat)

    def __hash__(self):
        return hash(_BFloat)


def _rounded_bits(builder, value):
    """The bits of a register of float32 rounded to bfloat16, as 16-bit integers."""
    count = value.type.count
    rounded = builder.fptrunc(value, ir.VectorType(_BFloat(), count))
    return builder.bitcast(rounded, ir.VectorType(ir.IntType(16), count))


@intrinsic
def bfloat16_bits(typingctx, value):
    """The bits of a float32 number rounded to bfloat16."""

    def codegen(context, builder, sig, args):
        return builder.bitcast(builder.fptrunc(args[0], _BFloat()), ir.IntType(16))

    return types.uint16(types.float32), codegen


@intrinsic
def store_bfloat16(typingctx, array, offset, value):
    """Write a float32 register as bfloat16 bits to an uint16 ``array`` at a flat offset."""

    def codegen(context, builder, sig, args):
        data = pointer(context, builder, sig.args[0], args[0], args[1])
        bits = _rounded_bits(builder, args[2])
        instruction = builder.store(bits, vector_pointer(builder, data, bits.type))
        instruction.align = 2
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


@intrinsic
def store_pairs(typingctx, array, offset, low, high):
    """Write two float32 registers as one of pairs (low, high) of bfloat16 to an int32 array."""

    def codegen(context, builder, sig, args):
        integers = ir.VectorType(ir.IntType(32), args[2].type.count)
        low_, high_ = (builder.zext(_rounded_bits(builder, a), integers) for a in args[2:])
        pairs = builder.or_(low_, builder.shl(high_, integers([16] * integers.count)))
        data = pointer(context, builder, sig.args[0], args[0], args[1])
        instruction = builder.store(pairs, vector_pointer(builder, data, integers))
        instruction.align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, low, high), codegen


def multiply_add_pairs(builder, pair, pairs, sums):
    """sums + low·low + high·high for registers of pairs of bfloat16 (as int32) in float32."""
    type_ = sums.type
    halves = ir.VectorType(_BFloat(), 2 * type_.count)
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(type_, [type_, halves, halves]),
        "llvm.x86.avx512bf16.dpbf16ps.512",
    )
    return builder.call(
        function, [sums, builder.bitcast(pair, halves), builder.bitcast(pairs, halves)]
    )
