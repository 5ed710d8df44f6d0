"""The tensors of a network: their names and shapes, as PyTorch has them, and first values."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from charrnn.cells import CELLS
from charrnn.config import MAX_SIZE, ModelConfig


def cell_of(config: ModelConfig) -> Any:
    """The cell that ``config`` names."""
    return CELLS[config.cell, config.activation]


def memory_sizes(config: ModelConfig) -> dict[str, int]:
    """Elements of each state that a step reads from the one before."""
    cell = cell_of(config)
    if cell.output_block is None:
        return dict.fromkeys(cell.states, config.hidden_size)
    return {cell.states[cell.source]: config.vocabulary_size}


def state_size(config: ModelConfig) -> int:
    """Elements of the largest state, as all are kept."""
    return max(config.hidden_size, *memory_sizes(config).values())


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a fixed order: ``torch.nn.Embedding``, ``LSTM/GRU/RNN``, ``Linear``.

    Beside PyTorch's there are a cell's per-unit parameters, such as ``rnn.peephole_i_l0`` [H], and
    learned initial states, such as ``rnn.initial_h_l0`` [H].
    """
    memory = memory_sizes(config)
    cell, size = cell_of(config), config.hidden_size
    rows = cell.gates * size
    shapes: dict[str, tuple[int, ...]] = {}
    if config.embedding_size:
        shapes["embedding.weight"] = (config.vocabulary_size, config.embedding_size)
    inputs = config.input_size
    for layer in range(config.layers):
        shapes[f"rnn.weight_ih_l{layer}"] = (rows, inputs)
        shapes[f"rnn.weight_hh_l{layer}"] = (rows, memory[cell.states[cell.source]])
        shapes[f"rnn.bias_ih_l{layer}"] = (rows,)
        shapes[f"rnn.bias_hh_l{layer}"] = (rows,)
        for name in cell._fields:
            shapes[f"rnn.{name}_l{layer}"] = (size,)
        if config.initial_state == "learned":
            for state, elements in memory.items():
                shapes[f"rnn.initial_{state}_l{layer}"] = (elements,)
        inputs = size
    for number in range(config.readout_layers):
        shapes[f"dense.{number}.weight"] = (config.dense_size, inputs)
        shapes[f"dense.{number}.bias"] = (config.dense_size,)
        inputs = config.dense_size
    shapes["readout.weight"] = (config.vocabulary_size, inputs)
    shapes["readout.bias"] = (config.vocabulary_size,)
    return shapes


def table_name(config: ModelConfig) -> str:
    """The matrix of which characters choose rows: the embedding, or the first input matrix."""
    return "embedding.weight" if config.embedding_size else "rnn.weight_ih_l0"


def reads_states(name: str, config: ModelConfig) -> bool:
    """Whether a parameter is a matrix that adds up hidden or embedded units.

    The others read characters, or, where a cell feeds its output back, a distribution over them.
    """
    feeds_back = "weight_hh" in name and cell_of(config).output_block is not None
    return "weight" in name and name != table_name(config) and not feeds_back


def parameter_count(config: ModelConfig) -> int:
    """Number of weights, biases included."""
    return sum(math.prod(shape) for shape in parameter_shapes(config).values())


def recurrent_parameter_count(config: ModelConfig) -> int:
    """Number of weights of the recurrent layers, which do not grow with a large vocabulary."""
    shapes = parameter_shapes(config).items()
    return sum(math.prod(shape) for name, shape in shapes if name.startswith("rnn."))


def with_weights(
    config: ModelConfig, weights: int, count: Callable[[ModelConfig], int] = parameter_count
) -> ModelConfig:
    """``config`` with the hidden size at which its ``count`` comes closest to so many weights."""

    def count_of(size: int) -> int:
        return count(dataclasses.replace(config, hidden_size=size))

    # The first size with as many weights or more; the one before may still be closer.
    size = bisect.bisect_left(range(MAX_SIZE), weights, lo=1, key=count_of)
    closest = min((max(size - 1, 1), size), key=lambda s: abs(count_of(s) - weights))
    return dataclasses.replace(config, hidden_size=closest)


def views(flat: np.ndarray, config: ModelConfig) -> dict[str, np.ndarray]:
    """The tensors as views into ``flat`` [parameter_count], one after the other."""
    result, start = {}, 0
    for name, shape in parameter_shapes(config).items():
        size = math.prod(shape)
        result[name] = flat[start : start + size].reshape(shape)
        start += size
    return result


#: Hidden states are about half as large as a unit-variance input would be: matrices that read
#: them begin twice as large. With this, one-hot rows of unit variance and orthogonal recurrent
#: matrices an LSTM 2×128 was at 1.83 nats on Tiny Shakespeare after 300 steps (learning rate
#: 8e-3); with ±1/√H throughout, as PyTorch begins, at 2.59 (4e-3).
_GAIN = 2.0


def initial_values(config: ModelConfig, *, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """First values in the order of ``parameter_shapes``, float32.

    Input and readout matrices are uniform with a variance of 1 / inputs (a one-hot character is
    one input), times ``_GAIN``² where states come in. Recurrent matrices are orthogonal,
    gate by gate (Saxe et al. 2014); one that reads a fed-back distribution over characters is drawn
    as the input matrix is. Biases are the cell's ``first_bias``, or zero; all else is zero.
    """
    cell = cell_of(config)
    for name, shape in parameter_shapes(config).items():
        if name == "embedding.weight":
            yield rng.standard_normal(shape, dtype=np.float32)
        elif name == "rnn.weight_ih_l0":
            yield _uniform(shape, config.embedding_size or 1, 1.0, rng)
        elif "weight_hh" in name and cell.output_block is not None:
            yield _uniform(shape, 1, 1.0, rng)
        elif "weight_hh" in name:
            yield np.concatenate([_orthogonal(shape[1], rng) for _ in range(cell.gates)])
        elif "weight" in name:
            yield _uniform(shape, shape[1], _GAIN, rng)
        elif "bias_ih" in name:
            yield np.repeat(np.float32(cell.first_bias), config.hidden_size)
        else:
            yield np.zeros(shape, np.float32)


def _uniform(shape: tuple, inputs: int, gain: float, rng: np.random.Generator) -> np.ndarray:
    bound = gain * math.sqrt(3 / inputs)
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def _orthogonal(size: int, rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return (q * np.sign(np.diag(r))).astype(np.float32)
