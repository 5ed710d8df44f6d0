"""What a model expects to follow a prompt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from charrnn.config import require_text
from charrnn.errors import UsageError
from charrnn.network.network import Network
from charrnn.text.batch import Batch
from charrnn.text.vocabulary import END, START, UNKNOWN
from charrnn.training.evaluation import position_losses

if TYPE_CHECKING:
    from charrnn.inference.language_model import LanguageModel

#: Characters whose losses are measured at once.
_TOGETHER = 256

_NAMES = {END: "end of text", UNKNOWN: "unknown character"}


class Expected(NamedTuple):
    """One thing that may follow a text."""

    name: str  # the character itself, "end of text" or "unknown character"
    character: str | None  # None for these two
    probability: float

    @property
    def bits(self) -> float:
        """What it would tell: -log2 of the probability."""
        return -math.log2(self.probability) if self.probability else math.inf


def expected_after(
    model: LanguageModel, prime: str = "", temperature: float = 1.0
) -> list[Expected]:
    """All that may follow ``prime`` at the start of a document, the likeliest first.

    Temperature 1 is what was learned, and the probabilities are those that ``score`` tells; less
    sharpens them. They add up to 1 but for what is left to the start of a document, which never
    follows. Raises ``UsageError`` for a prompt that is no text, and a temperature that is not above
    0.
    """
    require_text("prime", prime)
    if not 0 < temperature < math.inf:
        raise UsageError(f"temperature must be above 0, not {temperature}")
    tokens = np.concatenate([[START], model.vocabulary.encode(prime)])
    with model.network.turns.take():
        nats = _losses_after(model.network, tokens)
    chances = _sharpened(nats, temperature)
    found = []
    for token in np.argsort(-chances, kind="stable").tolist():
        if token != START:
            character = None if token in _NAMES else model.vocabulary.decode([token])
            found.append(Expected(_NAMES.get(token) or str(character), character, chances[token]))
    return found


def _losses_after(network: Network, tokens: np.ndarray) -> np.ndarray:
    """-log P of each token [V] after ``tokens``: the last one is read in as many lanes."""
    _, state = position_losses(network, tokens)
    size = network.config.vocabulary_size
    losses = np.empty(size, network.dtype)
    for first in range(0, size, _TOGETHER):
        targets = np.arange(first, min(first + _TOGETHER, size), dtype=np.int32)[None]
        inputs = np.full_like(targets, tokens[-1])
        batch = Batch(inputs, targets, (inputs == START).astype(np.uint8))
        lanes = np.ascontiguousarray(np.repeat(state, targets.size, axis=2))
        found, _ = network.losses(batch, lanes)
        losses[targets[0]] = found[0]
    return losses


def _sharpened(nats: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [V] from losses: as they are at temperature 1."""
    if temperature == 1:
        return np.exp(-nats.astype(np.float64))
    logits = (nats.min() - nats.astype(np.float64)) / temperature
    chances = np.exp(logits)
    return chances / chances.sum()
