"""The cells' equations as plain NumPy arithmetic, against the twins and central differences."""

import naive
import numpy as np
import pytest
from samples import every_cell

from charrnn.cells import CELL_NAMES, CELLS
from charrnn.config import ModelConfig
from charrnn.errors import UsageError

LANES, INPUTS, SIZE = 3, 5, 7


def _preactivations(cell, x, h, weights):
    """The blocks of a row as the time loop fills them: the products where the cell wants them."""
    w_ih, w_hh, b_ih, b_hh = weights
    blocks = [np.zeros((LANES, SIZE)) for _ in range(cell.blocks)]
    for fed, product in ((cell.input_blocks, x @ w_ih.T + b_ih),
                         (cell.recurrent_blocks, h @ w_hh.T + b_hh)):  # fmt: skip
        for gate, block in enumerate(fed):
            blocks[block] += product[:, gate * SIZE : (gate + 1) * SIZE]
    return tuple(blocks)


def _example(cell):
    rng = np.random.default_rng(5)
    rows = cell.gates * SIZE
    shapes = (rows, INPUTS), (rows, SIZE), (rows,), (rows,)
    weights = [rng.normal(0, 0.5, shape) for shape in shapes]
    before = tuple(rng.standard_normal((len(cell.states), LANES, SIZE)))
    return rng, rng.standard_normal((LANES, INPUTS)), before, weights


def test_every_cell_has_a_twin():
    assert set(naive.STEPS) == set(CELLS)


@every_cell
def test_declarations_fit_together(cell):
    kind = CELLS[cell]
    assert kind.states[0] == "h"
    assert len(kind.first_bias) == kind.gates
    for fed in kind.input_blocks, kind.recurrent_blocks:
        assert sorted(fed) == list(range(min(fed), min(fed) + kind.gates))
    assert set(kind.input_blocks) | set(kind.recurrent_blocks) == set(range(kind.blocks))


@every_cell
def test_forward_is_the_twins_step(cell):
    kind = CELLS[cell]()
    _, x, before, weights = _example(kind)
    saved, after = kind.forward(_preactivations(kind, x, before[0], weights), before)
    expected = naive.STEPS[cell](x, before, *weights)
    assert len(saved) == kind.blocks
    assert len(after) == len(kind.states)
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-14)


@every_cell
def test_backward_is_the_derivative_of_forward(cell):
    kind = CELLS[cell]()
    rng, x, before, weights = _example(kind)
    blocks = _preactivations(kind, x, before[0], weights)
    assert np.abs(blocks).min() > 1e-4, "a kink within reach of the steps"
    dafter = tuple(rng.standard_normal((len(kind.states), LANES, SIZE)))
    saved, _ = kind.forward(blocks, before)
    dblocks, dbefore = kind.backward(saved, before, dafter)

    values, gradient = np.array(blocks + before), np.array(dblocks + dbefore)
    assert np.abs(gradient[: kind.blocks]).max(axis=(1, 2)).min() > 1e-3
    for place in range(len(values)):  # elements are independent: all of one array in one step
        moved = np.zeros_like(values)
        moved[place] = 1e-5

        def after_of(v):
            after = kind.forward(tuple(v[: kind.blocks]), tuple(v[kind.blocks :]))[1]
            return sum(d * a for d, a in zip(dafter, after, strict=True))

        slope = (after_of(values + moved) - after_of(values - moved)) / 2e-5
        np.testing.assert_allclose(gradient[place], slope, rtol=0, atol=1e-9)


def test_unknown_cells_and_activations_are_refused_with_the_choices():
    with pytest.raises(UsageError, match=", ".join(CELL_NAMES)):
        ModelConfig(10, cell="transformer")
    with pytest.raises(UsageError, match="activation of lstm must be tanh, not relu"):
        ModelConfig(10, cell="lstm", activation="relu")
