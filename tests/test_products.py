"""Products against NumPy in float64, at sizes that are no multiple of the tile."""

import naive
import numpy as np
import pytest

from charrnn.compute import packing, products
from charrnn.compute.products import Columns, Rows, Sums

SIZES = (1, 7, 100, 130)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def _indices(rows, columns, padded_columns):
    """Indices of a plain [rows, columns] matrix, columns padded by -1."""
    column_index = np.full(padded_columns, -1)
    column_index[:columns] = np.arange(columns)
    return np.arange(rows) * columns, column_index


def _packed(weights, depth_index, column_index, parts=1):
    """Panels of ``weights``, written by ``parts`` threads; NaN wherever nobody wrote."""
    size = packing.packed_size(depth_index.size, column_index.size, weights.dtype)
    panels = np.full(size, np.nan, weights.dtype)
    for part in range(parts):
        packing.pack(weights.reshape(-1), 0, depth_index, column_index, panels, part, parts)
    return panels


def _assert_within_rounding(result, exact, terms, magnitude):
    """A sum of ``terms`` products may err by so many roundings of the sum of their sizes."""
    allowed = terms * np.finfo(result.dtype).eps * magnitude
    assert np.all(np.abs(result - exact) <= allowed)


class _Frame:
    """A matrix somewhere inside a larger array, to see that nothing around it is touched."""

    def __init__(self, values, margin=5, left=3):
        rows, columns = values.shape
        self.at, self.stride = margin + left, columns + 11
        self.flat = np.full(2 * margin + rows * self.stride, 123.0, values.dtype)
        body = self.flat[margin : margin + rows * self.stride].reshape(rows, self.stride)
        self.values = body[:, left : left + columns]
        self.values[...] = values

    def outside(self):
        """All elements around the matrix."""
        everything = self.flat.copy()
        rows, columns = self.values.shape
        for row in range(rows):
            start = self.at + row * self.stride
            everything[start : start + columns] = 123.0
        return everything


def _multiply(a, panels, start, c):
    start_row = 0 if len(start.values) == 1 and len(c.values) > 1 else start.stride
    rows, depth = a.values.shape
    products.multiply(Rows(a.flat, a.at, a.stride), rows, panels, depth,
                      Rows(start.flat, start.at, start_row), Rows(c.flat, c.at, c.stride),
                      c.values.shape[1])  # fmt: skip


@dtypes
@pytest.mark.parametrize("rows", [1, 3, 5, 50])
@pytest.mark.parametrize("depth", SIZES)
@pytest.mark.parametrize("columns", SIZES)
def test_multiply_equals_numpy(dtype, rows, depth, columns):
    rng = np.random.default_rng(rows + depth + columns)
    width = packing.padded(columns, dtype)
    a = _Frame(rng.standard_normal((rows, depth)).astype(dtype))
    weights = rng.standard_normal((depth, columns)).astype(dtype)
    bias = _Frame(rng.standard_normal((1, width)).astype(dtype))
    panels = _packed(weights, *_indices(depth, columns, width))
    c = _Frame(np.full((rows, width), np.nan, dtype))

    _multiply(a, panels, bias, c)
    exact = np.zeros((rows, width))
    exact[:, :columns] = a.values.astype(float) @ weights
    magnitude = np.zeros((rows, width))
    magnitude[:, :columns] = np.abs(a.values).astype(float) @ np.abs(weights)
    _assert_within_rounding(
        c.values, bias.values + exact, depth + 1, magnitude + np.abs(bias.values)
    )
    assert np.all(c.outside() == 123.0)

    first = c.values.astype(float)
    _multiply(a, panels, c, c)
    _assert_within_rounding(c.values, first + exact, depth + 1, magnitude + np.abs(first))
    assert np.all(c.outside() == 123.0)


@dtypes
def test_a_row_has_the_same_bits_in_any_company(dtype):
    rng = np.random.default_rng(0)
    rows, depth, width = 50, 130, packing.padded(100, dtype)
    a = _Frame(rng.standard_normal((rows, depth)).astype(dtype))
    start = _Frame(rng.standard_normal((rows, width)).astype(dtype))
    weights = rng.standard_normal((depth, width)).astype(dtype)
    panels = _packed(weights, *_indices(depth, width, width))
    together, alone = (_Frame(np.zeros((rows, width), dtype)) for _ in range(2))
    _multiply(a, panels, start, together)
    first = 0
    for count in (1, 2, 3, 4, 5, 6, 7, 8, 9, 5):
        read, begun, made = (
            Rows(f.flat, f.at + first * f.stride, f.stride) for f in (a, start, alone)
        )
        products.multiply(read, count, panels, depth, begun, made, width)
        first += count
    assert first == rows
    np.testing.assert_array_equal(together.values, alone.values)


@dtypes
@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_packed_weights_times_identity_are_the_weights(dtype, parts, transposed):
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((100, 37)).astype(dtype)
    width, depth = packing.padded(37, dtype), packing.padded(100, dtype)
    rows, columns = _indices(100, 37, width)
    rows = np.concatenate([rows, np.full(depth - 100, -1)])
    expected = np.zeros((depth, width), dtype)
    expected[:100, :37] = weights
    if transposed:
        rows, columns, expected = columns, rows, expected.T
    panels = _packed(weights, rows, columns, parts)
    assert panels.size == len(rows) * -(-len(columns) // packing.panel_width(dtype)) * (
        packing.panel_width(dtype)
    )
    c = _Frame(np.full(expected.shape, np.nan, dtype))
    zeros = _Frame(np.zeros((1, expected.shape[1]), dtype))
    _multiply(_Frame(np.eye(len(expected), dtype=dtype)), panels, zeros, c)
    np.testing.assert_array_equal(c.values, expected)


def _gradient(d, first, columns, x, x_first, width, parts, result, bias, accumulate=False):
    for part in range(parts):
        size = packing.gradient_scratch_size(width, x.dtype)
        scratch = np.full(size, np.nan, x.dtype)
        read, sums = Columns(x, x_first, width), Sums(result, bias, scratch)
        products.weight_gradient(Columns(d, first, columns), read, sums, accumulate, part, parts)


@dtypes
@pytest.mark.parametrize("rows", [1, 3, 50, 300])
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 130), (7, 7), (130, 1), (100, 100), (37, 130)])
def test_weight_gradient_equals_numpy(dtype, rows, outputs, inputs):
    rng = np.random.default_rng(rows)
    columns, width = packing.padded(outputs, dtype), packing.padded(inputs, dtype)
    first = packing.padded(1, dtype)
    d = rng.standard_normal((rows, first + columns + 2 * first)).astype(dtype)
    x = rng.standard_normal((rows, 2 * first + width + first)).astype(dtype)
    factors = d, first, columns, x, 2 * first, width
    result, bias = np.full(columns * width, np.nan, dtype), np.full(columns, np.nan, dtype)
    _gradient(*factors, 1, result, bias)

    used = d[:, first : first + columns].astype(float)
    read = x[:, 2 * first : 2 * first + width].astype(float)
    exact, exact_bias = naive.weight_gradient(used, read)
    magnitude, magnitude_bias = naive.weight_gradient(np.abs(used), np.abs(read))
    _assert_within_rounding(result.reshape(columns, width), exact, rows + 1, magnitude)
    _assert_within_rounding(bias, exact_bias, rows + 1, magnitude_bias)

    for parts in (2, 3):
        shared, shared_bias = np.full_like(result, np.nan), np.full_like(bias, np.nan)
        _gradient(*factors, parts, shared, shared_bias)
        np.testing.assert_array_equal(shared, result)
        np.testing.assert_array_equal(shared_bias, bias)

    _gradient(*factors, 1, result, bias, accumulate=True)
    _assert_within_rounding(result.reshape(columns, width), 2 * exact, 2 * rows + 2, 2 * magnitude)
    _assert_within_rounding(bias, 2 * exact_bias, 2 * rows + 2, 2 * magnitude_bias)


@dtypes
@pytest.mark.parametrize("parts", [1, 3])
def test_unpack_puts_gradients_where_pack_took_weights_from(dtype, parts):
    rng = np.random.default_rng(2)
    order = rng.permutation(12)  # columns in any order, as the blocks of a cell are
    depth_index = np.append(np.arange(7), -1)
    column_index = np.insert(order * 7, 4, [-1, -1])
    gradient = rng.standard_normal((14, 8)).astype(dtype)
    target = np.full(5 + 12 * 7 + 5, 123.0, dtype)
    for part in range(parts):
        packing.unpack(gradient.reshape(-1), depth_index, column_index, target, 5, part, parts)
    expected = np.empty((12, 7), dtype)
    expected[order] = np.delete(gradient, [4, 5], axis=0)[:, :7]
    np.testing.assert_array_equal(target[5:-5].reshape(12, 7), expected)
    assert np.all(target[:5] == 123.0)
    assert np.all(target[-5:] == 123.0)
