"""Small runs in float64, by a process alone and by several that ``mpiexec`` has started.

As a program: make the runs of CASES in the named folder, twice; the first process leaves what came
of them there.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
from readers import labelled_lines, paired_lines, tagged_lines
from trained import FABLES

from charrnn.config import TextConfig, TrainingConfig
from charrnn.network.network import Network
from charrnn.text.dataset import read_dataset
from charrnn.training.planning import with_length
from charrnn.training.processes import ALONE
from charrnn.training.setup import shape_for
from charrnn.training.trainer import Trainer

#: How each text is read, and the shape of its network.
CASES = {
    "prose": ({}, {"layers": 2}),
    "lines": ({"lines": True}, {"initial_state": "random"}),
    "told": ({"labels": "columns"}, {}),
    "label": ({"task": "label", "balance": True}, {}),
    "tags": ({"task": "tags"}, {}),
    "pairs": ({"task": "pairs"}, {"layers": 2}),
    "ctc": ({"task": "pairs", "decoder": "ctc"}, {}),
}
_LABELLED = [*labelled_lines()[:70], *labelled_lines()[-70:]]
TEXTS = {
    "prose": FABLES.read_text("utf-8")[:6000],
    "lines": FABLES.read_text("utf-8")[:6000],
    "told": "\n".join(_LABELLED),
    "label": "\n".join(_LABELLED),
    "tags": "\n".join(tagged_lines()[:60]),
    "pairs": "\n".join(paired_lines()[::8]),
    "ctc": "\n".join(paired_lines()[::8]),
}
STEPS = 9


def write_texts(folder):
    """The files of all cases."""
    for case, text in TEXTS.items():
        (folder / case).write_text(text, encoding="utf-8")


def trainer_of(case, folder, processes=ALONE):
    """The run of a case at its beginning; its lanes can be shared by four, but not evenly."""
    text, shape = CASES[case]
    training = TrainingConfig(
        batch_size=6, sequence_length=32, steps=STEPS, warmup_steps=2, validations=3, dropout=0.3
    )
    rng = np.random.default_rng(1)
    dataset = read_dataset([str(folder / case)], TextConfig(**text), rng=rng)
    config = shape_for(dataset, training, hidden_size=8, **{"layers": 1, **shape})
    network = Network(config, threads=1, dtype=np.float64)
    network.initialize(rng=rng)
    return Trainer(network, dataset, with_length(training, dataset), processes)


def made(trainer):
    """All that comes of a run, as arrays by name."""
    records = [
        (r.loss, r.gradient_norm, r.characters, np.nan if r.validation_loss is None
         else r.validation_loss) for r in trainer.run()
    ]  # fmt: skip
    state = trainer.capture().arrays
    return {"records": np.array(records), **state}


def _hash_of(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def main(folder):
    """Make all runs, twice, and see that all processes have the same bits each time."""
    from charrnn.training.mpi import Ranks

    processes = Ranks()
    for case in CASES:
        first, again = (made(trainer_of(case, folder, processes)) for _ in range(2))
        hashes = {_hash_of(made) for made in (first, again)}
        assert len(set(processes.all(frozenset(hashes)))) == len(hashes) == 1, case
        if processes.rank == 0:
            np.savez(folder / f"{case}.{processes.count}", **first)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
