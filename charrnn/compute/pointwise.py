"""A cell's equations on one register of units: from its row of blocks and its states to the next.

A cell is a ``NamedTuple`` class (see ``charrnn.cells``); compiled code is specialised by its type.
Its fields, if it has any, are per-unit parameters: an instance holds a flat array for each, and
``_of_units`` makes of it an instance that holds a register for each, whose methods are the
equations. The kernels here work on flat arrays: blocks of a row are ``width`` elements apart,
states of a lane ``stride``.
"""

from __future__ import annotations

from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from charrnn.compute import activations  # noqa: F401  (the cells' functions in compiled code)
from charrnn.compute.cache import PART, kernel
from charrnn.compute.readout import softmax_row
from charrnn.compute.vector import (
    VectorType,
    broadcast,
    lanes,
    llvm_type,
    load,
    pointer,
    store,
    store_tuple,
    sum_of_lanes,
    unaligned_load,
    unaligned_store,
)


def _forward(self, gates, before):
    """The cell's ``forward``, in compiled code."""


def _backward(self, saved, before, dafter):
    """The cell's ``backward``, in compiled code."""


def _due(self, before):
    """The cell's ``due``, in compiled code."""


def _prepare(self, gates, before):
    """The cell's ``prepare``, in compiled code."""


def _unprepare(self, saved, before, dmiddle, dbefore):
    """The cell's ``unprepare``, in compiled code."""


@overload(_forward, jit_options=PART)
def _forward_of(self, gates, before):
    return self.instance_class.forward


@overload(_backward, jit_options=PART)
def _backward_of(self, saved, before, dafter):
    return self.instance_class.backward


@overload(_due, jit_options=PART)
def _due_of(self, before):
    return self.instance_class.due


@overload(_prepare, jit_options=PART)
def _prepare_of(self, gates, before):
    return self.instance_class.prepare


@overload(_unprepare, jit_options=PART)
def _unprepare_of(self, saved, before, dmiddle, dbefore):
    return self.instance_class.unprepare


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


@intrinsic
def _of_units(typingctx, cell, offset):
    """The cell with a register at ``offset`` of each of its fields, which are flat arrays."""
    if not len(cell):
        return cell(cell, types.intp), lambda context, builder, sig, args: args[0]
    result = types.NamedUniTuple(VectorType(cell.dtype.dtype), len(cell), cell.instance_class)

    def codegen(context, builder, sig, args):
        values = []
        for number in range(len(cell)):
            array = builder.extract_value(args[0], number)
            data = pointer(context, builder, cell.dtype, array, args[1])
            values.append(unaligned_load(builder, data, llvm_type(result.dtype)))
        return context.make_tuple(builder, result, values)

    return result(cell, types.intp), codegen


@intrinsic
def _add_tuple(typingctx, array, offset, stride, values):
    """Add the registers of the tuple ``values`` to those that are ``stride`` elements apart."""

    def codegen(context, builder, sig, args):
        position = args[1]
        for value in cgutils.unpack_tuple(builder, args[3]):
            data = pointer(context, builder, sig.args[0], args[0], position)
            total = builder.fadd(unaligned_load(builder, data, value.type), value)
            unaligned_store(builder, total, data)
            position = builder.add(position, args[2])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, values), codegen


@kernel
def step(cell, unit, gates, states, at_after):
    """One step of the units from ``unit`` on; returns the register of their new hidden state.

    ``gates`` and ``states`` are ``Rows``: where the first block and the first state of these units
    are, and how far from one to the next. Pre-activations become saved blocks; the states lead to
    those ``at_after``.
    """
    before = _load_states(cell, states.flat, states.at, states.stride)
    blocks = _load_blocks(cell, gates.flat, gates.at, gates.stride)
    saved, after = _forward(_of_units(cell, unit), blocks, before)
    store_tuple(gates.flat, gates.at, gates.stride, saved)
    store_tuple(states.flat, at_after, states.stride, after)
    return after[0]


def due_columns(cell, states, row, lane_count):
    """Of the ``row`` elements of a lane's gates those behind which no lane has a unit that is due.

    ``states`` are ``Rows`` of states as ``step`` has them, of the first lane's first unit. Whole
    registers; without groups all are due.
    """


@overload(due_columns, jit_options=PART)
def _due_columns_of(cell, states, row, lane_count):
    if cell.instance_class.groups == 1:
        return lambda cell, states, row, lane_count: row

    def columns(cell, states, row, lane_count):
        size = lanes(states.flat)
        for j in range(row - size, -1, -size):
            units = _of_units(cell, j)
            for b in range(lane_count):
                at = states.at + b * row + j  # one gate: a row is as wide as a state
                before = _load_states(cell, states.flat, at, states.stride)
                if sum_of_lanes(_due(units, before)) > 0:
                    return j + size
        return 0

    return columns


def _differentiated(cell, blocks, before, dafter):
    """Gradients of blocks, of the states before and of the cell's fields."""


@overload(_differentiated, jit_options=PART)
def _differentiated_of(cell, blocks, before, dafter):
    if cell.instance_class.learned():
        return lambda cell, blocks, before, dafter: _backward(cell, blocks, before, dafter)

    def without_fields(cell, blocks, before, dafter):
        dblocks, dbefore = _backward(cell, blocks, before, dafter)
        return dblocks, dbefore, ()

    return without_fields


@kernel
def step_back(cell, unit, gates, states, dstates, dh, dfields):
    """The way back through ``step``; returns the whole gradient of the new hidden state.

    Saved blocks become gradients; ``dstates`` turn from the gradients of the states after the
    step, without ``dh`` that comes from above, into those of the states before it. ``dfields``
    [F, B, width] is flat, and laid out as ``dstates`` are.
    """
    dafter = _load_states(cell, dstates.flat, dstates.at, dstates.stride)
    dafter = (dafter[0] + dh,) + dafter[1:]  # noqa: RUF005  (Numba knows no unpacking here)
    before = _load_states(cell, states.flat, states.at, states.stride)
    blocks = _load_blocks(cell, gates.flat, gates.at, gates.stride)
    dblocks, dbefore, dparameters = _differentiated(_of_units(cell, unit), blocks, before, dafter)
    store_tuple(gates.flat, gates.at, gates.stride, dblocks)
    store_tuple(dstates.flat, dstates.at, dstates.stride, dbefore)
    _add_tuple(dfields, dstates.at, dstates.stride, dparameters)
    return dafter[0]


# --- cells with a second product ---------------------------------------------------------------


def prepare(cell, gates, states):
    """Make of pre-activations what the second product reads; nothing for other cells."""


def unprepare(cell, gates, states, dstates, dmiddle, doutput, at_output):
    """The way back through ``prepare`` and the second product; nothing for other cells.

    Where the second product reads the hidden state, its gradient in ``doutput`` becomes whole.
    """


def normalize(cell, gates, at_row, width):
    """Softmax over the block that is the network's output; nothing for other cells."""


def unnormalize(cell, gates, at_row, width, dstate, at_d):
    """The way back: the gradient of probabilities in ``dstate`` becomes that of logits."""


@overload(prepare, jit_options=PART)
def _prepare_units(cell, gates, states):
    if not cell.instance_class.middle_blocks:
        return lambda cell, gates, states: None

    def units(cell, gates, states):
        before = _load_states(cell, states.flat, states.at, states.stride)
        blocks = _load_blocks(cell, gates.flat, gates.at, gates.stride)
        store_tuple(gates.flat, gates.at, gates.stride, _prepare(cell, blocks, before))

    return units


@overload(unprepare, jit_options=PART)
def _unprepare_units(cell, gates, states, dstates, dmiddle, doutput, at_output):
    reads_hidden_state = cell.instance_class.output_block is not None

    def nothing(cell, gates, states, dstates, dmiddle, doutput, at_output):
        pass

    def units(cell, gates, states, dstates, dmiddle, doutput, at_output):
        blocks = _load_blocks(cell, gates.flat, gates.at, gates.stride)
        before = _load_states(cell, states.flat, states.at, states.stride)
        dbefore = _load_states(cell, dstates.flat, dstates.at, dstates.stride)
        d = load(dmiddle, dstates.at)
        dblocks, dbefore = _unprepare(cell, blocks, before, d, dbefore)
        store_tuple(gates.flat, gates.at, gates.stride, dblocks)
        store_tuple(dstates.flat, dstates.at, dstates.stride, dbefore)
        if reads_hidden_state:
            store(doutput, at_output, load(doutput, at_output) + d)

    return units if cell.instance_class.middle_blocks else nothing


@overload(normalize, jit_options=PART)
def _normalize_row(cell, gates, at_row, width):
    block = cell.instance_class.output_block
    if block is None:
        return lambda cell, gates, at_row, width: None

    def row(cell, gates, at_row, width):
        softmax_row(gates, at_row + block * width, width)

    return row


@overload(unnormalize, jit_options=PART)
def _unnormalize_row(cell, gates, at_row, width, dstate, at_d):
    block = cell.instance_class.output_block
    if block is None:
        return lambda cell, gates, at_row, width, dstate, at_d: None

    def row(cell, gates, at_row, width, dstate, at_d):
        y = at_row + block * width
        total = broadcast(gates, 0.0)
        for j in range(0, width, lanes(gates)):
            total = total + load(gates, y + j) * load(dstate, at_d + j)
        mean = sum_of_lanes(total)
        for j in range(0, width, lanes(gates)):
            store(dstate, at_d + j, load(gates, y + j) * (load(dstate, at_d + j) - mean))

    return row
