"""The tensors of a network: names and shapes, as PyTorch has them, places and first values."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from charrnn.config import BASES, MOMENTS, ModelConfig
from charrnn.network.graph import Graph, build
from charrnn.network.nodes import Parameter


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the order in which the tensors lie one after the other."""
    return {parameter.name: parameter.shape for parameter in build(config).parameters}


def parameter_count(config: ModelConfig) -> int:
    """Number of elements of all tensors, as they lie one after the other."""
    return count_of(build(config).parameters)


def weight_count(config: ModelConfig) -> int:
    """Number of weights, biases included: all elements but those that are zero for ever."""
    return sum(parameter.weights for parameter in build(config).parameters)


def recurrent_weight_count(config: ModelConfig) -> int:
    """Number of weights that the recurrent layers learn, and do not grow with a large vocabulary.

    Of a network whose recurrent layers learn nothing: of all that it learns.
    """
    layers = build(config).recurrent
    parameters = [parameter for layer in layers for parameter in layer.parameters]
    return sum(p.weights for p in parameters if p.trained) or trained_weight_count(config)


def trained_weight_count(config: ModelConfig) -> int:
    """Number of weights, biases included, that training changes."""
    return sum(p.weights for p in build(config).parameters if p.trained)


def count_of(parameters: Sequence[Parameter]) -> int:
    """Number of elements of all of them."""
    return sum(math.prod(parameter.shape) for parameter in parameters)


def state_shape(config: ModelConfig) -> tuple[int, int, int]:
    """Layers, states of each, and elements of each state, for the largest of them."""
    layers = build(config).recurrent
    states = max(len(layer.cell.states) for layer in layers)
    return len(layers), states, max(layer.room for layer in layers)


def with_weights(
    config: ModelConfig, weights: int, count: Callable[[ModelConfig], int] = weight_count
) -> ModelConfig:
    """``config`` with the hidden size at which its ``count`` comes closest to so many weights.

    That is one of its ``hidden_sizes``.
    """
    sizes = config.hidden_sizes

    def count_of(size: int) -> int:
        return count(dataclasses.replace(config, hidden_size=size))

    # The first size with as many weights or more; the one before may still be closer.
    at = bisect.bisect_left(sizes, weights, hi=len(sizes) - 1, key=count_of)
    closest = min(sizes[max(at - 1, 0) : at + 1], key=lambda s: abs(count_of(s) - weights))
    return dataclasses.replace(config, hidden_size=closest)


def views(
    flat: np.ndarray, parameters: Sequence[Parameter], *, squares: bool = False
) -> dict[str, np.ndarray]:
    """The tensors as views into ``flat``, one after the other.

    ``squares``: in place of each matrix one of its columns by its columns.
    """
    result, start = {}, 0
    for parameter in parameters:
        shape = (parameter.shape[1],) * 2 if squares else parameter.shape
        size = math.prod(shape)
        result[parameter.name] = flat[start : start + size].reshape(shape)
        start += size
    return result


def rotated(graph: Graph) -> list[Parameter]:
    """The matrices that an optimizer may see in the basis of what they read.

    They are those of layers in which all elements learn from all units; the head's gain nothing by
    it (docs/measurements.md).
    """
    parameters = [parameter for layer in graph.layers for parameter in layer.parameters]
    return [p for p in parameters if p.trained and p.units and not p.chosen and p.groups == 1]


def moment_sizes(graph: Graph, optimizer: str, count: int) -> dict[str, int]:
    """Elements of each array that an optimizer keeps, where a network has ``count`` values."""
    bases = sum(parameter.shape[1] ** 2 for parameter in rotated(graph))
    return {name: bases if name in BASES else count for name in MOMENTS[optimizer]}


def initial_values(config: ModelConfig, *, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """First values in the order of ``parameter_shapes``, float32."""
    return (parameter.draw(rng) for parameter in build(config).parameters)
