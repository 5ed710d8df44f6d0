"""Texts that are read from their beginning to their end, as a network learns to write them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from charrnn.text.batch import Batch
from charrnn.text.corpus import frame
from charrnn.text.packing import ranges
from charrnn.text.vocabulary import START

#: Share of the documents whose labels are left out, so that a network learns to write without any;
#: of longer ones, share of their pieces of so many characters.
_UNLABELLED, _PIECE = 0.1, 1024


class Labelling:
    """The labels of the documents of a text, as a network is told of them.

    ``labels`` [D, A] are those of each document, -1: none; ``tokens`` [N + 1] is the text.
    """

    def __init__(self, tokens: np.ndarray, labels: np.ndarray) -> None:
        self.labels = labels
        self._starts = np.flatnonzero(tokens[:-1] == START)

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Those of the document that each of the ``positions`` [T, B] is in, [A, T, B]."""
        return self._of(self._document(positions))

    def some_at(self, positions: np.ndarray, key: tuple[int, int]) -> np.ndarray:
        """As ``at``, but none where a number drawn by ``key`` and place says so."""
        document = self._document(positions)
        piece = (positions - self._starts[document]) // _PIECE
        left_out = _uniform(document, piece, *key) < _UNLABELLED
        return np.where(left_out, np.int32(-1), self._of(document))

    def _document(self, positions: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._starts, positions, "right") - 1

    def _of(self, document: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(self.labels[document], -1, 0), np.int32)


def _uniform(*keys: np.ndarray | int) -> np.ndarray:
    """A number from 0 to 1 for each combination of keys, by the mixing of SplitMix64."""
    mixed = np.zeros(1, np.uint64)
    for key in keys:
        mixed = mixed + np.asarray(key).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed / 2.0**64


@dataclass(frozen=True, eq=False)
class RunningText:
    """Documents as ``charrnn.text.corpus`` frames them, and the labels that they have, if any."""

    tokens: np.ndarray  # uint8 or uint16 [N + 1]; [0]: there is no text
    labels: np.ndarray | None = None  # int32 [D, A]
    most: int | None = None  # positions that an evaluation reads, spread over all; None: no limit

    @property
    def positions(self) -> int:
        """N, all predictions."""
        return max(self.tokens.size - 1, 0)

    @property
    def evaluated(self) -> int:
        """Positions that an evaluation reads."""
        return self.positions if self.most is None else min(self.most, self.positions)

    @property
    def targets(self) -> int:
        """How many characters are to be predicted."""
        return self.positions

    @property
    def starts(self) -> np.ndarray:
        """The positions at which documents start [D]."""
        return np.flatnonzero(self.tokens[:-1] == START)

    @property
    def count(self) -> int:
        """How many documents there are."""
        return len(self.starts)

    @property
    def labelling(self) -> Labelling | None:
        """What says which labels a position has."""
        return None if self.labels is None else Labelling(self.tokens, self.labels)

    def label_counts(self, size: int, *, by_text: bool) -> list[list[int]]:
        """How often each of ``size`` labels comes in each column [A][K].

        Counted are texts, or else characters: where a label has few texts, which are long.
        """
        assert self.labels is not None
        lengths = np.diff(np.append(self.starts, self.positions))
        weights = np.ones_like(lengths) if by_text else lengths
        counts = np.zeros((self.labels.shape[1], size + 1), np.int64)  # the last: no label
        for own, column in zip(counts, self.labels.T, strict=True):
            np.add.at(own, column, weights)
        return counts[:, :-1].tolist()

    def take(self, chosen: np.ndarray) -> RunningText:
        """Some of the documents, in this order."""
        bounds = np.append(self.starts, self.positions)
        begins, lengths = bounds[chosen], np.diff(bounds)[chosen]
        tokens = np.append(self.tokens[ranges(begins, lengths)], self.tokens[-1:])
        labels = None if self.labels is None else self.labels[chosen]
        return RunningText(tokens if chosen.size else self.tokens[:0], labels)

    def sample(self, positions: int) -> RunningText:
        """The same, of which an evaluation reads no more than so many positions."""
        return dataclasses.replace(self, most=positions)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All that it consists of."""
        return [self.tokens] if self.labels is None else [self.tokens, self.labels]

    def lanes(
        self, batch: int, length: int, *, seed: int = 0, own: tuple[int, int] | None = None
    ) -> Lanes:
        """Its readers; ``seed`` says whose labels are left out.

        Batches hold only the lanes from the first of ``own`` to before the last; None: all.
        """
        return Lanes(self.tokens, batch, length, labelling=self.labelling, seed=seed, own=own)


class Lanes:
    """B readers of a circular text of N positions; lane b starts at b·N // B.

    All go on together for ever. Past the end of its share a lane runs on into the next lane's and
    past the last position into the first, so its state can be carried on exactly: the text that it
    reads never breaks off, but for the wrap of a text that does not end with a document.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        batch: int,
        length: int,
        position: int = 0,
        *,
        labelling: Labelling | None = None,
        seed: int = 0,
        own: tuple[int, int] | None = None,
    ) -> None:
        """Reads ``tokens`` [N + 1], N ≥ 1, in windows of ``length`` steps from ``position`` on.

        Of all lanes it reads those from the first of ``own`` to before the last.
        """
        self.tokens, self.batch, self.length = tokens, batch, length
        self.position = position  # characters that each lane has read
        self._labelling, self._seed = labelling, seed
        self._positions = tokens.size - 1
        self._first, last = own or (0, batch)
        starts = np.arange(self._first, last) * self._positions // batch
        self._offsets = starts + np.arange(length)[:, np.newaxis]

    @staticmethod
    def fit(positions: int, batch: int, length: int) -> tuple[int, int]:
        """Batch and length, made smaller where a text has too few ``positions`` for them."""
        length = min(length, positions)
        return max(1, min(batch, positions // length)), length

    @property
    def epoch(self) -> float:
        """Chunks of a pass over the text."""
        return self._positions / (self.batch * self.length)

    @property
    def read(self) -> int:
        """Characters that have been read, in all lanes."""
        return self.position * self.batch

    def next(self) -> Batch:
        """The next T steps of every own lane; moves ``position`` on by T."""
        passes, within = divmod(self.position, self._positions)
        index = (self._offsets + within) % self._positions
        self.position += self.length
        labels = None
        if self._labelling is not None:
            labels = self._labelling.some_at(index, (self._seed, passes))
        inputs, targets, resets = frame(self.tokens[index], self.tokens[index + 1])
        return Batch(inputs, targets, resets, labels=labels, lane=self._first)
