"""Models that read: what they have in common, whatever they tell."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.compute.turns import in_turn
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel, save_model
from charrnn.text.documents import Documents
from charrnn.text.labels import Labels

#: Numbers that the logits of texts which are read at once may take.
_KEPT = 2**24


class Reader(ABC):
    """A network that reads, its characters and its labels.

    ``training`` says where it came from, ``history`` how its run went. Several threads may call
    it: they take turns. It may be used in a child process after a fork, pickled and copied.
    """

    def __init__(self, network: Network, saved: SavedModel) -> None:
        self.network, self.vocabulary = network, saved.vocabulary
        self.labels, self.training = Labels(saved.labels), saved.training
        self.history = saved.history

    @abstractmethod
    def answers(self, texts: Sequence[str]) -> list[Any]:
        """What is told of each of the texts; an empty one tells nothing and has no answer, None."""

    @in_turn
    def save(self, path: str | Path) -> None:
        """Write a model file, atomically. Raises ``ModelFileError``."""
        save_model(path, self._saved(self.network.parameters))

    @in_turn
    def __reduce__(self) -> tuple:
        saved = self._saved(copy.deepcopy(self.network.parameters))
        return _made, (type(self), saved, self.network.options)

    def _saved(self, tensors: dict[str, np.ndarray]) -> SavedModel:
        config, labels = self.network.config, self.labels.names
        return SavedModel(config, self.vocabulary, tensors, self.training, labels, self.history)

    def temperature(self, given: float | None = None) -> float:
        """What logits are divided by: what is ``given``, or suits the model."""
        return given or self.training.get("temperature") or 1.0

    def _documents(self, codes: Sequence[np.ndarray], *, by_position: bool) -> Documents:
        """Texts of code points, none of them empty, of which nothing is known yet."""
        ends = np.cumsum([own.size for own in codes])
        tokens = self.vocabulary.table[np.concatenate(codes)]
        size = tokens.size if by_position else ends.size
        return Documents(tokens, ends, np.zeros(size, np.int32), by_position)


def _made(kind: type[Reader], saved: SavedModel, options: dict[str, Any]) -> Reader:
    network = Network(saved.config, **options)
    network.load(saved.tensors)
    return kind(network, saved)


def together(texts: Sequence[str], classes: int) -> Iterator[Sequence[str]]:
    """The texts in parts that are read at once, so that their logits fit into memory."""
    first = numbers = 0
    for number, text in enumerate(texts):
        size = (len(text) + 2) * classes
        if numbers and numbers + size > _KEPT:
            yield texts[first:number]
            first, numbers = number, 0
        numbers += size
    if texts:
        yield texts[first:]
