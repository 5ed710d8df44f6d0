"""A barrier between the threads of a crew, for waits of less than a microsecond.

Threads spin: to sleep and be woken up would take longer than the work between two barriers. On two
free processors a meeting of two takes 40 to 70 ns. A thread that waits for long gives its processor
away, for the other may be waiting for that: without this, two threads on one processor wait for the
end of a time slice at each barrier.
"""

from __future__ import annotations

import os

import llvmlite.ir as ir
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from charrnn.compute.cache import kernel
from charrnn.compute.vector import pointer

#: Places in the array that a crew shares, in cache lines of their own: how often a thread has
#: arrived at a barrier, and whether one of them will never arrive again.
_ARRIVALS, _ABANDONED = 0, 16


def create_barrier() -> np.ndarray:
    """What a crew shares to meet; all of it must use the same number of ``parts``."""
    return np.zeros(_ABANDONED + 16, np.int64)


def abandon(barrier: np.ndarray) -> None:
    """Let nobody wait: a thread of the crew has failed."""
    barrier[_ABANDONED] = 1


@intrinsic
def _count_up(typingctx, array, index):
    """Add one to an element, atomically; its value before."""

    def codegen(context, builder, sig, args):
        place = pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.atomic_rmw("add", place, args[1].type(1), "seq_cst")

    return types.int64(array, types.intp), codegen


@intrinsic
def _look(typingctx, array, index):
    """An element that another thread may be changing."""

    def codegen(context, builder, sig, args):
        place = pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(array, types.intp), codegen


_YIELD = "sched_yield" if os.name == "posix" else "SwitchToThread"

#: Looks at the barrier before the processor is given away: some 20 to 50 µs. Shares of the work
#: take up to 5 µs longer than others, and to give the processor away then costs more.
_PATIENCE = 20_000


@intrinsic
def _yield_processor(typingctx):
    """Let another thread that is ready run here."""

    def codegen(context, builder, sig, args):
        function = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function, _YIELD), [])
        return context.get_dummy_value()

    return types.void(), codegen


@kernel
def meet(barrier, parts):
    """Wait until all ``parts`` threads of the crew are here; False if one never will be."""
    if parts == 1:
        return True
    here = _count_up(barrier, _ARRIVALS)
    all_here = (here // parts + 1) * parts
    looks = 0
    while _look(barrier, _ARRIVALS) < all_here:
        if _look(barrier, _ABANDONED):
            return False
        looks += 1
        if looks >= _PATIENCE:
            _yield_processor()
    return True
