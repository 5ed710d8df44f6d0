"""Lines of data sets, and their split into what is trained with and what is held back."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

SEED = 1


class Example(NamedTuple):
    """A line of a data set; those of one group are all in one part."""

    line: str
    group: str
    label: str


def rank(text: str) -> bytes:
    """A random order of texts that is the same on every machine."""
    return hashlib.sha256(f"{SEED} {text}".encode()).digest()


def bare(text: str) -> str:
    """A text without capitals, accents and punctuation: what its spellings have in common."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if letter.isalnum())


def split(examples: Iterable[Example], held: Mapping[str, int]) -> dict[str, list[str]]:
    """Lines of each part: those of `held`, then "train", all in random order.

    Of the groups of each label one in `held[part]` is of that part, at least one.
    """
    groups = defaultdict(dict)
    label_of: dict[str, str] = {}
    for example in examples:
        label = label_of.setdefault(example.group, example.label)
        groups[label].setdefault(example.group, {})[example.line] = None
    parts: dict[str, list[str]] = {part: [] for part in [*held, "train"]}
    for members in groups.values():
        order = sorted(members, key=rank)
        start = 0
        ends = [start := start + max(1, round(len(order) / share)) for share in held.values()]
        for part, first, end in zip(parts, [0, *ends], [*ends, len(order)], strict=True):
            parts[part] += [line for group in order[first:end] for line in members[group]]
    return {part: sorted(lines, key=rank) for part, lines in parts.items()}
