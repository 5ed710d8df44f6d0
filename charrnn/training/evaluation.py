"""How well a network predicts a text: loss per character, bits, perplexity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from charrnn.network.network import Network
from charrnn.text.batch import Batch
from charrnn.text.corpus import frame
from charrnn.text.vocabulary import START, UNKNOWN

#: Characters that a lane reads before its own share begins, to arrive there with the state that
#: one long pass would have (docs/measurements.md).
BURN_IN = 512

_LANES, _STEPS = 64, 64


@dataclass(frozen=True)
class Evaluation:
    """The sum of -log P over a text and what it is a sum of."""

    nats: float  # sum over all predictions
    predictions: int  # characters and the ends of documents
    characters: int  # characters of the text
    unknown: int  # of these, characters that the vocabulary does not hold

    @classmethod
    def of(cls, tokens: np.ndarray, nats: float) -> Evaluation:
        """The sum ``nats`` over the predictions of ``tokens[1:]``."""
        text = tokens[1:]
        return cls(
            nats=nats,
            predictions=text.size,
            characters=text.size - int(np.count_nonzero(text == START)),
            unknown=int(np.count_nonzero(text == UNKNOWN)),
        )

    @property
    def nats_per_character(self) -> float:
        """Mean loss of a prediction, natural logarithm; the end of a document is one."""
        return self.nats / self.predictions

    @property
    def bits_per_character(self) -> float:
        """The same with the logarithm to base 2."""
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        """e to the mean loss: among how many equally likely characters the network wavers."""
        return math.exp(min(self.nats_per_character, 700.0))


def batch_at(tokens: np.ndarray, positions: np.ndarray, counted: np.ndarray | None = None) -> Batch:
    """The ``positions`` [T, B] of a text; each lane's go up by 1 from step to step.

    They may lie outside of the text: before it a lane waits in the initial state, behind it the
    last position comes again.
    """
    at = np.clip(positions, 0, len(tokens) - 2)
    inputs, targets, resets = frame(tokens[at], tokens[at + 1])
    resets[positions <= 0] = 1
    return Batch(inputs, targets, resets, counted)


def evaluate(network: Network, tokens: np.ndarray) -> Evaluation:
    """Loss of predicting ``tokens[1:]`` from what stands before each; START as target is END.

    The text is read in lanes side by side. A lane starts ``BURN_IN`` characters before its share
    without counting them; where a document starts within these, its state is exact.
    """
    positions = len(tokens) - 1
    lanes = max(1, min(_LANES, positions // (8 * BURN_IN)))
    starts = np.arange(lanes) * positions // lanes
    ends = (np.arange(lanes) + 1) * positions // lanes
    first = starts - BURN_IN if lanes > 1 else starts
    state = network.initial_state(lanes)
    nats = 0.0
    for t in range(0, int((ends - first).max()), _STEPS):
        steps = np.arange(t, t + _STEPS)[:, None] + first
        counted = (steps >= starts) & (steps < ends)
        losses, state = network.losses(batch_at(tokens, steps, counted), state)
        nats += float(losses.sum(where=counted, dtype=np.float64))
    return Evaluation.of(tokens, nats)
