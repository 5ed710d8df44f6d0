"""What sets the cells of the family apart, by what their papers say rather than by their twins."""

import numpy as np
from samples import config_of, random_batch, random_network

from charrnn.network.graph import build
from charrnn.studies.activity import Silencer
from charrnn.text.batch import Batch
from charrnn.text.running import RunningText
from charrnn.training.evaluation import loss_of

CLOCKWORK, FULLY = ("clockwork", "tanh"), ("fully-recurrent", "tanh")


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
