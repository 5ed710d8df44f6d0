"""Fetches the data that labels and tags are measured with, and splits it into train and test.

    python benchmarks/tasks/data.py FOLDER [NAME...]

writes NAME.train.tsv and NAME.test.tsv for each data set: a line is text, tab and label, or a
text with marked-up spans. A tenth is the test, in each label. What belongs together (spellings of
a name, passages of a speech) is on one side. Running texts, to be restored, are NAME.train.txt and
NAME.test.txt. Nothing of the data belongs to this project.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import addresses
import labelled
from examples import Example, split
from packages import MissingError
from texts import TEXTS

DATA: dict[str, Callable[[Path], Iterator[Example]]] = {
    "languages": labelled.languages,
    "sexes": labelled.sexes,
    "sentences": labelled.sentences,
    "presidents": labelled.presidents,
    "addresses": addresses.by_hand,
    "addresses-synthetic": addresses.and_synthetic,
}


def parts(name: str) -> tuple[list[str], list[str]]:
    """The lines of train and test of a data set, fetched anew."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        return split(DATA[name](folder)) if name in DATA else TEXTS[name](folder)


def write(name: str, folder: Path) -> None:
    """Fetch one data set and write its two files, or say why not."""
    try:
        train, test = parts(name)
    except MissingError as error:
        print(f"{name}: not fetched: {error}", file=sys.stderr)
        return
    ending = "tsv" if name in DATA else "txt"
    for part, lines in (("train", train), ("test", test)):
        (folder / f"{name}.{part}.{ending}").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{name}: {len(train):,} lines to train with, {len(test):,} to test", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    names = [*DATA, *TEXTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    given = parser.parse_args()
    if unknown := set(given.names) - set(names):
        parser.error(f"no data set {min(unknown)!r}; there are {', '.join(names)}")
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.names or names:
        write(name, given.folder)


if __name__ == "__main__":
    main()
