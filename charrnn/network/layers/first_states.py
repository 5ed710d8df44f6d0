"""First states of a layer that writes, made of what was read: h⁰ = tanh([y→_{e-1}; y←_s] W + b)."""

from __future__ import annotations

import numpy as np

from charrnn.compute import readout
from charrnn.network.layers.place import Place
from charrnn.network.nodes import Recurrent
from charrnn.network.weights import Matrix, block_index, block_places


class FirstStates:
    """The matrix and the bias that make them; their rows [D, S·width] are kept with each pass.

    ``read`` [D, 3] are the lane of each document in what was read, its first step there and one
    past its last.
    """

    def __init__(self, node: Recurrent, place: Place) -> None:
        source, width = node.reads[-1], place.width(node)
        forwards, _ = source.reads
        self._count, self._width = len(node.memory), width
        self._forwards = place.width(forwards)  # columns of the direction that reads forwards
        states = tuple(range(self._count))
        columns = block_index(states, node.size, width, source.size)
        at = place.at[node.named("weight_start")]
        self.matrix = Matrix(at, place.units(source), columns, place.dtype, place.panels)
        self.bias = np.zeros(self._count * width, place.dtype)
        self._bias_at = place.at[node.named("bias_start")]
        self._columns = block_places(states, node.size, width)

    def pack_vectors(self, values: np.ndarray) -> None:
        """Take the bias from the parameters."""
        self.bias[self._columns] = values[self._bias_at :][: self._columns.size]

    def forward(
        self, y: np.ndarray, read: np.ndarray, rows: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """States [S, D, width] of some documents, of what was read ``y`` [T, B, ·].

        ``rows`` are left behind: what the matrix reads, and what it makes.
        """
        ends, made = rows
        lane, first, last = read.T
        ends[:, : self._forwards] = y[last - 1, lane, : self._forwards]
        ends[:, self._forwards :] = y[first, lane, self._forwards :]
        readout.logits_of_rows(ends, self.matrix.forward, self.bias, made)
        np.tanh(made, out=made)
        return made.reshape(len(read), self._count, self._width).swapaxes(0, 1)

    def backward(
        self, dstates: np.ndarray, dy: np.ndarray, read: np.ndarray, rows: tuple[np.ndarray, ...]
    ) -> None:
        """Add to ``dy`` what it gets of the states' gradients; ``rows`` become gradients.

        No two documents have a position in common.
        """
        made, dends, dmade = rows
        dmade[:] = dstates.swapaxes(0, 1).reshape(made.shape) * (1 - made * made)
        readout.rows_times_weights(dmade, self.matrix.backward, dends)
        lane, first, last = read.T
        dy[last - 1, lane, : self._forwards] += dends[:, : self._forwards]
        dy[first, lane, self._forwards :] += dends[:, self._forwards :]

    def unpack_bias(self, gradients: np.ndarray) -> None:
        """Write the gradient of the bias to the flat ``gradients``."""
        own = gradients[self._bias_at :][: self._columns.size]
        own[:] = self.matrix.bias_gradient[self._columns]
