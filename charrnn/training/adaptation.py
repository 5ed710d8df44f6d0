"""Dynamic evaluation: a network that keeps learning from the text while it is measured on it."""

from __future__ import annotations

import numpy as np

from charrnn.config import Plan
from charrnn.network.network import Network
from charrnn.text.batch import Batch
from charrnn.text.corpus import frame
from charrnn.text.running import Labelling
from charrnn.text.vocabulary import UNKNOWN
from charrnn.training.evaluation import Evaluation
from charrnn.training.optimizer import create_optimizer

#: Characters that are predicted before what they teach is learned.
PIECE = 32

#: How far an update goes, and how much of the way back to the trained weights precedes it
#: (docs/measurements.md).
_RATE, _DECAY = 3e-4, 1e-3

#: Adam without its first moment is RMSprop with the second moment corrected for its start.
_PLAN = Plan(
    batch_size=1,
    sequence_length=PIECE,
    optimizer="adam",
    beta1=0.0,
    beta2=0.999,
    learning_rate=_RATE,
    averaging=0.0,
    dropout=0.0,
    weight_decay=0.0,
    most_epochs=0.0,
    validations=1,
    validation_positions=0,
)


class Learner:
    """A copy of a network that learns from each piece of a text once it has been predicted.

    Krause et al. 2018: after every ``PIECE`` characters an update of their loss, divided by the
    root of its mean square, and a step back towards the trained weights.
    """

    def __init__(self, network: Network) -> None:
        self.network = network.with_values(network.values)
        self.network.prepare_training()
        self._trained = network.values.copy()
        self._optimizer = create_optimizer(_PLAN, self.network)
        self._optimizer.rates[:] = 1
        self._state = self.network.initial_state(1)

    def learn(self, piece: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Losses [n] of predicting ``piece[1:]`` [n + 1], from which the network then learns.

        Its first token is the last of the piece before; START is that of the first piece.
        ``labels`` [A, n, 1] are those that the network is told, if any.
        """
        tokens = piece[:, np.newaxis]
        inputs, targets, resets = frame(tokens[:-1], tokens[1:])
        batch = Batch(inputs, targets, resets, labels=labels)
        before = self._state
        losses, self._state = self.network.loss_and_gradients(batch, before)
        if self.network.config.members > 1:  # they learn from their own, and predict together
            losses, _ = self.network.losses(batch, before)
        self.network.values += _DECAY * (self._trained - self.network.values)
        norm = self._optimizer.gradient_norm(losses.size)
        self._optimizer.update(losses.size, norm, _RATE)
        return losses[:, 0]


def evaluate_adapting(
    network: Network,
    tokens: np.ndarray,
    losses: np.ndarray | None = None,
    *,
    labelling: Labelling | None = None,
) -> Evaluation:
    """As ``evaluate``, but learning from each piece of the text once it has been predicted.

    The text is read in one lane, so that all that stands before a character has been learned. The
    network stays as it is. ``losses`` and ``labelling`` as in ``evaluate``.
    """
    learner, nats, unknown_nats = Learner(network), 0.0, 0.0
    for first in range(0, len(tokens) - 1, PIECE):
        piece = tokens[first : first + PIECE + 1]
        positions = np.arange(first, first + piece.size - 1)[:, np.newaxis]
        found = learner.learn(piece, None if labelling is None else labelling.at(positions))
        nats += float(found.sum(dtype=np.float64))
        unknown_nats += float(found.sum(where=piece[1:] == UNKNOWN, dtype=np.float64))
        if losses is not None:
            losses[first : first + found.size] = found
    return Evaluation.of(tokens, nats, unknown_nats)
