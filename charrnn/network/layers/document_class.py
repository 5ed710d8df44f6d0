"""The head that tells the label of a document: attention with a learned query, and n-grams."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from charrnn.compute import attention, readout
from charrnn.compute.readout import NEVER
from charrnn.compute.threads import Work, shared
from charrnn.network.heads import DocumentClass
from charrnn.network.layers.ngram_table import NgramTable
from charrnn.network.layers.place import LayerBuffers, Place
from charrnn.text.batch import Batch


class HeadBuffers:
    """What the head reads in a pass, and what it makes of the documents that are in it."""

    def __init__(self, head: DocumentClassHead, source: LayerBuffers) -> None:
        self.hidden, self.dhidden = source.output, source.doutput
        self.weights = np.zeros(source.output.shape[:2], source.output.dtype)  # of attention
        self._head = head
        self.begin(0)

    def begin(self, documents: int) -> None:
        """Let a pass with so many documents follow."""
        head, dtype, width = self._head, self.hidden.dtype, self.hidden.shape[2]
        self.pooled = np.empty((documents, width), dtype)
        self.dpooled, self.dquery = np.empty_like(self.pooled), np.empty_like(self.pooled)
        self.logits = np.empty((documents, head.width), dtype)
        self.losses = np.empty(documents, dtype)


class DocumentClassHead:
    """The query, the matrix and the bias that make logits [D, ``width``] of documents."""

    def __init__(self, node: DocumentClass, place: Place) -> None:
        source = node.reads[0]
        self.node, self.width = node, place.width(node)
        self.matrix = place.linear(node.named("weight"), source, node.size)
        self.bias = np.full(self.width, NEVER, place.dtype)
        self.query = np.zeros(place.width(source), place.dtype)
        self._tables = [NgramTable(node, place)] if node.buckets else []
        self._units, self._scale = place.units(source) >= 0, 1 / math.sqrt(source.size)
        self._bias_at, self._query_at = (place.at[node.named(own)] for own in ("bias", "query"))

    def matrices(self) -> list:
        """The one that it has."""
        return [self.matrix]

    def prepare_training(self) -> None:
        """Allocate what only training needs."""
        self.matrix.prepare_training()

    def pack_vectors(self, values: np.ndarray) -> None:
        """Take the bias, the query and the n-grams from the parameters."""
        for table in self._tables:
            table.take(values)
        self.bias[: self.node.size] = values[self._bias_at :][: self.node.size]
        self.query[self._units] = values[self._query_at :][: self._units.sum()]

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the packed weights."""
        self.matrix.pack(values, part, parts)

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the gradients to the flat ``gradients``."""
        for table in self._tables:
            table.unpack(gradients, part, parts)
        self.matrix.unpack(gradients, part, parts)
        if part == 0:
            own = gradients[self._bias_at :][: self.node.size]
            own[:] = self.matrix.bias_gradient[: self.node.size]
            # In one order, however many threads there are.
            dquery = self._dqueries.sum(axis=0)
            gradients[self._query_at :][: self._units.sum()] = dquery[self._units]

    def buffers(self, source: LayerBuffers) -> HeadBuffers:
        """Room for a pass; ``source`` is what the head reads."""
        return HeadBuffers(self, source)

    def found(self, run: HeadBuffers, batch: Batch) -> np.ndarray:
        """The losses of a pass [D], by their weights."""
        return run.losses if batch.weights is None else run.losses * batch.weights

    def logits(self, run: HeadBuffers, batch: Batch) -> tuple[np.ndarray, list[Work]]:
        """Of each label in each document [D, K], once the work is done."""
        phases = self._of_documents(run, batch, self._read)
        return run.logits[:, : self.node.size], phases

    def losses(self, run: HeadBuffers, batch: Batch) -> list[Work]:
        """Let ``run.losses`` be -log P of each document's label, or of all it has and lacks."""
        return self._of_documents(run, batch, self._read, self._measure)

    def differentiate(
        self, run: HeadBuffers, batch: Batch, scratch: list[np.ndarray]
    ) -> list[Work]:
        """As ``losses``; then gradients of the hidden states, and sums of those of the rest."""
        own = self._of_documents(run, batch, self._read, self._measure, self._read_back)
        for table in self._tables:
            table.differentiate(run.logits)
        self._dqueries = run.dquery
        run.dhidden[:] = 0
        return [*own, functools.partial(self._differentiate_matrix, run, scratch)]

    def _of_documents(
        self, run: HeadBuffers, batch: Batch, *works: Callable[..., None]
    ) -> list[Work]:
        """Work on the documents of a batch, which are each one thread's alone."""
        assert batch.spans is not None, "there are no documents to tell labels of"
        run.begin(len(batch.spans))
        for table in self._tables:
            table.begin(batch.spans)

        def documents(first: int, last: int) -> None:
            for work in works:
                work(run, batch, first, last)

        return [shared(len(batch.spans), documents)]

    def _differentiate_matrix(
        self, run: HeadBuffers, scratch: list[np.ndarray], part: int, parts: int
    ) -> None:
        own = self.matrix
        own.differentiate(own.made(run.logits), own.read(run.pooled), scratch[part], part, parts)

    def _read(self, run: HeadBuffers, batch: Batch, first: int, last: int) -> None:
        """Logits of some documents, and how much attention each of their positions has."""
        part = slice(first, last)
        attention.pool_documents(
            run.hidden, self.query, self._scale, batch.spans, run.weights, run.pooled, first, last
        )
        readout.logits_of_rows(run.pooled[part], self.matrix.forward, self.bias, run.logits[part])
        for table in self._tables:
            table.add(batch, run.logits, first, last)

    def _measure(self, run: HeadBuffers, batch: Batch, first: int, last: int) -> None:
        """Losses of some documents; their logits become gradients."""
        part, size = slice(first, last), self.node.size
        logits, targets = run.logits[part], batch.targets[part]
        if self.node.multiple:
            own = logits[:, :size]
            # log(1 + e^x) without overflow: -log P that a label is not there; that it is, less x.
            absent = np.maximum(own, 0) + np.log1p(np.exp(-np.abs(own)))
            run.losses[part] = (absent - targets * own).sum(axis=1)
            logits[:, :size] = np.exp(own - absent) - targets
            logits[:, size:] = 0
        else:
            readout.cross_entropy_rows(logits, targets, run.losses[part])
        if batch.weights is not None:
            logits *= batch.weights[part, None].astype(logits.dtype)

    def _read_back(self, run: HeadBuffers, batch: Batch, first: int, last: int) -> None:
        """Gradients of the hidden states, and of the query by each document."""
        part = slice(first, last)
        readout.rows_times_weights(run.logits[part], self.matrix.backward, run.dpooled[part])
        attention.unpool_documents(
            run.hidden, self.query, self._scale, batch.spans, run.weights, run.dpooled,
            run.dhidden, run.dquery, first, last,
        )  # fmt: skip
