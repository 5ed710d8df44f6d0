"""A run that has lost its way: how that is seen, and what it goes back to.

A learning rate that is too high for a network lets its weights grow until most units are saturated;
the loss then jumps, and comes back late or never. Planning avoids that, and this is the net under
it. What a text itself does to the loss, a chapter that is harder than the one before, is neither so
high nor so long.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Characters over which the loss is smoothed, and the fewest updates: few lanes, each in its part
#: of a text, must not take a hard part for a fault. It has to stay high for twice as long.
_CHARACTERS, _FEWEST_UPDATES = 100_000, 25

#: How high is too high: so many times the lowest loss, and so many nats more.
_TIMES, _NATS = 1.2, 0.1

#: What counts of a loss at most, in lowest losses, so that one jump is soon forgotten.
_MOST = 2.0

#: Updates between two copies of the weights.
_APART = 25

#: What the learning rate is multiplied by with each return.
SLOWER = 0.25


@dataclass
class Recovery:
    """The loss of a run in the light of its lowest, and the weights that it goes back to."""

    weights: np.ndarray  # averaged, of a time of low loss; before any: the first
    horizon: int  # updates over which the loss is smoothed
    step: int = 0  # after which the weights were taken
    smoothed: float = 0.0  # exponential mean of the losses, not yet corrected for its start
    updates: int = 0  # losses in that mean
    lowest: float = math.inf  # of the corrected means so far
    high: int = 0  # updates in a row with a mean far above that
    returns: int = 0
    returned_at: int = 0  # step of the last return

    @classmethod
    def create(cls, values: np.ndarray, characters: int) -> Recovery:
        """For a run that begins with these ``values`` and reads so many characters an update."""
        return cls(values.copy(), max(math.ceil(_CHARACTERS / characters), _FEWEST_UPDATES))

    @property
    def figures(self) -> dict[str, Any]:
        """What is known of the loss, beside the weights and the horizon, as JSON values."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)[2:]}

    @property
    def is_lost(self) -> bool:
        """Whether the loss has been far above its lowest for long."""
        return self.high > 2 * self.horizon

    def note(self, loss: float, average: np.ndarray, step: int) -> None:
        """Take in the loss of a ``step``; keep the averaged weights where it is a low one."""
        self.updates += 1
        loss = min(loss, _MOST * self.lowest + _NATS)
        self.smoothed += (loss - self.smoothed) / self.horizon
        mean = self.smoothed / (1 - (1 - 1 / self.horizon) ** self.updates)
        self.high = self.high + 1 if mean > _TIMES * self.lowest + _NATS else 0
        if mean < self.lowest:
            self.lowest = mean
            if step >= self.step + _APART:
                self.weights[:], self.step = average, step

    def turn_back(self, step: int) -> None:
        """Note a return after a ``step``: what comes is measured anew against the lowest loss."""
        self.returns, self.returned_at = self.returns + 1, step
        self.smoothed, self.updates, self.high = 0.0, 0, 0
