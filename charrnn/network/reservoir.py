"""Recurrent layers whose weights stay as they are drawn: reservoirs of echo state networks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from charrnn.network.first_values import Draw
from charrnn.network.nodes import Parameter, Recurrent

#: How many units a unit reads: about as many are enough for any size (Lukoševičius 2012).
CONNECTIONS = 10

#: Products by which a spectral radius is found, and how many of the first do not count.
_PRODUCTS, _TRANSIENT = 1500, 300

#: The largest parameter of a rate: σ of it is 1 in float32.
_WHOLE = 20.0


@dataclass(frozen=True, eq=False)
class Reservoir(Recurrent):
    """A recurrent layer that is not trained; its recurrent matrix is sparse.

    Units go so far to what they read in a step as ``leak`` says (docs/measurements.md).
    """

    radius: float = 0.9
    leak: float = 1.0

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(own._replace(trained=False) for own in super().parameters)

    def first_values(self, field: str) -> np.ndarray:
        rate = _WHOLE if self.leak == 1 else math.log(self.leak / (1 - self.leak))
        return np.full(self.size, rate, np.float32)

    def _recurrent_matrix(self, rows: int) -> Parameter:
        draw, name = sparse(self.size, self.radius), self.named("weight_hh")
        connections = min(CONNECTIONS, self.size)
        return Parameter(name, (rows, self.size), draw, self.size, connections=connections)


def sparse(size: int, radius: float) -> Draw:
    """A square matrix with ``CONNECTIONS`` elements in each row, of that spectral radius."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        count = min(CONNECTIONS, size)
        columns = np.array([rng.choice(size, count, replace=False) for _ in range(size)])
        values = rng.uniform(-1, 1, columns.shape)
        values *= radius / spectral_radius(values, columns, rng)
        matrix = np.zeros((size, size), np.float32)
        np.put_along_axis(matrix, columns, values.astype(np.float32), axis=1)
        return matrix

    return draw


def spectral_radius(values: np.ndarray, columns: np.ndarray, rng: np.random.Generator) -> float:
    """The largest absolute eigenvalue of a matrix whose rows have ``values`` [N, K] in ``columns``.

    It is by how much a vector grows with each product, in the mean over many; where the largest
    eigenvalues are a pair of complex ones, the growth goes up and down with them.
    """
    vector, grown = rng.standard_normal(len(values)), 0.0
    for number in range(_PRODUCTS):
        vector = (values * vector[columns]).sum(axis=1)
        length = float(np.linalg.norm(vector))
        vector /= length
        grown += math.log(length) if number >= _TRANSIENT else 0.0
    return math.exp(grown / (_PRODUCTS - _TRANSIENT))
