"""Files that the lines of a text may be copied from: which characters are, and from which line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charrnn.text.copies import Copies, Run
from charrnn.text.corpus import read_pieces
from charrnn.text.lines import NEWLINE, line_starts

#: What stands between two files and, where every line is a text of its own, between two lines: no
#: characters, so that no run goes across.
_BETWEEN_FILES, _BETWEEN_LINES = 2**32 - 3, 2**32 - 4


class Passage(NamedTuple):
    """Characters of a line that stand in a file too."""

    start: int  # in the line, from 0
    length: int
    file: str
    line: int  # where they first stand in the files, from 1


class CopiedLine(NamedTuple):
    """What of a line is copied."""

    characters: int  # of the line that lie in a passage
    passages: list[Passage]  # in the order of the line; some may overlap

    @property
    def longest(self) -> Passage | None:
        """The first of the longest passages."""
        return max(self.passages, key=lambda passage: passage.length, default=None)


class Originals:
    """Finds, in lines that come in blocks, what stands in some files in ``length`` characters or
    more on end.

    Raises ``UsageError`` unless ``length`` is 1 or more, ``CorpusError`` where a file cannot be
    read.
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        length: int,
        *,
        encoding: str = "utf-8",
        normalize_newlines: bool = False,
    ) -> None:
        self._files = [str(file) for file in files]
        parts, self._begins, begin = [], [], 0
        for file in files:
            pieces = read_pieces(file, encoding=encoding, normalize_newlines=normalize_newlines)
            parts += [*pieces, np.array([_BETWEEN_FILES], np.uint32)]
            self._begins.append(begin)
            begin = sum(part.size for part in parts)
        corpus = np.concatenate(parts)
        self._newlines = np.flatnonzero(corpus == NEWLINE)
        self._copies, self._context = Copies(corpus, length), length - 1
        self.begin()

    def begin(self) -> None:
        """Let a new text follow."""
        self._before = np.empty(0, np.uint32)  # the last N - 1 characters

    def find(self, codes: np.ndarray, *, documents: bool) -> list[CopiedLine]:
        """What is copied of each line of the code points [n].

        Where each line is a document of its own, passages do not go across lines. Elsewhere they
        do, also across those that were looked at before; but what was said of those stands: of a
        passage that begins in their last N - 1 characters only what is here is counted.
        """
        if documents:
            text, context = np.where(codes == NEWLINE, np.uint32(_BETWEEN_LINES), codes), 0
        else:
            text, context = np.concatenate([self._before, codes]), self._before.size
            self._before = text[max(text.size - self._context, 0) :]
        return self._by_line(self._copies.runs(text), context, line_starts(codes), codes.size)

    def _by_line(
        self, runs: Sequence[Run], context: int, starts: np.ndarray, size: int
    ) -> list[CopiedLine]:
        """The runs of a text that begins with ``context`` characters of no line."""
        ends = np.append(starts[1:], size)
        copied, passages = np.zeros(size, np.int64), [[] for _ in starts]  # type: ignore[var-annotated]
        for run in runs:
            begin, end = max(run.start - context, 0), run.start - context + run.length
            copied[begin:end] = 1
            first, last = np.searchsorted(starts, [begin, end - 1], side="right") - 1
            for n in range(first, last + 1 if end > begin else first):
                start, stop = max(begin, int(starts[n])), min(end, int(ends[n]))
                file, line = self._place(run.position + start + context - run.start)
                passages[n].append(Passage(start - int(starts[n]), stop - start, file, line))
        counts = np.add.reduceat(copied, starts)
        return [CopiedLine(int(n), found) for n, found in zip(counts, passages, strict=True)]

    def _place(self, position: int) -> tuple[str, int]:
        """File and line of a position in all files."""
        file = int(np.searchsorted(self._begins, position, side="right")) - 1
        before = np.searchsorted(self._newlines, [self._begins[file], position])
        return self._files[file], 1 + int(before[1] - before[0])
