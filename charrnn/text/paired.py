"""Lines with a left and a right side, ``INPUT⇥OUTPUT``, behind which labels may stand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from charrnn.config import TextConfig
from charrnn.errors import CorpusError, UsageError
from charrnn.text.alphabet import Alphabet, parts
from charrnn.text.display import printable
from charrnn.text.examples import lines_of
from charrnn.text.labels import Labels
from charrnn.text.vocabulary import Vocabulary


@dataclass
class PairLines:
    """D pairs, as their lines have them."""

    left: list[str] = field(default_factory=list)
    right: list[str] = field(default_factory=list)
    labels: list[tuple[str, ...]] = field(default_factory=list)  # of further columns, some empty

    def alternatives(self) -> dict[tuple[str, tuple[str, ...]], list[str]]:
        """The right sides of each left side with its labels, in the order of the lines."""
        found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for left, right, labels in zip(self.left, self.right, self.labels, strict=True):
            found.setdefault((left, labels), []).append(right)
        return found


@dataclass(frozen=True)
class LabelColumns:
    """The labels that a model knows, and in how many columns they stand; None: in any number."""

    labels: tuple[str, ...]
    count: int | None

    @cached_property
    def _known(self) -> Labels | None:
        return Labels(self.labels) if self.labels else None

    def check(self, given: Sequence[str]) -> None:
        """Raise ``UsageError`` for another number of labels, or one that there is not."""
        if self.count == 0 and given:
            raise UsageError("there is a tab too many: the model has learned pairs without labels")
        if self.count is not None and len(given) != self.count:
            raise UsageError(
                f"the pairs that the model has learned have {counted(self.count)}, "
                f"here there are {len(given)}: give as many, some of them empty"
            )
        for name in given:
            if name and not self._known:
                raise UsageError("the model knows no labels: leave them empty")
            if name and self._known:
                self._known.index(name)


def counted(labels: int) -> str:
    """So many labels, in words."""
    return f"{labels} label{'' if labels == 1 else 's'}"


def read_pairs(
    sources: Sequence[str], config: TextConfig, known: LabelColumns | None = None
) -> PairLines:
    """All lines of the sources that are not empty.

    A right side may be empty; of symbols one space is left between two. Raises ``CorpusError``
    where a line has no tab, no left side, another number of columns than the first, or labels that
    are not ``known``, and where there are none.
    """
    pairs, columns = PairLines(), 0
    for source in sources:
        for number, line in lines_of(source, config):
            left, *others = line.split("\t")
            where = place_of(number, source)
            if not others:
                raise CorpusError(f"{where} has no tab: every line is INPUT<tab>OUTPUT")
            if not left:
                raise CorpusError(f"{where} has nothing before its tab: every line is "
                                  "INPUT<tab>OUTPUT")  # fmt: skip
            if len(others) != (columns := columns or len(others)):
                raise CorpusError(f"{where} has {counted(len(others) - 1)} behind its right side, "
                                  f"the first line {columns - 1}: give each as many, some of "
                                  "them empty")  # fmt: skip
            right, *labels = others
            if known:
                with line_named(where):
                    known.check(labels)
            pairs.left.append(left)
            pairs.right.append(" ".join(parts(right, spaced=True)) if config.target_symbols
                               else right)  # fmt: skip
            pairs.labels.append(tuple(labels))
    if not pairs.left:
        raise CorpusError("there are no lines; name a file that has lines INPUT<tab>OUTPUT")
    return pairs


def place_of(number: int, source: str) -> str:
    """Which line of which source, for a message."""
    return f"line {number:,} of {printable(str(source))}"


@contextlib.contextmanager
def line_named(where: str) -> Iterator[None]:
    """Let an error of a line say ``where`` it is: a ``CorpusError``."""
    try:
        yield
    except UsageError as error:
        raise CorpusError(f"{where}: {error}") from error


def left_tokens(
    left: str, labels: Sequence[str], vocabulary: Vocabulary, alphabet: Alphabet
) -> list[int]:
    """What a network reads of a left side: its labels, and then the characters of its text.

    The index of a label is that of the alphabet behind the indices of all characters.

    Raises ``UsageError`` where there is no such label.
    """
    told = [vocabulary.size + alphabet.label(name) for name in labels if name]
    return told + vocabulary.encode(left).tolist()
