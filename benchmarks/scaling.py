"""What several processes bring: measured on this machine, and on paper for many.

    python benchmarks/scaling.py here      2 processes of 1 thread beside 1 process of 2 threads
    python benchmarks/scaling.py compute   a step's own work by lanes, which the model is fed with
    python benchmarks/scaling.py model     efficiency on 2 to 256 nodes, by network and line
    python benchmarks/scaling.py check     the model beside processes whose messages are delayed

``here`` needs an ``mpiexec`` beside the interpreter (``pip install mpich``) or on the PATH.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np

from charrnn.compute.threads import share
from charrnn.config import ModelConfig, TrainingConfig
from charrnn.network.parameters import parameter_count
from charrnn.studies.benchmark import create_random_trainer
from charrnn.training.processes import ALONE, Processes
from charrnn.training.trainer import Trainer

#: Hidden sizes of the networks: an lstm of two layers each, on 100 characters.
SIZES = (128, 320, 1024)
LANES, LENGTH = 64, 64

NODES = (2, 4, 8, 16, 32, 64, 128, 256)

#: Processors of a node, as fast as this one; threads are taken to share the work evenly.
PROCESSORS = (2, 16)


class Line(NamedTuple):
    """What joins the nodes, all of which may send at once; assumed, not measured."""

    name: str
    bytes_a_second: float
    latency: float  # seconds until the first byte of a message arrives
    message: float  # seconds that a message costs its sender beside its bytes


LINES = (
    Line("1 Gbit/s", 0.125e9, 50e-6, 10e-6),
    Line("10 Gbit/s", 1.25e9, 30e-6, 10e-6),
    Line("25 Gbit/s", 3.125e9, 20e-6, 5e-6),
    Line("100 Gbit/s", 12.5e9, 3e-6, 1e-6),
)


class Work(NamedTuple):
    """What a step of a network takes one processor, in seconds."""

    passes: dict[int, float]  # forward and backward, by lanes
    update: float
    gradients: int  # bytes

    def forward_and_backward(self, lanes: float) -> float:
        """Between the lanes that were measured it grows evenly, and beyond them as at the end."""
        known = sorted(self.passes)
        pairs = list(pairwise(known))
        low, high = next((pair for pair in pairs if lanes <= pair[1]), pairs[-1])
        slope = (self.passes[high] - self.passes[low]) / (high - low)
        return self.passes[low] + slope * (lanes - low)


def trainer_of(size: int, lanes: int, threads: int, processes: Processes = ALONE) -> Trainer:
    """A run that never ends, on random characters."""
    config = ModelConfig.for_vocabulary(100, cell="lstm", layers=2, hidden_size=size)
    training = TrainingConfig(
        batch_size=lanes, sequence_length=LENGTH, steps=10**9, threads=threads, dropout=0.1,
        weight_decay=0.1, validations=1, validation_positions=0, most_epochs=0.0,
    )  # fmt: skip
    return create_random_trainer(config, training, processes)


# Here


def time_steps(
    size: int, threads: int, seconds: float, processes: Processes
) -> tuple[float, float]:
    """Characters a second in the median and in the fastest of the steps of so many seconds.

    Ten steps at least. The fastest is what other programs on the machine disturb least.
    """
    trainer = trainer_of(size, LANES, threads, processes)
    trainer.train_step()
    times: list[float] = []
    while processes.first(lambda: len(times) < 10 or sum(times) < seconds):
        started = time.perf_counter()
        trainer.train_step()
        times.append(time.perf_counter() - started)
    return LANES * LENGTH / statistics.median(times), LANES * LENGTH / min(times)


def worker(size: int, threads: int, seconds: float) -> None:
    """One of the processes that ``here`` starts; the first prints its speeds."""
    processes = ALONE
    if threads == 1:
        from charrnn.training.mpi import Ranks

        processes = Ranks()
    speeds = time_steps(size, threads, seconds, processes)
    processes.by_first(print, json.dumps(speeds))


def speeds_of(count: int, threads: int, size: int, seconds: float) -> np.ndarray:
    """Characters a second of so many processes, as ``time_steps`` says."""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    started = [str(mpiexec), "-n", str(count)] if count > 1 else []
    own = [sys.executable, __file__, "worker", *map(str, (size, threads, seconds))]
    done = subprocess.run([*started, *own], check=True, capture_output=True, text=True)
    return np.array(json.loads(done.stdout))


def here(rounds: int = 4, seconds: float = 4.0) -> None:
    """Two processes beside two threads, in turns."""
    for size in SIZES[:2]:
        speeds = np.array([
            [speeds_of(2, 1, size, seconds), speeds_of(1, 2, size, seconds)] for _ in range(rounds)
        ])  # fmt: skip
        for which, kind in enumerate(("median", "fastest")):
            of_processes, of_threads = np.median(speeds[:, :, which], axis=0)
            ratios = speeds[:, 0, which] / speeds[:, 1, which]
            print(f"lstm 2×{size}, {kind} steps: 2 processes {of_processes:,.0f} characters/s, "
                  f"2 threads {of_threads:,.0f}; ratio {np.median(ratios):.2f} "
                  f"({ratios.min():.2f} to {ratios.max():.2f})", flush=True)  # fmt: skip


# On paper


def measured(size: int, repeats: int = 3) -> Work:
    """A step's work in one thread, in time of the processor, which other programs do not add to."""
    passes = {}
    for lanes in (1, 4, 16, LANES):
        trainer = trainer_of(size, lanes, 1)
        network, batch = trainer.network, trainer.lanes.next()
        times = []
        for _ in range(1 + repeats):
            started = time.thread_time()
            network.loss_and_gradients(batch, trainer.state, (0.1, 1))
            times.append(time.thread_time() - started)
        passes[lanes] = min(times[1:])
    optimizer, updates = trainer.optimizer, []
    for _ in range(1 + repeats):
        started = time.thread_time()
        optimizer.update(1000, optimizer.gradient_norm(1000), 1e-3)
        updates.append(time.thread_time() - started)
    return Work(passes, min(updates[1:]), 4 * parameter_count(network.config))


def compute(sizes: Sequence[int] = SIZES) -> dict[int, Work]:
    """The work of the networks, printed."""
    works = {}
    for size in sizes:
        work = works[size] = measured(size)
        passes = ", ".join(f"{1000 * s:.1f} ms of {lanes}" for lanes, s in work.passes.items())
        print(f"lstm 2×{size}: {passes} lanes; update {1000 * work.update:.1f} ms; gradients "
              f"{work.gradients / 1e6:.1f} MB", flush=True)  # fmt: skip
    return works


def exchange_time(nodes: int, size: float, line: Line) -> float:
    """Seconds in which all nodes get the sum of ``size`` bytes of each.

    Twice each sends all others a share: of its own, and of the sum.
    """
    others = nodes - 1
    return 2 * (line.latency + others * (line.message + size / nodes / line.bytes_a_second))


def efficiency(
    work: Work, nodes: int, lanes: float, line: Line, processors: int,
    *, passes: int = 1, bytes_of_a_weight: int = 4, overlapped: float = 0.0,
) -> float:  # fmt: skip
    """Speed of so many nodes, over as many times that of one with as many lanes as each has.

    ``passes`` come before each update; ``overlapped`` is the share of them that the exchange may
    take place in.
    """
    own = passes * work.forward_and_backward(lanes) / processors
    update = work.update / processors
    exchange = exchange_time(nodes, work.gradients * bytes_of_a_weight / 4, line)
    exchange = max(exchange - overlapped * own / passes, exchange / 2 if overlapped else exchange)
    return (own + update) / (own + update + exchange)


def table(works: dict[int, Work], lanes: int, processors: int) -> None:
    """A table of efficiencies, as it stands in the documentation."""
    print(f"\n{lanes} lanes on each node of {processors} processors\n")
    print("| network | line |", *(f"{nodes} |" for nodes in NODES))
    print("|---|---|" + "---|" * len(NODES))
    for size, work in works.items():
        for line in LINES:
            shares = [efficiency(work, nodes, lanes, line, processors) for nodes in NODES]
            print(f"| 2×{size} | {line.name} |", *(f"{share:.2f} |" for share in shares))


def model() -> None:
    """Efficiency on many nodes, and what would change it."""
    works = compute()
    for processors in PROCESSORS:
        for lanes in (16, 64):
            table(works, lanes, processors)
    changes: dict[str, dict] = {
        "as it is": {}, "64 lanes on each": {"lanes": 64}, "256 lanes on each": {"lanes": 256},
        "4 passes for an update": {"passes": 4}, "bfloat16 gradients": {"bytes_of_a_weight": 2},
        "exchange beside a third of the passes": {"overlapped": 1 / 3},
    }  # fmt: skip
    print("\nlstm 2×320, 16 nodes of 16 processors, 16 lanes on each\n")
    print("| change |", *(f"{line.name} |" for line in LINES))
    print("|---|" + "---|" * len(LINES))
    for name, change in changes.items():
        given = {"lanes": 16, **change}
        shares = [efficiency(works[320], 16, line=line, processors=16, **given) for line in LINES]
        print(f"| {name} |", *(f"{share:.2f} |" for share in shares))


# The model beside a simulation

#: Seconds of a step in the simulation, which goes in slow motion, so that what this machine takes
#: to copy and add does not count.
SLOW_STEP = 3.0


class Delayed:
    """Processes, as threads, that exchange arrays over a line on which they take their time.

    A sender is busy for the bytes of a message, which arrives after the latency; a receiver takes
    one after the other.
    """

    def __init__(self, count: int, line: Line, slower: float) -> None:
        self.count, self.line, self.slower = count, line, slower
        self._inboxes = [[SimpleQueue() for _ in range(count)] for _ in range(count)]

    def send(self, rank: int, to: int, part: np.ndarray) -> None:
        """Put the part on its way."""
        line = self.line
        time.sleep(self.slower * (line.message + part.nbytes / line.bytes_a_second))
        due = time.monotonic() + self.slower * line.latency
        self._inboxes[to][rank].put((due, part.copy()))

    def receive(self, rank: int, sender: int) -> np.ndarray:
        """The next part from a sender, once it is there."""
        due, part = self._inboxes[rank][sender].get()
        time.sleep(max(0.0, due - time.monotonic()))
        return part

    def add_up(self, rank: int, values: np.ndarray) -> None:
        """What ``charrnn.training.mpi`` does, message by message."""
        bounds = [share(values.size, other, self.count) for other in range(self.count)]
        others = [(rank + n) % self.count for n in range(1, self.count)]
        for other in others:
            self.send(rank, other, values[slice(*bounds[other])])
        parts = {other: self.receive(rank, other) for other in others}
        own = values[slice(*bounds[rank])]
        parts[rank] = own.copy()
        own[:] = sum(parts[other] for other in range(self.count))
        for other in others:
            self.send(rank, other, own)
        for other in others:
            values[slice(*bounds[other])] = self.receive(rank, other)


def simulated(work: Work, nodes: int, lanes: int, line: Line, processors: int) -> float:
    """The efficiency of some steps whose computation is slept through."""
    steps = 2
    own = (work.forward_and_backward(lanes) + work.update) / processors
    slower = SLOW_STEP * efficiency(work, nodes, lanes, line, processors) / own
    delayed = Delayed(nodes, line, slower)
    values = [np.full(work.gradients // 4, rank + 1, np.float32) for rank in range(nodes)]

    def run(rank: int) -> None:
        for _ in range(steps):
            time.sleep(slower * own)
            delayed.add_up(rank, values[rank])

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(nodes)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = (time.monotonic() - started) / steps / slower
    total = nodes * (nodes + 1) / 2 * nodes ** (steps - 1)
    assert all((own == np.float32(total)).all() for own in values), "the sums are wrong"
    return own / took


def check() -> None:
    """The model beside the simulation, where messages take longer than this machine to make."""
    works = compute(SIZES[:2])
    print("\n| network | line | nodes | model | simulation |\n|---|---|---|---|---|")
    for size in works:
        for line in LINES[:2]:
            for nodes in (2, 4, 8, 16):
                case = works[size], nodes, LANES, line, 16
                print(f"| 2×{size} | {line.name} | {nodes} | {efficiency(*case):.2f} | "
                      f"{simulated(*case):.2f} |", flush=True)  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("here", "compute", "model", "check", "worker"))
    parser.add_argument("figures", nargs="*", type=float, help="those of a worker")
    given = parser.parse_args()
    if given.what == "worker":
        size, threads, seconds = given.figures
        worker(int(size), int(threads), seconds)
    else:
        {"here": here, "compute": compute, "model": model, "check": check}[given.what]()


if __name__ == "__main__":
    main()
