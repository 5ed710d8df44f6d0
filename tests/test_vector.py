"""Registers: memory, arithmetic and reductions, against NumPy."""

import numpy as np
import pytest

from charrnn.compute import vector
from charrnn.compute.cache import kernel
from charrnn.compute.target import VECTOR_BYTES
from charrnn.compute.vector import broadcast, lanes, load, store

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@kernel
def _arithmetic(x, y, result):
    for j in range(0, x.size, lanes(x)):
        a, b = load(x, j), load(y, j)
        results = (a + b, a - b, a * b, a / b, -a, a + 1.5, 1.5 - a, a * 2, 3 / a)
        vector.store_tuple(result, j, x.size, results)


@kernel
def _selection(x, y, result):
    for j in range(0, x.size, lanes(x)):
        a, b = load(x, j), load(y, j)
        results = (
            vector.minimum(a, b), vector.maximum(a, b), vector.absolute(a), vector.nearest(a),
            vector.copy_sign(a, b), vector.maximum(a, 0.0), broadcast(x, 0.25),
        )  # fmt: skip
        vector.store_tuple(result, j, x.size, results)


@kernel
def _reductions(x, result):
    for row in range(x.size // lanes(x)):
        values = load(x, row * lanes(x))
        result[row, 0], result[row, 1] = vector.sum_of_lanes(values), vector.largest_lane(values)


@kernel
def _move(x, source, target, result):
    store(result, target, load(x, source))


@kernel
def _powers(x):
    for j in range(0, x.size, lanes(x)):
        store(x, j, vector.power_of_two(load(x, j)))


@kernel
def _lanes(x):
    return lanes(x)


def _pair(dtype):
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (2, 16 * 8)).astype(dtype)


@dtypes
def test_a_register_has_as_many_lanes_as_fit(dtype):
    assert _lanes(np.zeros(1, dtype)) * np.dtype(dtype).itemsize == VECTOR_BYTES


@dtypes
def test_arithmetic_is_numpys(dtype):
    x, y = _pair(dtype)
    result = np.empty((9, x.size), dtype)
    _arithmetic(x, y, result.reshape(-1))
    expected = (x + y, x - y, x * y, x / y, -x, x + dtype(1.5), dtype(1.5) - x, x * 2, 3 / x)
    np.testing.assert_array_equal(result, expected)


@dtypes
def test_selection_is_numpys_and_a_nan_stays(dtype):
    x, y = _pair(dtype)
    x[:8] = [0.5, 1.5, 2.5, -0.5, -1.5, np.inf, -np.inf, np.nan]
    result = np.empty((7, x.size), dtype)
    _selection(x, y, result.reshape(-1))
    expected = (
        np.minimum(x, y), np.maximum(x, y), np.abs(x), np.rint(x),
        np.copysign(x, y), np.maximum(x, 0), np.full_like(x, 0.25),
    )  # fmt: skip
    np.testing.assert_array_equal(result, expected)


@dtypes
def test_reductions_use_every_lane(dtype):
    count = VECTOR_BYTES // np.dtype(dtype).itemsize
    x = np.eye(count, dtype=dtype) * np.arange(1, count + 1) - 5
    result = np.empty((count, 2), dtype)
    _reductions(x.reshape(-1).astype(dtype), result)
    np.testing.assert_array_equal(result[:, 0], np.arange(1, count + 1) - 5 * count)
    np.testing.assert_array_equal(result[:, 1], x.max(axis=1))


@dtypes
def test_registers_move_between_any_places_and_touch_nothing_else(dtype):
    count = VECTOR_BYTES // np.dtype(dtype).itemsize
    x, result = np.arange(count + 16, dtype=dtype), np.full(count + 16, -1, dtype)
    _move(x, 3, 5, result)
    expected = np.full(count + 16, -1, dtype)
    expected[5 : 5 + count] = x[3 : 3 + count]
    np.testing.assert_array_equal(result, expected)


@dtypes
def test_powers_of_two_are_exact_over_all_normal_numbers(dtype):
    info = np.finfo(dtype)
    exponents = np.arange(info.minexp, info.maxexp)
    x = np.zeros(-(-exponents.size // 16) * 16, dtype)
    x[: exponents.size] = exponents
    _powers(x)
    np.testing.assert_array_equal(x[: exponents.size], np.ldexp(dtype(1), exponents))
