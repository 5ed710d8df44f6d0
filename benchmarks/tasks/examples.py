"""Lines of data sets, and their split into train and test."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

SEED = 1


class Example(NamedTuple):
    """A line of a data set; those of one group are all in train or all in test."""

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


def split(examples: Iterable[Example]) -> tuple[list[str], list[str]]:
    """Lines of train and test: of the groups of each label, one in ten is test, at least one."""
    groups = defaultdict(dict)
    label_of: dict[str, str] = {}
    for example in examples:
        label = label_of.setdefault(example.group, example.label)
        groups[label].setdefault(example.group, {})[example.line] = None
    train, test = [], []
    for members in groups.values():
        order = sorted(members, key=rank)
        held = max(1, round(len(order) / 10))
        test += [line for group in order[:held] for line in members[group]]
        train += [line for group in order[held:] for line in members[group]]
    return sorted(train, key=rank), sorted(test, key=rank)
