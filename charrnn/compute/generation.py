"""The feedback loop of sampling: what is chosen at one step is read at the next.

A step of a network is a *program*: instructions that kernels carry out one after the other on one
flat array, the *memory*, with all values of B texts. A crew of threads shares the columns of each
instruction, so that one text too is written by all of them: with two threads each reads half of the
weights, which is what a step waits for. They meet at a barrier behind an instruction, unless the
next one adds to the very columns that this one wrote. Every element is one sum in one order whoever
makes it.

What an instruction does, and with which of its fields:

``COPY``
    the rows from ``source`` on, ``stride`` elements apart for each character (0: one row for all),
    to ``target``
``MULTIPLY``
    ``source`` with the panels ``first … last``, of so much ``depth``, or with those that begin
    ``stride`` elements apart for each character; the product is added to ``target``
``PREPARE``, ``NORMALIZE`` (before and behind a cell's second product), ``CELL``
    of the ``cell`` with that number: gates at ``target``, states at ``source``, ``stride`` elements
    between two states of a text, ``unit`` the layer's first in the cell's fields
``SCALE``
    ``source``, each element times that of the row from ``first`` on, is added to ``target``
``TANH``
    of ``target``
``MIX``
    to ``target`` logarithms of the mean of ``depth`` sets of probabilities, whose logits are at
    ``source``, ``stride`` elements from one to the next
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from charrnn.compute.barrier import meet
from charrnn.compute.cache import PART, inlined, kernel
from charrnn.compute.choosers import choose, copy, follow
from charrnn.compute.functions import tanh
from charrnn.compute.packing import steps_of
from charrnn.compute.pointwise import normalize, prepare, step
from charrnn.compute.products import Rows, multiply
from charrnn.compute.readout import mix_row, softmax_row
from charrnn.compute.recall import remember
from charrnn.compute.target import TILE_VECTORS
from charrnn.compute.vector import lanes, load, store

COPY, MULTIPLY, PREPARE, NORMALIZE, CELL, SCALE, TANH, MIX = range(8)

#: Why a text is over: at its end, at the most characters it may have, where nothing may follow, or
#: with a text that was to end it (that and its number); 0: it goes on.
AT_END, AT_LENGTH, AT_NOTHING, AT_STOP = range(1, 5)

#: An instruction. A *row* leads from one text to the next; the columns are those of the target.
INSTRUCTION = np.dtype(
    [(name, np.int64) for name in (
        "kind", "meets", "first", "last", "depth", "source", "source_row", "stride",
        "target", "target_row", "columns", "cell", "unit",
    )]
)  # fmt: skip


class Instructions(NamedTuple):
    """A program, with all that it reads but the memory."""

    cells: Any  # a tuple of those that differ; each has its per-unit parameters of all its layers
    steps: np.ndarray  # [I] INSTRUCTION
    weights: np.ndarray  # panels
    rows: np.ndarray  # what is copied
    initial: np.ndarray  # memory as it is where all texts begin
    states: np.ndarray  # [S, 2], where in memory each state is, and from one text to the next
    logits: int  # where in memory the program leaves logits [B, width]
    width: int


class Texts(NamedTuple):
    """What B texts read and write in the next N steps."""

    tokens: np.ndarray  # [B, N]: the one that is given, or -1 where one is to be chosen
    uniforms: np.ndarray  # [B, N], random numbers in [0, 1)
    nats: np.ndarray  # [B, N] -log P of what is chosen, float64; [B, 0] where nobody asks
    latest: np.ndarray  # [B], what each text has read last
    ended: np.ndarray  # [B] int32, why a text is over; 0: it is not
    written: np.ndarray  # [B] int64, how many characters were chosen


@kernel
def _share_of(count, unit, part, parts):
    """The part's share of ``count`` columns: from and to, whole units but for the last."""
    units = -(-count // unit)
    return units * part // parts * unit, min(units * (part + 1) // parts * unit, count)


@kernel
def _copy(instruction, rows, latest, memory, part, parts):
    first, last = _share_of(instruction.columns, TILE_VECTORS * lanes(memory), part, parts)
    for b in range(latest.size):
        at = instruction.source + latest[b] * instruction.stride
        target = instruction.target + b * instruction.target_row
        for j in range(first, last, lanes(memory)):
            store(memory, target + j, load(rows, at + j))


@kernel
def _multiply(instruction, weights, latest, memory, part, parts):
    panels, depth = weights[instruction.first : instruction.last], instruction.depth
    first, last = _share_of(instruction.columns, TILE_VECTORS * lanes(memory), part, parts)
    source = Rows(memory, instruction.source, instruction.source_row)
    target = Rows(memory, instruction.target + first, instruction.target_row)
    own = panels[first * steps_of(depth, panels) :]
    if not instruction.stride:
        multiply(source, latest.size, own, depth, target, target, last - first)
        return
    for b in range(latest.size):
        source = Rows(memory, instruction.source + b * instruction.source_row, 0)
        target = Rows(memory, instruction.target + first + b * instruction.target_row, 0)
        chosen = own[latest[b] * instruction.stride :]
        multiply(source, 1, chosen, depth, target, target, last - first)


@kernel
def _advance_cell(cell, instruction, memory, batch, part, parts):
    width, stride = instruction.columns, instruction.stride
    first, last = _share_of(width, lanes(memory), part, parts)
    for b in range(batch):
        gates = instruction.target + b * instruction.target_row
        if instruction.kind == NORMALIZE and part == 0:
            normalize(cell, memory, gates, width)
        for j in range(first, last, lanes(memory)):
            blocks = Rows(memory, gates + j, width)
            states = Rows(memory, instruction.source + b * width + j, stride)
            if instruction.kind == PREPARE:
                prepare(cell, blocks, states)
            elif instruction.kind == CELL:
                step(cell, instruction.unit + j, blocks, states, states.at)


def advance(cells, number, instruction, memory, batch, part, parts):
    """``_advance_cell`` of the cell with that number: each is of a type of its own."""


@overload(advance, jit_options=PART)
def _advance_one_of(cells, number, instruction, memory, batch, part, parts):
    if len(cells) == 1:

        def only(cells, number, instruction, memory, batch, part, parts):
            _advance_cell(cells[0], instruction, memory, batch, part, parts)

        return only

    def first_or_later(cells, number, instruction, memory, batch, part, parts):
        if number == 0:
            _advance_cell(cells[0], instruction, memory, batch, part, parts)
        else:
            advance(cells[1:], number - 1, instruction, memory, batch, part, parts)

    return first_or_later


@kernel
def _scale(instruction, rows, memory, batch, part, parts):
    first, last = _share_of(instruction.columns, TILE_VECTORS * lanes(memory), part, parts)
    for b in range(batch):
        source = instruction.source + b * instruction.source_row
        target = instruction.target + b * instruction.target_row
        for j in range(first, last, lanes(memory)):
            scaled = load(memory, source + j) * load(rows, instruction.first + j)
            store(memory, target + j, load(memory, target + j) + scaled)


@kernel
def _tanh(instruction, memory, batch, part, parts):
    first, last = _share_of(instruction.columns, lanes(memory), part, parts)
    for b in range(batch):
        row = instruction.target + b * instruction.target_row
        for j in range(row + first, row + last, lanes(memory)):
            store(memory, j, tanh(load(memory, j)))


@kernel
def _mix(instruction, memory, batch, part, parts):
    """Each thread does some of the texts: a set of probabilities is one sum."""
    count, apart = instruction.depth, instruction.stride
    for b in range(part, batch, parts):
        source = instruction.source + b * instruction.source_row
        target = instruction.target + b * instruction.target_row
        mix_row(memory, source, apart, count, memory, target, instruction.columns)


@inlined
def _surprise(memory, at, chances, token):
    """-log P of a token by the logits at ``at``, to the bits of ``readout.cross_entropy_rows``."""
    copy(memory, at, chances)
    logit = chances[token]
    top, log_sum = softmax_row(chances, 0, chances.size)
    return log_sum + (top - logit)


@inlined
def _choose(chooser, recall, row, b, uniform, end):
    """The next token of a text from the logits of ``row``, and why the text is over with it, or 0.

    ``end`` is what ends a document, and is there where nothing may follow.
    """
    token = choose(chooser, row, recall, b, uniform)
    if token < 0:
        return end, AT_NOTHING
    if token == end:
        return end, AT_END
    recall.left[b] -= 1
    remember(recall, b, token)
    stop = follow(chooser, recall, b, token)
    if stop >= 0:
        return token, AT_STOP + stop
    return token, AT_LENGTH if recall.left[b] <= 0 else 0


@inlined
def _begin(states, initial, memory, b):
    """A document begins in a text: its states are those before any."""
    for s in range(len(states)):
        row = states[s, 1]
        at = states[s, 0] + b * row
        for j in range(at, at + row, lanes(memory)):
            store(memory, j, load(initial, j))


@inlined
def _any_going_on(ended):
    for code in ended:  # noqa: SIM110  (Numba knows no generators here)
        if code == 0:
            return True
    return False


@kernel
def generate(program, chooser, memory, recall, row, texts, frame, barrier, part, parts):
    """Choose a character for each text, and let the network read it; how many times that was done.

    The first is chosen from the logits that are in memory, where the program leaves those of what
    follows. ``frame`` are the tokens that begin and end a document: where the first is read, a text
    begins anew; where a text is over the other is, and when all are, nothing.

    Every thread of a crew calls this with its ``part`` and the same ``barrier``.
    """
    # Each array by itself: what is taken out of a tuple in the loop is counted each time.
    cells, steps, weights, rows = program.cells, program.steps, program.weights, program.rows
    tokens, uniforms, nats = texts.tokens, texts.uniforms, texts.nats
    latest, ended, written = texts.latest, texts.ended, texts.written
    logits, chances, states, initial = row.logits, row.chances, program.states, program.initial
    start, end = frame
    batch, length = tokens.shape
    first, width = program.logits, program.width
    for n in range(length):
        if part == 0:
            for b in range(batch):
                token, at = tokens[b, n], first + b * width
                if token >= 0:
                    remember(recall, b, token)
                elif ended[b]:
                    token = end
                else:
                    copy(memory, at, logits)
                    token, ended[b] = _choose(chooser, recall, row, b, uniforms[b, n], end)
                    if nats.size and ended[b] != AT_NOTHING:
                        nats[b, n] = _surprise(memory, at, chances, token)
                    written[b] += token != end
                latest[b] = tokens[b, n] = token
                if token == start:
                    _begin(states, initial, memory, b)
        if not meet(barrier, parts):
            return n
        if not _any_going_on(ended):
            return n + 1
        for i in range(steps.size):
            instruction = steps[i]
            if instruction.kind == COPY:
                _copy(instruction, rows, latest, memory, part, parts)
            elif instruction.kind == MULTIPLY:
                _multiply(instruction, weights, latest, memory, part, parts)
            elif instruction.kind == SCALE:
                _scale(instruction, rows, memory, batch, part, parts)
            elif instruction.kind == TANH:
                _tanh(instruction, memory, batch, part, parts)
            elif instruction.kind == MIX:
                _mix(instruction, memory, batch, part, parts)
            else:
                advance(cells, instruction.cell, instruction, memory, batch, part, parts)
            if instruction.meets and not meet(barrier, parts):
                return n
    return length
