"""Attention with one query over all positions of a document, forward and backward.

e_t = y_t·q/√size, α = softmax(e) over the document's positions, pooled = Σ α_t y_t. Back, with c
the gradient of what is pooled: dα_t = c·y_t, de_t = α_t (dα_t - Σ α dα),
dy_t = α_t c + de_t q/√size, dq = Σ de_t y_t/√size.

Hidden states y are [T, B, width], with padding that is zero; ``spans`` [D, 3] are the lane of each
document, its first step and one past its last. Each document is one thread's alone.
"""

from __future__ import annotations

import math

import numpy as np

from charrnn.compute.cache import kernel
from charrnn.compute.vector import broadcast, lanes, load, store, sum_of_lanes


@kernel
def _dot(a, a_at, b, b_at, width):
    total = broadcast(a, 0.0)
    for j in range(0, width, lanes(a)):
        total = total + load(a, a_at + j) * load(b, b_at + j)
    return sum_of_lanes(total)


@kernel
def _add(result, at, factor, row, row_at, width):
    """result[at:] += factor · row[row_at:]."""
    for j in range(0, width, lanes(result)):
        store(result, at + j, load(result, at + j) + load(row, row_at + j) * factor)


@kernel
def pool_documents(hidden, query, scale, spans, weights, pooled, first, last):
    """The documents ``first … last``: ``weights`` [T, B] become α, ``pooled`` [D, width] Σ α y.

    ``query`` [width] is multiplied by ``scale``, which is 1/√size.
    """
    batch, width = hidden.shape[1], hidden.shape[2]
    flat, result = hidden.reshape(-1), pooled.reshape(-1)
    for d in range(first, last):
        b, start, end = spans[d]
        highest = -math.inf
        for t in range(start, end):
            weights[t, b] = _dot(flat, (t * batch + b) * width, query, 0, width) * scale
            highest = max(highest, weights[t, b])
        total = 0.0
        for t in range(start, end):
            weights[t, b] = math.exp(weights[t, b] - highest)
            total += weights[t, b]
        pooled[d] = 0
        for t in range(start, end):
            weights[t, b] /= total
            _add(result, d * width, weights[t, b], flat, (t * batch + b) * width, width)


@kernel
def unpool_documents(hidden, query, scale, spans, weights, dpooled, dhidden, dquery, first, last):
    """The way back: ``dhidden`` [T, B, width] is added to, ``dquery`` [D, width] is each's own."""
    batch, width = hidden.shape[1], hidden.shape[2]
    flat, d_flat = hidden.reshape(-1), dhidden.reshape(-1)
    d_pooled, d_query = dpooled.reshape(-1), dquery.reshape(-1)
    for d in range(first, last):
        b, start, end = spans[d]
        dweights = np.empty(end - start, hidden.dtype)
        mean = 0.0
        for t in range(start, end):
            dweights[t - start] = _dot(flat, (t * batch + b) * width, d_pooled, d * width, width)
            mean += weights[t, b] * dweights[t - start]
        dquery[d] = 0
        for t in range(start, end):
            at = (t * batch + b) * width
            denergy = weights[t, b] * (dweights[t - start] - mean) * scale
            _add(d_flat, at, weights[t, b], d_pooled, d * width, width)
            _add(d_flat, at, denergy, query, 0, width)
            _add(d_query, d * width, denergy, flat, at, width)
