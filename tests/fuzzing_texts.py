"""Texts from strangers, through every command that reads any, in a process with bounded memory.

``python tests/fuzzing_texts.py FOLDER --seconds 60`` makes small models in FOLDER and has commands
read hostile texts until the time is over, or until so many ``--cases`` are read, the same for a
``--seed``. Each must end well, or with one line and exit code 1 or 2. The text at hand lies in
FOLDER as ``case.txt``, the command as ``command``: it is the one that a process has died of.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from commands import invoke
from fuzzing import assert_that_memory_is_limited, limits
from hostile_texts import altered_text, hard_texts, small_text
from trained import FABLES

#: What a command may take of memory and of the processor, and more for each byte of the text. Most
#: memory takes a line of megabytes in which gaps are filled, most time the adapting evaluation.
ROOM, ROOM_OF_A_BYTE = 160 << 20, 400
SECONDS, SECONDS_OF_A_BYTE = 10.0, 2e-5

#: What an associative memory may take beside that: what has a place for each of the longest line.
ROOM_OF_MEMORY = 3 << 29

#: Characters that a message may have; a list of a thousand unknown characters helps nobody.
LONGEST_MESSAGE = 1000

#: In a command: the text's file (or standard input), another file with the same text, the first
#: characters of it as an argument, the folder, and what is written.
FILE, COPY, TEXT, FOLDER, OUT = "<file>", "<copy>", "<text>", "<folder>/", "<folder>/out"

SMALL = ("--layers", 1, "--hidden-size", 5, "--threads", 1)
RUN = (*SMALL, "--batch-size", 4, "--sequence-length", 8, "--steps", 2, "--validations", 1,
       "--warmup-steps", 1)  # fmt: skip
TRAIN = ("train", FILE, "--model", f"{OUT}.st", "--force", *RUN)

#: What models are trained on, and with which options.
MODELS = {
    "writer": (),
    "names": ("--lines",),
    "told": ("--labels", "columns"),
    "labeller": ("--task", "label"),
    "several": ("--task", "label", "--multiple"),
    "tagger": ("--task", "tags"),
    "restorer": ("--restore", "case,punctuation,accents"),
    "spacer": ("--restore", "spaces", "--lines"),
    "filler": ("--restore", "gaps"),
    "answerer": ("--task", "pairs"),
    "aligner": ("--task", "pairs", "--decoder", "ctc", "--target-symbols"),
}
READERS = [name for name in MODELS if name not in ("writer", "names", "told")]


def _with(name: str) -> tuple[str, ...]:
    return "--model", f"{FOLDER}{name}.st", "--threads", "1"


WRITER = _with("writer")

#: Commands by name; what makes a run costs most, and comes as often as the others.
COMMANDS: dict[str, tuple] = {
    **{f"train {name}": (*TRAIN, *more) for name, more in MODELS.items()},
    "train files": (*TRAIN, COPY, "--labels", "files"),
    "train rare": (*TRAIN, "--min-count", 3, "--normalize-newlines", "--validation", COPY),
    "train latin": (*TRAIN, "--encoding", "latin-1"),
    "train wide": (*TRAIN, "--encoding", "utf-16"),
    "train from": (*TRAIN[:5], "--init-from", f"{FOLDER}writer.st", *RUN[4:]),
    **{f"evaluate {name}": ("evaluate", FILE, *_with(name)) for name in MODELS},
    "evaluate more": ("evaluate", FILE, COPY, *WRITER, "--lines", "--by-position", "--json"),
    "evaluate adapt": ("evaluate", FILE, *WRITER, "--adapt"),
    "score": ("score", FILE, *WRITER),
    "score lines": ("score", FILE, *WRITER, "--lines", "--json", "--copied", COPY),
    "score characters": ("score", FILE, *WRITER, "--per-character"),
    "score labels": ("score", FILE, *_with("told"), "--labels"),
    "score told": ("score", FILE, *_with("told"), "--label", TEXT),
    **{f"apply {name}": ("apply", FILE, *_with(name)) for name in ("told", *READERS)},
    "apply best": ("apply", FILE, *_with("labeller"), "--best", 2, "--terms", 2, "--json"),
    "recall": ("recall", FILE, "--line", TEXT),
    "recall lines": ("recall", f"{FOLDER}learned.txt", "--json"),
    "compress": ("compress", FILE, *WRITER, "--output", f"{OUT}.rnn", "--force"),
    "decompress": ("decompress", FILE, *WRITER, "--output", f"{OUT}.txt", "--force"),
    "sample prime": ("sample", *WRITER, "--prime", TEXT, "--length", 5, "--json"),
    "sample file": ("sample", *WRITER, "--prime-file", FILE, "--length", 5),
    "sample match": ("sample", *WRITER, "--match", TEXT, "--length", 5),
    "sample until": ("sample", *WRITER, "--until", TEXT, "--separator", TEXT, "--length", 9),
    "sample copies": ("sample", *WRITER, "--corpus", FILE, "--max-copy", 3, "--length", 20),
    "sample known": ("sample", *_with("names"), "--not-in", FILE, "--unique", "--length", 9),
    "next prime": ("next", *WRITER, "--prime", TEXT),
    "next file": ("next", *WRITER, "--prime-file", FILE, "--json"),
    "neurons": ("neurons", FILE, *WRITER),
    "neurons find": ("neurons", FILE, *_with("names"), "--find", TEXT),
    **{f"neurons {name}": ("neurons", FILE, *_with(name)) for name in ("labeller", "tagger")},
    "report": ("report", "--text", FILE, *WRITER, "--output", f"{OUT}.html"),
    "report told": ("report", "--text", FILE, *_with("told"), "--output", f"{OUT}.html"),
    **{f"report {name}": ("report", "--text", FILE, *_with(name), "--output", f"{OUT}.html")
       for name in ("labeller", "tagger", "restorer", "answerer")},
    "report log": ("report", *_with("tagger"), "--log", FILE, "--output", f"{OUT}.html"),
    "export": ("export", f"{OUT}.html", "--text", FILE, *WRITER, "--force"),
    "plan": ("plan", FILE, *RUN),
    "compare": ("compare", FILE, "--cells", "lstm", *RUN),
    "gradients": ("gradients", FILE, "--cell", "lstm", *SMALL, "--positions", 3,
                  "--steps-back", 5),
    "info": ("info", "--model", FILE),
    "plot": ("plot", FILE),
}  # fmt: skip

#: What takes a file and no standard input.
FILES_ONLY = ("info", "plot", "report", "export", "sample copies", "sample known", "train files")


def _learned(name: str) -> str:
    """A text that a model can be trained on."""
    words = FABLES.read_text(encoding="utf-8").split()[:300]
    if name in ("told", "labeller", "several", "answerer", "aligner"):
        return "".join(f"{word}\t{'ab'[len(word) % 2]}\n" for word in words)
    if name == "tagger":
        return "".join(f"the <t>{word}</t>, é\n" for word in words)
    return "".join(f"{word.title()}, é “{word}”\n" for word in words)


def _kind(name: str) -> str:
    """The model that a command reads or makes; "writer" where it is none of those."""
    words = (*name.split(), *map(str, COMMANDS[name]))
    return next((kind for kind in MODELS if {kind, f"{FOLDER}{kind}.st"} & {*words}), "writer")


def make_models(folder: Path) -> None:
    """A model of each kind; whatever has to be compiled for a run is."""
    for name, more in MODELS.items():
        text = folder / "learned.txt"
        text.write_text(_learned(name), encoding="utf-8")
        known = {FILE: str(text), FOLDER: f"{folder}/"}
        words = _filled((*TRAIN[:3], f"{FOLDER}{name}.st", "--force", *RUN, *more), known)
        done = invoke(*words)
        assert done.exit_code == 0, done.stderr


def _filled(words: tuple, known: dict[str, str]) -> list[str]:
    """The words of a command, with what stands for something replaced."""
    filled = []
    for word in map(str, words):
        for name, value in known.items():
            word = word.replace(name, value)
        filled.append(word)
    return filled


def _argument(data: bytes) -> str:
    """The beginning of a text as Python has it of a command line: without NUL."""
    return data[:60].replace(b"\0", b"").decode("utf-8", "surrogateescape")


def run_case(folder: Path, name: str, data: bytes, piped: bool) -> str:
    """What became of a command: "0", or its message. Raises whatever else comes of it."""
    case, copy = folder / "case.txt", folder / "case copy.txt"
    for path in (case, copy):
        path.write_bytes(data)
    piped = piped and not name.startswith(FILES_ONLY)
    known = {FILE: "-" if piped else str(case), COPY: str(copy), FOLDER: f"{folder}/",
             TEXT: _argument(data)}  # fmt: skip
    words = _filled(COMMANDS[name], known)
    (folder / "command").write_text(ascii([words, piped]), encoding="utf-8")
    room, seconds = ROOM_OF_A_BYTE * len(data), SECONDS_OF_A_BYTE * len(data)
    if name.startswith("recall"):
        room += ROOM_OF_MEMORY
    if name.startswith("train"):  # as it is saved it is there twice again
        room *= 2
    with limits(ROOM + room, SECONDS + seconds):
        done = invoke(*words, stdin=data if piped else None)
    if done.exit_code == 0:
        _assert_sound(folder, name, data)
    return _told(done)


def _told(done) -> str:
    """What a command said, in one line, if it failed."""
    said = done.stderr.splitlines()
    assert all(len(line) <= LONGEST_MESSAGE and line.isprintable() for line in said), said
    failures = [line for line in said if line.startswith("Error: ")]
    if done.exit_code == 0:
        assert not failures
        return "0"
    assert done.exit_code in (1, 2) and failures == said[-1:], (done.exit_code, said)
    assert "memory" not in failures[0], failures
    return failures[0]


def _assert_sound(folder: Path, name: str, data: bytes) -> None:
    """What is compressed comes back, and a model that was trained can be read."""
    if name == "compress":
        back = folder / "out.txt"
        done = invoke("decompress", folder / "out.rnn", *_filled(WRITER, {FOLDER: f"{folder}/"}),
                      "--output", back, "--force")  # fmt: skip
        assert done.exit_code == 0 and back.read_bytes() == data
    if name.startswith("train"):
        assert invoke("info", "--model", folder / "out.st").exit_code == 0


def all_cases(rng: random.Random, most: int | None, size: int) -> Iterator[tuple[str, bytes]]:
    """Without end: hard texts, each through ``most`` commands (None: all), then small ones.

    Half of these are like those that the command's model has learned.
    """
    for data in hard_texts(rng, size):
        names = list(COMMANDS)
        for name in names if most is None else rng.sample(names, most):
            yield name, data
    learned = {name: _learned(name) for name in MODELS}
    for name in itertools.cycle(COMMANDS):
        like_its_own = altered_text(learned[_kind(name)], rng)
        yield name, like_its_own if rng.random() < 0.5 else small_text(rng)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--most", type=int, help="commands that read each of the hard texts")
    parser.add_argument("--size", type=int, default=10_000_000, help="bytes of the longest line")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    make_models(folder)
    for name in COMMANDS:
        invoke(*_filled(COMMANDS[name], {FILE: str(folder / "learned.txt"), COPY: "none", TEXT: "a",
                                         FOLDER: f"{folder}/"}))  # fmt: skip
    assert_that_memory_is_limited()
    rng, end = random.Random(asked.seed), time.monotonic() + asked.seconds
    told: dict[str, Counter[str]] = {name: Counter() for name in COMMANDS}
    for name, data in itertools.islice(all_cases(rng, asked.most, asked.size), asked.cases):
        told[name][run_case(folder, name, data, rng.random() < 0.5)] += 1
        if time.monotonic() > end:
            break
    print(json.dumps({
        name: {"done": own.pop("0", 0), "refused": own.total(), "reasons": len(own)}
        for name, own in told.items()
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
