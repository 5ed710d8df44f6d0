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
    INSTRUCTION,
    MIX,
    MULTIPLY,
    NORMALIZE,
    PREPARE,
    SCALE,
    TANH,
    Instructions,
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
    ``instructions`` is all of it, once ``finish`` has been called; ``kept`` are the rows that must
    last from one character to the next: states and logits.
    """

    instructions: Instructions

    def __init__(self, batch: int, dtype: np.dtype) -> None:
        self._batch, self._dtype = batch, dtype
        self._steps: list[dict[str, int]] = []
        self._weights: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []
        self._cells: dict[type, list[Any]] = {}  # those of all layers, by their types
        self._size = 0
        self._initial: list[tuple[int, np.ndarray]] = []
        self.kept: list[Memory] = []

    def memory(self) -> np.ndarray:
        """New memory; all texts are at their beginning."""
        memory = np.zeros(self._size, self._dtype)
        for at, values in self._initial:
            memory[at : at + values.size] = values
        return memory

    def finish(self, logits: Memory) -> None:
        """The network's output is ``logits``: nothing follows."""
        states = [(place.at, place.row) for place in self.kept]
        self.kept.append(logits)
        self.instructions = Instructions(
            cells=tuple(
                kind(*(np.concatenate(field) for field in zip(*cells, strict=True)))
                for kind, cells in self._cells.items()
            ),
            steps=self._records(),
            weights=np.concatenate(self._weights),
            rows=np.concatenate(self._rows),
            initial=self.memory(),
            states=np.array(states, np.int64).reshape(-1, 2),
            logits=logits.at,
            width=logits.width,
        )

    def _records(self) -> np.ndarray:
        """The instructions; threads meet behind those whose target is not added to by the next."""
        records = np.zeros(len(self._steps), INSTRUCTION)
        for record, step in zip(records, self._steps, strict=True):
            for name, value in step.items():
                record[name] = value
        own = [
            (s["target"], s["target_row"], s["columns"])
            if s["kind"] in (COPY, MULTIPLY, SCALE)
            else None
            for s in self._steps
        ]
        records["meets"] = [mine is None or mine != other for mine, other in pairwise([*own, None])]
        return records

    def _add(self, kind: int, target: Memory, columns: int, **fields: int) -> None:
        place = {"target": target.at, "target_row": target.row, "columns": columns}
        self._steps.append({"kind": kind, **place, **fields})

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
        target, source = self._room(width), sum(rows.size for rows in self._rows)
        self._rows.append(rows)
        self._add(COPY, target, width, source=source, stride=stride)
        return target

    def multiply(self, matrix: Matrix, source: Memory, target: Memory) -> None:
        """Add ``source`` times the matrix, or that which the character chooses, to ``target``."""
        first = sum(weights.size for weights in self._weights)
        self._weights.append(matrix.forward)
        last = first + matrix.forward.size
        self._add(MULTIPLY, target, matrix.each, first=first, last=last, depth=matrix.depth,
                  source=source.at, source_row=source.row, stride=matrix.apart)  # fmt: skip

    def mix(self, logits: list[Memory]) -> Memory:
        """Logarithms of the mean of the probabilities that these are, which were just emitted."""
        first, second, *_ = logits
        target, apart = self._room(first.width), second.at - first.at
        assert [own.at for own in logits] == [first.at + n * apart for n in range(len(logits))]
        self._add(MIX, target, first.width, depth=len(logits), source=first.at,
                  source_row=first.row, stride=apart)  # fmt: skip
        return target

    def scale(self, start: np.ndarray, scales: np.ndarray, source: Memory) -> Memory:
        """``start`` plus ``scales`` times the first of ``source``, element by element."""
        target = self.copy_row(start)
        first = sum(rows.size for rows in self._rows)
        self._rows.append(scales)
        self._add(SCALE, target, target.width, first=first, source=source.at,
                  source_row=source.row)  # fmt: skip
        return target

    def tanh(self, target: Memory) -> None:
        """Replace ``target`` by its hyperbolic tangent."""
        self._add(TANH, target, target.width)

    def states(self, initial: np.ndarray) -> Memory:
        """Room for the states of a layer [S, B, width], which begin as ``initial`` [S, 1, width].

        The place is that of the first; each of the others is ``batch · width`` elements further.
        """
        count, _, width = initial.shape
        place = self._room(width)
        self._size += (count - 1) * width * self._batch
        self.kept += [self.state(place, number) for number in range(count)]
        self._initial.append((place.at, np.repeat(initial, self._batch, axis=1).reshape(-1)))
        return place

    def state(self, states: Memory, number: int) -> Memory:
        """One of the states that were given room together."""
        return states._replace(at=states.at + number * self._batch * states.width)

    def step(self, cell: Any, gates: Memory, states: Memory) -> Step:
        """What a cell does with its gates and states; ``cell`` holds its per-unit parameters."""
        before = self._cells.setdefault(type(cell), [])
        unit = sum(layer[0].size if layer else 0 for layer in before)
        before.append(cell)
        number = list(self._cells).index(type(cell))
        return Step(self, gates, states, self._batch * states.width, number, unit)


class Step(NamedTuple):
    """The instructions of a cell's step: the middle of it only where it has a second product."""

    program: Program
    gates: Memory
    states: Memory
    stride: int
    cell: int
    unit: int

    def prepare(self) -> None:
        """Before the second product."""
        self._add(PREPARE)

    def normalize(self) -> None:
        """Behind a second product that makes logits."""
        self._add(NORMALIZE)

    def finish(self) -> None:
        """The step itself."""
        self._add(CELL)

    def _add(self, kind: int) -> None:
        self.program._add(kind, self.gates, self.states.width, source=self.states.at,
                          stride=self.stride, cell=self.cell, unit=self.unit)  # fmt: skip
