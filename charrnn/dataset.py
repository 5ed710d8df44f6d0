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
from charrnn.corpus import read_corpus, split
from charrnn.files import decoded
from charrnn.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Dataset:
    """Token arrays as ``charrnn.corpus`` makes them; any number of runs may learn from one."""

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


def _reading(text: TextConfig) -> dict[str, Any]:
    """The options of ``read_corpus`` that training and validation texts share."""
    return {
        "lines": text.lines,
        "encoding": text.encoding,
        "normalize_newlines": text.normalize_newlines,
    }
