"""Attention over the positions of a document, forward and backward.

With one learned query for all of them: e_t = y_t·q/√size, α = softmax(e) over the document's
positions, pooled = Σ α_t y_t. Back, with c the gradient of what is pooled: dα_t = c·y_t,
de_t = α_t (dα_t - Σ α dα), dy_t = α_t c + de_t q/√size, dq = Σ de_t y_t/√size.

With a query for each step that is written, over all that was read (Luong et al. 2015, scaled as in
Vaswani et al. 2017): e_ti = q_t·k_i/√size, α_t = softmax_i(e_t), c_t = Σ_i α_ti v_i. Back:
dα_ti = dc_t·v_i, de_ti = α_ti (dα_ti - Σ_j α_tj dα_tj), dq_t = Σ_i de_ti k_i/√size,
dk_i = Σ_t de_ti q_t/√size, dv_i = Σ_t α_ti dc_t.

Hidden states y are [T, B, width], with padding that is zero; ``spans`` [D, 3] are the lane of each
document, its first step and one past its last. Each document is one thread's alone.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

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


class Attended(NamedTuple):
    """What steps attend to, document by document."""

    spans: Any  # [D, 3] of the steps that are written
    read: Any  # [D, 3] of what was read, which no document has nothing of
    weights: Any  # flat: α of each document's steps and positions, [steps, positions] each
    at: Any  # [D] int64, where those of each document begin


@kernel
def attend(queries, keys, values, scale, own, context, first, last):
    """The documents ``first … last``: ``context`` [T, B, width] becomes c, ``own.weights`` α.

    Queries are [T, B, width], keys and values [S, B', width]; ``scale`` is 1/√size.
    """
    batch, lanes_read, width = queries.shape[1], keys.shape[1], queries.shape[2]
    q, k, v, c = queries.reshape(-1), keys.reshape(-1), values.reshape(-1), context.reshape(-1)
    for d in range(first, last):
        b, start, end = own.spans[d]
        lane, begin, stop = own.read[d]
        for t in range(start, end):
            row = own.weights[own.at[d] + (t - start) * (stop - begin) :][: stop - begin]
            at = (t * batch + b) * width
            highest = -math.inf
            for i in range(row.size):
                row[i] = _dot(q, at, k, ((begin + i) * lanes_read + lane) * width, width) * scale
                highest = max(highest, row[i])
            total = 0.0
            for i in range(row.size):
                row[i] = math.exp(row[i] - highest)
                total += row[i]
            context[t, b] = 0
            for i in range(row.size):
                row[i] /= total
                _add(c, at, row[i], v, ((begin + i) * lanes_read + lane) * width, width)


@kernel
def unattend(dcontext, saved, scale, own, gradients, first, last):
    """The way back: the ``gradients`` of the three that are ``saved`` are added to.

    ``saved`` are the queries, keys and values of ``attend``.
    """
    batch, lanes_read, width = saved[0].shape[1], saved[1].shape[1], saved[0].shape[2]
    q, k, v = saved[0].reshape(-1), saved[1].reshape(-1), saved[2].reshape(-1)
    dq, dk, dv = gradients[0].reshape(-1), gradients[1].reshape(-1), gradients[2].reshape(-1)
    dc = dcontext.reshape(-1)
    for d in range(first, last):
        b, start, end = own.spans[d]
        lane, begin, stop = own.read[d]
        dweights = np.empty(stop - begin, q.dtype)
        for t in range(start, end):
            row = own.weights[own.at[d] + (t - start) * (stop - begin) :][: stop - begin]
            at = (t * batch + b) * width
            mean = 0.0
            for i in range(row.size):
                place = ((begin + i) * lanes_read + lane) * width
                dweights[i] = _dot(dc, at, v, place, width)
                mean += row[i] * dweights[i]
            for i in range(row.size):
                place = ((begin + i) * lanes_read + lane) * width
                denergy = row[i] * (dweights[i] - mean) * scale
                _add(dq, at, denergy, k, place, width)
                _add(dk, place, denergy, q, at, width)
                _add(dv, place, row[i], dc, at, width)
