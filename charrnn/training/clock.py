"""How far a run goes, and how much of it has passed: in steps, and in seconds by its clock."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

from charrnn.config import Plan


def duration(seconds: float) -> str:
    """A time as users write it: 20s, 3m, 1.5h."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size and (2 * seconds / size).is_integer():
            return f"{seconds / size:g}{unit}"
    return f"{seconds:.10g}s"


class Extent:
    """The extent that ``plan`` gives a run, on a text that takes ``epoch`` steps.

    ``before`` is the seconds that the run took in the processes that this one goes on from.
    """

    def __init__(self, plan: Plan, epoch: float) -> None:
        self.budget = plan.budget or math.inf
        epochs = plan.epochs or plan.most_epochs
        self.steps = plan.steps or math.ceil(epochs * epoch) or math.inf
        self.before = 0.0
        self._started: float | None = None

    def start(self) -> None:
        """Let the clock run, if it does not yet."""
        if self._started is None:
            self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """What the run has taken so far, without its first step and what was ``paused``."""
        return self.before + (0.0 if self._started is None else time.monotonic() - self._started)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens in the block is not of the run: the clock stands still."""
        begun = time.monotonic()
        yield
        if self._started is not None:
            self._started += time.monotonic() - begun

    def progress(self, step: int, seconds: float) -> float:
        """The share of the run that has passed after so many updates and ``seconds``.

        1 and more: all of it.
        """
        return max(step / self.steps, seconds / self.budget)
