"""Lines of text with tags in them, and tags as a class for each character.

A line such as ``<Number>12</Number> <Street>Main &amp; Sons</Street>`` is a text with spans that
have names. The name of a tag is a letter or ``_``, then letters, digits, ``_``, ``-`` and ``.``; a
``<`` that begins no such tag is a character as any other. ``&lt;``, ``&gt;`` and ``&amp;`` stand
for their characters, any other ``&`` for itself. Spans are never empty and never overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from charrnn.errors import CharrnnError, CorpusError
from charrnn.text.display import named
from charrnn.text.labels import MAX_LABELS, Labels

_NAME = r"[^\W\d][\w.-]*"
_MARK = re.compile(rf"<(?P<closes>/?)(?P<name>{_NAME})>|&(?P<escape>lt|gt|amp);")
_ESCAPES = {"lt": "<", "gt": ">", "amp": "&"}
_ESCAPED = str.maketrans({character: f"&{name};" for name, character in _ESCAPES.items()})

#: Characters of texts that are tagged at once, so that what is computed stays in the caches.
_BLOCK = 1 << 14

#: The class of a character outside of all tags; 2i + 1 begins tag i, 2i + 2 goes on with it.
OUTSIDE = 0


class Span(NamedTuple):
    """Some characters of a text, and what they are."""

    name: str
    start: int
    end: int  # the first character behind it


def parse(line: str, number: int) -> tuple[str, list[Span]]:
    """The text of a line and its spans, in order; ``number`` says which line it is, from 1.

    Raises ``CorpusError`` for a tag that is not closed, closes nothing, stands in another or holds
    nothing.
    """
    return _Parser(line, number).parse()


class _Parser:
    """Reads one line from mark to mark."""

    def __init__(self, line: str, number: int) -> None:
        self._line, self._number = line, number
        self._pieces: list[str] = []
        self._length = 0
        self._spans: list[Span] = []
        self._open: tuple[str, int] | None = None  # the name of a tag, and where its text begins

    def parse(self) -> tuple[str, list[Span]]:
        end = 0
        for mark in _MARK.finditer(self._line):
            self._add(self._line[end : mark.start()])
            end = mark.end()
            if mark["escape"]:
                self._add(_ESCAPES[mark["escape"]])
            elif mark["closes"]:
                self._close(mark["name"])
            else:
                self._begin(mark["name"])
        self._add(self._line[end:])
        if self._open:
            name = self._open[0]
            raise self._error("<{0}> is not closed; write </{0}> where it ends", name)
        return "".join(self._pieces), self._spans

    def _add(self, piece: str) -> None:
        self._pieces.append(piece)
        self._length += len(piece)

    def _begin(self, name: str) -> None:
        if self._open:
            outer = self._open[0]
            raise self._error(
                "<{0}> stands inside <{1}>, but tags hold only text; write </{1}> before it",
                name, outer,
            )  # fmt: skip
        self._open = name, self._length

    def _close(self, name: str) -> None:
        if not self._open:
            raise self._error("</{0}> closes nothing; write <{0}> where it begins", name)
        begun, start = self._open
        if begun != name:
            raise self._error("<{0}> is closed by </{1}>; write </{0}> where it ends", begun, name)
        if start == self._length:
            raise self._error("<{0}></{0}> holds no text; leave it out", name)
        self._spans.append(Span(name, start, self._length))
        self._open = None

    def _error(self, what: str, *names: str) -> CorpusError:
        """What is wrong, with numbers in braces where the ``names`` of tags stand."""
        escape = "a < that begins no tag is written &lt;"
        fault = what.format(*map(named, names))
        return CorpusError(f"line {self._number:,}: {fault} ({escape})")


def write(text: str, spans: Iterable[Span]) -> str:
    """The line that ``parse`` reads as ``text`` and ``spans``, which are in order."""
    pieces, end = [], 0
    for name, start, stop in spans:
        inside = text[start:stop].translate(_ESCAPED)
        pieces += [text[end:start].translate(_ESCAPED), f"<{name}>{inside}</{name}>"]
        end = stop
    return "".join(pieces) + text[end:].translate(_ESCAPED)


class Tagging(NamedTuple):
    """The tags that a text most likely has."""

    spans: list[Span]
    confidences: list[float]  # of each span: the mean log-probability of its characters' classes


@dataclass(frozen=True)
class TagScheme:
    """Tags as K classes of characters: outside, then for each tag where it begins and goes on.

    Raises ``CharrnnError`` where a label is no name of a tag, or where there are too many.
    """

    labels: Labels  # the names of the tags

    def __post_init__(self) -> None:
        for name in self.labels.names:
            if not re.fullmatch(_NAME, name):
                raise CharrnnError(
                    f"'{named(name)}' is no name of a tag: a letter or _, then letters, "
                    "digits, _, - or ."
                )
        if self.size > MAX_LABELS:
            raise CharrnnError(
                f"there are {self.labels.size:,} tags, but at most {MAX_LABELS // 2:,} are possible"
            )

    @classmethod
    def learn(cls, spans: Iterable[Span]) -> TagScheme:
        """The scheme of all names in ``spans``, as they first appear.

        Raises ``CorpusError`` where there are none.
        """
        names = tuple(dict.fromkeys(span.name for span in spans))
        if not names:
            raise CorpusError(
                "no line has a tag; write <name>text</name> around what is to be found"
            )
        return cls(Labels(names))

    @classmethod
    def of(cls, classes: Sequence[str]) -> TagScheme:
        """The scheme whose classes have these names; raises ``CharrnnError`` where none has."""
        scheme = cls(Labels(tuple(name.removeprefix("B-") for name in classes[1::2])))
        if scheme.names != tuple(classes):
            raise CharrnnError("the names of its classes are not those of tags")
        return scheme

    @property
    def size(self) -> int:
        """K: how many classes there are."""
        return 1 + 2 * self.labels.size

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the classes: O, B-x, I-x, B-y, …"""
        return ("O", *(f"{part}-{name}" for name in self.labels.names for part in "BI"))

    def classes(self, length: int, spans: Iterable[Span]) -> np.ndarray:
        """The class of each character of a text [length], int32.

        Raises ``UsageError`` where a span has a name that is no label.
        """
        classes = np.zeros(length, np.int32)
        for span in spans:
            begin = 1 + 2 * self.labels.index(span.name)
            classes[span.start : span.end] = begin + 1
            classes[span.start] = begin
        return classes

    def edges(self, classes: np.ndarray) -> np.ndarray:
        """Before which characters a tag begins or ends, bool [n], given their ``classes`` [n]."""
        begins, tag = classes % 2 == 1, (classes + 1) // 2
        return begins | (np.diff(tag, prepend=tag[:1]) != 0)

    def spans(
        self, scores: Sequence[np.ndarray], inside: Sequence[np.ndarray] | None = None
    ) -> list[Tagging]:
        """The likeliest tags of some texts, given log-probabilities [n, K] for each.

        Of all sequences of classes in which no tag goes on that has not begun, theirs has the
        highest sum. No tag begins or ends before a character that is ``inside`` of something, bool
        [n] for each text.
        """
        if inside is None:
            inside = [np.zeros(len(of_text), np.bool_) for of_text in scores]
        taggings = [Tagging([], []) for _ in scores]
        for block in _blocks([len(of_text) for of_text in scores]):
            joined = np.concatenate([scores[i] for i in block])
            lengths = np.array([len(scores[i]) for i in block])
            starts = np.cumsum(lengths) - lengths
            within = np.concatenate([inside[i] for i in block])
            classes = _likeliest(joined, within, starts, lengths)
            for row, name, start, end, confidence in _found(classes, joined, starts):
                tagging = taggings[block[row]]
                tagging.spans.append(Span(self.labels.names[name], start, end))
                tagging.confidences.append(confidence)
        return taggings


def _blocks(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The texts that are not empty, the longest first, some at a time."""
    block: list[int] = []
    held = 0
    for i in sorted((i for i, n in enumerate(lengths) if n), key=lambda i: -lengths[i]):
        block.append(i)
        held += lengths[i]
        if held >= _BLOCK:
            yield block
            block, held = [], 0
    if block:
        yield block


def joined(text: str, tagging: Tagging) -> Tagging:
    """The same with one span for neighbours of one name that only blanks lie between."""
    spans, confidences = tagging.spans[:1], tagging.confidences[:1]
    for span, confidence in list(zip(*tagging, strict=True))[1:]:
        last = spans[-1]
        if span.name == last.name and not text[last.end : span.start].strip():
            sizes = last.end - last.start, span.end - span.start
            spans[-1] = last._replace(end=span.end)
            confidences[-1] = np.average([confidences[-1], confidence], weights=sizes).item()
        else:
            spans.append(span)
            confidences.append(confidence)
    return Tagging(spans, confidences)


def inside_words(text: str) -> np.ndarray:
    """Which characters, letters or digits, have another one before them, bool [n]."""
    of_word = np.array([character.isalnum() for character in text], np.bool_)
    return of_word & np.append(False, of_word[:-1])[: of_word.size]


def _likeliest(
    scores: np.ndarray, inside: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """The best classes [m] of texts that lie one after the other in ``scores`` [m, K].

    The longest come first: after t steps the first so many go on. A tag can go on only where it has
    begun or gone on before; any other class may follow on the best one of all, but where it is
    ``inside`` [m]: there only what is outside of tags follows, on what is outside too.
    """
    tags = scores.shape[1] // 2
    best = np.empty((starts.size, scores.shape[1]))  # [texts, K], of sequences that end in a class
    before = np.empty(len(scores), np.int64)  # the best class of all one step before
    begun = np.empty((len(scores), tags), bool)  # whether a tag that goes on had begun just then
    longest = int(lengths[0])
    going = np.searchsorted(-lengths, -np.arange(1, longest + 1), side="right")
    best[:] = scores[starts]
    best[:, 2::2] = -np.inf
    for t in range(1, longest):
        at, last = starts[: going[t]] + t, best[: going[t]]
        within, outside = inside[at], last[:, OUTSIDE].copy()
        before[at] = np.where(within, OUTSIDE, last.argmax(1))
        begin, go_on = last[:, 1::2], last[:, 2::2]
        begun[at] = begin >= go_on
        highest = last.max(1, keepdims=True)
        np.maximum(begin, go_on, out=go_on)
        last[:, OUTSIDE] = np.where(within, outside, highest[:, 0])
        begin[:] = np.where(within[:, np.newaxis], -np.inf, highest)
        last += scores[at]
    return _traced(best.argmax(1), before, begun, starts, going)


def _traced(
    ends: np.ndarray, before: np.ndarray, begun: np.ndarray, starts: np.ndarray, going: np.ndarray
) -> np.ndarray:
    """The classes [m] that lead to the last one of each text."""
    classes = np.empty(before.size, np.int64)
    current = ends
    for t in range(going.size - 1, 0, -1):
        at = starts[: going[t]] + t
        now = current[: going[t]]
        classes[at] = now
        goes_on = (now > OUTSIDE) & (now % 2 == 0)
        from_tag = now - begun[at, np.maximum(now // 2 - 1, 0)]
        current[: going[t]] = np.where(goes_on, from_tag, before[at])
    classes[starts] = current
    return classes


def _found(
    classes: np.ndarray, scores: np.ndarray, starts: np.ndarray
) -> Iterator[tuple[int, int, int, int, float]]:
    """Text, tag, start and end in the text, and mean score of all tags in ``classes`` [m]."""
    begins = np.flatnonzero(classes % 2)
    if not begins.size:
        return
    goes_on = (classes > OUTSIDE) & (classes % 2 == 0)
    others = np.append(np.flatnonzero(~goes_on), classes.size)  # a text begins with one of these
    ends = others[np.searchsorted(others, begins, side="right")]
    chosen = np.append(np.take_along_axis(scores, classes[:, None], 1)[:, 0].astype(float), 0)
    sums = np.add.reduceat(chosen, np.stack([begins, ends], 1).ravel())[::2]
    rows = np.searchsorted(starts, begins, side="right") - 1
    yield from zip(
        rows.tolist(),
        (classes[begins] // 2).tolist(),
        (begins - starts[rows]).tolist(),
        (ends - starts[rows]).tolist(),
        (sums / (ends - begins)).tolist(),
        strict=True,
    )
