"""``--init-from``: a model goes on to learn another text, characters that it did not know too."""

import dataclasses
import json
import math
import signal

import numpy as np
import pytest
from commands import QUICK, assert_one_line_error, execute, invoke, start
from samples import TOLD, config_of, every_cell, random_network, size_for
from trained import (
    DINOSAURS,
    FABLES,
    fables,
    language_model,
    live_model,
    run,
    save_unchecked,
    small_trainer,
    with_biases,
)

from charrnn.cells import CELLS
from charrnn.config import TextConfig
from charrnn.errors import CorpusError, ModelFileError, UsageError
from charrnn.inference.language_model import averaged_model, load
from charrnn.network.graph import build
from charrnn.network.network import Network
from charrnn.network.parameters import parameter_shapes
from charrnn.storage.checkpoint import (
    SavedModel,
    load_model,
    load_resume,
    resume_path,
    save_model,
)
from charrnn.text.vocabulary import START, UNKNOWN, Vocabulary
from charrnn.training.setup import create_trainer
from charrnn.training.transfer import carry_over

NEW = "é☃ñ\x00"
OLD_TEXT = FABLES.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The file of a model that has learned the fables."""
    path = tmp_path_factory.mktemp("model") / "fables.st"
    save_model(path, fables())
    return path


@pytest.fixture
def corpus(tmp_path):
    """A text with new characters, in which most of the old ones do not occur."""
    path = tmp_path / "corpus.txt"
    path.write_text(f"the snow {NEW} fell on a ☃\n" * 200, encoding="utf-8")
    return path


def _from(model, *sources, **settings):
    return small_trainer(*sources, layers=None, hidden_size=None,
                         shape={"init_from": model}, **settings)  # fmt: skip


# The vocabulary and the weights


def test_new_characters_follow_the_old_ones(model, corpus):
    old = fables().vocabulary.characters
    assert _from(model, corpus).vocabulary.characters == old + "".join(sorted(NEW))
    rare = _from(model, corpus, text=TextConfig(min_count=300)).vocabulary
    assert rare.characters == old + "☃"
    assert _from(model, FABLES).vocabulary == fables().vocabulary


def test_lines_know_no_line_end_even_if_the_model_does(model):
    trainer = _from(model, DINOSAURS, text=TextConfig(lines=True))
    newline = trainer.vocabulary.encode("\n")
    assert newline != UNKNOWN
    assert newline not in trainer.lanes.tokens and START in trainer.lanes.tokens


@every_cell
@pytest.mark.parametrize("embedding_size", [0, 5])
def test_old_weights_are_carried_over_to_the_bit(cell, embedding_size):
    """Of every tensor; what was added to it is as it was drawn, but for the biases."""
    config = config_of(cell, 2, 7, embedding_size, vocabulary_size=20)
    config = dataclasses.replace(config, hidden_size=size_for(cell, config.hidden_size, 24))
    larger = dataclasses.replace(config, vocabulary_size=24)
    rng = np.random.default_rng(1)
    tensors = {n: rng.standard_normal(s, np.float32) for n, s in parameter_shapes(config).items()}
    for parameter in build(config).parameters:
        if parameter.groups > 1:
            tensors[parameter.name][parameter.absent] = 0
    saved = dataclasses.replace(with_biases("a"), config=config, tensors=tensors)
    network, drawn = Network(larger, threads=1), Network(larger, threads=1)
    for each in (network, drawn):
        each.initialize(rng=np.random.default_rng(2))
    if CELLS[cell].output_scale is not None:  # other units would stand for characters
        with pytest.raises(UsageError, match="it takes no new ones: start anew"):
            carry_over(saved, network)
        return
    carry_over(saved, network)
    grown = set()
    for n, tensor in network.parameters.items():
        np.testing.assert_array_equal(tensor[tuple(map(slice, tensors[n].shape))], tensors[n])
        if tensor.shape != tensors[n].shape:
            grown.add(n)
    drawn_anew = {"readout.weight": np.s_[20:]}
    if embedding_size:
        drawn_anew["embedding.weight"] = np.s_[20:]
    else:
        drawn_anew["rnn.weight_ih_l0"] = np.s_[:, 20:]
    if CELLS[cell].output_block is not None:  # it reads a distribution over the characters
        drawn_anew["rnn.weight_hh_l0"] = np.s_[:, 20:]
    if CELLS[cell].by_character:
        drawn_anew |= {f"rnn.weight_hh_l{layer}": np.s_[20:] for layer in range(2)}
    assert grown == {*drawn_anew, "readout.bias"}
    for n, new in drawn_anew.items():
        np.testing.assert_array_equal(network.parameters[n][new], drawn.parameters[n][new])
        assert np.ptp(network.parameters[n][new]) > 0
    average = tensors["readout.bias"].mean() - math.log(4)
    np.testing.assert_allclose(network.parameters["readout.bias"][20:], average, rtol=1e-6)


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
def test_columns_of_labels_stay_behind_those_of_characters(told):
    """What a writer is told has its weights; what a new character has is as it was drawn."""
    config = config_of(("gru", "tanh"), 2, vocabulary_size=20, **told)
    larger = dataclasses.replace(config, vocabulary_size=24)
    saved, network = random_network(config, dtype=np.float32), Network(larger, threads=1)
    network.initialize(rng=np.random.default_rng(2))
    drawn = network.parameters["rnn.weight_ih_l0"].copy()
    labels = tuple("abcd")
    carry_over(SavedModel(config, Vocabulary("a"), saved.parameters, {}, labels), network)
    before, after = (n.parameters["rnn.weight_ih_l0"] for n in (saved, network))
    np.testing.assert_array_equal(after[:, -4:], before[:, -4:])
    np.testing.assert_array_equal(after[:, : config.input_size], before[:, :-4])
    new = slice(config.input_size, -4)
    np.testing.assert_array_equal(after[:, new], drawn[:, new])
    assert after[:, new].shape[1] == (0 if config.embedding_size else 4)


@pytest.mark.parametrize("count", [4, 2000])
def test_the_old_text_is_predicted_as_before(model, tmp_path, count):
    """However many characters are new."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(map(chr, range(0x4E00, 0x4E00 + count))) * 9, encoding="utf-8")
    before = language_model(fables()).evaluate(OLD_TEXT[:3000])
    after = live_model(_from(model, corpus)).evaluate(OLD_TEXT[:3000])
    assert (before.unknown, after.unknown) == (0, 0)
    assert 0 <= after.nats_per_character - before.nats_per_character < 0.02
    same = live_model(_from(model, FABLES)).evaluate(OLD_TEXT[:3000])
    assert same.nats_per_character == before.nats_per_character


def test_some_steps_on_it_have_hardly_forgotten(model, corpus):
    trainer = _from(model, corpus, FABLES, steps=5, learning_rate=0.001)
    run(trainer)
    before = language_model(fables()).evaluate(OLD_TEXT[:3000]).nats_per_character
    assert live_model(trainer).evaluate(OLD_TEXT[:3000]).nats_per_character < before + 0.1


def test_new_characters_are_learned(model, corpus):
    trainer = _from(model, corpus, steps=150, dropout=0.0)
    run(trainer)
    learned = language_model(trainer.best)
    assert learned.evaluate(f"the snow {NEW} fell on a ☃\n" * 5).nats_per_character < 0.3
    assert "☃" in learned.sample(300, seed=1)


def test_a_model_helps(model, tmp_path):
    """The beginning of a run from it is better than that of a new one."""
    part = tmp_path / "part.txt"
    part.write_text(OLD_TEXT[-20_000:], encoding="utf-8")
    losses = [run(trainer)[0].loss for trainer in (_from(model, part), small_trainer(part))]
    assert losses[0] < losses[1] - 1


def test_the_average_begins_with_the_weights_that_are_carried_over(model):
    """And the size is the model's, though none was given."""
    trainer = _from(model, FABLES, budget=30)
    assert trainer.network.config == fables().config
    np.testing.assert_array_equal(trainer.optimizer.average, trainer.network.values)
    assert averaged_model(trainer).evaluate(OLD_TEXT[:500]) == (
        language_model(fables()).evaluate(OLD_TEXT[:500])
    )


# What is refused


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"hidden_size": 33}, "`hidden_size` 32"),
        ({"layers": 1, "cell": "gru"}, "`layers` 2, `cell` lstm|`cell` lstm, `layers` 2"),
        ({"embedding_size": 4}, "`embedding_size` 0"),
    ],
)
def test_another_shape_is_refused(model, corpus, given, named):
    with pytest.raises(UsageError, match=named):
        create_trainer([str(corpus)], init_from=model, **given)


def test_units_that_are_characters_are_told_of_before_sizes(corpus, tmp_path):
    """Whoever gave a larger size, as it would be told to, would be refused for that."""
    model, target = tmp_path / "m.st", tmp_path / "new.st"
    save_model(model, with_biases("ab", cell="fully-recurrent", hidden_size=6))
    done = invoke("train", corpus, "--init-from", model, "--model", target)
    assert_one_line_error(done, 2, "fully-recurrent stand for characters", "start anew")


def test_errors_are_one_line(model, corpus, tmp_path):
    target = tmp_path / "new.st"
    spoilt = with_biases("ab", biases=[(3, math.nan)])
    save_unchecked(tmp_path / "nan.st", spoilt)
    many = tmp_path / "many.txt"
    many.write_text("".join(map(chr, range(0x20000, 0x20000 + 65_532))), encoding="utf-8")
    for options, code, words in (
        ([corpus, "--init-from", model, "--hidden-size", 128], 2, "--hidden-size 32"),
        ([corpus, "--init-from", model, "--cell", "gru"], 2, "--cell lstm"),
        ([corpus, "--init-from", model, "--resume"], 2, "--init-from"),
        ([corpus, "--init-from", tmp_path / "missing.st"], 1, "missing.st"),
        ([corpus, "--init-from", corpus], 1, "not a charrnn model"),
        ([corpus, "--init-from", tmp_path / "nan.st"], 1, "NaN"),
        ([many, "--init-from", model], 1, "--min-count"),
    ):
        assert_one_line_error(invoke("train", "--model", target, *options), code, words)
        assert not target.exists()
    with pytest.raises(ModelFileError):
        _from(tmp_path / "missing.st", corpus)
    with pytest.raises(CorpusError):
        _from(model, many)


# The command


def test_the_command_trains_and_others_take_the_model(model, corpus, tmp_path):
    target = tmp_path / "new.st"
    log = tmp_path / "log.jsonl"
    options = ("--init-from", model, "--hidden-size", 32, "--model", target, "--log", log)
    done = execute("train", corpus, *options, *QUICK[4:])
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()
    assert b"lstm 2\xc3\x9732" in done.stderr
    assert load_model(target).training["init_from"] == "fables.st"
    assert len(load(target).sample(20, seed=1)) == 20
    shown = invoke("evaluate", "--json", "--model", target, corpus)
    assert json.loads(shown.stdout)["unknown"] == 0
    assert json.loads(invoke("info", "--json", "--model", target).stdout)["init_from"]
    assert invoke("sample", "--model", target, "--prime", "☃").stderr == ""


def test_a_model_can_be_trained_on_in_its_place(model, corpus, tmp_path):
    target = tmp_path / "m.st"
    target.write_bytes(model.read_bytes())
    assert_one_line_error(invoke("train", corpus, "--init-from", target, "--model", target), 1)
    again = ("train", corpus, "--init-from", target, "--model", target, "--force", *QUICK[4:])
    assert invoke(*again).exit_code == 0
    assert "☃" in load_model(target).vocabulary.characters


def test_interrupted_and_resumed_it_ends_with_the_same_bits(model, corpus, tmp_path):
    """By ``--resume`` alone, without the model that it started from."""
    whole, target, source = tmp_path / "whole.st", tmp_path / "m.st", tmp_path / "fables.st"
    source.write_bytes(model.read_bytes())
    options = ("--init-from", source, *QUICK[4:-4], "--steps", 800)
    assert invoke("train", corpus, "--model", whole, *options).exit_code == 0
    with start("train", corpus, "--model", target, *options) as process:
        process.until(b"  validation ")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert 0 < load_resume(resume_path(target)).values["step"] < 800
    source.unlink()
    assert invoke("train", corpus, "--model", target, "--resume").exit_code == 0
    a, b = load_model(whole), load_model(target)
    assert a.vocabulary == b.vocabulary
    assert a.training["init_from"] == b.training["init_from"] == "fables.st"
    for name, tensor in a.tensors.items():
        np.testing.assert_array_equal(tensor, b.tensors[name])
