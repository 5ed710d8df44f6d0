"""Gradients of the last loss for earlier states, and their norms on a text, for every cell."""

import dataclasses
import json
import warnings

import gradcheck
import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import (
    assert_same_bits,
    config_of,
    every_cell,
    memory_sizes,
    part_of,
    random_batch,
    random_network,
    random_state,
    size_for,
)
from trained import with_biases

from charrnn.cells import CELLS
from charrnn.errors import UsageError
from charrnn.network.layers import next_character
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel
from charrnn.studies import gradients
from charrnn.studies.gradients import Curve, choose_places, figures, measure, untrained
from charrnn.text.batch import Batch
from charrnn.text.corpus import Corpus, read_corpus
from charrnn.text.vocabulary import START, UNKNOWN, Vocabulary
from charrnn.training.setup import create_trainer

#: Where h is no memory itself it acts by other ways, which the nudged twin sees.
every_cell_with_memory = pytest.mark.parametrize(
    "cell", [cell for cell in CELLS if "h" in memory_sizes(config_of(cell))], ids="-".join
)

TEXT = "the quick brown fox jumps over the lazy dog, and the dog does not mind. " * 4
NAMES = "".join(f"{TEXT[n : n + 4 + n % 13].strip()}\n" for n in range(0, 200, 7))


def _step(cell):
    """The finite step: smaller where the activation has kinks that it could cross.

    Not smaller still: gradients that went far back are small beside the losses' rounding.
    """
    return 1e-5 if "relu" in cell else 1e-4


# The derivative


@every_cell
@pytest.mark.parametrize("layers", [1, 3], ids=lambda n: f"layers{n}")
def test_state_gradients_are_those_of_the_nudged_twin(cell, layers):
    """A nudge reaches the layer above at the same step, and what is behind the next reset not."""
    config = config_of(cell, layers, embedding_size=5)
    network = random_network(config, threads=2)
    batch, state = random_batch(config, 8, 3, resets=False), random_state(network, 3)
    batch.resets[3, 1] = 1
    found = network.state_gradients(batch, state)
    assert found.shape == (8, config.layers, 3, config.hidden_size)
    assert np.all(found[:3, :, 1] == 0)

    def last_losses(nudges):
        losses, _ = naive.forward(config, network.parameters, batch, state, nudges)
        return losses[-1]

    rng, zeros = np.random.default_rng(4), np.zeros_like(found)
    for part in [(t, layer) for t in range(8) for layer in range(config.layers)]:
        error = gradcheck.relative_error(
            last_losses, zeros, found, rng=rng, step=_step(cell), part=part
        )
        # What went far back may be so small that the losses' rounding shows, 1e-16 over the step.
        assert error < 1e-7 or error * np.linalg.norm(found[part]) < 5e-10, part


@every_cell_with_memory
@pytest.mark.parametrize("layers", [1, 2], ids=lambda n: f"layers{n}")
def test_the_top_layers_gradients_are_those_of_a_text_cut_in_two(cell, layers):
    """What the top layer hands on reaches later losses through its own next step alone."""
    config = config_of(cell, layers)
    network = random_network(config)
    batch, state = random_batch(config, 7, 3, resets=False), random_state(network, 3)
    found, size = network.state_gradients(batch, state)[:, -1], config.hidden_size
    for t in range(6):
        _, between = network.losses(part_of(batch, slice(t + 1)), state)

        def last_losses(hidden, between=between, t=t):
            changed = between.copy()
            changed[-1, 0, :, :size] = hidden
            return network.losses(part_of(batch, slice(t + 1, None)), changed)[0][-1]

        hidden, rng = between[-1, 0, :, :size].copy(), np.random.default_rng(t)
        error = gradcheck.relative_error(last_losses, hidden, found[t], rng=rng, step=_step(cell))
        assert error < 1e-7, t


@pytest.mark.parametrize("lanes", [1, 13, 50, 64])
def test_the_last_step_may_lie_in_several_blocks_of_logits(monkeypatch, lanes):
    """Blocks of 64 rows: with 50 lanes the last step's rows 150 … 200 are in two of them."""
    config = config_of(next(iter(CELLS)), 2, hidden_size=20, vocabulary_size=130)
    results = []
    for size in (next_character._LOGIT_BYTES, 1):
        monkeypatch.setattr(next_character, "_LOGIT_BYTES", size)
        network = random_network(config, threads=2)
        batch, state = random_batch(config, 4, lanes), random_state(network, lanes)
        network.loss_and_gradients(batch, state)  # what it leaves in the buffers does not matter
        results.append(network.state_gradients(batch, state))
    assert_same_bits(results[1], results[0])
    assert np.abs(results[0][-1]).min() > 0


# Where it is measured


def _tokens(lengths):
    """Documents of these numbers of characters."""
    return np.concatenate([*([START] + [5] * n for n in lengths), [START]]).astype(np.uint8)


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 60), st.integers(1, 40)
)
def test_places_are_as_deep_as_can_be_and_spread_evenly(lengths, count, steps_back):
    tokens = _tokens(lengths)
    places = choose_places(tokens, count, steps_back)
    depth_of = np.concatenate([np.arange(n + 1) for n in lengths])
    assert places.positions.size == min(count, depth_of.size)
    np.testing.assert_array_equal(places.depths, depth_of[places.positions])
    shallowest = np.sort(depth_of)[::-1][: places.positions.size].min()
    assert places.depths.min() >= min(shallowest, steps_back)
    assert places.steps == min(steps_back, places.depths.max())
    qualified = np.flatnonzero(depth_of >= min(shallowest, steps_back))
    apart = np.diff(np.searchsorted(qualified, places.positions))
    assert np.all(apart > 0) and (apart.size == 0 or np.ptp(apart) <= 1)


def test_counts_are_of_the_positions_that_reach_back_so_far():
    places = choose_places(_tokens([3, 1]), 100, 9)
    assert places.depths.tolist() == [0, 1, 2, 3, 0, 1]
    assert (places.steps, places.counts.tolist()) == (3, [6, 4, 2, 1])


# The norms on a text


def _corpus(tmp_path, text, **options) -> Corpus:
    path = tmp_path / "text"
    path.write_text(text, encoding="utf-8")
    return read_corpus([path], **options)


def _untrained(corpus, cell=None, **more):
    name, activation = cell or next(iter(CELLS))
    shape = {"layers": 2, "hidden_size": size_for((name, activation), 9, corpus.vocabulary.size)}
    shape |= more
    return untrained(corpus.vocabulary, seed=1, cell=name, activation=activation, **shape)


def _slow_norms(saved, corpus, places):
    """Each position by itself, its document read from the start."""
    network = Network(saved.config, threads=1, dtype=np.float64)
    network.prepare_training()
    network.load(saved.tensors)
    sums = np.zeros(places.steps + 1)
    for position, depth in zip(places.positions, places.depths, strict=True):
        text = np.append(corpus.tokens[position - depth : position + 1], 3)[:, np.newaxis]
        targets = np.append(text[1:-1, 0], corpus.tokens[position + 1]).astype(np.int32)
        targets[targets == START] = 1
        resets = np.zeros((depth + 1, 1), np.uint8)
        resets[0] = 1
        batch = Batch(text[:-1].astype(np.int32), targets[:, np.newaxis], resets)
        found = network.state_gradients(batch, network.initial_state(1))
        norms = np.sqrt((found**2).sum(axis=(1, 2, 3)))[::-1]
        sums[: depth + 1] += norms[: places.steps + 1]
    return sums / places.counts


@every_cell
@pytest.mark.parametrize("lines", [False, True], ids=["text", "names"])
def test_norms_are_means_over_the_positions_that_reach_back(tmp_path, cell, lines):
    corpus = _corpus(tmp_path, NAMES if lines else TEXT, lines=lines)
    places = choose_places(corpus.tokens, 40, 30)
    saved = _untrained(corpus, cell)
    found = measure(saved, corpus, places, threads=2)
    assert found.shape == (places.steps + 1,) and places.steps == (16 if lines else 30)
    np.testing.assert_allclose(found, _slow_norms(saved, corpus, places), rtol=1e-9)
    assert np.all(found > 0)


def test_groups_and_threads_do_not_matter(tmp_path, monkeypatch):
    corpus = _corpus(tmp_path, TEXT)
    places, saved = choose_places(corpus.tokens, 40, 30), _untrained(corpus)
    expected = measure(saved, corpus, places, threads=1)
    for rows in (1, 100, 10**6):
        monkeypatch.setattr(gradients, "_ROWS", rows)
        found = measure(saved, corpus, places, threads=2)
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_a_model_reads_the_text_with_its_own_vocabulary(tmp_path):
    corpus = _corpus(tmp_path, TEXT)
    vocabulary = Vocabulary("zyxwvutsrqponmlkjihgfe \u4e00")  # no a, b, c, d
    saved = untrained(vocabulary, seed=2, layers=1, hidden_size=5)
    own = read_corpus([tmp_path / "text"], vocabulary=vocabulary)
    assert UNKNOWN in own.tokens
    places = choose_places(corpus.tokens, 40, 30)
    assert_same_bits(measure(saved, corpus, places), measure(saved, own, places))


@every_cell
def test_scale_multiplies_the_recurrent_weights(tmp_path, cell):
    corpus = _corpus(tmp_path, TEXT)
    places, saved = choose_places(corpus.tokens, 20, 20), _untrained(corpus, cell)
    factors = {name: 2 if "weight_hh" in name else 1 for name in saved.tensors}
    tensors = {name: tensor * factors[name] for name, tensor in saved.tensors.items()}
    scaled = measure(saved, corpus, places, scale=2)
    assert_same_bits(scaled, measure(dataclasses.replace(saved, tensors=tensors), corpus, places))
    assert np.all(scaled[10:] > measure(saved, corpus, places)[10:])


def test_no_recurrent_weights_no_gradient_through_time(tmp_path):
    corpus = _corpus(tmp_path, TEXT)
    cell = next(key for key in CELLS if "relu" in key)
    places = choose_places(corpus.tokens, 20, 20)
    norms = measure(_untrained(corpus, cell, layers=1), corpus, places, scale=0)
    assert norms[0] > 0 and np.all(norms[1:] == 0)


@pytest.mark.parametrize("scale", [-1, np.nan, np.inf])
def test_a_scale_out_of_range_is_refused(tmp_path, scale):
    corpus = _corpus(tmp_path, TEXT)
    places = choose_places(corpus.tokens, 20, 20)
    with pytest.raises(UsageError, match="scale"):
        measure(_untrained(corpus), corpus, places, scale=scale)


@every_cell
@pytest.mark.parametrize("scale", [1e30, 1e300])
def test_overflow_is_no_warning_and_no_crash(tmp_path, cell, scale):
    corpus = _corpus(tmp_path, TEXT)
    places, saved = choose_places(corpus.tokens, 20, 20), _untrained(corpus, cell)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        norms = measure(saved, corpus, places, scale=scale)
        curve = Curve(saved, None, norms)
        written = json.dumps(figures([curve], places), allow_nan=False)
    assert not np.isnan(norms).any()
    if "relu" in cell and "h" in memory_sizes(saved.config):  # a softmax in the loop is bounded
        assert np.isinf(norms[-1]) and curve.explodes_at is not None
        assert json.loads(written)["curves"][0]["norms"][-1] is None


def test_lengths_stay_in_range():
    values = np.zeros((5, 2, 1, 2))
    values[0], values[1], values[2, 1, 0, 0], values[3] = 3e-200, 3e200, np.nan, np.inf
    with np.errstate(all="ignore"):
        found = gradients._lengths(values)[:, 0]
    np.testing.assert_allclose(found, [6e-200, 6e200, np.inf, np.inf, 0], rtol=1e-15)


def test_untrained_networks_are_those_that_training_begins_with(tmp_path):
    corpus = _corpus(tmp_path, TEXT)
    trainer = create_trainer([str(tmp_path / "text")], layers=2, hidden_size=9)
    for name, tensor in _untrained(corpus).tensors.items():
        assert_same_bits(tensor, trainer.network.parameters[name])


# What is told of them


def _curve(*norms) -> Curve:
    saved: SavedModel = with_biases("ab")
    return Curve(saved, None, np.array(norms, np.float64))


@pytest.mark.parametrize(
    ("norms", "expected"),
    [
        ([1, 10, 1000, 1001, 1], 3),
        ([1, 1000], None),
        ([2, 1, 0], None),
        ([1, np.inf, 1], 1),
        ([np.inf, np.inf], 0),
        ([0, 0], None),
        ([0, 1e-300], 1),
        ([1e306, 1e308], None),
        ([5], None),
    ],
)
def test_explosion_is_a_thousand_times_the_start(norms, expected):
    assert _curve(*norms).explodes_at == expected


def test_relative_norms():
    np.testing.assert_array_equal(_curve(4, 2, np.inf).relative, [1, 0.5, np.inf])
    assert np.isnan(_curve(0, 0).relative).all()
