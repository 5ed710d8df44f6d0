"""What a run learns from: the texts for training and for validation, and where they came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from charrnn import __version__
from charrnn.config import TextConfig
from charrnn.text.corpus import (
    SHORTEST_TRAINING,
    SHORTEST_VALIDATION,
    read_corpus,
    split,
)
from charrnn.text.display import decoded
from charrnn.text.documents import Documents
from charrnn.text.pairs import Pairs
from charrnn.text.running import RunningText
from charrnn.text.tasks import Known, Told, read_told
from charrnn.text.vocabulary import START, Vocabulary

#: Text that is read on and on, texts that are read whole, or pairs of these.
Learned: TypeAlias = "RunningText | Documents | Pairs"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Texts for training and, if there are any, for validation; any number of runs may use them."""

    vocabulary: Vocabulary
    training: Learned
    validation: Learned  # of no positions: there is none
    origin: dict[str, Any]  # what a model says of its corpus, JSON values
    labels: tuple[str, ...] = ()  # the names of classes, in the order of their indices


def read_dataset(
    sources: Sequence[str],
    text: TextConfig,
    *,
    rng: np.random.Generator,
    vocabulary: Vocabulary | None = None,
    known: str = "",
    labels: tuple[str, ...] = (),
) -> Dataset:
    """Read files, or standard input where a source is "-"; ``rng`` draws what validates.

    ``vocabulary`` and ``known`` as in ``read_corpus``; ``labels`` are those that a model has which
    is to learn on. Raises ``CorpusError`` or ``UsageError``.
    """
    if text.task == "write" and text.labels is None:
        return _written(sources, text, rng, vocabulary, known)
    settled = Known(vocabulary, known, labels)
    told = read_told(sources, text, settled)
    if text.validation is None:
        training, validation = _split(told, text.validation_fraction, rng)
    else:
        repeats, columns = told.more.get("repeats"), told.more.get("columns")
        settled = Known(told.vocabulary, labels=told.labels, repeats=repeats, columns=columns)
        training, validation = told.texts, read_told([text.validation], text, settled).texts
    if text.balance and isinstance(training, Documents):
        training = training.balanced()
    if isinstance(validation, Documents):
        validation = validation.with_gaps(rng)
    origin = _origin(sources, text, _characters_of(told.texts), told.texts.count)
    if isinstance(training, RunningText):
        origin["label_counts"] = training.label_counts(len(told.labels), by_text=text.by_line)
    return Dataset(told.vocabulary, training, validation, origin | told.more, told.labels)


def _written(
    sources: Sequence[str],
    text: TextConfig,
    rng: np.random.Generator,
    vocabulary: Vocabulary | None,
    known: str,
) -> Dataset:
    """Text to be written, of which nothing else is told."""
    corpus = read_corpus(
        sources, **_reading(text), min_count=text.min_count, vocabulary=vocabulary, known=known
    )
    if text.validation is None:
        training, validation = split(corpus, text.validation_fraction, rng=rng)
    else:
        training, vocabulary = corpus.tokens, corpus.vocabulary
        validation = read_corpus([text.validation], **_reading(text), vocabulary=vocabulary).tokens
    origin = _origin(sources, text, corpus.characters, corpus.documents)
    return Dataset(corpus.vocabulary, RunningText(training), RunningText(validation), origin)


def _origin(
    sources: Sequence[str], text: TextConfig, characters: int, documents: int
) -> dict[str, Any]:
    """What a model says of its corpus."""
    return {
        "corpus": [decoded(Path(source).name) for source in sources],
        "corpus_characters": characters,
        "documents": documents,
        "text": dataclasses.asdict(text),
        "version": __version__,
    }


def _characters_of(texts: Learned) -> int:
    if isinstance(texts, Pairs):
        return texts.left.tokens.size + texts.right.tokens.size
    tokens = texts.tokens
    return tokens.size - int(np.count_nonzero(tokens == START))


def _split(told: Told, fraction: float, rng: np.random.Generator) -> tuple[Learned, Learned]:
    """Texts to learn and to validate on, none where they are too few.

    Texts that are the same stay together, and of each stratum about the ``fraction`` validates.
    """
    count = told.texts.count
    chosen = told.ends
    if chosen is None:
        groups = np.arange(count) if told.groups is None else told.groups
        strata = np.zeros(count, np.int64) if told.strata is None else told.strata
        chosen = choose(groups, strata, fraction, rng)
    # In any order, so that a part of them is like all.
    training = told.texts.take(np.flatnonzero(~chosen))
    validation = told.texts.take(rng.permutation(np.flatnonzero(chosen)))
    if training.positions < SHORTEST_TRAINING or validation.positions < SHORTEST_VALIDATION:
        return told.texts, told.texts.take(np.arange(0))
    return training, validation


def choose(
    groups: np.ndarray, strata: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Which of the texts validate, bool [D]: whole groups, of each stratum about the fraction.

    A group is of the stratum of its first text.
    """
    _, first, of_text = np.unique(groups, return_index=True, return_inverse=True)
    order = rng.permutation(first.size)
    order = order[np.argsort(strata[first][order], kind="stable")]
    # Every 1/fraction of them, as they lie by their strata, from a random place on.
    places = np.floor(np.arange(order.size + 1) * fraction + rng.random())
    chosen = np.zeros(first.size, np.bool_)
    chosen[order] = np.diff(places) > 0
    return chosen[of_text]


#: Tokens whose lines are looked at, and the fewest lines that tell anything.
_SAMPLE, _FEWEST_LINES = 2**18, 50

#: Most characters of half of the lines and of nine tenths of them, and how many lines may be empty:
#: what tells lists from verse and from programs (docs/measurements.md).
_MEDIAN, _NINTH_DECILE, _EMPTY = 30, 50, 0.01


def looks_like_a_list(text: Learned, vocabulary: Vocabulary) -> bool:
    """Whether a running text looks like a list with one item a line: names, titles, words."""
    if not isinstance(text, RunningText):
        return False
    lines = vocabulary.decode(text.tokens[:_SAMPLE]).split("\n")[:-1]
    if len(lines) < _FEWEST_LINES:
        return False
    lengths = np.array([len(line.strip()) for line in lines])
    median, decile = np.quantile(lengths, (0.5, 0.9))
    empty = np.mean(lengths == 0)
    return bool(median <= _MEDIAN and decile <= _NINTH_DECILE and empty <= _EMPTY)


def _reading(text: TextConfig) -> dict[str, Any]:
    """The options of ``read_corpus`` that training and validation texts share."""
    return {
        "lines": text.lines,
        "encoding": text.encoding,
        "normalize_newlines": text.normalize_newlines,
    }
