"""The package as a library: what its documentation shows works as it stands."""

import doctest
import json

import numpy as np
import pytest
from trained import DINOSAURS, FABLES, with_biases

import charrnn
from charrnn.errors import UsageError


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


@pytest.fixture(scope="module")
def even(tmp_path_factory):
    """The file of a model that has not been trained."""
    path = tmp_path_factory.mktemp("library") / "even.safetensors"
    charrnn.save_model(path, with_biases("ab"))
    return path


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"length": 2.5}, "length must be a whole number, not 2.5"),
        ({"length": -1}, "length must be 0 or more, not -1"),
        ({"length": None}, "length must be a number, not None"),
        ({"temperature": "x"}, "temperature must be a number, not 'x'"),
        ({"temperature": -0.5}, "temperature must be a number from 0"),
        ({"prime": 5}, "prime must be text, not 5"),
        ({"prime": b"a"}, "prime must be text, not b'a'"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"seed": 1.0}, "seed must be a whole number, not 1.0"),
        ({"seed": True}, "seed must be a whole number, not True"),
    ],
    ids=str,
)
def test_a_text_that_cannot_be_written_is_refused_at_once(even, values, words):
    model = charrnn.load(even, threads=1)
    for write in (model.sample, model.texts):
        with pytest.raises(UsageError, match=words):
            write(**{"length": 3, **values})


def test_other_values_that_make_no_sense_are_refused(even):
    model = charrnn.load(even, threads=1)
    for call, words in (
        (lambda: model.texts(3, count=0), "count must be 1 or more"),
        (lambda: model.texts(3, count=2.0), "count must be a whole number"),
        (lambda: model.evaluate(5), "must be text, not 5"),
        (lambda: model.evaluate(b"ab"), "must be text, not b'ab'"),
        (lambda: charrnn.load(5), "path must be a path, not 5"),
        (lambda: charrnn.load(even, threads=-1), "threads must be from 0"),
        (lambda: charrnn.load(even, threads="x"), "threads must be a whole number"),
        (lambda: charrnn.load(even, precision="x"), "auto, float32, bfloat16, not 'x'"),
        (lambda: charrnn.save_model(even, None), "no model to save"),
        (lambda: charrnn.save_model(even, model), "no model to save"),
        (lambda: charrnn.save_model(None, with_biases("ab")), "path must be a path"),
        (lambda: charrnn.create_trainer(str(FABLES)), "must be a list of files"),
        (lambda: charrnn.create_trainer(5), "must be a list of files"),
        (lambda: charrnn.create_trainer([5]), "every source must be a path"),
        (lambda: charrnn.create_trainer([FABLES], init_from=5), "init_from must be a path"),
        (lambda: charrnn.create_trainer([FABLES], charrnn.TrainingConfig()), "be a TextConfig"),
        (lambda: charrnn.create_trainer([FABLES], None, {"steps": 5}), "a TrainingConfig"),
        (lambda: charrnn.create_trainer([FABLES], hidden_size="5"), "hidden_size must be a whole"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    assert charrnn.load(even).vocabulary.characters == "ab"


def test_numbers_of_numpy_write_texts(even):
    model = charrnn.load(even, threads=1)
    text = model.sample(np.int64(4), temperature=np.float32(0.5), seed=np.int64(1))
    assert text == model.sample(4, temperature=0.5, seed=1)


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
