"""The recurrent layer: what feeds its gates, a product with its memory, and its cell's step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from charrnn.compute import recurrence
from charrnn.compute.by_character import Product
from charrnn.compute.readout import NEVER
from charrnn.errors import UsageError
from charrnn.network.layers.first_states import FirstStates
from charrnn.network.layers.inputs import LabelRows, create_input
from charrnn.network.layers.place import Arrays, Call, Place
from charrnn.network.layers.recurrent_buffers import RecurrentBuffers
from charrnn.network.nodes import Recurrent
from charrnn.network.program import Memory, Program
from charrnn.network.weights import ChosenMatrices, Matrix, block_index, block_places, plain_index

#: Standard deviation of random initial states: a part of what states become.
_RANDOM_STATE = 0.1


#: What is chosen where there is one matrix.
_ONE = np.empty((0, 0), np.int32)


class _Product:
    """A matrix that the time loop multiplies, with what it reads and the columns that it feeds."""

    def __init__(self, matrix: Matrix, source: int, first: int) -> None:
        self.matrix, self.source, self.first = matrix, source, first

    def forward(self, chosen: np.ndarray = _ONE) -> Product:
        """As ``recurrence.forward_lanes`` takes it."""
        own = self.matrix
        return self._with(own.forward, own.depth, chosen, own.apart)

    def backward(self, chosen: np.ndarray = _ONE) -> Product:
        """As ``recurrence.backward_lanes`` takes it."""
        own = self.matrix
        return self._with(own.backward, own.columns, chosen, own.apart_back)

    def _with(self, panels: np.ndarray, whole: int, chosen: np.ndarray, apart: int) -> Product:
        return Product(panels, self.source, self.first, self.matrix.each, whole, chosen, apart)


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
        for name in cell.constants:
            getattr(self.cell, name)[: node.size] = node.first_values(name)
        self._fields = [place.at[node.named(name)] for name in cell.learned()]
        self._initials = [
            (place.at[node.named(f"initial_{name}")], size, cell.states.index(name))
            for name, size in node.memory.items()
            if node.start == "learned"
        ]
        self._biases: list[tuple] = []
        self.first_states = [FirstStates(node, place)] if node.start == "read" else []
        self._place_input()
        self._place_products()

    def _at(self, own: str) -> int:
        return self._place.at[self.node.named(own)]

    def _add_bias(self, at: int, blocks: tuple, matrix: Any) -> None:
        """A bias among the parameters, its columns in a row, and the matrix that it belongs to."""
        columns = block_places(blocks, self.node.size, self.width)
        self._biases.append((at, columns, matrix, min(blocks) * self.width))

    def _place_input(self) -> None:
        blocks, width, (source, *told) = self.cell.input_blocks, self.width, self.node.inputs
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
        # With several matrices: as the input's bias, which is added to the same columns.
        self._add_bias(bias_at, blocks, self.input if cell.by_character else matrix)
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
        if self.cell.by_character:
            count = self.node.reads[self.node.choosing].size
            stride = len(blocks) * self.node.size * read
            own = depth, columns
            return ChosenMatrices(count, stride, at, own, self._place.dtype, self._place.panels)
        return Matrix(at, depth, columns, self._place.dtype, self._place.panels)

    @property
    def products(self) -> list[Matrix]:
        """What the time loop multiplies in a step."""
        inner = [p.matrix for p in (self.recurrent, self.middle) if p]
        return [*self.input.matrices, *inner]

    def matrices(self) -> list[Matrix]:
        """The layer's own matrices."""
        return [*self.input.matrices, *self._own, *(own.matrix for own in self.first_states)]

    @property
    def _parts(self) -> list[Any]:
        """All that has packed weights."""
        first = [own.matrix for own in self.first_states]
        return [self.input, *self.labels, *self._own, *first]

    def buffers(self, steps: int, batch: int) -> RecurrentBuffers:
        """Room for a pass."""
        return RecurrentBuffers(self, steps, batch)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        for part in self._parts:
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
        for at, field in zip(self._fields, self.cell, strict=False):  # constants are behind
            field[:size] = values[at : at + size]
        for at, elements, state in self._initials:
            self.initial[state, 0, :elements] = values[at : at + elements]
        for own in self.first_states:
            own.pack_vectors(values)

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights; ``pack_vectors`` comes first."""
        for matrix in self._parts:
            matrix.pack(values, part, parts)

    def tell(self, weights: np.ndarray) -> None:
        """Let labels with these weights [K] be those of all texts; ``pack`` comes first.

        Their rows are added one after the other, as those of a batch are.
        """
        for row in (row for labels in self.labels for row in labels.rows(weights)):
            self.input.add(row)

    def start(self, run: RecurrentBuffers, state: np.ndarray, documents: int = 0) -> None:
        """Let a pass begin with ``state`` [S, B, width], and documents as the layer says.

        So many of them start from what was read.
        """
        states, _, width = self.initial.shape
        run.begin(self.initial, np.zeros((states, documents, width), self.initial.dtype))
        run.first[:] = state
        run.dstates[:] = 0  # nothing has flowed back
        for own in self.first_states:
            shapes = own.matrix.depth, own.matrix.columns
            run.start_rows = [np.empty((documents, n), self.initial.dtype) for n in shapes * 2]

    def draw_starts(
        self, run: RecurrentBuffers, documents: Sequence[tuple[np.random.Generator, int]]
    ) -> None:
        """Give each of the documents of a pass a state of its own to start from.

        There are as many as each lane says, one lane's after another's, and it draws them.
        """
        count = sum(count for _, count in documents)
        own = np.repeat(self.initial, count, axis=1)
        if self.node.start == "random":
            for name, state in zip(self.cell.states, own, strict=True):
                size = self.node.memory.get(name, 0)
                drawn = [rng.standard_normal((number, size)) for rng, number in documents]
                state[:, :size] = _RANDOM_STATE * np.concatenate([*drawn, np.empty((0, size))])
        run.begin(self.initial, own)

    def _no_product(self) -> Product:
        return Product(self.recurrent.matrix.forward[:0], 0, 0, 0, 0, _ONE, 0)

    def forward(
        self, sources: Arrays, run: RecurrentBuffers, call: Call, first: int, last: int
    ) -> None:
        """All steps of the lanes ``first … last``."""
        inputs = self.input.begin(sources[0], run.gates, first, last)
        for labels, told in zip(self.labels, sources[1:], strict=False):
            inputs = labels.begin(told, run.gates, first, last, inputs)
        for own in self.first_states if call.starts[:, first:last].any() else ():
            some = slice(*call.documents(first, last))
            ends, made, *_ = (rows[some] for rows in run.start_rows)
            begun = own.forward(sources[-1], call.read[some], (ends, made))
            run.own_states[0][: len(begun), some] = begun
        middle = self.middle.forward() if self.middle else self._no_product()
        if self.cell.by_character:
            run.chosen = np.ascontiguousarray(sources[self.node.choosing], np.int32)
        recurrence.forward_lanes(
            self.cell, run.forward(call.starts), inputs, self.recurrent.forward(run.chosen), middle,
            call.dropout, first, last,
        )  # fmt: skip

    def backward(
        self, run: RecurrentBuffers, dsources: Arrays, call: Call, first: int, last: int
    ) -> None:
        """The way back; gradients of the pre-activations stay in ``run.gates``."""
        for gradient in (run.dstates, run.dfields):
            gradient[:, first:last] = 0
        dinputs = self.input.begin_back(dsources[0])
        middle = self.middle.backward() if self.middle else self._no_product()
        recurrence.backward_lanes(
            self.cell, run.forward(call.starts), run.gradients(), dinputs,
            self.recurrent.backward(run.chosen), middle, call.dropout, first, last,
        )  # fmt: skip
        for own in self.first_states:
            some = slice(*call.documents(first, last))
            dsources[-1][:, first:last] = 0
            rows = tuple(rows[some] for rows in run.start_rows[1:])
            dbegun = run.own_states[1][: len(self.node.memory), some]
            own.backward(dbegun, dsources[-1], call.read[some], rows)

    def differentiate(
        self, sources: Arrays, run: RecurrentBuffers, scratch: np.ndarray, part: int, parts: int
    ) -> None:
        """Sum this thread's share of the gradients of all matrices and biases."""
        d = run.gates.reshape(-1, self.row)
        states = run.before[self.recurrent.source].reshape(-1, self.width)
        shared = scratch, part, parts
        own = self.recurrent.matrix
        made, read = own.made(d, self.recurrent.first), own.read(states)
        if isinstance(own, ChosenMatrices):
            own.differentiate_chosen(run.chosen.reshape(-1), made, read, *shared)
        else:
            own.differentiate(made, read, *shared)
        if self.middle:
            own, first, source = self.middle.matrix, self.middle.first, self.middle.source
            added = bool(self.node.feedback)  # the head's matrix has a gradient already
            own.differentiate(own.made(d, first), own.read(d, source), *shared, accumulate=added)
        self.input.differentiate(run.gates, sources[0], *shared)
        for labels, told in zip(self.labels, sources[1:], strict=False):
            labels.differentiate(run.gates, told, part, parts)
        for begun in self.first_states:
            ends, _, _, dmade = run.start_rows
            own = begun.matrix
            own.differentiate(own.made(dmade), own.read(ends), *shared)

    def unpack(self, gradients: np.ndarray, run: RecurrentBuffers, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        for matrix in self._parts:
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
        for own in self.first_states:
            own.unpack_bias(gradients)

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
