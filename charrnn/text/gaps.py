"""Which characters of a text are missing, where a network is to learn to fill in what is."""

from __future__ import annotations

import numpy as np

#: Gaps are runs of 1 to 4 characters; with so many begun at each, a tenth of all are missing.
_LONGEST, _BEGUN = 4, 0.0415


def drawn(size: int, rng: np.random.Generator) -> np.ndarray:
    """Which of so many characters are missing [size], bool: about a tenth."""
    begins, lengths = rng.random(size) < _BEGUN, rng.integers(1, _LONGEST + 1, size)
    missing = begins.copy()
    for offset in range(1, min(_LONGEST, size)):
        missing[offset:] |= (begins & (lengths > offset))[:-offset]
    return missing
