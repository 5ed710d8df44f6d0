"""Attention of what is written to what was read: see ``charrnn.compute.attention``."""

from __future__ import annotations

import math

import numpy as np

from charrnn.compute import attention
from charrnn.network.layers.place import Arrays, Call, LayerBuffers, Place, WithoutParameters
from charrnn.network.nodes import Context


class ContextBuffers(LayerBuffers):
    """What the layer leaves behind in a pass."""

    attended: attention.Attended
    saved: tuple[np.ndarray, ...]  # queries, keys and values


class ContextLayer(WithoutParameters):
    """It emits no program: what is written with it is an answer."""

    def __init__(self, node: Context, place: Place) -> None:
        self.node, self.width, self._dtype = node, place.width(node), place.dtype
        self._scale = 1 / math.sqrt(node.size)

    def buffers(self, steps: int, batch: int) -> ContextBuffers:
        """Room for a pass."""
        return ContextBuffers(steps, batch, self.width, self._dtype)

    def start(self, run: ContextBuffers, spans: np.ndarray, read: np.ndarray) -> None:
        """Let a pass follow: ``spans`` of its documents, and of what they ``read``, both [D, 3]."""
        sizes = (spans[:, 2] - spans[:, 1]).astype(np.int64) * (read[:, 2] - read[:, 1])
        weights = np.empty(sizes.sum(), self._dtype)
        run.attended = attention.Attended(spans, read, weights, np.cumsum(sizes) - sizes)

    def forward(
        self, sources: Arrays, run: ContextBuffers, call: Call, first: int, last: int
    ) -> None:
        """All documents of the lanes ``first … last``; other steps have no context."""
        run.output[:, first:last] = 0
        run.saved = tuple(sources)
        own = call.documents(first, last)
        attention.attend(*sources, self._scale, run.attended, run.output, *own)

    def backward(
        self, run: ContextBuffers, dsources: Arrays, call: Call, first: int, last: int
    ) -> None:
        """The way back, to queries, keys and values."""
        for dsource in dsources:
            dsource[:, first:last] = 0
        own = call.documents(first, last)
        attention.unattend(run.doutput, run.saved, self._scale, run.attended, tuple(dsources), *own)
