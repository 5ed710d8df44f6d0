"""The arithmetic of an update on flat parameters: norm, Adam, RMSprop, SGD, averaging.

All arrays are flat, of one size that is a whole number of ``BLOCK`` elements. Every kernel works
on the blocks ``first … last``, so that threads share them. An update also takes ``rate``·``decay``
of every value away from it (Loshchilov & Hutter 2019).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from charrnn.compute.cache import kernel
from charrnn.compute.vector import broadcast, lanes, load, maximum, minimum, square_root, store

#: Elements that are treated in one go; sums of squares do not depend on the number of threads.
BLOCK = 1024

_EPSILON = 1e-8


class Learned(NamedTuple):
    """What is updated, and by what."""

    values: Any
    gradients: Any  # of a sum of losses
    rates: Any  # for each value what the learning rate is multiplied by
    lasting: Any  # for each value the least share of it that weight decay leaves: 0, or 1 for all


class Update(NamedTuple):
    """What all values share in an update."""

    scale: float  # makes of a gradient the clipped one of the mean
    limit: float  # to which each element is then cut; infinite: none is
    rate: float
    decay: float


@kernel
def squares_of_blocks(gradients, sums, first, last):
    """sums[block] = Σ g² over each block, in float64: a norm must not overflow."""
    for block in range(first, last):
        total = 0.0
        for i in range(block * BLOCK, (block + 1) * BLOCK):
            g = np.float64(gradients[i])  # float() would leave it in float32
            total += g * g
        sums[block] = total


@kernel
def _kept(learned, i, keep):
    """What weight decay leaves of values, of which it would ``keep`` so much."""
    least = load(learned.lasting, i)
    return load(learned.values, i) * maximum(least, broadcast(learned.values, keep))


@kernel
def _clipped(gradients, i, update):
    g = load(gradients, i) * update.scale
    lowest, highest = broadcast(gradients, -update.limit), broadcast(gradients, update.limit)
    return minimum(maximum(g, lowest), highest)


@kernel
def corrected(rate, beta1, beta2, step):
    """The rate that corrects Adam's mean for its start, and the factor that corrects its squares.

    ``step`` counts from 1.
    """
    return rate / (1 - math.pow(beta1, step)), 1 / (1 - math.pow(beta2, step))


@kernel
def adam_changes(mean, square, step, changes):
    """What Adam takes away from values [N, n] with these moments; ``changes`` [N, ≥ n] get it.

    ``step`` is the rate, the two betas and the number of the update, as ``adam`` takes them.
    """
    number = mean.dtype.type
    rate, correction = corrected(*step)
    rate, correction, epsilon = number(rate), number(correction), number(_EPSILON)
    rows, width = mean.shape
    for row in range(rows):
        for i in range(width):
            size = math.sqrt(square[row, i] * correction)
            changes[row, i] = mean[row, i] * rate / (size + epsilon)


@kernel
def adam(learned, mean, square, update, beta1, beta2, step, first, last):
    """Adam (Kingma & Ba 2015), both moments corrected for their start; ``step`` counts from 1."""
    values, rates = learned.values, learned.rates
    keep = 1 - update.rate * update.decay
    rate, correction = corrected(update.rate, beta1, beta2, step)
    for i in range(first * BLOCK, last * BLOCK, lanes(values)):
        g = _clipped(learned.gradients, i, update)
        m = load(mean, i) * beta1 + g * (1 - beta1)
        v = load(square, i) * beta2 + g * g * (1 - beta2)
        store(mean, i, m)
        store(square, i, v)
        change = m * load(rates, i) * rate / (square_root(v * correction) + _EPSILON)
        store(values, i, _kept(learned, i, keep) - change)


@kernel
def rmsprop(learned, square, update, beta2, first, last):
    """RMSprop (Tieleman & Hinton 2012): the gradient over the root of its mean square."""
    values, rates, rate = learned.values, learned.rates, update.rate
    keep = 1 - rate * update.decay
    for i in range(first * BLOCK, last * BLOCK, lanes(values)):
        g = _clipped(learned.gradients, i, update)
        v = load(square, i) * beta2 + g * g * (1 - beta2)
        store(square, i, v)
        change = g * load(rates, i) * rate / (square_root(v) + _EPSILON)
        store(values, i, _kept(learned, i, keep) - change)


@kernel
def sgd(learned, velocity, update, momentum, first, last):
    """Gradient descent with momentum (Polyak 1964): v = momentum·v + g, step of rate·v."""
    values, rates, rate = learned.values, learned.rates, update.rate
    keep = 1 - rate * update.decay
    for i in range(first * BLOCK, last * BLOCK, lanes(values)):
        v = load(velocity, i) * momentum + _clipped(learned.gradients, i, update)
        store(velocity, i, v)
        store(values, i, _kept(learned, i, keep) - v * load(rates, i) * rate)


@kernel
def average(values, mean, decay, first, last):
    """mean = decay·mean + (1 - decay)·values."""
    for i in range(first * BLOCK, last * BLOCK, lanes(values)):
        store(mean, i, load(mean, i) * decay + load(values, i) * (1 - decay))
