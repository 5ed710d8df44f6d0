"""Texts that are read whole, packed into lanes of T steps, so that few steps read nothing.

B lanes make a chunk.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from charrnn.text.batch import Batch

#: A position in an endless reading: so many times its pass, and the chunk within that.
_PASS = 2**24


class Pieces(NamedTuple):
    """Parts of documents that are read by themselves; all [P]."""

    first: np.ndarray  # the token where each begins
    last: np.ndarray  # one past its end
    counted_first: np.ndarray  # of these tokens: those whose classes count, without the margins
    counted_last: np.ndarray
    document: np.ndarray

    def take(self, chosen: np.ndarray) -> Pieces:
        """Some of them, in this order."""
        return Pieces(*(array[chosen] for array in self))

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each."""
        return self.last - self.first


class Plan(NamedTuple):
    """Pieces packed into lanes and chunks, in the order of their lanes."""

    pieces: Pieces
    lane: np.ndarray  # [P]
    first: np.ndarray  # [P], the step at which each begins
    bounds: np.ndarray  # [chunks + 1], where the pieces of each chunk begin

    def chunk(self, number: int, lanes: tuple[int, int], batch: int) -> Plan:
        """What lies in some lanes, first and one past the last, of one chunk of ``batch``."""
        begin, end = self.bounds[number : number + 2]
        first, last = begin + np.searchsorted(self.lane[begin:end] - number * batch, lanes)
        own = slice(first, last)
        lane = self.lane[own] - number * batch - lanes[0]
        return Plan(Pieces(*(array[own] for array in self.pieces)), lane, self.first[own],
                    np.array([0, last - first]))  # fmt: skip


class Packed(Protocol):
    """What can be packed into lanes: documents, or pairs of them."""

    @property
    def positions(self) -> int:
        """Steps of all."""

    def pieces(self, length: int, *, shift: int) -> Pieces:
        """Parts that are read by themselves."""

    def with_gaps(self, rng: np.random.Generator) -> Packed:
        """The same with gaps."""

    def chunk(self, plan: Plan, shape: tuple[int, int], lane_before: int) -> Any:
        """The one chunk of a plan."""


class Packs:
    """Endless chunks of whole documents: each pass over them in an order of its own.

    Where gaps are to be filled, each pass has others.

    ``position`` says which chunk comes next; it may be set, to go on where another one was.
    """

    def __init__(
        self, documents: Packed, batch: int, length: int, seed: int, own: tuple[int, int]
    ) -> None:
        self.batch, self.length, self.position = batch, length, 0
        self._own = own
        self._documents, self._seed, self._drawn = documents, seed, documents
        self._planned: tuple[int, Plan] | None = None

    @property
    def epoch(self) -> float:
        """Chunks of a pass; another may have one more or less."""
        return float(self._plan(0).bounds.size - 1)

    @property
    def read(self) -> int:
        """Characters that have been read, in all lanes."""
        number, chunk, plan = self._place()
        begun = int(plan.pieces.lengths[: plan.bounds[chunk]].sum())
        return number * self._documents.positions + begun

    def next(self) -> Batch:
        """The own lanes of the next chunk."""
        number, chunk, plan = self._place()
        is_last = chunk + 2 == plan.bounds.size
        self.position = (number + 1) * _PASS if is_last else self.position + 1
        first, last = self._own
        own = plan.chunk(chunk, self._own, self.batch)
        return self._drawn.chunk(own, (self.length, last - first), first).batch

    def _place(self) -> tuple[int, int, Plan]:
        """The pass, the chunk that comes next and all chunks; past the last it is the last."""
        number, chunk = divmod(self.position, _PASS)
        plan = self._plan(number)
        return number, min(chunk, plan.bounds.size - 2), plan

    def _plan(self, number: int) -> Plan:
        """The pass with this number, which is the same whenever it is asked for."""
        if self._planned is None or self._planned[0] != number:
            rng = np.random.default_rng([self._seed, number])
            pieces = self._documents.pieces(self.length, shift=int(rng.integers(self.length)))
            pieces = pieces.take(rng.permutation(pieces.document.size))
            self._drawn = self._documents.with_gaps(rng)
            self._planned = number, in_chunks(pieces, self.batch, self.length, rng)
        return self._planned[1]


def in_chunks(
    pieces: Pieces, batch: int, length: int, rng: np.random.Generator | None = None
) -> Plan:
    """Pieces packed into lanes in their order; ``rng`` says in which order these are read."""
    lane, first = pack(pieces.lengths, length)
    lanes = int(lane.max(initial=-1)) + 1
    if rng:  # the last are less full than others
        lane = rng.permutation(lanes)[lane]
    order = np.argsort(lane, kind="stable")
    bounds = np.searchsorted(lane[order], np.arange(0, lanes + batch, batch))
    return Plan(pieces.take(order), lane[order], first[order], bounds)


def pack(lengths: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """A lane of ``room`` steps for each of the ``lengths`` [P], and where in it each begins.

    Best fit: each goes where it leaves the least room, in a new lane where it fits into no other.
    No length is 0 or more than the room.
    """
    lane, first = np.empty(len(lengths), np.int64), np.empty(len(lengths), np.int64)
    lanes_with: list[list[int]] = [[] for _ in range(room)]  # by the room that is left
    rooms = count = 0  # bit r of rooms: whether there are lanes with r steps left
    for number, length in enumerate(lengths.tolist()):
        fitting = rooms >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            own = lanes_with[left].pop()
            rooms ^= 0 if lanes_with[left] else 1 << left
        else:
            own, left, count = count, room, count + 1
        lane[number], first[number] = own, room - left
        if left > length:
            lanes_with[left - length].append(own)
            rooms |= 1 << (left - length)
    return lane, first


def ranges(begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """begin … begin + length - 1 of each, one after the other."""
    before = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.arange(int(lengths.sum())) - before + np.repeat(begins, lengths)
