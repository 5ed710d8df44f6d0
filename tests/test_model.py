"""The network against its twin, and its gradients against central differences, for every cell."""

import gradcheck
import naive
import numpy as np
import pytest
from samples import (
    assert_same_bits,
    config_of,
    every_cell,
    random_batch,
    random_network,
    random_state,
)

from charrnn import model
from charrnn.cells import CELLS
from charrnn.model import Network
from charrnn.parameters import views

layers = pytest.mark.parametrize("layers", [1, 3], ids=lambda n: f"layers{n}")
lengths = pytest.mark.parametrize("steps", [1, 3, 20], ids=lambda n: f"steps{n}")
embeddings = pytest.mark.parametrize("embedding", [0, 5], ids=lambda n: f"embedding{n}")


def _step(cell):
    """The finite step: tiny where the activation has kinks that a larger one could cross."""
    return 1e-6 if "relu" in cell else 1e-4


def _assert_equals_the_twin(config, dtype, steps, lanes, tolerance):
    network = random_network(config, dtype=dtype, threads=2)
    batch, state = random_batch(config, steps, lanes), random_state(network, lanes)
    losses, after = network.losses(batch, state)
    size = config.hidden_size
    exact, exact_after = naive.forward(config, network.parameters, batch, state[..., :size])
    np.testing.assert_allclose(losses, exact, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(after[..., :size], exact_after, rtol=0, atol=tolerance)


@every_cell
@pytest.mark.parametrize("size", [1, 7, 100, 130])
@pytest.mark.parametrize(("lanes", "steps"), [(1, 20), (3, 5), (50, 3), (50, 1)])
def test_losses_and_states_equal_the_twin(cell, size, lanes, steps):
    """Both kinds of input and one layer or three, in all combinations over the sizes."""
    config = config_of(
        cell,
        layers=3 if lanes == 3 else 1,
        hidden_size=size,
        embedding_size=5 if size in (7, 130) else 0,
        vocabulary_size=11 if size < 100 else 37,
    )
    _assert_equals_the_twin(config, np.float64, steps, lanes, 1e-12)


@every_cell
@embeddings
def test_float32_differs_from_the_twin_by_rounding_only(cell, embedding):
    config = config_of(cell, layers=2, hidden_size=100, embedding_size=embedding)
    _assert_equals_the_twin(config, np.float32, 20, 5, 1e-5)


@every_cell
@layers
@lengths
@embeddings
def test_gradients_are_those_of_central_differences(cell, layers, steps, embedding):
    config = config_of(cell, layers, embedding_size=embedding)
    network = random_network(config)
    batch, state = random_batch(config, steps, lanes=3), random_state(network, 3)
    network.loss_and_gradients(batch, state)
    gradient, values = network.gradients.copy(), network.values.copy()

    def losses(changed):
        network.values[:] = changed
        network.pack()
        return network.losses(batch, state)[0]

    shapes = {name: t.shape for name, t in network.parameters.items()}
    rng, step = np.random.default_rng(7), _step(cell)
    errors = gradcheck.errors_per_tensor(losses, values, gradient, shapes, rng=rng, step=step)
    assert max(errors.values()) < 1e-7, errors
    assert (
        max(gradcheck.errors_along_directions(losses, values, gradient, rng=rng, step=step)) < 1e-7
    )


@every_cell
@layers
@lengths
def test_gradient_of_the_initial_state_is_that_of_central_differences(cell, layers, steps):
    config = config_of(cell, layers)
    network = random_network(config)
    batch, state = random_batch(config, steps, lanes=3), random_state(network, 3)
    network.loss_and_gradients(batch, state)
    gradient, size = network.initial_gradients, config.hidden_size
    assert gradient.shape == state.shape
    assert np.all(gradient[..., size:] == 0)
    assert np.all(gradient[:, :, batch.resets[0] != 0] == 0)

    def losses(changed):
        padded = np.zeros_like(state)
        padded[..., :size] = changed
        return network.losses(batch, padded)[0]

    rng, values = np.random.default_rng(8), np.ascontiguousarray(state[..., :size])
    kinds = [(layer, s) for layer in range(layers) for s in range(state.shape[1])]
    for part in (slice(None), *kinds):
        error = gradcheck.relative_error(
            losses, values, gradient[..., :size], rng=rng, step=_step(cell), part=part
        )
        assert error < 1e-7, part


@every_cell
@layers
@embeddings
def test_gradients_under_dropout_are_those_of_its_masks(cell, layers, embedding):
    config = config_of(cell, layers, embedding_size=embedding)
    network = random_network(config)
    batch, state = random_batch(config, 20, lanes=3), random_state(network, 3)
    dropout = 0.4, 12345
    network.loss_and_gradients(batch, state, dropout)
    gradient, values = network.gradients.copy(), network.values.copy()

    def losses(changed):
        network.values[:] = changed
        network.pack()
        return network.loss_and_gradients(batch, state, dropout)[0]

    rng = np.random.default_rng(9)
    errors = gradcheck.errors_along_directions(losses, values, gradient, rng=rng, step=_step(cell))
    assert max(errors) < 1e-7


@every_cell
def test_both_passes_give_the_same_losses_and_states(cell):
    config = config_of(cell, layers=2)
    network = random_network(config, dtype=np.float32)
    batch, state = random_batch(config, 20, 3), random_state(network, 3)
    losses, after = network.losses(batch, state)
    trained, trained_after = network.loss_and_gradients(batch, state)
    assert_same_bits(trained, losses)
    assert_same_bits(trained_after, after)


@embeddings
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_blocks_of_logits_make_one_sum(monkeypatch, dtype, embedding):
    """A large vocabulary is read out in blocks of rows: 260 rows in blocks of 64 here."""
    config = config_of(
        next(iter(CELLS)), hidden_size=20, embedding_size=embedding, vocabulary_size=130
    )
    results = []
    for size in (model._LOGIT_BYTES, 1):
        monkeypatch.setattr(model, "_LOGIT_BYTES", size)
        network = random_network(config, dtype=dtype, threads=2)
        batch, state = random_batch(config, 20, 13), random_state(network, 13)
        losses, after = network.losses(batch, state)
        assert_same_bits(network.loss_and_gradients(batch, state)[0], losses)
        results.append((losses, after, network.gradients.copy()))
        blocks = list(next(iter(network._runs.values())).row_blocks())
        assert blocks[0] == (0, 260 if size > 1 else 64)
    (losses, after, gradients), (in_blocks, after_blocks, block_gradients) = results
    assert_same_bits(in_blocks, losses)
    assert_same_bits(after_blocks, after)
    np.testing.assert_allclose(
        block_gradients, gradients, rtol=0, atol=20 * np.finfo(dtype).eps * np.abs(gradients).max()
    )


@embeddings
def test_a_character_that_never_occurs_has_no_input_gradient(embedding):
    config = config_of(next(iter(CELLS)), embedding_size=embedding)
    network = random_network(config)
    batch = random_batch(config, 20, 3)
    batch.inputs[batch.inputs == 4] = 5
    network.loss_and_gradients(batch, random_state(network, 3))
    gradients = views(network.gradients, config)
    by_character = gradients["embedding.weight"] if embedding else gradients["rnn.weight_ih_l0"].T
    present = np.isin(np.arange(config.vocabulary_size), batch.inputs)
    assert np.all(by_character[~present] == 0)
    assert np.all(np.abs(by_character[present]).max(axis=1) > 0)


@every_cell
def test_loaded_tensors_make_the_same_network(cell):
    config = config_of(cell, layers=2, embedding_size=5)
    network, other = random_network(config, dtype=np.float32), Network(config)
    other.load({name: tensor.copy() for name, tensor in network.parameters.items()})
    batch = random_batch(config, 5, 3)
    state = random_state(network, 3)
    assert_same_bits(other.losses(batch, state)[0], network.losses(batch, state)[0])


def test_a_changed_weight_counts_once_it_is_packed():
    config = config_of(next(iter(CELLS)))
    network = random_network(config)
    batch = random_batch(config, 5, 3)
    state = random_state(network, 3)
    for parameter in network.parameters.values():
        before = network.losses(batch, state)[0]
        parameter += 0.25 * np.arange(parameter.size).reshape(parameter.shape) % 1
        network.pack()
        losses = network.losses(batch, state)[0]
        exact, _ = naive.forward(
            config, network.parameters, batch, state[..., : config.hidden_size]
        )
        assert np.abs(losses - before).max() > 1e-3
        np.testing.assert_allclose(losses, exact, rtol=0, atol=1e-12)


def test_a_weight_that_is_no_number_makes_losses_that_are_none():
    """The training loop sees by the losses that a run has diverged: nothing may hide a NaN."""
    for cell in CELLS:
        network = random_network(config_of(cell, layers=2), dtype=np.float32)
        network.parameters["rnn.weight_hh_l0"][0, 0] = np.nan
        network.pack()
        batch = random_batch(network.config, 3, 2, resets=False)
        losses, _ = network.loss_and_gradients(batch, random_state(network, 2))
        assert np.isnan(losses).all()
        assert np.isnan(network.gradients).any()
