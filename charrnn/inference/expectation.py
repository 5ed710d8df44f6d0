"""What a model expects to follow a prompt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from charrnn.compute.readout import softmax_row
from charrnn.config import SamplingConfig, require_text
from charrnn.errors import UsageError
from charrnn.inference.choosing import anything, choosing
from charrnn.inference.session import Session
from charrnn.text.vocabulary import END, START, UNKNOWN

if TYPE_CHECKING:
    from charrnn.inference.language_model import LanguageModel

_NAMES = {END: "end of text", UNKNOWN: "unknown character"}


class Expected(NamedTuple):
    """One thing that may follow a text."""

    name: str  # the character itself, "end of text" or "unknown character"
    character: str | None  # None for these two
    probability: float

    @property
    def bits(self) -> float:
        """What it would tell: -log2 of the probability, 0.0 (not -0.0) where that is 1."""
        return 0.0 - math.log2(self.probability) if self.probability else math.inf


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
    chances = _sharpened(_losses_after(model, prime), temperature)
    found = []
    for token in np.argsort(-chances, kind="stable").tolist():
        if token != START:
            character = None if token in _NAMES else model.vocabulary.decode([token])
            found.append(Expected(_NAMES.get(token) or str(character), character, chances[token]))
    return found


def _losses_after(model: LanguageModel, prime: str) -> np.ndarray:
    """-log P of each token [V] after the prompt."""
    size, network = model.vocabulary.size, model.network
    allowed = anything(size, network.dtype, may_end=True)
    own = choosing(SamplingConfig(), model.vocabulary, allowed)
    with network.turns.take():  # after that nothing is shared
        program = network.program(1)
    session = Session(program, own.chooser, own.recall(1))
    session.feed(model.vocabulary.encode(prime)[np.newaxis])
    (logits,) = session.logits()
    kind = logits.dtype.type
    top, log_sum = softmax_row(logits.copy(), 0, logits.size)
    losses: np.ndarray = kind(log_sum) + (kind(top) - logits[:size])
    return losses


def _sharpened(nats: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [V] from losses: as they are at temperature 1."""
    if temperature == 1:
        return np.exp(-nats.astype(np.float64))
    logits = (nats.min() - nats.astype(np.float64)) / temperature
    chances = np.exp(logits)
    return chances / chances.sum()
