"""The processes that make a run together: what each has of it, and what they tell one another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from charrnn.compute.threads import share

T = TypeVar("T")


class Processes:
    """All processes of a run, as one of them knows them: here it is alone.

    Each has the same weights and lanes of its own, and makes the same update from the gradients
    of all. All call the same methods in the same order, but for ``by_first``. What must be one
    decision, such as when a run ends, is the first one's.
    """

    rank = 0  # the number of this one
    count = 1

    def share(self, items: int) -> tuple[int, int]:
        """First and one past the last of so many items in a row that are this process's."""
        return share(items, self.rank, self.count)

    def own(self, items: Iterable[T]) -> Iterator[T]:
        """Those of the items that are this process's: one of each ``count``, as cards are dealt."""
        return itertools.islice(items, self.rank, None, self.count)

    def exchange(self, gradients: np.ndarray, figures: np.ndarray) -> np.ndarray:
        """Make ``gradients`` the sum of all processes'; return the ``figures`` of each, [P, n].

        Sums are made in the order of the processes: for a number of them they are always the same
        bits, and in all processes.
        """
        return figures[np.newaxis]

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Make ``values`` the sum of all processes', in their order, and return them."""
        return values

    def all(self, value: T) -> list[T]:
        """What each process gives."""
        return [value]

    def first(self, make: Callable[[], T]) -> T:
        """What the first process makes, in all of them; an error that it raises, too."""
        return make()

    def by_first(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Let the first process do something, for which the others do not wait."""
        if self.rank == 0:
            work(*arguments)


#: A process that makes a run by itself.
ALONE = Processes()
