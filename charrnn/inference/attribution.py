"""Which labels texts most likely have, by Bayes: P(label | text) ∝ P(text | label) P(label)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charrnn.errors import ModelFileError, UsageError
from charrnn.inference.labelling import Labelled
from charrnn.inference.language_model import LanguageModel
from charrnn.storage.summary import reads_lines
from charrnn.text.corpus import read_pieces
from charrnn.text.lines import BLOCK, text_of, whole_lines
from charrnn.text.running import Labelling
from charrnn.text.vocabulary import START
from charrnn.training.evaluation import Shares, batch_at

#: Lanes and steps of a chunk, and predictions that are kept at once.
_LANES, _STEPS, _KEPT = 64, 64, 2**20


class Attribution(NamedTuple):
    """The labels of a column that a text may have, the likeliest first."""

    names: list[str]
    probabilities: list[float]  # that add up to 1


class Attributor:
    """Answers as ``readers.Labeller`` does, with a model that writes texts by labels."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def answers(self, texts: Sequence[str]) -> list[Labelled | None]:
        """The likeliest label of each column, and the probabilities of all; None: an empty text.

        A label of several columns has the probability that it has in the likeliest of them. Raises
        as ``likeliest_labels``.
        """
        found = likeliest_labels(self._model, filter(None, texts))
        return [_labelled(text, next(found)) if text else None for text in texts]


def _labelled(text: str, columns: Sequence[Attribution]) -> Labelled:
    chances: dict[str, float] = {}
    for own in columns:
        for name, chance in zip(own.names, own.probabilities, strict=True):
            chances[name] = max(chance, chances.get(name, 0.0))
    likeliest = sorted(chances.items(), key=lambda pair: -pair[1])
    return Labelled(text, tuple(own.names[0] for own in columns), dict(likeliest))


class _Column(NamedTuple):
    """The labels that come in a column of the training text."""

    indices: np.ndarray  # [k]
    log_shares: np.ndarray  # [k], of each of them among these


def attributed_lines(
    model: LanguageModel,
    sources: Sequence[str | Path],
    *,
    encoding: str = "utf-8",
    unbuffered: bool = False,
) -> Iterator[tuple[str, tuple[Attribution, ...]]]:
    """The lines of files, or of standard input where a source is ``-``, and ``likeliest_labels``.

    Many lines are read at once; ``unbuffered`` lets none wait for the next. Raises ``CorpusError``
    where a source cannot be read.
    """
    for source in sources:
        pieces = read_pieces(source, encoding=encoding, normalize_newlines=True)
        for block in whole_lines(pieces, 1 if unbuffered else BLOCK):
            lines = text_of(block).removesuffix("\n").split("\n")
            yield from zip(lines, likeliest_labels(model, lines), strict=True)


def likeliest_labels(
    model: LanguageModel, lines: Iterable[str]
) -> Iterator[tuple[Attribution, ...]]:
    """For each line, as a text of its own, the likeliest labels of each column: of files, of one.

    They are those of a text that has no label of another column, as common as in training. Where
    lines were no documents there, each is read as a line of running text. Raises ``UsageError`` for
    a model that knows no labels, ``ModelFileError`` for one that does not say how common they are.
    """
    columns = _columns(model)
    parts = (_attributed(model, columns, some) for some in _together(lines, len(model.labels)))
    return itertools.chain.from_iterable(parts)


def _columns(model: LanguageModel) -> list[_Column]:
    if not model.labels:
        raise UsageError("the model knows no labels: train one with `labels`")
    columns = []
    for counts in map(np.array, model.training.get("label_counts", [])):
        if counts.shape != (len(model.labels),):
            raise ModelFileError("the model has another number of labels than it says: train it "
                                 "anew")  # fmt: skip
        if counts.any():
            indices = np.flatnonzero(counts)
            columns.append(_Column(indices, np.log(counts[indices] / counts.sum())))
    if not columns:
        raise ModelFileError("the model does not say how common its labels are: train it anew")
    return columns


def _together(lines: Iterable[str], labels: int) -> Iterator[list[str]]:
    """The lines in groups that are read at once, with each of so many labels."""
    group: list[str] = []
    size = 0
    for line in lines:
        group.append(line)
        size += labels * (len(line) + 1)
        if size >= _KEPT:
            yield group
            group, size = [], 0
    if group:
        yield group


def _attributed(
    model: LanguageModel, columns: Sequence[_Column], lines: Sequence[str]
) -> Iterator[tuple[Attribution, ...]]:
    with model.network.turns.take():
        nats = _losses(model, lines)
    names = np.array(model.labels, object)
    found = []
    for column in columns:
        logits = column.log_shares - nats[:, column.indices]
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        order = np.argsort(-chances, axis=1, kind="stable")
        likeliest = names[column.indices][order].tolist()
        probabilities = np.take_along_axis(chances, order, axis=1).tolist()
        found.append(map(Attribution, likeliest, probabilities))
    return zip(*found, strict=True)


def _losses(model: LanguageModel, lines: Sequence[str]) -> np.ndarray:
    """-log P(line | label) [lines, K], float64 in nats: each line is read once with each label."""
    documents = reads_lines(model.training)
    if not documents:  # lines of running text stand between others
        lines = [f"\n{line}\n" for line in lines]
    lengths = np.array([len(line) for line in lines])
    begins = np.cumsum(lengths) - lengths
    once = np.insert(model.vocabulary.encode("".join(lines)), begins, START)
    labels = len(model.labels)
    tokens = np.append(np.tile(once, labels), START)
    losses = _position_losses(model, tokens, np.repeat(np.arange(labels), lengths.size))
    starts = np.tile(begins + np.arange(lengths.size), labels)
    starts += np.repeat(np.arange(labels) * once.size, lengths.size)
    if not documents:  # neither the newline before a line is of it, nor the end
        losses[starts] = losses[starts + np.tile(lengths, labels)] = 0
    return np.add.reduceat(losses, starts).reshape(labels, -1).T


def _position_losses(model: LanguageModel, tokens: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-log P of ``tokens[1:]``, float64 [N], where each document has its own of ``labels`` [D]."""
    network, labelling = model.network, Labelling(tokens, labels[:, np.newaxis])
    shares = _whole_shares(tokens)
    losses = np.empty(tokens.size - 1)
    state = network.initial_state(shares.first.size)
    for t in range(0, shares.steps, _STEPS):
        positions, counted = shares.at(np.arange(t, min(t + _STEPS, shares.steps)))
        batch = batch_at(tokens, positions, counted, labelling)
        found, state = network.losses(batch, state)
        losses[positions[counted]] = found[counted]
    return losses


def _whole_shares(tokens: np.ndarray) -> Shares:
    """Shares of whole documents, as even as these allow."""
    positions = tokens.size - 1
    begins = np.flatnonzero(tokens[:-1] == START)
    even = np.arange(_LANES) * positions // _LANES
    own = begins[np.unique(np.searchsorted(begins, even, "right") - 1)]
    return Shares(own, own, np.append(own[1:], positions))
