"""The table of n-grams beside a network: what they say of a document's label by themselves."""

from __future__ import annotations

import numpy as np

from charrnn.compute import ngrams
from charrnn.compute.threads import share
from charrnn.network.heads import DocumentClass
from charrnn.network.layers.place import Place
from charrnn.text.batch import Batch
from charrnn.text.vocabulary import START


class NgramTable:
    """Rows of logits, one for each bucket of n-grams, which the head adds to its own."""

    def __init__(self, node: DocumentClass, place: Place) -> None:
        self._shape = node.buckets, node.size
        self._at = place.at[node.named("ngrams")]

    def take(self, values: np.ndarray) -> None:
        """Read the table in the flat ``values`` from now on."""
        self._table = self._own(values)

    def _own(self, flat: np.ndarray) -> np.ndarray:
        buckets, labels = self._shape
        return flat[self._at :][: buckets * labels].reshape(self._shape)

    def begin(self, spans: np.ndarray) -> None:
        """Make room for the n-grams of the documents with these ``spans`` [D, 3]."""
        room = spans[:, 2] - spans[:, 1] + 2
        self._ends = np.cumsum(room * ngrams.LONGEST)
        self._counts = np.empty(len(room), np.int64)
        self._found = np.empty(self._ends[-1] if len(room) else 0, np.int32)

    def add(self, batch: Batch, logits: np.ndarray, first: int, last: int) -> None:
        """Add what the n-grams of the documents ``first … last`` say to all ``logits``."""
        ngrams.buckets_of_documents(
            batch.inputs, batch.spans, START, self._shape[0], self._ends, self._found,
            self._counts, first, last,
        )  # fmt: skip
        ngrams.add_logits(self._table, self._ends, self._found, self._counts, logits, first, last)

    def differentiate(self, dlogits: np.ndarray) -> None:
        """Keep the gradient of all ``logits`` for ``unpack``."""
        self._dlogits = dlogits

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """Write this thread's share of the table's rows to the flat ``gradients``."""
        ngrams.differentiate_rows(
            self._dlogits, self._ends, self._found, self._counts, self._own(gradients),
            *share(self._shape[0], part, parts),
        )  # fmt: skip
