"""The buffers of a recurrent layer, as the time loop takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from charrnn.compute import recurrence
from charrnn.network.layers.place import LayerBuffers


class RecurrentBuffers(LayerBuffers):
    """The buffers of a recurrent layer; shapes in ``charrnn.compute.recurrence``.

    ``start_rows`` are those of ``charrnn.network.layers.first_states``; ``chosen`` [T, B] says
    which of several recurrent matrices each step has, [0, 0] of one.
    """

    start_rows: Sequence[np.ndarray] = ()
    chosen = np.empty((0, 0), np.int32)

    def __init__(self, layer: Any, steps: int, batch: int) -> None:
        dtype, width = layer.bias.dtype, layer.width
        super().__init__(steps, batch, width, dtype)
        states, fields = len(layer.cell.states), len(layer.cell.learned())
        self.gates = np.empty((steps, batch, layer.row), dtype)
        self.states = np.zeros((states, steps + 1, batch, width), dtype)
        self.reverse = int(layer.node.reverse)
        self.begin(layer.initial, np.empty((states, 0, width), dtype))
        self.dstates = np.empty((states, batch, width), dtype)
        self.dfields = np.empty((fields, batch, width), dtype)
        self.dmiddle = np.empty((batch, width), dtype)

    def begin(self, initial: np.ndarray, own: np.ndarray) -> None:
        """Let documents start from ``initial`` [S, 1, width], or from states of their own.

        Each lane has a row of the first, behind which the documents' ``own`` [S, D, width] lie.
        """
        lanes = np.repeat(initial, self.output.shape[1], axis=1)
        self.initial = np.concatenate([lanes, own], axis=1)
        self.dinitial = np.zeros_like(self.initial)

    @property
    def own_states(self) -> tuple[np.ndarray, np.ndarray]:
        """Of documents that start from states of their own, these and their gradients [S, D, ·]."""
        lanes = self.output.shape[1]
        return self.initial[:, lanes:], self.dinitial[:, lanes:]

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
    ends[-1] = np.where(ends[-1], ends[-1], np.arange(1, starts.shape[1] + 1))
    return ends
