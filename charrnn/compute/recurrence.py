"""The time loop of every recurrent layer, forward and backward, written once.

A cell (see ``charrnn.cells``) says how many *blocks* of ``width`` columns its gates take in a row
and which of them the input and the previous hidden state feed. One row of ``gates`` lives through
three stages in place: pre-activations, then what the backward pass needs, then gradients.

Shapes, with H padded to ``width``: gates [T, B, blocks·width], states [S, T + 1, B, width]
(state s *before* step t is ``states[s, t]``, reset to an initial state where a document starts;
``states[:, T]`` is what the last step leaves), output [T, B, width], initial [S, R, width],
resets [T, B]: 0, or r + 1 where a document starts from row r of the initial states.

A cell may have a second product in a step: its *middle* block, made by ``prepare``, feeds other
blocks through a matrix of its own before the step is completed.

Every function works on the lanes ``first … last`` of the batch only. Lanes never meet, so each
thread takes its own through all steps, without a barrier, and results do not depend on how many
threads there are.
"""

from __future__ import annotations

import numpy as np

from charrnn.compute.cache import kernel
from charrnn.compute.functions import tanh
from charrnn.compute.pointwise import normalize, prepare, step, step_back, unnormalize, unprepare
from charrnn.compute.products import multiply
from charrnn.compute.vector import broadcast, keep_mask, lanes, load, store


@kernel
def _reset(states, at, stride, initial, row, width):
    """Set the states at ``at``, ``stride`` apart, to a row of the initial states [S, R, width]."""
    rows = initial.shape[1]
    flat = initial.reshape(-1)
    for s in range(initial.shape[0]):
        for j in range(0, width, lanes(states)):
            store(states, at + s * stride + j, load(flat, (s * rows + row) * width + j))


@kernel
def _through_middle(cell, gates, states, at_states, stride, at_rows, row, width, product,
                    lane_count):  # fmt: skip
    """The second product of a step, between ``prepare`` and the step itself."""
    panels, source, target, columns = product
    for b in range(lane_count):
        for j in range(0, width, lanes(gates)):
            prepare(cell, gates, at_rows + b * row + j, width, states, at_states + b * width + j,
                    stride)  # fmt: skip
    here = at_rows + target
    multiply(gates, at_rows + source, row, lane_count, panels, width,
             gates, here, row, gates, here, row, columns)  # fmt: skip
    for b in range(lane_count):
        normalize(cell, gates, at_rows + b * row, width)


@kernel
def _read_inputs(gates, at_rows, row, inputs, t, first, last):
    """The rows of a step become bias + x·W; the blocks that x does not feed, their bias alone."""
    x, panels, bias, column, columns = inputs
    batch, depth = x.shape[1], x.shape[2]
    for b in range(last - first):
        for j in range(0, row, lanes(gates)):
            if j < column or j >= column + columns:
                store(gates, at_rows + b * row + j, load(bias, j))
    multiply(x.reshape(-1), (t * batch + first) * depth, depth, last - first, panels, depth,
             bias, column, 0, gates, at_rows + column, row, columns)  # fmt: skip


@kernel
def forward_lanes(cell, gates, states, output, resets, initial, inputs, recurrent, middle, dropout,
                  first, last):  # fmt: skip
    """Run a layer over all steps.

    ``inputs`` = (x [T, B, K], panels, bias [blocks·width], first column, columns) of the product
    that the input feeds, which is made step by step, while the gates are in cache; without columns
    ``gates`` holds it, with the bias, already. ``recurrent`` = (panels, the state that they
    multiply, first column, columns) of the product that the previous step feeds; ``middle`` =
    (panels, first column of the block that they multiply, first column, columns) of the second
    product, without columns if there is none; ``dropout`` = (key, threshold, scale) of
    ``keep_mask`` for the output: the same units in all steps, others in each lane (Gal &
    Ghahramani 2016). The recurrent path is not touched.
    """
    steps, batch, row = gates.shape
    width = states.shape[3]
    at_state, at_step = (steps + 1) * batch * width, batch * width
    panels, source, column, columns = recurrent
    key, threshold, scale = dropout
    flat_gates, flat_states, flat_output = gates.reshape(-1), states.reshape(-1), output.reshape(-1)
    for t in range(steps):
        for b in range(first, last):
            if resets[t, b]:
                at = t * at_step + b * width
                _reset(flat_states, at, at_state, initial, resets[t, b] - 1, width)
        at_rows, at_states = (t * batch + first) * row, (t * batch + first) * width
        if inputs[4]:
            _read_inputs(flat_gates, at_rows, row, inputs, t, first, last)
        here = at_rows + column
        multiply(flat_states, source * at_state + at_states, width, last - first, panels,
                 width, flat_gates, here, row, flat_gates, here, row, columns)  # fmt: skip
        if middle[3]:
            _through_middle(cell, flat_gates, flat_states, at_states, at_state, at_rows, row,
                            width, middle, last - first)  # fmt: skip
        for b in range(first, last):
            for j in range(0, width, lanes(gates)):
                at = t * at_step + b * width + j
                at_gates = (t * batch + b) * row + j
                h = step(cell, j, flat_gates, at_gates, width, flat_states, at, at + at_step,
                         at_state)  # fmt: skip
                if threshold > 0:
                    h = h * keep_mask(gates, key, b * width + j, threshold, scale)
                store(flat_output, at, h)


@kernel
def _back_through_middle(cell, gates, states, at_states, stride, at_rows, row, width, product,
                         dstates, at_d, stride_d, dmiddle, doutput, at_output,
                         lane_count):  # fmt: skip
    """The way back through ``_through_middle``; ``product`` has the transposed panels."""
    panels, _, target, columns = product
    zeros = np.zeros(width, gates.dtype)
    multiply(gates, at_rows + target, row, lane_count, panels, columns,
             zeros, 0, 0, dmiddle, at_d, width, width)  # fmt: skip
    for b in range(lane_count):
        for j in range(0, width, lanes(gates)):
            place = b * width + j
            unprepare(cell, gates, at_rows + b * row + j, width, states, at_states + place, stride,
                      dstates, at_d + place, stride_d, dmiddle,
                      doutput, at_output + place)  # fmt: skip


@kernel
def _differentiate_inputs(dgates, at_rows, row, dinputs, t, first, last):
    """The gradient of a step's inputs, from the gradients of the gates that they feed."""
    dx, panels, column, columns = dinputs
    batch, depth = dx.shape[1], dx.shape[2]
    zeros = np.zeros(depth, dgates.dtype)
    multiply(dgates, at_rows + column, row, last - first, panels, columns,
             zeros, 0, 0, dx.reshape(-1), (t * batch + first) * depth, depth, depth)  # fmt: skip


@kernel
def backward_lanes(cell, gates, states, dstates, doutput, resets, dinitial, dfields, dmiddle,
                   dinputs, recurrent, middle, dropout, first, last):  # fmt: skip
    """The way back through ``forward_lanes``; saved blocks in ``gates`` become gradients.

    ``dinputs`` = (gradient of x [T, B, K], panels, first column, columns) receives that of the
    inputs; without columns none is made.

    ``dstates`` [S, B, width] holds the gradient of the states that the last step leaves, and at
    the end that of the first step's; ``doutput`` [T, B, width] turns from the gradient of the
    output into the whole gradient of the hidden state after each step. Added to are ``dinitial``
    [S, B, width], gradients of the states that documents start from, and ``dfields`` [F, B, width],
    those of the cell's per-unit parameters: lane by lane, so that threads do not meet.
    ``dmiddle`` [B, width] is scratch. The panels are those of the transposed weights.
    """
    steps, batch, row = gates.shape
    count, width = states.shape[0], states.shape[3]
    at_state, at_step = (steps + 1) * batch * width, batch * width
    panels, source, column, columns = recurrent
    key, threshold, scale = dropout
    flat_gates, flat_states = gates.reshape(-1), states.reshape(-1)
    flat_dstates, flat_doutput = dstates.reshape(-1), doutput.reshape(-1)
    flat_dfields, flat_dinitial = dfields.reshape(-1), dinitial.reshape(-1)
    flat_dmiddle = dmiddle.reshape(-1)
    for t in range(steps - 1, -1, -1):
        for b in range(first, last):
            unnormalize(cell, flat_gates, (t * batch + b) * row, width, flat_dstates,
                        source * at_step + b * width)  # fmt: skip
            for j in range(0, width, lanes(gates)):
                at = t * at_step + b * width + j
                at_gates = (t * batch + b) * row + j
                dh = load(flat_doutput, at)
                if threshold > 0:
                    dh = dh * keep_mask(gates, key, b * width + j, threshold, scale)
                dh = step_back(cell, j, flat_gates, at_gates, width, flat_states, at, at_state,
                               flat_dstates, b * width + j, at_step, dh, flat_dfields,
                               at_step)  # fmt: skip
                store(flat_doutput, at, dh)
        at_rows = (t * batch + first) * row
        if middle[3]:
            _back_through_middle(cell, flat_gates, flat_states, (t * batch + first) * width,
                                 at_state, at_rows, row, width, middle, flat_dstates,
                                 first * width, at_step, flat_dmiddle, flat_doutput,
                                 (t * batch + first) * width, last - first)  # fmt: skip
        here = source * at_step + first * width
        multiply(flat_gates, at_rows + column, row, last - first, panels, columns,
                 flat_dstates, here, width, flat_dstates, here, width, width)  # fmt: skip
        if dinputs[3]:
            _differentiate_inputs(flat_gates, at_rows, row, dinputs, t, first, last)
        for b in range(first, last):
            if resets[t, b]:
                _collect(flat_dinitial, flat_dstates, b * width, at_step, count, width)


@kernel
def _collect(dinitial, dstates, at, stride, count, width):
    """Move the gradient of the states that a document started from to ``dinitial``."""
    for s in range(count):
        for j in range(at + s * stride, at + s * stride + width, lanes(dstates)):
            store(dinitial, j, load(dinitial, j) + load(dstates, j))
            store(dstates, j, broadcast(dstates, 0.0))


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
def project_lanes(inputs, panels, bias, output, first, last):
    """output[:, first:last] = bias + inputs · W for all steps; ``inputs`` [T, B, K]."""
    steps, batch, columns = output.shape
    depth = inputs.shape[2]
    _multiply_lanes(inputs.reshape(-1), 0, depth, depth, panels, bias, 0, 0,
                    output.reshape(-1), 0, columns, columns, steps, batch, first, last)  # fmt: skip


@kernel
def unproject_lanes(doutput, panels, dinputs, first, last):
    """dinputs[:, first:last] = doutput · Wᵀ for all steps."""
    steps, batch, row = doutput.shape
    width = dinputs.shape[2]
    zeros = np.zeros(width, doutput.dtype)
    _multiply_lanes(doutput.reshape(-1), 0, row, row, panels, zeros, 0, 0,
                    dinputs.reshape(-1), 0, width, width, steps, batch, first, last)  # fmt: skip


@kernel
def tanh_lanes(values, first, last):
    """values[:, first:last] = tanh of themselves, for [T, B, width]."""
    steps, batch, width = values.shape
    flat = values.reshape(-1)
    for t in range(steps):
        for at in range((t * batch + first) * width, (t * batch + last) * width, lanes(values)):
            store(flat, at, tanh(load(flat, at)))


@kernel
def untanh_lanes(dvalues, values, first, last):
    """dvalues[:, first:last] becomes the gradient of what ``tanh_lanes`` made ``values`` of."""
    steps, batch, width = values.shape
    flat, flat_d = values.reshape(-1), dvalues.reshape(-1)
    for t in range(steps):
        for at in range((t * batch + first) * width, (t * batch + last) * width, lanes(values)):
            y = load(flat, at)
            store(flat_d, at, load(flat_d, at) * (1.0 - y * y))
