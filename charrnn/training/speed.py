"""How fast a network is trained on this machine."""

from __future__ import annotations

import time

import numpy as np

from charrnn.config import ModelConfig
from charrnn.network.network import Network
from charrnn.text.batch import Batch
from charrnn.text.pairs import Pairs, Sides
from charrnn.text.vocabulary import SPECIALS
from charrnn.training.processes import ALONE, Processes

_STEPS = 3

#: Steps of a pair that is typical: what attends to it takes time.
_PAIR = 10


def characters_a_second(
    network: Network, batch: int, length: int, processes: Processes = ALONE
) -> float:
    """Characters a second in forward and backward passes of the network; it stays as it is.

    All ``processes`` make them together, each in its share of the lanes, and add up gradients.
    """
    first, last = processes.share(batch)
    chunk = _typical_batch(network.config, last - first, length)
    state, times = network.initial_state(last - first), []
    for _ in range(1 + _STEPS):
        started = time.perf_counter()
        network.loss_and_gradients(chunk, state)
        processes.sum(network.gradients)
        times.append(time.perf_counter() - started)
    fastest = processes.first(lambda: min(times[1:]))  # the first may have compiled
    return batch * length / fastest


def _typical_batch(config: ModelConfig, batch: int, length: int) -> Batch:
    """One whose time does not depend on what is in it: of texts with a label, one a lane."""
    if config.task == "pairs":
        return _typical_pairs(config, batch, length)
    characters = np.zeros((length, batch), np.int32)
    resets = np.zeros((length, batch), np.uint8)
    if config.task != "label":
        return Batch(characters, characters, resets)
    spans = np.array([(lane, 0, length) for lane in range(batch)], np.int32)
    shape, dtype = ((batch, config.classes), np.bool_) if config.multiple else (batch, np.int32)
    return Batch(characters, np.zeros(shape, dtype), resets, spans=spans)


def _typical_pairs(config: ModelConfig, batch: int, length: int) -> Batch:
    """Pairs of about the same length that fill all lanes."""
    steps = min(_PAIR, length)
    count = batch * (length // steps)
    written = steps - 1 if config.answers else steps // 2  # the end is written too
    left, right = (
        Sides(np.full(count * own, SPECIALS, np.int32), own * np.arange(1, count + 1))
        for own in (steps, written)
    )
    return next(Pairs.of(left, right, aligned=not config.answers).chunks(batch, length)).batch
