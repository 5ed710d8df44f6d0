"""Which of the texts that are written are wanted: the best, the whole ones, the new ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from charrnn.errors import CharrnnError
from charrnn.inference.texts import Text
from charrnn.text.corpus import read_pieces
from charrnn.text.lines import text_of, whole_lines

#: Texts in a row that are not wanted, beyond three times those that were, after which it is said
#: that there are no more.
_PATIENCE = 1000


class NothingNewError(CharrnnError):
    """The model writes nothing any more that is wanted."""


@dataclass(frozen=True)
class Selection:
    """Rules for texts: their prompts count as part of them."""

    best_of: int = 1  # of so many in a row the likeliest, by its mean loss
    ended: bool = False  # only those that ended by themselves
    unique: bool = False  # none twice
    known: frozenset[str] = frozenset()  # none of these

    @property
    def refuses(self) -> bool:
        """Whether any text may be unwanted."""
        return bool(self.ended or self.unique or self.known)

    def among(self, texts: Iterable[Text], count: int | None) -> Iterator[Text]:
        """The first ``count`` that are wanted, or all; for ``best_of`` they must be measured.

        Raises ``NothingNewError`` where too many in a row are not, or ``texts`` end before there
        are ``count`` because some were not.
        """
        found = refused = left_out = 0
        written: set[str] = set()
        for text in self._best(texts):
            if self._wants(text, written):
                found, refused = found + 1, 0
                if self.unique:
                    written.add(text.whole)
                yield text
                if found == count:
                    return
            else:
                refused, left_out = refused + 1, left_out + 1
                if refused >= _PATIENCE + 3 * found:
                    raise NothingNewError(
                        f"there are no more than {found:,} texts: of the next {refused:,} that "
                        f"the model wrote none was {self._rules()}"
                    )
        if left_out and count is not None:
            raise NothingNewError(
                f"of the {found + left_out:,} texts that were found, {found:,} "
                f"{'is' if found == 1 else 'are'} {self._rules()}: search with more `beams`"
            )

    def _best(self, texts: Iterable[Text]) -> Iterator[Text]:
        if self.best_of == 1:
            yield from texts
            return
        several = iter(texts)
        while some := list(itertools.islice(several, self.best_of)):
            yield min(some, key=lambda text: text.nats_per_prediction)

    def _wants(self, text: Text, written: set[str]) -> bool:
        if self.ended and text.stopped != "end":
            return False
        return text.whole not in self.known and text.whole not in written

    def _rules(self) -> str:
        rules = ["whole"] if self.ended else []
        if self.unique or self.known:
            rules.append("new")
        return " and ".join(rules)


def lines_of(paths: Iterable[str], encoding: str = "utf-8") -> frozenset[str]:
    """All lines of some files, without their ends.

    Raises ``CorpusError`` where one cannot be read.
    """
    blocks = (
        block
        for path in paths
        for block in whole_lines(read_pieces(path, encoding=encoding, normalize_newlines=True))
    )
    return frozenset(line for block in blocks for line in text_of(block).split("\n"))
