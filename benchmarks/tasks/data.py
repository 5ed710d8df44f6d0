"""Fetches the data that labels, tags, restored texts and pairs are measured with, and splits it.

    python benchmarks/tasks/data.py FOLDER [NAME...]

writes NAME.train.tsv and NAME.test.tsv for each data set: a line is text, tab and label, or a
text with marked-up spans. A tenth is the test, in each label. What belongs together (spellings of
a name, passages of a speech) is on one side. Running texts, to be restored, are NAME.train.txt and
NAME.test.txt. Lines of pairs are input, tab and output, of dates a tab and the language too; a
twentieth of the inputs is NAME.dev.tsv and another the test. The parts of sigmorphon/LANGUAGE are
those that were published, from a clone of the shared task in FOLDER/2021-task1. Nothing of the
data belongs to this project.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import addresses
import labelled
import paired
from examples import Example, split
from packages import MissingError
from paired import PAIRS
from texts import TEXTS

DATA: dict[str, Callable[[Path], Iterator[Example]]] = {
    "languages": labelled.languages,
    "sexes": labelled.sexes,
    "sentences": labelled.sentences,
    "presidents": labelled.presidents,
    "addresses": addresses.by_hand,
    "addresses-synthetic": addresses.and_synthetic,
}


def parts(name: str, folder: Path) -> dict[str, list[str]]:
    """The lines of each part of a data set, fetched anew."""
    family, _, language = name.partition("/")
    if family == "sigmorphon":
        return paired.sigmorphon(folder / "2021-task1", language)
    with tempfile.TemporaryDirectory() as temporary:
        if name in TEXTS:
            return dict(zip(("train", "test"), TEXTS[name](Path(temporary)), strict=True))
        if name in PAIRS:
            return split(PAIRS[name](Path(temporary)), {"dev": 20, "test": 20})
        return split(DATA[name](Path(temporary)), {"test": 10})


def write(name: str, folder: Path) -> None:
    """Fetch one data set and write a file of each part, or say why not."""
    try:
        found = parts(name, folder)
    except MissingError as error:
        print(f"{name}: not fetched: {error}", file=sys.stderr)
        return
    for part, lines in found.items():
        path = folder / f"{name}.{part}.{'txt' if name in TEXTS else 'tsv'}"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n", "utf-8")
    counts = ", ".join(f"{len(lines):,} {part}" for part, lines in found.items())
    print(f"{name}: lines: {counts}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    names = [*DATA, *TEXTS, *paired.NAMES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    given = parser.parse_args()
    if unknown := set(given.names) - set(names):
        parser.error(f"no data set {min(unknown)!r}; there are {', '.join(names)}")
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.names or names:
        write(name, given.folder)


if __name__ == "__main__":
    main()
