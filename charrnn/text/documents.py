"""Texts that are read whole, each with what is to be told of it, packed into lanes.

A document is one piece, or, where it is longer than the steps of a chunk, several. Pieces are
packed into lanes of T steps, so that few steps read nothing, and B lanes make a chunk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from charrnn.text import gaps
from charrnn.text.batch import Batch
from charrnn.text.packing import Packs, Pieces, Plan, in_chunks, ranges
from charrnn.text.vocabulary import START

#: Steps of a chunk: as many as this share of the texts have, within bounds, in whole grains.
_WHOLE, _SHORTEST, _GRAIN = 0.99, 64, 32

#: The most steps of a chunk: where each position is told something, what is far away says little
#: of it; of a label all of a text tells.
_LONGEST, _LONGEST_WHOLE = 256, 1024

#: Lanes of a chunk that is the only one: a whole number of tiles of the products.
_FEW = 8


class Chunk(NamedTuple):
    """A batch, and what it is of the documents."""

    batch: Batch
    pieces: Pieces
    tokens: np.ndarray  # [n], those that count, by their place in all
    at: tuple[np.ndarray, np.ndarray]  # steps and lanes at which these lie in the batch, both [n]


@dataclass(frozen=True, eq=False)
class Documents:
    """D texts as tokens, and the classes of each text or of each of their N positions."""

    tokens: np.ndarray  # uint8 or uint16 [N], one text after the other, without START and END
    ends: np.ndarray  # int64 [D]
    classes: np.ndarray  # int32 [D], bool [D, K] (any number) or int32 [N]; -1: not known
    by_position: bool  # whether classes are those of positions
    weights: np.ndarray | None = None  # float32 [D], how much each text counts; None: 1
    filled: np.ndarray | None = None  # int32 [N], the classes of positions that become gaps
    gap: int = 0  # the token of a gap

    @property
    def count(self) -> int:
        """D."""
        return self.ends.size

    @property
    def positions(self) -> int:
        """N, all tokens."""
        return self.tokens.size

    @property
    def evaluated(self) -> int:
        """Positions that an evaluation reads."""
        return self.positions

    @property
    def begins(self) -> np.ndarray:
        """Where each text begins [D]."""
        return self.ends - self.lengths

    @property
    def targets(self) -> int:
        """How many classes are to be told."""
        return self.positions if self.by_position else self.ends.size

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text [D]."""
        return np.diff(self.ends, prepend=0)

    def take(self, chosen: np.ndarray) -> Documents:
        """Some of the texts, in this order."""
        begins, lengths = self.begins[chosen], self.lengths[chosen]
        at = ranges(begins, lengths)
        classes = self.classes[at if self.by_position else chosen]
        weights = None if self.weights is None else self.weights[chosen]
        filled = None if self.filled is None else self.filled[at]
        return dataclasses.replace(
            self, tokens=self.tokens[at], ends=np.cumsum(lengths), classes=classes,
            weights=weights, filled=filled,
        )  # fmt: skip

    def sample(self, positions: int) -> Documents:
        """The first texts that have no more than so many positions together, at least one.

        Those that are held back lie in any order.
        """
        count = max(1, int(np.searchsorted(self.ends, positions, "right")))
        return self if count >= self.ends.size else self.take(np.arange(count))

    @property
    def arrays(self) -> list[np.ndarray]:
        """All that it consists of."""
        weights = [] if self.weights is None else [self.weights]
        filled = [] if self.filled is None else [self.filled]
        return [self.tokens, self.ends, self.classes, *weights, *filled]

    def with_gaps(self, rng: np.random.Generator) -> Documents:
        """The same, where gaps are to be filled, with some that ``rng`` draws."""
        if self.filled is None:
            return self
        missing = gaps.drawn(self.positions, rng) & (self.filled >= 0)
        return dataclasses.replace(
            self,
            tokens=np.where(missing, np.array(self.gap, self.tokens.dtype), self.tokens),
            classes=np.where(missing, self.filled, self.classes),
            filled=None,
        )

    def balanced(self) -> Documents:
        """The same with weights by which all classes count alike, and a text 1 in the mean."""
        counts = np.bincount(self.classes)
        share = self.classes.size / np.count_nonzero(counts)
        return dataclasses.replace(self, weights=(share / counts[self.classes]).astype(np.float32))

    def lanes(
        self, batch: int, length: int, *, seed: int = 0, own: tuple[int, int] | None = None
    ) -> Packs:
        """All texts in chunks, again and again, in another order in each pass.

        Batches hold only the lanes from the first of ``own`` to before the last; None: all.
        """
        return Packs(self, batch, length, seed, own or (0, batch))

    def chunks(self, batch: int, length: int, margin: int = 0) -> Iterator[Chunk]:
        """All texts once, the longest first, in chunks of up to ``batch`` lanes.

        Pieces of long texts overlap by ``margin`` tokens on both sides, which do not count.
        """
        pieces = self.pieces(length, margin=margin)
        pieces = pieces.take(np.argsort(-pieces.lengths, kind="stable"))
        plan = in_chunks(pieces, batch, length)
        if len(plan.bounds) == 2:  # there is one, which may have few lanes
            batch = min(batch, -(-(int(plan.lane[-1]) + 1) // _FEW) * _FEW)
        for number in range(len(plan.bounds) - 1):
            yield self.chunk(plan.chunk(number, (0, batch), batch), (length, batch))

    @property
    def suited_length(self) -> int:
        """Steps of a chunk that hold most texts whole: see ``_LONGEST``."""
        longest = int(np.quantile(self.lengths, _WHOLE)) if self.ends.size else 1
        most = _LONGEST if self.by_position else _LONGEST_WHOLE
        return min(max(-(-longest // _GRAIN) * _GRAIN, _SHORTEST), most)

    def pieces(self, length: int, *, margin: int = 0, shift: int = 0) -> Pieces:
        """The documents, those of more than ``length`` tokens in parts of no more than that.

        A long one is first cut after ``shift`` tokens, where that is not 0.
        """
        begins, ends = self.begins, self.ends
        short = np.flatnonzero(self.lengths <= length)
        parts = [[begins[short], ends[short], begins[short], ends[short], short]]
        stride = length - 2 * margin
        for document in np.flatnonzero(self.lengths > length):
            begin, end = begins[document], ends[document]
            cuts = np.arange(begin + (shift % stride or stride), end, stride)
            starts, stops = np.append(begin, cuts), np.append(cuts, end)
            parts.append([np.maximum(starts - margin, begin), np.minimum(stops + margin, end),
                          starts, stops, np.full(starts.size, document)])  # fmt: skip
        return Pieces(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def chunk(self, plan: Plan, shape: tuple[int, int], lane_before: int = 0) -> Chunk:
        """The one chunk of a plan as a batch [T, B], whose lanes come after so many others."""
        pieces, lane, first = plan.pieces, plan.lane, plan.first
        lengths = pieces.lengths
        tokens = ranges(pieces.first, lengths)
        at = ranges(first, lengths), np.repeat(lane, lengths)
        after = first + lengths
        inputs, resets = np.full(shape, START, np.int32), np.zeros(shape, np.uint8)
        inputs[at] = self.tokens[tokens]
        resets[0] = resets[first, lane] = 1
        inside = after < shape[0]  # what is read behind a piece is not of it
        resets[after[inside], lane[inside]] = 1
        counts = tokens >= np.repeat(pieces.counted_first, lengths)
        counts &= tokens < np.repeat(pieces.counted_last, lengths)
        tokens, at = tokens[counts], (at[0][counts], at[1][counts])
        if self.by_position:
            targets, counted = self._targets(tokens, at, shape)
            batch = Batch(inputs, targets, resets, counted, lane=lane_before)
            return Chunk(batch, pieces, tokens, at)
        counted = np.zeros(shape, np.bool_)
        counted[at] = True
        spans = np.stack([lane, first, after], axis=1).astype(np.int32)
        own_classes = self.classes[pieces.document]
        weights = None if self.weights is None else self.weights[pieces.document]
        batch = Batch(inputs, own_classes, resets, counted, spans=spans, weights=weights,
                      lane=lane_before)  # fmt: skip
        return Chunk(batch, pieces, tokens, at)

    def _targets(
        self, tokens: np.ndarray, at: tuple[np.ndarray, np.ndarray], shape: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The classes of positions [T, B], and which of them are known."""
        targets, counted = np.zeros(shape, np.int32), np.zeros(shape, np.bool_)
        targets[at], counted[at] = np.maximum(self.classes[tokens], 0), self.classes[tokens] >= 0
        return targets, counted
