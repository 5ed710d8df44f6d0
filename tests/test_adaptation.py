"""Dynamic evaluation: what it learns helps, is counted as elsewhere, and is forgotten again."""

import json
import math

import numpy as np
import pytest
from commands import invoke
from samples import assert_same_bits, config_of, every_variant, random_network
from test_bfloat16 import needs_bfloat16
from trained import DINOSAURS, FABLES, dinosaurs, fables, language_model, live_model, small_trainer

from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import load_model, save_model
from charrnn.text.batch import Batch
from charrnn.text.corpus import frame
from charrnn.text.vocabulary import START
from charrnn.training import adaptation
from charrnn.training.adaptation import evaluate_adapting
from charrnn.training.evaluation import evaluate

TEXT = FABLES.read_text(encoding="utf-8")[:3000]
#: Of characters that the model of the fables knows, in an order that it does not.
REPETITIVE = "zebra quiz, " * 400


def _tokens(model, *texts):
    """Documents as ``charrnn.text.corpus`` frames them."""
    parts = [np.r_[START, model.vocabulary.encode(text)] for text in texts]
    return np.concatenate([*parts, [START]]).astype(np.uint8)


# What is learned


def test_a_text_that_is_not_known_is_learned():
    model = language_model(fables())
    static, adapted = (model.evaluate(REPETITIVE, adapt=adapt) for adapt in (False, True))
    assert adapted.nats_per_character < static.nats_per_character - 0.5


def test_another_kind_of_text_gains_more_than_the_text_that_was_learned():
    model = language_model(fables())
    names = DINOSAURS.read_text(encoding="utf-8")[:4000]
    gains = [
        model.evaluate(text).nats_per_character
        - model.evaluate(text, adapt=True).nats_per_character
        for text in (TEXT, names)
    ]
    assert gains[1] > max(0.1, gains[0])
    assert gains[0] > -0.02


def test_a_character_is_predicted_before_it_is_learned():
    """As many as a piece has are as without learning; what follows a piece knows it."""
    model = language_model(fables())
    for size in (1, 10, 31):
        static, adapted = (model.evaluate(REPETITIVE[:size], adapt=a) for a in (False, True))
        assert adapted.nats == pytest.approx(static.nats, rel=1e-6)
    static, adapted = (model.evaluate(REPETITIVE[:200], adapt=a) for a in (False, True))
    assert adapted.nats < static.nats - 0.1


def _by_hand(network, tokens, rate, decay):
    """The sum of the losses of one lane; updates in float64, of a mean gradient of norm 1 at most.

    The network keeps what it has learned.
    """
    trained = network.values.astype(np.float64)
    values, square, total = trained.copy(), np.zeros_like(trained), 0.0
    state = network.initial_state(1)
    for step, first in enumerate(range(0, len(tokens) - 1, 32), start=1):
        piece = tokens[first : first + 33, None]
        losses, state = network.loss_and_gradients(Batch(*frame(piece[:-1], piece[1:])), state)
        total += losses.sum(dtype=np.float64)
        g = network.gradients.astype(np.float64) / losses.size
        g /= max(1.0, np.linalg.norm(g))
        square = 0.999 * square + 0.001 * g**2
        values += decay * (trained - values)
        values -= rate * g / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        network.values[:] = values
        network.pack()
    return total


@pytest.mark.parametrize(("rate", "decay"), [(1e-4, 1e-3), (1e-3, 1e-3), (1e-3, 0.3), (0.0, 0.0)])
def test_the_loss_is_that_of_the_formula(monkeypatch, rate, decay):
    monkeypatch.setattr(adaptation, "_RATE", rate)
    monkeypatch.setattr(adaptation, "_DECAY", decay)
    model = language_model(dinosaurs())
    tokens = _tokens(model, "Zyxqwzyxqwzyxqw" * 5, *["Tyrannosaurus", "Yi"] * 30)
    found = evaluate_adapting(model.network, tokens).nats
    model.network.prepare_training()
    assert found == pytest.approx(_by_hand(model.network, tokens, rate, decay), rel=1e-5)


# What is left afterwards


@every_variant
def test_the_network_is_as_before(cell, more):
    """Its weights to the last bit, the packed ones too."""
    network = random_network(config_of(cell, 2, embedding_size=5, **more), dtype=np.float32)
    tokens = np.random.default_rng(5).integers(3, 11, 150, np.int32)
    values, static = network.values.copy(), evaluate(network, tokens)
    state = network.initial_state(2)
    first = evaluate_adapting(network, tokens)
    assert first.nats != static.nats
    assert_same_bits(network.values, values)
    assert_same_bits(network.initial_state(2), state)
    assert evaluate(network, tokens) == static
    assert evaluate_adapting(network, tokens) == first


def test_a_model_writes_the_same_afterwards():
    model = language_model(fables())
    before = model.sample(100, seed=1)
    model.evaluate(REPETITIVE, adapt=True)
    assert model.sample(100, seed=1) == before


def test_a_run_goes_on_as_if_nothing_had_been_measured():
    def weights(adapt):
        trainer = small_trainer(steps=8)
        for record in trainer.run():
            if adapt and record.step == 4:
                live_model(trainer).evaluate(TEXT[:500], adapt=True)
        return trainer.network.values

    assert_same_bits(weights(adapt=True), weights(adapt=False))


# How it is counted


@pytest.mark.parametrize("text", ["", "a", "zebra", "Xzeb\x00ra" * 20, "a" * 31, "a" * 32, TEXT])
def test_counts_are_those_of_the_usual_evaluation(text):
    model = language_model(fables())
    static, adapted = (model.evaluate(text, adapt=adapt) for adapt in (False, True))
    names = ("predictions", "characters", "unknown")
    for name in names:
        assert getattr(adapted, name) == getattr(static, name)
    assert math.isfinite(adapted.nats) and adapted.nats > 0


def test_documents_begin_in_the_initial_state(monkeypatch):
    """Without learning the losses would be those of the usual evaluation, to the last document."""
    monkeypatch.setattr(adaptation, "_RATE", 0.0)
    model = language_model(dinosaurs())
    names = DINOSAURS.read_text(encoding="utf-8").splitlines()[:100]
    tokens = _tokens(model, *names)
    adapted = evaluate_adapting(model.network, tokens)
    assert adapted.nats == pytest.approx(evaluate(model.network, tokens).nats, rel=1e-5)
    assert adapted.predictions == sum(map(len, names)) + len(names)


@pytest.mark.parametrize(
    "start",
    [
        "zeros",
        "learned",
        "random",
    ],
)
def test_every_kind_of_initial_state_is_that_of_the_usual_evaluation(monkeypatch, start):
    monkeypatch.setattr(adaptation, "_RATE", 0.0)
    config = config_of(("lstm", "tanh"), 1, initial_state=start)
    network = random_network(config, dtype=np.float32)
    tokens = np.resize([START, 4, 5, 6, 7], 61).astype(np.int32)
    expected = evaluate(network, tokens).nats
    assert evaluate_adapting(network, tokens).nats == pytest.approx(expected, rel=1e-6)


def test_what_one_document_teaches_helps_with_the_next():
    model = language_model(dinosaurs())
    names = ["Zyxqwzyxqwzyxqw"] * 300
    together = evaluate_adapting(model.network, _tokens(model, *names))
    apart = evaluate_adapting(model.network, _tokens(model, names[0]))
    assert together.nats < 0.95 * len(names) * apart.nats


def test_threads_give_the_same_bits():
    results = [language_model(fables(), threads=n).evaluate(TEXT, adapt=True) for n in (1, 2)]
    assert results[0] == results[1]


@needs_bfloat16
def test_bfloat16_is_close(tmp_path):
    save_model(tmp_path / "m", fables())
    losses = []
    for precision in ("float32", "bfloat16"):
        model = load(tmp_path / "m", threads=1, precision=precision)
        values = model.network.values.copy()
        losses.append(model.evaluate(REPETITIVE, adapt=True).nats_per_character)
        assert_same_bits(model.network.values, values)
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


# The command


KEYS = ["nats_per_character", "bits_per_character", "perplexity"]


@pytest.fixture
def files(tmp_path):
    """A model and a text that it does not know well."""
    save_model(tmp_path / "m", fables())
    (tmp_path / "text").write_text(REPETITIVE, encoding="utf-8")
    return ["--model", tmp_path / "m", tmp_path / "text"]


def _figures(*arguments):
    done = invoke("evaluate", "--json", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_adapted_figures_are_there_only_if_asked_for(files):
    usual, both = _figures(*files), _figures(*files, "--adapt")
    assert not any(key.startswith("adapted") for key in usual)
    assert list(both) == [*usual, *(f"adapted_{key}" for key in KEYS)]
    assert {key: both[key] for key in usual} == usual
    expected = language_model(fables()).evaluate(REPETITIVE, adapt=True)
    for key in KEYS:
        assert both[f"adapted_{key}"] == pytest.approx(getattr(expected, key), rel=1e-6)
        assert both[f"adapted_{key}"] < both[key]


def test_people_see_them_too_and_the_file_stays(files):
    before = files[1].read_bytes()
    lines = invoke("evaluate", *files, "--adapt").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[-3:]] == [
        f"adapted {key.replace('_', ' ')}" for key in KEYS
    ]
    assert files[1].read_bytes() == before
    assert load_model(files[1]).training == fables().training


def test_lines_are_as_they_were_in_training(tmp_path):
    save_model(tmp_path / "m", dinosaurs())
    arguments = ["--model", tmp_path / "m", DINOSAURS, "--adapt"]
    by_default = _figures(*arguments)
    assert by_default == _figures(*arguments, "--lines")
    assert by_default["adapted_perplexity"] < by_default["perplexity"] + 0.1
    assert by_default["unknown"] == 0
