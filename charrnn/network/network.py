"""The network: characters → rows → stacked recurrent layers → logits; loss and gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.compute import packing, readout, updates
from charrnn.compute.target import HAS_BFLOAT16
from charrnn.compute.threads import Team, available_threads, share
from charrnn.compute.turns import Turns
from charrnn.config import ModelConfig
from charrnn.errors import UsageError
from charrnn.network.buffers import PassBuffers
from charrnn.network.layers import Dense, Readout, Recurrent
from charrnn.network.parameters import (
    initial_values,
    memory_sizes,
    parameter_count,
    parameter_shapes,
    views,
)
from charrnn.network.weights import Matrix, Table, plain_index

#: Standard deviation of random initial states: a part of what states become.
_RANDOM_STATE = 0.1

_NO_DROPOUT = (0, 0, 1.0)


@dataclass(frozen=True)
class Batch:
    """A chunk of T steps over B lanes; all arrays [T, B]."""

    inputs: np.ndarray  # int32, the character read at each step
    targets: np.ndarray  # int32, the character to predict
    resets: np.ndarray  # uint8, nonzero where a document starts


def _panel_dtype(precision: str, dtype: np.dtype) -> np.dtype:
    """dtype of packed weights. "auto" is float32: what a text scores or a seed writes should not
    depend on the machine. Training takes what is faster (see ``planning``).
    """
    if precision != "bfloat16":
        return dtype
    if not HAS_BFLOAT16:
        raise UsageError(
            "this processor cannot multiply bfloat16 (it lacks AVX512-BF16): "
            "give --precision float32"
        )
    return packing.PAIRS


class Network:
    """A recurrent language model with its parameters, computing on a team of threads.

    ``values`` is all parameters as one flat array, ``gradients`` their gradients once
    ``prepare_training`` has been called, ``parameters`` the tensors as views into ``values``.
    After a change of ``values`` call ``pack``. With ``precision`` "bfloat16" products multiply
    bfloat16 and add in float32; all else stays float32. ``dtype`` float64 serves checks of
    gradients. Raises ``UsageError`` for a negative number of threads, and where the processor
    cannot multiply bfloat16.

    All calls share its buffers: what several threads may call takes ``turns``.
    """

    def __init__(
        self, config: ModelConfig, *, threads: int = 0, precision: str = "auto", dtype=np.float32
    ) -> None:
        if threads < 0:
            raise UsageError(f"threads must be 0 (one for each processor) or more, not {threads}")
        self.config = config
        self.options: dict[str, Any] = {"threads": threads, "precision": precision, "dtype": dtype}
        self.dtype = np.dtype(dtype)
        self.panels = _panel_dtype(precision, self.dtype)
        self.team = Team(threads or available_threads())
        self.turns = Turns()
        blocks = -(-parameter_count(config) // updates.BLOCK)
        self.values = np.zeros(blocks * updates.BLOCK, dtype)
        self.gradients = np.empty(0, dtype)
        self.parameters = views(self.values, config)
        self._place_matrices()
        self._runs: dict[tuple[int, int], PassBuffers] = {}

    def _place_matrices(self) -> None:
        config, dtype = self.config, self.dtype
        self.readout = Readout(config, self._places("readout."), dtype, self.panels)
        self.recurrent_layers = [
            Recurrent(config, layer, self._places("rnn.", f"_l{layer}"), self.readout)
            for layer in range(config.layers)
        ]
        self.dense_layers = [
            Dense(config, number, self._places(f"dense.{number}."), self.readout)
            for number in range(config.readout_layers)
        ]
        self.layers: list[Recurrent | Dense] = [*self.recurrent_layers, *self.dense_layers]
        self.embedding: Table | None = None
        if inputs := config.embedding_size:
            width = packing.padded(inputs, dtype)
            rows = np.arange(config.vocabulary_size) * inputs
            columns = plain_index(inputs, width, 1)
            at = self._places("embedding.")["weight"]
            self.embedding = Table(at, rows, columns, width, 0, dtype)

    def _places(self, prefix: str, suffix: str = "") -> dict[str, int]:
        """Where in ``values`` the parameters with such names begin, by what is between."""
        places, at = {}, 0
        for name, values in self.parameters.items():
            if name.startswith(prefix) and name.endswith(suffix):
                places[name.removeprefix(prefix).removesuffix(suffix)] = at
            at += values.size
        return places

    def initialize(self, *, rng: np.random.Generator) -> None:
        """Draw the first values of all parameters."""
        drawn = initial_values(self.config, rng=rng)
        for parameter, values in zip(self.parameters.values(), drawn, strict=True):
            parameter[...] = values
        self.pack()

    def prepare_training(self) -> None:
        """Allocate gradients and the packed forms that only the backward pass needs."""
        self.gradients = np.zeros_like(self.values)
        for layer in self.layers:
            layer.prepare_training()
        self.readout.matrix.prepare_training()
        if self.embedding:
            self.embedding.prepare_training()
        self.pack()

    def load(self, tensors: dict[str, np.ndarray]) -> None:
        """Take the values of all parameters from ``tensors``, names and shapes as they are."""
        for name in parameter_shapes(self.config):
            self.parameters[name][...] = tensors[name]
        self.pack()

    def with_values(self, values: np.ndarray) -> Network:
        """Another network of this shape that has ``values``, on the same team."""
        other = Network(self.config, **self.options)
        other.team = self.team
        other.values[:] = values
        other.pack()
        return other

    def pack(self) -> None:
        """Bring the packed weights up to date with ``values``."""
        for part in (self.readout, *self.layers):
            part.pack_bias(self.values)

        def work(part: int, parts: int) -> None:
            for layer in self.layers:
                layer.pack(self.values, part, parts)
            self.readout.matrix.pack(self.values, part, parts)
            if self.embedding:
                start = np.zeros(self.embedding.rows.shape[1], self.dtype)
                self.embedding.pack(self.values, start, part, parts)

        self.team.run(work)

    def matrices(self) -> list[Matrix]:
        """All matrices that take part in products."""
        return [*(m for layer in self.layers for m in layer.matrices()), self.readout.matrix]

    def initial_state(self, batch: int) -> np.ndarray:
        """The state before any document [L, S, B, width], sizes padded to ``width``."""
        return np.stack([np.repeat(r.initial, batch, axis=1) for r in self.recurrent_layers])

    def losses(self, batch: Batch, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """-log P of each target [T, B] in nats, and the state after the last step."""
        run = self._run(batch)
        self._start(batch, run, state)
        self._forward(batch, run, _NO_DROPOUT)
        for first, last in run.row_blocks():
            self._share_rows(first, last, lambda a, b: self._losses_of_rows(run, batch, a, b))
        return run.losses.reshape(batch.targets.shape).copy(), run.state()

    def loss_and_gradients(
        self, batch: Batch, state: np.ndarray, dropout: tuple[float, int | None] = (0.0, None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """As ``losses``; ``gradients`` becomes the gradient of the *sum* of the losses.

        ``dropout`` is the share of each recurrent layer's units left out and the key (32 bits) of
        all that is random; without a key nothing is. ``initial_gradients`` then holds the gradient
        with respect to ``state``.
        """
        rate, key = dropout
        run = self._run(batch)
        mask = (key or 0, round(rate * 2**32), 1 / (1 - rate))
        self._start(batch, run, state)
        if self.config.initial_state == "random" and key is not None:
            self._start_anywhere(run, np.random.default_rng(key))
        self._forward(batch, run, mask)
        for number, (first, last) in enumerate(run.row_blocks()):
            self._differentiate_readout(run, batch, first, last, accumulate=number > 0)
        self._backward(batch, run, mask)
        self._collect_gradients(batch, run)
        self.initial_gradients = np.stack([buffers.dstates for buffers in run.recurrent])
        return run.losses.reshape(batch.targets.shape).copy(), run.state()

    def state_gradients(self, batch: Batch, state: np.ndarray) -> np.ndarray:
        """Gradient of the last step's losses, each lane's own, for every hidden state before it.

        [T, L, B, H]: the total derivative with respect to what a layer hands on after a step, to
        its own next step and to the layer above. Needs ``prepare_training``.
        """
        run, lanes = self._run(batch), batch.inputs.shape[1]
        self._start(batch, run, state)
        self._forward(batch, run, _NO_DROPOUT)
        for first, last in run.row_blocks():
            if last > run.losses.size - lanes:  # the last step's rows may lie in several blocks
                self._differentiate_rows(run, batch, first, last)
        run.dhidden[:-lanes] = 0
        self._backward(batch, run, _NO_DROPOUT)
        size = self.config.hidden_size
        return np.stack([buffers.doutput[..., :size] for buffers in run.recurrent], axis=1)

    def _run(self, batch: Batch) -> PassBuffers:
        """Buffers for the batch's shape, kept: chunks of one shape follow one another."""
        shape = batch.inputs.shape
        if shape not in self._runs:
            if len(self._runs) == 2:  # a run's own shape and that of a last, shorter chunk
                self._runs.clear()
            self._runs[shape] = PassBuffers(
                self.recurrent_layers, self.dense_layers, self.readout, self.embedding,
                self.team.threads, *shape,
            )  # fmt: skip
        return self._runs[shape]

    def _share_lanes(self, batch: int, work: Callable[[int, int], None]) -> None:
        self.team.run(lambda part, parts: work(*share(batch, part, parts)))

    def _share_rows(self, first: int, last: int, work: Callable[[int, int], None]) -> None:
        def rows(part: int, parts: int) -> None:
            start, end = share(last - first, part, parts)
            work(first + start, first + end)

        self.team.run(rows)

    def _layer_inputs(self, batch: Batch, run: PassBuffers) -> Iterator[np.ndarray]:
        """What each layer reads: characters or embeddings, then the output of the one below."""
        yield batch.inputs if run.embedded is None else run.embedded
        for below in run.layers[:-1]:
            yield below.output

    def _masks(self, mask: tuple) -> Iterable[tuple]:
        key, threshold, scale = mask
        return [((key + 0x9E3779B9 * n) % 2**32, threshold, scale) for n in range(len(self.layers))]

    def _start(self, batch: Batch, run: PassBuffers, state: np.ndarray) -> None:
        """Let the chunk start from ``state`` and its documents from the layers' initial states."""
        run.starts = (batch.resets != 0).astype(np.int32)
        for layer, buffers, values in zip(self.recurrent_layers, run.recurrent, state, strict=True):
            buffers.initial = layer.initial
            buffers.states[:, 0] = values

    def _start_anywhere(self, run: PassBuffers, rng: np.random.Generator) -> None:
        """Let each document start from a random state of its own."""
        documents = np.flatnonzero(run.starts)
        run.starts.flat[documents] = np.arange(1, documents.size + 1)
        memory = memory_sizes(self.config)
        for buffers in run.recurrent:
            shape = buffers.initial.shape[0], max(documents.size, 1), buffers.initial.shape[2]
            buffers.initial = np.zeros(shape, self.dtype)
            for name, state in zip(
                self.recurrent_layers[0].cell.states, buffers.initial, strict=True
            ):
                size = memory.get(name, 0)
                state[:, :size] = _RANDOM_STATE * rng.standard_normal((len(state), size))

    def _forward(self, batch: Batch, run: PassBuffers, mask: tuple) -> None:
        def work(first: int, last: int) -> None:
            if self.embedding:
                self.embedding.gather(batch.inputs, run.embedded, first, last)
            inputs, masks = self._layer_inputs(batch, run), self._masks(mask)
            for layer, buffers, x, m in zip(self.layers, run.layers, inputs, masks, strict=True):
                layer.forward(x, buffers, run.starts, m, first, last)

        self._share_lanes(batch.inputs.shape[1], work)

    def _losses_of_rows(self, run: PassBuffers, batch: Batch, first: int, last: int) -> None:
        """Losses of the rows, whose logits become gradients."""
        start = first - first % run.block_rows
        logits = run.logits[first - start : last - start]
        hidden, targets = run.hidden[first:last], batch.targets.reshape(-1)[first:last]
        readout.logits_of_rows(hidden, self.readout.matrix.forward, self.readout.bias, logits)
        readout.cross_entropy_rows(logits, targets, run.losses[first:last])

    def _differentiate_rows(self, run: PassBuffers, batch: Batch, first: int, last: int) -> None:
        """Losses of one block of rows, and gradients of its logits and hidden states."""

        def rows(a: int, b: int) -> None:
            self._losses_of_rows(run, batch, a, b)
            logits = run.logits[a - first : b - first]
            matrix = self.readout.matrix
            readout.rows_times_weights(logits, matrix.backward, run.dhidden[a:b])

        self._share_rows(first, last, rows)

    def _differentiate_readout(self, run, batch, first, last, *, accumulate: bool) -> None:
        """Losses and gradients of the rows ``first … last``, one block of logits."""
        logits, hidden = run.logits[: last - first], run.hidden[first:last]

        def columns(part: int, parts: int) -> None:
            self.readout.matrix.differentiate(
                logits, 0, hidden, 0, accumulate, run.scratch[part], part, parts
            )

        self._differentiate_rows(run, batch, first, last)
        self.team.run(columns)

    def _backward(self, batch: Batch, run: PassBuffers, mask: tuple) -> None:
        dinputs = [run.dembedded, *(below.doutput for below in run.layers[:-1])]
        chain = list(zip(self.layers, run.layers, dinputs, self._masks(mask), strict=True))

        def work(first: int, last: int) -> None:
            for layer, buffers, dx, m in reversed(chain):
                layer.backward(buffers, dx, run.starts, m, first, last)

        self._share_lanes(batch.inputs.shape[1], work)

    def _collect_gradients(self, batch: Batch, run: PassBuffers) -> None:
        def sums(part: int, parts: int) -> None:
            inputs = self._layer_inputs(batch, run)
            for layer, buffers, x in zip(self.layers, run.layers, inputs, strict=True):
                layer.differentiate(x, buffers, run.scratch[part], part, parts)
            if self.embedding:
                self.embedding.scatter(run.dembedded, batch.inputs, part, parts)

        def unpack(part: int, parts: int) -> None:
            for layer, buffers in zip(self.layers, run.layers, strict=True):
                layer.unpack(self.gradients, buffers, part, parts)
            self.readout.unpack(self.gradients, part, parts)
            if self.embedding:
                self.embedding.unpack(self.gradients, part, parts)

        self.team.run(sums)
        self.team.run(unpack)
