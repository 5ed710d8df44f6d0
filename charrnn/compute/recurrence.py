"""The time loop of every recurrent layer, forward and backward, written once.

A cell (see ``charrnn.cells``) says how many *blocks* of ``width`` columns its gates take in a row
and which of them the input and the previous hidden state feed. One row of ``gates`` lives through
three stages in place: pre-activations, then what the backward pass needs, then gradients.

Shapes, with H padded to ``width``: gates [T, B, blocks·width], states [S, T + 1, B, width]
(state s *before* step t is ``states[s, t]``, reset to an initial state where a document starts;
``states[:, T]`` is what the last step leaves), output [T, B, width], initial [S, R, width],
resets [T, B]: 0, or r + 1 where a document starts from row r of the initial states, which only one
lane's documents start from. A layer that reads in ``reverse`` takes step T - 1 first; the state
before step t is then ``states[s, t + 1]``.

A cell may have a second product in a step: its *middle* block, made by ``prepare``, feeds other
blocks through a matrix of its own before the step is completed.

Every function works on the lanes ``first … last`` of the batch only. Lanes never meet, so each
thread takes its own through all steps, without a barrier, and results do not depend on how many
threads there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from charrnn.compute.by_character import multiply_memory
from charrnn.compute.cache import PART, kernel
from charrnn.compute.dropout import keep_mask
from charrnn.compute.functions import tanh
from charrnn.compute.pointwise import (
    due_columns,
    normalize,
    prepare,
    step,
    step_back,
    unnormalize,
    unprepare,
)
from charrnn.compute.products import Rows, multiply, multiply_part
from charrnn.compute.vector import broadcast, lanes, load, store


class Pass(NamedTuple):
    """What a layer's steps leave behind, and what they start from."""

    gates: Any  # [T, B, blocks·width]
    states: Any  # [S, T + 1, B, width]
    output: Any  # [T, B, width]
    initial: Any  # [S, R, width]
    resets: Any  # [T, B]
    reverse: Any  # 1 where the last step comes first, else 0


class Gradients(NamedTuple):
    """The gradients of a layer's pass, beside those that take the place of its gates."""

    states: Any  # [S, B, width], those that the last step leaves; at the end the first step's
    output: Any  # [T, B, width], which become those of the hidden state after each step
    initial: Any  # [S, R, width], added to: of the states that documents start from
    fields: Any  # [F, B, width], added to: of the cell's per-unit parameters, lane by lane
    middle: Any  # [B, width], scratch


class Inputs(NamedTuple):
    """The product of what a layer reads, made step by step, while the gates are in cache.

    Without ``columns`` there is none: the gates hold what is read, with the bias, already. Where
    they are ``begun`` the product is added to what they hold in place of the bias.
    """

    x: Any  # [T, B, K], or on the way back its gradient
    panels: Any
    bias: Any  # [blocks·width]
    first: int  # column of the gates that the product feeds
    columns: int
    begun: int = 0


class Dropout(NamedTuple):
    """Units of the output that are left out: the same in all steps, others in each lane (Gal &
    Ghahramani 2016). The recurrent path is not touched. See ``keep_mask``.
    """

    key: int
    threshold: int
    scale: float
    lane: int  # the number of the first lane


@kernel
def _reset(states, at, stride, initial, row, width):
    """Set the states at ``at``, ``stride`` apart, to a row of the initial states [S, R, width]."""
    rows = initial.shape[1]
    flat = initial.reshape(-1)
    for s in range(initial.shape[0]):
        for j in range(0, width, lanes(states)):
            store(states, at + s * stride + j, load(flat, (s * rows + row) * width + j))


def _through_middle(cell, gates, states, stride, width, product, lane_count):
    """The second product of a step, between ``prepare`` and the step itself; both are ``Rows``.

    Nothing for cells without one, as the way back.
    """
    for b in range(lane_count):
        for j in range(0, width, lanes(gates.flat)):
            prepare(cell, Rows(gates.flat, gates.at + b * gates.stride + j, width),
                    Rows(states.flat, states.at + b * width + j, stride))  # fmt: skip
    source = Rows(gates.flat, gates.at + product.source, gates.stride)
    target = Rows(gates.flat, gates.at + product.first, gates.stride)
    multiply(source, lane_count, product.panels, width, target, target, product.columns)
    for b in range(lane_count):
        normalize(cell, gates.flat, gates.at + b * gates.stride, width)


@kernel
def _read_inputs(gates, inputs, t, first, last, due):
    """The rows of a step become bias + x·W; the blocks that x does not feed, their bias alone.

    So do the columns behind those that are ``due``.
    """
    columns = min(inputs.columns, due)
    batch, depth = inputs.x.shape[1], inputs.x.shape[2]
    x = Rows(inputs.x.reshape(-1), (t * batch + first) * depth, depth)
    target = Rows(gates.flat, gates.at + inputs.first, gates.stride)
    start = Rows(inputs.bias, inputs.first, 0)
    if inputs.begun:
        start = target
    else:
        for b in range(last - first):
            for j in range(0, gates.stride, lanes(gates.flat)):
                if j < inputs.first or j >= inputs.first + columns:
                    store(gates.flat, gates.at + b * gates.stride + j, load(inputs.bias, j))
    multiply(x, last - first, inputs.panels, depth, start, target, columns)


@kernel
def forward_lanes(cell, run, inputs, recurrent, middle, dropout, first, last):
    """Run a layer over all steps: ``run`` is its ``Pass``, the products are what they say."""
    steps, batch, row = run.gates.shape
    width = run.states.shape[3]
    at_state, at_step = (steps + 1) * batch * width, batch * width
    gates, states = run.gates.reshape(-1), run.states.reshape(-1)
    output = run.output.reshape(-1)
    for n in range(steps):
        t = steps - 1 - n if run.reverse else n
        before, after = (t + run.reverse) * at_step, (t + 1 - run.reverse) * at_step
        for b in range(first, last):
            if run.resets[t, b]:
                at = before + b * width
                _reset(states, at, at_state, run.initial, run.resets[t, b] - 1, width)
        rows = Rows(gates, (t * batch + first) * row, row)
        read = Rows(states, before + first * width, width)
        due = due_columns(cell, Rows(states, read.at, at_state), row, last - first)
        if inputs.columns:
            _read_inputs(rows, inputs, t, first, last, due)
        source = Rows(states, recurrent.source * at_state + read.at, width)
        target = Rows(gates, rows.at + recurrent.first, row)
        multiply_memory(cell, recurrent, t * batch + first, source, last - first, width, target,
                        min(recurrent.columns, due))  # fmt: skip
        _through_middle(cell, rows, read, at_state, width, middle, last - first)
        for b in range(first, last):
            for j in range(0, width, lanes(gates)):
                at = b * width + j
                blocks = Rows(gates, (t * batch + b) * row + j, width)
                h = step(cell, j, blocks, Rows(states, before + at, at_state), after + at)
                if dropout.threshold > 0:
                    place = at + dropout.lane * width
                    h = h * keep_mask(gates, dropout.key, place, dropout.threshold, dropout.scale)
                store(output, t * at_step + at, h)


def _back_through_middle(cell, gates, states, stride, width, product, d, output, lane_count):
    """The way back through ``_through_middle``; ``output`` and ``states`` are ``Rows`` of it."""
    zeros = np.zeros(width, gates.flat.dtype)
    at_step = d.middle.size  # a step of all lanes
    at = output.at % at_step  # where these lanes begin within one
    dstates, dmiddle = d.states.reshape(-1), d.middle.reshape(-1)
    fed = Rows(gates.flat, gates.at + product.first, gates.stride)
    multiply(fed, lane_count, product.panels, product.columns, Rows(zeros, 0, 0),
             Rows(dmiddle, at, width), width)  # fmt: skip
    for b in range(lane_count):
        for j in range(0, width, lanes(gates.flat)):
            place = b * width + j
            unprepare(cell, Rows(gates.flat, gates.at + b * gates.stride + j, width),
                      Rows(states.flat, states.at + place, stride),
                      Rows(dstates, at + place, at_step), dmiddle,
                      output.flat, output.at + place)  # fmt: skip


def _if_there_is_a_middle(through):
    """Let kernels call ``through`` for cells with a second product, for which it is compiled."""

    @overload(through, jit_options=PART, strict=False)
    def choose(cell, *arguments):
        return through if cell.instance_class.middle_blocks else lambda cell, *arguments: None


_if_there_is_a_middle(_through_middle)
_if_there_is_a_middle(_back_through_middle)


@kernel
def _differentiate_inputs(dgates, dinputs, t, first, last, due):
    """The gradient of a step's inputs, from those of the gates that they feed and are ``due``."""
    batch, depth = dinputs.x.shape[1], dinputs.x.shape[2]
    zeros = np.zeros(depth, dgates.flat.dtype)
    fed = Rows(dgates.flat, dgates.at + dinputs.first, dgates.stride)
    target = Rows(dinputs.x.reshape(-1), (t * batch + first) * depth, depth)
    multiply_part(fed, last - first, dinputs.panels, min(dinputs.columns, due), Rows(zeros, 0, 0),
                  target, depth, dinputs.columns)  # fmt: skip


@kernel
def backward_lanes(cell, run, d, dinputs, recurrent, middle, dropout, first, last):
    """The way back through ``forward_lanes``: ``d`` is its ``Gradients``.

    Saved blocks in ``run.gates`` become gradients. Where ``dinputs`` has columns it receives the
    gradients of what the layer read. Gradients are kept lane by lane, so that threads do not meet.
    """
    steps, batch, row = run.gates.shape
    width = run.states.shape[3]
    at_state, at_step = (steps + 1) * batch * width, batch * width
    gates, states = run.gates.reshape(-1), run.states.reshape(-1)
    dstates, doutput = d.states.reshape(-1), d.output.reshape(-1)
    dfields = d.fields.reshape(-1)
    for n in range(steps):
        t = n if run.reverse else steps - 1 - n
        before = (t + run.reverse) * at_step
        for b in range(first, last):
            unnormalize(cell, gates, (t * batch + b) * row, width, dstates,
                        recurrent.source * at_step + b * width)  # fmt: skip
            for j in range(0, width, lanes(gates)):
                at = b * width + j
                blocks = Rows(gates, (t * batch + b) * row + j, width)
                dh = load(doutput, t * at_step + at)
                if dropout.threshold > 0:
                    place = at + dropout.lane * width
                    dh = dh * keep_mask(gates, dropout.key, place, dropout.threshold, dropout.scale)
                dh = step_back(cell, j, blocks, Rows(states, before + at, at_state),
                               Rows(dstates, at, at_step), dh, dfields)  # fmt: skip
                store(doutput, t * at_step + at, dh)
        rows = Rows(gates, (t * batch + first) * row, row)
        read = Rows(states, before + first * width, width)
        handed_on = Rows(doutput, t * at_step + first * width, width)
        _back_through_middle(cell, rows, read, at_state, width, middle, d, handed_on, last - first)
        source = Rows(gates, rows.at + recurrent.first, row)
        target = Rows(dstates, recurrent.source * at_step + first * width, width)
        due = due_columns(cell, Rows(states, read.at, at_state), row, last - first)
        multiply_memory(cell, recurrent, t * batch + first, source, last - first,
                        min(recurrent.columns, due), target, width)  # fmt: skip
        if dinputs.columns:
            _differentiate_inputs(rows, dinputs, t, first, last, due)
        for b in range(first, last):
            if run.resets[t, b]:
                _collect(d.initial, run.resets[t, b] - 1, dstates, b * width, at_step)


@kernel
def _collect(dinitial, row, dstates, at, stride):
    """Move the gradient of the states that a document started from to their row."""
    states, rows, width = dinitial.shape
    flat = dinitial.reshape(-1)
    for s in range(states):
        for j in range(0, width, lanes(dstates)):
            place, target = at + s * stride + j, (s * rows + row) * width + j
            store(flat, target, load(flat, target) + load(dstates, place))
            store(dstates, place, broadcast(dstates, 0.0))


@kernel
def project_lanes(inputs, panels, bias, output, first, last):
    """output[:, first:last] = bias + inputs · W for all steps; ``inputs`` [T, B, K].

    A whole batch is one piece: its rows lie one after the other.
    """
    steps, batch, columns = output.shape
    depth = inputs.shape[2]
    x, c = inputs.reshape(-1), output.reshape(-1)
    whole = last - first == batch
    rows = steps * batch if whole else last - first
    for t in range(1 if whole else steps):
        row = t * batch + first
        multiply(Rows(x, row * depth, depth), rows, panels, depth, Rows(bias, 0, 0),
                 Rows(c, row * columns, columns), columns)  # fmt: skip


def unproject_lanes(doutput, panels, dinputs, first, last):
    """dinputs[:, first:last] = doutput · Wᵀ for all steps."""
    project_lanes(doutput, panels, np.zeros(dinputs.shape[2], doutput.dtype), dinputs, first, last)


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
