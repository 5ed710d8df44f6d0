"""The head that predicts the next character: logits, their softmax, its cross-entropy.

Logits are made, and become gradients, a block of rows at a time, so that memory does not grow as
T·B·V.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from charrnn.compute import readout
from charrnn.compute.threads import Work, shared
from charrnn.network.layers.place import LayerBuffers
from charrnn.network.layers.readout_head import ReadoutHead
from charrnn.network.program import Memory, Program
from charrnn.text.batch import Batch
from charrnn.text.vocabulary import END, SPECIALS

#: Bytes that the logits of one block of rows may take.
_LOGIT_BYTES = 16 * 2**20


class HeadBuffers:
    """What the head reads and makes in a pass; rows are the T·B steps of all lanes."""

    def __init__(self, head: NextCharacterHead, source: LayerBuffers) -> None:
        steps, batch, width = source.output.shape
        rows, dtype = steps * batch, source.output.dtype
        self.hidden = source.output.reshape(rows, width)
        self.dhidden = source.doutput.reshape(rows, width)
        self.block = min(rows, max(64, _LOGIT_BYTES // (head.width * dtype.itemsize)))
        self.logits = np.empty((self.block, head.width), dtype)
        self.losses = np.empty(rows, dtype)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First and one past the last row of each block of logits."""
        for first in range(0, self.losses.size, self.block):
            yield first, min(first + self.block, self.losses.size)


class NextCharacterHead(ReadoutHead):
    """Logits [·, ``width``] of each step, and how unlikely what comes next is by them."""

    #: Share of each target that gradients spread over all others alike.
    smoothing = 0.0

    def buffers(self, source: LayerBuffers) -> HeadBuffers:
        """Room for a pass; ``source`` is what the head reads."""
        return HeadBuffers(self, source)

    def targets(self, batch: Batch) -> tuple[np.ndarray, np.ndarray | None]:
        """What is predicted at each step [T, B], and which steps count (None: all)."""
        return batch.targets, batch.counted

    def found(self, run: HeadBuffers, batch: Batch) -> np.ndarray:
        """The losses of a pass [T, B]."""
        return run.losses.reshape(batch.targets.shape).copy()

    def logits(self, run: HeadBuffers, batch: Batch) -> tuple[np.ndarray, list[Work]]:
        """Of each class at each step [T, B, K], once the work is done."""
        rows = np.empty((run.losses.size, self.width), run.logits.dtype)

        def work(first: int, last: int) -> None:
            hidden, logits = run.hidden[first:last], rows[first:last]
            self.read(hidden, logits)

        logits = rows.reshape(*batch.inputs.shape, -1)[..., : self.node.size]
        return logits, [shared(run.losses.size, work)]

    def losses(self, run: HeadBuffers, batch: Batch) -> list[Work]:
        """Let ``run.losses`` be -log P of each target in nats, 0 where it does not count."""
        targets, counted = self.targets(batch)
        own = functools.partial(self._losses_of_rows, run, targets, counted)
        return [rows_of(first, last, own) for first, last in run.blocks()]

    def differentiate(
        self, run: HeadBuffers, batch: Batch, scratch: list[np.ndarray]
    ) -> list[Work]:
        """As ``losses``; then gradients of the hidden states, and sums of those of the matrix."""
        phases: list[Work] = []
        for first, last in run.blocks():
            logits, hidden = run.logits[: last - first], run.hidden[first:last]
            phases += [
                self._differentiate_rows(run, self.targets(batch), first, last),
                functools.partial(self.differentiate_matrix, logits, hidden, first > 0, scratch),
            ]
        return phases

    def differentiate_last_step(self, run: HeadBuffers, batch: Batch) -> list[Work]:
        """As ``differentiate``, of the last step's losses alone, without the matrix."""
        before = run.losses.size - batch.inputs.shape[1]

        def clear(first: int, last: int) -> None:
            run.dhidden[first:last] = 0

        # The step's rows may lie in several blocks.
        last_blocks = [(first, last) for first, last in run.blocks() if last > before]
        phases = [self._differentiate_rows(run, self.targets(batch), *own) for own in last_blocks]
        return [*phases, shared(before, clear)]

    def _losses_of_rows(
        self,
        run: HeadBuffers,
        targets: np.ndarray,
        counted: np.ndarray | None,
        first: int,
        last: int,
    ) -> None:
        """Losses of the rows, whose logits become gradients; 0 of those that do not count."""
        start = first - first % run.block
        logits = run.logits[first - start : last - start]
        hidden, targets = run.hidden[first:last], targets.reshape(-1)[first:last]
        self.read(hidden, logits)
        readout.cross_entropy_rows(logits, targets, run.losses[first:last])
        if self.smoothing:  # of labels (Szegedy et al. 2016); losses stay those of the targets
            logits[np.arange(len(targets)), targets] += self.smoothing
            can_be = [END, *range(SPECIALS, self.node.size)]
            logits[:, can_be] -= self.smoothing / len(can_be)
        if counted is not None:
            out = counted.reshape(-1)[first:last] == 0
            logits[out] = run.losses[first:last][out] = 0

    def _differentiate_rows(
        self, run: HeadBuffers, aims: tuple[np.ndarray, np.ndarray | None], first: int, last: int
    ) -> Work:
        """Losses of one block of rows, and gradients of its logits and hidden states."""

        def rows(a: int, b: int) -> None:
            self._losses_of_rows(run, *aims, a, b)
            logits = run.logits[a - first : b - first]
            self.read_back(logits, run.dhidden[a:b])

        return rows_of(first, last, rows)

    def emit(self, program: Program, sources: list[Memory]) -> Memory:
        """The product with the bias to begin with: logits."""
        logits = program.copy_row(self.bias)
        program.multiply(self.matrix, sources[0], logits)
        return logits


def rows_of(first: int, last: int, work: Callable[[int, int], None]) -> Work:
    """The work on the rows from a first to before a last, of which each thread does some."""
    return shared(last - first, lambda a, b: work(first + a, first + b))
