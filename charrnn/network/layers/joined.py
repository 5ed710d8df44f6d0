"""Outputs of several layers side by side: copied, on the way back too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from charrnn.network.layers.place import Arrays, Call, LayerBuffers, Place
from charrnn.network.nodes import Joined


class JoinedLayer:
    """It has no parameters. Only networks that read have it: it writes no text."""

    def __init__(self, node: Joined, place: Place) -> None:
        self.node, self.width, self._dtype = node, place.width(node), place.dtype
        self._widths = [place.width(source) for source in node.reads]

    def matrices(self) -> list:
        """None."""
        return []

    def buffers(self, steps: int, batch: int) -> LayerBuffers:
        """Room for a pass."""
        return LayerBuffers(steps, batch, self.width, self._dtype)

    def prepare_training(self) -> None:
        """There is nothing to prepare."""

    def pack_vectors(self, values: np.ndarray) -> None:
        """There are none."""

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """There is nothing to pack."""

    def _columns(self) -> Iterator[slice]:
        """Those of each source."""
        first = 0
        for width in self._widths:
            yield slice(first, first + width)
            first += width

    def forward(
        self, sources: Arrays, run: LayerBuffers, call: Call, first: int, last: int
    ) -> None:
        """The units of all steps of some lanes."""
        for source, columns in zip(sources, self._columns(), strict=True):
            run.output[:, first:last, columns] = source[:, first:last]

    def backward(
        self, run: LayerBuffers, dsources: Arrays, call: Call, first: int, last: int
    ) -> None:
        """To each source its own gradients."""
        for dsource, columns in zip(dsources, self._columns(), strict=True):
            dsource[:, first:last] = run.doutput[:, first:last, columns]

    def differentiate(
        self, sources: Arrays, run: LayerBuffers, scratch: np.ndarray, part: int, parts: int
    ) -> None:
        """There are no parameters."""

    def unpack(self, gradients: np.ndarray, run: LayerBuffers, part: int, parts: int) -> None:
        """There are no parameters."""
