"""How certain networks of pairs are: their validation, and the models that come of it."""

import numpy as np
import pytest
from trained import small_trainer

from charrnn.config import TextConfig
from charrnn.network.network import Network
from charrnn.training.evaluation import loss_of
from charrnn.training.validation import divide_logits, validate


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Four letters and the same backwards, but in every fourth line."""
    rng = np.random.default_rng(1)
    lines = []
    for n in range(300):
        word = "".join(rng.choice([*"abcdef"], 4))
        lines.append(f"{word}\t{word[::-1] if n % 4 else word}")
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["attention", "ctc"])
def trainer(request, corpus):
    text = TextConfig(task="pairs", decoder=request.param)
    trainer = small_trainer(corpus, text=text, layers=1, hidden_size=24, steps=150, validations=3)
    *_, trainer.last = trainer.run()
    return trainer


def _network(trainer, temperature=1.0):
    """That of the best model, its logits divided once more."""
    network = Network(trainer.best.config)
    network.load(trainer.best.tensors)
    divide_logits(network.graph, network.parameters, temperature)
    network.pack()
    return network


def test_the_model_is_as_certain_as_suits_it(trainer):
    losses = [loss_of(_network(trainer, by), trainer.held_back) for by in (1.0, 0.9, 1.1)]
    assert losses[0] == min(losses) < 3
    assert losses[0] == pytest.approx(trainer.best.training["validation_loss"], abs=1e-6)


def test_what_is_trained_stays_as_it_is(trainer):
    """The best model is the average of the weights, but for what tells the symbols."""
    assert trainer.last.improved and trainer.best.training["steps"] == trainer.step
    temperature = trainer.best.training["temperature"]
    assert abs(temperature - 1) > 0.02
    average = trainer.network.views(trainer.optimizer.average)
    for name, tensor in trainer.best.tensors.items():
        by = temperature if name.startswith("readout.") else 1
        np.testing.assert_allclose(tensor, average[name] / by, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.filterwarnings("error")
def test_weights_beyond_all_numbers_have_no_loss_and_are_no_error(trainer, value):
    network = _network(trainer)
    network.values[: network.values.size // 2] = value
    network.pack()
    assert np.isnan(validate(network, trainer.held_back).loss)


def test_a_network_that_suits_stays_as_it_is(trainer):
    network = _network(trainer)
    loss, temperature = validate(network, trainer.held_back)
    assert temperature == pytest.approx(1, abs=2e-3)
    assert loss == pytest.approx(trainer.best.training["validation_loss"], abs=1e-5)
