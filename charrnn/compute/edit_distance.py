"""How many symbols have to be put in, taken out or replaced to make one text of another."""

from __future__ import annotations

import numpy as np

from charrnn.compute.cache import kernel


@kernel
def edit_distance(one, other):
    """Of two texts as indices [M] and [N] (Levenshtein 1966; Wagner & Fischer 1974)."""
    before = np.arange(other.size + 1)
    for i in range(one.size):
        corner, before[0] = before[0], i + 1
        for j in range(other.size):
            replaced = corner + (one[i] != other[j])
            corner = before[j + 1]
            before[j + 1] = min(replaced, corner + 1, before[j] + 1)
    return before[other.size]
