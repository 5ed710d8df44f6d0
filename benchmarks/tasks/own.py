"""Trains charrnn on the files of `data.py` as a user would, and measures it on the tests.

    python benchmarks/tasks/own.py FOLDER NAME[:KINDS]... [--budget 3m] [--seeds 1,2,3] [--json]
        [--peers FILE]

A text needs the kinds to restore, such as novels:case,punctuation; pairs validate with NAME.dev.
What is given for `--train` goes to `charrnn train`. With the lines that `peers.py --json` wrote,
FILE, a table tells both. Its seconds are no race: charrnn's are those of the command, with its
start and what it compiles, on all processors unless `--train "--threads 1"`; the peers' are one
thread's, without choosing settings.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import paired
import transcripts

Result = dict[str, Any]

#: What of the figures is told, in the order in which a task has any of them.
TOLD = (
    "accuracy", "macro_f1", "f1", "lines_right", "word_error_rate", "word_error_rate_before",
    "error_rate", "symbol_error_rate", "calibration_error", "nats", "nats_per_symbol", "seconds",
)  # fmt: skip

#: Columns of the table, and what charrnn and the peers call what stands there.
COLUMNS = {
    "accuracy": ("accuracy",),
    "macro F1": ("macro_f1",),
    "F1": ("f1", "span_f1", "restored_f1"),
    "lines right": ("lines_right",),
    "words wrong": ("word_error_rate", "error_rate"),
    "symbols wrong": ("symbol_error_rate",),
    "training s": ("seconds", "training_seconds"),
}


def run(*words: object) -> str:
    """What a command of charrnn prints."""
    command = [sys.executable, "-m", "charrnn", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def files(folder: Path, name: str) -> tuple[Path, Path]:
    """Train and test of a data set."""
    ending = "tsv" if (folder / f"{name}.train.tsv").exists() else "txt"
    train, test = (folder / f"{name}.{part}.{ending}" for part in ("train", "test"))
    if not train.exists():
        raise SystemExit(f"{train} is not there: python benchmarks/tasks/data.py {folder} {name}")
    return train, test


def task(name: str, train: Path, kinds: str) -> list[str]:
    """The options that say what is learned of a file."""
    if kinds:
        return ["--restore", kinds]
    if name in paired.NAMES:
        outputs = transcripts.wanted(train.read_text("utf-8").splitlines())
        symbols = ["--target-symbols"] if transcripts.have_spaces(outputs) else []
        held_back = train.with_name(train.name.replace(".train.", ".dev."))
        return ["--task", "pairs", *symbols, "--validation", str(held_back)]
    with train.open(encoding="utf-8") as lines:
        return ["--task", "label" if "\t" in next(lines) else "tags"]


def measure(folder: Path, name: str, seed: int, options: Sequence[str]) -> Result:
    """Figures of one run on one data set."""
    name, _, kinds = name.partition(":")
    train, test = files(folder, name)
    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary) / "model.safetensors"
        start = time.perf_counter()
        run("train", train, *task(name, train, kinds), "--model", model, "--seed", seed, *options)
        seconds = time.perf_counter() - start
        figures = json.loads(run("evaluate", test, "--model", model, "--json"))
        about = json.loads(run("info", "--model", model, "--json"))
    kept = {key: figures[key] for key in TOLD if key in figures}
    return {"data": name, "kinds": kinds, "seed": seed, "architecture": about["architecture"],
            "seconds": seconds, **kept}  # fmt: skip


def summary(results: Sequence[Result]) -> str:
    """The means of runs with several seeds, and between what they lie."""
    first = results[0]
    parts = [f"{first['data']} {first['kinds']}".strip(), first["architecture"]]
    for key in TOLD:
        if values := [result[key] for result in results if key in result]:
            spread = f" ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else ""
            parts.append(f"{key.replace('_', ' ')} {mean(values):.4g}{spread}")
    return ", ".join(parts)


def beside(results: Sequence[Result], peers: Sequence[Result]) -> list[str]:
    """Rows of a table: the runs' mean, and the peers that had the same data and kinds."""
    first = results[0]
    name, kinds = first["data"], first["kinds"]
    means = {
        key: mean(result[key] for result in results)
        for key, value in first.items()
        if isinstance(value, float)
    }
    theirs = [peer for peer in peers if peer["data"] == name
              and (not kinds or peer["peer"].partition(": ")[0] == kinds)]  # fmt: skip
    own = {"peer": f"charrnn, {first['architecture']}, mean of {len(results)}", **means}
    return [row(f"{name} {kinds}".strip(), result) for result in (own, *theirs)]


def row(name: str, result: Result) -> str:
    """The figures that own results and those of peers have in common."""
    values = (
        next((result[key] for key in keys if key in result), None) for keys in COLUMNS.values()
    )
    cells = ("–" if value is None else f"{value:.4g}" for value in values)
    return f"| {' | '.join([name, result['peer'], *cells])} |"


def measured(given: argparse.Namespace) -> Iterator[list[Result]]:
    """The results of all seeds, for each data set."""
    options = [*(["--budget", given.budget] if given.budget else []), *shlex.split(given.train)]
    for name in given.names:
        seeds = map(int, given.seeds.split(","))
        yield [measure(given.folder, name, seed, options) for seed in seeds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME[:KINDS]")
    parser.add_argument("--budget", help="of each run; none: as long as suits the text")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--train", default="", metavar="OPTIONS", help="more for charrnn train")
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--json", action="store_true", help="a line of JSON for each run")
    told.add_argument("--peers", type=Path, metavar="FILE", help="what peers.py --json wrote")
    given = parser.parse_args()
    peers = (
        list(map(json.loads, given.peers.read_text("utf-8").splitlines())) if given.peers else []
    )
    if peers:
        print(
            f"| {' | '.join(['data', 'by', *COLUMNS])} |",
            "|---" * (len(COLUMNS) + 2) + "|",
            sep="\n",
        )
    for results in measured(given):
        if peers:
            lines = beside(results, peers)
        else:
            lines = list(map(json.dumps, results)) if given.json else [summary(results)]
        print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
