"""Networks that read one text and write another: losses and gradients beside readable twins."""

import itertools
import math

import naive
import numpy as np
import pytest
from gradcheck import errors_per_tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.cells import CELLS
from charrnn.compute import ctc
from charrnn.config import ModelConfig
from charrnn.network.network import Network
from charrnn.network.parameters import parameter_shapes
from charrnn.text.pairs import Pairs, Sides
from charrnn.text.vocabulary import END, START
from charrnn.training.speed import _typical_batch, characters_a_second

SIDES = [([3, 4, 5], [6, 6]), ([7], [5, 4, 3, 4]), ([8, 9, 10, 3, 3], []), ([4, 4], [3, 5, 6])]
STACKING = [own for own, cell in CELLS.items() if cell.most_layers > 1]


def _config(decoder="attention", cell=("lstm", "tanh"), **shape):
    name, activation = cell
    return ModelConfig(
        vocabulary_size=9, cell=name, activation=activation, task="pairs", classes=6, symbols=4,
        decoder=decoder, **{"layers": 2, "hidden_size": 5, **shape},
    )  # fmt: skip


def _network(config, *, dtype=np.float64, threads=1, seed=1):
    network = Network(config, dtype=dtype, threads=threads)
    rng = np.random.default_rng(seed)
    network.initialize(rng=rng)
    used = sum(int(np.prod(shape)) for shape in parameter_shapes(config).values())
    network.values[:used] += 0.2 * rng.standard_normal(used)
    network.pack()
    network.prepare_training()
    return network


def _batch(sides=SIDES, *, lanes=2, length=12, aligned=False):
    left, right = zip(*sides, strict=True)
    left = Sides.of(left).repeated(5 if aligned else 1)
    ((batch, documents),) = Pairs.of(left, Sides.of(right), aligned=aligned).chunks(
        lanes, 5 * length if aligned else length
    )
    return batch, documents


def _losses(network, batch):
    return network.losses(batch, network.initial_state(batch.inputs.shape[1]))[0]


# Beside a twin


def _layer(weights, names, xs, symbols, step, state):
    """Outputs of a recurrent layer over a sequence of symbols, and its last state."""
    ih, hh, *biases = (
        weights[names.format(own)] for own in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    ys = []
    for x, symbol in zip(xs, symbols, strict=True):
        state = step(x, state, ih, hh[symbol] if hh.ndim == 3 else hh, *biases)
        ys.append(state[0])
    return ys, state


def _before(config, weights, name, xs):
    """What the feed-forward layers before a recurrent one make of a sequence."""
    for number in range(config.dense_before):
        w, b = (weights[f"{name}.{number}.{own}"] for own in ("weight", "bias"))
        xs = [np.tanh(w @ x + b) for x in xs]
    return xs


def _answered(config, weights, left, right):
    """-log P of the symbols of a right side and of its end, one pair alone."""
    step = naive.STEPS[config.cell, config.activation]
    size, states = config.hidden_size, len(CELLS[config.cell, config.activation].states)
    zeros = tuple(np.zeros(size) for _ in range(states))
    ys = list(np.eye(config.vocabulary_size + config.classes - config.symbols)[left])
    for layer in range(config.layers):
        ys = _before(config, weights, f"reader.dense_l{layer}", ys)
        names = f"reader.{{}}_l{layer}"
        forwards, _ = _layer(weights, names, ys, left, step, zeros)
        names += "_reverse"
        backwards, _ = _layer(weights, names, ys[::-1], left[::-1], step, zeros)
        ys = [np.concatenate(pair) for pair in zip(forwards, backwards[::-1], strict=True)]
    ends = np.concatenate([ys[-1][:size], ys[0][size:]])
    keys = np.array(ys) @ weights["attention.key.weight"].T
    values = np.array(ys) @ weights["attention.value.weight"].T
    written = [START, *right]
    xs = list(np.eye(config.symbols + 3)[written])
    for layer in range(config.layers):
        xs = _before(config, weights, f"rnn.dense_l{layer}", xs)
        start = weights[f"rnn.weight_start_l{layer}"] @ ends + weights[f"rnn.bias_start_l{layer}"]
        state = tuple(np.split(np.tanh(start), states))
        xs, _ = _layer(weights, f"rnn.{{}}_l{layer}", xs, written, step, state)
        if layer == 0:
            shares = [naive.softmax(keys @ q / np.sqrt(size)) for q in xs]
            both = [np.concatenate([a @ values, q]) for a, q in zip(shares, xs, strict=True)]
            w, b = weights["attention.weight"], weights["attention.bias"]
            xs = [np.tanh(w @ x + b) for x in both]
    logits = np.array(xs) @ weights["readout.weight"].T + weights["readout.bias"]
    return naive.cross_entropy(logits, np.array([*right, END]))[0]


@pytest.mark.parametrize("cell", [(own, "tanh") for own in ("lstm", "gru", "second-order")],
                         ids="-".join)  # fmt: skip
@pytest.mark.parametrize(("layers", "before"), [(1, 0), (3, 1)])
def test_losses_are_those_of_the_twin(cell, layers, before):
    config = _config(cell=cell, layers=layers, dense_before=before)
    network = _network(config)
    batch, documents = _batch()
    losses = _losses(network, batch)
    for (lane, first, last), n in zip(batch.spans, documents, strict=True):
        expected = _answered(config, network.parameters, *SIDES[n])
        assert losses[first:last, lane] == pytest.approx(expected, rel=1e-9)
    assert not losses[~batch.counted].any()


# Gradients


@pytest.mark.parametrize("cell", STACKING, ids="-".join)
@pytest.mark.parametrize("decoder", ["attention", "ctc"])
def test_gradients_are_those_of_central_differences(cell, decoder):
    more = {"initial_state": "learned", "embedding_size": 3, "dense_before": 1}
    config = _config(decoder, cell, **more)
    network = _network(config, threads=2)
    batch, _ = _batch(aligned=decoder == "ctc")
    state = network.initial_state(batch.inputs.shape[1])
    network.loss_and_gradients(batch, state)
    gradient = network.gradients.copy()

    def losses(values):
        network.values[:] = values
        network.pack()
        return _losses(network, batch).copy()

    step = 1e-6 if cell[1] == "relu" else 1e-4
    errors = errors_per_tensor(
        losses, network.values.copy(), gradient, parameter_shapes(config),
        rng=np.random.default_rng(2), step=step,
    )  # fmt: skip
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.parametrize("decoder", ["attention", "ctc"])
def test_threads_and_neighbours_change_no_bit(decoder):
    """Gradients on any number of threads; losses of a pair alone or in any company."""
    config, aligned = _config(decoder, hidden_size=20), decoder == "ctc"
    batch, documents = _batch(SIDES * 5, lanes=6, length=24, aligned=aligned)
    found = []
    for threads in (1, 2, 5):
        network = _network(config, dtype=np.float32, threads=threads)
        network.loss_and_gradients(batch, network.initial_state(6))
        found.append(network.gradients.copy())
        assert np.array_equal(found[0], found[-1])
    losses = _losses(network, batch)
    for place, n in enumerate(documents):
        alone, _ = _batch([(SIDES * 5)[n]], lanes=1, length=24, aligned=aligned)
        lane, first, last = batch.spans[place]
        whole = losses[place] if aligned else losses[first:last, lane]
        own = _losses(network, alone)
        assert np.array_equal(own[0] if aligned else own[: last - first, 0], whole)


@pytest.mark.parametrize("decoder", ["attention", "ctc"])
@pytest.mark.parametrize("length", [4, 48])
def test_the_speed_is_measured_with_lanes_full_of_pairs(decoder, length):
    """Where they were not, steps without a value were read, and pairs were too few."""
    network = _network(_config(decoder))
    with np.errstate(all="raise"):
        assert 0 < characters_a_second(network, 4, length) < math.inf
    batch = _typical_batch(network.config, 4, length)
    assert batch.read >= 0.8 * 4 * length


def test_smoothing_moves_gradients_towards_all_symbols_and_leaves_losses():
    network = _network(_config())
    batch, _ = _batch()
    state = network.initial_state(batch.inputs.shape[1])

    def gradient(smoothing):
        network.head.smoothing = smoothing
        losses, _ = network.loss_and_gradients(batch, state)
        return losses, network.views(network.gradients.copy())["readout.bias"]

    (losses, plain), (same, smooth) = gradient(0.0), gradient(0.5)
    assert np.array_equal(losses, same)
    counts = np.bincount(batch.targets[batch.counted], minlength=7)
    uniform = np.where(np.isin(np.arange(7), [0, 2]), 0, counts.sum() / 5)
    assert smooth - plain == pytest.approx(0.5 * (counts - uniform))


# CTC


def _by_all_paths(logs, symbols):
    """-log P: the sum over all ways to lay the symbols out over the steps."""
    total = 0.0
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        if [symbol for symbol, _ in itertools.groupby(path) if symbol] == symbols:
            total += np.exp(sum(logs[t, symbol] for t, symbol in enumerate(path)))
    return -np.log(total) if total else np.inf


LOGITS = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@settings(max_examples=60, deadline=None)
@given(LOGITS, st.integers(1, 5), st.lists(st.integers(1, 3), max_size=5), st.floats(0, 30))
def test_ctc_is_the_sum_over_all_alignments(rng, steps, symbols, scale):
    logits = scale * rng.standard_normal((steps, 1, 8))
    logits[..., 4:] = -1e30
    spans, losses = np.array([[0, 0, steps]], np.int32), np.empty(1)
    logs = logits[:, 0] - np.log(np.exp(logits[:, 0]).sum(axis=1, keepdims=True))
    targets = np.array([[*symbols, -1]], np.int32)
    ctc.align_documents(logits, spans, targets, losses, 0, 1)
    expected = _by_all_paths(logs[:, :4], symbols)
    assert losses[0] == pytest.approx(expected, rel=1e-6)
    if np.isinf(expected):
        assert not logits.any()
    else:
        assert np.abs(logits.sum(axis=2)).max() < 1e-9  # of a softmax, whatever it is to become


@settings(max_examples=40, deadline=None)
@given(LOGITS, st.integers(1, 5))
def test_a_wide_search_finds_the_likeliest_prefixes(rng, steps):
    """With as many beams as there can be beginnings, probabilities are those of all paths."""
    logs = 2 * rng.standard_normal((steps, 3))
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    texts, nats = np.empty((70, steps), np.int64), np.empty(70)
    ctc.likeliest_prefixes(logs, texts, nats)
    found = {tuple(text[text >= 0].tolist()): loss for text, loss in zip(texts, nats, strict=True)
             if np.isfinite(loss)}  # fmt: skip
    assert list(found.values()) == sorted(found.values())
    assert sum(np.exp(-loss) for loss in found.values()) == pytest.approx(1)
    for text, loss in found.items():
        assert loss == pytest.approx(_by_all_paths(logs, list(text)), rel=1e-9)


def test_a_search_with_few_beams_merges_paths_to_one_text():
    """b-b and bb- and so on are one text: together likelier than any other."""
    logs = np.log(np.array([[0.4, 0.35, 0.25]] * 2))
    texts, nats = np.empty((2, 2), np.int64), np.empty(2)
    ctc.likeliest_prefixes(logs, texts, nats)
    assert texts[0].tolist() == [1, -1]
    assert np.exp(-nats[0]) == pytest.approx(0.4 * 0.35 * 2 + 0.35 * 0.35)


def test_long_and_certain_documents_lose_no_digits():
    """Of 300 steps, each nearly certain: linear probabilities of other paths would vanish."""
    steps = 300
    symbols = np.tile([1, 2], steps // 2)
    logits = np.full((steps, 1, 8), -40.0)
    logits[np.arange(steps), 0, symbols] = 40
    targets = np.append(symbols[:-1], -1)[None].astype(np.int32)  # one symbol is left out
    losses = np.empty(1)
    ctc.align_documents(logits, np.array([[0, 0, steps]], np.int32), targets, losses, 0, 1)
    # The last step is a blank, or the last symbol again.
    assert losses[0] == pytest.approx(80 - np.log(2)) and np.isfinite(logits).all()


@pytest.mark.torch
@settings(max_examples=40, deadline=None)
@given(LOGITS, st.integers(1, 20), st.lists(st.integers(1, 5), max_size=20))
def test_ctc_is_that_of_torch(rng, steps, symbols):
    torch = pytest.importorskip("torch")
    logits = torch.tensor(rng.standard_normal((steps, 1, 8)), requires_grad=True)
    lengths = torch.tensor([steps]), torch.tensor([len(symbols)])
    loss = torch.nn.functional.ctc_loss(
        logits.log_softmax(-1), torch.tensor([symbols or [0]]), *lengths, reduction="sum"
    )
    own, losses = logits.detach().numpy().copy(), np.empty(1)
    targets = np.array([[*symbols, -1]], np.int32)
    ctc.align_documents(own, np.array([[0, 0, steps]], np.int32), targets, losses, 0, 1)
    assert losses[0] == pytest.approx(loss.item(), rel=1e-6)
    if torch.isfinite(loss):
        loss.backward()
        assert own == pytest.approx(logits.grad.numpy(), abs=1e-6)
