"""How well a network predicts a text: loss per character, bits, perplexity."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from charrnn.network.network import Network
from charrnn.text.batch import Batch
from charrnn.text.corpus import BLOCK, Corpus, frame
from charrnn.text.dataset import Learned
from charrnn.text.documents import Chunk
from charrnn.text.pairs import PairChunk, Pairs
from charrnn.text.running import Labelling, RunningText
from charrnn.text.vocabulary import END, START, UNKNOWN
from charrnn.training.processes import ALONE, Processes
from charrnn.training.reading import MARGIN, document_losses, known_logits

#: Characters that a lane reads before its own share begins, to arrive there with the state that
#: one long pass would have (docs/measurements.md).
BURN_IN = 512

_LANES, _STEPS = 64, 64

#: Steps of a chunk of texts that are read whole.
_LONG = 256

#: Of characters before a prediction: one for each number of binary digits.
_BINS = 64

#: How far from where an even share would begin a lane looks for the start of a document, so that
#: none of up to twice as many characters is cut.
_NEAR = 2048


@dataclass(frozen=True)
class Evaluation:
    """The sum of -log P over a text and what it is a sum of."""

    nats: float  # sum over all predictions
    predictions: int  # characters and the ends of documents
    characters: int  # characters of the text
    unknown: int  # of these, characters that the vocabulary does not hold
    unknown_nats: float = 0.0  # what the sum has of them

    @classmethod
    def of(cls, tokens: np.ndarray, nats: float, unknown_nats: float) -> Evaluation:
        """The sums over the predictions of ``tokens[1:]``, and over those of unknown characters."""
        text = tokens[1:]
        return cls(
            nats=nats,
            predictions=text.size,
            characters=text.size - int(np.count_nonzero(text == START)),
            unknown=int(np.count_nonzero(text == UNKNOWN)),
            unknown_nats=unknown_nats,
        )

    @classmethod
    def of_losses(cls, tokens: np.ndarray, losses: np.ndarray) -> Evaluation:
        """The sums of the ``losses`` [N] of a part [N + 1] of a text."""
        unknown = tokens[1:] == UNKNOWN
        sums = [float(losses.sum(dtype=np.float64, where=where)) for where in (True, unknown)]
        return cls.of(tokens, *sums)

    @property
    def nats_per_character(self) -> float:
        """Mean loss of a prediction, natural logarithm; the end of a document is one.

        NaN: there are no predictions.
        """
        return self.nats / self.predictions if self.predictions else math.nan

    @property
    def bits_per_character(self) -> float:
        """The same with the logarithm to base 2."""
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        """e to the mean loss: among how many equally likely characters the network wavers."""
        return _perplexity(self.nats_per_character)

    @property
    def known_perplexity(self) -> float:
        """The same of all predictions but those of unknown characters; NaN: there are no others.

        An unknown character is any of those that a vocabulary lacks, so that models which lack
        others can be compared by this.
        """
        known = self.predictions - self.unknown
        return _perplexity((self.nats - self.unknown_nats) / known) if known else math.nan


def _perplexity(nats_per_character: float) -> float:
    return math.exp(min(nats_per_character, 700.0))


class PositionLoss(NamedTuple):
    """Mean loss of the predictions that have so many characters of their document before them."""

    fewest: int
    most: int
    predictions: int
    nats_per_character: float


@dataclass(frozen=True)
class CorpusEvaluation:
    """How well a network predicts a corpus, and its parts."""

    total: Evaluation
    sources: list[Evaluation]
    positions: list[PositionLoss]


class Shares(NamedTuple):
    """Which positions of a text each lane reads; all [B]."""

    first: np.ndarray  # where it begins to read
    starts: np.ndarray  # the first position that counts
    ends: np.ndarray  # one past the last

    @property
    def steps(self) -> int:
        """Until all lanes are through."""
        return int((self.ends - self.first).max(initial=0))

    def part(self, first: int, last: int) -> Shares:
        """Those of the lanes ``first … last``."""
        return Shares(*(array[first:last] for array in self))

    def at(self, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The positions that are read at ``steps`` [T], and whether they count, both [T, B]."""
        positions = steps[:, None] + self.first
        return positions, (positions >= self.starts) & (positions < self.ends)


def even_shares(positions: int, most: int) -> Shares:
    """Shares of one size, ``most`` positions in all, which lie evenly over all ``positions``.

    They are read from ``BURN_IN`` characters before each, which may be before 0.
    """
    lanes = _fitting_lanes(most)
    starts = np.arange(lanes) * positions // lanes
    ends = starts + np.diff(np.arange(lanes + 1) * most // lanes)
    return Shares(starts - BURN_IN if lanes > 1 else starts, starts, ends)


def document_shares(tokens: np.ndarray) -> Shares:
    """Shares that begin where a document does, if one is ``_NEAR``, else after ``BURN_IN``.

    The last lane ends with the text, so that its state is that of what comes after.
    """
    positions = len(tokens) - 1
    lanes = _fitting_lanes(positions)
    starts = np.arange(lanes) * positions // lanes
    first = np.maximum(starts - BURN_IN, 0)
    for lane in range(1, lanes):
        begin = starts[lane] - _NEAR
        near = begin + np.flatnonzero(tokens[begin : starts[lane] + _NEAR] == START)
        if near.size:
            first[lane] = starts[lane] = near[np.abs(near - starts[lane]).argmin()]
    ends = np.append(starts[1:], positions)
    steps = Shares(first, starts, ends).steps
    return Shares(np.minimum(first, positions - steps), starts, ends)


def _fitting_lanes(positions: int) -> int:
    return max(1, min(_LANES, positions // (8 * BURN_IN)))


def batch_at(
    tokens: np.ndarray,
    positions: np.ndarray,
    counted: np.ndarray | None = None,
    labelling: Labelling | None = None,
) -> Batch:
    """The ``positions`` [T, B] of a text; each lane's go up by 1 from step to step.

    They may lie outside of the text: before it a lane waits in the initial state, behind it the
    last position comes again.
    """
    at = np.clip(positions, 0, len(tokens) - 2)
    inputs, targets, resets = frame(tokens[at], tokens[at + 1])
    resets[positions <= 0] = 1
    labels = None if labelling is None else labelling.at(at)
    return Batch(inputs, targets, resets, counted, labels)


def loss_of(
    network: Network, text: Learned, temperature: float = 1.0, processes: Processes = ALONE
) -> float:
    """Mean loss of what is to be told of a text: of each character, document or position.

    Logits of documents and positions are divided by the ``temperature``.
    """
    if isinstance(text, RunningText):
        labelling = text.labelling
        result = evaluate(
            network, text.tokens, labelling=labelling, most=text.evaluated, processes=processes
        )
        return result.nats_per_character
    if isinstance(text, Pairs):
        return _mean_loss(network, text.chunks(_LANES, text.suited_length), processes)
    if temperature != 1 or not text.by_position:
        logits, classes = known_logits(network, text, most=None, processes=processes)
        return float(document_losses(logits / temperature, classes).mean())
    return _mean_loss(network, text.chunks(_LANES, _LONG, MARGIN), processes)


def _mean_loss(
    network: Network, chunks: Iterable[Chunk | PairChunk], processes: Processes
) -> float:
    """Mean loss of what counts in the chunks, of which each of the processes reads some."""
    sums = np.zeros(2)
    for chunk in processes.own(chunks):
        state = network.initial_state(chunk.batch.inputs.shape[1])
        found, _ = network.losses(chunk.batch, state)
        sums += found.sum(dtype=np.float64), chunk.batch.count
    nats, count = processes.sum(sums).tolist()
    return nats / count if count else math.nan


def evaluate(
    network: Network,
    tokens: np.ndarray,
    losses: np.ndarray | None = None,
    *,
    labelling: Labelling | None = None,
    most: int | None = None,
    processes: Processes = ALONE,
) -> Evaluation:
    """Loss of predicting ``tokens[1:]`` from what stands before each; START as target is END.

    The text is read in lanes side by side. A lane starts ``BURN_IN`` characters before its share
    without counting them; where a document starts within these, its state is exact. ``losses``
    [N], if given, becomes the loss of each prediction, in nats. ``labelling`` says which labels the
    network is told of, if any. No more than ``most`` predictions are made, spread over the text.
    Each of the ``processes`` reads some of the lanes, and has their ``losses`` alone.
    """
    positions = len(tokens) - 1
    shares = even_shares(positions, positions if most is None else most)
    shares = shares.part(*processes.share(len(shares.starts)))
    state = network.initial_state(len(shares.starts))
    nats = unknown_nats = 0.0
    predictions = characters = unknowns = 0
    for t in range(0, shares.steps, _STEPS):
        at, counted = shares.at(np.arange(t, t + _STEPS))
        batch = batch_at(tokens, at, counted, labelling)
        found, state = network.losses(batch, state)
        nats += float(found.sum(where=counted, dtype=np.float64))
        unknown = counted & (batch.targets == UNKNOWN)
        unknown_nats += float(found.sum(where=unknown, dtype=np.float64))
        predictions += int(np.count_nonzero(counted))
        characters += int(np.count_nonzero(counted & (batch.targets != END)))
        unknowns += int(np.count_nonzero(unknown))
        if losses is not None:
            losses[at[counted]] = found[counted]
    sums = np.array([nats, predictions, characters, unknowns, unknown_nats])
    nats, predictions, characters, unknowns, unknown_nats = processes.sum(sums).tolist()
    return Evaluation(nats, int(predictions), int(characters), int(unknowns), unknown_nats)


def position_losses(
    network: Network, tokens: np.ndarray, state: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Loss of each prediction of ``tokens[1:]``, float32 [N] in nats, and the state after them.

    The text begins in ``state`` (as ``Network.initial_state(1)``, which it is unless given). It is
    read in lanes: a document of fewer than ``2 * _NEAR`` characters has the losses that it has
    alone. Where a lane begins within a longer one, it begins ``BURN_IN`` characters earlier.
    """
    shares = document_shares(tokens)
    losses = np.empty(len(tokens) - 1, network.dtype)
    states = network.initial_state(len(shares.starts))
    if state is not None:
        states[:, :, :1] = state
    for t in range(0, shares.steps, _STEPS):
        positions, counted = shares.at(np.arange(t, min(t + _STEPS, shares.steps)))
        batch = Batch(*frame(tokens[positions], tokens[positions + 1]))
        found, states = network.losses(batch, states)
        losses[positions[counted]] = found[counted]
    return losses, states[:, :, -1:].copy()


def evaluate_corpus(
    network: Network,
    corpus: Corpus,
    measure: Callable[..., Evaluation] = evaluate,
    *,
    labelling: Labelling | None = None,
) -> CorpusEvaluation:
    """Evaluate all, each source, and what lies how far from the start of its document.

    ``measure`` is ``evaluate`` or another that takes what it takes, ``labelling`` among it.
    """
    tokens = corpus.tokens
    losses = np.empty(tokens.size - 1, network.dtype)
    total = measure(network, tokens, losses, labelling=labelling)
    ends = np.cumsum(corpus.sizes)
    sources = [
        Evaluation.of_losses(tokens[end - size : end + 1], losses[end - size : end])
        for size, end in zip(corpus.sizes, ends, strict=True)
    ]
    return CorpusEvaluation(total, sources, losses_by_position(tokens, losses))


def losses_by_position(tokens: np.ndarray, losses: np.ndarray) -> list[PositionLoss]:
    """The ``losses`` [N] of a text by the characters since the start of the document.

    They are taken together in bins: 0, 1, 2 to 3, 4 to 7, and so on; only those that hold any are
    there.
    """
    starts = np.union1d([0], np.flatnonzero(tokens[:-1] == START))
    sums, counts = np.zeros(_BINS), np.zeros(_BINS, np.int64)
    for begin in range(0, losses.size, BLOCK):
        part = losses[begin : begin + BLOCK]
        positions = np.arange(begin, begin + part.size)
        before = positions - starts[np.searchsorted(starts, positions, "right") - 1]
        bins = np.frexp(before.astype(np.float64))[1]  # how many binary digits the number has
        sums += np.bincount(bins, part, _BINS)
        counts += np.bincount(bins, minlength=_BINS)
    return [
        PositionLoss(1 << b >> 1, max((1 << b) - 1, 0), int(counts[b]), sums[b] / counts[b])
        for b in np.flatnonzero(counts).tolist()
    ]
