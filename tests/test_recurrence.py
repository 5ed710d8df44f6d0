"""The time loop: carried states, resets, lanes, threads and dropout, for every cell."""

import numpy as np
import pytest
from samples import (
    assert_padding_is_nothing,
    assert_same_bits,
    config_of,
    every_variant,
    part_of,
    random_batch,
    random_network,
    random_state,
    variants,
)

from charrnn.cells import CELLS
from charrnn.compute import threads as threads_module
from charrnn.text.batch import Batch

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
embeddings = pytest.mark.parametrize("embedding", [0, 5], ids=lambda n: f"embedding{n}")


@every_variant
@dtypes
@pytest.mark.parametrize("chunks", [(1,) * 20, (13, 7)], ids=str)
def test_chunks_with_carried_state_are_one_long_pass(cell, more, dtype, chunks):
    config = config_of(cell, layers=2, embedding_size=5, **more)
    network = random_network(config, dtype=dtype)
    batch, state = random_batch(config, 20, 3), random_state(network, 3)
    losses, after = network.losses(batch, state)
    parts, start = [], 0
    for length in chunks:
        part, state = network.losses(part_of(batch, slice(start, start + length)), state)
        parts.append(part)
        start += length
    assert_same_bits(np.concatenate(parts), losses)
    assert_same_bits(state, after)


@variants("plain", "deep-readout", "learned-start")
def test_gradients_of_chunks_without_flow_between_them_are_the_whole_ones(cell, more):
    """Where a document starts in all lanes nothing flows back, so chunks may be cut there."""
    config = config_of(cell, layers=2, **more)
    network = random_network(config)
    batch = random_batch(config, 20, 3)
    batch.resets[8] = 1
    state, total = random_state(network, 3), 0
    network.loss_and_gradients(batch, state)
    gradients = network.gradients.copy()
    for steps in (slice(8), slice(8, None)):
        _, state = network.loss_and_gradients(part_of(batch, steps), state)
        total = total + network.gradients
    np.testing.assert_allclose(total, gradients, rtol=0, atol=1e-12)


@every_variant
@embeddings
def test_a_document_does_not_depend_on_what_stood_before_it(cell, more, embedding):
    config = config_of(cell, layers=2, embedding_size=embedding, **more)
    network = random_network(config, dtype=np.float32)
    batch = random_batch(config, 20, 4, resets=False)
    starts = np.array([0, 7, 12, 19])  # one document in each lane, from here to the end
    batch.resets[starts, np.arange(4)] = 1
    losses, after = network.losses(batch, random_state(network, 4))
    other = random_batch(config, 20, 4, resets=False, seed=99)
    before = np.arange(20)[:, None] < starts
    changed = Batch(
        np.where(before, other.inputs, batch.inputs),
        np.where(before, other.targets, batch.targets),
        batch.resets,
    )
    changed_losses, changed_after = network.losses(changed, random_state(network, 4, seed=98))
    assert_same_bits(changed_losses[~before], losses[~before])
    assert_same_bits(changed_after, after)
    assert np.all(changed_losses[before] != losses[before])

    for lane, start in enumerate(starts):
        alone = part_of(batch, slice(start, None), slice(lane, lane + 1))
        assert_same_bits(
            network.losses(alone, network.initial_state(1))[0][:, 0], losses[start:, lane]
        )


@every_variant
@dtypes
def test_a_lane_has_the_same_bits_in_any_batch(cell, more, dtype):
    config = config_of(cell, layers=2, hidden_size=37, embedding_size=5, **more)
    network = random_network(config, dtype=dtype)
    batch, state = random_batch(config, 5, 50), random_state(network, 50)
    losses, after = network.losses(batch, state)
    for lanes in (slice(0, 1), slice(1, 4), slice(17, 31), slice(49, 50)):
        some = np.ascontiguousarray(state[:, :, lanes])
        part, part_after = network.losses(part_of(batch, lanes=lanes), some)
        assert_same_bits(part, losses[:, lanes])
        assert_same_bits(part_after, after[:, :, lanes])


@every_variant
@pytest.mark.parametrize(
    ("embedding", "dtype", "lanes"),
    [(0, np.float32, 1), (5, np.float32, 3), (0, np.float64, 50)],
    ids=["1-lane", "3-lanes", "50-lanes"],
)
def test_any_number_of_threads_gives_the_same_bits(
    monkeypatch, cell, more, embedding, dtype, lanes
):
    """More threads than lanes, and than processors, too; from run to run as well."""
    monkeypatch.setattr(threads_module, "available_threads", lambda: 5)
    config = config_of(cell, 2, 37, embedding, vocabulary_size=37, **more)
    results = []
    for threads in (1, 1, 2, 5):
        network = random_network(config, dtype=dtype, threads=threads)
        assert network.team.threads == threads
        batch, state = random_batch(config, 5, lanes), random_state(network, lanes)
        losses, after = network.loss_and_gradients(batch, state, (0.3, 77))
        results.append((losses, after, network.gradients, network.initial_gradients))
    for other in results[1:]:
        for one, same in zip(results[0], other, strict=True):
            assert_same_bits(same, one)


@every_variant
def test_buffers_of_other_shapes_leave_no_trace(cell, more):
    config = config_of(cell, layers=2, **more)
    network = random_network(config, dtype=np.float32)
    shapes = [(5, 3), (3, 5), (7, 2), (5, 3)]
    first = {}
    for steps, lanes in shapes * 2:
        batch, state = random_batch(config, steps, lanes), random_state(network, lanes)
        kept = state.copy()
        losses, _ = network.loss_and_gradients(batch, state)
        result = losses, network.gradients.copy(), network.initial_gradients
        for one, same in zip(first.setdefault((steps, lanes), result), result, strict=True):
            assert_same_bits(same, one)
        assert_same_bits(state, kept)


@every_variant
@dtypes
def test_padded_columns_of_states_stay_empty(cell, more, dtype):
    config = config_of(cell, layers=3, hidden_size=7, **more)
    network = random_network(config, dtype=dtype)
    batch, state = random_batch(config, 20, 3), random_state(network, 3)
    for after in network.losses(batch, state)[1], network.loss_and_gradients(batch, state)[1]:
        assert_padding_is_nothing(network, after)
        assert np.all(after[..., :7].std(axis=-1) > 0)


# --- dropout -----------------------------------------------------------------------------------

SIZE = 20


def _kept(rate, key, layers=1, shape=(20, 50)):
    """Which outputs of the topmost of ``layers`` layers are kept, [T, B, SIZE], and their values.

    All units are 1 in every layer, and the first logit is Σ 2^k·output of unit k while the
    others are zero: the difference of two targets' losses is that sum, and it is read bit by bit.
    """
    cell = next(key for key in CELLS if "relu" in key)
    config = config_of(cell, layers, hidden_size=SIZE)
    network = random_network(config)
    network.values[:] = 0
    tensors = network.parameters
    tensors["rnn.bias_ih_l0"][:] = 1
    for layer in range(1, layers):
        tensors[f"rnn.weight_ih_l{layer}"][:] = np.eye(SIZE)
    tensors["readout.weight"][0] = 2.0 ** np.arange(SIZE) * (1 - rate) ** layers
    network.pack()
    zeros, ones = np.zeros(shape, np.int32), np.ones(shape, np.int32)
    resets = np.zeros(shape, np.uint8)
    losses = [
        network.loss_and_gradients(
            Batch(zeros, targets, resets), network.initial_state(shape[1]), (rate, key)
        )[0]
        for targets in (ones, zeros)
    ]
    sums = losses[0] - losses[1]
    np.testing.assert_allclose(sums, np.rint(sums), rtol=0, atol=1e-6)
    return np.rint(sums).astype(np.int64)[..., None] >> np.arange(SIZE) & 1


def _masks(rate, key, layers=1, lanes=1000):
    """The mask of each lane [B, SIZE], after a look that it is the same in all steps."""
    kept = _kept(rate, key, layers, (3, lanes))
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[0], kept.shape))
    return kept[0]


def _assert_share(values, expected):
    """The mean of independent bits is within five standard deviations of what is expected."""
    assert abs(values.mean() - expected) < 5 * np.sqrt(expected * (1 - expected) / values.size)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("key", [0, 1, 2**32 - 1])
def test_dropout_drops_its_share_and_scales_the_rest(rate, key):
    """That sums are whole numbers says that what is kept was divided by 1 - rate."""
    kept = _masks(rate, key)
    _assert_share(kept, 1 - rate)
    for axis in (0, 1):  # no unit and no lane stands out
        means = kept.mean(axis=axis)
        deviation = np.sqrt(rate * (1 - rate) * means.size / kept.size)
        assert np.abs(means - (1 - rate)).max() < 5 * deviation
    _assert_share(kept[1:] & kept[:-1], (1 - rate) ** 2)
    _assert_share(kept[:, 1:] & kept[:, :-1], (1 - rate) ** 2)


@pytest.mark.parametrize("steps", [1, 2, 40])
def test_masks_are_the_same_in_all_steps_of_a_chunk(steps):
    """However many there are; the mask of a lane does not depend on how many lanes there are."""
    for kept in _kept(0.5, 7, shape=(steps, 50)):
        np.testing.assert_array_equal(kept, _masks(0.5, 7)[:50])


def test_masks_depend_on_the_key_and_on_nothing_else():
    np.testing.assert_array_equal(_masks(0.5, 7), _masks(0.5, 7))
    for other in (8, 7 + 2**16, 7 ^ 2**31):
        _assert_share(_masks(0.5, 7) == _masks(0.5, other), 0.5)


def test_layers_drop_independently():
    _assert_share(_masks(0.3, 5, layers=2), 0.7**2)
    _assert_share(_masks(0.3, 5, layers=3), 0.7**3)


@every_variant
def test_a_key_alone_drops_nothing(cell, more):
    config = config_of(cell, layers=2, **more)
    network = random_network(config, dtype=np.float32)
    batch, state = random_batch(config, 5, 3, resets=False), random_state(network, 3)
    losses, _ = network.losses(batch, state)
    assert_same_bits(network.loss_and_gradients(batch, state, (0.0, 123))[0], losses)
    dropped, _ = network.loss_and_gradients(batch, state, (0.5, 123))
    assert np.all(dropped != losses)


@every_variant
def test_dropout_does_not_touch_the_recurrent_path(cell, more):
    config = config_of(cell, layers=1, **more)
    network = random_network(config, dtype=np.float32)
    batch, state = random_batch(config, 20, 3), random_state(network, 3)
    _, after = network.loss_and_gradients(batch, state, (0.0, 123))
    assert_same_bits(network.loss_and_gradients(batch, state, (0.5, 123))[1], after)
