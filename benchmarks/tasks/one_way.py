"""What a model of lines knows of pairs: `charrnn train NAME.train.tsv --lines`, without an encoder.

    python benchmarks/tasks/one_way.py FOLDER NAME... [--budget 15m] [--train OPTIONS]

Each line of the test begins as it is, up to the tab behind the input; what the model takes for the
likeliest end is its answer.
"""

from __future__ import annotations

import argparse
import json
import shlex
import tempfile
import time
from pathlib import Path

import transcripts
from own import files, run

import charrnn

#: Characters of an answer, at most.
LONGEST = 200

#: Answers that are written at once.
TOGETHER = 256


def answers(model: charrnn.LanguageModel, questions: list[transcripts.Question]) -> list[str]:
    """What the model writes behind each input, the likeliest character at each step."""
    primes = [f"{asked.text}\t" for asked in questions]
    author = model.author(temperature=0, length=LONGEST)
    written = []
    for at in range(0, len(primes), TOGETHER):
        some = primes[at : at + TOGETHER]
        texts = author.texts(some, [0] * len(some))
        written += [text.written.partition("\t")[0] for text in texts]  # labels are behind it
    return written


def measure(folder: Path, name: str, options: list[str]) -> dict[str, object]:
    """Figures of one run on one data set."""
    train, test = files(folder, name)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.safetensors"
        start = time.perf_counter()
        run("train", train, "--lines", "--model", path, *options)
        seconds = time.perf_counter() - start
        about = json.loads(run("info", "--model", path, "--json"))
        model = charrnn.load(path)
    outputs = transcripts.wanted(test.read_text("utf-8").splitlines())
    found = dict(zip(outputs, answers(model, list(outputs)), strict=True))
    return {"data": name, "architecture": about["architecture"], "seconds": seconds,
            **transcripts.measure(outputs, found)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--budget", help="of each run; none: as long as suits the text")
    parser.add_argument("--train", default="", metavar="OPTIONS", help="more for charrnn train")
    given = parser.parse_args()
    options = [*(["--budget", given.budget] if given.budget else []), *shlex.split(given.train)]
    for name in given.names:
        print(json.dumps(measure(given.folder, name, options)), flush=True)


if __name__ == "__main__":
    main()
