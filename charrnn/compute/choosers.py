"""How a character is chosen from logits.

A chooser is a ``NamedTuple`` class, so that compiled code is specialised by its type, as it is by a
cell's. It has two methods, compiled with the loop that writes text:

``choose(self, row, recall, b, uniform)``
    returns an index, from the logits of ``row`` (a ``Row``), which it may overwrite, from what is
    remembered of text ``b``, and a random number in [0, 1); -1 where nothing may be chosen.
``follow(self, recall, b, token)``
    is told what was chosen, and returns the number of the text that this completes and that is to
    end it, or -1.

``Plain`` and ``Sampler`` write. What users may ask for are numbers in the latter, each with a value
at which nothing is done, so that one type is compiled for all of it. A step that is wanted is given
the arrays that it needs: each array of a tuple that is passed on costs the counting of references.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from charrnn.compute.cache import INLINED, inlined, kernel
from charrnn.compute.constraints import allow, allow_what_ends, forbid_copies
from charrnn.compute.filters import largest, min_p, top_k, top_p, typical
from charrnn.compute.penalties import penalize_recent, penalize_runs
from charrnn.compute.readout import IMPOSSIBLE, softmax_row
from charrnn.compute.recall import recent
from charrnn.compute.vector import lanes, load, store

#: Below this a probability is that of what cannot be chosen.
_NOTHING = 1e-30


class Row(NamedTuple):
    """One text's logits, of which those of what cannot be chosen are ``NEVER``, and room to work.

    All are [W] of the network's dtype, W the padded size of the vocabulary.
    """

    logits: Any
    chances: Any
    spare: Any


def create_row(width: int, dtype: np.dtype) -> Row:
    """Room for logits of so many columns."""
    return Row(*(np.empty(width, dtype) for _ in Row._fields))


@inlined
def copy(source, at, target):
    """The row ``target`` becomes what stands at ``at`` of the flat ``source``."""
    for j in range(0, target.size, lanes(target)):
        store(target, j, load(source, at + j))


@kernel
def _most_probable(logits):
    best = 0
    for j in range(1, logits.size):
        if logits[j] > logits[best]:
            best = j
    return best


@kernel
def _pick(chances, share):
    """The index at which the sum of the chances passes ``share``."""
    left, chosen = share, -1
    for j in range(chances.size):
        p = chances[j]
        if p > _NOTHING:
            chosen = j
            left -= p
            if left < 0:
                break
    return chosen


@kernel
def _sharpen(logits, chances, top, sharpness):
    """Let ``chances`` be softmax(logits·sharpness); ``top`` is the largest logit."""
    for j in range(0, logits.size, lanes(logits)):
        store(chances, j, (load(logits, j) - top) * sharpness)
    softmax_row(chances, 0, chances.size)


class Draw(NamedTuple):
    """The last step: an index drawn from softmax(logits·sharpness).

    ``sharpness`` is one over the temperature, 1e-20 … 1e30; infinite, it is the likeliest that is
    taken. With a ``surprise`` above 0, in bits, what a text tells is held there: Mirostat, version
    2 (Basu et al. 2021). Of what is less surprising than a bound one is drawn, and the bound moves
    by ``rate`` times what the surprise was short of the one that is wanted.
    """

    sharpness: float
    surprise: float
    rate: float

    @classmethod
    def of(cls, temperature: float = 1.0, surprise: float = 0.0, rate: float = 0.0) -> Draw:
        """From a temperature: from 0 (always the likeliest) up."""
        # Beyond 1e20 all characters are equally likely, and a forbidden one must stay impossible.
        sharpness = max(1 / temperature, 1e-20) if temperature > 1e-30 else math.inf
        return cls(sharpness, float(surprise), float(rate))


@inlined
def _draw(draw, logits, chances, bound, b, uniform):
    """An index by ``uniform``, or -1; ``bound`` [B] is Mirostat's."""
    top = largest(logits)
    if top < IMPOSSIBLE:
        return -1
    if draw.sharpness > 1e30:
        return _most_probable(logits)
    _sharpen(logits, chances, top, draw.sharpness)
    if draw.surprise <= 0:
        return _pick(chances, uniform)
    total = _leave_out_surprises(chances, min(2.0 ** -bound[b], largest(chances)))
    chosen = _pick(chances, uniform * total)
    bound[b] += draw.rate * (draw.surprise + math.log2(chances[chosen]))
    return chosen


@kernel
def _leave_out_surprises(chances, least):
    """What is less likely is left out; the sum of the rest."""
    total = 0.0
    for j in range(chances.size):
        if chances[j] < least:
            chances[j] = 0
        total += chances[j]
    return total


class Stops(NamedTuple):
    """Texts that end the one that is written once it ends with one of them."""

    tokens: np.ndarray  # int32, of all, one after the other, the last of each first
    ends: np.ndarray  # int64, where each ends among these


@kernel
def _reached(stops, history, read):
    """Which of them the text ends with, or -1."""
    start = 0
    for number in range(stops.ends.size):
        stop = stops.tokens[start : stops.ends[number]]
        start = stops.ends[number]
        latest = recent(history, read, stop.size)
        if latest.size == stop.size and (latest == stop).all():
            return number
    return -1


class Plain(NamedTuple):
    """Writes text with nothing but a temperature and the one filter that there is by default.

    It does what a ``Sampler`` with all else switched off does, and is compiled in half the time.
    """

    mask: Any  # [W], of what may follow anything: see ``charrnn.compute.constraints``
    min_p: float  # 0: any
    draw: Draw

    def choose(self, row, recall, b, uniform):
        """Forbid what never follows, apply the filter, and draw."""
        allow(self.mask, row.logits)
        if self.min_p > 0:
            min_p(row.logits, self.min_p)
        return _draw(self.draw, row.logits, row.chances, recall.bound, b, uniform)

    def follow(self, recall, b, token):
        """Nothing is to be remembered, and nothing ends a text."""
        return -1


class Sampler(NamedTuple):
    """Writes text: logits go through each step that is wanted, then one is drawn."""

    allowed: Any  # what may follow: see ``charrnn.compute.constraints``
    copies: Any  # what may not be copied: see there
    penalty: float  # what the logits of recent tokens lose; 0: nothing
    window: int  # how many are recent
    run_penalty: float  # what the logit of a token loses that repeats a run of this length; 0: none
    run_base: float
    run_length: int
    top_k: int  # 0: any
    typical: float  # 1: any
    top_p: float  # 1: any
    min_p: float  # 0: any
    draw: Draw
    stops: Stops

    def choose(self, row, recall, b, uniform):
        """Forbid what may not follow, apply the steps in the order of the fields, and draw."""
        logits, chances, spare = row.logits, row.chances, row.spare
        state = recall.state[b]
        allow(self.allowed.masks[state], logits)
        if recall.left[b] <= self.allowed.farthest:
            after = recall.left[b] - 1
            allow_what_ends(self.allowed.distance, self.allowed.following[state], logits, after)
        if self.copies.length:
            forbid_copies(self.copies, logits, recall.history[b], recall.read[b])
        if self.penalty != 0:
            latest = recent(recall.history[b], recall.read[b], self.window)
            penalize_recent(logits, spare, latest, self.penalty)
        if self.run_penalty > 0:
            runs = recall.runs[b]
            latest = recent(recall.history[b], recall.read[b], runs.size)
            penalize_runs(logits, spare, latest, runs, self.run_penalty, self.run_base,
                          self.run_length)  # fmt: skip
        if self.top_k > 0:
            top_k(logits, chances, spare, self.top_k)
        if self.typical < 1:
            typical(logits, chances, spare, self.typical)
        if self.top_p < 1:
            top_p(logits, chances, self.top_p)
        if self.min_p > 0:
            min_p(logits, self.min_p)
        return _draw(self.draw, logits, chances, recall.bound, b, uniform)

    def follow(self, recall, b, token):
        """Go on in the automaton; which of the stops the text has reached, or -1."""
        recall.state[b] = self.allowed.following[recall.state[b], token]
        if self.stops.ends.size == 0:
            return -1
        return _reached(self.stops, recall.history[b], recall.read[b])


def choose(self, row, recall, b, uniform):
    """The chooser's ``choose``, in compiled code."""


def follow(self, recall, b, token):
    """The chooser's ``follow``, in compiled code."""


@overload(choose, jit_options=INLINED)
def _choose_of(self, row, recall, b, uniform):
    return self.instance_class.choose


@overload(follow, jit_options=INLINED)
def _follow_of(self, recall, b, token):
    return self.instance_class.follow
