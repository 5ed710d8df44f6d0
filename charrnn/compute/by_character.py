"""The product of a step with its memory, where each character may have a matrix of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from charrnn.compute.cache import PART, kernel
from charrnn.compute.products import Rows, multiply_part
from charrnn.compute.vector import lanes, load, store


class Product(NamedTuple):
    """A product within a step; without ``columns`` there is none."""

    panels: Any  # on the way back those of the transposed weights
    source: int  # which state is multiplied, or the first column of which block
    first: int  # column of the gates that it feeds
    columns: int
    whole: int  # how deep the panels are
    chosen: Any  # [T, B], which of several matrices; [0, 0] of one
    apart: int  # elements of the panels from one matrix to the next


@kernel
def _copy(source, row, target, target_row, count):
    """``count`` elements of a row, whole registers, to a row of other ``Rows``."""
    first, target_first = source.at + row * source.stride, target.at + target_row * target.stride
    for j in range(0, count, lanes(source.flat)):
        store(target.flat, target_first + j, load(source.flat, first + j))


@kernel
def _multiply_chosen(product, at, a, rows, depth, c, columns):
    """The rows of one character lie side by side while they are multiplied."""
    chosen = product.chosen.reshape(-1)[at : at + rows]
    own, taken = np.empty(rows, np.intp), np.zeros(rows, np.bool_)
    left, sums = np.empty(rows * depth, a.flat.dtype), np.empty(rows * columns, a.flat.dtype)
    for row in range(rows):
        if taken[row]:
            continue
        count = 0
        for other in range(row, rows):
            if chosen[other] == chosen[row]:
                own[count], taken[other] = other, True
                _copy(a, other, Rows(left, 0, depth), count, depth)
                _copy(c, other, Rows(sums, 0, columns), count, columns)
                count += 1
        panels, made = product.panels[chosen[row] * product.apart :], Rows(sums, 0, columns)
        multiply_part(Rows(left, 0, depth), count, panels, depth, made, made, columns,
                      product.whole)  # fmt: skip
        for n in range(count):
            _copy(made, n, c, own[n], columns)


def multiply_memory(cell, product, at, a, rows, depth, c, columns):
    """C += A W for ``rows``, of a ``Product``'s matrix or of that which a row has chosen.

    A and C are ``Rows``; ``at`` is the place among those ``chosen`` of the first row's. Of W there
    are the first ``depth`` rows and ``columns``.
    """


@overload(multiply_memory, jit_options=PART)
def _multiply_memory_of(cell, product, at, a, rows, depth, c, columns):
    if cell.instance_class.by_character:
        return lambda cell, product, at, a, rows, depth, c, columns: _multiply_chosen(
            product, at, a, rows, depth, c, columns
        )
    return lambda cell, product, at, a, rows, depth, c, columns: multiply_part(
        a, rows, product.panels, depth, c, c, columns, product.whole
    )
