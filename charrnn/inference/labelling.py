"""Models that tell the label of a text, or which labels it has."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from charrnn.compute.turns import in_turn
from charrnn.inference.measures import LIKELY
from charrnn.inference.readers import Reader
from charrnn.text.vocabulary import code_points
from charrnn.training.reading import attention, document_logits, log_probabilities

_WORD = re.compile(r"\w+(?:['’]\w+)*")

#: Of a text, words whose part in its label is tried out: for each that is asked for, and at least,
#: as a label may come from n-grams that no attention is paid to.
_TRIED, _FEWEST_TRIED = 3, 32


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
            _most_heard(text, shares, max(_TRIED * count, _FEWEST_TRIED))
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
