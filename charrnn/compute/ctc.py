"""Connectionist temporal classification (Graves et al. 2006), in logarithms.

A document of T steps has at each a probability y_t(k) of every symbol and of a blank. What is
written is l; l' is the same with a blank before, behind and between its symbols. A path goes
through l' from one of its first two places to one of its last two, and at each step it stays,
advances by one, or skips a blank between two symbols that differ.

With α_t(s) = log of the sum over all beginnings of paths that are at place s at step t, y_t
included, and β_t(s) that over all their ends, y_t excluded:

α_t(s) = log y_t(l'_s) + logsumexp(α_{t-1}(s), α_{t-1}(s-1), α_{t-1}(s-2) if it may be skipped to)
β_t(s) = logsumexp over the same places s' ahead of β_{t+1}(s') + log y_{t+1}(l'_{s'})
log p(l) = logsumexp_s(α_t(s) + β_t(s)) at any t
∂(-log p)/∂logit_t(k) = y_t(k) - Σ_{s: l'_s = k} exp(α_t(s) + β_t(s) - log p)
"""

from __future__ import annotations

import math

import numpy as np

from charrnn.compute.cache import inlined, kernel
from charrnn.compute.readout import softmax_row

#: The class that writes nothing.
BLANK = 0


@inlined
def _add_logs(a, b):
    """log(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))


@inlined
def _symbol(symbols, s):
    """What stands at a place of l': a blank at even ones."""
    return symbols[s >> 1] if s & 1 else BLANK


@inlined
def _may_skip(symbols, s):
    """Whether a path may come to place s from two places before."""
    return s & 1 and s >= 3 and symbols[s >> 1] != symbols[(s >> 1) - 1]


@kernel
def _forward(logs, symbols, alpha):
    """α [T, 2M + 1] from log y [T, K]; what no path can be at is -inf."""
    steps, places = alpha.shape
    alpha[:] = -math.inf
    for t in range(steps):
        # Places that can be reached by now, and from which the end can still be.
        for s in range(max(0, places - 2 * (steps - t)), min(places, 2 * t + 2)):
            total = alpha[t - 1, s] if t else (0.0 if s < 2 else -math.inf)
            if t and s >= 1:
                total = _add_logs(total, alpha[t - 1, s - 1])
            if t and _may_skip(symbols, s):
                total = _add_logs(total, alpha[t - 1, s - 2])
            alpha[t, s] = total + logs[t, _symbol(symbols, s)]


@kernel
def _backward(logs, symbols, beta):
    """β [T, 2M + 1]."""
    steps, places = beta.shape
    beta[:] = -math.inf
    for t in range(steps - 1, -1, -1):
        for s in range(max(0, places - 2 * (steps - t)), min(places, 2 * t + 2)):
            if t == steps - 1:
                beta[t, s] = 0.0
                continue
            total = beta[t + 1, s] + logs[t + 1, _symbol(symbols, s)]
            if s + 1 < places:
                ahead = beta[t + 1, s + 1] + logs[t + 1, _symbol(symbols, s + 1)]
                total = _add_logs(total, ahead)
            if s + 2 < places and _may_skip(symbols, s + 2):
                ahead = beta[t + 1, s + 2] + logs[t + 1, _symbol(symbols, s + 2)]
                total = _add_logs(total, ahead)
            beta[t, s] = total


@kernel
def align_documents(logits, spans, targets, losses, first, last):
    """The documents ``first … last``: ``losses`` [D] = -log p, and logits become its gradients.

    Logits are [T, B, K], padded; ``spans`` [D, 3] as in ``charrnn.compute.attention``; ``targets``
    [D, M] are what is written, up to an index below 0. Where it does not fit into a document's
    steps the loss is infinite and the gradient 0.
    """
    batch, width = logits.shape[1], logits.shape[2]
    flat = logits.reshape(-1)
    for d in range(first, last):
        b, start, end = spans[d]
        count = 0
        while count < targets.shape[1] and targets[d, count] >= 0:
            count += 1
        symbols = targets[d, :count]
        logs = np.empty((end - start, width))
        for t in range(start, end):
            at = (t * batch + b) * width
            logs[t - start] = flat[at : at + width]
            top, log_sum = softmax_row(flat, at, width)
            logs[t - start] -= top + log_sum
        alpha, beta = np.empty((end - start, 2 * count + 1)), np.empty((end - start, 2 * count + 1))
        _forward(logs, symbols, alpha)
        _backward(logs, symbols, beta)
        log_p = alpha[-1, -1]
        if count:
            log_p = _add_logs(log_p, alpha[-1, -2])
        losses[d] = -log_p
        for t in range(start, end):
            at = (t * batch + b) * width
            if log_p == -math.inf:
                flat[at : at + width] = 0
                continue
            for s in range(2 * count + 1):
                share = alpha[t - start, s] + beta[t - start, s] - log_p
                if share > -math.inf:
                    flat[at + _symbol(symbols, s)] -= math.exp(share)
