"""The loss of a text: exact for documents, close to one long pass for long ones."""

import math

import numpy as np
import pytest
from trained import DINOSAURS, FABLES, dinosaurs, fables, language_model, with_biases

from charrnn.text.batch import Batch
from charrnn.text.corpus import frame, read_corpus
from charrnn.text.vocabulary import END, START
from charrnn.training.evaluation import BURN_IN, Evaluation, evaluate


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
