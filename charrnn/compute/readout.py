"""Softmax with cross-entropy over a block of rows, and the gather and scatter of embeddings."""

from __future__ import annotations

import math

import numpy as np

from charrnn.compute import activations  # noqa: F401  (exp in compiled code)
from charrnn.compute.cache import kernel
from charrnn.compute.functions import exp
from charrnn.compute.products import Rows, multiply
from charrnn.compute.vector import (
    broadcast,
    lanes,
    largest_lane,
    load,
    maximum,
    store,
    sum_of_lanes,
)

#: The logit of what cannot be: its probability is nothing, and no infinity gets into sums.
NEVER = -1e30

#: Logits below this are those of what cannot be.
IMPOSSIBLE = -1e29


@kernel
def logits_of_rows(hidden, panels, bias, logits):
    """logits [N, V] = bias + hidden [N, H] · W; padded columns have an impossible bias."""
    rows, depth = hidden.shape
    width = logits.shape[1]
    result = Rows(logits.reshape(-1), 0, width)
    multiply(Rows(hidden.reshape(-1), 0, depth), rows, panels, depth, Rows(bias, 0, 0), result,
             width)  # fmt: skip


@kernel
def _largest(logits, at, width):
    """The largest of ``width`` logits at flat offset ``at``."""
    top = load(logits, at)
    for j in range(at + lanes(logits), at + width, lanes(logits)):
        top = maximum(top, load(logits, j))
    return largest_lane(top)


@kernel
def softmax_row(logits, at, width):
    """Turn ``width`` logits at flat offset ``at`` into probabilities; return (max, log of sum).

    The logarithm of the probability of k is logit[k] - max - log of sum.
    """
    largest = _largest(logits, at, width)
    total = broadcast(logits, 0.0)
    for j in range(at, at + width, lanes(logits)):
        e = exp(load(logits, j) - largest)
        store(logits, j, e)
        total = total + e
    sum_ = sum_of_lanes(total)
    for j in range(at, at + width, lanes(logits)):
        store(logits, j, load(logits, j) * (1.0 / sum_))
    return largest, math.log(sum_)


@kernel
def log_softmax_row(logits, at, width):
    """Turn ``width`` logits at flat offset ``at`` into logarithms of probabilities."""
    largest = _largest(logits, at, width)
    total = broadcast(logits, 0.0)
    for j in range(at, at + width, lanes(logits)):
        total = total + exp(load(logits, j) - largest)
    norm = largest + math.log(sum_of_lanes(total))
    for j in range(at, at + width, lanes(logits)):
        store(logits, j, load(logits, j) - norm)


@kernel
def mix_row(logits, at, apart, count, mixed, target, width):
    """Logarithms, at ``target`` of ``mixed``, of the mean of ``count`` sets of probabilities.

    ``logits``, which change, are those of the first at flat offset ``at``, of each other so far
    ``apart``. The largest is taken out of each sum, as none of them would be left beside 0.
    """
    for k in range(count):
        log_softmax_row(logits, at + k * apart, width)
    for j in range(0, width, lanes(logits)):
        top = load(logits, at + j)
        for k in range(1, count):
            top = maximum(top, load(logits, at + k * apart + j))
        total = broadcast(logits, 0.0)
        for k in range(count):
            total = total + exp(load(logits, at + k * apart + j) - top)
        store(mixed, target + j, total)
        store(logits, at + j, top)
    for j in range(width):
        mixed[target + j] = logits[at + j] + math.log(mixed[target + j] / count)


@kernel
def mix_rows(logits, mixed):
    """``mix_row`` of all rows: of logits [K, N, V] make [N, V]."""
    count, rows, width = logits.shape
    flat, result = logits.reshape(-1), mixed.reshape(-1)
    for row in range(rows):
        mix_row(flat, row * width, rows * width, count, result, row * width, width)


@kernel
def cross_entropy_rows(logits, targets, losses):
    """losses [N] = -log p(targets), and logits [N, V] become gradients of these losses.

    The gradients are of the sum, not of the mean: dividing here would make the smallest
    probabilities denormal numbers, which are slow.
    """
    rows, width = logits.shape
    flat = logits.reshape(-1)
    for row in range(rows):
        target = row * width + targets[row]
        logit = flat[target]
        largest, log_sum = softmax_row(flat, row * width, width)
        losses[row] = log_sum + (largest - logit)
        flat[target] -= 1.0


def rows_times_weights(d, panels, result):
    """result [N, H] = d [N, V] · W."""
    logits_of_rows(d, panels, np.zeros(result.shape[1], d.dtype), result)


@kernel
def fill_table(source, source_at, row_index, column_index, column, start, table, part, parts):
    """table[r, c] = start[c] + source[row_index[r] + column_index[c - column]], -1 being padding.

    Rows of an embedding, or of a transposed input matrix with the bias already added: what
    ``gather_rows`` reads.
    """
    for r in range(table.shape[0] * part // parts, table.shape[0] * (part + 1) // parts):
        for c in range(table.shape[1]):
            value = start[c]
            i = c - column
            if 0 <= i < column_index.size and column_index[i] >= 0:
                value += source[source_at + row_index[r] + column_index[i]]
            table[r, c] = value


@kernel
def gather_rows(table, indices, result, first, last):
    """result[:, first:last] = table[indices[:, first:last]], for [V, width] and [T, B]."""
    steps, batch, width = result.shape
    flat_table, flat_result = table.reshape(-1), result.reshape(-1)
    for t in range(steps):
        for b in range(first, last):
            source = indices[t, b] * width
            target = (t * batch + b) * width
            for j in range(0, width, lanes(table)):
                store(flat_result, target + j, load(flat_table, source + j))


@kernel
def add_rows(table, indices, result, first, last):
    """result[:, first:last] += the rows of the table [K, width] that ``indices`` [A, T, B] choose.

    Each of A is added in turn; an index below 0 chooses none.
    """
    steps, batch, width = result.shape
    flat_table, flat_result = table.reshape(-1), result.reshape(-1)
    for t in range(steps):
        for b in range(first, last):
            target = (t * batch + b) * width
            for a in range(indices.shape[0]):
                source = indices[a, t, b] * width
                for j in range(0, width if source >= 0 else 0, lanes(table)):
                    value = load(flat_result, target + j) + load(flat_table, source + j)
                    store(flat_result, target + j, value)


@kernel
def scatter_rows(d, columns, indices, dtable, part, parts):
    """dtable = sum of the rows of ``d`` by ``indices`` [A, T, B], from column ``columns`` on.

    The gradient of ``add_rows``, and with one index a row that of ``gather_rows``. Threads share
    the columns, so that every sum is made in one order.
    """
    steps, batch, row = d.shape
    width = dtable.shape[1]
    unit = lanes(d)
    units = width // unit
    start, end = units * part // parts * unit, units * (part + 1) // parts * unit
    dtable[:, start:end] = 0
    flat_d, flat_table = d.reshape(-1), dtable.reshape(-1)
    for t in range(steps):
        for b in range(batch):
            source = (t * batch + b) * row + columns
            for a in range(indices.shape[0]):
                target = indices[a, t, b] * width
                for j in range(start, end if target >= 0 else start, unit):
                    value = load(flat_table, target + j) + load(flat_d, source + j)
                    store(flat_table, target + j, value)
