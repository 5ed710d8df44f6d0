"""Gradients against central differences in float64, along random directions."""

from __future__ import annotations

import numpy as np


def _slope(losses, values, direction, step):
    """Derivative of the sum of ``losses(values + s·direction)`` at s = 0, by five points.

    Losses are subtracted one by one before they are added up: the sum would swallow digits.
    """

    def difference(s):
        return np.sum(losses(values + s * direction) - losses(values - s * direction))

    return (8 * difference(step) - difference(2 * step)) / (12 * step)


def relative_error(losses, values, gradient, *, rng, step=1e-4, part=slice(None)):
    """Error of ``gradient`` along one random direction in ``values[part]``, over its length.

    A standard normal direction d has E(gradient · d)² = |gradient|², so a direction that happens
    to lie across the gradient makes no large error out of a small one. ``losses`` maps values to
    an array. Where there are kinks choose a smaller ``step``: 1e-6 still leaves 7 digits.
    """
    direction = np.zeros_like(values)
    direction[part] = rng.standard_normal(values[part].shape)
    length = np.linalg.norm(gradient[part])
    assert length > 1e-6, "the gradient vanishes: nothing would be checked"
    expected = np.sum(gradient * direction)
    error = abs(_slope(losses, values, direction, step) - expected) / length
    assert np.isfinite(error)
    return error


def errors_along_directions(losses, values, gradient, *, rng, step=1e-4, count=3):
    """Errors along ``count`` random directions in all values together."""
    return [relative_error(losses, values, gradient, rng=rng, step=step) for _ in range(count)]


def errors_per_tensor(losses, values, gradient, shapes, *, rng, step=1e-4):
    """Error for each tensor alone: ``shapes`` names the tensors that lie one by one in values."""
    errors, start = {}, 0
    for name, shape in shapes.items():
        part = slice(start, start + int(np.prod(shape)))
        errors[name] = relative_error(losses, values, gradient, rng=rng, step=step, part=part)
        start = part.stop
    return errors
