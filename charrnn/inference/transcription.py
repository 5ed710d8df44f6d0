"""Models that write what belongs to a text: how it sounds, how others write it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charrnn.compute import ctc
from charrnn.compute.turns import all_turns
from charrnn.config import ANSWER_BEAMS, MOST_ANSWER_BEAMS, require_whole
from charrnn.errors import CharrnnError, UsageError
from charrnn.inference.answers import Found, mean_log_probabilities, search
from charrnn.inference.readers import Reader
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel
from charrnn.text.alphabet import Alphabet
from charrnn.text.batch import Batch, FirstBatch
from charrnn.text.paired import LabelColumns, left_tokens
from charrnn.text.vocabulary import END, UNKNOWN

#: Beams of all texts that are answered at once, and steps that are read for them.
_LANES, _POSITIONS = 256, 2**15

#: Characters of a text at most: it is read whole.
_LONGEST = 2**14

#: Symbols that an answer may have beyond twice the longest right side that was learned.
_MORE = 10


@dataclass(frozen=True)
class Candidate:
    """A right side that may belong to a text."""

    output: str
    probability: float
    alignment: list[int]  # of each symbol, the character of the text that it is most of; -1: none
    whole: bool  # whether it ended before the most symbols that are written


@dataclass(frozen=True)
class Transcribed:
    """A text with the right sides that most likely belong to it, the best first."""

    text: str
    candidates: list[Candidate]

    @property
    def output(self) -> str:
        """The best of them, empty where none was found."""
        return self.candidates[0].output if self.candidates else ""

    @property
    def cut(self) -> bool:
        """Whether the best was cut off at the most symbols that are written."""
        return bool(self.candidates) and not self.candidates[0].whole


class Transcriber(Reader):
    """Writes what belongs to a text, of ``most`` symbols at most.

    Where its pairs have labels, those of a text stand behind it, each behind a tab.
    """

    def __init__(self, network: Network, saved: SavedModel) -> None:
        super().__init__(network, saved)
        spaced = bool(saved.training["text"]["target_symbols"])
        self.alphabet = Alphabet.of(saved.labels, spaced=spaced)
        if len(self.alphabet.symbols) != network.config.symbols:
            raise CharrnnError("there is another number of symbols")
        self._repeats = saved.training.get("repeats", 1)
        self.most = 2 * saved.training["longest"] + _MORE
        columns = saved.training.get("columns", None if self.alphabet.labels else 0)
        self._columns = LabelColumns(self.alphabet.labels, columns)
        self._beside: list[Transcriber] = []

    def together_with(self, others: Sequence[Transcriber]) -> Transcriber:
        """A model whose probabilities are the mean of these models'.

        Raises ``UsageError`` where one reads or writes other characters or symbols.
        """
        for other in others:
            same = other.vocabulary == self.vocabulary and other.alphabet == self.alphabet
            config = other.network.config
            if not same or config.decoder != self.network.config.decoder:
                raise UsageError("models answer together that have learned the same pairs, with "
                                 "one `decoder`: these read or write other symbols")  # fmt: skip
            if other._repeats != self._repeats:
                raise UsageError("models by CTC answer together that read characters as often")
        whole = self._alone()
        whole._beside = list(others)
        return whole

    @property
    def alone(self) -> bool:
        """Whether no other models answer with it."""
        return not self._beside

    def _alone(self) -> Transcriber:
        """The same, with no others beside it."""
        return type(self)(self.network, self._saved(self.network.parameters))

    def save(self, path: str | Path) -> None:
        """As of any reader, and raises ``UsageError`` where several models answer together."""
        if not self.alone:
            raise UsageError("several models answer together, and a file holds one: save each of "
                             "them by itself")  # fmt: skip
        super().save(path)

    def __reduce__(self) -> tuple:
        if self.alone:
            return super().__reduce__()
        return type(self).together_with, (self._alone(), self._beside)

    def answers(
        self, texts: Sequence[str], *, beams: int = ANSWER_BEAMS
    ) -> list[Transcribed | None]:
        """The likeliest right sides of each text that are found among so many ``beams``.

        Raises ``UsageError`` for a number of beams that is none, another number of labels than was
        learned, a label that there is not, or a text that is too long.
        """
        require_whole("beams", beams, 1, MOST_ANSWER_BEAMS)
        with all_turns(model.network.turns for model in (self, *self._beside)):
            return self._answers(texts, beams)

    def _answers(self, texts: Sequence[str], beams: int) -> list[Transcribed | None]:
        columns = [self._split(text) for text in texts if text]
        read = [left_tokens(left, labels, self.vocabulary, self.alphabet)
                for left, labels in columns]  # fmt: skip
        order = sorted(range(len(read)), key=lambda n: len(read[n]))  # alike are read together
        found: list[list[Candidate]] = [[] for _ in read]
        most = max(_LANES // beams, 1)
        for some in _parts(order, [len(own) * self._repeats for own in read], most):
            own = self._found([read[n] for n in some], beams)
            for n, candidates in zip(some, own, strict=True):
                labels = len(read[n]) - len(columns[n][0])
                found[n] = [self._candidate(text, labels) for text in candidates]
        answers = (Transcribed(left, own) for (left, _), own in zip(columns, found, strict=True))
        return [next(answers) if text else None for text in texts]

    def check(self, text: str) -> None:
        """Raise ``UsageError`` for a text that cannot be answered; an empty one needs no answer."""
        if text:
            self._split(text)

    def _split(self, text: str) -> tuple[str, tuple[str, ...]]:
        left, *labels = text.split("\t")
        self._columns.check(labels)
        if not left:
            raise UsageError("a line has nothing before its tab: give TEXT<tab>LABEL")
        if len(left) > _LONGEST:
            raise UsageError(f"a line of {len(left):,} characters is too long: a model of pairs "
                             f"answers texts of up to {_LONGEST:,}")  # fmt: skip
        return left, tuple(labels)

    def _candidate(self, text: Found, labels: int) -> Candidate:
        places = [max(place // self._repeats - labels, -1) for place in text.places]
        return Candidate(
            self.alphabet.decode(text.tokens), math.exp(-text.nats), places, text.ended
        )

    def _found(self, read: Sequence[Sequence[int]], beams: int) -> list[list[Found]]:
        first = first_batch([np.repeat(own, self._repeats) for own in read])
        models = [self, *self._beside]
        if self.network.config.answers:
            return search([model.network for model in models], first, beams, self.most)
        batch = _unanswered(first)
        mean = mean_log_probabilities([model.network.logits(batch) for model in models])
        return [self._aligned(mean[:stop, lane], beams) for lane, _, stop in first.spans]

    def _aligned(self, logs: np.ndarray, beams: int) -> list[Found]:
        """What is found by CTC, from log y [T, V]."""
        logs = np.ascontiguousarray(logs)
        logs[:, [END, UNKNOWN]] = -math.inf
        texts, nats = np.empty((beams, len(logs)), np.int64), np.empty(beams)
        ctc.likeliest_prefixes(logs, texts, nats)
        found = []
        for text, loss in zip(texts, nats, strict=True):
            if math.isfinite(loss):
                symbols = text[text >= 0]
                places = np.zeros(symbols.size, np.int64)
                ctc.place_symbols(logs, symbols, places)
                found.append(Found(symbols.tolist(), float(loss), places.tolist()))
        return found


def first_batch(texts: Sequence[np.ndarray]) -> FirstBatch:
    """Texts as tokens, each in a lane of its own."""
    lengths = np.array([len(text) for text in texts], np.int32)
    inputs = np.zeros((int(lengths.max()), len(texts)), np.int32)
    resets = np.zeros(inputs.shape, np.uint8)
    resets[0] = 1
    for lane, text in enumerate(texts):
        inputs[: len(text), lane] = text
        resets[len(text) : len(text) + 1, lane] = 1  # what stands behind it is not of it
    lanes = np.arange(len(texts), dtype=np.int32)
    return FirstBatch(inputs, resets, np.stack([lanes, 0 * lanes, lengths], axis=1))


def _unanswered(first: FirstBatch) -> Batch:
    """What is read, for a network that writes nothing behind it."""
    return Batch(first.inputs, np.zeros_like(first.inputs), first.resets, spans=first.spans)


def _parts(order: Sequence[int], lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Texts in parts that are answered at once."""
    part: list[int] = []
    for n in order:
        if part and (len(part) == most or (len(part) + 1) * lengths[n] > _POSITIONS):
            yield part
            part = []
        part.append(n)
    if part:
        yield part
