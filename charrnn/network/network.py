"""The network: its layers and its head, computing on a team of threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from charrnn.compute import packing, updates
from charrnn.compute.recurrence import Dropout
from charrnn.compute.threads import Team, Work, available_threads, by_one, shared
from charrnn.compute.turns import Turns
from charrnn.config import ModelConfig
from charrnn.errors import UsageError
from charrnn.network import starting
from charrnn.network.buffers import PassBuffers
from charrnn.network.graph import Graph, build
from charrnn.network.layers.mixture_head import together
from charrnn.network.layers.place import Call, Place
from charrnn.network.layers.recurrent import RecurrentLayer
from charrnn.network.parameters import count_of, views
from charrnn.network.program import Memory, Program
from charrnn.network.starting import own_part
from charrnn.network.weights import Matrix, panel_dtype
from charrnn.text.batch import Batch

NO_DROPOUT = Dropout(0, 0, 1.0, 0)
_NO_SPANS = np.empty((0, 3), np.int32)


class Network:
    """A recurrent language model with its parameters, computing on a team of threads.

    ``values`` is all parameters as one flat array, ``gradients`` their gradients once
    ``prepare_training`` has been called (0 where a parameter is not trained), ``parameters`` the
    tensors as views into ``values``. Nothing flows back into the first layers in training where no
    parameter of theirs is trained. After a change of ``values`` call ``pack``. With ``precision``
    "bfloat16" products multiply bfloat16 and add in float32; all else stays float32. ``dtype``
    float64 serves checks of gradients. ``graph`` is what it is made of, if not what ``build`` makes
    of ``config``; ``told`` [K] are weights of labels that all texts have, beside those of a batch.
    Raises ``UsageError`` for a negative number of threads, and where the processor cannot multiply
    bfloat16.

    All calls share its buffers: what several threads may call takes ``turns``.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        threads: int = 0,
        precision: str = "auto",
        dtype: DTypeLike = np.float32,
        graph: Graph | None = None,
        told: Sequence[float] = (),
    ) -> None:
        if threads < 0:
            raise UsageError(f"threads must be 0 (one for each processor) or more, not {threads}")
        self.config, self.graph = config, graph or build(config)
        self.dtype = np.dtype(dtype)
        self.options: dict[str, Any] = {
            "threads": threads, "precision": precision, "dtype": dtype, "told": tuple(told),
        }  # fmt: skip
        self.panels = panel_dtype(precision, self.dtype)
        self.team = Team(threads or available_threads())
        self.turns = Turns()
        blocks = -(-count_of(self.graph.parameters) // updates.BLOCK)
        self.values = np.zeros(blocks * updates.BLOCK, dtype)
        self.gradients = np.empty(0, dtype)
        self.parameters = self.views(self.values)
        grouped = [p for p in self.graph.parameters if p.groups > 1]
        self._absent = [(self.parameters[p.name], p.absent) for p in grouped]
        self._create_layers()
        self._runs: dict[Any, PassBuffers] = {}

    def views(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """The tensors as views into an array such as ``values``, by name."""
        return views(flat, self.graph.parameters)

    def _create_layers(self) -> None:
        at, places = 0, {}
        for parameter in self.graph.parameters:
            places[parameter.name] = at
            at += math.prod(parameter.shape)
        place = Place(places, self.dtype, self.panels)
        self.heads = [node.create(place) for node in self.graph.heads]
        self.head = together(self.heads)
        self.layers = [node.create(place._replace(head=self.head)) for node in self.graph.layers]
        learning = [any(p.trained for p in node.parameters) for node in self.graph.layers]
        self._lowest = learning.index(True) if True in learning else len(learning)
        self._ready = len(learning)  # the first of the layers that are prepared for the way back
        self.recurrent_layers = [x for x in self.layers if isinstance(x, RecurrentLayer)]

    def initialize(self, *, rng: np.random.Generator) -> None:
        """Draw the first values of all parameters."""
        for parameter in self.graph.parameters:
            self.parameters[parameter.name][...] = parameter.draw(rng)
        self.pack()

    def prepare_training(self) -> None:
        """Allocate gradients and the packed forms that only the backward pass needs."""
        self.gradients = np.zeros_like(self.values)
        views = self.views(self.gradients)
        self._untrained = [
            (views[p.name], ... if not p.trained else p.absent)
            for node in self.graph.nodes[self._lowest :]
            for p in node.parameters
            if not p.trained or p.groups > 1
        ]
        self.head.prepare_training()
        self._prepare_way_back(self._lowest)
        size = packing.gradient_scratch_size(max(m.depth for m in self.matrices()), self.panels)
        self._scratch = [np.empty(size, self.panels) for _ in range(self.team.threads)]

    def _prepare_way_back(self, lowest: int) -> None:
        """Let gradients flow back to the ``lowest`` of the layers."""
        for layer in self.layers[lowest : self._ready]:
            layer.prepare_training()
        self._ready = min(lowest, self._ready)
        self.pack()

    def load(self, tensors: dict[str, np.ndarray]) -> None:
        """Take the values of all parameters from ``tensors``, names and shapes as they are."""
        for name, parameter in self.parameters.items():
            parameter[...] = tensors[name]
        self.pack()

    def with_values(self, values: np.ndarray, told: Sequence[float] | None = None) -> Network:
        """Another network of this shape that has ``values``, on the same team.

        All its texts have labels with the weights ``told`` [K]; None: with those of this one.
        """
        options = self.options if told is None else {**self.options, "told": told}
        other = Network(self.config, **options, graph=self.graph)
        other.team = self.team
        other.values[:] = values
        other.pack()
        return other

    def pack(self) -> None:
        """Bring the packed weights up to date with ``values``."""
        self.team.run(*self.packing())

    def packing(self, *, updated: bool = False) -> list[Work]:
        """The work of ``pack``; ``updated``: nothing has changed but what is trained."""
        layers = self.layers[self._lowest if updated else 0 :]

        def vectors() -> None:
            for parameter, where in self._absent:
                parameter[where] = 0
            for own in (self.head, *layers):  # the head's bias is in layers that feed it back
                own.pack_vectors(self.values)

        def matrices(part: int, parts: int) -> None:
            for own in (*layers, self.head):
                own.pack(self.values, part, parts)

        def tell() -> None:
            for layer in layers:
                if isinstance(layer, RecurrentLayer):
                    layer.tell(np.array(self.options["told"], self.dtype))

        told = [by_one(tell)] if self.options["told"] else []
        return [by_one(vectors), matrices, *told]

    def matrices(self) -> list[Matrix]:
        """All matrices that take part in products."""
        return [matrix for part in (*self.layers, self.head) for matrix in part.matrices()]

    def program(self, batch: int) -> Program:
        """The network for one character of ``batch`` texts.

        Raises ``UsageError`` where it reads backwards.
        """
        program = Program(batch, self.dtype)
        places: dict[Any, Memory] = {}
        nothing = Memory(0, 0, 0)  # characters choose rows by themselves
        for node, layer in zip(self.graph.layers, self.layers, strict=True):
            sources = [places.get(source, nothing) for source in node.reads]
            places[node] = layer.emit(program, sources)
        program.finish(self.head.emit(program, [places[top] for top in self.graph.tops]))
        return program

    def initial_state(self, batch: int) -> np.ndarray:
        """The state before any document [L, S, B, width], padded to the largest of them."""
        own = [layer.initial.shape for layer in self.recurrent_layers]
        shape = len(own), max(s for s, _, _ in own), batch, max(width for _, _, width in own)
        state = np.zeros(shape, self.dtype)
        for values, layer in zip(state, self.recurrent_layers, strict=True):
            own_part(values, layer)[:] = layer.initial
        return state

    def losses(self, batch: Batch, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """-log P of each target in nats, and the state after the last step.

        Targets are those of all steps [T, B], or of documents [D].
        """
        run = self._run(batch)
        starting.start(self, batch, run, state)
        phases = self.head.losses(run.head, batch)
        self.team.run(self._forward(batch, run, NO_DROPOUT), *phases)
        return self.head.found(run.head, batch), self._state(run, state)

    def logits(self, batch: Batch) -> np.ndarray:
        """Of each class at each step [T, B, K], or of each document [D, K].

        Documents begin and end in the batch: no state is carried on.
        """
        run = self._run(batch)
        starting.start(self, batch, run, self.initial_state(batch.inputs.shape[1]))
        logits, phases = self.head.logits(run.head, batch)
        self.team.run(self._forward(batch, run, NO_DROPOUT), *phases)
        return logits

    def attention(self, batch: Batch) -> np.ndarray:
        """How much each step counts in what ``logits`` tells of its document [T, B]."""
        self.logits(batch)
        return self._run(batch).head.weights.copy()

    def units(self, batch: Batch, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs of the units of all recurrent layers [T, B, R·H], and the state behind them."""
        run = self._run(batch)
        starting.start(self, batch, run, state)
        self.team.run(self._forward(batch, run, NO_DROPOUT))
        outputs = [own.output[..., : self.config.hidden_size] for own in run.recurrent]
        return np.concatenate(outputs, axis=-1), self._state(run, state)

    def loss_and_gradients(
        self, batch: Batch, state: np.ndarray, dropout: tuple[float, int | None] = (0.0, None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """As ``losses``; ``gradients`` becomes the gradient of the *sum* of the losses.

        Of several members losses are the mean of each one's own, and their gradients are added up.
        ``dropout`` is the share of each recurrent layer's units left out and the key (32 bits) of
        all that is random; without a key nothing is. ``initial_gradients`` then holds the gradient
        with respect to ``state``, 0 for layers into which nothing flows back.
        """
        rate, key = dropout
        run = self._run(batch)
        mask = Dropout(key or 0, round(rate * 2**32), 1 / (1 - rate), batch.lane)
        starting.start(self, batch, run, state)
        if key is not None:
            starting.start_anywhere(self, run, batch.lane, key)
        self.team.run(
            self._forward(batch, run, mask),
            *self.head.differentiate(run.head, batch, self._scratch),
            self._backward(batch, run, mask, self._lowest),
            *self._collect_gradients(batch, run),
        )
        self.initial_gradients = self._padded([own.dstates for own in run.recurrent], state)
        return self.head.found(run.head, batch), self._state(run, state)

    def state_gradients(self, batch: Batch, state: np.ndarray) -> np.ndarray:
        """Gradient of the last step's losses, each lane's own, for every hidden state before it.

        [T, L, B, H]: the total derivative with respect to what a layer hands on after a step, to
        its own next step and to the layer above. Needs ``prepare_training``.
        """
        if self._ready:
            self._prepare_way_back(0)
        run = self._run(batch)
        starting.start(self, batch, run, state)
        self.team.run(
            self._forward(batch, run, NO_DROPOUT),
            *self.head.differentiate_last_step(run.head, batch),
            self._backward(batch, run, NO_DROPOUT, 0),
        )
        size = self.config.hidden_size
        return np.stack([own.doutput[..., :size] for own in run.recurrent], axis=1)

    def _run(self, batch: Batch) -> PassBuffers:
        """Buffers for the batch's shape, kept: chunks of one shape follow one another."""
        if (shapes := batch.shapes) not in self._runs:
            if len(self._runs) == 2:  # a run's own shape and that of a last, shorter chunk
                self._runs.clear()
            self._runs[shapes] = PassBuffers(self.graph, self.layers, self.head, shapes)
        return self._runs[shapes]

    def _state(self, run: PassBuffers, before: np.ndarray) -> np.ndarray:
        """The state that the chunk leaves, in the shape of the one ``before``."""
        return self._padded([own.final for own in run.recurrent], before)

    def _padded(self, parts: list[np.ndarray], like: np.ndarray) -> np.ndarray:
        """What each recurrent layer has [S, B, width], as one array shaped as a state is."""
        whole = np.zeros_like(like)
        for values, layer, part in zip(whole, self.recurrent_layers, parts, strict=True):
            own_part(values, layer)[:] = part
        return whole

    def _calls(self, batch: Batch, run: PassBuffers, mask: Dropout) -> list[Call]:
        """What each layer is given: dropout leaves out other units in each recurrent one."""
        calls, number = [], 0
        spans = (batch.spans, batch.first.spans) if batch.first else (_NO_SPANS, _NO_SPANS)
        for layer in self.layers:
            key = (mask.key + 0x9E3779B9 * number) % 2**32
            starts = run.starts[not layer.node.read_first]
            calls.append(Call(starts, mask._replace(key=key), *spans))
            number += isinstance(layer, RecurrentLayer)
        return calls

    def _forward(self, batch: Batch, run: PassBuffers, mask: Dropout) -> Work:
        own = self.forward(batch, run, mask, range(len(self.layers)))
        return shared(batch.inputs.shape[1], own)

    def forward(
        self, batch: Batch, run: PassBuffers, mask: Dropout, chosen: Iterable[int]
    ) -> Callable[[int, int], None]:
        """The work of the layers with some numbers, on lanes from a first to before a last."""
        sources = [run.sources(node, batch) for node in self.graph.layers]
        calls = self._calls(batch, run, mask)
        chain = [(self.layers[n], sources[n], run.layers[n], calls[n]) for n in chosen]

        def work(first: int, last: int) -> None:
            for layer, read, own, call in chain:
                layer.forward(read, own, call, first, last)

        return work

    def _backward(self, batch: Batch, run: PassBuffers, mask: Dropout, lowest: int) -> Work:
        calls = self._calls(batch, run, mask)

        def work(first: int, last: int) -> None:
            for n in range(len(self.layers) - 1, lowest - 1, -1):
                self.layers[n].backward(run.layers[n], run.dsources[n], calls[n], first, last)
                run.add_gradients(n, first, last)

        return shared(batch.inputs.shape[1], work)

    def _collect_gradients(self, batch: Batch, run: PassBuffers) -> list[Work]:
        learning = slice(self._lowest, None)
        layers, buffers = self.layers[learning], run.layers[learning]
        sources = [run.sources(layer.node, batch) for layer in layers]

        def sums(part: int, parts: int) -> None:
            for layer, read, own in zip(layers, sources, buffers, strict=True):
                layer.differentiate(read, own, self._scratch[part], part, parts)

        def unpack(part: int, parts: int) -> None:
            for layer, own in zip(layers, buffers, strict=True):
                layer.unpack(self.gradients, own, part, parts)
            self.head.unpack(self.gradients, part, parts)

        def leave_out(part: int, parts: int) -> None:
            for gradient, where in self._untrained[part::parts]:
                gradient[where] = 0

        return [sums, unpack, *([leave_out] if self._untrained else [])]
