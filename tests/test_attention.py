"""Attention over the positions of a document: NumPy's equations, and numbers at the edges."""

import itertools
import math

import naive
import numpy as np
import pytest
from samples import assert_same_bits

from charrnn.compute.attention import pool_documents, unpool_documents

#: Units, of which 5 are no padding; lanes, steps; documents of 1 to all steps, not in order.
SIZE, WIDTH, STEPS, LANES = 5, 16, 9, 3
SPANS = np.array([[2, 0, 9], [0, 4, 9], [0, 0, 1], [1, 3, 4], [0, 1, 4]], np.int32)


def _padded(values, dtype):
    whole = np.zeros((*values.shape[:-1], WIDTH), dtype)
    whole[..., :SIZE] = values
    return whole


def _case(dtype, scale=1.0):
    rng = np.random.default_rng(1)
    hidden = rng.normal(size=(STEPS, LANES, SIZE))
    query, dpooled = scale * rng.normal(size=SIZE), rng.normal(size=(len(SPANS), SIZE))
    return [_padded(own, dtype) for own in (hidden, query, dpooled)]


def _pool(hidden, query, spans=SPANS, parts=1):
    weights = np.full(hidden.shape[:2], 7, hidden.dtype)
    pooled = np.empty((len(spans), WIDTH), hidden.dtype)
    bounds = np.linspace(0, len(spans), parts + 1).astype(int)
    for first, last in itertools.pairwise(bounds):
        pool_documents(
            hidden, query, 1 / math.sqrt(SIZE), spans, weights, pooled, first, last
        )  # fmt: skip
    return weights, pooled


def _unpool(hidden, query, weights, dpooled):
    dhidden, dquery = np.zeros_like(hidden), np.empty_like(dpooled)
    unpool_documents(
        hidden, query, 1 / math.sqrt(SIZE), SPANS, weights, dpooled, dhidden, dquery, 0, len(SPANS)
    )
    return dhidden, dquery


def _expected(hidden, query, dpooled):
    """Of each document α, Σ α y, and the gradients of y and q, by the Jacobian of softmax."""
    for (lane, first, last), c in zip(SPANS, dpooled[:, :SIZE], strict=True):
        y = hidden[first:last, lane, :SIZE].astype(np.float64)
        alpha = naive.attention(y, query[:SIZE].astype(np.float64))
        denergy = (np.diag(alpha) - np.outer(alpha, alpha)) @ (y @ c) / math.sqrt(SIZE)
        yield alpha, alpha @ y, np.outer(alpha, c) + np.outer(denergy, query[:SIZE]), denergy @ y


both = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-14)])


@both
def test_forward_and_backward_are_numpys(dtype, tolerance):
    hidden, query, dpooled = _case(dtype)
    weights, pooled = _pool(hidden, query)
    dhidden, dquery = _unpool(hidden, query, weights, dpooled)
    for d, (alpha, of_units, dunits, of_query) in enumerate(_expected(hidden, query, dpooled)):
        lane, first, last = SPANS[d]
        for found, expected in (
            (weights[first:last, lane], alpha),
            (pooled[d, :SIZE], of_units),
            (dhidden[first:last, lane, :SIZE], dunits),
            (dquery[d, :SIZE], of_query),
        ):
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    for padded in (pooled, dhidden, dquery):
        assert not padded[..., SIZE:].any()
    assert not dhidden[4:, 1].any(), "no document is there"


@both
@pytest.mark.parametrize("energy", [1e4, -1e4])
def test_extreme_energies_give_numbers(dtype, tolerance, energy):
    """All attention is on one position; its gradient is that of what is pooled."""
    hidden, query, dpooled = _case(dtype)
    hidden[:, :, 0] = 0.0
    for lane, first, _ in SPANS:
        hidden[first, lane, 0] = energy
    query[:] = 0
    query[0] = math.sqrt(SIZE)
    weights, pooled = _pool(hidden, query)
    dhidden, dquery = _unpool(hidden, query, weights, dpooled)
    for d, (lane, first, last) in enumerate(SPANS):
        own = weights[first:last, lane]
        assert own.sum() == pytest.approx(1, abs=1e-6)
        if energy > 0 or last - first == 1:
            np.testing.assert_array_equal(own, np.arange(last - first) == 0)
            assert_same_bits(pooled[d], hidden[first, lane])
            assert not dquery[d].any()
        else:
            assert own[0] == 0
    assert all(np.isfinite(a).all() for a in (weights, pooled, dhidden, dquery))


def test_a_document_of_one_character_is_what_was_read():
    hidden, query, dpooled = _case(np.float32)
    weights, pooled = _pool(hidden, query)
    dhidden, dquery = _unpool(hidden, query, weights, dpooled)
    for d, (lane, first, last) in enumerate(SPANS):
        if last - first == 1:
            assert weights[first, lane] == 1
            assert_same_bits(pooled[d], hidden[first, lane])
            assert_same_bits(dhidden[first, lane], dpooled[d])
            assert not dquery[d].any()


def test_documents_are_shared_among_threads_without_a_trace():
    hidden, query, _ = _case(np.float32)
    for parts in (2, 3, 5):
        for one, other in zip(_pool(hidden, query), _pool(hidden, query, parts=parts), strict=True):
            assert_same_bits(one, other)


def test_equal_energies_are_a_mean():
    hidden, query, _ = _case(np.float64, scale=0.0)
    _, pooled = _pool(hidden, query)
    for d, (lane, first, last) in enumerate(SPANS):
        np.testing.assert_allclose(pooled[d], hidden[first:last, lane].mean(axis=0), rtol=1e-14)
