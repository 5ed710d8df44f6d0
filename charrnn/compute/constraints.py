"""What must not follow: an automaton, and copies of a text (see ``charrnn.compute.choosers``)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charrnn.compute.cache import kernel
from charrnn.compute.readout import NEVER
from charrnn.compute.recall import recent
from charrnn.compute.vector import lanes, load, store


class Allowed(NamedTuple):
    """What may follow in each of S states of an automaton, and where it leads.

    ``distance`` is how many characters each state is away from one in which the text may stop, of
    ``farthest`` at most.
    """

    masks: np.ndarray  # [S, W] of the network's dtype, 0 or ``NEVER``, added to the logits
    following: np.ndarray  # [S, W] int32
    distance: np.ndarray  # [S] int32
    farthest: int


@kernel
def allow(mask, logits):
    """Forbid what the mask of a state [W] does not allow."""
    for j in range(0, logits.size, lanes(logits)):
        store(logits, j, load(logits, j) + load(mask, j))


@kernel
def allow_what_ends(distance, following, logits, left):
    """Forbid what leads, as ``following`` [W] says, to where more characters than are left lack."""
    for token in range(logits.size):
        if distance[following[token]] > left:
            logits[token] = NEVER


class Copies(NamedTuple):
    """No more than ``length`` characters in a row are those of a text; 0: any number.

    ``hashes`` are those of each ``length`` tokens of it in a row, sorted, ``places`` where they
    begin.
    """

    length: int
    hashes: np.ndarray  # [N] uint64
    places: np.ndarray  # [N] int64
    tokens: np.ndarray  # int32, of the text


#: An odd number: the hash of tokens is Σ c·B^(n-1-i) mod 2⁶⁴, as ``charrnn.text.copies`` makes it.
HASH_BASE = np.uint64(0x9E3779B97F4A7C15)


@kernel
def hash_of(newest_first):
    """The hash of tokens, of which the newest is c at n - 1."""
    result = np.uint64(0)
    for back in range(newest_first.size - 1, -1, -1):
        result = result * HASH_BASE + np.uint64(newest_first[back])
    return result


@kernel
def forbid_copies(copies, logits, history, read):
    """Forbid what follows wherever the text has the last ``length`` characters."""
    latest = recent(history, read, copies.length)
    if latest.size < copies.length:
        return
    sought = hash_of(latest)
    for n in range(np.searchsorted(copies.hashes, sought), copies.hashes.size):
        if copies.hashes[n] != sought:
            break
        after = copies.places[n] + copies.length
        if after < copies.tokens.size:
            logits[copies.tokens[after]] = NEVER
