"""What texts score, line by line: how many bits each character of them tells a model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from charrnn.text.corpus import read_pieces
from charrnn.text.lines import BLOCK, NEWLINE, line_starts, text_of, whole_lines
from charrnn.text.originals import CopiedLine, Originals
from charrnn.text.vocabulary import START, UNKNOWN, code_points
from charrnn.training.evaluation import position_losses

if TYPE_CHECKING:
    from charrnn.inference.language_model import LanguageModel


@dataclass(frozen=True, eq=False)
class ScoredLines:
    """Some lines, and what each of M models makes of them.

    Each character is one prediction. Where every line is a document its newline stands for its
    end, and the last line has one too.
    """

    codes: np.ndarray  # code points of all lines [n], newlines included
    starts: np.ndarray  # where each line begins [lines]
    bits: np.ndarray  # float64 [M, n], -log2 P of each prediction
    unknown: np.ndarray  # bool [M, n], characters that the model does not know
    documents: bool  # every line is a document
    copied: list[CopiedLine] | None = None  # what of each line, where that was asked for

    def text(self) -> str:
        """All lines with their newlines."""
        return text_of(self.codes)

    def lines(self) -> list[str]:
        """The lines, without their newlines."""
        text = self.text()
        return text.removesuffix("\n").split("\n") if text else []

    def bits_of_lines(self) -> np.ndarray:
        """What each line tells each model, float64 [M, lines]."""
        return np.add.reduceat(self.bits, self.starts, axis=1)

    def unknown_in_lines(self) -> np.ndarray:
        """Characters that the model does not know, int [M, lines]."""
        return np.add.reduceat(self.unknown.astype(np.int64), self.starts, axis=1)

    def predictions_of_lines(self) -> np.ndarray:
        """What a line's bits per character are a mean of: newlines or ends count, int [lines]."""
        return np.diff(self.starts, append=self.codes.size)

    def characters_of_lines(self) -> np.ndarray:
        """The characters of each line, int [lines]; newlines unless these stand for ends."""
        return self.predictions_of_lines() - int(self.documents)


class Scorer:
    """One model's predictions of a text that comes in pieces."""

    def __init__(self, model: LanguageModel, *, lines: bool) -> None:
        self._model = model
        self._table = model.vocabulary.table.copy()
        if lines:
            self._table[NEWLINE] = START
        self.begin()

    def begin(self) -> None:
        """Let a new document follow."""
        self._latest: int = START
        self._state: np.ndarray | None = None

    def read(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bits of each of the code points [n], float64, and which of them are unknown.

        What has been read stands before them.
        """
        tokens = np.concatenate([[self._latest], self._table.take(codes)]).astype(self._table.dtype)
        network = self._model.network
        with network.turns.take():
            nats, self._state = position_losses(network, tokens, self._state)
        self._latest = int(tokens[-1])
        return nats.astype(np.float64) / math.log(2), tokens[1:] == UNKNOWN


def score(
    models: Sequence[LanguageModel],
    sources: Sequence[str | Path],
    *,
    lines: bool,
    encoding: str = "utf-8",
    normalize_newlines: bool = False,
    unbuffered: bool = False,
    originals: Originals | None = None,
) -> Iterator[ScoredLines]:
    """Score the lines of files, or of standard input where a source is ``-``, as they come.

    With ``lines`` every line is a document, and its end is predicted too. Else every source is
    one: what stands before a line counts as known, and its newline is predicted; the end of the
    document is not. Many lines are scored at once; ``unbuffered`` lets none wait for the next.
    The most that is in memory is a block of text, or one line where that is longer. What is
    ``copied`` is looked for in ``originals``. Raises ``CorpusError`` where a source cannot be read.
    """
    scorers = [Scorer(model, lines=lines) for model in models]
    for source in sources:
        for scorer in scorers:
            scorer.begin()
        if originals:
            originals.begin()
        pieces = read_pieces(
            source, encoding=encoding, normalize_newlines=lines or normalize_newlines
        )
        for block in whole_lines(pieces, 1 if unbuffered else BLOCK):
            scored = _scored(scorers, block, lines)
            if originals:
                copied = originals.find(scored.codes, documents=lines)
                scored = dataclasses.replace(scored, copied=copied)
            yield scored


def score_text(model: LanguageModel, text: str, *, lines: bool) -> ScoredLines:
    """The lines of one text as ``score`` has them."""
    return _scored([Scorer(model, lines=lines)], code_points(text, "surrogatepass"), lines)


def _scored(scorers: Sequence[Scorer], codes: np.ndarray, documents: bool) -> ScoredLines:
    if documents and (not codes.size or codes[-1] != NEWLINE):
        codes = np.append(codes, codes.dtype.type(NEWLINE))
    found = [scorer.read(codes) for scorer in scorers]
    bits, unknown = (np.stack(parts) for parts in zip(*found, strict=True))
    return ScoredLines(codes, line_starts(codes), bits, unknown, documents)
