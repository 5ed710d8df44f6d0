"""What right sides of pairs consist of: characters, or symbols with spaces between them.

A model names them among its labels, the symbols first and then, each behind a tab, the labels that
further columns of its lines may have: of a language, of a part of speech.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from charrnn.errors import CharrnnError, UsageError
from charrnn.text.display import named
from charrnn.text.labels import MAX_LABELS, Labels
from charrnn.text.vocabulary import SPECIALS, UNKNOWN

_MARK = "\t"


@dataclass(frozen=True)
class Alphabet:
    """The symbols of right sides, whose indices are 3 and up, and the labels of pairs."""

    symbols: tuple[str, ...]
    labels: tuple[str, ...] = ()
    spaced: bool = False  # whether symbols have spaces between them; else each is a character

    @classmethod
    def of(cls, names: Sequence[str], *, spaced: bool) -> Alphabet:
        """What a model names. Raises ``CharrnnError`` where that makes no sense."""
        symbols, labels = told_apart(names)
        alphabet = cls(symbols, labels, spaced)
        if alphabet.names != tuple(names):
            raise CharrnnError("labels stand before symbols")
        if not symbols or not all(
            symbol and " " not in symbol if spaced else len(symbol) == 1 for symbol in symbols
        ):
            raise CharrnnError("symbols are characters, or texts without spaces")
        return alphabet

    @classmethod
    def learn(cls, sides: Iterable[str], labels: Iterable[str], *, spaced: bool) -> Alphabet:
        """All symbols of the right ``sides``, and all ``labels``, in alphabetical order.

        Raises ``CharrnnError`` where there are too many of them, or one is half of a character.
        """
        symbols = {symbol for side in sides for symbol in parts(side, spaced=spaced)}
        alphabet = cls(tuple(sorted(symbols)), tuple(sorted(set(labels))), spaced)
        if (count := len(alphabet.names)) > MAX_LABELS:
            hint = "; without `target_symbols` each character is one" if spaced else ""
            raise CharrnnError(f"there are {count:,} different symbols in right sides and labels, "
                               f"but a model tells at most {MAX_LABELS:,}: leave out lines with "
                               f"rare ones{hint}")  # fmt: skip
        Labels(alphabet.names)
        return alphabet

    @property
    def names(self) -> tuple[str, ...]:
        """As a model has them."""
        return (*self.symbols, *(_MARK + label for label in self.labels))

    @property
    def size(self) -> int:
        """The symbols and the three special tokens."""
        return SPECIALS + len(self.symbols)

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {symbol: SPECIALS + index for index, symbol in enumerate(self.symbols)}

    def encode(self, side: str) -> list[int]:
        """The indices of a right side's symbols, UNKNOWN for what is none."""
        own = self._indices
        return [own.get(symbol, UNKNOWN) for symbol in parts(side, spaced=self.spaced)]

    def decode(self, indices: np.ndarray | Iterable[int]) -> str:
        """The right side of such symbols; special tokens are none."""
        symbols = [self.symbols[i - SPECIALS] for i in indices if i >= SPECIALS]
        return (" " if self.spaced else "").join(symbols)

    def label(self, name: str) -> int:
        """The index of a label. Raises ``UsageError`` where there is no such label."""
        if not self.labels:
            raise UsageError(f"there is no label '{named(name)}': the pairs that are learned have "
                             "none behind their right sides")  # fmt: skip
        return self._told.index(name)

    @cached_property
    def _told(self) -> Labels:
        # Kept: what it checks takes time for each label, and each pair asks.
        return Labels(self.labels)


def told_apart(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The symbols and the labels among what a model names."""
    symbols = tuple(name for name in names if not name.startswith(_MARK))
    return symbols, tuple(name[1:] for name in names if name.startswith(_MARK))


def parts(side: str, *, spaced: bool) -> list[str]:
    """The symbols of a right side."""
    return side.split() if spaced else list(side)
