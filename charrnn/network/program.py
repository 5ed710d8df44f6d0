"""A network as instructions for one character: what ``charrnn.compute.generation`` carries out.

Each layer's ``emit`` adds its own, in order. They work on one flat array, the *memory*, in which
every value of each of B texts has its place.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from charrnn.compute.generation import (
    CELL,
    COPY,
    INSTRUCTION_SIZE,
    MULTIPLY,
    NORMALIZE,
    PREPARE,
    TANH,
)
from charrnn.network.weights import Matrix


class Memory(NamedTuple):
    """A row of values of each text: where the first begins, from one to the next, and how long."""

    at: int
    row: int
    width: int

    def columns(self, first: int, count: int) -> Memory:
        """Some columns of the rows."""
        return Memory(self.at + first, self.row, count)


class Program:
    """Instructions, the weights and rows that they read, and room in memory for ``batch`` texts.

    The weights are copies: a network that learns on changes no text that is being written.
    """

    def __init__(self, batch: int, dtype: np.dtype) -> None:
        self._batch, self._dtype = batch, dtype
        self._instructions: list[tuple] = []
        self._weights: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []
        self._cells: list[Any] = []
        self._size = 0
        self._initial: list[tuple[int, np.ndarray]] = []

    def memory(self) -> np.ndarray:
        """New memory; all texts are at their beginning."""
        memory = np.zeros(self._size, self._dtype)
        for at, values in self._initial:
            memory[at : at + values.size] = values
        return memory

    def finish(self, logits: Memory) -> None:
        """Let ``instructions`` be all of it, for a network whose output is ``logits``."""
        fields = zip(*self._cells, strict=True)
        cell = type(self._cells[0])(*(np.concatenate(field) for field in fields))
        self.instructions = Instructions(
            cell, self._numbers(), np.concatenate(self._weights),
            np.concatenate(self._rows), logits.at, logits.width,
        )  # fmt: skip

    def _numbers(self) -> np.ndarray:
        """A row for each instruction, and behind which of them threads meet."""
        columns = [i[-3:] if i[0] in (COPY, MULTIPLY) else None for i in self._instructions]
        meets = [mine is None or mine != other for mine, other in pairwise([*columns, None])]
        rows = np.zeros((len(meets), INSTRUCTION_SIZE), np.int64)
        for row, instruction, meet in zip(rows, self._instructions, meets, strict=True):
            row[:2], row[2 : 1 + len(instruction)] = (instruction[0], meet), instruction[1:]
        return rows

    def _room(self, width: int) -> Memory:
        place = Memory(self._size, width, width)
        self._size += width * self._batch
        return place

    def copy_rows(self, table: np.ndarray) -> Memory:
        """Each text's row of the table, chosen by its character."""
        return self._copy(table.reshape(-1), table.shape[1], table.shape[1])

    def copy_row(self, row: np.ndarray) -> Memory:
        """The row for each text."""
        return self._copy(row, 0, row.size)

    def _copy(self, rows: np.ndarray, stride: int, width: int) -> Memory:
        target, first = self._room(width), sum(rows.size for rows in self._rows)
        self._rows.append(rows.copy())
        self._instructions.append((COPY, first, stride, target.at, width, width))
        return target

    def multiply(self, matrix: Matrix, source: Memory, target: Memory) -> None:
        """Add ``source`` times the matrix to ``target``."""
        first = sum(weights.size for weights in self._weights)
        self._weights.append(matrix.forward.copy())
        end = first + matrix.forward.size
        places = source.at, source.row, target.at, target.row, matrix.columns
        self._instructions.append((MULTIPLY, first, end, matrix.depth, *places))

    def tanh(self, target: Memory) -> None:
        """Replace ``target`` by its hyperbolic tangent."""
        self._instructions.append((TANH, *target))

    def states(self, initial: np.ndarray) -> Memory:
        """Room for the states of a layer [S, B, width], which begin as ``initial`` [S, 1, width].

        The place is that of the first; each of the others is ``batch · width`` elements further.
        """
        count, _, width = initial.shape
        place = self._room(width)
        self._size += (count - 1) * width * self._batch
        self._initial.append((place.at, np.repeat(initial, self._batch, axis=1).reshape(-1)))
        return place

    def state(self, states: Memory, number: int) -> Memory:
        """One of the states that were given room together."""
        return states._replace(at=states.at + number * self._batch * states.width)

    def step(self, cell: Any, gates: Memory, states: Memory) -> Step:
        """What a cell does with its gates and states; ``cell`` holds its per-unit parameters."""
        unit = sum(layer[0].size if layer else 0 for layer in self._cells)
        self._cells.append(cell)
        stride = self._batch * states.width
        return Step(
            self._instructions, (gates.at, gates.row, states.at, stride, states.width, unit)
        )


class Step(NamedTuple):
    """The instructions of a cell's step: the middle of it only where it has a second product."""

    instructions: list[tuple]
    places: tuple

    def prepare(self) -> None:
        """Before the second product."""
        self.instructions.append((PREPARE, *self.places))

    def normalize(self) -> None:
        """Behind a second product that makes logits."""
        self.instructions.append((NORMALIZE, *self.places))

    def finish(self) -> None:
        """The step itself."""
        self.instructions.append((CELL, *self.places))


class Instructions(NamedTuple):
    """A program as ``charrnn.compute.generation.generate`` takes it."""

    cell: Any  # with a flat array for each of its per-unit parameters, of all layers
    numbers: np.ndarray  # a row for each instruction
    weights: np.ndarray
    rows: np.ndarray
    logits: int  # where in memory the logits begin
    width: int  # and how many each text has
