"""What sets the cells of the family apart, by what their papers say rather than by their twins."""

import dataclasses
import math

import gradcheck
import numpy as np
import pytest
from samples import (
    assert_same_bits,
    config_of,
    part_of,
    plan_of,
    random_batch,
    random_documents,
    random_network,
    random_state,
)
from trained import DINOSAURS, with_biases

from charrnn.config import BASES, OPTIMIZERS, ModelConfig, TextConfig, TrainingConfig
from charrnn.errors import UsageError
from charrnn.network.description import architecture, weights
from charrnn.network.graph import build
from charrnn.network.parameters import (
    initial_values,
    parameter_shapes,
    recurrent_weight_count,
    trained_weight_count,
    weight_count,
)
from charrnn.network.reservoir import CONNECTIONS, sparse
from charrnn.storage.summary import describe
from charrnn.studies.activity import Silencer
from charrnn.studies.comparison import compare
from charrnn.text.batch import Batch
from charrnn.text.running import RunningText
from charrnn.training.evaluation import loss_of
from charrnn.training.optimizer import create_optimizer
from charrnn.training.sizes import suited_shape

CLOCKWORK, FULLY = ("clockwork", "tanh"), ("fully-recurrent", "tanh")
SECOND, ECHO = ("second-order", "tanh"), ("echo-state", "tanh")


# clockwork


def _clockwork(**more):
    return random_network(config_of(CLOCKWORK, 1, 40, **more))


def test_units_change_when_their_period_divides_the_steps_of_the_document():
    """In lanes whose documents begin at other steps too; chunks do not matter."""
    network, starts = _clockwork(), np.array([0, 3, 17])
    batch = random_batch(network.config, 50, 3, resets=False)
    batch.resets[starts, np.arange(3)] = 1
    hidden, state = [], network.initial_state(3)
    for t in range(50):
        part = Batch(*(a[t : t + 1] for a in (batch.inputs, batch.targets, batch.resets)))
        units, state = network.units(part, state)
        hidden.append(units[0])
    changes = np.diff(hidden, axis=0) != 0
    periods = np.repeat([1, 2, 4, 8, 16], 8)
    for lane, start in enumerate(starts):
        t = np.arange(start + 1, 50)
        due = (t - start)[:, None] % periods == 0
        np.testing.assert_array_equal(changes[t - 1, lane], due)


def test_faster_groups_are_nothing_to_slower_ones():
    network = _clockwork()
    (parameter,) = (p for p in build(network.config).parameters if p.groups > 1)
    group = np.repeat(range(5), 8)
    np.testing.assert_array_equal(parameter.absent, group[:, None] > group)
    assert parameter.weights == 40 * 40 - parameter.absent.sum()
    network.parameters[parameter.name][...] = 1
    network.pack()
    batch = random_batch(network.config, 40, 2, resets=False)
    network.loss_and_gradients(batch, network.initial_state(2))
    for values in network.values, network.gradients:
        matrix = network.views(values)[parameter.name]
        np.testing.assert_array_equal(matrix == 0, parameter.absent)


# fully-recurrent


def _real_time(network, inputs, targets):
    """Real-time recurrent learning (Williams & Zipser 1989) of one document, from its beginning.

    p[k, i, j] is the derivative of unit k by the weight from j to i, where the inputs of a unit are
    all units, the character and a constant: p' = (1 - h'²) (U p + δ_ki z_j). Nothing is kept of the
    past but the derivatives, and nothing is cut off.
    """
    p = network.parameters
    w, u = p["rnn.weight_ih_l0"], p["rnn.weight_hh_l0"]
    bias, scale = p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"], network.head.node.scale
    (size, characters), rows = w.shape, np.arange(len(w))
    h, derivatives = np.zeros(size), np.zeros((size, size, size + characters + 1))
    gradient = np.zeros(derivatives.shape[1:])
    for character, target in zip(inputs, targets, strict=True):
        z = np.concatenate([h, np.eye(characters)[character], [1]])
        h = np.tanh(w[:, character] + u @ h + bias)
        derivatives = np.einsum("kl,lij->kij", u, derivatives)
        derivatives[rows, rows] += z
        derivatives *= (1 - h * h)[:, None, None]
        powers = np.exp(scale * h[:characters])
        error = powers / powers.sum()
        error[target] -= 1
        gradient += scale * np.einsum("k,kij->ij", error, derivatives[:characters])
    return np.split(gradient, [size, size + characters], axis=1)


def test_real_time_recurrent_learning_finds_the_gradients_of_backpropagation_through_time():
    """Over a whole document, whose two halves cut backpropagation short."""
    network = random_network(config_of(FULLY, 1, 9, vocabulary_size=6))
    batch = random_batch(network.config, 30, 1, resets=False)
    batch.resets[0] = 1
    network.loss_and_gradients(batch, network.initial_state(1))
    found = network.views(network.gradients)
    exact = _real_time(network, batch.inputs[:, 0], batch.targets[:, 0])
    for name, gradient in zip(("weight_hh", "weight_ih"), exact, strict=False):
        np.testing.assert_allclose(found[f"rnn.{name}_l0"], gradient, rtol=0, atol=1e-12)
    for name in ("bias_ih", "bias_hh"):
        np.testing.assert_allclose(found[f"rnn.{name}_l0"], exact[2][:, 0], rtol=0, atol=1e-12)
    state, cut = network.initial_state(1), 0
    for half in (slice(15), slice(15, None)):
        part = Batch(*(a[half] for a in (batch.inputs, batch.targets, batch.resets)))
        _, state = network.loss_and_gradients(part, state)
        cut = cut + network.views(network.gradients)["rnn.weight_hh_l0"]
    assert np.abs(cut - exact[0]).max() > 1e-3


def test_a_silenced_output_unit_leaves_its_character_a_logit_of_zero():
    network = random_network(config_of(FULLY, 1, 20))
    tokens = np.random.default_rng(3).integers(3, 11, 200).astype(np.uint8)
    tokens[0] = tokens[-1] = 0
    silencer, by_hand = Silencer(network, RunningText(tokens)), network.with_values(network.values)
    by_hand.parameters["rnn.weight_hh_l0"][:, 5] = 0
    by_hand.pack()
    by_hand.head.scales[5] = 0
    expected = loss_of(by_hand, RunningText(tokens)) - silencer.loss
    for _ in range(2):  # all is as it was afterwards
        assert silencer.change(5) == expected


# second-order


def _second_order(**more):
    return random_network(config_of(SECOND, 1, 9, vocabulary_size=6, **more))


def _units(network, batch):
    return network.units(batch, network.initial_state(batch.inputs.shape[1]))[0]


def _document(network, steps=20):
    batch = random_batch(network.config, steps, 1, resets=False)
    batch.resets[0] = 1
    return batch


def test_pollacks_cascaded_network_is_the_second_order_one():
    """Its context network, a matrix C, makes of the state the weights of the network that reads."""
    network = _second_order()
    w_ih, w_hh, b_ih, b_hh = (network.parameters[f"rnn.{name}_l0"] for name in
                              ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))  # fmt: skip
    size, characters = w_ih.shape
    biased = w_ih + (b_ih + b_hh)[:, None]
    context = np.concatenate([w_hh.transpose(1, 0, 2), biased[:, :, None]], axis=2)
    context = context.reshape(size * characters, size + 1)
    batch, z = _document(network), np.zeros(size)
    for t, character in enumerate(batch.inputs[:, 0]):
        weights = (context @ np.append(z, 1)).reshape(size, characters)
        z = np.tanh(weights @ np.eye(characters)[character])
        np.testing.assert_allclose(_units(network, batch)[t, 0], z, rtol=1e-12)


def test_its_weights_are_a_tensor_of_third_order():
    """h_i = tanh(Σ_jk W_ijk h_j x_k + b_i), where a unit of the state is always 1 (Giles 1990)."""
    network = _second_order()
    p = network.parameters
    w = np.concatenate([p["rnn.weight_hh_l0"], p["rnn.weight_ih_l0"].T[:, :, None]], axis=2)
    bias = p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"]
    batch, h = _document(network), np.zeros(9)
    for t, character in enumerate(batch.inputs[:, 0]):
        h = np.tanh(np.einsum("kij,j,k->i", w, np.append(h, 1), np.eye(6)[character]) + bias)
        np.testing.assert_allclose(_units(network, batch)[t, 0], h, rtol=1e-12)


def test_lanes_of_one_character_are_multiplied_together_to_the_same_bits():
    """With many lanes for each of few characters, with one lane alone, on three threads."""
    config = config_of(SECOND, 2, 40, vocabulary_size=6)
    network, shared = (random_network(config, dtype=np.float32, threads=n) for n in (1, 3))
    batch = random_batch(config, 5, 70)
    found = _units(network, batch)
    assert_same_bits(_units(shared, batch), found)
    for lane in (0, 33, 69):
        alone = _units(network, part_of(batch, lanes=slice(lane, lane + 1)))
        assert_same_bits(alone[:, 0], found[:, lane])
    gradients = []
    for own in (network, shared):
        own.loss_and_gradients(batch, own.initial_state(70))
        gradients.append(own.gradients)
    assert_same_bits(*gradients)


def test_a_character_that_is_not_read_has_no_gradient():
    network = _second_order()
    batch = random_batch(network.config, 8, 3)
    batch.inputs[batch.inputs == 4] = 5
    network.loss_and_gradients(batch, network.initial_state(3))
    gradient = network.views(network.gradients)["rnn.weight_hh_l0"]
    assert not gradient[4].any() and np.abs(gradient[5]).min() > 0


def test_all_characters_begin_with_the_same_matrix():
    config = config_of(SECOND)
    drawn = zip(parameter_shapes(config), initial_values(config, rng=np.random.default_rng(1)),
                strict=True)  # fmt: skip
    matrices = dict(drawn)["rnn.weight_hh_l0"]
    np.testing.assert_array_equal(matrices, matrices[:1].repeat(11, axis=0))
    np.testing.assert_allclose(matrices[0] @ matrices[0].T, np.eye(7), atol=1e-6)


def test_the_vocabulary_bounds_the_units():
    """Weights are symbols times units squared; labels and symbols of pairs choose too."""
    most = config_of(SECOND, vocabulary_size=5000).hidden_sizes[-1]
    assert 2**24 < 5000 * most**2 <= 2**25
    assert ModelConfig.for_vocabulary(5000, cell="second-order").hidden_size == most
    assert ModelConfig.for_vocabulary(70, cell="second-order").hidden_size == 128
    with pytest.raises(UsageError, match=f"for 5,000 of them give a `hidden_size` of {most} or"):
        config_of(SECOND, hidden_size=most + 1, vocabulary_size=5000)
    pairs = {"task": "pairs", "decoder": "ctc", "classes": 3000, "symbols": 3000}
    with pytest.raises(UsageError, match="for 8,000 of them"):
        config_of(SECOND, hidden_size=most, vocabulary_size=5000, **pairs)


# echo-state


def _echo_state(size=9, dtype=np.float64, **more):
    return random_network(config_of(ECHO, 1, size, **more), dtype=dtype)


def _names(network, *, trained):
    return [p.name for p in network.graph.parameters if p.trained == trained]


@pytest.mark.parametrize("more", [{}, {"embedding_size": 5, "readout_layers": 2},
                                  {"task": "tags", "classes": 5}], ids=str)  # fmt: skip
def test_what_reads_the_units_has_gradients_and_nothing_else(more):
    """Those of central differences, one tensor after the other."""
    network = _echo_state(**more)
    config, rng = network.config, np.random.default_rng(7)
    batch = random_batch(config, 12, 3) if config.writes else random_documents(config)
    state = network.initial_state(batch.inputs.shape[1])
    network.loss_and_gradients(batch, state)
    gradients, values = network.views(network.gradients.copy()), network.values.copy()
    assert all(name.startswith(("dense", "readout")) for name in _names(network, trained=True))
    assert not any(gradients[name].any() for name in _names(network, trained=False))
    for name in _names(network, trained=True):
        parameter = network.parameters[name]

        def losses(changed, parameter=parameter):
            parameter[...] = changed
            network.pack()
            return network.losses(batch, state)[0]

        error = gradcheck.relative_error(losses, parameter.copy(), gradients[name], rng=rng)
        assert error < 1e-7, name
        network.values[:] = values


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("size", [9, 70])
def test_a_reservoir_stays_as_it_was_drawn(size, optimizer):
    """By updates whose gradients are short and long; what learns moves, also by itself."""
    network = _echo_state(size, np.float32)
    before = {name: tensor.copy() for name, tensor in network.parameters.items()}
    plan = plan_of(optimizer=optimizer, weight_decay=0.5, clip_norm=1e-3, averaging=0.9)
    updates, batch = create_optimizer(plan, network), random_batch(network.config, 5, 3)
    for _ in range(5):
        network.loss_and_gradients(batch, network.initial_state(3))
        found = network.views(network.gradients)
        norm = np.sqrt(sum((found[n] ** 2).sum() for n in _names(network, trained=True)))
        assert updates.gradient_norm(1) == pytest.approx(norm, rel=1e-5)
        updates.update(1, updates.gradient_norm(1), 0.01)
    average = network.views(updates.average)
    for name in _names(network, trained=False):
        assert_same_bits(network.parameters[name], before[name])
        assert_same_bits(average[name], before[name])
        for key, moment in updates.moments.items():
            own = moment if key in BASES else network.views(moment)[name]
            assert not own.any()
    for name in _names(network, trained=True):
        assert np.abs(network.parameters[name] - before[name]).min() > 0
    learned = network.losses(batch, network.initial_state(3))[0]
    network.pack()
    assert_same_bits(network.losses(batch, network.initial_state(3))[0], learned)


@pytest.mark.parametrize(("size", "radius"), [(1, 0.9), (7, 0.5), (40, 0.9), (300, 1.2)])
def test_recurrent_matrices_have_the_spectral_radius_and_few_elements(size, radius):
    for seed in range(3):
        matrix = sparse(size, radius)(np.random.default_rng(seed))
        found = np.abs(np.linalg.eigvals(matrix.astype(np.float64))).max()
        assert found == pytest.approx(radius, rel=0.02)
        np.testing.assert_array_equal(np.count_nonzero(matrix, axis=1), min(size, CONNECTIONS))


def test_the_past_fades_by_the_spectral_radius():
    """The echo state property: with a small one two states become one, with a large one not."""
    apart = {}
    for radius in (0.5, 4.0):
        network = _echo_state(100, spectral_radius=radius, leak=1.0)
        batch = random_batch(network.config, 60, 2, resets=False)
        batch.inputs[:, 1] = batch.inputs[:, 0]
        units, _ = network.units(batch, random_state(network, 2))
        apart[radius] = np.abs(units[-1, 0] - units[-1, 1]).max()
    assert apart[0.5] < 1e-9 < 1e-3 < apart[4.0]


@pytest.mark.parametrize("leak", [1.0, 0.2])
def test_units_follow_what_they_read_by_the_leak(leak):
    network, state = _echo_state(leak=leak), random_state(_echo_state(), 2)
    batch = random_batch(network.config, 1, 2, resets=False)
    p, h = network.parameters, state[0, 0, :, :9]
    p["rnn.rate_l0"][...] = build(network.config).recurrent[0].first_values("rate")
    network.pack()
    n = np.tanh(p["rnn.weight_ih_l0"].T[batch.inputs[0]] + h @ p["rnn.weight_hh_l0"].T
                + p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"])  # fmt: skip
    expected = (1 - leak) * h + leak * n
    np.testing.assert_allclose(network.units(batch, state)[0][0], expected, atol=1e-8)


def test_gradients_flow_back_through_a_reservoir_where_they_are_asked_for():
    """Those of ``charrnn gradients``; training goes on as before."""
    network, twin = _echo_state(), _echo_state()
    batch, state = random_batch(network.config, 6, 2, resets=False), network.initial_state(2)
    found = network.state_gradients(batch, state)
    assert np.abs(found[0]).max() > 0
    for own in (network, twin):
        own.loss_and_gradients(batch, state)
        assert not own.initial_gradients.any()
    assert_same_bits(network.gradients, twin.gradients)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"dense_before": 1}, "nothing of echo-state is learned"),
        ({"initial_state": "learned"}, "nothing of echo-state is learned"),
        ({"task": "pairs", "decoder": "attention", "classes": 3, "symbols": 3}, "`decoder` ctc"),
        ({"layers": 2}, "echo-state takes one layer"),
        ({"spectral_radius": 0.0}, "spectral radius must be from 0.01 to 10"),
        ({"spectral_radius": math.nan}, "spectral radius must be from"),
        ({"leak": 0.0}, "leak must be from 0.001 to 1"),
        ({"leak": 1.5}, "leak must be from 0.001 to 1"),
        ({"cell": "leaky", "leak": 0.5}, "`leak` is for the cell echo-state, not for leaky"),
        ({"cell": "lstm", "spectral_radius": 0.9}, "`spectral_radius` is for the cell echo-state"),
    ],
    ids=str,
)
def test_what_a_reservoir_cannot_be_is_refused(more, words):
    with pytest.raises(UsageError, match=words):
        ModelConfig(30, **{"cell": "echo-state", "layers": 1, **more})


def test_weights_that_are_trained_are_counted_for_plans_and_told():
    config = config_of(ECHO, 1, 50)
    assert trained_weight_count(config) == recurrent_weight_count(config) == 51 * 11
    assert weight_count(config) == 51 * 11 + 50 * (11 + CONNECTIONS + 3)
    assert weights(config) == "1,761 (561 trained)"
    model = dataclasses.replace(with_biases("abcdefgh"), config=config,
                                tensors=_echo_state(50, np.float32).parameters)  # fmt: skip
    assert describe(model)["trained_weights"] == 561
    assert "trained_weights" not in describe(with_biases("a"))
    assert architecture(config) == "echo-state 1×50, spectral radius 0.9"
    small, large = (suited_shape(config, TrainingConfig(), n).hidden_size for n in (400, 10**6))
    assert small < large == 1024


def test_a_comparison_gives_reservoirs_alone_what_is_for_them():
    named, training = [{"cell": "elman"}, {"cell": "echo-state"}], TrainingConfig(steps=1)
    shape = {"layers": 1, "hidden_size": 8, "spectral_radius": None, "leak": 0.5}
    trials = compare([str(DINOSAURS)], named, TextConfig(lines=True), training, **shape)
    assert [trial.trainer.network.config.leak for trial in trials] == [None, 0.5]
    with pytest.raises(UsageError, match="`leak` is for the cell echo-state"):
        next(compare([str(DINOSAURS)], named[:1], TextConfig(lines=True), training, **shape))
