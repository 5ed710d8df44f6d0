"""SOAP against its formulas in float64, for matrices of every kind."""

import numpy as np
import pytest
from samples import assert_same_bits, config_of, plan_of, random_batch, random_network

from charrnn.compute.target import HAS_BFLOAT16
from charrnn.config import ModelConfig
from charrnn.network.graph import build
from charrnn.network.network import Network
from charrnn.network.parameters import parameter_count, rotated
from charrnn.training.optimizer import create_optimizer

COUNT = 50
RATES = [0.01, 0.02, 0.03, 0.02, 0.005, 0.001]
SETTINGS = {"beta1": 0.8, "beta2": 0.95, "weight_decay": 0.02, "optimizer": "soap"}


def _optimizer(threads=1, dtype=np.float64, config=None, **values):
    config = config or config_of(("lstm", "tanh"), 2, hidden_size=20)
    network = random_network(config, dtype=dtype, threads=threads)
    return create_optimizer(plan_of(**{**SETTINGS, **values}), network)


def _gradients(optimizer):
    """A gradient for each rate, whose columns belong together as those of units that are alike."""
    rng, network = np.random.default_rng(4), optimizer.network
    for rate in RATES:
        network.gradients[: parameter_count(network.config)] = rng.normal(
            0, 0.02 * COUNT, parameter_count(network.config)
        )
        for parameter in rotated(network.graph):
            own = network.views(network.gradients)[parameter.name]
            own[...] = own @ rng.normal(0, 0.3, (own.shape[1],) * 2)
        yield rate


class Twin:
    """What SOAP does to one matrix [rows, n], as its paper has it: the mean is kept of G."""

    def __init__(self, values):
        rows, size = values.shape
        self.values = values.astype(np.float64)
        self.mean, self.square = np.zeros((2, rows, size))
        self.covariance, self.basis = np.zeros((2, size, size))

    def update(self, g, step, rate, plan):
        self.covariance = 0.95 * self.covariance + 0.05 * g.T @ g
        if step == 1:
            self.basis = np.linalg.eigh(self.covariance)[1][:, ::-1]
        elif step in (2, 4, 8, 16, 32, 64):
            self.basis = np.linalg.qr(self.covariance @ self.basis)[0]
        self.mean = plan.beta1 * self.mean + (1 - plan.beta1) * g
        self.square = plan.beta2 * self.square + (1 - plan.beta2) * (g @ self.basis) ** 2
        mean = self.mean @ self.basis / (1 - plan.beta1**step)
        change = mean / (np.sqrt(self.square / (1 - plan.beta2**step)) + 1e-8)
        self.values = self.values * (1 - rate * plan.weight_decay) - rate * change @ self.basis.T


CONFIGS = {
    "two layers": config_of(("lstm", "tanh"), 2, hidden_size=20),
    "embedded": config_of(("gru", "tanh"), 1, hidden_size=9, embedding_size=5),
    "both ways": config_of(("lstm", "tanh"), 2, hidden_size=7, task="tags", classes=3),
}


@pytest.mark.parametrize("clip_norm", [0.0, 0.3])
@pytest.mark.parametrize("name", CONFIGS)
def test_updates_are_those_of_the_formulas(name, clip_norm):
    optimizer = _optimizer(config=CONFIGS[name], clip_norm=clip_norm, learning_rate=1e-4)
    network, plan = optimizer.network, optimizer.plan
    twins = {p.name: Twin(network.parameters[p.name]) for p in rotated(network.graph)}
    assert twins
    before = network.values.copy()
    for step, rate in enumerate(_gradients(optimizer), start=1):
        norm = optimizer.gradient_norm(COUNT)
        scale = min(1.0, clip_norm / norm) / COUNT if clip_norm else 1 / COUNT
        for own, twin in twins.items():
            twin.update(scale * network.views(network.gradients)[own], step, rate, plan)
        optimizer.update(COUNT, norm, rate)
        for own, twin in twins.items():
            np.testing.assert_allclose(network.parameters[own], twin.values, rtol=0, atol=1e-9)
    assert np.abs(network.values - before).max() > 1e-3


def test_what_is_not_rotated_is_adams():
    soap, adam = _optimizer(), _optimizer(optimizer="adam")
    for optimizer in (soap, adam):
        for rate in _gradients(optimizer):
            optimizer.update(COUNT, 0.1, rate)
    names = {parameter.name for parameter in rotated(soap.network.graph)}
    assert names == {"rnn.weight_hh_l0", "rnn.weight_ih_l1", "rnn.weight_hh_l1"}
    for name, parameter in soap.network.parameters.items():
        if name in names:
            assert np.abs(parameter - adam.network.parameters[name]).max() > 1e-3
        else:
            assert_same_bits(parameter, adam.network.parameters[name])


@pytest.mark.parametrize("cell", ["clockwork", "echo-state", "second-order"])
def test_matrices_that_are_in_part_zero_or_held_or_chosen_are_left_to_adam(cell):
    config = ModelConfig.for_vocabulary(11, cell=cell, hidden_size=12)
    names = [parameter.name for parameter in rotated(build(config))]
    assert not any("weight_hh" in name for name in names)


def test_units_that_are_alike_learn_as_one_does():
    """Adam moves two columns that are alike twice as far; in their basis they are one."""
    moved = []
    for optimizer in (_optimizer(clip_norm=0.0, weight_decay=0.0),
                      _optimizer(clip_norm=0.0, weight_decay=0.0, optimizer="adam")):  # fmt: skip
        network = optimizer.network
        before = network.parameters["rnn.weight_hh_l0"].copy()
        own = network.views(network.gradients)["rnn.weight_hh_l0"]
        own[:, :] = np.random.default_rng(1).normal(size=(80, 1))
        optimizer.update(1, 1.0, 1e-3)
        change = before - network.parameters["rnn.weight_hh_l0"]
        moved.append(np.abs(change @ np.ones(20)))
    np.testing.assert_allclose(moved[1], 20e-3, rtol=1e-5)
    np.testing.assert_allclose(moved[0], np.sqrt(20) * 1e-3, rtol=1e-2)


WIDE = {"hidden_size": 4, "embedding_size": 21}  # more columns than rows


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [{"hidden_size": 33}, WIDE], ids=str)
def test_threads_give_the_same_bits_in_every_precision(precision, shape):
    if precision == "bfloat16" and not HAS_BFLOAT16:
        pytest.skip("this processor does not multiply bfloat16 (AVX512-BF16)")
    config, values = config_of(("elman", "tanh"), 2, **shape), []
    for threads in (1, 2):
        network = Network(config, threads=threads, precision=precision)
        network.initialize(rng=np.random.default_rng(1))
        network.prepare_training()
        optimizer = create_optimizer(plan_of(**SETTINGS), network)
        batch = random_batch(config, 5, 3)
        for _ in range(10):
            network.loss_and_gradients(batch, network.initial_state(3))
            optimizer.update(15, optimizer.gradient_norm(15), 0.01)
        values.append(network.values.copy())
    assert_same_bits(*values)
    assert np.isfinite(values[0]).all()


@pytest.mark.parametrize("scale", [1e25, 0.0])
def test_a_covariance_that_tells_nothing_changes_no_basis(scale):
    """Squares beyond float32, where nothing is clipped, and none at all."""
    optimizer = _optimizer(dtype=np.float32, clip_norm=0.0)
    network = optimizer.network
    network.gradients[: parameter_count(network.config)] = scale
    with np.errstate(over="ignore"):
        optimizer.update(1, 1.0, 0.01)
    basis = optimizer.moments["basis"]
    assert basis.sum() == sum(parameter.shape[1] for parameter in rotated(network.graph))
    assert set(np.unique(basis)) == {0.0, 1.0}
