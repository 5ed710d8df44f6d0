"""Whether two checkouts of charrnn train and write to the same bits.

    python benchmarks/same_bits.py ../before . --cells lstm,jordan

Every cell is trained for 30 steps with each kind of network and text, in float32 and bfloat16, on
one and two threads, through the command line of each checkout. What is compared: the losses of the
log, the tensors of the model file and of the resume file, and a sampled text. Says which runs
differ, and in what; ends with 1 where one does.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STEPS = 30

#: Options of each kind of run; what reads lines learns from names.
KINDS = {
    "one-hot": [],
    "embedding": ["--embedding-size", "24"],
    "deep readout": ["--readout-layers", "2", "--readout-size", "40"],
    "dense before": ["--dense-before", "1"],
    "learned start": ["--initial-state", "learned", "--lines"],
    "random start": ["--initial-state", "random", "--lines"],
    "dropout": ["--dropout", "0.3"],
    "lines": ["--lines"],
}
CELLS = ("lstm", "lstm-peephole", "lstm-coupled", "gru", "gru-reset-before", "gru-minimal",
         "elman", "elman/relu", "jordan", "jordan/relu", "leaky", "multiplicative",
         "lstm-multiplicative")  # fmt: skip
PRECISIONS, THREADS = ("float32", "bfloat16"), ("1", "2")


def main() -> None:
    """Compare, or be one of the two that are compared."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="CHECKOUT")
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    runs = [
        (cell, kind, precision, threads)
        for cell in given.cells.split(",")
        for kind in given.kinds.split(",")
        if not (cell.startswith("jordan") and kind == "deep readout")  # it takes no such layers
        for precision in given.precisions.split(",")
        for threads in THREADS
    ]
    if given.worker:
        sys.exit(work(runs))
    before, after = (start(checkout, runs) for checkout in given.checkouts)
    different = 0
    for run in runs:
        one, other = (
            json.loads(process.stdout.readline() or "null") for process in (before, after)
        )
        parts = sorted({*(one or ["all"]), *(other or [])})
        changed = [part for part in parts if not one or not other or one[part] != other[part]]
        different += bool(changed)
        if changed:
            print(f"{', '.join(run)}: {', '.join(changed)} differ", flush=True)
    print(f"{len(runs) - different} of {len(runs)} runs are the same")
    sys.exit(int(different > 0))


def start(checkout: Path, runs: list[tuple[str, ...]]) -> subprocess.Popen:
    """A process that makes all runs with the program of a checkout, and prints their hashes."""
    options = [f"--{name}={','.join(dict.fromkeys(run[at] for run in runs))}"
               for at, name in enumerate(("cells", "kinds", "precisions"))]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, __file__, "--worker", *options],
        cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout.resolve())},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def work(runs: list[tuple[str, ...]]) -> int:
    """Make the runs in this process; print a line of hashes for each."""
    try:
        from charrnn.cli.main import main as command
    except ImportError:  # an older checkout
        from charrnn.cli import main as command
    with tempfile.TemporaryDirectory() as folder:
        for run in runs:
            hashes = measure(command, Path(folder), *run)
            print(json.dumps(hashes), flush=True)
    return 0


def call(command, *arguments: str) -> str:
    """What a command writes to standard output."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(io.StringIO()) as said:
        status = command(list(arguments), standalone_mode=False)
    if status:
        raise SystemExit(f"{' '.join(arguments)}: {said.getvalue()}")
    written.flush()
    return written.buffer.getvalue().decode()  # type: ignore[attr-defined]


def measure(command, folder: Path, cell: str, kind: str, precision: str, threads: str) -> dict:
    """Hashes of what one run and one sample make."""
    from safetensors.numpy import load_file

    model, log = folder / "m.safetensors", folder / "log"
    text = "dinosaurs" if "--lines" in KINDS[kind] else "fables"
    name, _, activation = cell.partition("/")
    call(
        command, "train", f"corpora/{text}.txt", "--model", str(model), "--force",
        "--log", str(log),
        "--cell", name, "--activation", activation or "tanh", *KINDS[kind],
        "--layers", "1" if name == "jordan" else "2", "--hidden-size", "37",
        "--steps", str(STEPS), "--batch-size", "9", "--sequence-length", "13",
        "--precision", precision, "--threads", threads,
    )  # fmt: skip
    records = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [(r["step"], r["loss"], r["gradient_norm"], r["validation_loss"]) for r in records]
    written = call(command, "sample", "--model", str(model), "--length", "60", "--count", "3",
                   "--seed", "1", "--threads", threads)  # fmt: skip
    return {
        "losses": _hash(json.dumps(losses).encode()),
        "weights": _hash_of_tensors(load_file(model)),
        "resume file": _hash_of_tensors(load_file(str(model) + ".resume")),
        "sample": _hash(written.encode()),
    }


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _hash_of_tensors(tensors: dict) -> str:
    return _hash(b"".join(name.encode() + tensors[name].tobytes() for name in sorted(tensors)))


if __name__ == "__main__":
    main()
