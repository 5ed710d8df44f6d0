"""The recurrent layer: what feeds its gates, a product with its memory, and its cell's step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from charrnn.compute import recurrence
from charrnn.compute.readout import NEVER
from charrnn.errors import UsageError
from charrnn.network.layers.inputs import LabelRows, create_input
from charrnn.network.layers.place import Arrays, Call, LayerBuffers, Place
from charrnn.network.nodes import Recurrent
from charrnn.network.program import Memory, Program
from charrnn.network.weights import Matrix, block_index, block_places, plain_index

#: Standard deviation of random initial states: a part of what states become.
_RANDOM_STATE = 0.1


class RecurrentBuffers(LayerBuffers):
    """The buffers of a recurrent layer; shapes in ``charrnn.compute.recurrence``."""

    def __init__(self, layer: RecurrentLayer, steps: int, batch: int) -> None:
        dtype, width = layer.bias.dtype, layer.width
        super().__init__(steps, batch, width, dtype)
        states, fields = len(layer.cell.states), len(layer.cell._fields)
        self.gates = np.empty((steps, batch, layer.row), dtype)
        self.states = np.zeros((states, steps + 1, batch, width), dtype)
        self.reverse = int(layer.node.reverse)
        self.initial = layer.initial  # what documents start from, [S, R, width]
        self.dstates = np.empty((states, batch, width), dtype)
        self.dinitial = np.empty((states, batch, width), dtype)
        self.dfields = np.empty((fields, batch, width), dtype)
        self.dmiddle = np.empty((batch, width), dtype)

    def forward(self, starts: np.ndarray) -> recurrence.Pass:
        """As the time loop takes them; ``starts`` are those of ``Call``."""
        resets = _ends(starts) if self.reverse else starts
        return recurrence.Pass(
            self.gates, self.states, self.output, self.initial, resets, self.reverse
        )

    @property
    def first(self) -> np.ndarray:
        """The states before the step that is taken first [S, B, width]."""
        return self.states[:, -1 if self.reverse else 0]

    @property
    def final(self) -> np.ndarray:
        """The states that the step leaves that is taken last [S, B, width]."""
        return self.states[:, 0 if self.reverse else -1]

    @property
    def before(self) -> np.ndarray:
        """The states before each step [S, T, B, width]."""
        return self.states[:, 1:] if self.reverse else self.states[:, :-1]

    def gradients(self) -> recurrence.Gradients:
        """As the time loop takes them on the way back."""
        return recurrence.Gradients(
            self.dstates, self.doutput, self.dinitial, self.dfields, self.dmiddle
        )


def _ends(starts: np.ndarray) -> np.ndarray:
    """Where a layer begins anew that reads backwards: at each document's end, and the chunk's."""
    ends = np.roll(starts, -1, axis=0)
    ends[-1][ends[-1] == 0] = 1
    return ends


class _Product:
    """A matrix that the time loop multiplies, with what it reads and the columns that it feeds."""

    def __init__(self, matrix: Matrix, source: int, first: int) -> None:
        self.matrix, self.source, self.first = matrix, source, first

    @property
    def forward(self) -> recurrence.Product:
        """As ``recurrence.forward_lanes`` takes it."""
        return self._with(self.matrix.forward)

    @property
    def backward(self) -> recurrence.Product:
        """As ``recurrence.backward_lanes`` takes it."""
        return self._with(self.matrix.backward)

    def _with(self, panels: np.ndarray) -> recurrence.Product:
        return recurrence.Product(panels, self.source, self.first, self.matrix.columns)


class RecurrentLayer:
    """A recurrent layer with its parameters, packed.

    Where its memory is the network's output, its second product is that of the network's head: it
    has the head's bias and adds to the gradient of the head's matrix.
    """

    def __init__(self, node: Recurrent, place: Place) -> None:
        self.node, self._place, cell = node, place, node.cell
        self.width = width = place.width(node)
        self.row = cell.blocks * width
        self.bias = np.zeros(self.row, place.dtype)
        self.cell: Any = cell(*(np.zeros(width, place.dtype) for _ in cell._fields))
        self.initial = np.zeros((len(cell.states), 1, width), place.dtype)
        self._fields = [place.at[node.named(name)] for name in cell._fields]
        self._initials = [
            (place.at[node.named(f"initial_{name}")], size, cell.states.index(name))
            for name, size in node.memory.items()
            if node.start == "learned"
        ]
        self._biases: list[tuple] = []
        self._place_input()
        self._place_products()

    def _at(self, own: str) -> int:
        return self._place.at[self.node.named(own)]

    def _add_bias(self, at: int, blocks: tuple, matrix: Any) -> None:
        """A bias among the parameters, its columns in a row, and the matrix that it belongs to."""
        columns = block_places(blocks, self.node.size, self.width)
        self._biases.append((at, columns, matrix, min(blocks) * self.width))

    def _place_input(self) -> None:
        blocks, width, (source, *told) = self.cell.input_blocks, self.width, self.node.reads
        stride = source.size + sum(labels.size for labels in told)
        columns = block_index(blocks, self.node.size, width, stride)
        first, at = min(blocks) * width, self._at("weight_ih")
        self.input = create_input(self._place, at, source, columns, first, self.bias)
        self.labels = [
            LabelRows(self._place, at + source.size, own.size, columns, first, self.bias)
            for own in told
        ]
        self._add_bias(self._at("bias_ih"), blocks, self.input)

    def _place_products(self) -> None:
        cell, width = self.cell, self.width
        read = self.node.memory[cell.states[cell.source]]
        blocks, at, bias_at = cell.recurrent_blocks, self._at("weight_hh"), self._at("bias_hh")
        matrix = self._state_matrix(at, blocks, read)
        self.recurrent = _Product(matrix, cell.source, min(blocks) * width)
        self._add_bias(bias_at, blocks, matrix)
        self.middle: _Product | None = None
        self._own = [matrix]
        if self.node.feedback:
            first = cell.output_block * width
            self.middle = _Product(self._place.head.matrix, cell.middle * width, first)
        elif cell.middle_blocks:
            before = len(blocks) * self.node.size  # rows of the parameter
            matrix = self._state_matrix(at + before * read, cell.middle_blocks, read)
            first = min(cell.middle_blocks) * width
            self.middle = _Product(matrix, cell.middle * width, first)
            self._add_bias(bias_at + before, cell.middle_blocks, matrix)
            self._own.append(matrix)

    def _state_matrix(self, at: int, blocks: tuple, read: int) -> Matrix:
        """A matrix that feeds the blocks from so many elements of a state."""
        columns = block_index(blocks, self.node.size, self.width, read)
        depth = plain_index(read, self.width, 1)
        return Matrix(at, depth, columns, self._place.dtype, self._place.panels)

    @property
    def products(self) -> list[Matrix]:
        """What the time loop multiplies in a step."""
        inner = [p.matrix for p in (self.recurrent, self.middle) if p]
        return [*self.input.matrices, *inner]

    def matrices(self) -> list[Matrix]:
        """The layer's own matrices."""
        return [*self.input.matrices, *self._own]

    def buffers(self, steps: int, batch: int) -> RecurrentBuffers:
        """Room for a pass."""
        return RecurrentBuffers(self, steps, batch)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        for part in (self.input, *self.labels, *self._own):
            part.prepare_training()

    def pack_vectors(self, values: np.ndarray) -> None:
        """Add the biases up in one row of blocks, and take what else is no matrix."""
        self.bias[:] = 0
        if self.node.feedback:
            head = self._place.head
            logits = self.bias[self.cell.output_block * self.width :][: self.width]
            logits[:] = NEVER
            logits[: head.width] = head.bias
        for at, columns, _, _ in self._biases:
            self.bias[columns] += values[at : at + columns.size]
        size = self.node.size
        for at, field in zip(self._fields, self.cell, strict=True):
            field[:size] = values[at : at + size]
        for at, elements, state in self._initials:
            self.initial[state, 0, :elements] = values[at : at + elements]

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights; ``pack_vectors`` comes first."""
        for matrix in (self.input, *self.labels, *self._own):
            matrix.pack(values, part, parts)

    def tell(self, weights: np.ndarray) -> None:
        """Let labels with these weights [K] be those of all texts; ``pack`` comes first.

        Their rows are added one after the other, as those of a batch are.
        """
        for row in (row for labels in self.labels for row in labels.rows(weights)):
            self.input.add(row)

    def start(self, run: RecurrentBuffers, state: np.ndarray) -> None:
        """Let a pass begin with ``state`` [S, B, width], and documents as the layer says."""
        run.initial = self.initial
        run.first[:] = state

    def start_documents(
        self, run: RecurrentBuffers, documents: Sequence[tuple[np.random.Generator, int]]
    ) -> None:
        """Give each of the documents of a pass a state of its own to start from.

        There are as many as each lane says, one lane's after another's, and it draws them.
        """
        count = sum(count for _, count in documents)
        run.initial = np.repeat(self.initial, max(count, 1), axis=1)
        if self.node.start != "random":
            return
        for name, state in zip(self.cell.states, run.initial, strict=True):
            size = self.node.memory.get(name, 0)
            drawn = [rng.standard_normal((count, size)) for rng, count in documents]
            state[:count, :size] = _RANDOM_STATE * np.concatenate([*drawn, np.empty((0, size))])

    def _no_product(self) -> recurrence.Product:
        return recurrence.Product(self.recurrent.matrix.forward[:0], 0, 0, 0)

    def forward(
        self, sources: Arrays, run: RecurrentBuffers, call: Call, first: int, last: int
    ) -> None:
        """All steps of the lanes ``first … last``."""
        inputs = self.input.begin(sources[0], run.gates, first, last)
        for labels, told in zip(self.labels, sources[1:], strict=True):
            inputs = labels.begin(told, run.gates, first, last, inputs)
        middle = self.middle.forward if self.middle else self._no_product()
        recurrence.forward_lanes(
            self.cell, run.forward(call.starts), inputs, self.recurrent.forward, middle,
            call.dropout, first, last,
        )  # fmt: skip

    def backward(
        self, run: RecurrentBuffers, dsources: Arrays, call: Call, first: int, last: int
    ) -> None:
        """The way back; gradients of the pre-activations stay in ``run.gates``."""
        for gradient in (run.dstates, run.dinitial, run.dfields):
            gradient[:, first:last] = 0
        dinputs = self.input.begin_back(dsources[0])
        middle = self.middle.backward if self.middle else self._no_product()
        recurrence.backward_lanes(
            self.cell, run.forward(call.starts), run.gradients(), dinputs, self.recurrent.backward,
            middle, call.dropout, first, last,
        )  # fmt: skip

    def differentiate(
        self, sources: Arrays, run: RecurrentBuffers, scratch: np.ndarray, part: int, parts: int
    ) -> None:
        """Sum this thread's share of the gradients of all matrices and biases."""
        d = run.gates.reshape(-1, self.row)
        states = run.before[self.recurrent.source].reshape(-1, self.width)
        shared = scratch, part, parts
        own = self.recurrent.matrix
        own.differentiate(own.made(d, self.recurrent.first), own.read(states), *shared)
        if self.middle:
            own, first, source = self.middle.matrix, self.middle.first, self.middle.source
            added = bool(self.node.feedback)  # the head's matrix has a gradient already
            own.differentiate(own.made(d, first), own.read(d, source), *shared, accumulate=added)
        self.input.differentiate(run.gates, sources[0], *shared)
        for labels, told in zip(self.labels, sources[1:], strict=True):
            labels.differentiate(run.gates, told, part, parts)

    def unpack(self, gradients: np.ndarray, run: RecurrentBuffers, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        for matrix in (self.input, *self.labels, *self._own):
            matrix.unpack(gradients, part, parts)
        if part == 0:
            self._unpack_vectors(gradients, run)

    def _unpack_vectors(self, gradients: np.ndarray, run: RecurrentBuffers) -> None:
        for at, columns, matrix, first in self._biases:
            gradients[at : at + columns.size] = matrix.bias_gradient[columns - first]
        size = self.node.size
        for at, gradient in zip(self._fields, run.dfields, strict=True):
            gradients[at : at + size] = gradient.sum(axis=0)[:size]
        for at, elements, state in self._initials:
            gradients[at : at + elements] = run.dinitial[state].sum(axis=0)[:elements]

    def emit(self, program: Program, sources: list[Memory]) -> Memory:
        """The gates, the products that they wait for, and the step; its hidden state."""
        if self.node.reverse:
            raise UsageError("a network with a layer that reads backwards writes no text")
        gates = self.input.emit(program, sources[0])
        states = program.states(self.initial)
        step = program.step(self.cell, gates, states)
        memory = program.state(states, self.recurrent.source)
        program.multiply(self.recurrent.matrix, memory, gates.columns(self.recurrent.first, 0))
        if self.middle:
            step.prepare()
            read, fed = (gates.columns(at, 0) for at in (self.middle.source, self.middle.first))
            program.multiply(self.middle.matrix, read, fed)
            if self.node.feedback:
                step.normalize()
        step.finish()
        return states
