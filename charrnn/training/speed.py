"""How fast a network is trained on this machine."""

from __future__ import annotations

import time

import numpy as np

from charrnn.config import ModelConfig
from charrnn.network.network import Network
from charrnn.text.batch import Batch, FirstBatch
from charrnn.text.vocabulary import SPECIALS
from charrnn.training.processes import ALONE, Processes

_STEPS = 3

#: Steps of each side of a pair that is typical: what attends to it takes time.
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
    """One whose time does not depend on what is in it: of documents, one a lane."""
    characters = np.zeros((length, batch), np.int32)
    resets = np.zeros((length, batch), np.uint8)
    if config.task not in ("label", "pairs"):
        return Batch(characters, characters, resets)
    last = length if config.task == "label" else min(_PAIR, length)
    spans = np.array([(lane, 0, last) for lane in range(batch)], np.int32)
    if config.answers:
        first = FirstBatch(characters, resets, spans)
        return Batch(characters, characters, resets, spans=spans, first=first)
    if config.task == "pairs":
        targets = np.full((batch, last // 2), SPECIALS, np.int32)
        counted = np.ones(characters.shape, np.bool_)
        return Batch(characters, targets, resets, counted, spans=spans)
    shape, dtype = ((batch, config.classes), np.bool_) if config.multiple else (batch, np.int32)
    return Batch(characters, np.zeros(shape, dtype), resets, spans=spans)
