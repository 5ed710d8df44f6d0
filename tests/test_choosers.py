"""Filters, penalties, Mirostat and limits of copying: their definitions, twins and extremes."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import choosing_of, config_of, random_network
from trained import fables, language_model

from charrnn.compute import filters
from charrnn.compute.choosers import Draw, Plain, Sampler
from charrnn.compute.constraints import forbid_copies
from charrnn.compute.packing import padded
from charrnn.compute.penalties import penalize_runs
from charrnn.compute.readout import NEVER
from charrnn.compute.recall import create_recall, recent, remember
from charrnn.config import DEFAULT_MIN_P, SamplingConfig
from charrnn.errors import UsageError
from charrnn.inference import sampling
from charrnn.inference.choosing import anything, choosing, copies_of
from charrnn.text.batch import Batch
from charrnn.text.vocabulary import END, START, UNKNOWN, Vocabulary

FLOAT32 = np.dtype(np.float32)


def _logits(values):
    """A row of logits, padded."""
    row = np.full(padded(len(values), FLOAT32), NEVER, np.float32)
    row[: len(values)] = values
    return row


def _kept(step, values, *more):
    """Which of the logits a filter leaves, and that it changes no other."""
    logits = _logits(values)
    before, chances, spare = logits.copy(), np.empty_like(logits), np.empty_like(logits)
    room = {"top_k": (chances, spare), "top_p": (chances,), "typical": (chances, spare)}
    getattr(filters, step)(logits, *room.get(step, ()), *more)
    kept = logits > NEVER
    np.testing.assert_array_equal(logits[kept], before[kept])
    assert not kept[len(values) :].any()
    return kept[: len(values)]


# Logits that no rounding brings together: what is the same is exactly the same.
rows = st.lists(st.integers(-60, 20), min_size=1, max_size=90).map(
    lambda values: np.array(values, np.float64) / 4
)
shares = st.floats(0.001, 0.999)
SHARES = ("top_p", "min_p", "typical")


@settings(deadline=None)
@given(rows, st.integers(1, 100))
def test_top_k_leaves_the_likeliest(values, most):
    kept = _kept("top_k", values, most)
    np.testing.assert_array_equal(kept, np.isfinite(naive.top_k(values, most)))
    assert kept.sum() >= min(most, values.size)
    if np.unique(values).size == values.size:
        assert kept.sum() == min(most, values.size)


@settings(deadline=None)
@given(rows, shares)
def test_top_p_leaves_the_likeliest_that_have_the_share(values, share):
    kept = _kept("top_p", values, share)
    chances = np.exp(naive.normalized(values))
    assert chances[kept].sum() >= share * (1 - 1e-5)
    least = values[kept].min()
    assert (values[~kept] < least).all()
    assert chances[values > least].sum() < share * (1 + 1e-5)  # without the last it is too little


@settings(deadline=None)
@given(rows, shares)
def test_min_p_is_a_share_of_the_likeliest(values, share):
    kept = _kept("min_p", values, share)
    close = np.abs(values - values.max() - math.log(share)) < 1e-5
    np.testing.assert_array_equal(kept[~close], np.isfinite(naive.min_p(values, share))[~close])


@settings(deadline=None)
@given(rows, shares)
def test_typical_leaves_what_is_closest_to_the_entropy(values, share):
    kept = _kept("typical", values, share)
    logs = naive.normalized(values)
    chances, entropy = np.exp(logs), -np.sum(np.exp(logs) * logs)
    distance = np.abs(logs + entropy)
    assert chances[kept].sum() >= share * (1 - 1e-5)
    farthest = distance[kept].max()
    assert (distance[~kept] > farthest - 1e-4).all()
    assert chances[distance < farthest - 1e-4].sum() < share * (1 + 1e-5)


@settings(deadline=None)
@given(rows, shares, shares)
def test_a_smaller_share_leaves_no_more(values, one, other):
    """Of ``min_p`` a larger one; and something is always left."""
    small, large = sorted((one, other))
    for step in SHARES:
        fewer, more = (large, small) if step == "min_p" else (small, large)
        kept = _kept(step, values, fewer)
        assert kept.any()
        assert not (kept & ~_kept(step, values, more)).any()
        if step != "typical":
            assert kept[values.argmax()]


@pytest.mark.parametrize(
    ("values", "step", "value", "left"),
    [
        ([3, 1, 2], "top_k", 1, [0]),
        ([3, 1, 2], "top_k", 65_536, [0, 1, 2]),
        ([1, 1, 1], "top_k", 1, [0, 1, 2]),
        ([0], "top_k", 1, [0]),
        ([1e4, -1e4, 0], "top_k", 2, [0, 1, 2]),  # two of them have no chance at all
        ([3, 1, 2], "top_p", 1e-9, [0]),
        ([1e4, -1e4, 0], "top_p", 0.999999, [0]),
        ([0, 0, 0, 0], "top_p", 0.1, [0, 1, 2, 3]),
        ([3, 1, 3], "min_p", 1, [0, 2]),
        ([50, 0], "min_p", 1e-30, [0, 1]),
        ([3, 1, 2], "typical", 1e-9, [0]),
        ([0, 0, 0], "typical", 0.5, [0, 1, 2]),
        ([5, 0, 0, 0, 0, 0, 0, 0, 0], "typical", 1e-9, [0]),
    ],
)
def test_extreme_values(values, step, value, left):
    assert np.flatnonzero(_kept(step, values, value)).tolist() == left


def test_what_is_typical_may_not_be_the_likeliest():
    """Where one is likely and many are not, the text is expected to surprise a little."""
    chances = np.array([0.4] + [0.06] * 10)
    assert not _kept("typical", np.log(chances), 0.3)[0]
    assert _kept("top_p", np.log(chances), 0.3)[0]


# What is remembered


@given(st.lists(st.integers(3, 5), max_size=80), st.integers(1, 12), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_the_latest_tokens_and_their_runs_are_remembered(text, window, reach):
    recall = create_recall(2, window=window, runs=reach, bound=0.0, length=100)
    for token in text:
        remember(recall, 1, token)
    for most in (0, 1, window, max(window, reach)):
        found = recent(recall.history[1], recall.read[1], most).tolist()
        assert found == text[::-1][:most]
    assert not recall.history[0].any() and not recall.read[0]
    for back in range(1, min(reach, len(text) - 1) + 1):
        run, end = 0, len(text) - back
        while run < end and text[end - 1 - run] == text[-1 - run]:
            run += 1
        assert recall.runs[1, back - 1] == run


@given(st.lists(st.integers(3, 6), min_size=2, max_size=60), st.integers(1, 5), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_what_makes_a_repeated_run_longer_loses_by_its_length(text, least, reach):
    config = SamplingConfig(dry=0.8, dry_base=1.5, dry_length=least, dry_window=reach)
    recall = create_recall(1, window=1, runs=reach, bound=0.0, length=100)
    for token in text:
        remember(recall, 0, token)
    logits, values = _logits(np.zeros(9)), np.zeros(9)
    latest = recent(recall.history[0], recall.read[0], reach)
    penalize_runs(logits, np.empty_like(logits), latest, recall.runs[0], 0.8, 1.5, least)
    np.testing.assert_allclose(logits[:9], naive.penalize_runs(values, text, config), rtol=1e-5)


def test_the_penalty_of_a_very_long_run_leaves_no_infinity():
    recall = create_recall(1, window=1, runs=3000, bound=0.0, length=10**6)
    for _ in range(4000):
        remember(recall, 0, 3)
    logits = _logits(np.zeros(9))
    latest = recent(recall.history[0], recall.read[0], 3000)
    penalize_runs(logits, np.empty_like(logits), latest, recall.runs[0], 1e6, 1e3, 1)
    assert NEVER < logits[3] < -1e8 and np.isfinite(logits).all()


@given(st.lists(st.integers(3, 6), min_size=3, max_size=60),
       st.lists(st.integers(3, 6), max_size=60), st.integers(1, 6))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_what_would_copy_one_character_too_many_is_forbidden(corpus, text, length):
    copies = copies_of(np.array(corpus, np.uint16), length)
    recall = create_recall(1, window=length, runs=0, bound=0.0, length=100)
    for token in text:
        remember(recall, 0, token)
    logits = _logits(np.zeros(9))
    forbid_copies(copies, logits, recall.history[0], recall.read[0])
    joined = "".join(map(str, corpus))
    for token in range(9):
        copied = "".join(map(str, [*text[len(text) - length :], token]))
        assert (logits[token] == NEVER) == (len(text) >= length and copied in joined)


# The whole of it, beside its twin


class _Reader:
    """log P of every token after a text, one character at a time through ``Network.losses``."""

    def __init__(self, network):
        self.network, self.size = network, network.config.vocabulary_size
        self.state = network.initial_state(self.size)

    def read(self, token):
        targets = np.arange(self.size, dtype=np.int32)[None]
        inputs = np.full_like(targets, token)
        batch = Batch(inputs, targets, (inputs == START).astype(np.uint8))
        losses, self.state = self.network.losses(batch, self.state)
        logs = -losses[0].astype(np.float64)
        logs[[START, UNKNOWN, END]] = -np.inf
        return logs


CONTROLS = {
    "temperature": {"temperature": 0.6},
    "top-k": {"top_k": 3},
    "top-p": {"top_p": 0.9},
    "min-p": {"min_p": 0.3},
    "typical": {"typical": 0.8},
    "repetition": {"repetition_penalty": 3.0, "repetition_window": 4},
    "dry": {"dry": 2.0, "dry_length": 2, "dry_window": 30, "temperature": 0.3},
    "mirostat": {"mirostat": 1.5, "mirostat_rate": 0.3},
    "mirostat, cold": {"mirostat": 0.5, "temperature": 0.7, "repetition_penalty": 1.2},
    "all": {"temperature": 0.8, "top_k": 6, "typical": 0.95, "top_p": 0.9, "min_p": 0.02,
            "repetition_penalty": 1.3, "repetition_window": 3, "dry": 0.5, "dry_length": 2},
}  # fmt: skip


def _network():
    """One that expects something: a sharp distribution over 8 characters."""
    network = random_network(config_of(("gru", "tanh"), 1, 24, vocabulary_size=11), dtype=FLOAT32)
    network.parameters["readout.weight"][...] *= 3
    network.pack()
    return network


@pytest.mark.parametrize("copying", [False, True], ids=["", "copies"])
@pytest.mark.parametrize("name", CONTROLS)
def test_a_text_is_what_the_twin_writes(name, copying):
    network = _network()
    config = SamplingConfig(length=300, **CONTROLS[name])
    corpus = np.random.default_rng(7).integers(3, 11, 400).astype(np.uint16)
    own = choosing_of(network, config, may_end=False)
    if copying:
        allowed = anything(11, FLOAT32, may_end=False)
        own = choosing(config, Vocabulary("abcdefgh"), allowed, copies_of(corpus, 2))
    prompt = [5, 3, 8]
    pieces = sampling.Writer(network, own).write([np.array(prompt)], [4])
    found = np.concatenate([piece.tokens for (piece,) in pieces]).tolist()
    uniforms = np.random.default_rng([4, 0]).random(300)
    reader = _Reader(network)
    twin = naive.Chooser(config, corpus.tolist() if copying else (), 2 if copying else 0)
    text, logs = list(prompt), [reader.read(token) for token in (START, *prompt)][-1]
    for n in range(300):
        text.append(twin.choose(logs, text, uniforms[n]))
        assert text[-1] == found[n], n
        logs = reader.read(text[-1])
    assert len(set(found)) > 1


@pytest.mark.parametrize("name", ["top-k", "top-p", "min-p", "typical", "repetition"])
def test_frequencies_are_those_of_what_is_left(name):
    """χ² of the first character after a prompt in 20,000 texts."""
    network, count = _network(), 20_000
    config = SamplingConfig(length=1, temperature=1, **CONTROLS[name])
    writer = sampling.Writer(network, choosing_of(network, config, may_end=False))
    prompt, reader = np.array([5, 3, 8]), _Reader(network)
    pieces = list(writer.write([prompt] * count, range(count)))
    first = [np.concatenate([p.tokens for p in text])[0] for text in zip(*pieces, strict=True)]
    logs = [reader.read(token) for token in (START, *prompt)][-1]
    twin = naive.Chooser(config)
    if name == "repetition":
        logs = naive.penalize_recent(logs, prompt.tolist(), 3.0, 4)
    else:
        step = name.replace("-", "_")
        logs = getattr(naive, step)(logs, CONTROLS[name][step])
    assert twin.bound == 0
    expected = count * np.exp(naive.normalized(logs))
    counts = np.bincount(first, minlength=expected.size)
    possible = expected > 0
    assert not counts[~possible].any()
    statistic = np.sum((counts - expected)[possible] ** 2 / expected[possible])
    freedom = np.count_nonzero(possible) - 1
    assert statistic < freedom + 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("bits", [1.0, 1.5, 2.0])
def test_mirostat_holds_the_surprise(bits):
    """The mean of what each character tells."""
    model = language_model(fables())
    author = model.author(length=6000, mirostat=bits)
    (text,) = author.texts([""], [1], measured=True)
    assert abs(text.nats_per_prediction / math.log(2) - bits) < 0.05


def test_nothing_is_chosen_where_nothing_is_left():
    """A corpus in which everything follows on everything leaves nothing that is new."""
    network = _network()
    corpus = np.array([3 + n for pair in range(8) for n in (pair, pair)] * 2, np.uint16)
    every = np.concatenate([[3 + a, 3 + b] for a in range(8) for b in range(8)]).astype(np.uint16)
    own = choosing(SamplingConfig(length=50), Vocabulary("abcdefgh"),
                   anything(11, FLOAT32, may_end=False),
                   copies_of(np.concatenate([corpus, every]), 1))  # fmt: skip
    (pieces,) = sampling.Writer(network, own).write([np.empty(0, int)], [1])
    assert pieces[0].tokens.size == 1  # one character may be copied
    assert pieces[0].ended == 3


# What is asked for


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"top_k": -1}, "top k must be"),
        ({"top_p": 0}, "top p must be above 0"),
        ({"top_p": 1.5}, "top p must be"),
        ({"typical": 0}, "typical must be above 0"),
        ({"min_p": 1.1}, "min p must be"),
        ({"repetition_penalty": 0}, "repetition penalty must be"),
        ({"repetition_window": 0}, "repetition window must be"),
        ({"dry": -1}, "dry must be"),
        ({"dry_base": 0.5}, "dry base must be"),
        ({"dry_length": 0}, "dry length must be"),
        ({"mirostat": -1}, "mirostat must be"),
        ({"mirostat": 1, "mirostat_rate": 0}, "mirostat rate must be above 0"),
        ({"mirostat": 1, "top_k": 5}, "give no `top_k`"),
        ({"until": ("",)}, "must not be empty"),
        ({"until": "x"}, "a tuple of texts"),
        ({"length": 1.5}, "whole number"),
        ({"temperature": math.nan}, "temperature must be a number from 0"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(values, words):
    with pytest.raises(UsageError, match=words):
        SamplingConfig(**values)


def test_a_neutral_value_is_plain_sampling():
    """To the last character: nothing is done where nothing is asked for."""
    network = _network()
    texts = []
    for values in ({}, {"top_k": 65_536}, {"top_p": 1}, {"min_p": 0}, {"dry_window": 5},
                   {"repetition_window": 9}):  # fmt: skip
        config = SamplingConfig(length=200, **values)
        writer = sampling.Writer(network, choosing_of(network, config))
        texts.append(np.concatenate([p.tokens for (p,) in writer.write([np.empty(0, int)], [1])]))
    for text in texts[1:]:
        np.testing.assert_array_equal(text, texts[0])


@pytest.mark.parametrize("values", [{}, {"temperature": 0.7}, {"temperature": 0}, {"min_p": 0.2}],
                         ids=str)  # fmt: skip
def test_what_is_compiled_for_little_writes_what_is_compiled_for_all(values):
    """A repetition window, without a penalty, changes nothing but the chooser."""
    network, texts = _network(), []
    for more, kind in ({}, Plain), ({"repetition_window": 9}, Sampler):
        own = choosing_of(network, SamplingConfig(length=200, **values, **more))
        assert type(own.chooser) is kind
        writer = sampling.Writer(network, own)
        texts.append(np.concatenate([p.tokens for (p,) in writer.write([np.empty(0, int)], [1])]))
    np.testing.assert_array_equal(*texts)


def test_a_temperature_is_a_sharpness():
    assert Draw.of(0.5).sharpness == 2
    assert Draw.of(0).sharpness == math.inf
    assert Draw.of(1e300).sharpness == 1e-20


@pytest.mark.parametrize(
    ("values", "min_p", "temperature"),
    [
        ({}, DEFAULT_MIN_P, 1),
        ({"length": 5, "dry": 1.0, "repetition_penalty": 1.1}, DEFAULT_MIN_P, 1),
        ({"top_p": 1.0}, DEFAULT_MIN_P, 1),
        ({"min_p": 0.0}, 0, 1),
        ({"min_p": 0.3}, 0.3, 1),
        ({"temperature": 1}, 0, 1),
        ({"temperature": 0.5}, 0, 0.5),
        ({"temperature": 0.5, "min_p": 0.1}, 0.1, 0.5),
        ({"top_k": 5}, 0, 1),
        ({"typical": 0.9}, 0, 1),
        ({"top_p": 0.9}, 0, 1),
        ({"mirostat": 2.0}, 0, 1),
    ],
    ids=str,
)
def test_who_asks_for_nothing_gets_what_reads_best_and_others_what_they_ask_for(
    values, min_p, temperature
):
    plan = SamplingConfig(**values).complete()
    assert (plan.min_p, plan.temperature) == (min_p, temperature)
    assert plan.complete() == plan
