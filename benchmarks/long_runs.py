"""What hours of use do to a process: memory, speed and open files, as curves.

``python benchmarks/long_runs.py FOLDER [--minutes 60] [--only training]`` makes three long runs one
after the other, a third of the time each, unless one is named:

- ``training``: 2×128 on the tales, until its time is over;
- ``samples``: one text after the other of 200 characters in one process, ten thousand at most;
- ``lines``: a million lines, at most, through ``score`` and ``apply``.

Each is looked at from outside, once a minute or twenty times: how many megabytes it has in memory,
how many files are open, how many characters it has read or written a second since the last look,
and how many a second of the processor, which other programs disturb less. At the end stands what
has become of each from the second look on, beyond which nothing should grow.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).parents[1]
TALES, NAMES = ROOT / "corpora" / "tales.txt", ROOT / "corpora" / "dinosaurs.txt"

#: Written to its standard output by a process that makes samples: how many characters so far.
SAMPLING = """
import itertools, sys, charrnn
model = charrnn.load(sys.argv[1], threads=1)
for seed in range(10_000):
    model.sample(200, seed=seed)
    print(200 * (seed + 1), flush=True)
"""

SAMPLES, LINES = 10_000, 1_000_000

#: Files of Linux that say how long a process has been on the processor, in these parts of a second.
TICKS = os.sysconf("SC_CLK_TCK")


class Look(NamedTuple):
    """What a process is at one moment."""

    at: float  # seconds since its start
    processor: float  # seconds that it has been on the processor
    megabytes: float
    files: int
    done: int  # characters


def look(process: subprocess.Popen, started: float, done: int) -> Look:
    """What the process is now."""
    folder = Path("/proc") / str(process.pid)
    times = (folder / "stat").read_text().rpartition(")")[2].split()
    resident = re.search(r"VmRSS:\s+(\d+)", (folder / "status").read_text())
    return Look(
        at=time.monotonic() - started,
        processor=(int(times[11]) + int(times[12])) / TICKS,
        megabytes=int(resident[1]) / 1024 if resident else 0.0,
        files=len(list((folder / "fd").iterdir())),
        done=done,
    )


def watch(process: subprocess.Popen, progress: Iterator[int], seconds: float) -> list[Look]:
    """Looks at a process until it ends or its time is over, when it is ended; each is printed."""
    started, interval = time.monotonic(), min(60.0, seconds / 20)
    looks = [look(process, started, 0)]
    print(f"{'minutes':>8} {'MB':>7} {'files':>6} {'chars/s':>10} {'chars/processor s':>18}")
    for done in progress:
        now = time.monotonic() - started
        if now - looks[-1].at >= interval:
            looks.append(look(process, started, done))
            print(_row(*looks[-2:]), flush=True)
        if now > seconds:
            break
    process.terminate()
    process.wait()
    return looks


def _row(before: Look, after: Look) -> str:
    made = after.done - before.done
    worked = max(after.processor - before.processor, 1 / TICKS)
    return (f"{after.at / 60:>8.1f} {after.megabytes:>7.1f} {after.files:>6} "
            f"{made / (after.at - before.at):>10,.0f} {made / worked:>18,.0f}")  # fmt: skip


def summary(name: str, looks: list[Look]) -> str:
    """What has grown or slowed down from the second look on."""
    if len(looks) < 5:
        return f"{name}: too short to tell"
    speeds = [(b.done - a.done) / max(b.processor - a.processor, 1 / TICKS)
              for a, b in itertools.pairwise(looks[1:])]  # fmt: skip
    half = len(speeds) // 2
    first, last = (sum(own) / len(own) for own in (speeds[:half], speeds[half:]))
    return (f"{name}: {looks[-1].megabytes - looks[1].megabytes:+.1f} MB, "
            f"{looks[-1].files - looks[1].files:+d} files, speed {last / first - 1:+.1%} "
            "from the first half to the second")  # fmt: skip


def _program(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "charrnn", *map(str, arguments)]


def _learned(folder: Path, name: str, corpus: Path, *more: str) -> Path:
    """A model that was trained for a moment."""
    model = folder / f"{name}.safetensors"
    command = _program("train", corpus, "--model", model, "--force", "--steps", "200",
                       "--layers", "1", "--hidden-size", "64", *more)  # fmt: skip
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return model


def training(folder: Path, seconds: float) -> list[Look]:
    """A run of 2×128; its log says how far it is."""
    log = folder / "run.csv"
    log.unlink(missing_ok=True)
    command = _program("train", TALES, "--model", folder / "long.safetensors", "--force", "--log",
                       log, "--layers", "2", "--hidden-size", "128", "--steps", "100000000",
                       "--validations", "10000")  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    return watch(process, _characters_in(log, process), seconds)


def _characters_in(log: Path, process: subprocess.Popen) -> Iterator[int]:
    """How many characters the last line of a growing table tells of, twice a second."""
    while process.poll() is None:
        time.sleep(0.5)
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) > 1:
            place = lines[0].split(",").index("characters")
            yield int(lines[-1].split(",")[place])
        else:
            yield 0


def samples(folder: Path, seconds: float) -> list[Look]:
    """One text after the other from one model that is loaded once."""
    command = [sys.executable, "-c", SAMPLING, str(_learned(folder, "writer", TALES))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    return watch(process, map(int, process.stdout), seconds)


def lines(folder: Path, seconds: float) -> list[Look]:
    """As many names as there are, over and over: scored, then told what they are."""
    names = NAMES.read_text().splitlines()
    labelled = folder / "labelled.tsv"
    labelled.write_text("".join(f"{name}\t{'long' if len(name) > 11 else 'short'}\n"
                                for name in names))  # fmt: skip
    looks = []
    for command in (
        ("score", "--lines", "--model", _learned(folder, "names", NAMES, "--lines")),
        ("apply", "--model", _learned(folder, "labeller", labelled, "--task", "label")),
    ):
        print(f"charrnn {command[0]}")
        process = subprocess.Popen(_program(*command), stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL)  # fmt: skip
        assert process.stdin is not None
        looks.append(watch(process, _given(names, process.stdin), seconds / 2))
    print(summary("score", looks[0]))
    return looks[1]


def _given(names: list[str], stdin: IO[bytes]) -> Iterator[int]:
    """Give lines, a thousand at once, and tell how many characters these were."""
    block = "".join(f"{name}\n" for name in itertools.islice(itertools.cycle(names), 1000)).encode()
    for number in range(LINES // 1000):
        try:
            stdin.write(block)
            stdin.flush()
        except BrokenPipeError:
            return
        yield (number + 1) * len(block)


RUNS = {run.__name__: run for run in (training, samples, lines)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--only", choices=RUNS)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    names = [asked.only] if asked.only else list(RUNS)
    told = []
    for name in names:
        print(name)
        told.append(summary(name, RUNS[name](asked.folder, 60 * asked.minutes / len(names))))
    print("\n".join(told))


if __name__ == "__main__":
    main()
