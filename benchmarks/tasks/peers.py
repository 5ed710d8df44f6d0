"""Trains other programs on the files of `data.py`, and measures them on the tests.

    python benchmarks/tasks/peers.py FOLDER NAME... [--json]

needs scikit-learn, py3langid, cld3-py, lingua-language-detector, python-crfsuite, usaddress,
phonetisaurus==0.3.0 (for Linux on x86-64) and dateparser==1.5.0 in its own virtual environment. A
data set of labels meets logistic regression, `languages` language identifiers too; `addresses` meet
a conditional random field; texts meet the most frequent form of each word; pairs meet transducers
of n-grams, `dates` rules. Everything runs in one thread: set OMP_NUM_THREADS=1. Seconds are the
processor's, so that what else runs does not count.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import measures
import paired

Result = dict[str, Any]


def read(folder: Path, name: str) -> tuple[list[str], list[str]]:
    """The lines of train and test of a data set or text."""
    ending = "tsv" if (folder / f"{name}.train.tsv").exists() else "txt"
    train, test = (folder / f"{name}.{part}.{ending}" for part in ("train", "test"))
    if not train.exists():
        raise SystemExit(f"{train} is not there: python benchmarks/tasks/data.py {folder} {name}")
    return train.read_text("utf-8").splitlines(), test.read_text("utf-8").splitlines()


def timed(work: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """What a function gives, and its processor seconds, with those of programs that it ran."""
    start = sum(os.times()[:4])
    made = work(*given)
    return made, sum(os.times()[:4]) - start


def pairs(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Text and label of each line."""
    return [(text, label) for text, _, label in (line.rpartition("\t") for line in lines)]


def classifiers(name: str, train: list[str], test: list[str]) -> Iterator[Result]:
    """Logistic regression, and for languages the identifiers."""
    import classifiers as peers

    known = pairs(train)
    texts, wanted = zip(*pairs(test), strict=True)
    counts = Counter(wanted)
    about = {"labels": len(counts), "commonest": max(counts.values()) / len(wanted)}
    (analyzer, strength), choosing = timed(peers.choose, known)
    model, training = timed(peers.logistic_regression, known, analyzer, strength)
    given, testing = timed(model.predict, texts)
    yield {
        "peer": "logistic regression", "setting": f"{analyzer} 1-5, C = {strength:g}", **about,
        **measures.labels(wanted, list(given)), "choosing_seconds": choosing,
        "training_seconds": training, "test_seconds": testing,
    }  # fmt: skip
    for peer, create in peers.IDENTIFIERS.items() if name == "languages" else ():
        identify, loading = timed(create, sorted(counts))
        answers, testing = timed(lambda identify=identify: [identify(text) for text in texts])
        yield {"peer": peer, **about, **measures.labels(wanted, answers),
               "loading_seconds": loading, "test_seconds": testing}  # fmt: skip


def taggers(name: str, train: list[str], test: list[str]) -> Iterator[Result]:
    """The conditional random field, and what its tokens allow at best."""
    import spans

    texts, wanted = zip(*map(spans.parse, test), strict=True)
    best = list(map(spans.reachable, texts, wanted))
    yield {"peer": "true tags of tokens", **measures.spans(wanted, best)}
    costs, choosing = timed(spans.choose, train)
    tagger, training = timed(spans.Tagger, train, *costs)
    given, testing = timed(lambda: [tagger(text) for text in texts])
    yield {"peer": "python-crfsuite", "setting": "c1 = {:g}, c2 = {:g}".format(*costs),
           **measures.spans(wanted, given), "choosing_seconds": choosing,
           "training_seconds": training, "test_seconds": testing}  # fmt: skip


def restorers(name: str, train: list[str], test: list[str]) -> Iterator[Result]:
    """The most frequent form of each word, and how much there is to restore."""
    import forms

    for what, remove in forms.REMOVE.items():
        plain = list(map(remove, test))
        if plain == test:
            continue
        restore, training = timed(forms.restorer, train, what)
        given, testing = timed(lambda restore=restore, plain=plain: list(map(restore, plain)))
        yield {"peer": f"{what} left out", **measures.restored(test, plain, plain)}
        yield {"peer": f"{what}: most frequent form", **measures.restored(test, given, plain),
               "training_seconds": training, "test_seconds": testing}  # fmt: skip


def transcribers(name: str, train: list[str], test: list[str]) -> Iterator[Result]:
    """Transducers, which follow an input from left to right, and for dates rules."""
    import transcribers as peers
    import transcripts

    wanted = transcripts.wanted(test)
    if name == "dates":
        peer, transcribe, about = "dateparser", peers.parsed_dates, {}
    else:
        known = transcripts.wanted(train)
        transcribe, training = timed(peers.Phonetisaurus, known)
        peer, about = "phonetisaurus", {"training_seconds": training}
    given, testing = timed(transcribe, list(wanted))
    yield {"peer": peer, "inputs": len(wanted), **transcripts.measure(wanted, given),
           **about, "test_seconds": testing}  # fmt: skip


def measure(folder: Path, name: str) -> Iterator[Result]:
    """The results of all peers on one data set."""
    train, test = read(folder, name)
    if name in paired.NAMES:
        peers = transcribers
    else:
        peers = classifiers if "\t" in train[0] else taggers if "</" in train[0] else restorers
    for result in peers(name, train, test):
        yield {"data": name, "train_lines": len(train), "test_lines": len(test), **result}


def shown(result: Result) -> str:
    """A result as one line."""
    names = "data", "train_lines", "test_lines", "peer"
    rest = ", ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                     for key, value in result.items() if key not in names)  # fmt: skip
    return (f"{result['data']} ({result['train_lines']:,} + {result['test_lines']:,} lines), "
            f"{result['peer']}: {rest}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each result")
    given = parser.parse_args()
    for name in given.names:
        for result in measure(given.folder, name):
            print(json.dumps(result) if given.json else shown(result), flush=True)


if __name__ == "__main__":
    main()
