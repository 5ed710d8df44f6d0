"""What can be taken from a text, character by character, and what one that stays had.

Each character goes by itself, whatever stands around it:

- ``case``: a character becomes its lower case where that is one character of which it is the upper
  case: "É" becomes "é", but "ẞ" stays.
- ``accents``: a character becomes its base where base and nonspacing marks are put together to
  just this character (Unicode's canonical composition): "é" becomes "e", "й" becomes "и". Marks
  that stand by themselves and belong on a base (their combining class is not 0: accents of
  decomposed texts, vowel points of Hebrew and Arabic) are taken out, as punctuation is.
- ``punctuation``: characters of the categories P are taken out.
- ``spaces``: blanks (U+0020) are taken out.
- ``newlines``: a newline becomes a blank; with ``spaces`` it is taken out.
- ``gaps``: ``_`` stands for a character that is missing, and is never taken out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from charrnn.errors import CharrnnError, UsageError
from charrnn.text.display import named
from charrnn.text.lines import text_of
from charrnn.text.vocabulary import CODE_POINTS, code_points

KINDS = ("case", "accents", "punctuation", "spaces", "newlines", "gaps")

GAP = ord("_")
#: What stands before a text, so that something can be put before its first character; no character.
START = CODE_POINTS

#: Behind this code point there are neither letters with cases or accents nor punctuation.
_LAST = 0x1FFFF


def in_order(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds, each once and in one order.

    Raises ``UsageError`` where there are none, or some that do not exist.
    """
    known = ", ".join(KINDS)
    if isinstance(kinds, str) or not isinstance(kinds, Sequence) or not kinds:
        raise UsageError(f"`restore` takes one or more of {known}")
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"`restore` knows no {named(str(kind))}; it takes {known}")
    return tuple(kind for kind in KINDS if kind in kinds)


class Form(NamedTuple):
    """What became of a character that stays; nothing of all three: it is as it was."""

    upper: bool = False
    marks: str = ""  # those that were on it
    character: str = ""  # what it was, where it was another one: a newline, or what is missing

    def includes(self, other: Form) -> bool:
        """Whether a character of this form has all that one of the ``other`` form has."""
        return (
            self.upper >= other.upper
            and other.marks in ("", self.marks)
            and other.character in ("", self.character)
        )


_CODES = r"((?: U\+[0-9A-F]{4,6})+)"
_NAME = re.compile(rf"(upper)?(?: ?marks{_CODES})?(?: ?character{_CODES})?(?: ?after{_CODES})?")


class Edit(NamedTuple):
    """What is to be done at a character that stayed: a class of a model that restores."""

    form: Form = Form()
    after: str = ""  # what was taken out behind it

    @property
    def name(self) -> str:
        """Such as ``upper marks U+0301 after U+002C U+0020``, or ``nothing``."""
        parts = ["upper"] if self.form.upper else []
        words = ("marks", "character", "after")
        for word, text in zip(words, (*self.form[1:], self.after), strict=True):
            if text:
                parts.append(" ".join([word, *(f"U+{ord(character):04X}" for character in text)]))
        return " ".join(parts) or "nothing"

    @classmethod
    def of(cls, name: str) -> Edit:
        """The edit of that name; raises ``CharrnnError`` where there is none."""
        found = _NAME.fullmatch(name.removeprefix("nothing"))
        try:
            marks, character, after = map(_text_of, found.groups("")[1:] if found else ())
        except ValueError:
            raise CharrnnError(f"'{named(name)}' is nothing that can be restored") from None
        edit = cls(Form(bool(found and found[1]), marks, character), after)
        if edit.name != name:
            raise CharrnnError(f"'{named(name)}' is nothing that can be restored")
        return edit


def _text_of(codes: str) -> str:
    """The text of code points such as `` U+002C U+0020``."""
    return "".join(chr(int(code[2:], 16)) for code in codes.split())


NOTHING = Edit()


class Apart(NamedTuple):
    """Texts one after the other, each begun by START, without what was taken out."""

    codes: np.ndarray  # [m], uint32, the characters that stay, as they are in the text
    afters: np.ndarray  # [m], which of the strings was behind each
    strings: list[str]


@dataclass(frozen=True, eq=False)
class Characters:
    """What becomes of each character when some kinds are taken out.

    The tables [0x110001] go over code points and START. Nothing that stays is changed again.
    """

    gone: np.ndarray  # bool, whether it is taken out
    kept: np.ndarray  # uint32, the character that stays of it
    form: np.ndarray  # int32, which of the forms it had
    forms: tuple[Form, ...]  # the first is that of a character that is as it was
    _pairs: np.ndarray  # int64, every form and character together, sorted
    _whole: np.ndarray  # uint32, the character that it is

    def formed(self, kept: np.ndarray, forms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The character that has each form, and whether there is one.

        ``kept`` and ``forms`` (indices; -1 is the form of no character) may be broadcast.
        """
        pairs = _paired(kept, forms)
        at = np.minimum(np.searchsorted(self._pairs, pairs), self._pairs.size - 1)
        exists = self._pairs[at] == pairs
        plain = forms == 0
        return np.where(plain | ~exists, kept, self._whole[at]), plain | exists

    def take_apart(self, texts: Sequence[np.ndarray], known: dict[str, int]) -> Apart:
        """What stays of texts [n], code points, and what was behind it.

        The strings begin with those that are ``known``, with their indices; the first is nothing.
        """
        start = np.array([START], np.uint32)
        codes = np.concatenate([start[:0], *(part for text in texts for part in (start, text))])
        places = np.flatnonzero(~self.gone[codes])
        ends = np.append(places[1:], codes.size)
        afters, indices = np.zeros(places.size, np.int64), dict(known)
        followed = np.flatnonzero(ends - places > 1)
        text = text_of(np.minimum(codes, START - 1))
        runs = zip((places[followed] + 1).tolist(), ends[followed].tolist(), strict=True)
        afters[followed] = [indices.setdefault(text[a:b], len(indices)) for a, b in runs]
        return Apart(codes[places], afters, list(indices))


def _paired(kept: np.ndarray, forms: np.ndarray) -> np.ndarray:
    return forms.astype(np.int64) << 21 | kept


@lru_cache(maxsize=2)
def characters_of(kinds: tuple[str, ...]) -> Characters:
    """What ``kinds``, as ``in_order`` gives them, do to characters."""
    gone = np.zeros(CODE_POINTS + 1, bool)
    kept = np.arange(CODE_POINTS + 1, dtype=np.uint32)
    form = np.zeros(CODE_POINTS + 1, np.int32)
    indices = {Form(): 0}
    is_gone = _removal(kinds)
    for character in _alterable():
        code = ord(character)
        gone[code] = is_gone(character)
        base, own = _taken_apart(character, kinds)
        if base != character:
            kept[code], form[code] = ord(base), indices.setdefault(own, len(indices))
    codes = np.flatnonzero(gone | (form > 0))
    unstable = codes[gone[codes] | gone[kept[codes]] | (form[kept[codes]] > 0)]
    kept[unstable], form[unstable] = unstable, 0
    changed = np.flatnonzero(form)
    pairs = _paired(kept[changed], form[changed])
    order = np.argsort(pairs)
    # With one at the end that is never asked for, so that the tables are not empty.
    pairs, whole = np.append(pairs[order], 2**62), np.append(changed[order], 0)
    return Characters(gone, kept, form, tuple(indices), pairs, whole.astype(np.uint32))


@lru_cache(maxsize=1)
def _alterable() -> str:
    """All characters that any kinds do something to."""
    kinds = tuple(kind for kind in KINDS if kind != "gaps")
    is_gone = _removal(kinds)
    return "".join(c for c in map(chr, range(_LAST + 1)) if is_gone(c) or _base(c, kinds) != c)


def _base(character: str, kinds: tuple[str, ...]) -> str:
    return _taken_apart(character, kinds)[0]


def _removal(kinds: tuple[str, ...]) -> Callable[[str], bool]:
    """Tells which characters are taken out."""
    blanks = {" ", "\n"} if "newlines" in kinds else {" "}
    removed = blanks if "spaces" in kinds else set()
    stays = {chr(GAP)} if "gaps" in kinds else set()
    punctuation, accents = "punctuation" in kinds, "accents" in kinds

    def is_gone(character: str) -> bool:
        category = unicodedata.category(character)
        if category[0] == "P":
            return punctuation and character not in stays
        if category == "Mn":
            return accents and unicodedata.combining(character) != 0
        return character in removed

    return is_gone


def _taken_apart(character: str, kinds: tuple[str, ...]) -> tuple[str, Form]:
    """The character that stays of one, and the form that it had."""
    if character == "\n" and "newlines" in kinds:
        return " ", Form(character="\n")
    base, marks = _without_marks(character) if "accents" in kinds else (character, "")
    lower = base.lower()
    if "case" in kinds and lower != base and len(lower) == 1 and lower.upper() == base:
        return lower, Form(True, marks)
    return base, Form(False, marks)


def _without_marks(character: str) -> tuple[str, str]:
    apart = unicodedata.normalize("NFD", character)
    marks = apart[1:]
    reversible = marks and unicodedata.normalize("NFC", apart) == character
    if reversible and all(unicodedata.category(mark) == "Mn" for mark in marks):
        return apart[0], marks
    return character, ""


def joined(codes: np.ndarray, afters: np.ndarray, strings: Sequence[str]) -> list[str]:
    """The texts of which characters [m] and what is behind them are given."""
    sizes = np.array([len(string) for string in strings])
    lengths = sizes[afters]
    places = np.cumsum(lengths + 1) - lengths - 1
    joined = np.empty(codes.size + int(lengths.sum()), np.uint32)
    is_behind = np.ones(joined.size, bool)
    is_behind[places] = False
    joined[places] = codes
    offsets = (np.cumsum(sizes) - sizes)[afters] - places - 1
    sources = np.repeat(offsets, lengths) + np.flatnonzero(is_behind)
    joined[is_behind] = code_points("".join(strings), "surrogatepass")[sources]
    starts = np.flatnonzero(joined == START)
    text = text_of(joined[joined != START])
    cuts = [*(starts - np.arange(starts.size)).tolist(), len(text)]
    return [text[begin:end] for begin, end in pairwise(cuts)]


def is_within(string: str, longer: str) -> bool:
    """Whether the characters of a string are in a longer one in this order."""
    rest = iter(longer)
    return all(character in rest for character in string)


def can_be_missing(codes: np.ndarray) -> np.ndarray:
    """Whether characters are such as may fill a gap: no gap, no START, no half of a character."""
    return (codes != GAP) & (codes != START) & (codes >> 11 != 0xD800 >> 11)
