"""The tensors of a network: their names and shapes, as PyTorch has them, and first values."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from charrnn.cells import CELLS
from charrnn.config import ModelConfig


def cell_of(config: ModelConfig):
    """An instance of the cell that ``config`` names."""
    return CELLS[config.cell, config.activation]()


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a fixed order: ``torch.nn.Embedding``, ``LSTM/GRU/RNN``, ``Linear``."""
    rows = cell_of(config).gates * config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    if config.embedding_size:
        shapes["embedding.weight"] = (config.vocabulary_size, config.embedding_size)
    inputs = config.input_size
    for layer in range(config.layers):
        shapes[f"rnn.weight_ih_l{layer}"] = (rows, inputs)
        shapes[f"rnn.weight_hh_l{layer}"] = (rows, config.hidden_size)
        shapes[f"rnn.bias_ih_l{layer}"] = (rows,)
        shapes[f"rnn.bias_hh_l{layer}"] = (rows,)
        inputs = config.hidden_size
    shapes["readout.weight"] = (config.vocabulary_size, config.hidden_size)
    shapes["readout.bias"] = (config.vocabulary_size,)
    return shapes


def parameter_count(config: ModelConfig) -> int:
    """Number of weights, biases included."""
    return sum(math.prod(shape) for shape in parameter_shapes(config).values())


def views(flat: np.ndarray, config: ModelConfig) -> dict[str, np.ndarray]:
    """The tensors as views into ``flat`` [parameter_count], one after the other."""
    result, start = {}, 0
    for name, shape in parameter_shapes(config).items():
        size = math.prod(shape)
        result[name] = flat[start : start + size].reshape(shape)
        start += size
    return result


def initial_values(config: ModelConfig, *, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """First values in the order of ``parameter_shapes``, float32.

    Uniform within ±1/√H as PyTorch's layers are, embeddings normal; biases zero but for the
    forget gate's, which is 1 so that a new network remembers (Jozefowicz et al. 2015).
    """
    bound = 1 / math.sqrt(config.hidden_size)
    cell = cell_of(config)
    for name, shape in parameter_shapes(config).items():
        if name == "embedding.weight":
            yield rng.standard_normal(shape, dtype=np.float32)
        elif "bias" not in name:
            yield rng.uniform(-bound, bound, shape).astype(np.float32)
        elif name.startswith("rnn.bias_ih"):
            yield np.repeat(np.float32(cell.first_bias), config.hidden_size)
        else:
            yield np.zeros(shape, np.float32)
