"""Which way of choosing characters writes what is like a held-back text.

Writes with each way for the same prompts and seeds, and prints a Markdown table of measures, those
of the held-back text first:

    python benchmarks/choosing.py model.safetensors training.txt held-out.txt \\
        --way temperature=0.8 --way min_p=0.1,temperature=0.9 --show 300

A way is fields of SamplingConfig with their values. A model of running text goes on from places of
the held-back text, as far apart as they can be; a model of lines writes lines.

Of running text: bits per character by the model alone (of the held-back text, all of it); words
that the training text has; how many different ones of these; distinct runs of four words;
characters in runs of 30 or more that the training text has too; the longest run of characters that
a text has twice, a mean over all texts, and in how many texts it is 100 or longer.

Of lines: bits per character; distinct lines; lines of the training text; of the distinct others,
those of the held-back text; the mean length.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import charrnn
from charrnn.inference.language_model import LanguageModel
from charrnn.inference.texts import Text
from charrnn.storage.summary import reads_lines
from charrnn.text.copies import Copies, hashes_of
from charrnn.text.vocabulary import code_points

WAYS = [
    *(f"temperature={value}" for value in (1, 0.9, 0.8, 0.7, 0.6, 0.5, 0)),
    *(f"top_p={value}" for value in (0.95, 0.9, 0.8)),
    *(f"min_p={value}" for value in (0.02, 0.05, 0.1, 0.2)),
    *("typical=0.95", "typical=0.9", "top_k=10", "top_k=5"),
    *(f"mirostat={value}" for value in (2, 1.6, 1.2)),
    *("repetition_penalty=1.05", "repetition_penalty=1.2"),
    *(f"min_p={p},temperature={value}" for p in (0.05, 0.1) for value in (0.9, 0.8, 0.7)),
    *(f"top_p={p},temperature={value}" for p in (0.95, 0.9) for value in (0.9, 0.8, 0.7)),
]

#: Characters of a run that is copied, of one that is a loop, and of what is read before a text.
COPIED, LOOP, PROMPT = 30, 100, 200

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@dataclass
class Measured:
    """Texts, and how many bits their characters tell the model."""

    texts: list[str]
    bits: float


@dataclass
class Judge:
    """Measures running text."""

    training: str
    held_out: str

    def __post_init__(self) -> None:
        self.words = set(words_of(self.training))
        self.copies = Copies(code_points(self.training), COPIED)

    def prompts(self, count: int, length: int) -> list[str]:
        """What stands in the held-back text before each of ``count`` places of it."""
        return [self.held_out[at - PROMPT : at] for at in self._places(count, length)]

    def continuations(self, count: int, length: int) -> list[str]:
        """What stands there from each of these places on."""
        return [self.held_out[at : at + length] for at in self._places(count, length)]

    def _places(self, count: int, length: int) -> list[int]:
        last = len(self.held_out) - length
        return np.linspace(PROMPT, last, count).astype(int).tolist()

    def measure(self, texts: Sequence[str]) -> dict[str, str]:
        """Names of measures and what they are, as they are printed."""
        words = [words_of(text) for text in texts]
        known = [word for word in itertools.chain(*words) if word in self.words]
        runs = [run for of_text in words for run in zip(*(of_text[n:] for n in range(4)))]  # noqa: B905
        copied = sum(self._copied(code_points(text)) for text in texts)
        repeated = [longest_repeated(code_points(text)) for text in texts]
        return {
            "words known": share(len(known), sum(map(len, words))),
            "different words": f"{len(set(known)):,}",
            "distinct 4-grams": share(len(set(runs)), len(runs)),
            "copied": share(copied, sum(map(len, texts))),
            "repeated": f"{np.mean(repeated):.0f}",
            "loops": f"{sum(run >= LOOP for run in repeated)} of {len(texts)}",
        }

    def _copied(self, codes: np.ndarray) -> int:
        covered = np.zeros(codes.size, np.bool_)
        for run in self.copies.runs(codes):
            covered[run.start : run.start + run.length] = True
        return int(covered.sum())


@dataclass
class JudgeOfLines:
    """Measures texts of one line each."""

    training: str
    held_out: str

    def prompts(self, count: int, length: int) -> list[str]:
        """Nothing: a line is written from its beginning."""
        return [""] * count

    def continuations(self, count: int, length: int) -> list[str]:
        """The first lines of the held-back text."""
        return self.held_out.splitlines()[:count]

    def measure(self, texts: Sequence[str]) -> dict[str, str]:
        """Names of measures and what they are, as they are printed."""
        known, right = set(self.training.splitlines()), set(self.held_out.splitlines())
        new = set(texts) - known
        return {
            "distinct": share(len(set(texts)), len(texts)),
            "copied": share(sum(text in known for text in texts), len(texts)),
            "new and right": share(len(new & right), len(new)),
            "characters": f"{np.mean([len(text) for text in texts]):.2f}",
        }


def words_of(text: str) -> list[str]:
    """Its words, in small letters."""
    return _WORD.findall(text.lower())


def share(part: int, whole: int) -> str:
    """In percent."""
    return f"{100 * part / whole:.1f}%" if whole else "-"


def longest_repeated(codes: np.ndarray) -> int:
    """Characters of the longest run that stands in a text twice; both may overlap."""
    short, long = 0, codes.size
    while long - short > 1:
        middle = (short + long) // 2
        hashes = hashes_of(codes, middle)
        if np.unique(hashes).size < hashes.size:
            short = middle
        else:
            long = middle
    return short


def choices_of(way: str) -> dict[str, Any]:
    """``name=value,name=value`` as fields of ``SamplingConfig``."""
    pairs = [pair.split("=") for pair in way.split(",")]
    return {name: float(value) if "." in value else int(value) for name, value in pairs}


def write(
    model: LanguageModel, way: str, prompts: Sequence[str], *, length: int, seed: int
) -> Measured:
    """A text for each prompt, with this seed and those after it."""
    author = model.author(length=length, **choices_of(way))
    texts: list[Text] = list(author.texts(prompts, itertools.count(seed), measured=True))
    nats = sum(text.nats for text in texts)
    predictions = sum(text.predictions for text in texts)
    return Measured([text.written for text in texts], nats / predictions / math.log(2))


def all_measured(
    model: LanguageModel, judge: Judge | JudgeOfLines, given: argparse.Namespace
) -> Iterator[tuple[str, Measured]]:
    """The held-back text, then what is written with each way, under their names."""
    held_out = judge.continuations(given.count, given.length)
    yield "held-back text", Measured(held_out, float(model.score(judge.held_out).bits.mean()))
    prompts = judge.prompts(given.count, given.length)
    for way in given.way or WAYS:
        written = write(model, way, prompts, length=given.length, seed=given.seed)
        yield way.replace(",", ", "), written


def show(name: str, texts: Sequence[str], characters: int) -> str:
    """The beginning of one text, or of lines in a row."""
    text = texts[0] if len(texts[0]) >= characters else " ".join(texts)
    return f"\n{name}:\n\n{text[:characters]}"


def row(cells: Sequence[str]) -> str:
    """Of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def print_table(
    rows: Iterator[tuple[str, Measured]], measure: Callable[[Sequence[str]], dict[str, str]]
) -> list[tuple[str, list[str]]]:
    """Print each row as it comes; the names and texts of all."""
    shown = []
    for name, measured in rows:
        cells = {"bits": f"{measured.bits:.3f}", **measure(measured.texts)}
        if not shown:
            print(row(["way", *cells]) + "\n" + row(["---"] * (len(cells) + 1)))
        print(row([name, *cells.values()]), flush=True)
        shown.append((name, measured.texts))
    return shown


def main() -> None:
    """Parse, write with all ways, print their measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("training", type=Path, help="the text that it was trained on")
    parser.add_argument("held_out", type=Path, help="text of the same kind that it never read")
    parser.add_argument("--way", action="append", metavar="NAME=VALUE,…", help="default: many")
    parser.add_argument("--count", type=int, help="texts to write [20, or 3,000 lines]")
    parser.add_argument("--length", type=int, default=2000, help="characters of each [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, help="of the first text [%(default)s]")
    parser.add_argument("--show", type=int, default=0, help="characters of each way to print")
    given = parser.parse_args()
    model = charrnn.load(given.model)
    lines = reads_lines(model.training)
    given.count = given.count or (3000 if lines else 20)
    training, held_out = (
        path.read_bytes().decode().replace("\r\n", "\n")
        for path in (given.training, given.held_out)
    )
    judge = (JudgeOfLines if lines else Judge)(training, held_out)
    for name, texts in print_table(all_measured(model, judge, given), judge.measure):
        if given.show:
            print(show(name, texts, given.show))


if __name__ == "__main__":
    main()
