"""What feeds a recurrent layer's gates: a product with units, or a row chosen by character.

A one-hot character times a matrix is one of its columns, so where a layer reads characters, its
matrix is a table with the layer's bias in it: choosing a row is the whole product.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from charrnn.compute.recurrence import Inputs
from charrnn.network.layers.place import Place
from charrnn.network.nodes import Node
from charrnn.network.program import Memory, Program
from charrnn.network.weights import Matrix, Table


class _Packed:
    """Weights in the form that suits what is read, and their gradient."""

    _weights: Matrix | Table

    @property
    def bias_gradient(self) -> np.ndarray:
        """Gradient of what is added in every row."""
        return self._weights.bias_gradient

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        self._weights.prepare_training()

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradient to the flat ``gradients``."""
        self._weights.unpack(gradients, part, parts)


class Product(_Packed):
    """The gates receive units times a matrix, step by step in the time loop.

    ``columns`` say for each column of the product which row of the parameter it is, ``first``
    where among the gates they begin, ``bias`` what the gates begin with.
    """

    _weights: Matrix

    def __init__(
        self, place: Place, at: int, source: Node, columns: np.ndarray, first: int, bias: np.ndarray
    ) -> None:
        depth = place.units(source)
        self._weights = Matrix(at, depth, columns, place.dtype, place.panels)
        self._bias, self._span = bias, (first, columns.size)

    @property
    def matrices(self) -> list[Matrix]:
        """Those that take part in products."""
        return [self._weights]

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights."""
        self._weights.pack(values, part, parts)

    def begin(self, x: np.ndarray, gates: np.ndarray, first: int, last: int) -> Inputs:
        """What ``recurrence.forward_lanes`` multiplies in each step."""
        return Inputs(x, self._weights.forward, self._bias, *self._span)

    def begin_back(self, dx: np.ndarray) -> Inputs:
        """What ``recurrence.backward_lanes`` multiplies in each step."""
        return Inputs(dx, self._weights.backward, self._bias, *self._span)

    def differentiate(
        self, gates: np.ndarray, x: np.ndarray, scratch: np.ndarray, part: int, parts: int
    ) -> None:
        """Sum this thread's share of the gradient; ``gates`` hold those of pre-activations."""
        d, x = gates.reshape(-1, gates.shape[2]), x.reshape(-1, x.shape[2])
        own = self._weights
        own.differentiate(own.made(d, self._span[0]), own.read(x), scratch, part, parts)

    def add(self, row: np.ndarray) -> None:
        """Add a row to the gates of every step, until the bias is written anew."""
        self._bias += row

    def emit(self, program: Program, source: Memory) -> Memory:
        """The gates: the bias, and the product added to it."""
        gates = program.copy_row(self._bias)
        program.multiply(self._weights, source, gates.columns(*self._span))
        return gates


class ChosenRows(_Packed):
    """The gates of each step are the row of a table that its character chooses."""

    _weights: Table

    def __init__(
        self, place: Place, at: int, source: Node, columns: np.ndarray, first: int, bias: np.ndarray
    ) -> None:
        rows = np.arange(source.size)
        self._weights = Table(at, rows, columns, bias.size, first, place.dtype)
        self._bias = bias
        # What the time loop is given in place of a product: nothing, of the types that it knows.
        x, panels = np.empty((0, 0, 0), place.dtype), np.empty(0, place.panels)
        self._nothing = Inputs(x, panels, bias, 0, 0)

    @property
    def matrices(self) -> list[Matrix]:
        """None: choosing a row is no product."""
        return []

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the rows."""
        self._weights.pack(values, self._bias, part, parts)

    def begin(self, x: np.ndarray, gates: np.ndarray, first: int, last: int) -> Inputs:
        """Fill the gates; there is nothing left for ``recurrence.forward_lanes`` to multiply."""
        self._weights.gather(x, gates, first, last)
        return self._nothing

    def begin_back(self, dx: Any) -> Inputs:
        """Nothing for ``recurrence.backward_lanes`` to multiply: characters have no gradient."""
        return self._nothing

    def differentiate(
        self, gates: np.ndarray, x: np.ndarray, scratch: np.ndarray, part: int, parts: int
    ) -> None:
        """Sum the gradients of each row, this thread's columns."""
        self._weights.scatter(gates, x, part, parts)

    def add(self, row: np.ndarray) -> None:
        """Add a row to the gates of every step, until the rows are packed anew."""
        self._weights.rows += row

    def emit(self, program: Program, source: Memory) -> Memory:
        """The gates: the character's row."""
        return program.copy_rows(self._weights.rows)


class LabelRows(_Packed):
    """What a document's labels add to the gates: the sum of their rows, in every step.

    They are columns of the input matrix behind those of what else the layer reads.
    """

    _weights: Table

    def __init__(
        self, place: Place, at: int, count: int, columns: np.ndarray, first: int, bias: np.ndarray
    ) -> None:
        self._weights = Table(at, np.arange(count), columns, bias.size, first, place.dtype)
        self._bias, self._nothing = bias, np.zeros_like(bias)

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the rows."""
        self._weights.pack(values, self._nothing, part, parts)

    def begin(
        self, labels: np.ndarray, gates: np.ndarray, first: int, last: int, inputs: Inputs
    ) -> Inputs:
        """Add the rows to the gates; where a product is to come these begin with the bias."""
        if inputs.columns:
            gates[:, first:last] = self._bias
            inputs = inputs._replace(begun=1)
        self._weights.add(labels, gates, first, last)
        return inputs

    def differentiate(self, gates: np.ndarray, labels: np.ndarray, part: int, parts: int) -> None:
        """Sum the gradients of each row, this thread's columns."""
        self._weights.scatter(gates, labels, part, parts)

    def rows(self, weights: np.ndarray) -> list[np.ndarray]:
        """w R of each label whose weight w among the ``weights`` [K] is not 0, in their order."""
        return [weights[number] * self._weights.rows[number] for number in np.flatnonzero(weights)]


def create_input(
    place: Place, at: int, source: Node, columns: np.ndarray, first: int, bias: np.ndarray
) -> Product | ChosenRows:
    """What feeds the gates from ``source``, with the matrix that begins ``at`` a place."""
    kind = ChosenRows if source.chosen else Product
    return kind(place, at, source, columns, first, bias)
