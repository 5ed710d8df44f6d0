"""Texts to be measured, with the labels that a network which writes is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from charrnn.config import TextConfig
from charrnn.text.corpus import Corpus, read_corpus
from charrnn.text.display import decoded
from charrnn.text.examples import indices_of, read_examples
from charrnn.text.labels import Labels
from charrnn.text.running import Labelling
from charrnn.text.vocabulary import START, UNKNOWN, Vocabulary


def read_labelled(
    sources: Sequence[str], config: TextConfig, vocabulary: Vocabulary, labels: Labels
) -> tuple[Corpus, Labelling]:
    """Read files as they are read in training by labels, with what a network knows already.

    Labels are those of columns, which must be known, or the names of files; a file that has no
    label's name has none. Raises ``CorpusError`` or ``UsageError``.
    """
    if config.labels == "columns":
        corpus, own = _by_columns(sources, config, vocabulary, labels)
    else:
        corpus = read_corpus(
            sources, lines=config.lines, encoding=config.encoding, vocabulary=vocabulary,
            normalize_newlines=config.normalize_newlines,
        )  # fmt: skip
        indices = {name: index for index, name in enumerate(labels.names)}
        own = labels_of_sources(corpus, [indices.get(label_of(source), -1) for source in sources])
    return corpus, Labelling(corpus.tokens, own)


def _by_columns(
    sources: Sequence[str], config: TextConfig, vocabulary: Vocabulary, labels: Labels
) -> tuple[Corpus, np.ndarray]:
    examples = read_examples(sources, config)
    own, tokens = indices_of(examples.names, labels), examples.framed(vocabulary)
    begins = np.append(0, examples.ends + np.arange(1, len(examples.names) + 1))
    corpus = Corpus(
        vocabulary=vocabulary,
        tokens=tokens,
        characters=sum(examples.lengths),
        documents=len(examples.names),
        unknown=int(np.count_nonzero(tokens == UNKNOWN)),
        sizes=tuple(np.diff(begins[examples.bounds]).tolist()),
    )
    return corpus, own


def label_of(source: str) -> str:
    """The label that a file's name is."""
    return decoded(Path(source).stem)


def labels_of_sources(corpus: Corpus, labels: Sequence[int]) -> np.ndarray:
    """The label of each document [D, 1], of those that its source has; -1: none."""
    starts = np.flatnonzero(corpus.tokens[:-1] == START)
    source = np.searchsorted(np.cumsum(corpus.sizes), starts, "right")
    return np.array(labels, np.int32)[source][:, np.newaxis]
