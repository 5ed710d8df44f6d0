"""Writing new text: the network reads what it wrote, until the end token or the asked length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from charrnn.compute.generation import generate
from charrnn.compute.threads import share
from charrnn.errors import UsageError
from charrnn.layers import Matrix, Table
from charrnn.model import NEVER, Network
from charrnn.vocabulary import END, START, UNKNOWN

#: Characters of each text between two looks at what was written: a screenful a second at worst,
#: and little is drawn in vain behind the end of a text.
CHUNK = 64

#: Texts that are written side by side: beyond this, more lanes make none of them faster.
TOGETHER = 64


def check_temperature(temperature: float) -> None:
    """Raise ``UsageError`` unless the temperature is a number from 0 up."""
    if not (math.isfinite(temperature) and temperature >= 0):
        raise UsageError(
            f"temperature must be a number from 0 (always the likeliest) up, not {temperature}"
        )


class _Writer:
    """Some texts that one thread writes side by side, a chunk at a time."""

    def __init__(self, weights: _Weights, rngs: Sequence[np.random.Generator], prime: np.ndarray):
        network, batch = weights.network, len(rngs)
        layer, dtype = network.layers[0], network.dtype
        self._weights, self._rngs, self._prime = weights, rngs, prime
        self.tokens = np.full((1, batch), START, np.int32)
        self.ended = np.zeros(batch, np.uint8)
        embedding = weights.table.shape[1] if network.embedding else 0
        self._buffers = (
            np.empty((1, batch, embedding), dtype),
            np.empty((1, batch, layer.row), dtype),
            np.zeros((len(network.layers), len(layer.cell.states), 2, batch, layer.width), dtype),
            np.empty((1, batch, layer.width), dtype),
            np.zeros((1, batch), np.uint8),
            np.empty((batch, network.vocabulary_width), dtype),
        )

    def read_prime(self) -> None:
        """Read the prompt; nothing is drawn."""
        given = np.tile(self._prime.astype(np.int32), (len(self._rngs), 1))
        self._advance(given, 1.0, np.empty(given.shape))

    def write(self, count: int, sharpness: float) -> np.ndarray:
        """Up to ``count`` further characters of each text [B, n]; fewer when all have ended."""
        texts = np.full((len(self._rngs), count), -1, np.int32)
        uniforms = np.stack([rng.random(count) for rng in self._rngs])
        return texts[:, : self._advance(texts, sharpness, uniforms)]

    def _advance(self, texts: np.ndarray, sharpness: float, uniforms: np.ndarray) -> int:
        w = self._weights
        return generate(
            w.cell, w.plan, w.flat, w.biases, w.table, w.embedded, w.columns, w.readout,
            w.readout_bias, self._buffers, self.tokens, sharpness, uniforms, END, texts, self.ended,
        )  # fmt: skip


class _Weights:
    """A network's packed weights as the feedback loop takes them: one array and offsets."""

    def __init__(self, network: Network, forbidden: list[int]) -> None:
        layers = network.layers
        self.network, self.cell = network, layers[0].cell
        self.embedded = network.embedding is not None
        table = network.embedding or layers[0].input
        assert isinstance(table, Table)
        self.table = table.rows
        self.columns = (layers[0].input_columns, layers[0].recurrent_columns)
        nothing = np.empty(0, network.panels)
        pieces = [
            (
                layer.input.forward if isinstance(layer.input, Matrix) else nothing,
                layer.recurrent.forward,
            )
            for layer in layers
        ]
        self.flat = np.concatenate([piece for layer in pieces for piece in layer])
        ends = np.cumsum([piece.size for layer in pieces for piece in layer])
        self.plan = np.stack([np.r_[0, ends[:-1]], ends], axis=1).reshape(len(layers), 4)
        self.biases = np.stack([layer.bias for layer in layers])
        self.readout = network.readout.forward
        self.readout_bias = network.readout_bias.copy()
        self.readout_bias[forbidden] = NEVER


def sample(
    network: Network,
    *,
    length: int,
    temperature: float,
    prime: np.ndarray,
    texts: range,
    seed: int,
    may_end: bool,
) -> Iterator[list[np.ndarray]]:
    """Write the texts with the numbers ``texts`` side by side; yield what is new in each.

    Each list holds the next characters of every text, empty where it has ended; ``prime`` is what
    every text begins with (indices), and is not part of what is yielded. Text k depends on
    ``seed`` and k alone, not on its neighbours. START and UNKNOWN are never drawn; END ends
    a text and is not yielded; unless a text ``may_end`` it is not drawn either. Raises
    ``UsageError`` for a temperature out of range.
    """
    check_temperature(temperature)
    # Beyond 1e20 all characters are equally likely, and a forbidden one must stay impossible.
    sharpness = max(1 / temperature, 1e-20) if temperature > 1e-30 else math.inf
    weights = _Weights(network, [START, UNKNOWN] if may_end else [START, UNKNOWN, END])
    rngs = [np.random.default_rng([seed, k]) for k in texts]
    threads = min(network.team.threads, len(texts))
    writers = [
        _Writer(weights, rngs[slice(*share(len(texts), part, threads))], prime)
        for part in range(threads)
    ]
    _on_threads(network, writers, lambda writer: writer.read_prime())
    for written in range(0, length, CHUNK):
        size = min(CHUNK, length - written)
        before = [writer.ended.copy() for writer in writers]
        chunks = _on_threads(network, writers, lambda writer: writer.write(size, sharpness))  # noqa: B023
        yield [
            _until_end(row, done)
            for chunk, ended in zip(chunks, before, strict=True)
            for row, done in zip(chunk, ended, strict=True)
        ]
        if all(writer.ended.all() for writer in writers):
            return


def _until_end(row: np.ndarray, already_ended: int) -> np.ndarray:
    """What belongs to the text: nothing after its end."""
    if already_ended:
        return row[:0]
    ends = np.flatnonzero(row == END)
    return row[: ends[0]] if ends.size else row


def _on_threads(network: Network, writers: list[_Writer], work) -> list:
    """``work`` of each writer, each on a thread of its own."""
    results: list = [None] * len(writers)

    def run(part: int, _: int) -> None:
        if part < len(writers):
            results[part] = work(writers[part])

    network.team.run(run)
    return results
