"""What heads have in common that tell something of each step: a matrix and a bias make logits."""

from __future__ import annotations

import numpy as np

from charrnn.compute import readout
from charrnn.compute.readout import NEVER
from charrnn.network.heads import Aligned, NextCharacter
from charrnn.network.layers.place import Place
from charrnn.network.weights import Matrix


class ReadoutHead:
    """The matrix and the bias that make logits [·, ``width``] of the last layer's output."""

    def __init__(self, node: NextCharacter | Aligned, place: Place) -> None:
        self.node = node
        self.width = place.width(node)
        self.matrix = place.linear(node.named("weight"), node.reads[0], node.size)
        self.bias = np.full(self.width, NEVER, place.dtype)
        self._bias_at = place.at[node.named("bias")]

    def matrices(self) -> list[Matrix]:
        """The one that it has."""
        return [self.matrix]

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        self.matrix.prepare_training()

    def pack_vectors(self, values: np.ndarray) -> None:
        """Take the bias from the parameters."""
        self.bias[: self.node.size] = values[self._bias_at :][: self.node.size]

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights."""
        self.matrix.pack(values, part, parts)

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        self.matrix.unpack(gradients, part, parts)
        if part == 0:
            own = gradients[self._bias_at :][: self.node.size]
            own[:] = self.matrix.bias_gradient[: self.node.size]

    def read(self, hidden: np.ndarray, logits: np.ndarray) -> None:
        """logits [N, width] of hidden states [N, ·]."""
        readout.logits_of_rows(hidden, self.matrix.forward, self.bias, logits)

    def read_back(self, dlogits: np.ndarray, dhidden: np.ndarray) -> None:
        """The gradient of the hidden states."""
        readout.rows_times_weights(dlogits, self.matrix.backward, dhidden)

    def differentiate_matrix(
        self,
        dlogits: np.ndarray,
        hidden: np.ndarray,
        accumulate: bool,
        scratch: list[np.ndarray],
        part: int,
        parts: int,
    ) -> None:
        """This thread's share of the matrix's gradient, summed over a block of rows."""
        own = self.matrix
        own.differentiate(
            own.made(dlogits), own.read(hidden), scratch[part], part, parts, accumulate=accumulate
        )
