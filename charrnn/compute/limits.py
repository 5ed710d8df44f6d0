"""What the processor could do at best: multiply-adds and bytes a second, for comparison."""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from charrnn.compute.cache import kernel
from charrnn.compute.products import Loop, multiply_add
from charrnn.compute.target import TILE_ROWS, TILE_VECTORS
from charrnn.compute.vector import (
    VectorType,
    broadcast,
    lanes,
    llvm_type,
    load,
    pointer,
    splat,
    store,
    unaligned_load,
    unaligned_store,
    vector_pointer,
)

#: Multiply-adds of one register in a turn of ``multiply_adds``: as many independent ones as there
#: are in a product tile.
CHAINS = TILE_ROWS * TILE_VECTORS


@intrinsic
def _in_registers(typingctx, array, turns):
    """``multiply_adds``, with all sums in registers."""

    def codegen(context, builder, sig, args):
        register = llvm_type(VectorType(array.dtype))
        first = pointer(context, builder, array, args[0], args[1].type(0))
        first = vector_pointer(builder, first, register)
        places = [builder.gep(first, [args[1].type(i)]) for i in range(CHAINS)]
        factor = splat(builder, register.element(1e-3), register)
        loop = Loop(builder, args[1], [unaligned_load(builder, p, register) for p in places])
        # Each sum is a factor too: on ARM the result lies where the term was.
        sums = loop.close([multiply_add(builder, x, factor, x) for x in loop.carried[1:]])
        for value, place in zip(sums, places, strict=True):
            unaligned_store(builder, value, place)
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@kernel
def multiply_adds(array, turns):
    """x + x·factor, ``turns`` times on ``CHAINS`` registers; nothing is loaded in between.

    ``array`` holds as many registers; what becomes of them is stored there, so that the work is
    not optimised away. Zeros stay zeros.
    """
    _in_registers(array, turns)


@kernel
def read(array, first, last):
    """Sum of the elements ``first … last``, a whole number of four registers: reads them once."""
    width = lanes(array)
    a = b = c = d = broadcast(array, 0.0)
    for at in range(first, last, 4 * width):
        a = a + load(array, at)
        b = b + load(array, at + width)
        c = c + load(array, at + 2 * width)
        d = d + load(array, at + 3 * width)
    store(array, first, a + b + c + d)
