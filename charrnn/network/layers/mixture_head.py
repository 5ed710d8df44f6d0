"""Several heads that predict the next character: each learns by itself, all tell it together.

What they tell is the mean of their probabilities: a mixture in equal parts. Networks that began
otherwise err otherwise, so that together they are right more often than the best of them (Hansen &
Salamon 1990).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from charrnn.compute import readout
from charrnn.compute.threads import Work, by_one, shared
from charrnn.network.layers.next_character import HeadBuffers, NextCharacterHead, rows_of
from charrnn.network.layers.place import LayerBuffers
from charrnn.network.program import Memory, Program
from charrnn.network.weights import Matrix
from charrnn.text.batch import Batch

#: Rows whose logits of all heads are there at once.
_ROWS = 64


def together(heads: Sequence[Any]) -> Any:
    """What the heads tell together: the only one is as it is."""
    return heads[0] if len(heads) == 1 else MixtureHead(heads)


class MixtureBuffers:
    """What each head reads and makes in a pass, and the losses of what they tell together."""

    def __init__(self, heads: Sequence[NextCharacterHead], sources: Sequence[LayerBuffers]) -> None:
        self.of_heads: list[HeadBuffers] = [
            head.buffers(source) for head, source in zip(heads, sources, strict=True)
        ]
        for own in self.of_heads[1:]:  # one after the other makes its logits
            own.logits = self.of_heads[0].logits
        self.losses = np.empty_like(self.of_heads[0].losses)


class MixtureHead:
    """Logits [·, ``width``] of each step: logarithms of the mean of the heads' probabilities."""

    def __init__(self, heads: Sequence[NextCharacterHead]) -> None:
        self.heads, self.node, self.width = heads, heads[0].node, heads[0].width

    def matrices(self) -> list[Matrix]:
        """Those of the heads."""
        return [matrix for head in self.heads for matrix in head.matrices()]

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        for head in self.heads:
            head.prepare_training()

    def pack_vectors(self, values: np.ndarray) -> None:
        """Take biases from the parameters."""
        for head in self.heads:
            head.pack_vectors(values)

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights."""
        for head in self.heads:
            head.pack(values, part, parts)

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        for head in self.heads:
            head.unpack(gradients, part, parts)

    def buffers(self, *sources: LayerBuffers) -> MixtureBuffers:
        """Room for a pass; ``sources`` are what the heads read."""
        return MixtureBuffers(self.heads, sources)

    def found(self, run: MixtureBuffers, batch: Batch) -> np.ndarray:
        """The losses of a pass [T, B]."""
        return run.losses.reshape(batch.targets.shape).copy()

    def logits(self, run: MixtureBuffers, batch: Batch) -> tuple[np.ndarray, list[Work]]:
        """Of each class at each step [T, B, K], once the work is done."""
        rows = np.empty((run.losses.size, self.width), run.losses.dtype)

        def work(first: int, last: int) -> None:
            rows[first:last] = self._mixed(run, first, last)

        logits = rows.reshape(*batch.inputs.shape, -1)[..., : self.node.size]
        return logits, [shared(run.losses.size, work)]

    def losses(self, run: MixtureBuffers, batch: Batch) -> list[Work]:
        """Let ``run.losses`` be -log P of each target in nats, 0 where it does not count."""

        def rows(first: int, last: int) -> None:
            self._losses_of_rows(run, batch, first, last)

        return [rows_of(first, last, rows) for first, last in run.of_heads[0].blocks()]

    def differentiate(
        self, run: MixtureBuffers, batch: Batch, scratch: list[np.ndarray]
    ) -> list[Work]:
        """Each head's own losses, of which ``run.losses`` become the mean, and all gradients."""

        def average() -> None:
            run.losses[:] = np.mean([own.losses for own in run.of_heads], axis=0)

        phases = [
            phase
            for head, own in zip(self.heads, run.of_heads, strict=True)
            for phase in head.differentiate(own, batch, scratch)
        ]
        return [*phases, by_one(average)]

    def differentiate_last_step(self, run: MixtureBuffers, batch: Batch) -> list[Work]:
        """Gradients of the last step's ``losses``, of what the heads tell together.

        With m the mean of the heads' p, that of -log m is for each head its own, times p / (M m).
        """
        before = run.losses.size - batch.inputs.shape[1]

        def rows(first: int, last: int) -> None:
            self._losses_of_rows(run, batch, first, last)
            own_losses, targets = np.empty_like(run.losses[first:last]), batch.targets.reshape(-1)
            for head, own in zip(self.heads, run.of_heads, strict=True):
                logits = self._logits_of(head, own, first, last)
                readout.cross_entropy_rows(logits, targets[first:last], own_losses)
                logits *= np.exp(run.losses[first:last] - own_losses)[:, np.newaxis]
                logits /= len(self.heads)
                logits[: max(before - first, 0)] = 0
                head.read_back(logits, own.dhidden[first:last])

        return [rows_of(first, last, rows) for first, last in run.of_heads[0].blocks()]

    def _losses_of_rows(self, run: MixtureBuffers, batch: Batch, first: int, last: int) -> None:
        mixed = self._mixed(run, first, last)
        losses = run.losses[first:last]
        readout.cross_entropy_rows(mixed, batch.targets.reshape(-1)[first:last], losses)
        if batch.counted is not None:
            losses[batch.counted.reshape(-1)[first:last] == 0] = 0

    def _mixed(self, run: MixtureBuffers, first: int, last: int) -> np.ndarray:
        """What the heads tell together of some rows [N, width]."""
        mixed = np.empty((last - first, self.width), run.losses.dtype)
        for start in range(first, last, _ROWS):
            end = min(start + _ROWS, last)
            logits = [
                self._logits_of(head, own, start, end)
                for head, own in zip(self.heads, run.of_heads, strict=True)
            ]
            readout.mix_rows(np.stack(logits), mixed[start - first : end - first])
        return mixed

    def _logits_of(
        self, head: NextCharacterHead, own: HeadBuffers, first: int, last: int
    ) -> np.ndarray:
        logits = np.empty((last - first, self.width), own.logits.dtype)
        head.read(own.hidden[first:last], logits)
        return logits

    def emit(self, program: Program, sources: list[Memory]) -> Memory:
        """The mixture of what the heads emit."""
        pairs = zip(self.heads, sources, strict=True)
        return program.mix([head.emit(program, [own]) for head, own in pairs])
