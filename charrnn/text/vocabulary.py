"""Characters and their indices; start, end and unknown are indices too, but never text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from charrnn.errors import CharrnnError, CorpusError

START = 0  # what the network reads before a document
END = 1  # what it is to predict after one
UNKNOWN = 2  # any character that the vocabulary does not hold
SPECIALS = 3  # how many of these there are: the first character's index

CODE_POINTS = 0x110000
#: What fits into the two bytes of a token.
MAX_TOKENS = 65_535


def code_points(text: str, errors: str = "strict") -> np.ndarray:
    """The code points of ``text`` [n], uint32.

    Raises ``UnicodeEncodeError`` at a lone surrogate unless ``errors`` is ``surrogatepass``.
    """
    # Bytes instead of these where the text is ASCII was no faster: 400 MB/s to read a corpus.
    return np.frombuffer(text.encode("utf-32-le", errors), "<u4")


@dataclass(frozen=True)
class Vocabulary:
    """The characters that a network knows; the first has index 3, the second 4, and so on.

    Raises ``CorpusError`` where there are too many for two bytes a token, ``CharrnnError``
    where one comes twice, is a lone surrogate or no text.
    """

    characters: str  # in the order of their indices

    def __post_init__(self) -> None:
        if not isinstance(self.characters, str):  # a model file may say anything
            raise CharrnnError("the characters of a vocabulary must be text")
        if self.size > MAX_TOKENS:
            raise CorpusError(
                f"there are {len(self.characters):,} distinct characters, but a vocabulary holds "
                f"at most {MAX_TOKENS - SPECIALS:,}; leave out the rare ones with `min_count` 2 "
                "or more"
            )
        if len(set(self.characters)) < len(self.characters):
            raise CharrnnError("the vocabulary holds a character twice; each may come only once")
        if any("\ud800" <= character <= "\udfff" for character in self.characters):
            raise CharrnnError("the vocabulary holds half of a character (a lone surrogate)")

    def __reduce__(self) -> tuple:
        return Vocabulary, (self.characters,)  # without the table, a megabyte that is soon made

    @classmethod
    def from_counts(cls, counts: np.ndarray, min_count: int = 1, known: str = "") -> Vocabulary:
        """The characters seen at least ``min_count`` times, in the order of their code points.

        ``counts`` [n ≤ 0x110000] says how often each code point occurs. The ``known`` characters
        come first, as they are, however often they are seen. Raises ``CorpusError`` where too many
        characters are left, or none.
        """
        frequent = np.flatnonzero(counts >= max(min_count, 1))
        added = np.setdiff1d(frequent, code_points(known), assume_unique=True)
        if not added.size and not known:
            raise CorpusError(
                f"no character is seen {min_count:,} times; give a smaller `min_count` or more text"
            )
        return cls(known + added.astype("<u4").tobytes().decode("utf-32-le"))

    @property
    def size(self) -> int:
        """V: the characters and the three special tokens."""
        return SPECIALS + len(self.characters)

    @property
    def dtype(self) -> np.dtype:
        """The type of a token: one byte where that is enough, else two."""
        return np.dtype(np.uint8 if self.size <= 256 else np.uint16)

    @cached_property
    def table(self) -> np.ndarray:
        """The token of every code point [0x110000], read-only."""
        table = np.full(CODE_POINTS, UNKNOWN, self.dtype)
        table[code_points(self.characters)] = np.arange(SPECIALS, self.size)
        table.flags.writeable = False
        return table

    @cached_property
    def _shown(self) -> np.ndarray:
        """The code point that stands for each token [V]; those of start and end are not used."""
        head = np.array([0, 0, ord("\N{REPLACEMENT CHARACTER}")], "<u4")
        return np.concatenate((head, code_points(self.characters)))

    def encode(self, text: str) -> np.ndarray:
        """The tokens of ``text`` [n], UNKNOWN for what the vocabulary does not hold."""
        # A command line may hold lone surrogates: bytes that were no text. They are unknown too.
        return self.table[code_points(text, "surrogatepass")]

    def decode(self, indices: np.ndarray | Iterable[int]) -> str:
        """The text of ``indices`` [n]: nothing for start and end, U+FFFD for unknown.

        Raises ``IndexError`` where an index is not below ``size``.
        """
        if not isinstance(indices, np.ndarray):
            indices = np.array(list(indices), np.int64)
        return self._shown[indices[indices >= UNKNOWN]].tobytes().decode("utf-32-le")

    def unseen(self, text: str) -> list[str]:
        """The distinct characters of ``text`` that the vocabulary lacks, as they first occur."""
        known = frozenset(self.characters)
        return [character for character in dict.fromkeys(text) if character not in known]
