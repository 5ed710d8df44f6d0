"""What a network can consist of: nodes that read one another, their parameters, how they begin.

It needs no Numba, so that a model file can be checked and described at once; a layer's ``create``
imports what computes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from charrnn.network.first_values import (
    Draw,
    groups_of,
    orthogonal,
    orthogonal_groups,
    repeated,
    zeros,
)

#: Hidden states are about half as large as a unit-variance input would be: matrices that read
#: them begin twice as large (docs/measurements.md).
_GAIN = 2.0


class Parameter(NamedTuple):
    """A tensor of a network, as a model file holds it."""

    name: str
    shape: tuple[int, ...]
    draw: Draw
    units: int = 0  # of a matrix: hidden or embedded units that it adds up
    most_growth: float = math.inf  # of a matrix that reads units: see ``charrnn.cells``
    chosen: bool = False  # whether characters choose among its rows, columns or matrices
    groups: int = 1  # of a square matrix: see ``charrnn.cells``
    connections: int = 0  # of a matrix that is mostly zeros: elements of a row that are not
    trained: bool = True  # whether updates change it
    decayed: bool = True  # whether weight decay makes it smaller

    @property
    def weights(self) -> int:
        """Its weights, without elements that are zero for ever."""
        if self.connections:
            return self.shape[0] * self.connections
        if self.groups == 1:
            return math.prod(self.shape)
        sizes = np.bincount(groups_of(self.shape[0], self.groups))
        return int((sizes * sizes[::-1].cumsum()[::-1]).sum())

    @property
    def absent(self) -> np.ndarray:
        """Which elements are zero for ever, where there are groups."""
        own = groups_of(self.shape[0], self.groups)
        return own[:, np.newaxis] > own


def _uniform(rows: int, source: Node) -> Draw:
    """Uniform with a variance of ``source.gain``² / ``source.fan_in``."""
    bound = source.gain * math.sqrt(3 / source.fan_in)
    return lambda rng: rng.uniform(-bound, bound, (rows, source.size)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Node:
    """What a layer can read: the characters, or the output of another layer.

    ``names`` is how its parameters are called in a model file, with {} for the parameter's own
    name; ``reads`` are the nodes that stand before it; ``size`` is how many units it has.
    """

    names: str
    reads: tuple[Node, ...]
    size: int

    #: What matrices that read it begin with: see ``_uniform``.
    gain = _GAIN
    #: Whether it is indices, each of which chooses a row of what reads it: of which ``stream`` of a
    #: batch.
    chosen, stream = False, ""

    @property
    def read_first(self) -> bool:
        """Whether its steps are those of what is read before anything is written."""
        return self.reads[0].read_first

    @property
    def fan_in(self) -> int:
        """Inputs of unit variance that it amounts to."""
        return self.size

    @property
    def room(self) -> int:
        """Elements that its output takes, the ones that are always zero included."""
        return self.size

    @property
    def parts(self) -> tuple[Node, ...]:
        """What its output consists of, each padded by itself."""
        return (self,)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters, in the order in which they lie among all."""
        return ()

    @property
    def most_growth(self) -> float:
        """How large matrices may become that read it: see ``charrnn.cells``."""
        return min((source.most_growth for source in self.reads), default=math.inf)

    def named(self, own: str) -> str:
        """The name of its parameter that it calls ``own``."""
        return self.names.format(own)

    def _matrix(
        self, own: str, rows: int, sources: tuple[Node, ...], most_growth: float
    ) -> Parameter:
        """A matrix that reads ``sources``, of which the first is what counts."""
        draws = [_uniform(rows, source) for source in sources]
        shape = rows, sum(source.size for source in sources)
        chosen = sources[0].chosen
        units = 0 if chosen else sources[0].size

        def draw(rng: np.random.Generator) -> np.ndarray:
            return np.concatenate([own(rng) for own in draws], axis=1)

        return Parameter(self.named(own), shape, draw, units, most_growth, chosen)

    def _vector(self, own: str, size: int) -> Parameter:
        return Parameter(self.named(own), (size,), zeros(size))


class Characters(Node):
    """What the network reads: indices of characters, each a one-hot vector in effect."""

    gain, fan_in = 1.0, 1
    chosen, stream = True, "inputs"
    read_first = False


class FirstCharacters(Characters):
    """What is read before anything is written: indices of characters, or of labels."""

    stream, read_first = "first_inputs", True


class Labels(Characters):
    """What a network is told of a document: any number of labels, or none."""

    stream = "told"


class Layer(Node, ABC):
    """A node that is computed from others, or the head of a network."""

    @abstractmethod
    def create(self, place: Any) -> Any:
        """What computes it, at its ``charrnn.network.layers.place.Place``."""


@dataclass(frozen=True, eq=False)
class Embedding(Layer):
    """A vector for each character: ``torch.nn.Embedding``."""

    trained: bool = True

    gain = 1.0

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        shape = self.reads[0].size, self.size

        def normal(rng: np.random.Generator) -> np.ndarray:
            return rng.standard_normal(shape, dtype=np.float32)

        weight = Parameter(self.named("weight"), shape, normal, chosen=True, trained=self.trained)
        return (weight,)

    def create(self, place: Any) -> Any:
        from charrnn.network.layers.embedding import EmbeddingLayer

        return EmbeddingLayer(self, place)


@dataclass(frozen=True, eq=False)
class Recurrent(Layer):
    """A recurrent layer: ``torch.nn.LSTM``, ``GRU`` or ``RNN`` of one layer, or what is like it.

    It reads characters or units, and after these it may read ``Labels``. Where its cell has a
    recurrent matrix for each character, what chooses among them comes next. Beside PyTorch's
    parameters it has its cell's per-unit ones, such as ``peephole_i`` [H], and learned first
    states, such as ``initial_h`` [H].

    Where it starts from what was "read", the last of ``reads`` joins two directions, y→ and y←. A
    document of which these read the steps s … e - 1 has the first states
    tanh([y→_{e-1}; y←_s] W + b) (as in Bahdanau et al. 2015, who take y←_s alone).
    """

    cell: Any
    start: str = "zeros"  # what documents start from: see ``ModelConfig.initial_state``, or "read"
    feedback: int = 0  # V where its memory is the network's output; 0: it is its own
    reverse: bool = False  # whether it reads each chunk backwards, documents from their ends

    @property
    def memory(self) -> dict[str, int]:
        """Elements of each state that a step reads from the one before."""
        cell = self.cell
        if self.feedback:
            return {cell.states[cell.source]: self.feedback}
        return dict.fromkeys((s for s in cell.states if s not in cell.counters), self.size)

    @property
    def room(self) -> int:
        """Elements of its largest state, as all are kept."""
        return max(self.size, *self.memory.values())

    @property
    def most_growth(self) -> float:
        return self.cell.most_growth

    @property
    def inputs(self) -> tuple[Node, ...]:
        """What its input matrix reads, step by step."""
        return self.reads[: len(self.reads) - (self.start == "read") - self.cell.by_character]

    @property
    def choosing(self) -> int:
        """Which of ``reads`` chooses its recurrent matrix, where each character has one."""
        return len(self.inputs)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        cell, rows = self.cell, self.cell.gates * self.size
        first_bias = np.repeat(np.float32(cell.first_bias), self.size)
        start = self.memory if self.start == "learned" else {}
        return (
            self._matrix("weight_ih", rows, self.inputs, self.most_growth),
            self._recurrent_matrix(rows),
            Parameter(self.named("bias_ih"), (rows,), lambda rng: first_bias),
            self._vector("bias_hh", rows),
            *(self._field(name) for name in cell.learned()),
            *(self._vector(f"initial_{state}", size) for state, size in start.items()),
            *(self._first_states() if self.start == "read" else ()),
        )

    def _field(self, name: str) -> Parameter:
        return Parameter(self.named(name), (self.size,), lambda rng: self.first_values(name))

    def first_values(self, field: str) -> np.ndarray:
        """What a field of the cell is in a new network, [H]."""
        places = ((unit + 0.5) / self.size for unit in range(self.size))
        return np.array([self.cell.first_value(field, place) for place in places], np.float32)

    def _first_states(self) -> tuple[Parameter, Parameter]:
        rows, read = len(self.memory) * self.size, self.reads[-1]
        matrix = self._matrix("weight_start", rows, (read,), read.most_growth)
        return matrix, self._vector("bias_start", rows)

    def _recurrent_matrix(self, rows: int) -> Parameter:
        if self.feedback:  # it reads a distribution over characters, much as they are read
            output = Characters("", (), self.feedback)
            return self._matrix("weight_hh", rows, (output,), math.inf)._replace(chosen=False)
        shape: tuple[int, ...] = rows, self.size
        groups, chosen = self.cell.groups, self.cell.by_character
        draw = orthogonal(self.cell.gates, self.size)
        if chosen:
            count = self.reads[self.choosing].size
            shape, draw = (count, *shape), repeated(draw, count)
        elif groups > 1:
            draw = orthogonal_groups(groups, self.size)
        name = self.named("weight_hh")
        return Parameter(name, shape, draw, self.size, self.most_growth, chosen, groups)

    def create(self, place: Any) -> Any:
        from charrnn.network.layers.recurrent import RecurrentLayer

        return RecurrentLayer(self, place)


@dataclass(frozen=True, eq=False)
class Joined(Layer):
    """The outputs of some layers side by side, as ``torch.nn.LSTM`` joins its two directions."""

    @classmethod
    def of(cls, *layers: Layer) -> Joined:
        """These layers, joined."""
        return cls("", layers, sum(layer.size for layer in layers))

    @property
    def parts(self) -> tuple[Node, ...]:
        return tuple(part for layer in self.reads for part in layer.parts)

    def create(self, place: Any) -> Any:
        from charrnn.network.layers.joined import JoinedLayer

        return JoinedLayer(self, place)


class Linear(Layer):
    """A matrix and a bias, ``torch.nn.Linear``, of a dense layer or a head."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        growth = self.reads[0].most_growth
        matrix = self._matrix("weight", self.size, self.reads, growth)
        return matrix, self._vector("bias", self.size)


class Projection(Linear):
    """A matrix alone, each step by itself: y = x W."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return super().parameters[:1]

    def create(self, place: Any) -> Any:
        from charrnn.network.layers.dense import ProjectionLayer

        return ProjectionLayer(self, place)


class Context(Layer):
    """What each step attends to of what its document has read: queries, keys and values.

    c_t = Σ_i α_ti v_i with α_t = softmax_i(q_t·k_i/√size) (Luong et al. 2015, scaled); its
    ``reads`` are the nodes of q, k and v, all of one size. It has no parameters.
    """

    def create(self, place: Any) -> Any:
        from charrnn.network.layers.context import ContextLayer

        return ContextLayer(self, place)


class Dense(Linear):
    """A feed-forward layer, each step by itself: y = tanh(x W + b). It reads one node."""

    def create(self, place: Any) -> Any:
        from charrnn.network.layers.dense import DenseLayer

        return DenseLayer(self, place)
