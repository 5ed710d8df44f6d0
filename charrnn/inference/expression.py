"""A regular expression as positions: the places where it reads a character (Glushkov's automaton).

Python's own parser takes it apart, so that everything means what it means there. A set of positions
is an integer with their bits. Position 0 is the end of the text; every other one reads a character
of one class, and ``follow`` says what may come next. Repeats are written out, copy by copy.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

from charrnn.errors import UsageError
from charrnn.text.display import named

if sys.version_info >= (3, 11):
    from re import _parser as parser
else:
    import sre_parse as parser

#: Sets of them are added up some times for each of them: more take seconds.
MAX_POSITIONS = 10_000

END_POSITION = 1  # the set of position 0 alone
_NOTHING = -1  # the class of a position that reads no character

_LETTERS = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}
_KINDS = re.ASCII | re.LOCALE | re.UNICODE  # a group that sets one of these replaces another
_CLASS_FLAGS = re.ASCII | re.IGNORECASE | re.DOTALL  # what a single character can depend on

#: What no automaton can do, by the parser's names.
_REFUSED = {
    "GROUPREF": r"a reference to a group, such as \1",
    "GROUPREF_EXISTS": "a condition, such as (?(1)a|b)",
    "ASSERT": "a lookaround, such as (?=a) or (?<=a)",
    "ASSERT_NOT": "a lookaround, such as (?!a) or (?<!a)",
    "FAILURE": "a lookaround, such as (?!)",
    "ATOMIC_GROUP": "an atomic group, such as (?>a)",
    "POSSESSIVE_REPEAT": "a possessive repeat, such as a++",
    "AT_BOUNDARY": r"\b, the edge of a word",
    "AT_NON_BOUNDARY": r"\B, anything but the edge of a word",
}


class CharacterClass(NamedTuple):
    """A regular expression for one character, and the flags that it depends on."""

    text: str
    flags: int

    def among(self, characters: str) -> str:
        """Those of the ``characters`` that Python's ``re`` says it matches."""
        return "".join(re.findall(self.text, characters, self.flags))

    def __str__(self) -> str:
        """As a message shows it: a single character without a backslash."""
        return self.text if self.text.startswith("[") else self.text[-1]


class Positions(NamedTuple):
    """A regular expression's N positions and C classes."""

    first: int  # the set of what a text may begin with
    follow: list[int]  # [N] the set of what may come after each
    weaker: list[int]  # [N] the set of those whose continuations are all continuations of each
    reads: list[int]  # [N] the class of each; -1: none, it is never read
    classes: list[CharacterClass]  # [C]


def members(positions: int) -> Iterator[int]:
    """The positions of a set, from the lowest up."""
    while positions:
        lowest = positions & -positions
        yield lowest.bit_length() - 1
        positions ^= lowest


def read_expression(expression: str) -> Positions:
    """The positions of a regular expression in Python's syntax.

    Raises ``UsageError`` where it is none, where it asks for what an automaton cannot do, and where
    it needs more than ``MAX_POSITIONS``.
    """
    reader = _Reader()
    try:
        parsed = _parse(expression)
        first = reader.sequence(parsed, parsed.state.flags, END_POSITION)
    except RecursionError:
        raise UsageError("`match` is nested too deeply; write it with fewer parentheses") from None
    return reader.finish(first)


def _parse(expression: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later Python may read otherwise
            return parser.parse(expression)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1:,}"
        reason = named(error.msg) + where
    except (OverflowError, ValueError) as error:  # too many repeats, flags at odds
        reason = str(error)
    raise UsageError(
        f"`match` is not a regular expression: {reason}, in '{named(expression)}'; write \\ "
        "before what stands for itself"
    )


def _refuse(what: str) -> NoReturn:
    raise UsageError(f"`match` has {what}, which cannot be followed character by character; "
                     "write the expression without it")  # fmt: skip


class _Reader:
    """Makes positions, from the end of the expression to its beginning.

    Its methods take what may come ``after`` a part of the expression, and return what may come when
    that part begins: both are sets of positions.
    """

    def __init__(self) -> None:
        self._follow, self._weaker, self._reads = [0], [END_POSITION], [_NOTHING]
        self._classes: dict[CharacterClass, int] = {}
        self._beginnings = 0  # positions that stand for ^

    def sequence(self, parsed: Any, flags: int, after: int) -> int:
        """Parts of an expression that follow one another."""
        for operation, value in reversed(parsed.data):
            after = self._part(operation.name, value, flags, after)
        return after

    def finish(self, first: int) -> Positions:
        """All positions, for an expression that begins with ``first``."""
        for position, follow in enumerate(self._follow):
            if follow & self._beginnings and not self._beginnings >> position & 1:
                _refuse("^ after something else")
        while opened := first & self._beginnings:
            first ^= opened
            for position in members(opened):
                first |= self._follow[position]
        weaker = [others ^ 1 << position for position, others in enumerate(self._weaker)]
        return Positions(first, self._follow, weaker, self._reads, list(self._classes))

    def _part(self, name: str, value: Any, flags: int, after: int) -> int:
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self._character(_class_text(name, value), flags, after)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):  # which of them matters only to a search
            return self._repeat(value, flags, after)
        if name == "SUBPATTERN":
            _, added, removed, parsed = value
            kept = flags & ~_KINDS if added & _KINDS else flags
            return self.sequence(parsed, (kept | added) & ~removed, after)
        if name == "BRANCH":
            return self._branches(value[1], flags, after)
        if name == "AT":
            return self._edge(value.name, after)
        _refuse(_REFUSED.get(name, f"something unknown ({name.lower()})"))

    def _add(self, reads: int, follow: int) -> int:
        """A new position, as a set."""
        position = len(self._follow)
        if position > MAX_POSITIONS:
            raise UsageError(f"`match` stands for more than {MAX_POSITIONS:,} characters when its "
                             "repeats are written out; repeat less")  # fmt: skip
        self._follow.append(follow)
        self._weaker.append(1 << position)
        self._reads.append(reads)
        return 1 << position

    def _character(self, text: str, flags: int, after: int) -> int:
        kind = CharacterClass(text, int(flags & _CLASS_FLAGS))
        return self._add(self._classes.setdefault(kind, len(self._classes)), after)

    def _branches(self, branches: Sequence[Any], flags: int, after: int) -> int:
        first = 0
        for branch in branches:
            first |= self.sequence(branch, flags, after)
        return first

    def _edge(self, name: str, after: int) -> int:
        if name in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            beginning = self._add(_NOTHING, after)
            self._beginnings |= beginning
            return beginning
        if name not in ("AT_END", "AT_END_STRING"):
            _refuse(_REFUSED[name])
        if after != END_POSITION:
            _refuse("$ before something else")
        return after

    def _repeat(self, repeat: tuple[int, int, Any], flags: int, after: int) -> int:
        least, most, parsed = repeat
        endless = most == parser.MAXREPEAT
        copies = max(least, 1) if endless else most
        begun, ends = after, [len(self._follow)]
        for copy in range(copies, 0, -1):
            if endless and copy == copies:
                begun = self._loop(parsed, flags, after)
            else:
                begun = self.sequence(parsed, flags, begun)
            if len(self._follow) == ends[0]:  # it reads nothing, however often
                break
            if copy > least:
                begun |= after
            ends.append(len(self._follow))
        # More may follow an earlier copy than a later one, unless that cannot stop where the later
        # can; an endless repeat's last copy needs nothing more and allows everything.
        self._rank(ends[:0:-1] if endless else ends[1 : copies - max(least, 1) + 2])
        return begun

    def _loop(self, parsed: Any, flags: int, after: int) -> int:
        """Once or more."""
        again = self._add(_NOTHING, 0)  # for what begins it, until that is known
        first = self.sequence(parsed, flags, after | again) & ~again
        for position in range(again.bit_length(), len(self._follow)):
            if self._follow[position] & again:
                self._follow[position] = self._follow[position] & ~again | first
        return first

    def _rank(self, ends: Sequence[int]) -> None:
        """Copies of one thing that end at these positions, the weakest first."""
        if len(ends) < 2:
            return
        width = min(abs(b - a) for a, b in pairwise(ends))  # the loop has one more, in front
        for worse, better in pairwise(ends):
            for back in range(1, width + 1):
                self._weaker[better - back] |= self._weaker[worse - back]


def _class_text(name: str, value: Any) -> str:
    """A parsed class of characters, written as an expression again."""
    if name == "ANY":
        return "."
    if name == "IN":
        return f"[{''.join(_member_text(operation.name, item) for operation, item in value)}]"
    character = re.escape(chr(value))
    return character if name == "LITERAL" else f"[^{character}]"


def _member_text(name: str, value: Any) -> str:
    if name == "NEGATE":
        return "^"
    if name == "CATEGORY":
        *_, negated, kind = value.name.split("_")
        return "\\" + (_LETTERS[kind].upper() if negated == "NOT" else _LETTERS[kind])
    return "-".join(re.escape(chr(point)) for point in (value if name == "RANGE" else [value]))
