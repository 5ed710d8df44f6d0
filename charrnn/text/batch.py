"""What a network is given of texts at once: some steps of some lanes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FirstBatch:
    """What is read before anything is written: a chunk of S steps over the same lanes."""

    inputs: np.ndarray  # int32 [S, B]
    resets: np.ndarray  # uint8 [S, B], nonzero where a document starts
    spans: np.ndarray  # int32 [D, 3]: lane, first step, one past the last of each document


@dataclass(frozen=True)
class Batch:
    """A chunk of T steps over B lanes; arrays are [T, B] unless they say otherwise."""

    inputs: np.ndarray  # int32, the character read at each step
    targets: np.ndarray  # int32, the character or class to tell; with spans, of each of these
    resets: np.ndarray  # uint8, nonzero where a document starts
    counted: np.ndarray | None = None  # bool, which targets count; None: all
    labels: np.ndarray | None = None  # int32 [A, T, B], those that a writer is told; -1: none
    spans: np.ndarray | None = None  # int32 [D, 3], documents: lane, first step, one past the last
    weights: np.ndarray | None = None  # float [D], how much each document counts; None: 1
    lane: int = 0  # the first of its lanes, where others have those before it
    first: FirstBatch | None = None  # what is read before the documents of ``spans`` are written
    predictions: int | None = None  # how many targets count, where documents have several each

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Steps and lanes of what is read first, none where nothing is, and of the rest."""
        first = self.first.inputs.shape if self.first else (0, self.inputs.shape[1])
        return first, self.inputs.shape

    @property
    def first_inputs(self) -> np.ndarray:
        """The characters that are read before anything is written [S, B]."""
        assert self.first is not None, "nothing was read"
        return self.first.inputs

    @property
    def told(self) -> np.ndarray:
        """The labels that a writer is told, none where the texts have none."""
        if self.labels is not None:
            return self.labels
        return np.full((1, *self.inputs.shape), -1, np.int32)

    @property
    def count(self) -> float:
        """How many targets count, by their weights."""
        if self.predictions is not None:
            return self.predictions
        if self.weights is not None:
            return float(self.weights.sum())
        return len(self.targets) if self.spans is not None else self.read

    @property
    def read(self) -> int:
        """How many positions count."""
        return self.inputs.size if self.counted is None else int(np.count_nonzero(self.counted))
