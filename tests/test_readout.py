"""Softmax, cross-entropy, gather and scatter against their twins."""

import naive
import numpy as np
import pytest

from charrnn.compute import packing, readout

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def _padded_logits(values, dtype):
    """Logits [N, V] with the padded columns that a network has: an impossible -1e30."""
    rows, vocabulary = values.shape
    logits = np.full((rows, packing.padded(vocabulary, dtype)), -1e30, dtype)
    logits[:, :vocabulary] = values
    return logits


@dtypes
@pytest.mark.parametrize("vocabulary", [4, 7, 100, 130])
@pytest.mark.parametrize("rows", [1, 3, 50])
@pytest.mark.parametrize("scale", [1, 20])
def test_cross_entropy_equals_the_twin(dtype, vocabulary, rows, scale):
    rng = np.random.default_rng(vocabulary + rows)
    logits = _padded_logits(rng.normal(0, scale, (rows, vocabulary)), dtype)
    targets = rng.integers(0, vocabulary, rows, np.int32)
    exact, gradient = naive.cross_entropy(logits[:, :vocabulary].astype(float), targets)
    losses = np.full(rows, np.nan, dtype)
    largest = np.abs(logits[:, :vocabulary]).max()
    readout.cross_entropy_rows(logits, targets, losses)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(losses, exact, rtol=4 * eps, atol=8 * eps * (1 + largest))
    np.testing.assert_allclose(logits[:, :vocabulary], gradient, rtol=0, atol=8 * eps)
    assert np.abs(logits[:, vocabulary:]).max(initial=0) < 1e-30


@dtypes
def test_huge_logits_make_finite_losses(dtype):
    logits = _padded_logits(np.array([[3e4, -3e4, 0, 1], [-3e4, -3e4, -3e4, -3e4]]), dtype)
    losses = np.full(2, np.nan, dtype)
    readout.cross_entropy_rows(logits, np.array([1, 2], np.int32), losses)
    np.testing.assert_allclose(losses, [6e4, np.log(4)], rtol=1e-5 if dtype == np.float64 else 0.01)
    np.testing.assert_allclose(logits[0, :4], [1, -1, 0, 0], rtol=0, atol=1e-30)
    np.testing.assert_allclose(logits[1, :4], [0.25, 0.25, -0.75, 0.25], rtol=1e-6)


@dtypes
def test_a_nan_among_the_logits_is_not_hidden(dtype):
    logits = _padded_logits(np.array([[0.0, 1, 2, np.nan, 3]]), dtype)
    losses = np.zeros(1, dtype)
    readout.cross_entropy_rows(logits, np.array([1], np.int32), losses)
    assert np.isnan(losses[0])


@dtypes
def test_small_losses_do_not_depend_on_how_large_all_logits_are(dtype):
    """A common summand of all logits cancels; a sure prediction keeps its digits beside it."""
    values = np.array([[0.0, -16, -16, -16]])
    losses = np.zeros((2, 1), dtype)
    for shift, loss in zip((0, 1024), losses, strict=True):
        logits = _padded_logits(values + shift, dtype)
        readout.cross_entropy_rows(logits, np.zeros(1, np.int32), loss)
    exact = np.log1p(3 * np.exp(-16))
    np.testing.assert_allclose(losses[:, 0], exact, rtol=0, atol=np.finfo(dtype).eps)


@dtypes
def test_no_probability_is_a_denormal_number(dtype):
    """Denormal numbers are slow, and the product with the weights that follows reads them all."""
    logits = _padded_logits(np.random.default_rng(0).normal(0, 1, (3, 69)), dtype)
    logits[:, 5:9] = -200.0
    readout.cross_entropy_rows(logits, np.zeros(3, np.int32), np.zeros(3, dtype))
    assert np.all((logits == 0) | (np.abs(logits) >= np.finfo(dtype).tiny))


@dtypes
def test_softmax_row_makes_probabilities_of_one_row_only(dtype):
    values = np.random.default_rng(1).normal(0, 3, (3, 20))
    logits = _padded_logits(values, dtype)
    width = logits.shape[1]
    before = logits.copy()
    largest, log_sum = readout.softmax_row(logits.reshape(-1), width, width)
    np.testing.assert_array_equal(logits[[0, 2]], before[[0, 2]])
    np.testing.assert_allclose(logits[1, :20], naive.softmax(values[1]), rtol=2e-6)
    np.testing.assert_allclose(
        before[1, :20] - largest - log_sum, np.log(logits[1, :20]), atol=1e-5
    )


@dtypes
@pytest.mark.parametrize(("rows", "size", "vocabulary"), [(1, 7, 130), (3, 100, 5), (50, 130, 68)])
def test_logits_and_their_way_back_equal_numpy(dtype, rows, size, vocabulary):
    rng = np.random.default_rng(rows)
    depth, width = packing.padded(size, dtype), packing.padded(vocabulary, dtype)
    weights, hidden = rng.standard_normal((depth, width)), rng.standard_normal((rows, depth))
    weights, hidden = weights.astype(dtype), hidden.astype(dtype)
    bias = rng.standard_normal(width).astype(dtype)
    tolerance = {"rtol": 0, "atol": 200 * np.finfo(dtype).eps}

    def panels(depth_index, column_index):
        packed = np.empty(packing.packed_size(depth_index.size, column_index.size, dtype), dtype)
        packing.pack(weights.reshape(-1), 0, depth_index, column_index, packed, 0, 1)
        return packed

    row_index, column_index = np.arange(depth) * width, np.arange(width)
    logits = np.full((rows, width), np.nan, dtype)
    readout.logits_of_rows(hidden, panels(row_index, column_index), bias, logits)
    exact = hidden.astype(float) @ weights.astype(float) + bias
    np.testing.assert_allclose(logits, exact, **tolerance)

    back = np.full((rows, depth), np.nan, dtype)
    readout.rows_times_weights(logits, panels(column_index, row_index), back)
    exact = logits.astype(float) @ weights.T.astype(float)
    np.testing.assert_allclose(back / depth, exact / depth, **tolerance)


def _indices(rng, steps, lanes, rows):
    """Indices of which some occur often and some never."""
    return rng.integers(0, max(1, rows - 2), (steps, lanes), np.int32)


@dtypes
@pytest.mark.parametrize(("steps", "lanes"), [(1, 1), (3, 50), (20, 3)])
def test_gather_equals_a_one_hot_product(dtype, steps, lanes):
    rng = np.random.default_rng(steps)
    table = rng.standard_normal((11, packing.padded(37, dtype))).astype(dtype)
    indices = _indices(rng, steps, lanes, 11)
    expected = naive.gather(table, indices)
    first, last = lanes // 3, lanes
    result = np.full((steps, lanes, table.shape[1]), np.nan, dtype)
    readout.gather_rows(table, indices, result, first, last)
    np.testing.assert_array_equal(result[:, first:last], expected[:, first:last])
    assert np.isnan(result[:, :first]).all()


@dtypes
@pytest.mark.parametrize(("steps", "lanes"), [(1, 1), (3, 50), (20, 3)])
def test_scatter_sums_rows_by_index(dtype, steps, lanes):
    rng = np.random.default_rng(steps)
    width, first = packing.padded(37, dtype), packing.padded(1, dtype)
    d = rng.standard_normal((steps, lanes, first + width + first)).astype(dtype)
    indices = _indices(rng, steps, lanes, 11)
    exact = naive.scatter(d[:, :, first : first + width], indices, 11)
    for parts in (1, 2, 3):
        table = np.full((11, width), np.nan, dtype)
        for part in range(parts):
            readout.scatter_rows(d, first, indices[np.newaxis], table, part, parts)
        tolerance = steps * lanes * 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(table, exact, rtol=0, atol=tolerance)
        assert np.all(table[-1] == 0), "a character that never occurs has no gradient"


@dtypes
@pytest.mark.parametrize("parts", [1, 3])
def test_a_table_is_the_matrix_transposed_plus_the_bias(dtype, parts):
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((6, 11)).astype(dtype)  # 6 outputs of 11 characters
    width, first = packing.padded(20, dtype), 4
    start = rng.standard_normal(width).astype(dtype)
    source = np.concatenate([np.full(5, 99, dtype), weights.reshape(-1)])
    column_index = np.array([0, 1, 2, -1, 3, 4, 5]) * 11
    column_index[3] = -1
    table = np.full((11, width), np.nan, dtype)
    for part in range(parts):
        readout.fill_table(source, 5, np.arange(11), column_index, first, start, table, part, parts)
    expected = np.tile(start, (11, 1))
    expected[:, [4, 5, 6, 8, 9, 10]] += weights.T
    np.testing.assert_array_equal(table, expected)
