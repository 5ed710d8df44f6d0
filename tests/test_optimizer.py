"""Updates against their formulas in float64; decay of weights, their average; the schedule."""

import math

import numpy as np
import pytest
from samples import (
    assert_same_bits,
    config_of,
    every_trained_cell,
    plan_of,
    random_batch,
    random_network,
)

from charrnn.cells import CELLS
from charrnn.config import OPTIMIZERS
from charrnn.network.parameters import parameter_count
from charrnn.training.optimizer import create_optimizer, learning_rate

COUNT = 50  # losses in the sum whose gradient is given
RATES = [0.01, 0.02, 0.03, 0.02, 0.005, 0.001]


def _optimizer(threads=1, hidden_size=20, **values):
    """An optimizer of a small network whose parameters end within a block."""
    config = config_of(next(iter(CELLS)), 2, hidden_size=hidden_size)
    network = random_network(config, dtype=np.float32, threads=threads)
    return create_optimizer(plan_of(**{"weight_decay": 0.02, **values}), network)


def _gradients(optimizer, scale=1.0):
    """A gradient for each rate, those of the sum of ``COUNT`` losses; padding stays zero."""
    rng = np.random.default_rng(4)
    for rate in RATES:
        gradient = np.zeros_like(optimizer.network.values)
        size = parameter_count(optimizer.network.config)
        gradient[:size] = rng.normal(0, scale * COUNT * 0.02, size)
        gradient[: size // 10] = 0  # characters that did not occur
        yield rate, gradient


def _adam(g, moments, rate, step, config):
    moments["m"] = config.beta1 * moments["m"] + (1 - config.beta1) * g
    moments["v"] = config.beta2 * moments["v"] + (1 - config.beta2) * g**2
    mean = moments["m"] / (1 - config.beta1**step)
    return rate * mean / (np.sqrt(moments["v"] / (1 - config.beta2**step)) + 1e-8)


def _rmsprop(g, moments, rate, step, config):
    moments["v"] = config.beta2 * moments["v"] + (1 - config.beta2) * g**2
    return rate * g / (np.sqrt(moments["v"]) + 1e-8)


def _sgd(g, moments, rate, step, config):
    moments["m"] = config.beta1 * moments["m"] + g
    return rate * moments["m"]


TWINS = {"adam": _adam, "rmsprop": _rmsprop, "sgd": _sgd}


def _clipped(gradient, config):
    g = gradient.astype(np.float64) / COUNT
    norm = np.linalg.norm(g)
    if config.clip_norm:
        g = g * min(1.0, config.clip_norm / norm)
    if config.clip_value:
        g = np.clip(g, -config.clip_value, config.clip_value)
    return g, norm


def _train(optimizer, scale=1.0):
    for rate, gradient in _gradients(optimizer, scale):
        optimizer.network.gradients[:] = gradient
        optimizer.update(COUNT, optimizer.gradient_norm(COUNT), rate)
    return optimizer.network.values


def test_every_optimizer_has_a_twin():
    """That of SOAP is in a file of its own."""
    assert {*TWINS, "soap"} == set(OPTIMIZERS)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {"clip_norm": 0.0},
        {"clip_norm": 0.3},
        {"clip_norm": 1e6},
        {"clip_norm": 0.0, "clip_value": 0.01},
        {"clip_norm": 0.5, "clip_value": 0.01},
        {"clip_norm": 0.3, "weight_decay": 0.0},
        {"clip_norm": 0.3, "weight_decay": 0.9},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", TWINS)
def test_updates_are_those_of_the_formulas(name, settings, threads):
    optimizer = _optimizer(threads, optimizer=name, beta1=0.8, beta2=0.95, **settings)
    network, config = optimizer.network, optimizer.plan
    values = network.values.astype(np.float64)
    moments = {"m": np.zeros_like(values), "v": np.zeros_like(values)}
    for step, (rate, gradient) in enumerate(_gradients(optimizer), start=1):
        network.gradients[:] = gradient
        g, norm = _clipped(gradient, config)
        found = optimizer.gradient_norm(COUNT)
        assert found == pytest.approx(norm, rel=1e-6)
        optimizer.update(COUNT, found, rate)
        change = TWINS[name](g, moments, rate, step, config)
        values = values * (1 - rate * config.weight_decay) - optimizer.rates * change
        np.testing.assert_allclose(network.values, values, rtol=0, atol=1e-6)
    assert np.abs(values - _optimizer().network.values).max() > 1e-3
    assert optimizer.updates == len(RATES)
    assert not network.values[parameter_count(network.config) :].any()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_threads_give_the_same_bits(name):
    one, two = (_optimizer(threads, optimizer=name, clip_norm=0.3) for threads in (1, 2))
    assert_same_bits(_train(one), _train(two))
    assert_same_bits(one.average, two.average)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_of_zero_changes_nothing(name):
    optimizer = _optimizer(optimizer=name, weight_decay=0.0)
    before = optimizer.network.values.copy()
    optimizer.network.gradients[:] = 0
    assert optimizer.gradient_norm(COUNT) == 0
    optimizer.update(COUNT, 0.0, 0.1)
    assert_same_bits(optimizer.network.values, before)
    np.testing.assert_allclose(optimizer.average, before, rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_decay_by_themselves(name):
    """Whatever the method makes of gradients: here they are zero, and so are the moments."""
    optimizer = _optimizer(optimizer=name, weight_decay=0.5)
    before = optimizer.network.values.copy()
    optimizer.network.gradients[:] = 0
    for _ in range(3):
        optimizer.update(COUNT, 0.0, 0.1)
    np.testing.assert_allclose(optimizer.network.values, before * 0.95**3, rtol=1e-6)
    assert not any(own.any() for name, own in optimizer.moments.items() if name != "basis")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("averaging", [0.0, 0.2, 0.4, 0.995])
def test_the_average_is_that_of_the_formula(averaging, threads):
    """Its memory is as long as asked for once there are enough updates, and shorter before."""
    optimizer = _optimizer(threads, averaging=averaging)
    values = optimizer.network.values
    average = values.astype(np.float64)
    assert_same_bits(optimizer.average, values)
    for step, (rate, gradient) in enumerate(_gradients(optimizer), start=1):
        optimizer.network.gradients[:] = gradient
        optimizer.update(COUNT, optimizer.gradient_norm(COUNT), rate)
        decay = min(averaging, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * values
        np.testing.assert_allclose(optimizer.average, average, rtol=0, atol=1e-6)
    if averaging:
        assert np.abs(optimizer.average - values).max() > 1e-4
    else:
        assert_same_bits(optimizer.average, values)


def test_the_average_does_not_change_the_updates():
    one, other = _optimizer(averaging=0.0), _optimizer(averaging=0.9)
    assert_same_bits(_train(one), _train(other))
    assert np.abs(one.average - other.average).max() > 1e-3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_huge_gradients_neither_overflow_nor_count_when_they_are_clipped(name):
    """Cut to norm 1: the update of the same gradient, were it 1e27 times smaller."""
    optimizers = [_optimizer(optimizer=name, clip_norm=1.0) for _ in range(2)]
    huge, large = (_train(o, scale) for o, scale in zip(optimizers, (1e30, 1e3), strict=True))
    assert np.isfinite(huge).all()
    np.testing.assert_allclose(huge, large, rtol=0, atol=1e-5)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 1023, -1])
def test_the_norm_shows_what_is_not_finite(wrong, at):
    optimizer = _optimizer()
    optimizer.network.gradients[:] = 1
    optimizer.network.gradients[at] = wrong
    assert not math.isfinite(optimizer.gradient_norm(COUNT))


def test_an_update_is_in_force_at_once():
    """The packed weights follow the values."""
    optimizer = _optimizer()
    network = optimizer.network
    batch, state = random_batch(network.config, 5, 3), network.initial_state(3)
    before = network.losses(batch, state)[0]
    _train(optimizer)
    losses = network.losses(batch, state)[0]
    assert np.abs(losses - before).max() > 1e-3
    network.pack()
    assert_same_bits(network.losses(batch, state)[0], losses)


def _growth(optimizer, updates=300):
    """How large matrices that read states become, in orthogonal ones, if gradients are noise."""
    network, rng = optimizer.network, np.random.default_rng(5)
    for _ in range(updates):
        network.gradients[:] = rng.standard_normal(network.values.size)
        optimizer.update(1, optimizer.gradient_norm(1), optimizer.highest_rate)
    matrices = (network.parameters[p.name] for p in network.graph.parameters if p.units)
    return max(math.sqrt(np.square(m, dtype=np.float64).mean() * m.shape[-1]) for m in matrices)


@every_trained_cell
@pytest.mark.parametrize("name", ["adam", "soap", "rmsprop"])
def test_noise_makes_no_matrix_larger_than_a_cell_bears(cell, name):
    """Weight decay is such that they would become three times as large at the full rate."""
    network = random_network(config_of(cell, 2, hidden_size=48), dtype=np.float32)
    most, rate = CELLS[cell].most_growth, 0.3
    config = plan_of(
        optimizer=name, learning_rate=rate, weight_decay=rate * 48 / (2 * (3 * most) ** 2)
    )
    optimizer = create_optimizer(config, network)
    assert 0.8 * most < _growth(optimizer) < 1.1 * most
    if name == "soap":  # whose rates of matrices are elsewhere
        return
    optimizer.rates[:] = 1
    assert _growth(optimizer) > 2.5 * most


def test_the_rate_is_the_one_given():
    assert _optimizer(learning_rate=0.123).highest_rate == 0.123


def test_the_schedule_rises_and_falls():
    config = plan_of(warmup_steps=9, final_rate=0.1)
    for step in range(1, 10):
        assert learning_rate(2.0, step, 0.0, config) == pytest.approx(2.0 * step / 10)
    for step in (10, 11, 10**6):
        assert learning_rate(2.0, step, 0.0, config) == pytest.approx(2.0)
        assert learning_rate(2.0, step, 0.5, config) == pytest.approx(2.0 * 0.55)
        assert learning_rate(2.0, step, 1.0, config) == pytest.approx(0.2)
        assert learning_rate(2.0, step, 7.0, config) == pytest.approx(0.2)
    assert learning_rate(2.0, 5, 0.5, config) == pytest.approx(2.0 * 0.55 * 0.5)
    fall = [learning_rate(2.0, 50, p, config) for p in np.linspace(0, 1, 20)]
    assert fall == sorted(fall, reverse=True)


@pytest.mark.parametrize("final", [0.0, 0.05, 1.0])
def test_the_schedule_without_a_warm_up(final):
    config = plan_of(warmup_steps=0, final_rate=final)
    assert learning_rate(0.5, 1, 0.0, config) == pytest.approx(0.5)
    assert learning_rate(0.5, 1, 1.0, config) == pytest.approx(0.5 * final)


@pytest.mark.torch
@pytest.mark.parametrize(("clip_norm", "decay"), [(0.0, 0.0), (0.3, 0.0), (0.3, 0.9)])
def test_adam_is_pytorchs(clip_norm, decay):
    torch = pytest.importorskip("torch")
    optimizer = _optimizer(clip_norm=clip_norm, beta1=0.9, beta2=0.99, weight_decay=decay)
    optimizer.rates[:] = 1  # PyTorch has one rate for all
    values = torch.nn.Parameter(torch.tensor(optimizer.network.values.copy()))
    twin = torch.optim.AdamW([values], lr=1.0, betas=(0.9, 0.99), eps=1e-8, weight_decay=decay)
    for rate, gradient in _gradients(optimizer):
        values.grad = torch.tensor(gradient / COUNT)
        if clip_norm:
            torch.nn.utils.clip_grad_norm_([values], clip_norm)
        twin.param_groups[0]["lr"] = rate
        twin.step()
    np.testing.assert_allclose(_train(optimizer), values.detach().numpy(), rtol=0, atol=1e-6)
