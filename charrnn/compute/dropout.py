"""The mask of dropout: a hash of a key and a place, as a register."""

from __future__ import annotations

import llvmlite.ir as ir
from numba.core import types
from numba.extending import intrinsic

from charrnn.compute.vector import VectorType, llvm_type, splat


@intrinsic
def keep_mask(typingctx, array, key, index, threshold, scale):
    """Dropout's mask for the elements ``index … index + lanes`` of a register of ``array``.

    Each lane is ``scale`` where a hash of (key, index + lane) is at least ``threshold`` and 0
    elsewhere. The hash is a 32-bit integer mixer with two multiplications (the constants of
    C. Wellons' ``lowbias32``), so a mask depends on nothing but its key and its place: not on
    threads, and it is computed again in the backward pass instead of being kept.
    """
    vector = VectorType(array.dtype)

    def codegen(context, builder, sig, args):
        integers = ir.VectorType(ir.IntType(32), vector.lanes)

        def constant(value):
            return ir.Constant(integers, [value] * vector.lanes)

        key_, index_, threshold_ = (
            splat(builder, builder.trunc(a, ir.IntType(32)), integers) for a in args[1:4]
        )
        bits = builder.add(index_, ir.Constant(integers, list(range(vector.lanes))))
        bits = builder.xor(builder.mul(bits, constant(0x9E3779B1)), key_)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            bits = builder.xor(bits, builder.lshr(bits, constant(shift)))
            bits = builder.mul(bits, constant(factor))
        bits = builder.xor(bits, builder.lshr(bits, constant(16)))
        kept = splat(
            builder, context.cast(builder, args[4], sig.args[4], vector.dtype), llvm_type(vector)
        )
        dropped = ir.Constant(llvm_type(vector), None)
        return builder.select(builder.icmp_unsigned(">=", bits, threshold_), kept, dropped)

    sig = vector(array, types.int64, types.int64, types.int64, types.float64)
    return sig, codegen
