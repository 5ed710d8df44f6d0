"""The likeliest texts: beam search, with a session whose texts are the beams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charrnn.inference.choosing import Choosing
from charrnn.inference.session import Session
from charrnn.network.network import Network
from charrnn.text.vocabulary import END
from charrnn.training.reading import log_probabilities


@dataclass(frozen=True)
class Found:
    """A text that is over: its tokens, the sum of -log P, and whether it ended by itself."""

    tokens: np.ndarray
    nats: float
    ended: bool

    @property
    def predictions(self) -> int:
        return self.tokens.size + self.ended

    @property
    def loss(self) -> float:
        """Mean of -log P."""
        return self.nats / max(self.predictions, 1)


class Beams:
    """The ``count`` likeliest texts that are being read at once; ``choosing`` says what may follow.

    Of all texts that go on from these by a character the likeliest are kept.
    """

    def __init__(self, network: Network, choosing: Choosing, count: int) -> None:
        self._vocabulary_size = network.config.vocabulary_size
        self._allowed = choosing.allowed
        with network.turns.take():
            program = network.program(count)
        self._session = Session(program, choosing.chooser, choosing.recall(count))
        self._nats = np.full(count, np.inf)
        self._nats[0] = 0.0  # all begin alike: only one of them counts
        self._states = np.zeros(count, np.int64)
        self._texts = np.empty((count, 0), np.int32)
        self.found: list[Found] = []

    def search(self, prompt: np.ndarray, length: int) -> list[Found]:
        """What was found after the prompt (tokens) of so many characters at most, the best first.

        The best is that of the lowest mean of -log P: a long text is not worse for being long.
        """
        count = self._nats.size
        self._session.feed(np.tile(prompt, (count, 1)))
        for left in range(length, 0, -1):
            self._step(left)
            if len(self.found) >= count or not np.isfinite(self._nats).any():
                break
        else:
            self._stop_all()
        return sorted(self.found, key=lambda text: text.loss)

    def _step(self, left: int) -> None:
        """One character more; texts that end leave the beams."""
        count = self._nats.size
        nats = self._nats[:, np.newaxis] + self._losses(left)
        ended = [
            Found(self._texts[b], float(nats[b, END]), True)
            for b in range(count)
            if np.isfinite(nats[b, END])
        ]
        best = np.partition(nats, count - 1, axis=None)[count - 1]
        self.found += [text for text in ended if text.nats <= best]
        nats[:, END] = np.inf
        places = np.argsort(nats, axis=None, kind="stable")[:count]
        parents, tokens = np.divmod(places, nats.shape[1])
        self._nats = nats.reshape(-1)[places]
        self._states = self._allowed.following[self._states[parents], tokens]
        self._texts = np.column_stack([self._texts[parents], tokens.astype(np.int32)])
        self._session.take(self._session, parents)
        self._session.feed(tokens[:, np.newaxis])

    def _losses(self, left: int) -> np.ndarray:
        """-log P of each token behind each beam [N, V], infinite for what may not follow."""
        logits = self._session.logits()[:, : self._vocabulary_size]
        losses = -log_probabilities(logits.astype(np.float64))
        following = self._allowed.following[self._states, : self._vocabulary_size]
        late = self._allowed.distance[following] > left - 1
        late[:, END] = False
        masks = self._allowed.masks[self._states, : self._vocabulary_size]
        losses[(masks < 0) | late] = np.inf
        return losses

    def _stop_all(self) -> None:
        for text, nats in zip(self._texts, self._nats, strict=True):
            if np.isfinite(nats):
                self.found.append(Found(text, float(nats), False))
