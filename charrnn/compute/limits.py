"""What the processor could do at best: multiply-adds and bytes a second, for comparison."""

from __future__ import annotations

from charrnn.compute.cache import kernel
from charrnn.compute.vector import broadcast, lanes, load, store

#: Multiply-adds of one register in a turn of ``multiply_add``: enough independent ones to fill
#: two units of a latency of four cycles, few enough for sixteen registers.
CHAINS = 12


@kernel
def multiply_add(array, turns):
    """``turns`` × ``CHAINS`` multiply-adds on registers; nothing is loaded in between.

    ``array`` holds at least ``CHAINS`` registers; the sums are stored there, so that the work is
    not optimised away.
    """
    width = lanes(array)
    factor, term = broadcast(array, 0.999), broadcast(array, 0.001)
    a, b, c = load(array, 0), load(array, width), load(array, 2 * width)
    d, e, f = load(array, 3 * width), load(array, 4 * width), load(array, 5 * width)
    g, h, i = load(array, 6 * width), load(array, 7 * width), load(array, 8 * width)
    j, k, l = load(array, 9 * width), load(array, 10 * width), load(array, 11 * width)  # noqa: E741
    for _ in range(turns):
        a, b, c = a * factor + term, b * factor + term, c * factor + term
        d, e, f = d * factor + term, e * factor + term, f * factor + term
        g, h, i = g * factor + term, h * factor + term, i * factor + term
        j, k, l = j * factor + term, k * factor + term, l * factor + term  # noqa: E741
    total = a + b + c + d + e + f + g + h + i + j + k + l
    store(array, 0, total)


@kernel
def read(array, first, last):
    """Sum of the elements ``first … last``, a whole number of four registers: reads them once."""
    width = lanes(array)
    a = b = c = d = broadcast(array, 0.0)
    for at in range(first, last, 4 * width):
        a = a + load(array, at)
        b = b + load(array, at + width)
        c = c + load(array, at + 2 * width)
        d = d + load(array, at + 3 * width)
    store(array, first, a + b + c + d)
