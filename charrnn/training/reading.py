"""What a network that reads tells of documents: of each of them, or of each of their positions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from charrnn.network.network import Network
from charrnn.text.documents import Documents
from charrnn.training.processes import ALONE, Processes

#: The most lanes and positions of a chunk, and its steps: the first in which all documents are
#: whole, or else the last, which comes earlier where each position is told something.
_LANES, _POSITIONS, _LENGTHS, _LONGEST = 64, 64 * 256, (64, 128, 256, 512, 1024), 256

#: Characters on both sides of a part of a long document that are read beside it, so that its
#: classes are those that one long pass would tell (docs/measurements.md).
MARGIN = 32

#: Logits of positions that tell which temperature suits a model.
_ENOUGH = 2**21

#: Temperatures between which the one is sought that suits a model, and how often they are narrowed.
_COLDEST, _HOTTEST, _NARROWINGS = 0.05, 20.0, 20


def chunk_shape(documents: Documents) -> tuple[int, int]:
    """Lanes and steps of the chunks that they are read in."""
    longest = min(documents.lengths.max(initial=1), _LONGEST if documents.by_position else math.inf)
    length = next((length for length in _LENGTHS if length >= longest), _LENGTHS[-1])
    return min(_POSITIONS // length, _LANES), length


def document_logits(
    network: Network, documents: Documents, processes: Processes = ALONE
) -> np.ndarray:
    """Logits of each document [D, K], float64: of one read in parts, their mean by length.

    Each of the ``processes`` reads some chunks, here and below, and has the logits of all.
    """
    logits = np.zeros((documents.ends.size, network.config.classes))
    for chunk in processes.own(documents.chunks(*chunk_shape(documents))):
        found = network.logits(chunk.batch) * chunk.pieces.lengths[:, np.newaxis]
        np.add.at(logits, chunk.pieces.document, found)
    return processes.sum(logits) / documents.lengths[:, np.newaxis]


def attention(network: Network, documents: Documents) -> np.ndarray:
    """The share of each position [N] in what is told of its document; they add up to 1."""
    shares = np.empty(documents.positions)
    for chunk in documents.chunks(*chunk_shape(documents)):
        pieces = chunk.pieces
        of_piece = pieces.lengths / documents.lengths[pieces.document]
        weights = network.attention(chunk.batch)[chunk.at]
        shares[chunk.tokens] = weights * np.repeat(of_piece, pieces.lengths)
    return shares


def position_logits(
    network: Network,
    documents: Documents,
    margin: int = MARGIN,
    processes: Processes = ALONE,
) -> np.ndarray:
    """Logits of each position [N, K]."""
    logits = np.zeros((documents.positions, network.config.classes), network.dtype)
    for chunk in processes.own(documents.chunks(*chunk_shape(documents), margin)):
        logits[chunk.tokens] = network.logits(chunk.batch)[chunk.at]
    return processes.sum(logits)


def known_logits(
    network: Network,
    documents: Documents,
    most: int | None = _ENOUGH,
    processes: Processes = ALONE,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, K] and classes [n], or bool [n, K], of all documents or positions that have any.

    Of positions no more than about ``most`` numbers; None: all.
    """
    if not documents.by_position:
        return document_logits(network, documents, processes), documents.classes
    if most is not None:
        documents = documents.sample(max(most // network.config.classes, 1))
    known = documents.classes >= 0
    logits = position_logits(network, documents, processes=processes)
    return logits[known], documents.classes[known]


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """log softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def document_losses(logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """-log P of the class of each document [D], in nats; of bool ``classes`` [D, K], of all.

    ``logits`` are [D, K].
    """
    if classes.ndim == 1:
        return -log_probabilities(logits)[np.arange(classes.size), classes]
    return (np.logaddexp(0, logits) - classes * logits).sum(axis=1)


def suited_temperature(logits: np.ndarray, classes: np.ndarray) -> float:
    """What logits are to be divided by, so that the loss is least (Guo et al. 2017)."""
    return least_at(lambda by: float(document_losses(logits / by, classes).mean()))


def least_at(loss: Callable[[float], float]) -> float:
    """The temperature at which the ``loss`` is least.

    Found by golden section: the loss has one minimum, as it is convex in the inverse.
    """
    ratio = (math.sqrt(5) - 1) / 2
    low, high = math.log(_COLDEST), math.log(_HOTTEST)
    for _ in range(_NARROWINGS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(math.exp(left)) < loss(math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
