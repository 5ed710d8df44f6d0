"""Lines with a left and a right side, ``INPUT⇥OUTPUT``, behind which labels may stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from charrnn.config import TextConfig
from charrnn.errors import CorpusError
from charrnn.text.alphabet import Alphabet, parts
from charrnn.text.display import printable
from charrnn.text.examples import lines_of
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


def read_pairs(sources: Sequence[str], config: TextConfig) -> PairLines:
    """All lines of the sources that are not empty.

    A right side may be empty; of symbols one space is left between two. Raises ``CorpusError``
    where a line has no tab, no left side, or another number of columns than the first, and where
    there are none.
    """
    pairs, columns = PairLines(), 0
    for source in sources:
        for number, line in lines_of(source, config):
            left, *others = line.split("\t")
            where = f"line {number:,} of {printable(str(source))}"
            if not others:
                raise CorpusError(f"{where} has no tab: every line is INPUT<tab>OUTPUT")
            if not left:
                raise CorpusError(f"{where} has nothing before its tab: every line is "
                                  "INPUT<tab>OUTPUT")  # fmt: skip
            if len(others) != (columns := columns or len(others)):
                raise CorpusError(f"{where} has {len(others) - 1} labels behind its right side, "
                                  f"the first line {columns - 1}: give each as many, some of "
                                  "them empty")  # fmt: skip
            right, *labels = others
            pairs.left.append(left)
            pairs.right.append(" ".join(parts(right, spaced=True)) if config.target_symbols
                               else right)  # fmt: skip
            pairs.labels.append(tuple(labels))
    if not pairs.left:
        raise CorpusError("there are no lines; name a file that has lines INPUT<tab>OUTPUT")
    return pairs


def left_tokens(
    left: str, labels: Sequence[str], vocabulary: Vocabulary, alphabet: Alphabet
) -> list[int]:
    """What a network reads of a left side: its labels, and then the characters of its text.

    The index of a label is that of the alphabet behind the indices of all characters.

    Raises ``UsageError`` where there is no such label.
    """
    told = [vocabulary.size + alphabet.label(name) for name in labels if name]
    return told + vocabulary.encode(left).tolist()
