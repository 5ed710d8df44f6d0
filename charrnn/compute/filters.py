"""What is unlikely is left out: filters of logits (see ``charrnn.compute.choosers``).

Each works on the softmax of what those before it have left; what it leaves out becomes ``NEVER``.
Where several characters are equally likely at the border, all of them stay. ``chances`` and
``spare`` are room to work, as large as the ``logits``.
"""

from __future__ import annotations

import math

from charrnn.compute.cache import kernel
from charrnn.compute.readout import IMPOSSIBLE, NEVER, softmax_row
from charrnn.compute.vector import (
    bits_of,
    broadcast,
    lanes,
    largest_lane,
    load,
    maximum,
    minimum,
    number_of,
    smallest_lane,
    store,
    sum_of_lanes,
    where_at_least,
)


@kernel
def largest(values):
    """The largest of a row."""
    top = load(values, 0)
    for j in range(0, values.size, lanes(values)):
        top = maximum(top, load(values, j))
    return largest_lane(top)


@kernel
def spread(logits, chances):
    """Let ``chances`` be the softmax of the logits; the largest logit, and the log of the sum."""
    for j in range(0, logits.size, lanes(logits)):
        store(chances, j, load(logits, j))
    return softmax_row(chances, 0, chances.size)


@kernel
def _keep(logits, keys, bound):
    """What has a key below the bound can no longer be chosen."""
    least, never = broadcast(logits, bound), broadcast(logits, NEVER)
    for j in range(0, logits.size, lanes(logits)):
        store(logits, j, where_at_least(load(keys, j), least, load(logits, j), never))


@kernel
def _split(keys, weights, bound):
    """The weight of the keys from ``bound`` on, the least of these, and the largest below it."""
    first = load(keys, 0)
    least, nothing, most = first * 0.0 + bound, first * 0.0, first * 0.0 + math.inf
    total, lowest, highest = nothing, most, nothing
    for j in range(0, keys.size, lanes(keys)):
        key = load(keys, j)
        total = total + where_at_least(key, least, load(weights, j), nothing)
        lowest = minimum(lowest, where_at_least(key, least, key, most))
        highest = maximum(highest, where_at_least(key, least, nothing, key))
    return sum_of_lanes(total), smallest_lane(lowest), largest_lane(highest)


@kernel
def _largest_bound(keys, weights, sought):
    """The largest key from which on the weights add up to what is sought, or 0; keys are ≥ 0.

    Floating-point numbers from 0 up are in the order of their bits, by which what lies between a
    key that is small enough and one that is too large is halved.
    """
    top = largest(keys)
    enough, too_large = 0, bits_of(top) + 1
    while too_large - enough > 1:
        middle = (enough + too_large) // 2
        total, lowest, highest = _split(keys, weights, number_of(middle, top))
        if total >= sought:
            enough = bits_of(lowest)
        else:
            too_large = bits_of(highest) + 1
    return number_of(enough, top)


@kernel
def top_k(logits, chances, spare, most):
    """The ``most`` likeliest stay, so many."""
    spread(logits, chances)
    for j in range(0, spare.size, lanes(spare)):
        store(spare, j, broadcast(spare, 1.0))
    _keep(logits, chances, _largest_bound(chances, spare, most))


@kernel
def top_p(logits, chances, share):
    """The likeliest stay that together have ``share`` (Holtzman et al. 2020)."""
    spread(logits, chances)
    total, _, _ = _split(chances, chances, 0.0)
    _keep(logits, chances, _largest_bound(chances, chances, share * total))


@kernel
def min_p(logits, share):
    """What is at least ``share`` times as likely as the likeliest stays."""
    _keep(logits, logits, largest(logits) + math.log(share))


@kernel
def typical(logits, chances, spare, share):
    """Those stay whose surprise is closest to what is to be expected, until they have ``share``.

    Meister et al. 2023.
    """
    top, log_sum = spread(logits, chances)
    _closeness(chances, _entropy(logits, chances, top + log_sum), spare)
    total, _, _ = _split(chances, chances, 0.0)
    _keep(logits, spare, _largest_bound(spare, chances, share * total))


@kernel
def _entropy(logits, chances, log_total):
    """-Σ p log p in nats, where log p is the logit minus ``log_total``."""
    total, nothing = broadcast(chances, 0.0), broadcast(chances, 0.0)
    least = broadcast(logits, IMPOSSIBLE)  # times its logit, a chance of 1e-34 counts
    for j in range(0, chances.size, lanes(chances)):
        logit = load(logits, j)
        share = load(chances, j) * (log_total - logit)
        total = total + where_at_least(logit, least, share, nothing)
    return sum_of_lanes(total)


@kernel
def _closeness(chances, entropy, keys):
    """Keys: e to minus the distance of -log p from the entropy, which takes no logarithm."""
    scale, one = math.exp(entropy), broadcast(chances, 1.0)
    for j in range(0, chances.size, lanes(chances)):
        ratio = load(chances, j) * scale
        store(keys, j, minimum(ratio, one / ratio))
