"""The time loop of every recurrent layer, forward and backward, written once.

A cell (see ``charrnn.cells``) says how many *blocks* of ``width`` columns its gates take in a row
and which of them the input and the previous hidden state feed. One row of ``gates`` lives through
three stages in place: pre-activations, then what the backward pass needs, then gradients.

Shapes, with H padded to ``width``: gates [T, B, blocks·width], states [S, T + 1, B, width]
(state s *before* step t is ``states[s, t]``, reset to the initial state where a document starts;
``states[:, T]`` is what the last step leaves), output [T, B, width].

Every function works on the lanes ``first … last`` of the batch only. Lanes never meet, so each
thread takes its own through all steps, without a barrier, and results do not depend on how many
threads there are.
"""

from __future__ import annotations

import numpy as np
from numba.core import types
from numba.extending import intrinsic, overload

from charrnn.compute import activations  # noqa: F401  (the cells' functions in compiled code)
from charrnn.compute.cache import kernel
from charrnn.compute.products import multiply
from charrnn.compute.vector import (
    VectorType,
    broadcast,
    keep_mask,
    lanes,
    llvm_type,
    load,
    pointer,
    store,
    store_tuple,
    unaligned_load,
)


def forward_of(self, gates, before):
    """The cell's ``forward``, in compiled code."""
    return self.forward(gates, before)


def backward_of(self, saved, before, dafter):
    """The cell's ``backward``, in compiled code."""
    return self.backward(saved, before, dafter)


@overload(forward_of)
def _forward_of(self, gates, before):
    return self.instance_class.forward


@overload(backward_of)
def _backward_of(self, saved, before, dafter):
    return self.instance_class.backward


def _registers(count_of):
    """An intrinsic that loads as many registers, ``stride`` apart, as ``count_of(cell class)``."""

    @intrinsic
    def load_registers(typingctx, cell, array, offset, stride):
        count = count_of(cell.instance_class)
        result = types.UniTuple(VectorType(array.dtype), count)

        def codegen(context, builder, sig, args):
            _, array_, position, stride_ = args
            values = []
            for _ in range(count):
                data = pointer(context, builder, sig.args[1], array_, position)
                values.append(unaligned_load(builder, data, llvm_type(result.dtype)))
                position = builder.add(position, stride_)
            return context.make_tuple(builder, result, values)

        return result(cell, array, types.intp, types.intp), codegen

    return load_registers


_load_blocks = _registers(lambda cell: cell.blocks)
_load_states = _registers(lambda cell: len(cell.states))


@kernel
def _reset(array, at, stride, count, width):
    """Set ``count`` rows of ``width`` elements, ``stride`` apart, to the initial state: zeros."""
    for s in range(count):
        start = at + s * stride
        for j in range(start, start + width, lanes(array)):
            store(array, j, broadcast(array, 0.0))


@kernel
def forward_lanes(cell, gates, states, output, resets, panels, recurrent, dropout,
                  first, last):  # fmt: skip
    """Run a layer over all steps; ``gates`` holds bias and input product, and is overwritten.

    ``resets`` [T, B] is nonzero where a document starts; ``recurrent`` = (first column, number of
    columns) of the blocks that the hidden state feeds; ``dropout`` = (key, threshold, scale) of
    ``keep_mask`` for the output, the recurrent path is not touched.
    """
    steps, batch, row = gates.shape
    count, _, _, width = states.shape
    at_state, at_step = (steps + 1) * batch * width, batch * width
    key, threshold, scale = dropout
    flat_gates, flat_states, flat_output = gates.reshape(-1), states.reshape(-1), output.reshape(-1)
    for t in range(steps):
        for b in range(first, last):
            if resets[t, b]:
                _reset(flat_states, t * at_step + b * width, at_state, count, width)
        here = (t * batch + first) * row + recurrent[0]
        multiply(flat_states, (t * batch + first) * width, width, last - first, panels,
                 width, flat_gates, here, row, flat_gates, here, row, recurrent[1])  # fmt: skip
        for b in range(first, last):
            for j in range(0, width, lanes(gates)):
                at = t * at_step + b * width + j
                at_gates = (t * batch + b) * row + j
                before = _load_states(cell, flat_states, at, at_state)
                saved, after = forward_of(
                    cell, _load_blocks(cell, flat_gates, at_gates, width), before
                )
                store_tuple(flat_gates, at_gates, width, saved)
                store_tuple(flat_states, at + at_step, at_state, after)
                h = after[0]
                if threshold > 0:
                    h = h * keep_mask(gates, key, at, threshold, scale)
                store(flat_output, at, h)


@kernel
def backward_lanes(cell, gates, states, dstates, doutput, resets, panels, recurrent,
                   dropout, first, last):  # fmt: skip
    """The way back through ``forward_lanes``; saved blocks in ``gates`` become gradients.

    ``dstates`` [S, B, width] holds the gradient of the states that the last step leaves, and at
    the end that of the initial states; ``panels`` hold the transposed recurrent weights.
    """
    steps, batch, row = gates.shape
    count, _, _, width = states.shape
    at_state, at_step = (steps + 1) * batch * width, batch * width
    key, threshold, scale = dropout
    flat_gates, flat_states = gates.reshape(-1), states.reshape(-1)
    flat_dstates, flat_doutput = dstates.reshape(-1), doutput.reshape(-1)
    for t in range(steps - 1, -1, -1):
        for b in range(first, last):
            for j in range(0, width, lanes(gates)):
                at = t * at_step + b * width + j
                at_gates = (t * batch + b) * row + j
                dh = load(flat_doutput, at)
                if threshold > 0:
                    dh = dh * keep_mask(gates, key, at, threshold, scale)
                dafter = _load_states(cell, flat_dstates, b * width + j, at_step)
                store(flat_doutput, at, dafter[0] + dh)
                dblocks, dbefore = backward_of(
                    cell,
                    _load_blocks(cell, flat_gates, at_gates, width),
                    _load_states(cell, flat_states, at, at_state),
                    (dafter[0] + dh,) + dafter[1:],  # noqa: RUF005  (Numba knows no unpacking here)
                )
                store_tuple(flat_gates, at_gates, width, dblocks)
                store_tuple(flat_dstates, b * width + j, at_step, dbefore)
        multiply(flat_gates, (t * batch + first) * row + recurrent[0], row, last - first,
                 panels, recurrent[1], flat_dstates, first * width, width,
                 flat_dstates, first * width, width, width)  # fmt: skip
        for b in range(first, last):
            if resets[t, b]:
                _reset(flat_dstates, b * width, at_step, count, width)


@kernel
def _multiply_lanes(a, a_at, a_row, depth, panels, start, start_at, start_row,
                    c, c_at, c_row, columns, steps, batch, first, last):  # fmt: skip
    """``multiply`` the lanes ``first … last`` of all steps; a whole batch is one piece."""
    whole = last - first == batch
    rows = steps * batch if whole else last - first
    for t in range(1 if whole else steps):
        row = t * batch + first
        multiply(a, a_at + row * a_row, a_row, rows, panels, depth,
                 start, start_at, start_row, c, c_at + row * c_row, c_row, columns)  # fmt: skip


@kernel
def project_lanes(inputs, panels, bias, gates, columns, first, last):
    """gates[:, first:last] = bias + inputs · W for all steps, in the columns that W feeds.

    ``inputs`` [T, B, K]; ``bias`` [row] spans all blocks; ``columns`` = (first, number of) those
    that the input feeds. The other blocks get their bias alone.
    """
    steps, batch, row = gates.shape
    depth = inputs.shape[2]
    flat_inputs, flat_gates = inputs.reshape(-1), gates.reshape(-1)
    for t in range(steps):
        for b in range(first, last):
            for j in range(0, row, lanes(gates)):
                if j < columns[0] or j >= columns[0] + columns[1]:
                    store(flat_gates, (t * batch + b) * row + j, load(bias, j))
    _multiply_lanes(flat_inputs, 0, depth, depth, panels, bias, columns[0], 0,
                    flat_gates, columns[0], row, columns[1], steps, batch, first, last)  # fmt: skip


@kernel
def unproject_lanes(dgates, columns, panels, dinputs, first, last):
    """dinputs[:, first:last] = dgates · Wᵀ over the ``columns`` that the input feeds."""
    steps, batch, row = dgates.shape
    width = dinputs.shape[2]
    zeros = np.zeros(width, dgates.dtype)
    flat_dgates, flat_dinputs = dgates.reshape(-1), dinputs.reshape(-1)
    _multiply_lanes(flat_dgates, columns[0], row, columns[1], panels, zeros, 0, 0,
                    flat_dinputs, 0, width, width, steps, batch, first, last)  # fmt: skip
