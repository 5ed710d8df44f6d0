"""The likeliest texts to what networks have read: beam search, of all documents at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from charrnn.network.answering import Answering, with_texts
from charrnn.network.network import Network
from charrnn.text.batch import FirstBatch
from charrnn.text.vocabulary import END, START, UNKNOWN
from charrnn.training.reading import log_probabilities

#: A beginning whose -log P is so many nats more than that of a whole text is given up.
_HOPELESS = 10.0


@dataclass(frozen=True)
class Found:
    """A text: its symbols, -log P, and which position of its document each of them is of."""

    tokens: list[int]
    nats: float
    places: list[int]
    ended: bool = True  # whether it ended by itself


@dataclass
class _Beams:
    """Of B documents the K likeliest beginnings, and what was found."""

    nats: np.ndarray  # [B, K]; infinite: there is none
    texts: np.ndarray  # [B, K, t]
    places: np.ndarray  # [B, K, t]
    found: list[list[Found]] = field(default_factory=list)

    @classmethod
    def at_start(cls, documents: int, count: int) -> _Beams:
        """All begin alike: only one of them counts."""
        nats = np.full((documents, count), np.inf)
        nats[:, 0] = 0
        nothing = np.empty((documents, count, 0), np.int64)
        return cls(nats, nothing, nothing, [[] for _ in range(documents)])

    def extend(self, losses: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Go on with the likeliest of all symbols [B, K, V]; texts that end leave the beams.

        ``places`` [B, K] are what each symbol would be of. Returns the beams [B, K] from which the
        new ones go on, and their last symbols [B, K].
        """
        documents, count, size = losses.shape
        nats = (self.nats[..., np.newaxis] + losses).reshape(documents, -1)
        best = np.argsort(nats, axis=1, kind="stable")[:, : 2 * count]  # half of them may be ends
        parents, tokens = np.divmod(best, size)
        nats = np.take_along_axis(nats, best, axis=1)
        ends = tokens == END
        over = ends[:, :count] & np.isfinite(nats[:, :count])
        for d, rank in zip(*np.nonzero(over), strict=True):
            self._keep(d, parents[d, rank], float(nats[d, rank]), ended=True)
        order = np.argsort(ends, axis=1, kind="stable")[:, :count]
        parents, tokens, self.nats = (
            np.take_along_axis(own, order, axis=1) for own in (parents, tokens, nats)
        )
        for d, own in enumerate(self.found):
            # What goes on becomes no likelier: it is given up behind as many whole texts.
            own.sort(key=lambda text: text.nats)
            del own[count:]
            if own:
                most = own[-1].nats if len(own) == count else own[0].nats + _HOPELESS
                self.nats[d, self.nats[d] > most] = np.inf
        rows = parents[..., np.newaxis]
        self.texts, self.places = (
            np.concatenate([np.take_along_axis(old, rows, axis=1), new[..., np.newaxis]], axis=2)
            for old, new in (
                (self.texts, tokens),
                (self.places, np.take_along_axis(places, parents, axis=1)),
            )
        )
        return parents, tokens

    def stop(self) -> None:
        """Let what has not ended be found as it is."""
        for d, k in zip(*np.nonzero(np.isfinite(self.nats)), strict=True):
            self._keep(d, k, float(self.nats[d, k]), ended=False)

    def _keep(self, d: int, k: int, nats: float, *, ended: bool) -> None:
        texts, places = self.texts[d, k].tolist(), self.places[d, k].tolist()
        self.found[d].append(Found(texts, nats, places, ended))


def search(
    networks: Sequence[Network], first: FirstBatch, beams: int, most: int
) -> list[list[Found]]:
    """For each document what is found among so many ``beams``, of at most so many symbols.

    The likeliest comes first; that it is divided by a power of its length (Wu et al. 2016) made
    answers no better (docs/measurements.md). Of several networks the mean of their probabilities
    counts.
    """
    documents = len(first.spans)
    repeated = with_texts(first, beams)
    writers = [Answering(network, repeated) for network in networks]
    state = _Beams.at_start(documents, beams)
    own = np.arange(documents)[:, np.newaxis] * beams
    told = [writer.begin() for writer in writers]
    for _ in range(most):
        losses = -mean_log_probabilities([logits for logits, _ in told])
        losses[:, [START, UNKNOWN]] = np.inf
        parents, tokens = state.extend(
            losses.reshape(documents, beams, -1), told[0][1].reshape(documents, beams)
        )
        if not np.isfinite(state.nats).any():
            break
        for writer in writers:
            writer.take((own + parents).reshape(-1))
        told = [writer.feed(tokens.reshape(-1)) for writer in writers]
    else:
        state.stop()
    return [sorted(found, key=lambda text: text.nats) for found in state.found]


def mean_log_probabilities(logits: Sequence[np.ndarray]) -> np.ndarray:
    """log of the mean of several networks' probabilities [..., V], float64, of their logits."""
    logs = [log_probabilities(own.astype(np.float64)) for own in logits]
    return logs[0] if len(logs) == 1 else np.logaddexp.reduce(logs) - np.log(len(logs))
