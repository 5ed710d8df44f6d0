"""Texts that a network writes, each to what it has read, a symbol at a time."""

from __future__ import annotations

import dataclasses

import numpy as np

from charrnn.compute.threads import shared
from charrnn.network import starting
from charrnn.network.buffers import PassBuffers
from charrnn.network.layers.context import ContextBuffers
from charrnn.network.network import NO_DROPOUT, Network
from charrnn.text.batch import Batch, FirstBatch
from charrnn.text.vocabulary import START


class Answering:
    """N texts, at their beginning; text n belongs to the document ``first.spans[n]``.

    ``first`` is read once; any number of texts may belong to one document.
    """

    def __init__(self, network: Network, first: FirstBatch) -> None:
        self._network, graph = network, network.graph
        texts = np.arange(len(first.spans), dtype=np.int32)
        self._writing = [n for n, node in enumerate(graph.layers) if not node.read_first]
        self._batch = self._step(np.full(texts.size, START), begins=True, first=first)
        self._run = PassBuffers(graph, network.layers, network.head, self._batch.shapes)
        self._states = [layer.initial for layer in network.recurrent_layers]
        self._written = [not node.read_first for node in graph.recurrent]
        (self._context,) = (own for own in self._run.layers if isinstance(own, ContextBuffers))
        starting.start(network, self._batch, self._run, self._states)
        reading = [n for n, node in enumerate(graph.layers) if node.read_first]
        work = network.forward(self._batch, self._run, NO_DROPOUT, reading)
        network.team.run(shared(first.inputs.shape[1], work))

    def _step(self, tokens: np.ndarray, *, begins: bool, first: FirstBatch) -> Batch:
        inputs = tokens[np.newaxis].astype(np.int32)
        lanes = np.arange(tokens.size, dtype=np.int32)
        spans = np.stack([lanes, 0 * lanes, 0 * lanes + 1], axis=1)
        resets = np.full(inputs.shape, begins, np.uint8)
        return Batch(inputs, np.zeros_like(inputs), resets, spans=spans, first=first)

    def begin(self) -> tuple[np.ndarray, np.ndarray]:
        """As ``feed``, of what each text begins with."""
        return self._feed(self._batch)

    def feed(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Let each text have one more symbol [N].

        Returns the logits [N, V] of what follows, and the positions [N] of its document to which
        each has just attended most.
        """
        assert self._batch.first is not None
        return self._feed(self._step(tokens, begins=False, first=self._batch.first))

    def _feed(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        network, run = self._network, self._run
        starting.start(network, batch, run, self._states)
        logits, phases = network.head.logits(run.head, batch)
        work = network.forward(batch, run, NO_DROPOUT, self._writing)
        network.team.run(shared(batch.inputs.shape[1], work), *phases)
        for number, own in enumerate(run.recurrent):
            if self._written[number]:
                self._states[number] = own.final.copy()
        attended = self._context.attended
        parts = np.split(attended.weights, attended.at[1:])
        return logits[0], np.array([part.argmax() for part in parts])

    def take(self, texts: np.ndarray) -> None:
        """Let text n go on from where text ``texts[n]`` is, which belongs to the same document."""
        self._states = [
            state[:, texts] if written else state
            for state, written in zip(self._states, self._written, strict=True)
        ]


def with_texts(first: FirstBatch, count: int) -> FirstBatch:
    """The same documents, of which each has so many texts, one beside the other."""
    return dataclasses.replace(first, spans=np.repeat(first.spans, count, axis=0))
