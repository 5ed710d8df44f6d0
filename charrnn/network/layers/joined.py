"""Outputs of several layers side by side: copied, on the way back too."""

from __future__ import annotations

from collections.abc import Iterator

from charrnn.network.layers.place import Arrays, Call, LayerBuffers, Place, WithoutParameters
from charrnn.network.nodes import Joined


class JoinedLayer(WithoutParameters):
    """Only networks that read have it: it emits no program."""

    def __init__(self, node: Joined, place: Place) -> None:
        self.node, self.width, self._dtype = node, place.width(node), place.dtype
        self._widths = [place.width(source) for source in node.reads]

    def buffers(self, steps: int, batch: int) -> LayerBuffers:
        """Room for a pass."""
        return LayerBuffers(steps, batch, self.width, self._dtype)

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
