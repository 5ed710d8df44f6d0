"""Models that read: they tell the label of a text, find tags in it, or put back what is missing."""

from __future__ import annotations

import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from charrnn.compute.readout import NEVER
from charrnn.compute.turns import in_turn
from charrnn.config import TextConfig
from charrnn.errors import CharrnnError, ModelFileError
from charrnn.inference.measures import LIKELY
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel
from charrnn.text.documents import Documents
from charrnn.text.labels import Labels
from charrnn.text.lines import NEWLINE
from charrnn.text.markup import Span, TagScheme, inside_words, write
from charrnn.text.restoring import Restorer
from charrnn.text.vocabulary import START, code_points
from charrnn.training.reading import (
    MARGIN,
    attention,
    document_logits,
    log_probabilities,
    position_logits,
)

#: Numbers that the logits of texts which are read at once may take.
_KEPT = 2**24

_WORD = re.compile(r"\w+(?:['’]\w+)*")

#: Of a text, words whose part in its label is tried out, for each that is asked for.
_TRIED = 3


class Term(NamedTuple):
    """A word of a text, and by how much its label is less likely without it."""

    word: str
    start: int
    nats: float  # log P of the label with the word, less log P without it


@dataclass(frozen=True)
class Labelled:
    """A text with what it most likely is."""

    text: str
    labels: tuple[str, ...]  # those that are told: one, or of a model of several any number
    probabilities: dict[str, float]  # of all labels, the likeliest first
    terms: list[Term] = field(default_factory=list)


@dataclass(frozen=True)
class Tagged:
    """A text with the tags that are found in it."""

    text: str
    spans: list[Span]
    probabilities: list[float]  # of each span: the geometric mean over its characters

    @property
    def markup(self) -> str:
        """The text with its tags."""
        return write(self.text, self.spans)


@dataclass(frozen=True)
class Restored:
    """A text in which what was missing is put back."""

    text: str


class Reader(ABC):
    """A network that reads, its characters and its labels.

    ``training`` says where it came from. Several threads may call it: they take turns.
    """

    def __init__(self, network: Network, saved: SavedModel) -> None:
        self.network, self.vocabulary = network, saved.vocabulary
        self.labels, self.training = Labels(saved.labels), saved.training

    @abstractmethod
    def answers(self, texts: Sequence[str]) -> list[Any]:
        """What is told of each of the texts; an empty one tells nothing and has no answer, None."""

    def _documents(self, codes: Sequence[np.ndarray], *, by_position: bool) -> Documents:
        """Texts of code points, none of them empty, of which nothing is known yet."""
        ends = np.cumsum([own.size for own in codes])
        tokens = self.vocabulary.table[np.concatenate(codes)]
        size = tokens.size if by_position else ends.size
        return Documents(tokens, ends, np.zeros(size, np.int32), by_position)


class Labeller(Reader):
    """Tells the label of a text, or of a model of ``multiple`` which labels it has."""

    @in_turn
    def answers(
        self, texts: Sequence[str], *, temperature: float | None = None, terms: int = 0
    ) -> list[Labelled | None]:
        """Labels with probabilities, and with ``terms`` as many of the words that decided.

        Logits are divided by the ``temperature``, which is the one that suits the model unless it
        is given.
        """
        some = [text for text in texts if text]
        logits, heat = self.logits(some), self.temperature(temperature)
        decisive = self._terms(some, logits, terms) if terms else [[] for _ in some]
        found = map(Labelled, some, *self._told(self.probabilities(logits / heat)), decisive)
        return [next(found) if text else None for text in texts]

    @property
    def multiple(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.network.config.multiple

    def temperature(self, given: float | None) -> float:
        """The one that is ``given``, or that suits the model."""
        return given or self.training.get("temperature") or 1.0

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Of each label for each text [D, K]; no text is empty."""
        if not texts:
            return np.empty((0, self.labels.size))
        codes = [code_points(text, "surrogatepass") for text in texts]
        return document_logits(self.network, self._documents(codes, by_position=False))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Of each label [D, K]; those of a text add up to 1 unless it may have several."""
        if self.multiple:
            return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        return np.exp(log_probabilities(logits))

    def _told(self, chances: np.ndarray) -> tuple[list[tuple[str, ...]], list[dict[str, float]]]:
        """The labels that each text is told to have, and all with their ``chances`` [D, K]."""
        names = np.array(self.labels.names, object)
        order = np.argsort(-chances, axis=1, kind="stable")
        ordered = np.take_along_axis(chances, order, axis=1)
        counts = (ordered >= LIKELY).sum(axis=1) if self.multiple else np.ones(len(chances), int)
        all_ = [
            dict(zip(own, values, strict=True))
            for own, values in zip(names[order].tolist(), ordered.tolist(), strict=True)
        ]
        told = [tuple(itertools.islice(own, n)) for own, n in zip(all_, counts, strict=True)]
        return told, all_

    def _terms(self, texts: Sequence[str], logits: np.ndarray, count: int) -> list[list[Term]]:
        """For each text the words without which its label is less likely, most of all first.

        Those that have most of the attention are tried out. ``logits`` are those of the texts.
        """
        tried = [
            _most_heard(text, shares, _TRIED * count)
            for text, shares in zip(texts, self._shares(texts), strict=True)
        ]
        pairs = [(number, word) for number, words in enumerate(tried) for word in words]
        without = [texts[n][: w.start()] + texts[n][w.end() :] or " " for n, w in pairs]
        numbers = np.array([number for number, _ in pairs], np.int64)
        best = logits.argmax(axis=1)[numbers]
        drops = self._log_chances(logits[numbers], best) - self._log_chances(
            self.logits(without), best
        )
        terms: list[list[Term]] = [[] for _ in texts]
        for (number, word), drop in zip(pairs, drops.tolist(), strict=True):
            if drop > 0:
                terms[number].append(Term(word[0], word.start(), drop))
        return [sorted(own, key=lambda term: -term.nats)[:count] for own in terms]

    def _log_chances(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """log P of one of the ``labels`` [D] for each row of ``logits`` [D, K]."""
        own = np.arange(labels.size), labels
        if self.multiple:
            return -np.logaddexp(0, -logits[own])
        return log_probabilities(logits)[own]

    def _shares(self, texts: Sequence[str]) -> list[np.ndarray]:
        """How much attention each character of the texts has."""
        if not texts:
            return []
        codes = [code_points(text, "surrogatepass") for text in texts]
        documents = self._documents(codes, by_position=False)
        return np.split(attention(self.network, documents), documents.ends[:-1])


def _most_heard(text: str, shares: np.ndarray, count: int) -> list[re.Match[str]]:
    """The words of a text that have most of the attention."""
    words = list(_WORD.finditer(text))
    return sorted(words, key=lambda word: -shares[word.start() : word.end()].sum())[:count]


class Tagger(Reader):
    """Finds tags in texts."""

    def __init__(self, network: Network, saved: SavedModel) -> None:
        super().__init__(network, saved)
        self.scheme = TagScheme.of(saved.labels)
        # Where no tag of the training text begins or ends within a word, none is found to.
        self._whole_words = self.training.get("whole_words", False)

    @in_turn
    def answers(self, texts: Sequence[str]) -> list[Tagged | None]:
        """The likeliest tags of each text."""
        found = iter(self._tagged([text for text in texts if text]))
        return [next(found) if text else None for text in texts]

    def _tagged(self, texts: Sequence[str]) -> Iterator[Tagged]:
        for some in _together(texts, self.scheme.size):
            codes = [code_points(text, "surrogatepass") for text in some]
            documents = self._documents(codes, by_position=True)
            logits = log_probabilities(position_logits(self.network, documents))
            inside = [inside_words(text) for text in some] if self._whole_words else None
            taggings = self.scheme.spans(np.split(logits, documents.ends[:-1]), inside)
            for text, tagging in zip(some, taggings, strict=True):
                chances = [math.exp(confidence) for confidence in tagging.confidences]
                yield Tagged(text, tagging.spans, chances)


class TextRestorer(Reader):
    """Puts back what was taken out of texts, and changes nothing else."""

    def __init__(self, network: Network, saved: SavedModel) -> None:
        super().__init__(network, saved)
        config = TextConfig(**saved.training["text"])
        self.restorer, self.by_line = Restorer(config.restored, self.labels), config.by_line

    @in_turn
    def answers(self, texts: Sequence[str], *, before: str = "") -> list[Restored | None]:
        """Each text with what is most likely missing from it.

        Where the model was trained on running text, the texts are its lines one after the other,
        and ``before`` is what stood before the first of them.
        """
        if self.by_line:
            found = iter(self._restored([text for text in texts if text]))
            return [next(found) if text else None for text in texts]
        return list(self._restored_lines(texts, before))

    def _restored(self, texts: Sequence[str]) -> Iterator[Restored]:
        for some in _together(texts, self.labels.size):
            codes = [code_points(text, "surrogatepass") for text in some]
            scores = self._scores([removed.kept for removed in self.restorer.remove(codes)])
            yield from map(Restored, self.restorer.restore(codes, scores))

    def _scores(self, kept: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Logits [n + 1, K] of the edits of START and of each character that stayed [n]."""
        tokens = [np.append(START, self.vocabulary.table[own]) for own in kept]
        ends = np.cumsum([own.size for own in tokens])
        classes = np.zeros(ends[-1], np.int32)
        documents = Documents(np.concatenate(tokens), ends, classes, True)
        return np.split(position_logits(self.network, documents), ends[:-1])

    def _restored_lines(self, lines: Sequence[str], before: str) -> Iterator[Restored | None]:
        for some in _together(lines, self.labels.size):
            codes = [code_points(text, "surrogatepass") for text in some]
            yield from self._in_context(some, codes, before)
            before = some[-1]

    def _in_context(
        self, lines: Sequence[str], codes: Sequence[np.ndarray], before: str
    ) -> Iterator[Restored | None]:
        """Lines as one text: what stands at the beginning of one belongs to the end before it."""
        newline = np.array([NEWLINE], np.uint32)
        context = code_points(before[-MARGIN:], "surrogatepass")
        parts = [part for own in [context, *codes] for part in (own, newline)]
        kept = [removed.kept for removed in self.restorer.remove(parts)]
        ends = np.cumsum([own.size for own in kept])
        (scores,) = self._scores([np.concatenate(kept)])
        nothing = np.where(np.arange(self.labels.size) == 0, np.float32(0), np.float32(NEVER))
        own_scores = []
        for number in range(2, len(parts), 2):
            first, last = ends[number - 1], ends[number]
            # Where no newline stays, what stands behind it was put at the end of the line before.
            head = scores[first][np.newaxis] if kept[number - 1].size else nothing[np.newaxis]
            own_scores.append(np.concatenate([head, scores[first + 1 : last + 1]]))
        restored = self.restorer.restore(codes, own_scores)
        for line, text in zip(lines, restored, strict=True):
            yield Restored(text) if line else None


def _together(texts: Sequence[str], classes: int) -> Iterator[Sequence[str]]:
    """The texts in parts that are read at once, so that their logits fit into memory."""
    first = numbers = 0
    for number, text in enumerate(texts):
        size = (len(text) + 2) * classes
        if numbers and numbers + size > _KEPT:
            yield texts[first:number]
            first, numbers = number, 0
        numbers += size
    if texts:
        yield texts[first:]


_KINDS: dict[str, type[Labeller] | type[Tagger] | type[TextRestorer]] = {
    "label": Labeller,
    "tags": Tagger,
    "restore": TextRestorer,
}


def reader_of(saved: SavedModel, network: Network) -> Labeller | Tagger | TextRestorer:
    """A model that reads, with its ``network``.

    Raises ``ModelFileError`` where its labels or what it says of its texts make no sense.
    """
    try:
        return _KINDS[saved.config.task](network, saved)
    except (CharrnnError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"the model's labels make no sense ({error}): train it anew"
        ) from error
