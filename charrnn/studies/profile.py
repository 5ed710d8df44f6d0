"""Where the time of a training step goes, told apart by the kernels that Python calls."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from charrnn.compute import packing, products, readout, recurrence, updates
from charrnn.compute.threads import share
from charrnn.network.weights import Matrix
from charrnn.training.trainer import Trainer

_STEPS = 20

#: The part of a step's work that a kernel does. The time loop has both products and pointwise
#: work in it: its products are timed again by themselves.
_PARTS = {
    "products": (
        (recurrence, "project_lanes"),
        (readout, "logits_of_rows"),
        (products, "weight_gradient"),
    ),
    "pointwise": (
        (recurrence, "forward_lanes"),
        (recurrence, "backward_lanes"),
        (recurrence, "tanh_lanes"),
        (recurrence, "untanh_lanes"),
    ),
    "characters": ((readout, "gather_rows"), (readout, "scatter_rows")),
    "softmax": ((readout, "cross_entropy_rows"), (readout, "mix_rows")),
    "packing": ((packing, "pack"), (packing, "unpack"), (readout, "fill_table")),
    "optimizer": tuple(
        (updates, n)
        for n in ("squares_of_blocks", "adam", "adam_changes", "rmsprop", "sgd", "average")
    ),
}


@contextlib.contextmanager
def _timed_kernels() -> Iterator[dict[str, float]]:
    """Seconds that all threads together spend in each part, while the block runs."""
    seconds: dict[str, float] = defaultdict(float)
    lock = threading.Lock()

    def timed(kernel: Callable, part: str) -> Callable:
        @functools.wraps(kernel)
        def call(*arguments: Any) -> None:
            start = time.perf_counter()
            kernel(*arguments)
            with lock:
                seconds[part] += time.perf_counter() - start

        return call

    with contextlib.ExitStack() as restore:
        for part, kernels in _PARTS.items():
            for module, name in kernels:
                original = getattr(module, name)
                restore.callback(setattr, module, name, original)
                setattr(module, name, timed(original, part))
        yield seconds


def _multiply_both_ways(matrix: Matrix, batch: int, steps: int, lanes: int) -> None:
    """The products of some lanes with a matrix of the time loop, forward and backward."""
    dtype, depth, columns = matrix.gradient.dtype, matrix.depth, matrix.columns
    states = products.Rows(np.zeros(batch * depth, dtype), 0, depth)
    gates = products.Rows(np.zeros(batch * columns, dtype), 0, columns)
    for _ in range(steps):
        products.multiply(states, lanes, matrix.forward, depth, gates, gates, columns)
        products.multiply(gates, lanes, matrix.backward, columns, states, states, depth)


def _seconds_of_loop_products(trainer: Trainer) -> float:
    """Seconds of all threads for the recurrent products of one step, forward and backward."""
    network, batch, steps = trainer.network, trainer.lanes.batch, trainer.lanes.length
    spent = [0.0] * network.team.threads

    def work(part: int, parts: int) -> None:
        first, last = share(batch, part, parts)
        start = time.perf_counter()
        for layer in network.recurrent_layers:
            for matrix in layer.products:
                _multiply_both_ways(matrix, batch, steps, last - first)
        spent[part] = time.perf_counter() - start

    network.team.run(work)
    network.team.run(work)
    return sum(spent)


def profile_steps(trainer: Trainer) -> dict[str, float]:
    """Per cent of a step's time (of all threads) in each part; what is left is "waiting".

    Waiting is what threads do at the end of a region of work, and between regions.
    """
    trainer.train_step()
    start = time.perf_counter()
    with _timed_kernels() as seconds:
        for _ in range(_STEPS):
            trainer.train_step()
    total = (time.perf_counter() - start) * trainer.network.team.threads
    loop = _STEPS * _seconds_of_loop_products(trainer)
    seconds["products"] += loop
    seconds["pointwise"] -= loop
    seconds["waiting"] = total - sum(seconds.values())
    return {part: 100 * spent / total for part, spent in seconds.items()}
