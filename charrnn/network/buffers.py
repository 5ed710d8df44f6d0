"""The buffers of a network for one pass: what every layer and the head leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from charrnn.network.graph import Graph
from charrnn.network.layers.place import LayerBuffers
from charrnn.network.nodes import Node
from charrnn.text.batch import Batch


class PassBuffers:
    """The buffers of a network for chunks of ``shapes``: those of what is read first, and the rest.

    ``layers`` are those of the layers, in order; ``dsources`` what each layer writes the gradients
    of its sources to, and ``added`` pairs of those that must be added to a gradient that another
    reader of the source has written, with that gradient.
    """

    def __init__(
        self,
        graph: Graph,
        layers: Sequence[Any],
        head: Any,
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> None:
        self.layers: list[LayerBuffers] = [
            layer.buffers(*shapes[not layer.node.read_first]) for layer in layers
        ]
        self._of_node: dict[Node, LayerBuffers] = dict(zip(graph.layers, self.layers, strict=True))
        self.recurrent: list[Any] = [self._of_node[node] for node in graph.recurrent]
        # As the time loop takes its resets, of what is read first and of the rest.
        self.starts = [np.zeros(shape, np.int32) for shape in shapes]
        self.head = head.buffers(*(self._of_node[top] for top in graph.tops))
        self._link_gradients(graph)

    def _link_gradients(self, graph: Graph) -> None:
        """The last reader of a node writes its gradient; what others find is added to that."""
        written = set(graph.tops)
        self.dsources: list[list[np.ndarray | None]] = []
        self.added: list[list[tuple[np.ndarray, np.ndarray]]] = []
        for node in reversed(graph.layers):
            targets: list[np.ndarray | None] = []
            added = []
            for source in node.reads:
                target = self._gradient_of(source)
                if source in written and target is not None:
                    whole, target = target, np.empty_like(target)
                    added.append((whole, target))
                written.add(source)
                targets.append(target)
            self.dsources.insert(0, targets)
            self.added.insert(0, added)

    def _gradient_of(self, source: Node) -> np.ndarray | None:
        return None if source.chosen else self._of_node[source].doutput

    def sources(self, node: Node, batch: Batch) -> list[np.ndarray]:
        """What a layer reads: the outputs of others, or a stream of the batch."""
        return [
            getattr(batch, source.stream) if source.chosen else self._of_node[source].output
            for source in node.reads
        ]

    def add_gradients(self, layer: int, first: int, last: int) -> None:
        """Add what a layer wrote aside, in some lanes, to what stands there already."""
        for whole, part in self.added[layer]:
            whole[:, first:last] += part[:, first:last]
