"""What a text has in common with another one, character for character, and where.

Each run of N characters (an *N-gram*) of the one text becomes a number, its hash; those of the
other are looked up among them, and what is found is compared.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charrnn.config import require_whole

#: B of a hash: odd, so that no character is lost, and 2^64 over the golden ratio, which spreads.
_BASE = 0x9E3779B97F4A7C15

#: Places of one N-gram that are followed to find the longest run: a text of nothing but blanks has
#: as many as characters.
_MOST_PLACES = 4096

#: Characters that are compared at once, over all places.
_COMPARED = 1 << 18

#: What stands around texts, so that runs end with them: no character, and not the same in both.
_AROUND_CORPUS, _AROUND_TEXT = 2**32 - 1, 2**32 - 2


class Run(NamedTuple):
    """Characters that stand in the corpus as they do in the text."""

    start: int  # in the text
    length: int
    position: int  # in the corpus, the first place of the run


def hashes_of(tokens: np.ndarray, length: int) -> np.ndarray:
    """The hash of each N-gram c [n - N + 1], uint64: Σ c_i · B^(N-1-i) modulo 2^64.

    ``tokens`` [n] are code points, or tokens of a vocabulary; B is 0x9E3779B97F4A7C15.
    """
    count = max(tokens.size - length + 1, 0)
    hashes = np.zeros(count, np.uint64)
    for i in range(length if count else 0):  # a length may be far beyond the text's
        hashes *= np.uint64(_BASE)
        hashes += tokens[i : i + count]
    return hashes


class Copies:
    """Finds what other texts have in common with a corpus in runs of ``length`` characters or more.

    ``corpus`` [n] is unsigned: code points, or tokens of a vocabulary, as are the texts. Besides it
    16 bytes a character are kept: ``hashes`` (sorted, uint64, see ``hashes_of``) and the positions
    of their N-grams. Raises ``UsageError`` unless ``length`` is 1
    or more.
    """

    def __init__(self, corpus: np.ndarray, length: int) -> None:
        require_whole("length", length, 1)
        self.length = length
        self._corpus = _surrounded(corpus, _AROUND_CORPUS)
        hashes = hashes_of(corpus, length)
        self._positions = np.argsort(hashes, kind="stable")  # the first place of each comes first
        self.hashes = hashes[self._positions]

    def runs(self, text: np.ndarray) -> list[Run]:
        """The runs of ``text`` [n], each as long as it can be, in their order; some may overlap.

        None is part of another one, and each has the first position in the corpus where it stands.
        """
        hashes = hashes_of(text, self.length)
        found = np.flatnonzero(self._found(text, hashes))
        surrounded = _surrounded(text, _AROUND_TEXT)
        runs: list[Run] = []
        number = 0
        while number < found.size:
            run = self._longest(surrounded, int(found[number]), hashes[found[number]])
            runs.append(run)
            # What goes further holds the N-gram that ends one character behind this run, or more.
            number = int(np.searchsorted(found, run.start + run.length - self.length + 1))
        return runs

    def _found(self, text: np.ndarray, hashes: np.ndarray) -> np.ndarray:
        """Which N-grams of ``text`` the corpus has, bool [n - N + 1]."""
        first = np.searchsorted(self.hashes, hashes)
        found = np.zeros(hashes.size, np.bool_)
        if not self.hashes.size:
            return found
        found[:] = self.hashes.take(first, mode="clip") == hashes
        likely = np.flatnonzero(found)
        step = 1 + _COMPARED // self.length
        for n in range(0, likely.size, step):
            at = likely[n : n + step]
            found[at] = self._same(text, at, self._positions[first[at]])
        return found

    def _same(self, text: np.ndarray, at: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Whether the N-grams at ``at`` are those at ``places``, bool [n]."""
        offsets = np.arange(self.length)
        mine = self._corpus[places[:, None] + offsets + 1]
        return (mine == text[at[:, None] + offsets]).all(axis=1)

    def _longest(self, text: np.ndarray, at: int, hash_: np.uint64) -> Run:
        """Of the runs that hold the N-gram at ``at``: the longest of those that begin first.

        ``text`` is surrounded, ``at`` is not.
        """
        first, last = (int(np.searchsorted(self.hashes, hash_, side)) for side in ("left", "right"))
        places = self._positions[first : min(last, first + _MOST_PLACES)]
        places = places[self._same(text, np.full(places.size, at + 1), places)]
        places, before = self._agreeing(text, at, places, -1)
        places, after = self._agreeing(text, at + self.length + 1, places + self.length + 1, 1)
        position = int(places[0]) - self.length - 1 - before
        return Run(at - before, before + self.length + after, position)

    def _agreeing(
        self, text: np.ndarray, at: int, places: np.ndarray, step: int
    ) -> tuple[np.ndarray, int]:
        """Those of the ``places`` from which on most characters are those from ``at`` on, and how
        many these are, in steps of 1 or -1. Both sides are surrounded.
        """
        agreed, block = 0, 16
        while True:
            block = max(1, min(block, _COMPARED // places.size))
            offsets = step * np.arange(agreed, agreed + block)
            mine = self._corpus.take(places[:, None] + offsets, mode="clip")
            same = mine == text.take(at + offsets, mode="clip")
            counts = np.where(same.all(axis=1), block, same.argmin(axis=1))
            most = int(counts.max())
            places, agreed = places[counts == most], agreed + most
            if most < block:
                return places, agreed
            block *= 2


def _surrounded(text: np.ndarray, around: int) -> np.ndarray:
    """The text with one value before and one after it, uint32 [n + 2]."""
    return np.concatenate([[around], text, [around]]).astype(np.uint32)
