"""Files from strangers, read in a process whose memory and time are bounded.

``python tests/fuzzing.py FOLDER --seconds 60`` makes sound files in FOLDER and reads altered ones
until the time is over, or until so many ``--cases`` are read, the same for a ``--seed``. Each must
be read, or refused with one line. The file at hand lies in FOLDER as ``case``: it is the one that a
process has died of.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import resource
import signal
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from commands import invoke
from mutations import altered, bombs, cuts
from trained import FABLES

from charrnn.errors import CharrnnError
from charrnn.inference import compression
from charrnn.inference.language_model import load
from charrnn.network.parameters import parameter_shapes
from charrnn.storage.checkpoint import _array_shapes, load_model, load_resume

#: What reading may take beyond the size of the file and what the process had before.
ROOM = 64 << 20

#: Seconds of the processor for one file.
SECONDS = 1.0

QUICK = ("--layers", 1, "--hidden-size", 5, "--batch-size", 4, "--sequence-length", 8,
         "--steps", 12, "--validations", 3, "--warmup-steps", 2, "--threads", 1)  # fmt: skip
TEXT = FABLES.read_bytes()[:400] + b"\xff"

#: Texts that are compressed, and with which options.
CODES = (("coded", "--streams", 2), ("adapted", "--adapt"), ("stored",))

Read = Callable[[Path], None]


def _shapes(tensors) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def read_model(path: Path) -> None:
    """What is read is what its configuration says."""
    model = load_model(path)
    assert _shapes(model.tensors) == parameter_shapes(model.config)
    assert model.vocabulary.size == model.config.vocabulary_size
    assert len(model.labels) == model.config.classes


def read_resume(path: Path) -> None:
    """What is read is what its values say."""
    state = load_resume(path)
    assert _shapes(state.arrays) == _array_shapes(state.values)


def reader_of_codes(model: Path) -> Read:
    """Reads compressed texts: the one that was compressed, or one that its header tells of."""
    loaded = load(model, threads=1, precision="float32")

    def read(path: Path) -> None:
        data = path.read_bytes()
        text = compression.decompress(loaded, data)
        assert compression._read_header(data)[0].crc == zlib.crc32(text)

    return read


def sound_files(folder: Path) -> dict[Path, Read]:
    """Small files of each kind, made in the folder, and what reads each."""
    (folder / "corpus.txt").write_bytes(FABLES.read_bytes()[:1500])
    names = "\n".join(f"{n:04}\t{['even', 'odd'][n % 2]}" for n in range(100))
    (folder / "names.tsv").write_text(names)
    for name, data in (
        ("coded", TEXT),
        ("adapted", TEXT),
        ("stored", random.Random(1).randbytes(99)),
    ):
        (folder / name).write_bytes(data)
    writer, labeller, speller = (folder / f"{own}.st" for own in ("writer", "labeller", "speller"))
    for command in (
        ("train", folder / "corpus.txt", "--model", writer, "--force", *QUICK),
        ("train", folder / "names.tsv", "--model", labeller, "--force", "--task", "label", *QUICK),
        ("train", folder / "names.tsv", "--model", speller, "--force", "--task", "pairs", *QUICK),
        *(("compress", folder / name, "--model", writer, "--threads", 1, "--force", *more)
          for name, *more in CODES),
    ):  # fmt: skip
        done = invoke(*command)
        assert done.exit_code == 0, done.stderr
    codes = dict.fromkeys((folder / f"{name}.rnn" for name, *_ in CODES), reader_of_codes(writer))
    models = dict.fromkeys((writer, labeller, speller), read_model)
    return {**models, **{Path(f"{path}.resume"): read_resume for path in models}, **codes}


def all_cases(files: dict[Path, Read], rng: random.Random) -> Iterator[tuple[Path, bytes]]:
    """Without end: first the hardest, then files that were cut, then alterations of all kinds."""
    sound = {path: path.read_bytes() for path in files}
    first = next(iter(sound))
    yield from sound.items()
    yield from ((first, bomb) for bomb in bombs(sound[first]))
    for path, data in sound.items():
        if not path.name.startswith(("labeller", "speller")):  # they are longer, and cut alike
            yield from ((path, cut) for cut in cuts(data, rng))
    while True:
        path = rng.choice(list(sound))
        yield path, altered(sound[path], rng)


@contextlib.contextmanager
def limits(room: int, seconds: float) -> Iterator[None]:
    """So many bytes of memory beside what the process has, and so long on the processor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, hard))
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)  # at its end the system ends the process
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def assert_that_memory_is_limited() -> None:
    """For the fuzzer would find nothing if it were not."""
    try:
        with limits(ROOM, SECONDS):
            bytearray(2 * ROOM)
    except MemoryError:
        return
    raise AssertionError("this system does not limit memory")


def outcome(read: Read, case: Path) -> str:
    """ "read", or why it is refused. Raises whatever else comes of it."""
    try:
        with limits(case.stat().st_size + ROOM, SECONDS):
            read(case)
    except CharrnnError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 1000, error
        return str(error).replace(str(case), "FILE")
    return "read"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    files = sound_files(asked.folder)
    for path, read in files.items():
        read(path)  # what has to be compiled or loaded is
    assert_that_memory_is_limited()
    case, end = asked.folder / "case", time.monotonic() + asked.seconds
    told: dict[str, Counter[str]] = {path.name: Counter() for path in files}
    cases = all_cases(files, random.Random(asked.seed))
    for path, data in itertools.islice(cases, asked.cases):
        case.write_bytes(data)
        told[path.name][outcome(files[path], case)] += 1
        if time.monotonic() > end:
            break
    print(json.dumps({
        name: {"read": own.pop("read", 0), "refused": own.total(), "reasons": len(own)}
        for name, own in told.items()
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
