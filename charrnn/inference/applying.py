"""Texts that come line by line, and what a model tells of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from charrnn.inference.attribution import Attributor
from charrnn.inference.readers import Reader
from charrnn.inference.restoration import TextRestorer, last_of
from charrnn.inference.transcription import Transcriber
from charrnn.text.corpus import read_pieces
from charrnn.text.lines import text_of, whole_lines
from charrnn.text.paired import line_named, place_of


def apply(
    reader: Reader | Attributor, sources: Sequence[str], *, encoding: str = "utf-8", **asked: Any
) -> Iterator[list[Any]]:
    """The answers to all lines of the sources, in blocks: an empty line has none, None.

    A block is what has come in whole lines when the one before is answered: one line where they
    come slowly, many where they come fast. ``asked`` is what ``reader.answers`` takes. Raises
    ``CorpusError`` where a source cannot be read, or where a model of pairs cannot answer a line.
    """
    for source in sources:
        before, read = "", 0
        pieces = read_pieces(source, encoding=encoding, normalize_newlines=True)
        for block in whole_lines(pieces, size=1):
            lines = text_of(block).removesuffix("\n").split("\n")
            if isinstance(reader, Transcriber):
                for number, line in enumerate(lines, read + 1):
                    with line_named(place_of(number, source)):
                        reader.check(line)
            read += len(lines)
            context = {"before": before} if isinstance(reader, TextRestorer) else {}
            yield reader.answers(lines, **asked, **context)
            before = last_of(before, lines)
