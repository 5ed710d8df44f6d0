"""The cells' equations as plain NumPy arithmetic, against the twins and central differences."""

from typing import NamedTuple

import naive
import numpy as np
import pytest
from samples import every_cell

from charrnn.cells import CELL_NAMES, CELLS
from charrnn.config import ModelConfig
from charrnn.errors import UsageError
from charrnn.network.first_values import groups_of

LANES, INPUTS, SIZE = 3, 5, 7


class _Example(NamedTuple):
    """A cell with random per-unit parameters, and what it meets in a step."""

    cell: tuple
    x: np.ndarray
    before: tuple
    weights: list  # as the twin takes them
    second: np.ndarray  # of the second product: of weight_hh's last gates, or the readout
    second_bias: np.ndarray


def _gates(matrix):
    """The rows of each gate."""
    return [matrix[at : at + SIZE] for at in range(0, len(matrix), SIZE)]


def _example(key):
    kind, rng = CELLS[key], np.random.default_rng(5)
    rows, first = kind.gates * SIZE, len(kind.recurrent_blocks) * SIZE
    shapes = (rows, INPUTS), (rows, SIZE), (rows,), (rows,)
    weights = [rng.normal(0, 0.5, shape) for shape in shapes]
    if kind.groups > 1:
        group = groups_of(SIZE, kind.groups)
        weights[1][group[:, None] > group] = 0
    second, second_bias = weights[1][first:], weights[3][first:]
    if kind.output_block is not None:
        second, second_bias = rng.normal(0, 0.5, (SIZE, SIZE)), rng.normal(0, 0.5, SIZE)
    learned = rng.normal(0, 0.5, (len(kind.learned()), SIZE))
    places = (np.arange(SIZE) + 0.5) / SIZE
    constants = [[kind.first_value(name, at) for at in places] for name in kind.constants]
    cell = kind(*learned, *map(np.array, constants))
    before = tuple(rng.standard_normal((len(kind.states), LANES, SIZE)))
    x = rng.standard_normal((LANES, INPUTS))
    return _Example(cell, x, before, [*weights, *learned], second, second_bias)


def _preactivations(example):
    """The blocks of a row as the time loop fills them: the products where the cell wants them."""
    cell, (w_ih, w_hh, b_ih, b_hh) = example.cell, example.weights[:4]
    blocks = [np.zeros((LANES, SIZE)) for _ in range(cell.blocks)]
    for fed, read, weights, bias in (
        (cell.input_blocks, example.x, w_ih, b_ih),
        (cell.recurrent_blocks, example.before[cell.source], w_hh, b_hh),
        (cell.middle_blocks, None, example.second, example.second_bias),
    ):
        for block, gate, gate_bias in zip(fed, _gates(weights), _gates(bias), strict=False):
            blocks[block] += gate_bias + (0 if read is None else read @ gate.T)
    return tuple(blocks)


def _forward(cell, blocks, before, second):
    """A step as the time loop composes it: saved blocks and states."""
    if cell.middle_blocks:
        blocks = list(cell.prepare(blocks, before))
        for block, gate in zip(cell.middle_blocks, _gates(second), strict=True):
            blocks[block] = blocks[block] + blocks[cell.middle] @ gate.T
    if cell.output_block is not None:
        blocks[cell.output_block] = naive.softmax(blocks[cell.output_block])
    return cell.forward(tuple(blocks), before)


def _backward(cell, saved, before, dafter, second):
    """The way back: gradients of blocks, states, per-unit parameters and the second matrix."""
    dafter = list(dafter)
    if cell.output_block is not None:
        y, dy = saved[cell.output_block], dafter[cell.source]
        dafter[cell.source] = y * (dy - (y * dy).sum(axis=1, keepdims=True))
    dblocks, dbefore, *dfields = cell.backward(saved, before, tuple(dafter))
    dsecond = np.zeros((0, SIZE))
    if cell.middle_blocks:
        d = np.concatenate([dblocks[block] for block in cell.middle_blocks], axis=1)
        dblocks, dbefore = cell.unprepare(dblocks, before, d @ second, dbefore)
        dblocks = list(dblocks)
        dsecond = d.T @ dblocks[cell.middle]
        dblocks[cell.middle] = np.zeros((LANES, SIZE))  # nothing but ``prepare`` writes there
    return dblocks, dbefore, [d.sum(axis=0) for d in dfields[0]] if dfields else [], dsecond


def _flat(blocks, before, fields, second):
    return np.concatenate([np.ravel(a) for a in (*blocks, *before, *fields, second)])


def test_every_cell_has_a_twin():
    assert set(naive.STEPS) == set(CELLS)


@every_cell
def test_declarations_fit_together(cell):
    kind = CELLS[cell]
    own = kind.middle_blocks if kind.output_block is None else ()
    assert kind.states[0] == "h" and kind.source < len(kind.states)
    assert len(kind.first_bias) == kind.gates == len(kind.recurrent_blocks) + len(own)
    for fed in kind.input_blocks, kind.recurrent_blocks, kind.middle_blocks:
        assert sorted(fed) == list(range(min(fed, default=0), min(fed, default=0) + len(fed)))
    assert len(kind.input_blocks) == kind.gates
    assert not set(kind.middle_blocks) & {*kind.recurrent_blocks, kind.middle}
    assert kind.output_block is None or (kind.output_block,) == kind.middle_blocks
    fed = {*kind.input_blocks, *kind.recurrent_blocks, *kind.middle_blocks}
    assert fed | ({kind.middle} if kind.middle_blocks else set()) == set(range(kind.blocks))


@every_cell
def test_forward_is_the_twins_step(cell):
    example = _example(cell)
    kind, before = example.cell, example.before
    saved, after = _forward(kind, _preactivations(example), before, example.second)
    expected = list(naive.STEPS[cell](example.x, before, *example.weights))
    if kind.output_block is not None:
        logits = expected[0] @ example.second.T + example.second_bias
        expected[kind.source] = naive.softmax(logits)
    assert len(saved) == kind.blocks
    assert len(after) == len(kind.states)
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-14)


@every_cell
def test_backward_is_the_derivative_of_forward(cell):
    example = _example(cell)
    kind, before, second = example.cell, example.before, example.second
    second = second if kind.middle_blocks else second[:0]
    blocks = _preactivations(example)
    dafter = np.random.default_rng(6).standard_normal((len(kind.states), LANES, SIZE))
    saved, _ = _forward(kind, blocks, before, second)
    gradient = _flat(*_backward(kind, saved, before, dafter, second))
    learned = kind[: len(kind.learned())]
    values, count = _flat(blocks, before, learned, second), kind.blocks * LANES * SIZE
    assert np.abs(values[:count]).min(where=values[:count] != 0, initial=1) > 1e-4, "a kink"

    def loss(v):
        parts = np.split(v, [count, count + dafter.size, v.size - second.size])
        rows = [part.reshape(-1, LANES, SIZE) for part in parts[:2]]
        moved = type(kind)(*parts[2].reshape(-1, SIZE), *kind[len(learned) :])
        after = _forward(moved, tuple(rows[0]), tuple(rows[1]), parts[3].reshape(second.shape))[1]
        return np.sum(dafter * after)

    slopes = [(loss(values + d) - loss(values - d)) / 2e-5 for d in 1e-5 * np.eye(values.size)]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-8, atol=1e-9)
    fed = [*kind.input_blocks, *kind.recurrent_blocks, *kind.middle_blocks]
    sizes = np.abs(gradient[:count]).reshape(kind.blocks, -1).max(axis=1)
    assert sizes[fed].min() > 1e-3
    assert np.abs(gradient[values.size - second.size :]).max(initial=1) > 1e-3


def test_unknown_cells_and_activations_are_refused_with_the_choices():
    with pytest.raises(UsageError, match=", ".join(CELL_NAMES)):
        ModelConfig(10, cell="transformer")
    with pytest.raises(UsageError, match="activation of lstm must be tanh, not relu"):
        ModelConfig(10, cell="lstm", activation="relu")
