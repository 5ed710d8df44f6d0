"""The head that predicts the next character: logits, their softmax, its cross-entropy.

Logits are made, and become gradients, a block of rows at a time, so that memory does not grow as
T·B·V.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from charrnn.compute import readout
from charrnn.compute.readout import NEVER
from charrnn.compute.threads import Team, share
from charrnn.network.layers.place import LayerBuffers, Place
from charrnn.network.nodes import NextCharacter
from charrnn.network.program import Memory, Program
from charrnn.network.weights import Matrix
from charrnn.text.batch import Batch

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


class NextCharacterHead:
    """The matrix and the bias that make logits [·, ``width``] of the last layer's output."""

    def __init__(self, node: NextCharacter, place: Place) -> None:
        self.node, self._vocabulary = node, node.size
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
        self.bias[: self._vocabulary] = values[self._bias_at :][: self._vocabulary]

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights."""
        self.matrix.pack(values, part, parts)

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        self.matrix.unpack(gradients, part, parts)
        if part == 0:
            own = gradients[self._bias_at :][: self._vocabulary]
            own[:] = self.matrix.bias_gradient[: self._vocabulary]

    def buffers(self, source: LayerBuffers) -> HeadBuffers:
        """Room for a pass; ``source`` is what the head reads."""
        return HeadBuffers(self, source)

    def targets(self, batch: Batch) -> tuple[np.ndarray, np.ndarray | None]:
        """What is predicted at each step [T, B], and which steps count (None: all)."""
        return batch.targets, batch.counted

    def found(self, run: HeadBuffers, batch: Batch) -> np.ndarray:
        """The losses of a pass [T, B]."""
        return run.losses.reshape(batch.targets.shape).copy()

    def logits(self, run: HeadBuffers, batch: Batch, team: Team) -> np.ndarray:
        """Of each class at each step [T, B, K]."""
        rows = np.empty((run.losses.size, self.width), run.logits.dtype)

        def work(first: int, last: int) -> None:
            hidden, logits = run.hidden[first:last], rows[first:last]
            readout.logits_of_rows(hidden, self.matrix.forward, self.bias, logits)

        _share_rows(team, 0, run.losses.size, work)
        return rows[:, : self._vocabulary].reshape(*batch.inputs.shape, -1)

    def losses(self, run: HeadBuffers, batch: Batch, team: Team) -> None:
        """Let ``run.losses`` be -log P of each target in nats, 0 where it does not count."""
        targets, counted = self.targets(batch)
        for first, last in run.blocks():
            _share_rows(team, first, last, lambda a, b: self._losses_of_rows(run, targets, a, b))
        _leave_out(run.losses, counted)

    def differentiate(
        self, run: HeadBuffers, batch: Batch, team: Team, scratch: list[np.ndarray]
    ) -> None:
        """As ``losses``; then gradients of the hidden states, and sums of those of the matrix."""
        targets, counted = self.targets(batch)
        for first, last in run.blocks():
            logits, hidden = run.logits[: last - first], run.hidden[first:last]

            self._differentiate_rows(run, (targets, counted), team, first, last)
            team.run(
                functools.partial(self._differentiate_matrix, logits, hidden, first > 0, scratch)
            )
        _leave_out(run.losses, counted)

    def _differentiate_matrix(
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

    def differentiate_last_step(self, run: HeadBuffers, batch: Batch, team: Team) -> None:
        """As ``differentiate``, of the last step's losses alone, without the matrix."""
        lanes = batch.inputs.shape[1]
        for first, last in run.blocks():
            if last > run.losses.size - lanes:  # the step's rows may lie in several blocks
                self._differentiate_rows(run, self.targets(batch), team, first, last)
        run.dhidden[:-lanes] = 0

    def _losses_of_rows(self, run: HeadBuffers, targets: np.ndarray, first: int, last: int) -> None:
        """Losses of the rows, whose logits become gradients."""
        start = first - first % run.block
        logits = run.logits[first - start : last - start]
        hidden, targets = run.hidden[first:last], targets.reshape(-1)[first:last]
        readout.logits_of_rows(hidden, self.matrix.forward, self.bias, logits)
        readout.cross_entropy_rows(logits, targets, run.losses[first:last])

    def _differentiate_rows(
        self, run: HeadBuffers, aims: tuple, team: Team, first: int, last: int
    ) -> None:
        """Losses of one block of rows, and gradients of its logits and hidden states."""
        targets, counted = aims

        def rows(a: int, b: int) -> None:
            self._losses_of_rows(run, targets, a, b)
            logits = run.logits[a - first : b - first]
            if counted is not None:
                logits[counted.reshape(-1)[a:b] == 0] = 0
            readout.rows_times_weights(logits, self.matrix.backward, run.dhidden[a:b])

        _share_rows(team, first, last, rows)

    def emit(self, program: Program, sources: list[Memory]) -> Memory:
        """The product with the bias to begin with: logits."""
        logits = program.copy_row(self.bias)
        program.multiply(self.matrix, sources[0], logits)
        return logits


def _leave_out(losses: np.ndarray, counted: np.ndarray | None) -> None:
    if counted is not None:
        losses[counted.reshape(-1) == 0] = 0


def _share_rows(team: Team, first: int, last: int, work: Callable[[int, int], None]) -> None:
    def rows(part: int, parts: int) -> None:
        start, end = share(last - first, part, parts)
        work(first + start, first + end)

    team.run(rows)
