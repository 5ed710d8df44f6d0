"""Texts as codes by a model, and back: the better it foretells them, the shorter they are.

A compressed text is a header, the sizes of codes, and the codes. The characters are cut into equal
parts, *streams*, that are coded side by side, each as a text that begins where a document does.
What the vocabulary does not hold, bytes that are no UTF-8 among it, is an unknown token with its
code point behind it; where lines are documents to a model, a line end is the end of one. Where
codes would not be shorter than the text, it is kept as it is.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from charrnn.compute.coding import Code, Coder, code_to_read, code_to_write, finished, is_understood
from charrnn.compute.generation import AT_NOTHING
from charrnn.compute.packing import padded
from charrnn.compute.recall import create_recall
from charrnn.compute.threads import share
from charrnn.config import require_whole
from charrnn.errors import CompressionError, UsageError
from charrnn.inference.language_model import LanguageModel
from charrnn.inference.session import Session
from charrnn.network.network import Network
from charrnn.storage.checkpoint import checksum_of
from charrnn.storage.summary import reads_lines
from charrnn.text.lines import NEWLINE
from charrnn.text.vocabulary import CODE_POINTS, END, START, UNKNOWN, Vocabulary, code_points
from charrnn.training.adaptation import PIECE, Learner

#: Most streams: more make none faster. Characters of each, at least, where nobody says how many
#: there are to be (docs/compression.md).
MOST_STREAMS, _LEAST_STREAM = 64, 8192

#: Characters of each stream between two looks at whether the user has had enough.
_CHUNK = 256

_MAGIC, _VERSION = b"\xe3rnn", 1
_ADAPTS = 1  # a flag
_ENDLESS = 2**62  # no text has as many bytes


class _Header(NamedTuple):
    magic: bytes
    version: int
    flags: int
    model: bytes  # its checksum's first bytes
    arithmetic: int  # the CRC of what its code for a text known to both sides is
    characters: int
    size: int  # bytes of the text
    crc: int  # of the text
    streams: int  # 0: the text is there as it is


_HEADER = struct.Struct("<4sBB8sIQQIH")
_CRC = struct.Struct("<I")

#: Told how many characters of the longest stream are done, and of how many.
Watcher = Callable[[int, int], None]


def _unwatched(done: int, total: int) -> None:
    """Nobody is told."""


def compress(
    model: LanguageModel,
    data: bytes,
    *,
    streams: int | None = None,
    adapt: bool = False,
    watcher: Watcher = _unwatched,
) -> bytes:
    """The bytes of a text, of whatever they are, as ``decompress`` takes them.

    ``streams`` of it are coded side by side, which is faster and costs some bytes for each: 1 … 64,
    by itself one for every 8,192 characters. To ``adapt`` is to let the model learn from what it
    has coded, in one stream; it stays as it is. The result does not depend on how many threads
    there are. Raises ``UsageError`` for a value out of range and for a model that multiplies in
    bfloat16.
    """
    _check_precision(model.network)
    text = data.decode("utf-8", "surrogateescape")
    points, tokens = code_points(text, "surrogatepass"), model.vocabulary.encode(text)
    if reads_lines(model.training):
        tokens[points == NEWLINE] = END
    coding = _Coding.writing(model, tokens.size, _streams(streams, tokens.size, adapt), adapt)
    codes = coding.encode(tokens, points, watcher)
    body = b"".join([struct.pack(f"<{len(codes)}I", *map(len, codes)), *codes])
    stored = len(body) >= len(data)
    header = _HEADER.pack(
        _MAGIC, _VERSION, _ADAPTS if adapt else 0, _identity(model), _arithmetic(model, adapt),
        len(text), len(data), zlib.crc32(data), 0 if stored else len(codes),
    )  # fmt: skip
    return b"".join([header, _CRC.pack(zlib.crc32(header)), data if stored else body])


def decompress(model: LanguageModel, data: bytes, watcher: Watcher = _unwatched) -> bytes:
    """What ``compress`` was given, with the same model.

    Raises ``CompressionError`` where ``data`` is nothing that it made, damaged, or made with
    another model or on a machine with another arithmetic; ``UsageError`` for a model that
    multiplies in bfloat16.
    """
    _check_precision(model.network)
    header, body = _read_header(data)
    if header.model != (own := _identity(model)):
        raise CompressionError(
            f"the text was compressed with another model, whose checksum begins with "
            f"{header.model.hex()}; that of this `model` begins with {own.hex()} (see charrnn info)"
        )
    adapt = bool(header.flags & _ADAPTS)
    if header.arithmetic != _arithmetic(model, adapt):
        raise CompressionError(
            "the text was compressed on a machine whose arithmetic differs from this one's: "
            "decompress it on a machine of that kind, with the same charrnn"
        )
    if header.streams:
        coding = _Coding.reading(model, _codes(body, header), header.characters, adapt)
        text = _text_of(coding.decode(model.vocabulary, watcher))
    else:
        text = body
    if len(text) != header.size or zlib.crc32(text) != header.crc:
        raise _damaged()
    return text


def _check_precision(network: Network) -> None:
    if network.panels != network.dtype:
        raise UsageError("texts are compressed with `precision` float32, not bfloat16")


def _streams(asked: int | None, characters: int, adapt: bool) -> int:
    """How many streams so many characters become."""
    if asked is not None:
        require_whole("streams", asked, 1)
        if asked > MOST_STREAMS:
            raise UsageError(f"`streams` must be at most {MOST_STREAMS}, not {asked}")
        if adapt and asked > 1:
            raise UsageError("to `adapt` takes one stream: give no `streams`")
    by_itself = 1 if adapt else max(1, min(MOST_STREAMS, characters // _LEAST_STREAM))
    return min(asked or by_itself, characters)


def _damaged() -> CompressionError:
    return CompressionError("the compressed text is damaged or cut: use another copy of it")


def _read_header(data: bytes) -> tuple[_Header, bytes]:
    """The header, checked, and what follows it."""
    if data[: len(_MAGIC)] != _MAGIC:
        raise CompressionError("that is no compressed text: give one that was made by compress")
    size = _HEADER.size + _CRC.size
    if len(data) > len(_MAGIC) and data[len(_MAGIC)] != _VERSION:
        raise CompressionError(
            f"the compressed text has format version {data[len(_MAGIC)]}, this charrnn reads "
            f"version {_VERSION}: upgrade charrnn"
        )
    if len(data) < size:
        raise _damaged()
    header = _Header(*_HEADER.unpack_from(data))
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    sound = (
        header.flags in (0, _ADAPTS)
        and header.streams <= min(1 if header.flags else MOST_STREAMS, header.characters)
        and header.characters <= header.size < _ENDLESS
    )
    if crc != zlib.crc32(data[: _HEADER.size]) or not sound:
        raise _damaged()
    return header, data[size:]


def _codes(body: bytes, header: _Header) -> list[bytes]:
    """The codes of all streams."""
    table = struct.Struct(f"<{header.streams}I")
    if len(body) < table.size:
        raise _damaged()
    ends = np.cumsum([table.size, *table.unpack_from(body)]).tolist()
    if ends[-1] != len(body):
        raise _damaged()
    return [body[first:last] for first, last in pairwise(ends)]


def _text_of(points: np.ndarray) -> bytes:
    """The bytes whose characters have these code points."""
    try:
        text = points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
        return text.encode("utf-8", "surrogateescape")
    except UnicodeError as error:
        raise _damaged() from error


def _identity(model: LanguageModel) -> bytes:
    """The beginning of the checksum that the model's file has."""
    with model.network.turns.take():
        return bytes.fromhex(checksum_of(model.network.parameters))[:8]


def _arithmetic(model: LanguageModel, adapt: bool) -> int:
    """What tells whether two machines compute the same: all logits and sums are part of a code."""
    probe = UNKNOWN + np.arange(2 * PIECE) * 7919 % (model.vocabulary.size - UNKNOWN)
    coding = _Coding.writing(model, probe.size, 1, adapt)
    (code,) = coding.encode(probe, np.zeros(probe.size, np.uint32), _unwatched)
    return zlib.crc32(code)


def _ends(characters: int, streams: int) -> np.ndarray:
    """Where the streams of a text begin, and where the last one ends."""
    return np.array([characters * b // max(1, streams) for b in range(streams + 1)], np.int64)


def _possible(model: LanguageModel) -> np.ndarray:
    """1 for tokens that stand for a character, 0 for others and for padding."""
    possible = np.zeros(padded(model.vocabulary.size, model.network.dtype), np.uint64)
    possible[UNKNOWN : model.vocabulary.size] = 1
    possible[END] = reads_lines(model.training)
    return possible


class _Coding:
    """The streams of a text, from ``ends[b]`` to ``ends[b + 1]``, each thread its own.

    Tokens and code points [B, N] are those of the chunk at hand: given, or read. Where it is to
    ``adapt``, chunks are as long as what the network learns from at once.
    """

    def __init__(
        self, model: LanguageModel, ends: np.ndarray, code: Code, *, writes: bool, adapt: bool
    ) -> None:
        self._network, self._ends, self._code = model.network, ends, code
        self._lengths = lengths = np.diff(ends)
        self._writes, self._learner = writes, None
        self._possible = _possible(model)
        shape = lengths.size, PIECE if adapt else _CHUNK
        self._tokens, self._points = np.full(shape, UNKNOWN, np.int32), np.zeros(shape, np.uint32)
        self._misses = np.zeros(lengths.size, np.int64)
        team = self._network.team
        parts = min(team.threads, lengths.size)
        self._shares = [slice(*share(lengths.size, part, parts)) for part in range(parts)]
        self._latest = START
        with self._network.turns.take():  # after that nothing is shared but the team
            if adapt:
                self._learner = Learner(self._network)
            self._sessions = self._new_sessions(self._network)

    @classmethod
    def writing(cls, model: LanguageModel, characters: int, streams: int, adapt: bool) -> _Coding:
        """Of a text of so many characters, whose codes are to be made."""
        ends = _ends(characters, streams)
        code = code_to_write(streams, int(np.diff(ends).max(initial=0)))
        return cls(model, ends, code, writes=True, adapt=adapt)

    @classmethod
    def reading(
        cls, model: LanguageModel, codes: list[bytes], characters: int, adapt: bool
    ) -> _Coding:
        """Of a text of so many characters, whose codes are there."""
        ends = _ends(characters, len(codes))
        return cls(model, ends, code_to_read(codes), writes=False, adapt=adapt)

    def encode(self, tokens: np.ndarray, points: np.ndarray, watcher: Watcher) -> list[bytes]:
        """The codes of a text's tokens [n] and their code points."""
        for first, count in self._chunks(watcher):
            for b, start in enumerate(self._ends[:-1] + first):
                own = slice(start, min(start + count, self._ends[b + 1]))
                self._tokens[b, : own.stop - start] = tokens[own]
                self._points[b, : own.stop - start] = points[own]
            self._advance(count)
        return finished(self._code)

    def decode(self, vocabulary: Vocabulary, watcher: Watcher) -> np.ndarray:
        """The code points of the text [n]. Raises ``CompressionError`` for what is no code."""
        chunks = []
        for _, count in self._chunks(watcher):
            self._advance(count)
            if any((session.ended == AT_NOTHING).any() for session in self._sessions):
                raise _damaged()
            chunks.append(self._read(vocabulary)[:, :count])
        if not is_understood(self._code):
            raise _damaged()
        rows = np.concatenate(chunks, axis=1)
        return np.concatenate([row[:n] for row, n in zip(rows, self._lengths, strict=True)])

    def _new_sessions(self, network: Network) -> list[Session]:
        """Sessions of all texts at their beginning."""
        if not self._shares:
            return []
        program = network.program(max(own.stop - own.start for own in self._shares))
        sessions = []
        for own in self._shares:
            recall = create_recall(own.stop - own.start, window=1, runs=0, bound=0.0, length=0)
            recall.left[:] = self._lengths[own]
            texts = (self._tokens[own], self._points[own], self._misses[own])
            code = Code(*(array[own] for array in self._code))
            room = np.empty_like(self._possible)
            coder = Coder(
                self._writes, UNKNOWN, CODE_POINTS, (START, END), self._possible, room, *texts, code
            )
            sessions.append(Session(program, coder, recall))
        return sessions

    def _chunks(self, watcher: Watcher) -> Iterator[tuple[int, int]]:
        """The first character and the size of each chunk of the longest stream."""
        longest, size = int(self._lengths.max(initial=0)), self._tokens.shape[1]
        for first in range(0, longest, size):
            yield first, min(size, longest - first)
            watcher(min(first + size, longest), longest)

    def _advance(self, count: int) -> None:
        """Code the next ``count`` characters of all texts, or what is left of each."""

        def work(part: int, parts: int) -> None:
            for session in self._sessions[part::parts]:
                session.prepare(np.full((session.ended.size, count), -1, np.int32))
                session.advance(0, 1)

        self._network.team.run(work)
        if self._learner:
            self._learn(self._learner, self._tokens[0, :count])

    def _learn(self, learner: Learner, tokens: np.ndarray) -> None:
        """Let the network learn from what was coded, and go on with what it has become."""
        read = np.where(tokens == END, START, tokens)
        learner.learn(np.array([self._latest, *read], np.int32))
        self._latest = read[-1]
        before = self._sessions
        self._sessions = self._new_sessions(learner.network)
        for session, old in zip(self._sessions, before, strict=True):
            session.take(old, np.arange(old.ended.size))

    def _read(self, vocabulary: Vocabulary) -> np.ndarray:
        """The code points of the chunk that was read [B, N]."""
        ends = self._tokens == END
        tokens = np.where(ends, UNKNOWN, self._tokens)
        shown = code_points(vocabulary.decode(tokens.reshape(-1))).reshape(tokens.shape)
        return np.where(tokens == UNKNOWN, np.where(ends, NEWLINE, self._points), shown)
