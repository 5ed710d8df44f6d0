"""What is measured of answers, the same for every peer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence


def f1(right: int, given: int, wanted: int) -> float:
    """The harmonic mean of right / given and right / wanted; 0 where nothing is right."""
    return 2 * right / (given + wanted) if given + wanted else 0.0


def labels(wanted: Sequence[str], given: Sequence[str]) -> dict[str, float]:
    """Accuracy, and the mean over the wanted labels of each one's F1."""
    right = Counter(want for want, got in zip(wanted, given, strict=True) if want == got)
    wants, gots = Counter(wanted), Counter(given)
    scores = [f1(right[label], gots[label], wants[label]) for label in wants]
    return {"accuracy": right.total() / len(wanted), "macro_f1": sum(scores) / len(scores)}


def spans(wanted: Iterable[set[Hashable]], given: Iterable[set[Hashable]]) -> dict[str, float]:
    """F1 of spans that are right in tag, start and end, and the lines that are wholly right."""
    pairs = list(zip(wanted, given, strict=True))
    right = sum(len(want & got) for want, got in pairs)
    found, there = sum(len(got) for _, got in pairs), sum(len(want) for want, _ in pairs)
    whole = sum(want == got for want, got in pairs)
    return {"span_f1": f1(right, found, there), "lines_right": whole / len(pairs)}


def restored(wanted: Sequence[str], given: Sequence[str], plain: Sequence[str]) -> dict[str, float]:
    """Share of words (between spaces) that are wrong, and F1 of the characters put back.

    The three lists have lines of equal length: `plain` is what was to be restored.
    """
    words = [pair for lines in zip(wanted, given, strict=True)
             for pair in zip(*map(str.split, lines), strict=True)]  # fmt: skip
    characters = [triple for lines in zip(wanted, given, plain, strict=True)
                  for triple in zip(*lines, strict=True)]  # fmt: skip
    right = sum(want == got != bare for want, got, bare in characters)
    put = sum(got != bare for _, got, bare in characters)
    there = sum(want != bare for want, _, bare in characters)
    wrong = sum(want != got for want, got in words)
    return {"word_error_rate": wrong / len(words), "restored_f1": f1(right, put, there)}
