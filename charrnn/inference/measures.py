"""How well what a model that reads tells agrees with what is so; figures by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from charrnn.compute.edit_distance import edit_distance
from charrnn.text.markup import Span
from charrnn.training.reading import document_losses

#: Probability from which on a label is told that may stand beside others.
LIKELY = 0.5

#: Bins of certainty in which it is compared with how often it is right.
_BINS = 15


def label_measures(
    names: Sequence[str], logits: np.ndarray, chances: np.ndarray, classes: np.ndarray
) -> dict[str, Any]:
    """Of one label a document: ``logits`` and ``chances`` [D, K], ``classes`` [D].

    The calibration error is the mean distance between certainty and accuracy, over bins of
    certainty, weighted by what is in them (Guo et al. 2017). ``commonest_share`` is the accuracy
    of always telling the commonest label; ``confusion`` says for each label how often which was
    told.
    """
    told = logits.argmax(axis=1)
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (classes, told), 1)
    return {
        "texts": classes.size,
        "accuracy": float((told == classes).mean()),
        "macro_f1": _macro_f1(counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)),
        "nats": float(document_losses(logits, classes).mean()),
        "calibration_error": _calibration_error(chances.max(axis=1), told == classes),
        "commonest_share": float(counts.sum(axis=1).max() / classes.size),
        "confusion": {
            name: {other: int(n) for other, n in zip(names, row, strict=True) if n}
            for name, row in zip(names, counts, strict=True)
        },
    }


def label_set_measures(
    logits: np.ndarray, chances: np.ndarray, classes: np.ndarray
) -> dict[str, Any]:
    """Of any number of labels a document: ``classes`` are bool [D, K]."""
    told = chances >= LIKELY
    right, counts = (told & classes).sum(axis=0), (told.sum(axis=0), classes.sum(axis=0))
    return {
        "texts": len(classes),
        "accuracy": float((told == classes).all(axis=1).mean()),
        "micro_f1": _f1(right.sum(), counts[0].sum(), counts[1].sum()),
        "macro_f1": _macro_f1(right, *counts),
        "nats": float(document_losses(logits, classes).mean()),
        "calibration_error": _calibration_error(
            np.maximum(chances, 1 - chances).ravel(), (told == classes).ravel()
        ),
    }


def _f1(right: float, told: float, actual: float) -> float:
    """The harmonic mean of precision and recall; 0 where there is nothing to be right about."""
    return float(2 * right / (told + actual)) if told + actual else 0.0


def _macro_f1(right: np.ndarray, told: np.ndarray, actual: np.ndarray) -> float:
    """The mean over the labels that occur, or are told."""
    scores = [_f1(*counts) for counts in zip(right, told, actual, strict=True) if sum(counts[1:])]
    return float(np.mean(scores)) if scores else 0.0


def _calibration_error(certainty: np.ndarray, right: np.ndarray) -> float:
    sure, correct, counts = reliability(certainty, right)
    return float((np.abs(sure - correct) * counts).sum() / certainty.size)


def reliability(
    certainty: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean certainty, share that is right, and how many there are, of each bin that has any [b].

    What is no number, as where weights are beyond all measure, is no certainty.
    """
    certainty = np.nan_to_num(certainty)
    bins = np.minimum((certainty * _BINS).astype(np.int64), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    some = np.flatnonzero(counts)
    sure, correct = (
        np.bincount(bins, own, _BINS)[some] / counts[some] for own in (certainty, right)
    )
    return sure, correct, counts[some]


def pair_measures(
    told: Iterable[tuple[Sequence[str], Sequence[Sequence[str]]]],
) -> dict[str, Any]:
    """Of right sides: pairs of what was written and all that would be right, as symbols.

    A text is right where it is one of them. The symbol error rate is the edit distance to the
    nearest of them, the shortest of several, by the symbols that these have.
    """
    texts = wrong = errors = symbols = 0
    for written, right in told:
        indices = {symbol: n for n, symbol in enumerate({*written, *(s for r in right for s in r)})}
        own, *others = (
            np.array([indices[symbol] for symbol in side], np.int64) for side in (written, *right)
        )
        distances = [(int(edit_distance(own, other)), other.size) for other in others]
        distance, length = min(distances)
        texts, wrong = texts + 1, wrong + (distance > 0)
        errors, symbols = errors + distance, symbols + length
    return {
        "texts": texts,
        "error_rate": wrong / texts,
        "symbol_error_rate": errors / max(symbols, 1),
    }


def tag_measures(
    pairs: Iterable[tuple[str, Sequence[Span], Sequence[Span]]],
) -> dict[str, Any]:
    """Of texts with the spans that are so, and those that were told: a span is right as a whole."""
    right, told, actual = Counter[str](), Counter[str](), Counter[str]()
    lines = lines_right = characters = characters_right = 0
    for text, true, found in pairs:
        for counter, spans in ((told, found), (actual, true), (right, set(true) & set(found))):
            counter.update(span.name for span in spans)
        lines, lines_right = lines + 1, lines_right + (set(true) == set(found))
        characters += len(text)
        characters_right += int((_tags(text, true) == _tags(text, found)).sum())
    sums = [sum(counter.values()) for counter in (right, told, actual)]
    return {
        "lines": lines,
        "spans": sums[2],
        "precision": sums[0] / sums[1] if sums[1] else 0.0,
        "recall": sums[0] / sums[2] if sums[2] else 0.0,
        "f1": _f1(*sums),
        "lines_right": lines_right / lines if lines else 0.0,
        "character_accuracy": characters_right / characters if characters else 0.0,
        "f1_of_tags": {
            name: _f1(right[name], told[name], actual[name]) for name in sorted(told | actual)
        },
    }


def _tags(text: str, spans: Sequence[Span]) -> np.ndarray:
    """The name of the tag of each character."""
    tags = np.full(len(text), "", object)
    for span in spans:
        tags[span.start : span.end] = span.name
    return tags


class RestoredMeasures:
    """Adds up how well texts are restored.

    ``gone`` says of each code point whether it is taken out. A word is right where the same
    characters stand between the same places.
    """

    def __init__(self, gone: np.ndarray) -> None:
        self._gone = gone
        self._words = self._right = self._left = 0
        self._edits = np.zeros(3, np.int64)  # right, told, actual

    def add(self, texts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        """One more text as it was, as it was read, and as it was restored: code points."""
        true, read, restored = (self._words_of(codes) for codes in texts)
        self._words += true.total()
        self._right += (true & restored).total()
        self._left += (true & read).total()

    def add_edits(self, true: np.ndarray, restored: np.ndarray) -> None:
        """The classes of all its edits, and of those that were told; 0: nothing was to be done."""
        right = np.count_nonzero((true == restored) & (true > 0))
        self._edits += right, np.count_nonzero(restored), np.count_nonzero(true)

    def _words_of(self, codes: np.ndarray) -> Counter[tuple[int, int, bytes]]:
        """The words of a text, each with how many characters that stay are before and in it."""
        kept = np.concatenate([[0], np.cumsum(~self._gone[codes])])
        blank = np.isin(codes, _BLANKS)
        edges = np.flatnonzero(np.diff(np.concatenate([[True], blank, [True]])))
        pairs = edges.reshape(-1, 2)
        return Counter(
            (int(kept[first]), int(kept[last]), codes[first:last].tobytes())
            for first, last in pairs
        )

    def figures(self) -> dict[str, Any]:
        """What came of all."""
        right, told, actual = self._edits.tolist()
        figures = {
            "words": self._words,
            "word_error_rate": 1 - self._right / self._words if self._words else 0.0,
            "word_error_rate_before": 1 - self._left / self._words if self._words else 0.0,
        }
        if not actual + told:  # all was a matter of gaps
            return figures
        return figures | {
            "edits": actual,
            "precision": right / told if told else 0.0,
            "recall": right / actual if actual else 0.0,
            "f1": _f1(right, told, actual),
        }


_BLANKS = np.array([ord(blank) for blank in " \t\n\r\v\f\u00a0\u2028\u2029"], np.uint32)
