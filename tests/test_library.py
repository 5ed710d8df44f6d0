"""The package as a library: what its documentation shows works as it stands."""

import doctest
import json

import numpy as np
import pytest
from trained import DINOSAURS, FABLES, with_biases

import charrnn


def test_the_example_of_the_package(tmp_path, monkeypatch):
    """Every line of it, the training first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_bytes(FABLES.read_bytes()[:5000])
    examples = [e.source for e in doctest.DocTestParser().get_examples(charrnn.__doc__)]
    assert len(examples) == 6
    sample, training = examples[1:3], examples[3:]
    training[0] = training[0].replace("steps=500", "steps=20, batch_size=8")
    names, printed = {}, []
    names["print"] = lambda *values: printed.append(values)
    for source in (examples[0], *training):
        exec(source, names)
    assert [values[0] for values in printed] == list(range(1, 21))
    exec(sample[0], names)
    text = eval(sample[1], names)
    assert isinstance(text, str) and len(text) == 200


def test_train_save_load_sample_evaluate(tmp_path):
    trainer = charrnn.create_trainer(
        [str(DINOSAURS)],
        charrnn.TextConfig(lines=True),
        charrnn.TrainingConfig(steps=20, batch_size=16, sequence_length=16, threads=1),
        layers=1,
        hidden_size=16,
        cell="gru",
    )
    losses = [record.loss for record in trainer.run()]
    assert len(losses) == 20
    charrnn.save_model(tmp_path / "m", trainer.best)
    model = charrnn.load(tmp_path / "m", threads=1)
    assert model.sample(30, temperature=0.8, seed=1) == charrnn.load(str(tmp_path / "m")).sample(
        30, temperature=0.8, seed=1
    )
    assert model.evaluate("Tyrannosaurus").characters == 13
    assert model.evaluate("Tyrannosaurus", adapt=True).characters == 13
    assert model.training == json.loads(json.dumps(trainer.best.training))


def test_a_loaded_model_can_be_trained_on(tmp_path):
    """Its network is a network as any other."""
    charrnn.save_model(tmp_path / "m", with_biases("ab"))
    network = charrnn.load(tmp_path / "m").network
    network.prepare_training()
    assert network.gradients.shape == network.values.shape
    assert np.isfinite(network.values).all()


def test_public_names():
    assert sorted(charrnn.__all__) == charrnn.__all__
    for name in charrnn.__all__:
        assert getattr(charrnn, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        charrnn.lod  # noqa: B018
    assert charrnn.__version__
