"""Squares of registers, transposed on their way from one array to another."""

from __future__ import annotations

import llvmlite.ir as ir
from numba.core import types
from numba.extending import intrinsic

from charrnn.compute.vector import (
    VectorType,
    llvm_type,
    pointer,
    unaligned_load,
    unaligned_store,
)


@intrinsic
def transpose(typingctx, array, offset, stride, target, target_offset, target_stride):
    """Copy a square of registers, ``stride`` elements apart, to ``target``, columns as rows."""
    type_ = llvm_type(VectorType(array.dtype))

    def codegen(context, builder, sig, args):
        array_, offset_, stride_, target_, target_offset_, target_stride_ = args
        rows = []
        for _ in range(type_.count):
            data = pointer(context, builder, sig.args[0], array_, offset_)
            rows.append(unaligned_load(builder, data, type_))
            offset_ = builder.add(offset_, stride_)
        for row in _transposed(builder, rows):
            data = pointer(context, builder, sig.args[3], target_, target_offset_)
            unaligned_store(builder, row, data)
            target_offset_ = builder.add(target_offset_, target_stride_)
        return context.get_dummy_value()

    i = types.intp
    return types.void(array, i, i, target, i, i), codegen


def _transposed(builder, rows):
    """A square of registers transposed: pairs of rows swap ever larger blocks of lanes."""
    count, size = len(rows), 1
    while size < count:
        lower = [count + j - size if j & size else j for j in range(count)]
        upper = [count + j if j & size else j + size for j in range(count)]
        for i in (i for i in range(count) if not i & size):
            pair = rows[i], rows[i + size]
            for at, lanes_ in ((i, lower), (i + size, upper)):
                mask = ir.Constant(ir.VectorType(ir.IntType(32), count), lanes_)
                rows[at] = builder.shuffle_vector(*pair, mask)
        size *= 2
    return rows
