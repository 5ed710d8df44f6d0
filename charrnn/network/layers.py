"""The layers of a network: their parameters, packed, and their way forward and back.

Recurrent and feed-forward layers have the same methods, so that a network is a chain of them:
``pack_bias`` and ``pack`` after an update, ``forward`` and ``backward`` for some lanes,
``differentiate`` and ``unpack`` for a thread's share of the gradients. ``places`` says where in
the flat parameters a layer's own are, by their names in PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from charrnn.compute import packing, recurrence
from charrnn.config import ModelConfig
from charrnn.network.parameters import cell_of, memory_sizes, state_size
from charrnn.network.weights import Matrix, Table, block_index, block_places, plain_index

#: The logit of a padded column: its probability is nothing, and no infinity gets into sums.
NEVER = -1e30


def state_width(config: ModelConfig, dtype) -> int:
    """Elements of a state in the time loop, padded."""
    return packing.padded(state_size(config), dtype)


class Readout:
    """The matrix and the bias that make logits [·, ``width``] of the top layer's output."""

    def __init__(self, config: ModelConfig, places: dict, dtype, panels) -> None:
        size = config.dense_size if config.readout_layers else config.hidden_size
        depth = packing.padded(size, dtype) if config.readout_layers else state_width(config, dtype)
        self._vocabulary, self._bias_at = config.vocabulary_size, places["bias"]
        self.width = packing.padded(self._vocabulary, dtype)
        columns = plain_index(self._vocabulary, self.width, size)
        self.matrix = Matrix(places["weight"], plain_index(size, depth, 1), columns, dtype, panels)
        self.bias = np.full(self.width, NEVER, dtype)

    def pack_bias(self, values: np.ndarray) -> None:
        """Take the bias from the parameters."""
        self.bias[: self._vocabulary] = values[self._bias_at :][: self._vocabulary]

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        self.matrix.unpack(gradients, part, parts)
        if part == 0:
            own = gradients[self._bias_at :][: self._vocabulary]
            own[:] = self.matrix.bias_gradient[: self._vocabulary]


class LayerBuffers:
    """What a layer leaves behind in a pass of T steps over B lanes; shapes in ``recurrence``."""

    output: np.ndarray  # [T, B, width]
    doutput: np.ndarray  # its gradient

    def __init__(self, steps: int, batch: int, width: int, dtype) -> None:
        self.output = np.empty((steps, batch, width), dtype)
        self.doutput = np.empty((steps, batch, width), dtype)


class RecurrentBuffers(LayerBuffers):
    """The buffers of a recurrent layer."""

    def __init__(self, layer: Recurrent, steps: int, batch: int) -> None:
        dtype, width = layer.bias.dtype, layer.width
        super().__init__(steps, batch, width, dtype)
        states, fields = len(layer.cell.states), len(layer.cell._fields)
        self.gates = np.empty((steps, batch, layer.row), dtype)
        self.states = np.zeros((states, steps + 1, batch, width), dtype)
        self.initial = layer.initial  # what documents start from, [S, R, width]
        self.dstates = np.empty((states, batch, width), dtype)
        self.dinitial = np.empty((states, batch, width), dtype)
        self.dfields = np.empty((fields, batch, width), dtype)
        self.dmiddle = np.empty((batch, width), dtype)


class _Product:
    """A matrix that the time loop multiplies, with what it reads and the columns that it feeds."""

    def __init__(self, matrix: Matrix, source: int, first: int, *, shared: bool = False) -> None:
        self.matrix, self.source, self.first = matrix, source, first
        self.shared = shared  # whether the matrix is the readout's, which has a gradient before

    @property
    def forward(self) -> tuple:
        """As ``recurrence.forward_lanes`` takes it."""
        return self.matrix.forward, self.source, self.first, self.matrix.columns

    @property
    def backward(self) -> tuple:
        """As ``recurrence.backward_lanes`` takes it."""
        return self.matrix.backward, self.source, self.first, self.matrix.columns


class Recurrent:
    """A recurrent layer: an input matrix (or a table, where it reads characters), a recurrent
    matrix, two biases and what else its cell has. ``readout`` is the network's, for cells that
    feed its output back.
    """

    def __init__(self, config: ModelConfig, layer: int, places: dict, readout: Readout) -> None:
        self._config, self._readout = config, readout
        cell, dtype = cell_of(config), readout.bias.dtype
        self.width = width = state_width(config, dtype)
        self.row = cell.blocks * width
        self.bias = np.zeros(self.row, dtype)
        self.cell: Any = cell(*(np.zeros(width, dtype) for _ in cell._fields))
        self.initial = np.zeros((len(cell.states), 1, width), dtype)
        self._fields = [places[name] for name in cell._fields]
        self._initials = [
            (places[f"initial_{name}"], size, cell.states.index(name))
            for name, size in memory_sizes(config).items()
            if f"initial_{name}" in places
        ]
        self._biases: list[tuple] = []
        self._place_input(places, config.hidden_size if layer else config.input_size,
                          is_table=layer == 0 and not config.embedding_size)  # fmt: skip
        self._place_products(places)

    def _matrix(self, at: int, depth: np.ndarray, columns: np.ndarray) -> Matrix:
        return Matrix(at, depth, columns, self.bias.dtype, self._readout.matrix.forward.dtype)

    def _add_bias(self, at: int, blocks: tuple, matrix: Matrix | Table) -> None:
        """A bias among the parameters, its columns in a row, and the matrix that it belongs to."""
        columns = block_places(blocks, self._config.hidden_size, self.width)
        self._biases.append((at, columns, matrix, min(blocks) * self.width))

    def _place_input(self, places: dict, inputs: int, *, is_table: bool) -> None:
        blocks, width = self.cell.input_blocks, self.width
        at, columns = (
            places["weight_ih"],
            block_index(blocks, self._config.hidden_size, width, inputs),
        )
        self.input_columns = min(blocks) * width, columns.size
        self.input: Matrix | Table
        if is_table:
            rows = np.arange(inputs)
            first, dtype = self.input_columns[0], self.bias.dtype
            self.input = Table(at, rows, columns, self.row, first, dtype)
        else:
            depth = plain_index(inputs, packing.padded(inputs, self.bias.dtype), 1)
            self.input = self._matrix(at, depth, columns)
        self._add_bias(places["bias_ih"], blocks, self.input)

    def _place_products(self, places: dict) -> None:
        cell, size, width = self.cell, self._config.hidden_size, self.width
        fed_back = memory_sizes(self._config)[cell.states[cell.source]]
        at, bias_at, blocks = places["weight_hh"], places["bias_hh"], cell.recurrent_blocks
        columns = block_index(blocks, size, width, fed_back)
        matrix = self._matrix(at, plain_index(fed_back, width, 1), columns)
        self.recurrent = _Product(matrix, cell.source, min(blocks) * width)
        self._add_bias(bias_at, blocks, matrix)
        self.middle: _Product | None = None
        if cell.output_block is not None:
            first = cell.output_block * width
            self.middle = _Product(self._readout.matrix, cell.middle * width, first, shared=True)
        elif cell.middle_blocks:
            before = len(blocks) * size
            columns = block_index(cell.middle_blocks, size, width, size)
            matrix = self._matrix(at + before * size, plain_index(size, width, 1), columns)
            first = min(cell.middle_blocks) * width
            self.middle = _Product(matrix, cell.middle * width, first)
            self._add_bias(bias_at + before, cell.middle_blocks, matrix)

    @property
    def products(self) -> list[Matrix]:
        """What the time loop multiplies in a step."""
        inner = [p.matrix for p in (self.recurrent, self.middle) if p]
        return [self.input, *inner] if isinstance(self.input, Matrix) else inner

    def matrices(self) -> list[Matrix]:
        """The layer's own matrices."""
        return [matrix for matrix in self.products if matrix is not self._readout.matrix]

    def buffers(self, steps: int, batch: int) -> RecurrentBuffers:
        """Room for a pass."""
        return RecurrentBuffers(self, steps, batch)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        for part in {id(m): m for m in (self.input, *self.matrices())}.values():
            part.prepare_training()

    def pack_bias(self, values: np.ndarray) -> None:
        """Add the biases up in one row of blocks, and take what else is no matrix."""
        self.bias[:] = 0
        if self.middle and self.middle.shared:
            logits = self.bias[self.middle.first :][: self.width]
            logits[:] = NEVER
            logits[: self._readout.width] = self._readout.bias
        for at, columns, _, _ in self._biases:
            self.bias[columns] += values[at : at + columns.size]
        size = self._config.hidden_size
        for at, field in zip(self._fields, self.cell, strict=True):
            field[:size] = values[at : at + size]
        for at, elements, state in self._initials:
            self.initial[state, 0, :elements] = values[at : at + elements]

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights; ``pack_bias`` comes first."""
        if isinstance(self.input, Table):
            self.input.pack(values, self.bias, part, parts)
        for matrix in self.matrices():
            matrix.pack(values, part, parts)

    def _middle_forward(self) -> tuple:
        return self.middle.forward if self.middle else self._no_product()

    def _middle_backward(self) -> tuple:
        return self.middle.backward if self.middle else self._no_product()

    def _no_product(self) -> tuple:
        return self.recurrent.matrix.forward[:0], 0, 0, 0

    def _inputs_forward(self, x: np.ndarray, run: RecurrentBuffers) -> tuple:
        """As ``recurrence.forward_lanes`` takes them: no product where characters choose rows."""
        if isinstance(self.input, Table):
            return run.output[:0], self.recurrent.matrix.forward[:0], self.bias, 0, 0
        return x, self.input.forward, self.bias, *self.input_columns

    def _inputs_backward(self, dx: np.ndarray, run: RecurrentBuffers) -> tuple:
        if isinstance(self.input, Table):
            return run.output[:0], self.recurrent.matrix.backward[:0], 0, 0
        return dx, self.input.backward, *self.input_columns

    def forward(self, x, run, resets, dropout, first: int, last: int) -> None:
        """All steps of the lanes ``first … last``; ``x`` [T, B, ·] or characters [T, B]."""
        if isinstance(self.input, Table):
            self.input.gather(x, run.gates, first, last)
        recurrence.forward_lanes(
            self.cell, run.gates, run.states, run.output, resets, run.initial,
            self._inputs_forward(x, run), self.recurrent.forward, self._middle_forward(), dropout,
            first, last,
        )  # fmt: skip

    def backward(self, run, dx, resets, dropout, first: int, last: int) -> None:
        """The way back; gradients of the pre-activations stay in ``run.gates``.

        ``dx`` receives the gradient of the input, unless the input is characters.
        """
        for gradient in (run.dstates, run.dinitial, run.dfields):
            gradient[:, first:last] = 0
        recurrence.backward_lanes(
            self.cell, run.gates, run.states, run.dstates, run.doutput, resets, run.dinitial,
            run.dfields, run.dmiddle, self._inputs_backward(dx, run), self.recurrent.backward,
            self._middle_backward(), dropout, first, last,
        )  # fmt: skip

    def differentiate(self, x, run, scratch, part: int, parts: int) -> None:
        """Sum this thread's share of the gradients of all matrices and biases."""
        d = run.gates.reshape(-1, self.row)
        states = run.states[self.recurrent.source, :-1].reshape(-1, self.width)
        shared = scratch, part, parts
        self.recurrent.matrix.differentiate(d, self.recurrent.first, states, 0, False, *shared)
        if m := self.middle:
            m.matrix.differentiate(d, m.first, d, m.source, m.shared, *shared)
        if isinstance(self.input, Table):
            self.input.scatter(run.gates, x, part, parts)
        else:
            x = x.reshape(-1, x.shape[2])
            self.input.differentiate(d, self.input_columns[0], x, 0, False, *shared)

    def unpack(self, gradients: np.ndarray, run, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        if isinstance(self.input, Table):
            self.input.unpack(gradients, part, parts)
        for matrix in self.matrices():
            matrix.unpack(gradients, part, parts)
        if part == 0:
            self._unpack_vectors(gradients, run)

    def _unpack_vectors(self, gradients: np.ndarray, run: RecurrentBuffers) -> None:
        for at, columns, matrix, first in self._biases:
            gradients[at : at + columns.size] = matrix.bias_gradient[columns - first]
        size = self._config.hidden_size
        for at, gradient in zip(self._fields, run.dfields, strict=True):
            gradients[at : at + size] = gradient.sum(axis=0)[:size]
        for at, elements, state in self._initials:
            gradients[at : at + elements] = run.dinitial[state].sum(axis=0)[:elements]


class Dense:
    """A feed-forward layer of the readout, each step by itself: y = tanh(x W + b)."""

    def __init__(self, config: ModelConfig, number: int, places: dict, readout: Readout) -> None:
        inputs, size = config.dense_size if number else config.hidden_size, config.dense_size
        dtype, self._size = readout.bias.dtype, size
        self.width = packing.padded(size, dtype)
        columns = plain_index(size, self.width, inputs)
        depth = plain_index(inputs, packing.padded(inputs, dtype), 1)
        self.matrix = Matrix(places["weight"], depth, columns, dtype, readout.matrix.forward.dtype)
        self.bias, self._bias_at = np.zeros(self.width, dtype), places["bias"]

    def matrices(self) -> list[Matrix]:
        """The layer's own matrices."""
        return [self.matrix]

    def buffers(self, steps: int, batch: int) -> LayerBuffers:
        """Room for a pass."""
        return LayerBuffers(steps, batch, self.width, self.bias.dtype)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        self.matrix.prepare_training()

    def pack_bias(self, values: np.ndarray) -> None:
        """Take the bias from the parameters."""
        self.bias[: self._size] = values[self._bias_at :][: self._size]

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights."""
        self.matrix.pack(values, part, parts)

    def forward(self, x, run, resets, dropout, first: int, last: int) -> None:
        """All steps of the lanes ``first … last``, which do not see one another."""
        recurrence.project_lanes(x, self.matrix.forward, self.bias, run.output, first, last)
        recurrence.tanh_lanes(run.output, first, last)

    def backward(self, run, dx, resets, dropout, first: int, last: int) -> None:
        """The way back; gradients of the pre-activations stay in ``run.doutput``."""
        recurrence.untanh_lanes(run.doutput, run.output, first, last)
        recurrence.unproject_lanes(run.doutput, self.matrix.backward, dx, first, last)

    def differentiate(self, x, run, scratch, part: int, parts: int) -> None:
        """Sum this thread's share of the gradients."""
        d, x = run.doutput.reshape(-1, self.width), x.reshape(-1, x.shape[2])
        self.matrix.differentiate(d, 0, x, 0, False, scratch, part, parts)

    def unpack(self, gradients: np.ndarray, run, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        self.matrix.unpack(gradients, part, parts)
        if part == 0:
            own = gradients[self._bias_at :][: self._size]
            own[:] = self.matrix.bias_gradient[: self._size]
