"""Files and standard input become one array of tokens; training reads it in parallel lanes.

A text is read twice, once to count its characters and once to encode them, so that no more than
the tokens (one or two bytes a character) and a small piece of text are in memory at any time; where
the tokens are too many for it, they are in a file (``charrnn.text.room``).
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import CorpusError, UsageError
from charrnn.text.room import room_for
from charrnn.text.sources import CHUNK, Progress, Text, opened_once
from charrnn.text.vocabulary import CODE_POINTS, END, START, Vocabulary, code_points

#: Tokens that are split at once.
BLOCK = 1 << 16
#: Positions; with fewer a loss would say nothing.
SHORTEST_TRAINING, SHORTEST_VALIDATION = 2, 16
NEWLINE = ord("\n")


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents as tokens: START document START document … START.

    Position i reads ``tokens[i]`` and predicts ``tokens[i + 1]``, where a START that is to be
    predicted means END; so there are ``tokens.size - 1`` positions.
    """

    vocabulary: Vocabulary
    tokens: np.ndarray  # [documents + characters + 1], uint8 or uint16
    characters: int  # without the line ends where every line is a document
    documents: int
    unknown: int  # characters that the vocabulary does not hold
    sizes: tuple[int, ...]  # positions of each source


def read_corpus(
    sources: Sequence[str | Path],
    *,
    lines: bool = False,
    min_count: int = 1,
    encoding: str = "utf-8",
    normalize_newlines: bool = False,
    vocabulary: Vocabulary | None = None,
    known: str = "",
) -> Corpus:
    """Read files, or standard input where a source is ``-``, into one corpus.

    Every file is a document; with ``lines`` every line that is not empty is one, without its line
    end. Characters that are not ``known`` and seen fewer than ``min_count`` times, or those that
    a given ``vocabulary`` lacks, are unknown. Raises ``CorpusError`` where a text cannot be read
    or holds no characters, ``UsageError`` where there is no such encoding or two standard inputs.
    """
    if sum(str(source) == "-" for source in sources) > 1:
        raise UsageError("standard input (-) can be read only once; name it once")
    progress = Progress()
    reader = _Reader(encoding, progress, translate_newlines=lines or normalize_newlines)
    with ExitStack() as stack:
        texts = [Text.of(source, stack, progress) for source in sources]
        progress.begin(2 * sum(text.size for text in texts))  # they are counted, then encoded
        counts = np.zeros(CODE_POINTS, np.int64)
        tallies = [_count(reader.pieces(text), counts, lines) for text in texts]
        characters = int(counts.sum())
        if not characters:
            where = texts[0].name if len(texts) == 1 else f"the {len(texts)} texts"
            raise CorpusError(f"no characters in {where}; name a file that has some text in it")
        if vocabulary is None:
            vocabulary = Vocabulary.from_counts(counts, min_count, known)
        sizes = [sum(tally) for tally in tallies]
        table = vocabulary.table.copy()
        if lines:
            table[NEWLINE] = START
        tokens = _encode(reader, texts, sizes, table)
    unknown = characters - int(counts[code_points(vocabulary.characters)].sum())
    documents = sum(sizes) - characters
    return Corpus(vocabulary, tokens, characters, documents, unknown, tuple(sizes))


def read_pieces(
    source: str | Path, *, encoding: str = "utf-8", normalize_newlines: bool = False
) -> Iterator[np.ndarray]:
    """The code points of a file, or of standard input for ``-``, in arrays, as they come.

    A byte order mark is left out. Raises as ``read_corpus`` does.
    """
    reader = _Reader(encoding, Progress(), translate_newlines=normalize_newlines)
    with opened_once(source) as (name, file):
        yield from reader.pieces_of(name, file)


class _Reader:
    """Turns the bytes of a text into code points, piece by piece."""

    def __init__(self, encoding: str, progress: Progress, *, translate_newlines: bool) -> None:
        try:
            # The codec alone would also be there for what is no encoding of text, such as hex.
            io.TextIOWrapper(io.BytesIO(), encoding=encoding)
            self.decoder = codecs.getincrementaldecoder(encoding)
        except (LookupError, ValueError) as error:
            raise UsageError(
                f"there is no encoding {encoding!r}; give `encoding` utf-8, utf-16, latin-1, "
                "cp1252 or another that Python knows"
            ) from error
        self.encoding, self.progress = encoding, progress
        self.translate_newlines = translate_newlines

    def pieces(self, text: Text) -> Iterator[np.ndarray]:
        """The code points of ``text`` in arrays that are not empty, a byte order mark left out.

        Raises ``CorpusError`` where it cannot be read or decoded.
        """
        with text.opened() as file:
            yield from self.pieces_of(text.name, file)

    def pieces_of(self, name: str, file: Any) -> Iterator[np.ndarray]:
        """As ``pieces``, of a file that is open: what it has is not waited for."""
        decoder = io.IncrementalNewlineDecoder(self.decoder(), translate=self.translate_newlines)
        size, chunk, begun = 0, b"-", False
        while chunk:
            chunk = file.read1(CHUNK)
            self.progress.add(len(chunk))
            size += len(chunk)
            try:
                piece = decoder.decode(chunk, final=not chunk)
                if piece and not begun:
                    piece, begun = piece.removeprefix("\ufeff"), True
                codes = code_points(piece)
            except UnicodeError as error:
                raise CorpusError(self._fault(name, size, error)) from error
            if codes.size:
                yield codes

    def _fault(self, name: str, size: int, error: UnicodeError) -> str:
        """What is wrong with a text of which ``size`` bytes have been read."""
        where = ""
        if isinstance(error, UnicodeDecodeError):
            # What failed is the end of all that was read: this chunk and what was left before it.
            offset = size - len(error.object) + error.start
            where = f": byte 0x{error.object[error.start]:02x} at offset {offset} ({error.reason})"
        elif isinstance(error, UnicodeEncodeError):
            where = f": U+{ord(error.object[error.start]):04X} is half of a character"
        return f"{name} is not {self.encoding} text{where}; name its encoding with `encoding`"


def _count(pieces: Iterator[np.ndarray], counts: np.ndarray, lines: bool) -> tuple[int, int]:
    """Adds a text to ``counts`` [0x110000], returns the numbers of characters and of documents.

    Line ends are no characters where every line is a document.
    """
    characters = documents = 0
    line_ended = True
    for codes in pieces:
        seen = np.bincount(codes)
        characters += codes.size
        if lines:
            ends = codes == NEWLINE
            documents += int(line_ended and not ends[0])
            documents += int(np.count_nonzero(ends[:-1] & ~ends[1:]))
            line_ended = bool(ends[-1])
            characters -= int(np.count_nonzero(ends))
            seen[NEWLINE : NEWLINE + 1] = 0
        counts[: seen.size] += seen
    return characters, documents if lines else int(characters > 0)


def _encode(
    reader: _Reader, texts: Sequence[Text], sizes: Sequence[int], table: np.ndarray
) -> np.ndarray:
    """The tokens of all texts.

    Raises ``CorpusError`` where one has not the size counted, or where there is no room for them.
    """
    tokens, filled = room_for(sum(sizes) + 1, table.dtype), 0
    for text, size in zip(texts, sizes, strict=True):
        # One more than the text needs, for the START after its last line.
        if _encode_text(reader.pieces(text), table, tokens[filled : filled + size + 1]) != size:
            raise CorpusError(f"{text.name} changed while it was read; try again when it is whole")
        filled += size
    tokens[filled] = START
    return tokens


def _encode_text(pieces: Iterator[np.ndarray], table: np.ndarray, room: np.ndarray) -> int:
    """Writes START and the text into ``room``, runs of START as one; returns the tokens written.

    A START at the end is not counted; -1: there was not enough room.
    """
    collapse = table[NEWLINE] == START
    room[0], filled = START, 1
    for codes in pieces:
        found = table.take(codes)
        if collapse:
            repeated = found == START
            repeated[1:] &= repeated[:-1].copy()
            repeated[0] &= room[filled - 1] == START
            found = found[~repeated]
        if filled + found.size > room.size:
            return -1
        room[filled : filled + found.size] = found
        filled += found.size
    return filled - int(room[filled - 1] == START)


def split(
    corpus: Corpus, fraction: float, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation tokens [n + 1], views of ``corpus.tokens``.

    Of one document the last ``fraction`` validates; of many a random ``fraction`` of them, at
    least one, at most all but one. For that ``corpus.tokens`` is rearranged in place: first the
    documents for training, then those for validation, each in their old order. The last token of
    the one part is the first of the other, so every position belongs to exactly one of them. Where
    either would be too short to be of use, all is for training and validation is empty [0].
    """
    tokens = corpus.tokens
    cut = positions = tokens.size - 1
    if fraction > 0 and corpus.documents > 1:
        chosen = _choose(corpus.documents, fraction, rng)
        cut -= sum(np.count_nonzero(inside) for _, inside in _blocks(tokens, chosen))
    else:
        cut -= round(corpus.characters * fraction)
    if cut < SHORTEST_TRAINING or positions - cut < SHORTEST_VALIDATION:
        return tokens, tokens[:0]
    if corpus.documents > 1:
        _rearrange(tokens, chosen)
    return tokens[: cut + 1], tokens[cut:]


def _choose(documents: int, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Which of the documents [documents] validate, one byte each: lines may be many and short."""
    chosen = np.zeros(documents, np.bool_)
    chosen[: min(max(round(documents * fraction), 1), documents - 1)] = True
    rng.shuffle(chosen)
    return chosen


def _blocks(tokens: np.ndarray, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Views of the tokens, the last START left out, and whether each is of a chosen document."""
    document = -1
    for start in range(0, tokens.size - 1, BLOCK):
        block = tokens[start : min(start + BLOCK, tokens.size - 1)]
        documents = np.cumsum(block == START) + document
        document = documents[-1]
        yield block, chosen[documents]


def _rearrange(tokens: np.ndarray, chosen: np.ndarray) -> None:
    """Moves the chosen documents behind the others; what is moved back is all that is copied."""
    filled, moved = 0, []
    for block, inside in _blocks(tokens, chosen):
        moved.append(block[inside])
        kept = block[~inside]
        tokens[filled : filled + kept.size] = kept
        filled += kept.size
    for part in moved:
        tokens[filled : filled + part.size] = part
        filled += part.size


def frame(inputs: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens that are read and those that follow them, both [T, B], as a network takes them.

    Returns inputs int32, targets int32 (END where a document ends) and resets uint8 (1 where one
    starts), C-contiguous copies in the shape given.
    """
    targets = np.array(following, np.int32, order="C")
    targets[targets == START] = END
    resets = np.array(inputs == START, np.uint8, order="C")
    return np.array(inputs, np.int32, order="C"), targets, resets
