"""Several heads that predict the next character: each learns by itself, all tell it together.

What they tell is the mean of their logits, which is the geometric mean of their probabilities.
Networks that began otherwise err otherwise, so that together they are right more often than the
best of them (Hansen & Salamon 1990).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from charrnn.compute import readout
from charrnn.compute.threads import Work, by_one, shared
from charrnn.network.layers.next_character import HeadBuffers, NextCharacterHead, rows_of
from charrnn.network.layers.place import LayerBuffers
from charrnn.network.program import Memory, Program
from charrnn.network.weights import Matrix
from charrnn.text.batch import Batch


def together(heads: Sequence[Any], dtype: np.dtype) -> Any:
    """What the heads tell together: the only one is as it is."""
    return heads[0] if len(heads) == 1 else MeanHead(heads, dtype)


class MeanBuffers:
    """What each head reads and makes in a pass, and the losses of what they tell together."""

    def __init__(self, heads: Sequence[NextCharacterHead], sources: Sequence[LayerBuffers]) -> None:
        self.of_heads: list[HeadBuffers] = [
            head.buffers(source) for head, source in zip(heads, sources, strict=True)
        ]
        for own in self.of_heads[1:]:  # one after the other makes its logits
            own.logits = self.of_heads[0].logits
        self.losses = np.empty_like(self.of_heads[0].losses)


class MeanHead:
    """Logits [·, ``width``] of each step: the mean of those of ``heads``, which lie alike."""

    def __init__(self, heads: Sequence[NextCharacterHead], dtype: np.dtype) -> None:
        self.heads, self.node, self.width = heads, heads[0].node, heads[0].width
        self._share = dtype.type(1 / len(heads))

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

    def buffers(self, *sources: LayerBuffers) -> MeanBuffers:
        """Room for a pass; ``sources`` are what the heads read."""
        return MeanBuffers(self.heads, sources)

    def found(self, run: MeanBuffers, batch: Batch) -> np.ndarray:
        """The losses of a pass [T, B]."""
        return run.losses.reshape(batch.targets.shape).copy()

    def logits(self, run: MeanBuffers, batch: Batch) -> tuple[np.ndarray, list[Work]]:
        """Of each class at each step [T, B, K], once the work is done."""
        rows = np.empty((run.losses.size, self.width), run.losses.dtype)

        def work(first: int, last: int) -> None:
            self._read(run, first, last, rows[first:last])

        logits = rows.reshape(*batch.inputs.shape, -1)[..., : self.node.size]
        return logits, [shared(run.losses.size, work)]

    def losses(self, run: MeanBuffers, batch: Batch) -> list[Work]:
        """Let ``run.losses`` be -log P of each target in nats, 0 where it does not count."""
        return self._of_blocks(run, batch, lambda *_: None)

    def differentiate(
        self, run: MeanBuffers, batch: Batch, scratch: list[np.ndarray]
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

    def differentiate_last_step(self, run: MeanBuffers, batch: Batch) -> list[Work]:
        """Gradients of the last step's ``losses``, of what the heads tell together."""
        before = run.losses.size - batch.inputs.shape[1]

        def back(first: int, last: int, logits: np.ndarray) -> None:
            logits[: max(before - first, 0)] = 0
            logits *= self._share
            for head, own in zip(self.heads, run.of_heads, strict=True):
                head.read_back(logits, own.dhidden[first:last])

        return self._of_blocks(run, batch, back)

    def _of_blocks(
        self, run: MeanBuffers, batch: Batch, use: Callable[[int, int, np.ndarray], None]
    ) -> list[Work]:
        """Losses, block by block; ``use`` takes rows from a first to before a last, and their
        logits, which have become gradients of the losses."""
        targets, counted = batch.targets.reshape(-1), batch.counted

        def rows(first: int, last: int) -> None:
            of_first = run.of_heads[0]
            start = first - first % of_first.block
            logits = of_first.logits[first - start : last - start]
            self._read(run, first, last, logits)
            readout.cross_entropy_rows(logits, targets[first:last], run.losses[first:last])
            if counted is not None:
                out = counted.reshape(-1)[first:last] == 0
                logits[out] = run.losses[first:last][out] = 0
            use(first, last, logits)

        return [rows_of(first, last, rows) for first, last in run.of_heads[0].blocks()]

    def _read(self, run: MeanBuffers, first: int, last: int, logits: np.ndarray) -> None:
        """The mean of the heads' logits of some rows."""
        logits[:] = 0
        own_logits = np.empty_like(logits)
        for head, own in zip(self.heads, run.of_heads, strict=True):
            head.read(own.hidden[first:last], own_logits)
            own_logits *= self._share
            logits += own_logits

    def emit(self, program: Program, sources: list[Memory]) -> Memory:
        """The mean of what the heads emit."""
        shares = np.full(self.width, self._share)
        pairs = zip(self.heads, sources, strict=True)
        logits = [head.emit(program, [own]) for head, own in pairs]
        return program.scale(np.zeros_like(shares), shares, *logits)
