"""The feedback loop of sampling: what is drawn at one step is read at the next.

A step of a network is a *program*: a row of numbers for each instruction, which kernels of one
step carry out one after the other on one flat array, the *memory*, with all values of B texts.
A crew of threads shares the columns of each instruction, so that one text too is written by all of
them: with two threads each reads half of the weights, which is what a step waits for. They meet at
a barrier behind an instruction, unless the next one adds to the very columns that this one wrote.
Every element is one sum in one order whoever makes it.

An instruction is what it does, whether threads meet behind it, and its operands; a *row stride*
leads from one text to the next:

``COPY``
    first element in ``rows``, elements between the rows of two characters (0: one row for all),
    target, its row stride, columns
``MULTIPLY``
    first and last offset into ``weights`` (panels), depth, source, its row stride, target, its row
    stride, columns; the product is added to the target
``PREPARE``, ``NORMALIZE`` (before and behind a cell's second product), ``CELL``
    gates, their row stride, states, elements between two states of a text, width, the layer's
    first unit in the cell's fields
``TANH``
    target, its row stride, columns
"""

from __future__ import annotations

from charrnn.compute.barrier import meet
from charrnn.compute.cache import kernel
from charrnn.compute.functions import tanh
from charrnn.compute.packing import steps_of
from charrnn.compute.pointwise import normalize, prepare, step
from charrnn.compute.products import multiply
from charrnn.compute.readout import softmax_row
from charrnn.compute.target import TILE_VECTORS
from charrnn.compute.vector import lanes, largest_lane, load, maximum, store

COPY, MULTIPLY, PREPARE, NORMALIZE, CELL, TANH = range(6)

#: Numbers of an instruction; the first is what it does.
INSTRUCTION_SIZE = 10

#: Below this a probability is that of a padded or forbidden column, whose logit is -1e30.
_NOTHING = 1e-30


@kernel
def _most_probable(logits, at, width):
    best = at
    for j in range(at + 1, at + width):
        if logits[j] > logits[best]:
            best = j
    return best - at


@kernel
def draw(logits, at, width, sharpness, uniform):
    """Index drawn from softmax(logits·sharpness), by inversion of ``uniform`` in [0, 1).

    ``sharpness`` is one over the temperature, 1e-20 … 1e30; infinite, it is the most probable
    index that is taken. The ``width`` logits at flat offset ``at`` are overwritten.
    """
    if sharpness > 1e30:
        return _most_probable(logits, at, width)
    top = load(logits, at)
    for j in range(at, at + width, lanes(logits)):
        top = maximum(top, load(logits, j))
    largest = largest_lane(top)
    for j in range(at, at + width, lanes(logits)):
        store(logits, j, (load(logits, j) - largest) * sharpness)
    softmax_row(logits, at, width)
    left = uniform
    chosen = -1
    for j in range(width):
        p = logits[at + j]
        if p > _NOTHING:
            chosen = j
            left -= p
            if left < 0:
                break
    return chosen


@kernel
def _share_of(count, unit, part, parts):
    """The part's share of ``count`` columns: from and to, whole units but for the last."""
    units = -(-count // unit)
    return units * part // parts * unit, min(units * (part + 1) // parts * unit, count)


@kernel
def _copy(instruction, rows, tokens, memory, part, parts):
    source, stride, target = instruction[2], instruction[3], instruction[4]
    row, columns = instruction[5], instruction[6]
    first, last = _share_of(columns, TILE_VECTORS * lanes(memory), part, parts)
    for b in range(tokens.size):
        at = source + tokens[b] * stride
        for j in range(first, last, lanes(memory)):
            store(memory, target + b * row + j, load(rows, at + j))


@kernel
def _multiply(instruction, weights, memory, batch, part, parts):
    panels = weights[instruction[2] : instruction[3]]
    depth, source, source_row = instruction[4], instruction[5], instruction[6]
    target, row, columns = instruction[7], instruction[8], instruction[9]
    first, last = _share_of(columns, TILE_VECTORS * lanes(memory), part, parts)
    at = target + first
    multiply(memory, source, source_row, batch, panels[first * steps_of(depth, panels) :], depth,
             memory, at, row, memory, at, row, last - first)  # fmt: skip


@kernel
def _advance_cell(cell, instruction, memory, batch, part, parts):
    gates, row = instruction[2], instruction[3]
    states, stride, width, unit = instruction[4], instruction[5], instruction[6], instruction[7]
    first, last = _share_of(width, lanes(memory), part, parts)
    for b in range(batch):
        if instruction[0] == NORMALIZE and part == 0:
            normalize(cell, memory, gates + b * row, width)
        for j in range(first, last, lanes(memory)):
            at, at_gates = states + b * width + j, gates + b * row + j
            if instruction[0] == PREPARE:
                prepare(cell, memory, at_gates, width, memory, at, stride)
            elif instruction[0] == CELL:
                step(cell, unit + j, memory, at_gates, width, memory, at, at, stride)


@kernel
def _tanh(instruction, memory, batch, part, parts):
    target, row = instruction[2], instruction[3]
    first, last = _share_of(instruction[4], lanes(memory), part, parts)
    for b in range(batch):
        for j in range(target + b * row + first, target + b * row + last, lanes(memory)):
            store(memory, j, tanh(load(memory, j)))


@kernel
def _choose(logits, width, sharpness, uniforms, end, texts, n, tokens, ended):
    """Draw or take the n-th character of each text from its ``width`` logits in ``memory``."""
    for b in range(tokens.size):
        if texts[b, n] < 0:
            texts[b, n] = draw(logits, b * width, width, sharpness, uniforms[b, n])
            ended[b] |= texts[b, n] == end
        tokens[b] = texts[b, n]


@kernel
def generate(cell, program, weights, rows, memory, logits, width, sharpness, uniforms, end,
             texts, tokens, ended, barrier, part, parts):  # fmt: skip
    """Write characters into ``texts`` [B, N]; return how many steps were made.

    ``texts`` holds -1 where a character is to be drawn and the character where it is given (a
    prompt). ``tokens`` [B] is what the first step reads and, afterwards, the last step wrote.
    A text in which ``end`` was drawn is ``ended``; when all are, no more steps are made. The
    program leaves logits [B, width] in ``memory`` from offset ``logits`` on.

    Every thread of a crew calls this with its ``part`` and the same ``barrier``.
    """
    batch, steps = texts.shape
    for n in range(steps):
        for i in range(program.shape[0]):
            instruction = program[i]
            if instruction[0] == COPY:
                _copy(instruction, rows, tokens, memory, part, parts)
            elif instruction[0] == MULTIPLY:
                _multiply(instruction, weights, memory, batch, part, parts)
            elif instruction[0] == TANH:
                _tanh(instruction, memory, batch, part, parts)
            else:
                _advance_cell(cell, instruction, memory, batch, part, parts)
            if instruction[1] and not meet(barrier, parts):
                return n
        if part == 0:
            _choose(memory[logits:], width, sharpness, uniforms, end, texts, n, tokens, ended)
        if not meet(barrier, parts):
            return n
        if ended.all():
            return n + 1
    return steps
