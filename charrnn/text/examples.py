"""Lines that say what is to be told of a text: ``text⇥label`` or ``text⇥label⇥label…``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from charrnn.config import TextConfig
from charrnn.errors import CorpusError
from charrnn.text.corpus import read_pieces
from charrnn.text.display import printable
from charrnn.text.labels import Labels
from charrnn.text.lines import text_of, whole_lines
from charrnn.text.vocabulary import CODE_POINTS, START, Vocabulary, code_points

#: Of a message, characters of a line.
_SHOWN = 40


@dataclass
class Examples:
    """D texts, one after the other, with the names of what is to be told of each."""

    codes: list[np.ndarray] = field(default_factory=list)  # code points, in parts
    lengths: list[int] = field(default_factory=list)  # [D]
    names: list[tuple[str, ...]] = field(default_factory=list)  # [D]
    groups: list[int] = field(default_factory=list)  # [D], the same for the same text
    bounds: list[int] = field(default_factory=lambda: [0])  # texts up to the end of each source
    _seen: dict[str, int] = field(default_factory=dict)

    def add(self, text: str, names: tuple[str, ...] = ()) -> None:
        """One more text."""
        self.codes.append(code_points(text, "surrogatepass"))
        self.lengths.append(len(text))
        self.names.append(names)
        self.groups.append(self._seen.setdefault(text, len(self._seen)))

    @property
    def ends(self) -> np.ndarray:
        """Where each text ends [D]."""
        return np.cumsum(self.lengths, dtype=np.int64)

    def all_codes(self) -> np.ndarray:
        """The code points of all texts [N]."""
        self.codes = [np.concatenate([*self.codes, np.empty(0, np.uint32)])]
        return self.codes[0]

    def framed(self, vocabulary: Vocabulary) -> np.ndarray:
        """All texts as tokens: START text START text … START."""
        starts = self.ends - np.array(self.lengths)
        tokens = np.insert(vocabulary.table[self.all_codes()], starts, START)
        return np.append(tokens, tokens.dtype.type(START))

    def vocabulary(self, min_count: int, known: str = "") -> Vocabulary:
        """The characters of all texts, as ``Vocabulary.from_counts`` chooses them."""
        counts = np.bincount(self.all_codes(), minlength=CODE_POINTS)
        return Vocabulary.from_counts(counts, min_count, known)

    def distinct_names(self) -> tuple[str, ...]:
        """All names but empty ones, in alphabetical order."""
        return tuple(sorted({name for names in self.names for name in names if name}))


def read_examples(sources: Sequence[str], config: TextConfig) -> Examples:
    """All lines of the sources that are not empty, as texts with the labels behind them.

    Raises ``CorpusError`` where a line has no tab, no text, or another number of columns than the
    first, and where there are none.
    """
    examples = Examples()
    columns = 0
    for source in sources:
        for number, line in lines_of(source, config):
            text, *names = line.split("\t") if config.labels else line.rsplit("\t", 1)
            where = f"line {number:,} of {printable(str(source))}"
            if not names:
                raise CorpusError(f"{where} has no tab: every line is TEXT<tab>LABEL")
            if not text:
                raise CorpusError(f"{where} has no text before its tab: every line is "
                                  "TEXT<tab>LABEL")  # fmt: skip
            if config.labels and len(names) != (columns := columns or len(names)):
                raise CorpusError(f"{where} has {len(names)} labels, the first line {columns}: "
                                  "give each line as many, some of them empty")  # fmt: skip
            examples.add(text, _separated(names[0]) if config.multiple else tuple(names))
        examples.bounds.append(len(examples.names))
    if not examples.names:
        raise CorpusError("there are no lines; name a file that has lines TEXT<tab>LABEL")
    return examples


def _separated(names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))


def lines_of(source: str, config: TextConfig) -> Iterator[tuple[int, str]]:
    """The lines of a file, or of standard input for ``-``, that are not empty, and their numbers.

    Raises ``CorpusError`` where it cannot be read.
    """
    pieces = read_pieces(source, encoding=config.encoding, normalize_newlines=True)
    number = 0
    for block in whole_lines(pieces):
        for line in text_of(block).removesuffix("\n").split("\n"):
            number += 1
            if line:
                yield number, line


def indices_of(names: Iterable[Sequence[str]], labels: Labels) -> np.ndarray:
    """The indices of the labels of each text [D, A]; -1: an empty name.

    Raises ``UsageError`` where there is no such label.
    """
    rows = [[labels.index(name) if name else -1 for name in own] for own in names]
    return np.array(rows, np.int32)
