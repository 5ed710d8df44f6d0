"""What an associative memory holds, beside theory: random patterns, and lines of a text.

    python benchmarks/recall.py corpora/species.txt --output images/recall.svg

Prints three Markdown tables. The first is of Hopfield's network of N units and α N random patterns:
wrong units once it has settled from the patterns themselves, what theory says of them where N is
large (Amit, Gutfreund & Sompolinsky 1985), and the patterns that come back from as many wrong units
as said, but for 2% of the units. The second is of lines of a text and both rules: the lines that
come back whole. The third is of the modern rule's β. The picture shows the first, theory as a line.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from charrnn.config import RECALL_RULES
from charrnn.inference.memory import AssociativeMemory, HopfieldNetwork
from charrnn.studies import canvas

LOADS = (0.02, 0.05, 0.08, 0.1, 0.12, 0.13, 0.138, 0.145, 0.16, 0.2)
BETAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)

#: Patterns and lines that each figure is a mean of, and units that may be wrong of a pattern.
TRIED, TOLERATED = 100, 0.02

#: Fewest characters of a line that is taken, and those of an unfinished one.
SHORTEST, BEGINNING = 12, 8


def theory(load: float) -> float:
    """The share of wrong units for α patterns a unit, from the largest y that solves
    y (√(2 α) + 2/√π exp(-y²)) = erf(y); a half where there is none but 0.
    """
    for y in np.arange(6, 0.05, -0.001):
        if math.erf(y) >= y * (math.sqrt(2 * load) + 2 / math.sqrt(math.pi) * math.exp(-(y**2))):
            return (1 - math.erf(y)) / 2
    return 0.5


def flipped(patterns: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Patterns with a share of their units the other way round."""
    return np.where(rng.random(patterns.shape) < share, -patterns, patterns)


def random_patterns(units: int, wrong: Sequence[float]) -> list[list[float]]:
    """For each load: wrong units, and for each share of ``wrong`` ones what comes back."""
    rows = []
    for load in LOADS:
        rng = np.random.default_rng(0)
        patterns = rng.choice([-1.0, 1.0], (round(load * units), units, 1))
        network, tried = HopfieldNetwork(patterns), patterns[:TRIED]
        errors = [
            (network.settle(flipped(tried, share, rng)).states != tried).mean(axis=(1, 2))
            for share in (0, *wrong)
        ]
        back = [float(np.mean(own <= TOLERATED)) for own in errors[1:]]
        rows.append([float(errors[0].mean()), *back])
    return rows


def replaced(share: float) -> Callable[[str, np.random.Generator], str]:
    """What puts letters in place of a share of the characters of a line."""

    def damage(line: str, rng: np.random.Generator) -> str:
        letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), len(line))
        wrong = rng.random(len(line)) < share
        return "".join(np.where(wrong, letters, list(line)))

    return damage


def beginning(line: str, rng: np.random.Generator) -> str:
    """The line as far as it has been written."""
    return line[:BEGINNING]


DAMAGES = {
    "as it is": replaced(0),
    "10% wrong": replaced(0.1),
    "30% wrong": replaced(0.3),
    "50% wrong": replaced(0.5),
    f"first {BEGINNING}": beginning,
}


def brought_back(memory: AssociativeMemory) -> list[float]:
    """For each damage the share of lines that come back whole.

    Where some lines begin alike, each of those that do is right.
    """
    shares = []
    for damage in DAMAGES.values():
        rng = np.random.default_rng(0)
        tried = [str(line) for line in rng.choice(memory.lines, TRIED)]
        found = memory.recall([damage(line, rng) for line in tried])
        right = [
            own.line == line
            or (damage is beginning and own.stored and own.line.startswith(own.cue))
            for own, line in zip(found, tried, strict=True)
        ]
        shares.append(float(np.mean(right)))
    return shares


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "\n".join([row(*heading), row(*["---"] * len(heading)), *(row(*r) for r in rows), ""])


def percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def draw(sizes: Sequence[int], measured: dict[int, list[list[float]]], path: Path) -> None:
    """Wrong units over α, as measured and in theory."""
    figure = canvas.new_figure()
    axes = figure.add_subplot()
    fine = np.linspace(LOADS[0], LOADS[-1], 200)
    axes.plot(fine, [theory(load) for load in fine], "k--")
    for size in sizes:
        axes.plot(LOADS, [own[0] for own in measured[size]], "o-")
    axes.set(xlabel="random patterns for each unit", ylabel="wrong units")
    axes.grid(alpha=0.3)
    canvas.add_legend(axes, ["theory, many units", *(f"{size:,} units" for size in sizes)])
    canvas.save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--wrong", type=float, nargs="+", default=[0.1, 0.2, 0.3])
    parser.add_argument("--modern", type=int, nargs="+", default=[50, 400, 3500])
    parser.add_argument("--classical", type=int, nargs="+", default=[5, 10, 20, 30, 50, 100])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.output:
        canvas.check_picture(options.output)
    measured = {size: random_patterns(size, options.wrong) for size in options.sizes}
    heading = ["α", "theory", *(f"{size:,} units" for size in options.sizes),
               *(f"{share:.0%} wrong" for share in options.wrong)]  # fmt: skip
    largest = measured[options.sizes[-1]]
    rows = [[load, percent(theory(load)), *(percent(own[n][0]) for own in measured.values()),
             *map(percent, largest[n][1:])] for n, load in enumerate(LOADS)]  # fmt: skip
    print(table(heading, rows))
    lines = options.text.read_text("utf-8").splitlines()
    lines = list(dict.fromkeys(line for line in lines if len(line) >= SHORTEST))
    tried = [(rule, count) for rule in RECALL_RULES for count in getattr(options, rule)]
    rng = np.random.default_rng(0)
    lines = [lines[n] for n in rng.permutation(len(lines))]
    rows = [
        [rule, f"{count:,}", *map(percent, brought_back(AssociativeMemory(lines[:count], rule)))]
        for rule, count in tried
    ]
    print(table(["rule", "lines", *DAMAGES], rows))
    rows = [[f"{beta:g}", *map(percent, brought_back(AssociativeMemory(lines, beta=beta)))]
            for beta in BETAS]  # fmt: skip
    print(table(["β", *DAMAGES], rows))
    if options.output:
        draw(options.sizes, measured, options.output)


if __name__ == "__main__":
    main()
