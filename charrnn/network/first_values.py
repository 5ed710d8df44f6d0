"""How parameters begin, and the groups of units that some matrices know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

#: Draws the first values of a parameter, float32. In quotes: ``np.random`` takes time to be loaded.
Draw: TypeAlias = "Callable[[np.random.Generator], np.ndarray]"


def groups_of(size: int, groups: int) -> np.ndarray:
    """The group of each of ``size`` units."""
    return ((np.arange(size) + 0.5) / size * groups).astype(int)


def zeros(*shape: int) -> Draw:
    """Draws zeros."""
    return lambda rng: np.zeros(shape, np.float32)


def orthogonal(gates: int, size: int) -> Draw:
    """A random orthogonal matrix for each gate (Saxe et al. 2014)."""

    def one(rng: np.random.Generator) -> np.ndarray:
        q, r = np.linalg.qr(rng.standard_normal((size, size)))
        return (q * np.sign(np.diag(r))).astype(np.float32)

    return lambda rng: np.concatenate([one(rng) for _ in range(gates)])


def repeated(draw: Draw, count: int) -> Draw:
    """The same matrix so many times."""
    return lambda rng: np.repeat(draw(rng)[np.newaxis], count, axis=0)


def orthogonal_groups(groups: int, size: int) -> Draw:
    """For each group of units the first rows of an orthogonal matrix of all that it reads."""
    counts = np.bincount(groups_of(size, groups), minlength=groups)

    def draw(rng: np.random.Generator) -> np.ndarray:
        matrix, first = np.zeros((size, size), np.float32), 0
        for count in counts.tolist():
            own = orthogonal(1, size - first)(rng)
            matrix[first : first + count, first:] = own[:count]
            first += count
        return matrix

    return draw
