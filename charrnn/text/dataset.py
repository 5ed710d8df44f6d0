"""What a run learns from: the texts for training and for validation, and where they came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charrnn import __version__
from charrnn.config import TextConfig
from charrnn.text.corpus import read_corpus, split
from charrnn.text.display import decoded
from charrnn.text.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Dataset:
    """Token arrays as ``charrnn.text.corpus`` makes them; any number of runs may learn from one."""

    vocabulary: Vocabulary
    training: np.ndarray  # [n + 1]
    validation: np.ndarray  # [m + 1]; [0]: there is none
    origin: dict[str, Any]  # what a model says of its corpus, JSON values


def read_dataset(
    sources: Sequence[str],
    text: TextConfig,
    *,
    rng: np.random.Generator,
    vocabulary: Vocabulary | None = None,
    known: str = "",
) -> Dataset:
    """Read files, or standard input where a source is "-"; ``rng`` draws what validates.

    ``vocabulary`` and ``known`` as in ``read_corpus``. Raises ``CorpusError`` or ``UsageError``.
    """
    corpus = read_corpus(
        sources, **_reading(text), min_count=text.min_count, vocabulary=vocabulary, known=known
    )
    if text.validation is None:
        training, validation = split(corpus, text.validation_fraction, rng=rng)
    else:
        training, vocabulary = corpus.tokens, corpus.vocabulary
        validation = read_corpus([text.validation], **_reading(text), vocabulary=vocabulary).tokens
    origin = {
        "corpus": [decoded(Path(source).name) for source in sources],
        "corpus_characters": corpus.characters,
        "documents": corpus.documents,
        "text": dataclasses.asdict(text),
        "version": __version__,
    }
    return Dataset(corpus.vocabulary, training, validation, origin)


#: Tokens whose lines are looked at, and the fewest lines that tell anything.
_SAMPLE, _FEWEST_LINES = 2**18, 50

#: Most characters of half of the lines and of nine tenths of them, and how many lines may be empty:
#: what tells lists from verse and from programs (docs/measurements.md).
_MEDIAN, _NINTH_DECILE, _EMPTY = 30, 50, 0.01


def one_item_a_line(tokens: np.ndarray, vocabulary: Vocabulary) -> bool:
    """Whether a text looks like a list with one item a line: names, titles, words."""
    lines = vocabulary.decode(tokens[:_SAMPLE]).split("\n")[:-1]
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
