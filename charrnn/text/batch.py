"""What a network is given of texts at once: some steps of some lanes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Batch:
    """A chunk of T steps over B lanes; all arrays [T, B]."""

    inputs: np.ndarray  # int32, the character read at each step
    targets: np.ndarray  # int32, the character to predict
    resets: np.ndarray  # uint8, nonzero where a document starts
    counted: np.ndarray | None = None  # bool, which predictions count; None: all

    @property
    def count(self) -> int:
        """How many predictions count."""
        return self.inputs.size if self.counted is None else int(np.count_nonzero(self.counted))
