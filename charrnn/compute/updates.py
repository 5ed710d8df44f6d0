"""The arithmetic of an update on flat parameters: norm, Adam, RMSprop, SGD, averaging.

All arrays are flat, of one size that is a whole number of ``BLOCK`` elements. Every kernel works
on the blocks ``first … last``, so that threads share them. Gradients come as those of a sum of
losses; ``scale`` turns them into the clipped gradient of the mean before ``limit`` cuts single
elements (infinite: no limit). ``rates`` holds for each value what ``rate`` is multiplied by. An
update also takes ``rate``·``decay`` of every value away from it (Loshchilov & Hutter 2019).
"""

from __future__ import annotations

import math

import numpy as np

from charrnn.compute.cache import kernel
from charrnn.compute.vector import broadcast, lanes, load, maximum, minimum, square_root, store

#: Elements that are treated in one go; sums of squares do not depend on the number of threads.
BLOCK = 1024

_EPSILON = 1e-8


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
def _clipped(gradients, i, scale, limit):
    g = load(gradients, i) * scale
    return minimum(maximum(g, broadcast(gradients, -limit)), broadcast(gradients, limit))


@kernel
def adam(values, gradients, mean, square, rates, scale, limit, rate, decay, beta1, beta2, step,
         first, last):  # fmt: skip
    """Adam (Kingma & Ba 2015), both moments corrected for their start; ``step`` counts from 1."""
    keep = 1 - rate * decay
    rate = rate / (1 - math.pow(beta1, step))
    correction = 1 / (1 - math.pow(beta2, step))
    for i in range(first * BLOCK, last * BLOCK, lanes(values)):
        g = _clipped(gradients, i, scale, limit)
        m = load(mean, i) * beta1 + g * (1 - beta1)
        v = load(square, i) * beta2 + g * g * (1 - beta2)
        store(mean, i, m)
        store(square, i, v)
        change = m * load(rates, i) * rate / (square_root(v * correction) + _EPSILON)
        store(values, i, load(values, i) * keep - change)


@kernel
def rmsprop(values, gradients, square, rates, scale, limit, rate, decay, beta2, first, last):
    """RMSprop (Tieleman & Hinton 2012): the gradient over the root of its mean square."""
    keep = 1 - rate * decay
    for i in range(first * BLOCK, last * BLOCK, lanes(values)):
        g = _clipped(gradients, i, scale, limit)
        v = load(square, i) * beta2 + g * g * (1 - beta2)
        store(square, i, v)
        change = g * load(rates, i) * rate / (square_root(v) + _EPSILON)
        store(values, i, load(values, i) * keep - change)


@kernel
def sgd(values, gradients, velocity, rates, scale, limit, rate, decay, momentum, first, last):
    """Gradient descent with momentum (Polyak 1964): v = momentum·v + g, step of rate·v."""
    keep = 1 - rate * decay
    for i in range(first * BLOCK, last * BLOCK, lanes(values)):
        v = load(velocity, i) * momentum + _clipped(gradients, i, scale, limit)
        store(velocity, i, v)
        store(values, i, load(values, i) * keep - v * load(rates, i) * rate)


@kernel
def average(values, mean, decay, first, last):
    """mean = decay·mean + (1 - decay)·values."""
    for i in range(first * BLOCK, last * BLOCK, lanes(values)):
        store(mean, i, load(mean, i) * decay + load(values, i) * (1 - decay))
