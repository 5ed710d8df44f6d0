"""How a pass begins: what its lanes go on from, and what its documents start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from charrnn.network.buffers import PassBuffers
from charrnn.network.layers.context import ContextBuffers
from charrnn.network.layers.recurrent import RecurrentLayer
from charrnn.text.batch import Batch

if TYPE_CHECKING:
    from charrnn.network.network import Network


def start(
    network: Network, batch: Batch, run: PassBuffers, state: Sequence[np.ndarray] | np.ndarray
) -> None:
    """Let the chunk start from ``state`` [L, S, B, ·] and its documents as the layers say."""
    first = batch.first.resets if batch.first else np.empty((0, 0))
    run.starts = [_of_lanes(first), _of_lanes(batch.resets)]
    documents = len(batch.spans) if batch.first and batch.spans is not None else 0
    for layer, own, values in zip(network.recurrent_layers, run.recurrent, state, strict=True):
        layer.start(own, own_part(values, layer), documents)
    if batch.first and batch.spans is not None:
        lane, step, _ = batch.spans.T
        begin = batch.resets[step, lane] != 0
        own_rows = batch.inputs.shape[1] + 1 + np.arange(documents)
        run.starts[1][step[begin], lane[begin]] = own_rows[begin]
        for layer, buffers in zip(network.layers, run.layers, strict=True):
            if isinstance(buffers, ContextBuffers):
                layer.start(buffers, batch.spans, batch.first.spans)


def start_anywhere(network: Network, run: PassBuffers, first: int, key: int) -> None:
    """Let each document start from a random state of its own, in layers that want it.

    The lanes, of which the ``first`` has that number, each draw their own.
    """
    if all(node.start != "random" for node in network.graph.recurrent):
        return
    starts = run.starts[1].T
    documents = np.nonzero(starts)  # those of a lane side by side
    starts[documents] = len(starts) + np.arange(1, documents[0].size + 1)
    lanes, counts = np.unique(documents[0], return_counts=True)
    drawn = [(np.random.default_rng([key, first + lane]), count)
             for lane, count in zip(lanes.tolist(), counts.tolist(), strict=True)]  # fmt: skip
    for layer, own in zip(network.recurrent_layers, run.recurrent, strict=True):
        layer.draw_starts(own, drawn)


def own_part(values: np.ndarray, layer: RecurrentLayer) -> np.ndarray:
    """A layer's own of the states [S, B, width] that are kept for it: others may have more."""
    count, _, width = layer.initial.shape
    return values[:count, :, :width]


def _of_lanes(resets: np.ndarray) -> np.ndarray:
    """Where documents start [T, B]: 0, or one more than the row that their lane starts from."""
    return (resets != 0) * np.arange(1, resets.shape[1] + 1, dtype=np.int32)
