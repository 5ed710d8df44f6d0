"""Weights in fewer bits, as a page holds them."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from charrnn.config import PAGE_PRECISIONS, require_choice
from charrnn.errors import UsageError
from charrnn.storage.checkpoint import SavedModel

#: The largest whole number that an element becomes: the range is the same on both sides of 0.
_MOST = 127


class Stored(NamedTuple):
    """A tensor in the form in which it is kept."""

    values: np.ndarray  # float32, float16 or int8, of the tensor's shape
    scales: np.ndarray | None = None  # of int8: float32, what the elements of each row count

    @property
    def tensor(self) -> np.ndarray:
        """What it is read as: float32."""
        values = self.values.astype(np.float32)
        return values if self.scales is None else values * self.scales[..., None]


def stored(tensor: np.ndarray, precision: str) -> Stored:
    """The tensor in one of ``PAGE_PRECISIONS``; a vector, which takes little room, in float32.

    As int8 each row of a matrix has a scale of its own, by which its largest element is 127 or
    -127. Raises ``UsageError`` where an element is too large for float16.
    """
    require_choice("precision", precision, PAGE_PRECISIONS)
    if tensor.ndim == 1 or precision == "float32":
        return Stored(tensor.astype(np.float32))
    if precision == "int8":
        scales = np.abs(tensor).max(axis=-1).astype(np.float32) / np.float32(_MOST)
        divisors = np.where(scales > 0, scales, 1)[..., None]
        return Stored(np.rint(tensor / divisors).astype(np.int8), scales)
    if np.abs(tensor).max() > np.finfo(np.float16).max:
        raise UsageError("the model has weights too large for float16: give another `precision`")
    return Stored(tensor.astype(np.float16))


def rounded(model: SavedModel, precision: str) -> SavedModel:
    """The model with the weights that a page of such a ``precision`` computes with."""
    tensors = {name: stored(tensor, precision).tensor for name, tensor in model.tensors.items()}
    return dataclasses.replace(model, tensors=tensors)
