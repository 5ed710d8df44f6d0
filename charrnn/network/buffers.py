"""The buffers of a network for one pass: what every layer leaves behind, logits and losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from charrnn.compute import packing
from charrnn.network.layers import Dense, LayerBuffers, Readout, Recurrent
from charrnn.network.weights import Table

#: Bytes that the logits of one block of rows may take, so that memory does not grow as T·B·V.
_LOGIT_BYTES = 16 * 2**20


class PassBuffers:
    """The buffers of a network for chunks of T steps over B lanes."""

    def __init__(
        self,
        recurrent: Sequence[Recurrent],
        dense: Sequence[Dense],
        readout: Readout,
        embedding: Table | None,
        threads: int,
        steps: int,
        batch: int,
    ) -> None:
        dtype, panels, rows = readout.bias.dtype, readout.matrix.forward.dtype, steps * batch
        self.recurrent = [layer.buffers(steps, batch) for layer in recurrent]
        self.layers: list[LayerBuffers] = [
            *self.recurrent, *(layer.buffers(steps, batch) for layer in dense),
        ]  # fmt: skip
        self.starts = np.zeros((steps, batch), np.int32)  # as the time loop takes its resets
        self.embedded = self.dembedded = None
        if embedding:
            width = embedding.rows.shape[1]
            self.embedded = np.empty((steps, batch, width), dtype)
            self.dembedded = np.empty((steps, batch, width), dtype)
        self.block_rows = min(rows, max(64, _LOGIT_BYTES // (readout.width * dtype.itemsize)))
        self.logits = np.empty((self.block_rows, readout.width), dtype)
        self.losses = np.empty(rows, dtype)
        self.hidden = self.layers[-1].output.reshape(rows, -1)
        self.dhidden = self.layers[-1].doutput.reshape(rows, -1)
        layers: list[Recurrent | Dense] = [*recurrent, *dense]
        matrices = [m for layer in layers for m in layer.matrices()]
        widest = max(m.depth for m in (*matrices, readout.matrix))
        size = packing.gradient_scratch_size(widest, panels)
        self.scratch = [np.empty(size, panels) for _ in range(threads)]

    def row_blocks(self) -> Iterator[tuple[int, int]]:
        """First and one past the last row of each block of logits."""
        for first in range(0, self.losses.size, self.block_rows):
            yield first, min(first + self.block_rows, self.losses.size)

    def state(self) -> np.ndarray:
        """The state that the chunk leaves, [L, S, B, width]."""
        return np.stack([buffers.states[:, -1] for buffers in self.recurrent])
