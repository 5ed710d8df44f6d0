"""Feed-forward layers: y = x W, and y = tanh(x W + b), each step by itself."""

from __future__ import annotations

import numpy as np

from charrnn.compute import recurrence
from charrnn.network.layers.inputs import create_input
from charrnn.network.layers.place import Arrays, Call, LayerBuffers, Place
from charrnn.network.nodes import Dense, Projection
from charrnn.network.program import Memory, Program
from charrnn.network.weights import Matrix, plain_index


class ProjectionLayer:
    """A matrix; ``bias`` is zero."""

    def __init__(self, node: Projection, place: Place) -> None:
        self.node, self.width = node, place.width(node)
        self.matrix = place.linear(node.named("weight"), node.reads[0], node.size)
        self.bias = np.zeros(self.width, place.dtype)

    def matrices(self) -> list[Matrix]:
        """The one that it has."""
        return [self.matrix]

    def buffers(self, steps: int, batch: int) -> LayerBuffers:
        """Room for a pass."""
        return LayerBuffers(steps, batch, self.width, self.bias.dtype)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        self.matrix.prepare_training()

    def pack_vectors(self, values: np.ndarray) -> None:
        """There are none."""

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights."""
        self.matrix.pack(values, part, parts)

    def forward(
        self, sources: Arrays, run: LayerBuffers, call: Call, first: int, last: int
    ) -> None:
        """All steps of the lanes ``first … last``, which do not see one another."""
        (x,) = sources
        recurrence.project_lanes(x, self.matrix.forward, self.bias, run.output, first, last)

    def backward(
        self, run: LayerBuffers, dsources: Arrays, call: Call, first: int, last: int
    ) -> None:
        """The way back."""
        (dx,) = dsources
        recurrence.unproject_lanes(run.doutput, self.matrix.backward, dx, first, last)

    def differentiate(
        self, sources: Arrays, run: LayerBuffers, scratch: np.ndarray, part: int, parts: int
    ) -> None:
        """Sum this thread's share of the gradients."""
        (x,) = sources
        d, x = run.doutput.reshape(-1, self.width), x.reshape(-1, x.shape[2])
        own = self.matrix
        own.differentiate(own.made(d), own.read(x), scratch, part, parts)

    def unpack(self, gradients: np.ndarray, run: LayerBuffers, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        self.matrix.unpack(gradients, part, parts)

    def emit(self, program: Program, sources: list[Memory]) -> Memory:
        """The product, with the bias to begin with."""
        target = program.copy_row(self.bias)
        program.multiply(self.matrix, sources[0], target)
        return target


class DenseLayer:
    """A matrix, a bias and tanh."""

    def __init__(self, node: Dense, place: Place) -> None:
        self.node, self.width = node, place.width(node)
        self.bias = np.zeros(self.width, place.dtype)
        self._bias_at, (source,) = place.at[node.named("bias")], node.reads
        columns = plain_index(node.size, self.width, source.size)
        at = place.at[node.named("weight")]
        self._input = create_input(place, at, source, columns, 0, self.bias)

    def matrices(self) -> list[Matrix]:
        """The one that it has; none where characters choose rows."""
        return self._input.matrices

    def buffers(self, steps: int, batch: int) -> LayerBuffers:
        """Room for a pass."""
        return LayerBuffers(steps, batch, self.width, self.bias.dtype)

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        self._input.prepare_training()

    def pack_vectors(self, values: np.ndarray) -> None:
        """Take the bias from the parameters."""
        size = self.node.size
        self.bias[:size] = values[self._bias_at :][:size]

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights; ``pack_vectors`` comes first."""
        self._input.pack(values, part, parts)

    def forward(
        self, sources: Arrays, run: LayerBuffers, call: Call, first: int, last: int
    ) -> None:
        """All steps of the lanes ``first … last``, which do not see one another."""
        (x,) = sources
        inputs = self._input.begin(x, run.output, first, last)
        if inputs.columns:
            recurrence.project_lanes(x, inputs.panels, self.bias, run.output, first, last)
        recurrence.tanh_lanes(run.output, first, last)

    def backward(
        self, run: LayerBuffers, dsources: Arrays, call: Call, first: int, last: int
    ) -> None:
        """The way back; gradients of the pre-activations stay in ``run.doutput``."""
        (dx,) = dsources
        recurrence.untanh_lanes(run.doutput, run.output, first, last)
        dinputs = self._input.begin_back(dx)
        if dinputs.columns:
            recurrence.unproject_lanes(run.doutput, dinputs.panels, dx, first, last)

    def differentiate(
        self, sources: Arrays, run: LayerBuffers, scratch: np.ndarray, part: int, parts: int
    ) -> None:
        """Sum this thread's share of the gradients."""
        self._input.differentiate(run.doutput, sources[0], scratch, part, parts)

    def unpack(self, gradients: np.ndarray, run: LayerBuffers, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        self._input.unpack(gradients, part, parts)
        if part == 0:
            size = self.node.size
            gradients[self._bias_at :][:size] = self._input.bias_gradient[:size]

    def emit(self, program: Program, sources: list[Memory]) -> Memory:
        """The product, or the character's row, with the bias, and tanh."""
        target = self._input.emit(program, sources[0])
        program.tanh(target)
        return target
