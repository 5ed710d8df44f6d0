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


@inlined
def _child(first, following, last, node, symbol):
    """The node behind ``node`` with a symbol, -1 where there is none."""
    child = first[node]
    while child >= 0 and last[child] != symbol:
        child = following[child]
    return child


@inlined
def _spell(text, node, parent, last):
    """Write the symbols that lead to a node into ``text``."""
    count, above = 0, node
    while above > 0:
        count, above = count + 1, parent[above]
    while node > 0:
        count -= 1
        text[count], node = last[node], parent[node]


@kernel
def likeliest_prefixes(logs, texts, nats):
    """The likeliest ``texts`` [K, T], filled up with -1, and their ``nats`` [K], the best first.

    Prefix beam search (Graves 2008; Hannun et al. 2014) over log y [T, V], with K beams: of each
    beginning the probabilities of all paths to it are kept, those that end with a blank by
    themselves, as they alone may go on with the last symbol again. Texts that are not found have
    infinite nats.
    """
    steps, size = logs.shape
    beams = nats.size
    # A tree of beginnings: each node is its parent with one symbol more; 0 is the empty one.
    room = 1 + steps * beams
    parent, last = np.full(room, -1), np.full(room, -1)
    first, following = np.full(room, -1), np.full(room, -1)
    nodes, alive = 1, 1
    own, rank = np.zeros(beams, np.int64), np.full(room, -1)
    blank, other = np.full(beams, -math.inf), np.full(beams, -math.inf)
    blank[0], rank[0] = 0.0, 0
    # Candidates: each beam as it is, then each with each symbol.
    scores = np.empty((2, beams * (size + 1)))
    for t in range(steps):
        scores[:] = -math.inf
        for k in range(alive):
            node = own[k]
            total = _add_logs(blank[k], other[k])
            scores[0, k] = total + logs[t, BLANK]
            if last[node] >= 0:
                scores[1, k] = _add_logs(scores[1, k], other[k] + logs[t, last[node]])
            for symbol in range(1, size):
                before = blank[k] if symbol == last[node] else total
                child = _child(first, following, last, node, symbol)
                if child >= 0 and rank[child] >= 0:  # it is a beam itself
                    at = rank[child]
                    scores[1, at] = _add_logs(scores[1, at], before + logs[t, symbol])
                else:
                    scores[1, beams + k * size + symbol] = before + logs[t, symbol]
        totals = np.empty(scores.shape[1])
        for n in range(totals.size):
            totals[n] = _add_logs(scores[0, n], scores[1, n])
        order = np.argsort(-totals)[:beams]
        new = np.full(beams, -1)
        for place in range(beams):
            n = order[place]
            if totals[n] == -math.inf:
                break
            if n < beams:
                new[place] = own[n]
            else:
                node, symbol = own[(n - beams) // size], (n - beams) % size
                child = _child(first, following, last, node, symbol)
                if child < 0:
                    child, nodes = nodes, nodes + 1
                    parent[child], last[child] = node, symbol
                    following[child], first[node] = first[node], child
                new[place] = child
        for k in range(alive):
            rank[own[k]] = -1
        alive = 0
        while alive < beams and new[alive] >= 0:
            own[alive], rank[new[alive]] = new[alive], alive
            blank[alive], other[alive] = scores[0, order[alive]], scores[1, order[alive]]
            alive += 1
    texts[:], nats[:] = -1, math.inf
    for k in range(alive):
        nats[k] = -_add_logs(blank[k], other[k])
        _spell(texts[k], own[k], parent, last)


@kernel
def place_symbols(logs, symbols, steps):
    """The step [M] at which each symbol is likeliest on the likeliest path (Viterbi)."""
    length, places = logs.shape[0], 2 * symbols.size + 1
    best, came = np.full((length, places), -math.inf), np.zeros((length, places), np.int64)
    for t in range(length):
        for s in range(places):
            highest, back = (0.0 if s < 2 else -math.inf) if t == 0 else best[t - 1, s], 0
            for jump in range(1, 3):
                comes = t > 0 and s >= jump and (jump == 1 or _may_skip(symbols, s))
                if comes and best[t - 1, s - jump] > highest:
                    highest, back = best[t - 1, s - jump], jump
            best[t, s], came[t, s] = highest + logs[t, _symbol(symbols, s)], back
    place = places - 1
    if places > 1 and best[-1, places - 2] > best[-1, places - 1]:
        place = places - 2
    highest_of = np.full(symbols.size, -math.inf)
    for t in range(length - 1, -1, -1):
        if place & 1 and logs[t, symbols[place >> 1]] > highest_of[place >> 1]:
            highest_of[place >> 1], steps[place >> 1] = logs[t, symbols[place >> 1]], t
        place -= came[t, place]
