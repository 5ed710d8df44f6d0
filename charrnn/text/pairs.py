"""Pairs of texts, a left side that is read and a right side that is written, packed into lanes.

A pair takes as many steps of a lane as the longer of its sides. What is read and what is written
are two chunks over the same lanes; where one side is shorter in all, so is its chunk. By CTC there
is one: the left sides, each character as often as it has to be for most right sides to fit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from charrnn.errors import UsageError
from charrnn.text.batch import Batch, FirstBatch
from charrnn.text.packing import Packs, Pieces, Plan, in_chunks, ranges
from charrnn.text.vocabulary import END, START

#: Steps of a chunk: those of the longest pair within bounds, in whole grains.
_SHORTEST, _LONGEST, _GRAIN = 64, 512, 32

#: By CTC: the share of pairs that need not fit, and the most repeats of a character.
_MISFITS, _MOST_REPEATS = 5e-3, 8


class PairChunk(NamedTuple):
    """A batch, and which pairs are in it, by their lanes."""

    batch: Batch
    documents: np.ndarray  # [D]


@dataclass(frozen=True, eq=False)
class Sides:
    """One side of D pairs: their tokens one after the other, and where each ends."""

    tokens: np.ndarray  # int32 [N], without START and END
    ends: np.ndarray  # int64 [D]

    @classmethod
    def of(cls, sides: Sequence[Sequence[int]]) -> Sides:
        """The sides, each as tokens."""
        lengths = np.array([len(side) for side in sides], np.int64)
        tokens = np.concatenate([np.empty(0, np.int32), *(np.array(s, np.int32) for s in sides)])
        return cls(tokens, np.cumsum(lengths))

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each [D]."""
        return np.diff(self.ends, prepend=0)

    def of_documents(self, chosen: np.ndarray) -> np.ndarray:
        """The tokens of some of them, one after the other."""
        lengths = self.lengths[chosen]
        return self.tokens[ranges(self.ends[chosen] - lengths, lengths)]

    def take(self, chosen: np.ndarray) -> Sides:
        """Some of them, in this order."""
        return Sides(self.of_documents(chosen), np.cumsum(self.lengths[chosen]))

    def repeated(self, times: int) -> Sides:
        """Each token so many times."""
        return Sides(np.repeat(self.tokens, times), self.ends * times)


@dataclass(frozen=True, eq=False)
class Pairs:
    """D pairs, as a network with attention learns them, or where ``aligned`` by CTC.

    ``shares`` are the steps that what is read and what is written takes of a lane's, at most 1.
    """

    left: Sides
    right: Sides
    aligned: bool = False
    shares: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(cls, left: Sides, right: Sides, *, aligned: bool) -> Pairs:
        """With the shares that suit these pairs."""
        if aligned:
            return cls(left, right, aligned)
        read, written = left.tokens.size, right.tokens.size + right.ends.size
        return cls(left, right, False, (min(1, read / written), min(1, written / read)))

    @property
    def count(self) -> int:
        """D."""
        return self.left.ends.size

    @property
    def lengths(self) -> np.ndarray:
        """Steps of a lane that each takes [D]."""
        if self.aligned:
            return self.left.lengths
        read = np.ceil(self.left.lengths / self.shares[0])
        written = np.ceil((self.right.lengths + 1) / self.shares[1])
        return np.maximum(read, written).astype(np.int64)

    @property
    def positions(self) -> int:
        """Steps of all."""
        return int(self.lengths.sum())

    @property
    def evaluated(self) -> int:
        """Positions that an evaluation reads."""
        return self.positions

    @property
    def targets(self) -> int:
        """How many symbols are to be told, and ends."""
        return self.right.tokens.size + self.count

    @property
    def arrays(self) -> list[np.ndarray]:
        """All that it consists of."""
        return [self.left.tokens, self.left.ends, self.right.tokens, self.right.ends]

    def take(self, chosen: np.ndarray) -> Pairs:
        """Some of the pairs, in this order."""
        return dataclasses.replace(self, left=self.left.take(chosen), right=self.right.take(chosen))

    def sample(self, positions: int) -> Pairs:
        """The first pairs that have no more than so many positions together, at least one.

        Those that are held back lie in any order.
        """
        count = max(1, int(np.searchsorted(np.cumsum(self.lengths), positions, "right")))
        return self if count >= self.count else self.take(np.arange(count))

    def with_gaps(self, rng: np.random.Generator) -> Pairs:
        """The same: there are no gaps to be filled."""
        return self

    def lanes(
        self, batch: int, length: int, *, seed: int = 0, own: tuple[int, int] | None = None
    ) -> Packs:
        """All pairs in chunks, again and again: see ``Documents.lanes``.

        Raises ``UsageError`` where none is short enough.
        """
        if self.count and (shortest := int(self.lengths.min())) > length:
            raise UsageError(f"no pair fits into {length} steps: give a `sequence_length` of "
                             f"{shortest} or more")  # fmt: skip
        return Packs(self, batch, length, seed, own or (0, batch))

    def chunks(self, batch: int, length: int) -> Iterator[PairChunk]:
        """All pairs once that are no longer than so many steps, the longest first."""
        pieces = self.pieces(length)
        pieces = pieces.take(np.argsort(-pieces.lengths, kind="stable"))
        plan = in_chunks(pieces, batch, length)
        for number in range(len(plan.bounds) - 1):
            yield self.chunk(plan.chunk(number, (0, batch), batch), (length, batch))

    @property
    def suited_length(self) -> int:
        """Steps of a chunk that hold all pairs, but for very long ones."""
        longest = int(self.lengths.max(initial=1))
        return min(max(math.ceil(longest / _GRAIN) * _GRAIN, _SHORTEST), _LONGEST)

    def pieces(self, length: int, *, shift: int = 0) -> Pieces:
        """The pairs that take no more than so many steps; none of them is cut."""
        lengths = self.lengths
        documents = np.flatnonzero(lengths <= length)
        first, last = np.zeros_like(documents), lengths[documents]
        return Pieces(first, last, first, last, documents)

    def chunk(self, plan: Plan, shape: tuple[int, int], lane_before: int = 0) -> PairChunk:
        """The one chunk of a plan as a batch of T steps, or shares of these, of B lanes."""
        documents, (length, lanes) = plan.pieces.document, shape
        read = _Laid(self.left, documents, plan.lane, 0)
        if self.aligned:
            return PairChunk(self._aligned_batch(read, documents, shape, lane_before), documents)
        written = _Laid(self.right, documents, plan.lane, 1)
        steps, first_steps = (math.ceil(length * share) for share in self.shares[::-1])
        inputs, targets = (np.full((steps, lanes), START, np.int32) for _ in range(2))
        tokens = self.right.of_documents(documents)
        lane, _, after = written.spans.T
        inputs[written.at(1)] = targets[written.at()] = tokens
        targets[after - 1, lane] = END
        first_inputs = np.full((first_steps, lanes), START, np.int32)
        first_inputs[read.at()] = self.left.of_documents(documents)
        batch = Batch(
            inputs, targets, written.resets((steps, lanes)), written.counted((steps, lanes)),
            spans=written.spans, lane=lane_before, predictions=tokens.size + len(documents),
            first=FirstBatch(first_inputs, read.resets(first_inputs.shape), read.spans),
        )  # fmt: skip
        return PairChunk(batch, documents)

    def _aligned_batch(
        self, read: _Laid, documents: np.ndarray, shape: tuple[int, int], lane_before: int
    ) -> Batch:
        """What is read, and of each pair what is to be told of it."""
        inputs = np.full(shape, START, np.int32)
        inputs[read.at()] = self.left.of_documents(documents)
        lengths, tokens = self.right.lengths[documents], self.right.of_documents(documents)
        targets = np.full((len(documents), int(lengths.max(initial=0))), -1, np.int32)
        targets[np.arange(targets.shape[1]) < lengths[:, np.newaxis]] = tokens
        return Batch(
            inputs, targets, read.resets(shape), read.counted(shape), spans=read.spans,
            lane=lane_before, predictions=tokens.size + len(documents),
        )  # fmt: skip


class _Laid:
    """One side of some pairs laid out, those of a lane one after the other from its first step on.

    ``more`` steps of each stand beside its tokens.
    """

    def __init__(self, side: Sides, documents: np.ndarray, lane: np.ndarray, more: int) -> None:
        self._lengths = side.lengths[documents]
        lengths = self._lengths + more
        before = np.cumsum(lengths) - lengths
        starts = np.searchsorted(lane, lane)  # of each pair, the first of its lane
        first = before - before[starts] if len(documents) else before
        self.spans = np.stack([lane, first, first + lengths], axis=1).astype(np.int32)

    def at(self, before: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Steps and lanes of all tokens, where so many steps stand before those of each pair."""
        lane, first, _ = self.spans.T
        return ranges(first + before, self._lengths), np.repeat(lane, self._lengths)

    def resets(self, shape: tuple[int, ...]) -> np.ndarray:
        """Where a pair begins, and where what lies behind the last of a lane does."""
        resets = np.zeros(shape, np.uint8)
        lane, first, after = self.spans.T
        resets[0] = resets[first, lane] = 1
        inside = after < shape[0]
        resets[after[inside], lane[inside]] = 1
        return resets

    def counted(self, shape: tuple[int, ...]) -> np.ndarray:
        """Which steps are those of a pair."""
        counted = np.zeros(shape, np.bool_)
        lane, first, after = self.spans.T
        counted[ranges(first, after - first), np.repeat(lane, after - first)] = True
        return counted


def needed_steps(right: Sides) -> np.ndarray:
    """Steps that CTC needs for each right side [D]: a blank is between two that are the same."""
    tokens = right.tokens
    same = np.flatnonzero(tokens[1:] == tokens[:-1]) + 1
    of = np.searchsorted(right.ends, same, "right")
    own = same > (right.ends - right.lengths)[of]
    return right.lengths + np.bincount(of[own], minlength=right.ends.size)


def suited_repeats(left: Sides, right: Sides) -> int:
    """How often CTC should read each character, so that nearly all right sides fit."""
    needed = needed_steps(right) / left.lengths
    for repeats in range(1, _MOST_REPEATS):
        if np.mean(needed > repeats) <= _MISFITS:
            return repeats
    return _MOST_REPEATS
