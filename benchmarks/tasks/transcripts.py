"""Measures what was answered to the inputs of pairs, the same for every program.

    cut -f1 FOLDER/NAME.test.tsv | charrnn apply | python benchmarks/tasks/transcripts.py \\
        FOLDER/NAME.test.tsv

reads an answer for each line of the test; where lines have labels, `cut -f1,3`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Question(NamedTuple):
    """What is read of a line: an input, and the labels of further columns."""

    text: str
    labels: tuple[str, ...] = ()


def question(line: str) -> tuple[Question, str]:
    """The question of a line INPUT<tab>OUTPUT[<tab>LABEL...], and its output."""
    text, output, *labels = line.split("\t")
    return Question(text, tuple(labels)), output


def wanted(lines: Sequence[str]) -> dict[Question, list[str]]:
    """The outputs that are right for each question, in the order of the lines."""
    outputs: dict[Question, list[str]] = {}
    for asked, output in map(question, lines):
        outputs.setdefault(asked, []).append(output)
    return outputs


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """How many symbols have to be put in, taken out or replaced (Wagner & Fischer 1974)."""
    above = list(range(len(other) + 1))
    for i, symbol in enumerate(one, 1):
        row = [i]
        for j, wish in enumerate(other):
            row.append(min(above[j] + (symbol != wish), above[j + 1] + 1, row[j] + 1))
        above = row
    return above[-1]


def have_spaces(outputs: Mapping[Question, Sequence[str]]) -> bool:
    """Whether outputs are symbols with spaces between them; else each character is a symbol."""
    return any(" " in output for several in outputs.values() for output in several)


def measure(
    outputs: Mapping[Question, Sequence[str]], answers: Mapping[Question, str]
) -> dict[str, float]:
    """The share of questions whose answer is none of the outputs, and of symbols that are wrong.

    The latter is the edit distance to the nearest output, the shortest of several, by the symbols
    that these have. A question without an answer is answered with nothing.
    """
    spaced = have_spaces(outputs)
    wrong = errors = symbols = 0
    for asked, several in outputs.items():
        answer, *right = (
            side.split() if spaced else list(side) for side in (answers.get(asked, ""), *several)
        )
        least, length = min((distance(answer, side), len(side)) for side in right)
        wrong += least > 0
        errors += least
        symbols += length
    return {"error_rate": wrong / len(outputs), "symbol_error_rate": errors / symbols}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("test", type=Path)
    lines = parser.parse_args().test.read_text("utf-8").splitlines()
    sys.stdin.reconfigure(encoding="utf-8")
    answers = sys.stdin.read().splitlines()
    if len(answers) != len(lines):
        raise SystemExit(f"{len(answers):,} answers to {len(lines):,} lines: give one for each")
    asked = [asked for asked, _ in map(question, lines)]
    outputs = wanted(lines)
    figures = measure(outputs, dict(zip(asked, answers, strict=True)))
    print(f"{len(outputs):,} inputs", *(f"{name} {value:.4f}" for name, value in figures.items()),
          sep=", ")  # fmt: skip


if __name__ == "__main__":
    main()
