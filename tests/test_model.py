"""The network against its twin, and its gradients against central differences, for every cell."""

import gradcheck
import naive
import numpy as np
import pytest
from samples import (
    assert_same_bits,
    config_of,
    every_cell,
    every_trained_variant,
    every_variant,
    memory_sizes,
    random_batch,
    random_network,
    random_state,
    variants,
)

from charrnn.cells import CELLS
from charrnn.network.layers import next_character
from charrnn.network.network import Network

embeddings = pytest.mark.parametrize("embedding", [0, 5], ids=lambda n: f"embedding{n}")

#: Layers, steps and embedding size of networks whose gradients are checked.
depths = pytest.mark.parametrize(
    ("layers", "steps", "embedding"), [(1, 1, 5), (1, 20, 0), (3, 3, 0), (3, 20, 5)]
)

#: Of what is random in training: no dropout, and a key.
NO_DROPOUT = 0.0, 54321


def _step(cell):
    """The finite step: tiny where the activation has kinks that a larger one could cross."""
    return 1e-6 if "relu" in cell else 1e-4


def _assert_equals_the_twin(config, dtype, steps, lanes, tolerance):
    network = random_network(config, dtype=dtype, threads=2)
    batch, state = random_batch(config, steps, lanes), random_state(network, lanes)
    losses, after = network.losses(batch, state)
    exact, exact_after = naive.forward(config, network.parameters, batch, state)
    np.testing.assert_allclose(losses, exact, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(after, exact_after, rtol=0, atol=tolerance)


@every_variant
@pytest.mark.parametrize(
    ("lanes", "steps", "layers", "size", "embedding", "vocabulary"),
    [
        (1, 20, 1, 1, 0, 11),
        (3, 5, 3, 7, 5, 11),
        (50, 3, 1, 100, 0, 37),
        (3, 20, 2, 130, 5, 37),
        (50, 1, 1, 7, 0, 130),
    ],
)
def test_losses_and_states_equal_the_twin(
    cell, more, lanes, steps, layers, size, embedding, vocabulary
):
    config = config_of(cell, layers, size, embedding, vocabulary, **more)
    _assert_equals_the_twin(config, np.float64, steps, lanes, 1e-12)


@every_variant
@embeddings
def test_float32_differs_from_the_twin_by_rounding_only(cell, more, embedding):
    config = config_of(cell, layers=2, hidden_size=100, embedding_size=embedding, **more)
    _assert_equals_the_twin(config, np.float32, 20, 5, 1e-5)


def _losses_by_values(network, batch, state, dropout):
    """Losses of a training pass as a function of the parameters."""

    def losses(values):
        network.values[:] = values
        network.pack()
        return network.loss_and_gradients(batch, state, dropout)[0]

    return losses


@every_trained_variant
@depths
def test_gradients_are_those_of_central_differences(cell, more, layers, steps, embedding):
    config = config_of(cell, layers, embedding_size=embedding, **more)
    network = random_network(config)
    batch, state = random_batch(config, steps, lanes=3), random_state(network, 3)
    network.loss_and_gradients(batch, state, NO_DROPOUT)
    gradient, values = network.gradients.copy(), network.values.copy()
    losses = _losses_by_values(network, batch, state, NO_DROPOUT)

    shapes = {name: t.shape for name, t in network.parameters.items()}
    rng, step = np.random.default_rng(7), _step(cell)
    errors = gradcheck.errors_per_tensor(losses, values, gradient, shapes, rng=rng, step=step)
    assert max(errors.values()) < 1e-7, errors
    errors = gradcheck.errors_along_directions(losses, values, gradient, rng=rng, step=step)
    assert max(errors) < 1e-7


@every_trained_variant
@depths
def test_gradient_of_the_initial_state_is_that_of_central_differences(
    cell, more, layers, steps, embedding
):
    """Of what is memory; all else has none."""
    config = config_of(cell, layers, embedding_size=embedding, **more)
    network = random_network(config)
    batch, state = random_batch(config, steps, lanes=3), random_state(network, 3)
    network.loss_and_gradients(batch, state, NO_DROPOUT)
    gradient = network.initial_gradients
    assert gradient.shape == state.shape
    assert np.all(gradient[:, :, batch.resets[0] != 0] == 0)

    def losses(changed):
        return network.loss_and_gradients(batch, changed, NO_DROPOUT)[0]

    rng, names = np.random.default_rng(8), network.recurrent_layers[0].cell.states
    elsewhere = gradient.copy()
    for name, size in memory_sizes(config).items():
        for layer in range(config.layers):
            part = layer, names.index(name), slice(None), slice(size)
            error = gradcheck.relative_error(
                losses, state, gradient, rng=rng, step=_step(cell), part=part
            )
            assert error < 1e-7, part
        elsewhere[:, names.index(name), :, :size] = 0
    assert np.all(elsewhere == 0)


@every_trained_variant
@embeddings
def test_gradients_under_dropout_are_those_of_its_masks(cell, more, embedding):
    config = config_of(cell, 2, embedding_size=embedding, **more)
    network = random_network(config)
    batch, state = random_batch(config, 20, lanes=3), random_state(network, 3)
    dropout = 0.4, 12345
    network.loss_and_gradients(batch, state, dropout)
    gradient, values = network.gradients.copy(), network.values.copy()
    losses = _losses_by_values(network, batch, state, dropout)
    rng = np.random.default_rng(9)
    errors = gradcheck.errors_along_directions(losses, values, gradient, rng=rng, step=_step(cell))
    assert max(errors) < 1e-7


@variants("plain", "deep-readout", "learned-start")
def test_both_passes_give_the_same_losses_and_states(cell, more):
    config = config_of(cell, layers=2, **more)
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
    for size in (next_character._LOGIT_BYTES, 1):
        monkeypatch.setattr(next_character, "_LOGIT_BYTES", size)
        network = random_network(config, dtype=dtype, threads=2)
        batch, state = random_batch(config, 20, 13), random_state(network, 13)
        losses, after = network.losses(batch, state)
        assert_same_bits(network.loss_and_gradients(batch, state)[0], losses)
        results.append((losses, after, network.gradients.copy()))
        blocks = list(next(iter(network._runs.values())).head.blocks())
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
    gradients = network.views(network.gradients)
    by_character = gradients["embedding.weight"] if embedding else gradients["rnn.weight_ih_l0"].T
    present = np.isin(np.arange(config.vocabulary_size), batch.inputs)
    assert np.all(by_character[~present] == 0)
    assert np.all(np.abs(by_character[present]).max(axis=1) > 0)


@every_variant
def test_loaded_tensors_make_the_same_network(cell, more):
    config = config_of(cell, layers=2, embedding_size=5, **more)
    network, other = random_network(config, dtype=np.float32), Network(config)
    other.load({name: tensor.copy() for name, tensor in network.parameters.items()})
    batch = random_batch(config, 5, 3)
    state = random_state(network, 3)
    assert_same_bits(other.losses(batch, state)[0], network.losses(batch, state)[0])


@every_variant
def test_a_changed_weight_counts_once_it_is_packed(cell, more):
    network = random_network(config_of(cell, **more))
    batch = random_batch(network.config, 5, 3)
    state = random_state(network, 3)
    for name, parameter in network.parameters.items():
        before = network.losses(batch, state)[0]
        parameter += 0.25 * np.arange(parameter.size).reshape(parameter.shape) % 1
        network.pack()
        losses = network.losses(batch, state)[0]
        exact, _ = naive.forward(network.config, network.parameters, batch, state)
        assert np.abs(losses - before).max() > 1e-3, name
        np.testing.assert_allclose(losses, exact, rtol=0, atol=1e-12)


@every_cell
def test_a_weight_that_is_no_number_makes_losses_that_are_none(cell):
    """The training loop sees by the losses that a run has diverged: nothing may hide a NaN."""
    network = random_network(config_of(cell, layers=2), dtype=np.float32)
    network.parameters["rnn.weight_hh_l0"][..., 0, 0] = np.nan
    network.pack()
    batch = random_batch(network.config, 3, 2, resets=False)
    losses, _ = network.loss_and_gradients(batch, random_state(network, 2))
    assert np.isnan(losses).all()
    assert np.isnan(network.gradients).any()
