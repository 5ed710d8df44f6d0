"""Products of bfloat16: against float64 on the rounded numbers, and a network that learns."""

import numpy as np
import pytest
from samples import config_of, one_cell_of_each_kind

from charrnn.compute import packing, products
from charrnn.compute.products import Columns, Rows, Sums
from charrnn.compute.target import HAS_BFLOAT16
from charrnn.config import ModelConfig
from charrnn.errors import UsageError
from charrnn.network.network import Network
from charrnn.text.batch import Batch

needs_bfloat16 = pytest.mark.skipif(
    not HAS_BFLOAT16, reason="this processor does not multiply bfloat16 (AVX512-BF16)"
)


def rounded(values):
    """float32 rounded to bfloat16, to the nearest and to even on a tie, as float64."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def packed(weights):
    depth, columns = weights.shape
    panels = np.empty(packing.packed_size(depth, columns, packing.PAIRS), packing.PAIRS)
    rows = np.arange(depth, dtype=np.int64) * columns
    packing.pack(weights.ravel(), 0, rows, np.arange(columns, dtype=np.int64), panels, 0, 1)
    return panels


@needs_bfloat16
@pytest.mark.parametrize("rows", [1, 3, 7, 50])
@pytest.mark.parametrize("depth, columns", [(16, 16), (112, 112), (144, 432), (256, 80)])
def test_multiply_is_the_product_of_the_rounded_numbers(rows, depth, columns):
    rng = np.random.default_rng(rows)
    a, weights = (
        rng.standard_normal(s).astype(np.float32) for s in [(rows, depth), (depth, columns)]
    )
    bias = rng.standard_normal(columns).astype(np.float32)
    result = np.empty((rows, columns), np.float32)
    rows_of_a, target = Rows(a.ravel(), 0, depth), Rows(result.ravel(), 0, columns)
    products.multiply(rows_of_a, rows, packed(weights), depth, Rows(bias, 0, 0), target, columns)
    expected = rounded(a) @ rounded(weights) + bias
    magnitude = np.abs(rounded(a)) @ np.abs(rounded(weights)) + np.abs(bias)
    assert (np.abs(result - expected) <= depth * 2.0**-23 * magnitude).all()


@needs_bfloat16
@pytest.mark.parametrize("rows", [1, 2, 127, 128, 129, 300])
@pytest.mark.parametrize("columns, width", [(16, 16), (112, 144), (80, 256)])
def test_weight_gradient_sums_pairs_of_rows(rows, columns, width):
    rng = np.random.default_rng(rows)
    d, x = (rng.standard_normal((rows, n)).astype(np.float32) for n in (columns, width))
    scratch = np.empty(packing.gradient_scratch_size(width, packing.PAIRS), packing.PAIRS)
    result, bias = np.empty(columns * width, np.float32), np.empty(columns, np.float32)
    for part in range(2):
        read, sums = Columns(x, 0, width), Sums(result, bias, scratch)
        products.weight_gradient(Columns(d, 0, columns), read, sums, False, part, 2)
    expected = rounded(d).T @ rounded(x)
    magnitude = np.abs(rounded(d)).T @ np.abs(rounded(x))
    assert (np.abs(result.reshape(columns, width) - expected) <= rows * 2.0**-22 * magnitude).all()
    np.testing.assert_allclose(bias, d.sum(axis=0, dtype=np.float64), atol=rows * 1e-6)


@needs_bfloat16
@one_cell_of_each_kind
def test_a_network_is_near_the_one_in_float32(cell):
    config = config_of(cell, layers=2, hidden_size=50, vocabulary_size=40)
    batch = _batch(np.random.default_rng(0))
    passes = [_pass(config, precision, batch) for precision in ("float32", "bfloat16")]
    losses, gradients = zip(*passes, strict=True)
    assert 0 < np.abs(losses[1] - losses[0]).max() < 0.1
    cosine = gradients[0] @ gradients[1] / np.prod([np.linalg.norm(g) for g in gradients])
    assert cosine > 0.999


def _batch(rng):
    inputs, targets = rng.integers(0, 40, (2, 20, 5)).astype(np.int32)
    return Batch(inputs, targets, np.zeros(inputs.shape, np.uint8))


def _pass(config, precision, batch):
    network = Network(config, precision=precision)
    network.initialize(rng=np.random.default_rng(1))
    network.prepare_training()
    losses, _ = network.loss_and_gradients(batch, network.initial_state(5))
    return losses, network.gradients.astype(np.float64)


def test_a_processor_without_it_says_so(monkeypatch):
    monkeypatch.setattr("charrnn.network.weights.HAS_BFLOAT16", False)
    with pytest.raises(UsageError, match="AVX512-BF16"):
        Network(ModelConfig(10), precision="bfloat16")
    assert Network(ModelConfig(10), precision="auto").panels == np.float32
