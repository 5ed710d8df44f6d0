"""How well a network does on held-back text, as certain of itself as suits it.

What it has seen often makes it too certain, long before it is wrong more often; smoothed labels
keep it from being certain of what it knows. Its loss rises from there on while its answers still
get better. At the temperature that suits it the loss falls for as long as they do
(docs/measurements.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from charrnn.compute import ctc
from charrnn.compute.packing import padded
from charrnn.compute.readout import IMPOSSIBLE
from charrnn.network.graph import Graph
from charrnn.network.network import Network
from charrnn.text.batch import Batch
from charrnn.text.dataset import Learned
from charrnn.text.pairs import Pairs
from charrnn.text.running import RunningText
from charrnn.training.evaluation import loss_of
from charrnn.training.processes import ALONE, Processes
from charrnn.training.reading import document_losses, known_logits, least_at, suited_temperature

#: Positions that tell which temperature suits a network: one figure follows from all of them.
_POSITIONS = 2**13

_LANES = 64


class Validation(NamedTuple):
    """How well a network does on held-back text."""

    loss: float  # mean, in nats
    temperature: float | None = None  # that logits were divided by, which suits them best


@np.errstate(all="ignore")  # weights beyond all numbers have a loss that is none
def validate(network: Network, text: Learned, processes: Processes = ALONE) -> Validation:
    """The mean loss; of labels, tags and pairs at the temperature at which it is least.

    That of pairs becomes the network's own: from then on its logits are divided by it. Each of the
    ``processes`` reads a share of the text.
    """
    if isinstance(text, RunningText) or network.config.task == "restore":
        return Validation(loss_of(network, text, processes=processes))
    if isinstance(text, Pairs):
        temperature = round(_suited_to_pairs(network, text, processes), 4)
        divide_logits(network.graph, network.parameters, temperature)
        network.pack()
        return Validation(loss_of(network, text, processes=processes), temperature)
    temperature = suited_temperature(*known_logits(network, text, processes=processes))
    return Validation(loss_of(network, text, temperature, processes), round(temperature, 4))


def divide_logits(graph: Graph, tensors: Mapping[str, np.ndarray], temperature: float) -> None:
    """Let a network with these ``tensors``, which change, make its logits divided by that."""
    for parameter in (own for head in graph.heads for own in head.parameters):
        tensors[parameter.name][...] /= temperature


def _suited_to_pairs(network: Network, pairs: Pairs, processes: Processes) -> float:
    """What the network's logits are to be divided by, so that the loss of ``pairs`` is least.

    Each of the ``processes`` reads some of the first few of them. The loss is that of all that is
    written of a pair; symbol by symbol with attention, over all alignments by CTC.
    """
    loss_of = _by_symbol if network.config.answers else _by_alignments
    sample = pairs.sample(_POSITIONS)
    read = [
        (network.logits(chunk.batch), chunk.batch)
        for chunk in processes.own(sample.chunks(_LANES, sample.suited_length))
    ]

    def loss(temperature: float) -> float:
        own = sum(loss_of(logits / temperature, batch) for logits, batch in read)
        return float(processes.sum(np.array([own]))[0])

    return least_at(loss)


def _by_symbol(logits: np.ndarray, batch: Batch) -> float:
    where = np.ones(batch.targets.shape, bool) if batch.counted is None else batch.counted
    return float(document_losses(logits[where], batch.targets[where]).sum())


def _by_alignments(logits: np.ndarray, batch: Batch) -> float:
    assert batch.spans is not None, "there are no documents to tell of"
    steps, lanes, symbols = logits.shape
    rows = np.full((steps, lanes, padded(symbols, logits.dtype)), IMPOSSIBLE, logits.dtype)
    rows[..., :symbols] = logits
    losses = np.empty(len(batch.spans), logits.dtype)
    ctc.align_documents(rows, batch.spans, batch.targets, losses, 0, losses.size)
    return float(losses.sum())
