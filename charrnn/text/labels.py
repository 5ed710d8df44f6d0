"""What a model calls the classes that it tells apart, and their indices."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np

from charrnn.errors import CharrnnError, UsageError
from charrnn.text.display import named

MAX_LABELS = 65_535  # as many as there are tokens
#: How many are named where one is not found.
_SHOWN = 5
#: Beyond this weight of a label gates would only be more saturated, and then no numbers any more.
_HEAVIEST = 1000


@dataclass(frozen=True)
class Labels:
    """Names by index: the first has index 0. A list is taken too, as JSON has it.

    Raises ``CharrnnError`` where there are none or too many, where one comes twice, is no text or
    holds a lone surrogate.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        names: Sequence[object] = self.names  # a model file may say anything
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            raise CharrnnError("labels must be texts, one after the other")
        object.__setattr__(self, "names", tuple(names))
        if not 1 <= self.size <= MAX_LABELS:
            raise CharrnnError(f"there are {self.size:,} labels; 1 to {MAX_LABELS:,} are possible")
        if len(self._indices) < self.size:
            twice = next(n for i, n in enumerate(self.names) if self._indices[n] != i)
            raise CharrnnError(f"the label '{named(twice)}' comes twice; each may come once")
        for name in self.names:
            if any("\ud800" <= character <= "\udfff" for character in name):
                raise CharrnnError(
                    f"the label '{named(name)}' holds half of a character (a lone surrogate)"
                )

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    @property
    def size(self) -> int:
        """K: how many labels there are."""
        return len(self.names)

    def index(self, name: str) -> int:
        """The index of a label; raises ``UsageError`` where there is no such label."""
        if name not in self._indices:
            raise UsageError(f"there is no label '{named(name)}'; {self._others(name)}")
        return self._indices[name]

    def weights(self, given: Mapping[str, float]) -> np.ndarray:
        """The weight of each label [K], 0 of those that are not given.

        Raises ``UsageError`` where there is no such label, or for a weight that is no number from
        -1000 to 1000.
        """
        weights = np.zeros(self.size)
        for name, weight in given.items():
            plain = isinstance(weight, Real) and not isinstance(weight, bool)
            if not plain or not abs(weight) <= _HEAVIEST:
                raise UsageError(
                    f"the weight of the label '{named(name)}' must be a number from "
                    f"-{_HEAVIEST} to {_HEAVIEST}, not {weight!r}"
                )
            weights[self.index(name)] = weight
        return weights

    def _others(self, name: str) -> str:
        nearest = difflib.get_close_matches(name, self.names, _SHOWN)
        if nearest:
            beginning = "the nearest is" if len(nearest) == 1 else "the nearest are"
            return f"{beginning} {_listed(nearest)}"
        more = ", …" if self.size > _SHOWN else ""
        return f"there {'is' if self.size == 1 else 'are'} {_listed(self.names[:_SHOWN])}{more}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(named, names))
