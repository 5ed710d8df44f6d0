"""Dynamic evaluation: a network that keeps learning from the text while it is measured on it."""

from __future__ import annotations

import numpy as np

from charrnn.config import Plan
from charrnn.network.network import Network
from charrnn.text.batch import Batch
from charrnn.text.corpus import frame
from charrnn.text.vocabulary import UNKNOWN
from charrnn.training.evaluation import Evaluation
from charrnn.training.optimizer import create_optimizer

#: Characters that are predicted before what they teach is learned.
_STEPS = 32

#: How far an update goes, and how much of the way back to the trained weights precedes it
#: (docs/measurements.md).
_RATE, _DECAY = 3e-4, 1e-3

#: Adam without its first moment is RMSprop with the second moment corrected for its start.
_PLAN = Plan(
    batch_size=1,
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


def evaluate_adapting(
    network: Network, tokens: np.ndarray, losses: np.ndarray | None = None
) -> Evaluation:
    """As ``evaluate``, but learning from each piece of the text once it has been predicted.

    Krause et al. 2018: after every ``_STEPS`` characters an update of their loss, divided by the
    root of its mean square, and a step back towards the trained weights. The text is read in one
    lane, so that all that stands before a character has been learned. What learns is a copy: the
    network stays as it is. ``losses`` as in ``evaluate``.
    """
    learner = network.with_values(network.values)
    learner.prepare_training()
    optimizer = create_optimizer(_PLAN, learner)
    optimizer.rates[:] = 1
    state, nats, unknown_nats = learner.initial_state(1), 0.0, 0.0
    for first in range(0, len(tokens) - 1, _STEPS):
        piece = tokens[first : first + _STEPS + 1, np.newaxis]
        batch = Batch(*frame(piece[:-1], piece[1:]))
        found, state = learner.loss_and_gradients(batch, state)
        nats += float(found.sum(dtype=np.float64))
        unknown_nats += float(found.sum(where=batch.targets == UNKNOWN, dtype=np.float64))
        if losses is not None:
            losses[first : first + found.size] = found[:, 0]
        learner.values += _DECAY * (network.values - learner.values)
        optimizer.update(found.size, optimizer.gradient_norm(found.size), _RATE)
    return Evaluation.of(tokens, nats, unknown_nats)
