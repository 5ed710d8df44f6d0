"""How a character is chosen from logits.

A chooser is a ``NamedTuple`` class, so that compiled code is specialised by its type, as it is by a
cell's. Its fields are numbers, and its method

``choose(self, logits, at, width, uniform)``
    returns an index below ``width``, from the logits at flat offset ``at``, which it may overwrite,
    and a random number in [0, 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from numba.extending import overload

from charrnn.compute.cache import kernel
from charrnn.compute.readout import softmax_row
from charrnn.compute.vector import lanes, largest_lane, load, maximum, store

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


class Temperature(NamedTuple):
    """Draws from the softmax of the logits over a temperature, whose inverse it holds."""

    sharpness: float

    @classmethod
    def of(cls, temperature: float) -> Temperature:
        """The chooser for a temperature from 0 (always the most probable) up."""
        # Beyond 1e20 all characters are equally likely, and a forbidden one must stay impossible.
        return cls(max(1 / temperature, 1e-20) if temperature > 1e-30 else math.inf)

    def choose(self, logits, at, width, uniform):
        """Draw by ``uniform``."""
        return draw(logits, at, width, self.sharpness, uniform)


def choose(self, logits, at, width, uniform):
    """The chooser's ``choose``, in compiled code."""


@overload(choose)
def _choose_of(self, logits, at, width, uniform):
    return self.instance_class.choose
