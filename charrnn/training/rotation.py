"""Matrices whose gradients an optimizer sees in the basis of what the matrix reads.

Of a matrix W [rows, n] with the gradient G of the mean loss, in each update

    C = β C + (1 - β) GᵀG,    and Q nears the eigenvectors of C.

Units that are active together share their gradients; what lies along the columns of Q is
independent, so that each can have a rate that suits it: Adam keeps its moments of G Q, and W
changes by what it makes of them times Qᵀ. This is SOAP (Vyas et al. 2024) with a basis on the side
of what is read.
"""

from __future__ import annotations

import numpy as np

from charrnn.compute import readout, updates
from charrnn.compute.packing import gradient_scratch_size, padded
from charrnn.compute.products import Columns
from charrnn.compute.threads import share
from charrnn.network.network import Network
from charrnn.network.weights import Matrix, plain_index
from charrnn.training.processes import Processes

#: What an update leaves of the covariance.
_DECAY = 0.95


class Rotated:
    """One such matrix: ``name`` of ``network``, in parts of what an optimizer has.

    ``mean`` and ``square`` [rows, n] are Adam's moments, ``covariance`` and ``basis`` [n, n] are C
    and Q; ``rate`` is how much faster it learns than the learning rate says. Methods that take a
    ``part`` of ``parts`` are the work of threads; one must be through with all parts before the
    next begins.
    """

    def __init__(
        self, name: str, network: Network, moments: dict[str, np.ndarray], rate: float
    ) -> None:
        self._rate = rate
        self._values = network.parameters[name]
        self._gradient = network.views(network.gradients)[name]
        self._mean, self._square = moments["mean"], moments["square"]
        self._covariance, self._basis = moments["covariance"], moments["basis"]
        self._rows, self._size = self._values.shape
        width = padded(self._size, network.dtype)
        index = plain_index(self._size, width, self._size), plain_index(self._size, width, 1)
        self._matrix = Matrix(0, *index, network.dtype, network.panels)
        self._matrix.prepare_training()
        # Rows as products read them, and what these make.
        self._read, self._made = np.zeros((2, self._rows, width), network.dtype)
        size = gradient_scratch_size(width, network.panels)
        self._scratch = [np.empty(size, network.panels) for _ in range(network.team.threads)]

    def read(self, scale: float, part: int, parts: int) -> None:
        """Take the gradient of the mean loss, which is ``scale`` times that of the sum."""
        first, last = share(self._rows, part, parts)
        own = self._read[first:last, : self._size]
        np.multiply(self._gradient[first:last], scale, out=own)

    def multiply(self, part: int, parts: int) -> None:
        """Make GᵀG."""
        columns = Columns(self._read, 0, self._read.shape[1])
        self._matrix.differentiate(columns, columns, self._scratch[part], part, parts)

    def learn(self, part: int, parts: int) -> None:
        """Let C follow GᵀG."""
        first, last = share(self._size, part, parts)
        product = self._matrix.gradient.reshape(-1, self._matrix.depth)
        self._covariance[first:last] *= _DECAY
        self._covariance[first:last] += (1 - _DECAY) * product[first:last, : self._size]

    def renew(self, processes: Processes) -> None:
        """Go over to a Q that is nearer to the eigenvectors of C, the same in all processes."""
        basis = processes.first(self._nearer_basis)
        self._mean[...] = self._mean @ (self._basis.T @ basis)
        self._basis[...] = basis

    def _nearer_basis(self) -> np.ndarray:
        """A step of the power method; the first time the eigenvectors themselves.

        While C is 0, or where it is beyond all numbers, Q is as it was, or that of the units.
        """
        covariance, basis = self._covariance, self._basis
        if not covariance.any() or not np.isfinite(covariance).all():
            return basis if basis.any() else np.eye(self._size, dtype=basis.dtype)
        if not basis.any():
            return np.linalg.eigh(covariance)[1][:, ::-1]
        return np.linalg.qr(covariance @ basis)[0]

    def pack(self, part: int, parts: int) -> None:
        """Pack Q as products read it."""
        self._matrix.pack(self._basis.reshape(-1), part, parts)

    def rotate(self, scale: float, part: int, parts: int) -> None:
        """Make of the gradient, which ``read`` took with the same ``scale``, G Q."""
        first, last = share(self._rows, part, parts)
        made = self._made[first:last]
        readout.rows_times_weights(self._read[first:last], self._matrix.forward, made)
        np.divide(made[:, : self._size], scale, out=self._gradient[first:last])

    def change(self, step: tuple[float, float, float, int], part: int, parts: int) -> None:
        """Change W by what Adam makes of the moments, times Qᵀ; see ``updates.adam_changes``."""
        first, last = share(self._rows, part, parts)
        read, made = self._read[first:last], self._made[first:last]
        rate, *others = step
        own = (self._rate * rate, *others)
        updates.adam_changes(self._mean[first:last], self._square[first:last], own, read)
        readout.rows_times_weights(read, self._matrix.backward, made)
        self._values[first:last] -= made[:, : self._size]
