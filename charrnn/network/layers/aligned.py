"""The head that writes what belongs to a document by CTC: see ``charrnn.compute.ctc``."""

from __future__ import annotations

import functools

import numpy as np

from charrnn.compute import ctc
from charrnn.compute.threads import Work, shared
from charrnn.network.layers.place import LayerBuffers
from charrnn.network.layers.readout_head import ReadoutHead
from charrnn.text.batch import Batch


class AlignedBuffers:
    """What the head reads and makes in a pass: logits of all steps, losses of documents."""

    def __init__(self, head: AlignedHead, source: LayerBuffers) -> None:
        steps, batch, width = source.output.shape
        self.hidden = source.output.reshape(-1, width)
        self.dhidden = source.doutput.reshape(-1, width)
        self.logits = np.empty((steps, batch, head.width), source.output.dtype)
        self.rows = self.logits.reshape(-1, head.width)
        self.losses = np.empty(0, source.output.dtype)


class AlignedHead(ReadoutHead):
    """Logits of each step; losses and gradients of all that is written of a document."""

    def buffers(self, source: LayerBuffers) -> AlignedBuffers:
        """Room for a pass; ``source`` is what the head reads."""
        return AlignedBuffers(self, source)

    def found(self, run: AlignedBuffers, batch: Batch) -> np.ndarray:
        """The losses of a pass [D]."""
        return run.losses.copy()

    def logits(self, run: AlignedBuffers, batch: Batch) -> tuple[np.ndarray, list[Work]]:
        """Of each symbol at each step [T, B, K], once the work is done."""
        return run.logits[..., : self.node.size], [self._read(run)]

    def losses(self, run: AlignedBuffers, batch: Batch) -> list[Work]:
        """Let ``run.losses`` be -log P of all that is written of each document [D].

        Logits become their gradients.
        """
        assert batch.spans is not None, "there are no documents to tell of"
        run.losses = np.empty(len(batch.spans), run.logits.dtype)

        def documents(first: int, last: int) -> None:
            ctc.align_documents(run.logits, batch.spans, batch.targets, run.losses, first, last)

        return [self._read(run), shared(len(batch.spans), documents)]

    def differentiate(
        self, run: AlignedBuffers, batch: Batch, scratch: list[np.ndarray]
    ) -> list[Work]:
        """As ``losses``; then gradients of the hidden states, and sums of those of the matrix."""
        assert batch.counted is not None
        empty = ~batch.counted.reshape(-1)

        def back(first: int, last: int) -> None:
            rows = run.rows[first:last]
            rows[empty[first:last]] = 0
            self.read_back(rows, run.dhidden[first:last])

        sums = functools.partial(self.differentiate_matrix, run.rows, run.hidden, False, scratch)
        return [*self.losses(run, batch), shared(len(run.rows), back), sums]

    def _read(self, run: AlignedBuffers) -> Work:
        def work(first: int, last: int) -> None:
            hidden, rows = run.hidden[first:last], run.rows[first:last]
            self.read(hidden, rows)

        return shared(len(run.rows), work)
