"""The loss of a text: exact for documents, close to one long pass for long ones."""

import itertools
import math

import numpy as np
import pytest
from trained import DINOSAURS, FABLES, dinosaurs, fables, language_model, with_biases

from charrnn.text.batch import Batch
from charrnn.text.corpus import frame, read_corpus
from charrnn.text.vocabulary import END, START
from charrnn.training.evaluation import (
    BURN_IN,
    Evaluation,
    evaluate,
    losses_by_position,
    position_losses,
)


def _naive(network, tokens):
    """Sum of the losses of one lane that reads all, 50 steps at a time."""
    state, total = network.initial_state(1), 0.0
    for at in range(0, len(tokens) - 1, 50):
        read, following = tokens[at : at + 50], tokens[at + 1 : at + 51]
        read = read[: len(following)]
        losses, state = network.losses(Batch(*frame(read[:, None], following[:, None])), state)
        total += losses.sum(dtype=np.float64)
    return total


def _tokens(model, *texts):
    """Documents as ``charrnn.text.corpus`` frames them."""
    parts = [np.r_[START, model.vocabulary.encode(text)] for text in texts]
    return np.concatenate([*parts, [START]]).astype(np.uint8)


def test_documents_are_measured_exactly():
    """In one lane or in many: each name starts within the characters that a lane reads first."""
    model = language_model(dinosaurs(), threads=2)
    names = DINOSAURS.read_text(encoding="utf-8").splitlines()
    for some in (names[:1], names[:100], names):
        tokens = _tokens(model, *some)
        result = evaluate(model.network, tokens)
        assert result.nats == pytest.approx(_naive(model.network, tokens), rel=1e-6)
        assert result.predictions == sum(len(name) + 1 for name in some)
        assert result.characters == sum(map(len, some))
        assert result.unknown == 0
    assert tokens.size > 2 * 8 * BURN_IN  # many lanes


def test_some_of_a_text_is_read_all_over_it():
    """Each of the predictions has the loss that it has where all are made."""
    model = language_model(fables(), threads=2)
    tokens = _tokens(model, FABLES.read_text(encoding="utf-8"))
    whole, most = np.empty(tokens.size - 1, np.float32), 5 * 8 * BURN_IN
    evaluate(model.network, tokens, whole)
    losses = np.full(tokens.size - 1, np.nan, np.float32)
    result = evaluate(model.network, tokens, losses, most=most)
    read = np.flatnonzero(np.isfinite(losses))
    assert result.predictions == read.size == most
    np.testing.assert_allclose(losses[read], whole[read], atol=0.02)
    assert result.nats == pytest.approx(losses[read].sum(dtype=np.float64))
    begins = read[np.diff(read, prepend=-2) > 1]  # of what is read without a break
    np.testing.assert_array_equal(begins, np.arange(5) * (tokens.size - 1) // 5)
    assert evaluate(model.network, tokens, most=tokens.size - 1).nats == (
        evaluate(model.network, tokens).nats
    )


@pytest.mark.parametrize("size", [3000, 8 * BURN_IN, 20_000, 80_000])
def test_a_long_document_is_close_to_one_pass(size):
    model = language_model(fables(), threads=2)
    text = FABLES.read_text(encoding="utf-8")[:size]
    result = model.evaluate(text)
    tokens = _tokens(model, text)
    assert result.predictions == len(text) + 1
    exact = _naive(model.network, tokens) / result.predictions
    lanes = result.predictions // (8 * BURN_IN)
    tolerance = 2e-3 if lanes > 1 else 1e-6
    assert result.nats_per_character == pytest.approx(exact, abs=tolerance)


def test_a_document_does_not_depend_on_its_neighbours():
    model = language_model(dinosaurs())
    names = ["Tyrannosaurus", "Yi", "Mei", "Zuul", "A" * 200]
    apart = [model.evaluate(name).nats for name in names]
    for order in (names, names[::-1]):
        together = evaluate(model.network, _tokens(model, *order))
        assert together.nats == pytest.approx(sum(apart), rel=1e-6)
    assert together.predictions == sum(map(len, names)) + len(names)


def test_the_end_is_a_prediction():
    """Uniform over V tokens, all of which count: log V each."""
    model = language_model(with_biases("abcd"))
    result = model.evaluate("abca")
    assert (result.predictions, result.characters, result.unknown) == (5, 4, 0)
    assert result.nats == pytest.approx(5 * math.log(7), rel=1e-6)
    likely = language_model(with_biases("abcd", biases=[(END, 2.0)]))
    normal = math.log(6 + math.exp(2))
    assert likely.evaluate("abca").nats == pytest.approx(5 * normal - 2, rel=1e-6)
    assert likely.evaluate("").nats == pytest.approx(normal - 2, rel=1e-6)
    assert likely.evaluate("").characters == 0


def test_unknown_characters_are_counted():
    model = language_model(with_biases("ab", biases=[(2, -1.0)]))
    result = model.evaluate("aXbYY")
    assert (result.characters, result.unknown, result.predictions) == (5, 3, 6)
    assert result.nats == pytest.approx(6 * math.log(4 + math.exp(-1)) + 3, rel=1e-6)


def test_the_figures_are_one_another():
    result = Evaluation(nats=30.0, predictions=20, characters=18, unknown=0)
    assert result.nats_per_character == 1.5
    assert result.bits_per_character == pytest.approx(1.5 / math.log(2))
    assert result.perplexity == pytest.approx(math.exp(1.5))
    assert math.isfinite(Evaluation(1e9, 2, 1, 0).perplexity)


def test_threads_give_the_same_bits():
    text = FABLES.read_text(encoding="utf-8")[:10_000]
    one, two = (language_model(fables(), threads=n).evaluate(text) for n in (1, 2))
    assert one == two


def test_files_are_read_as_they_were_for_training():
    model = language_model(dinosaurs())
    corpus = read_corpus([DINOSAURS], lines=True, vocabulary=model.vocabulary)
    result = evaluate(model.network, corpus.tokens)
    assert result.characters == corpus.characters
    assert result.predictions == corpus.characters + corpus.documents
    trained = dinosaurs().training["validation_loss"]
    assert result.nats_per_character == pytest.approx(trained, abs=0.3)


def test_the_losses_are_those_that_are_summed():
    model = language_model(fables(), threads=2)
    tokens = _tokens(model, FABLES.read_text(encoding="utf-8")[:30_000])
    losses = np.empty(tokens.size - 1, np.float32)
    result = evaluate(model.network, tokens, losses)
    assert result.nats == pytest.approx(losses.sum(dtype=np.float64), rel=1e-12)
    assert result == evaluate(model.network, tokens)
    part = Evaluation.of_losses(tokens[500:1501], losses[500:1500])
    assert part.predictions == 1000
    assert part.nats == pytest.approx(losses[500:1500].sum(dtype=np.float64), rel=1e-12)


def test_each_document_has_the_bits_that_it_has_alone():
    """Whatever stands before and beside it, in one lane or in many, short or rather long."""
    model = language_model(dinosaurs(), threads=2)
    names = DINOSAURS.read_text(encoding="utf-8").splitlines()
    text = "".join(names)
    long = [text[at : at + size] for at, size in ((0, 4000), (500, 3000), (900, 2500))]
    documents = [*names[:300], *long, *names[300:], *long[::-1], ""]
    tokens = _tokens(model, *documents)
    assert tokens.size > 6 * 8 * BURN_IN
    losses, _ = position_losses(model.network, tokens)
    at = 0
    for number, document in enumerate(documents):
        end = at + len(document) + 1
        if number % 50 == 0 or len(document) > 1000 or not document:
            alone, _ = position_losses(model.network, _tokens(model, document))
            assert np.array_equal(losses[at:end], alone)
        at = end
    assert at == losses.size


def test_a_text_may_be_read_in_pieces():
    """In one lane to the same bits; in many close to it."""
    model = language_model(fables(), threads=2)
    tokens = _tokens(model, FABLES.read_text(encoding="utf-8")[:60_000])

    def read(bounds):
        state, found = None, []
        for first, last in itertools.pairwise(bounds):
            losses, state = position_losses(model.network, tokens[first : last + 1], state)
            found.append(losses)
        return np.concatenate(found)

    exact = read([0, *range(1, 60_000, 4000), tokens.size - 1])
    assert exact.sum(dtype=np.float64) == pytest.approx(_naive(model.network, tokens), rel=1e-6)
    assert np.array_equal(exact[:5000], read([0, 1, 2, 65, 700, 5000]))
    for bounds in ([0, tokens.size - 1], [0, 25_000, 25_001, tokens.size - 1]):
        losses = read(bounds)
        assert losses.size == tokens.size - 1
        assert np.abs(losses - exact).mean() < 2e-3
        assert np.array_equal(losses[:3000], exact[:3000])


def test_losses_by_position_against_the_definition():
    rng = np.random.default_rng(0)
    tokens = np.where(rng.random(5001) < 0.01, START, 5)
    tokens[0] = START
    losses = rng.random(5000).astype(np.float32)
    sums, start = {}, 0
    for i in range(5000):
        start = i if tokens[i] == START else start
        count, total = sums.get((i - start).bit_length(), (0, 0.0))
        sums[(i - start).bit_length()] = count + 1, total + float(losses[i])
    found = losses_by_position(tokens, losses)
    for (digits, (count, total)), row in zip(sorted(sums.items()), found, strict=True):
        assert row.most.bit_length() == row.fewest.bit_length() == digits
        assert row.predictions == count
        assert row.nats_per_character == pytest.approx(total / count)
