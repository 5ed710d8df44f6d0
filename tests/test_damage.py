"""Resume files and model files with altered contents and a right checksum: refused, or harmless."""

import dataclasses
import itertools
import json
import random

import numpy as np
import pytest
from commands import assert_one_line_error, invoke
from safetensors.numpy import save as to_safetensors
from trained import FABLES, save_unchecked, with_biases

from charrnn.cli.tables import figures_table
from charrnn.config import TextConfig, TrainingConfig
from charrnn.errors import CharrnnError, ModelFileError
from charrnn.inference.language_model import load
from charrnn.inference.models import load as load_any
from charrnn.storage import checkpoint, metadata
from charrnn.storage.checkpoint import (
    load_finite_model,
    load_model,
    load_resume,
    resume_path,
    save_model,
    save_resume,
)
from charrnn.storage.summary import describe
from charrnn.text.vocabulary import Vocabulary
from charrnn.training.setup import create_trainer

OPTIONS = ("--layers", 1, "--hidden-size", 5, "--batch-size", 4, "--sequence-length", 8,
           "--steps", 12, "--validations", 3, "--warmup-steps", 2, "--threads", 1)  # fmt: skip

#: Stands for a value that is left out, and for lists that JSON can only just say or not at all.
MISSING, DEEP, DEEPER = "<missing>", "<deep>", "<deeper>"
WRONG = (MISSING, DEEP, DEEPER, None, True, -1, 0, 1.5, 10**30, float("nan"), float("inf"),
         float("-inf"), "", "x\n\0", "x" * 10_000, [], [1], {}, {"a": 1})  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a corpus and the two files of a run that goes on after its end."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "corpus.txt").write_bytes(FABLES.read_bytes()[:1500])
    done = invoke("train", folder / "corpus.txt", "--model", folder / "m.st", *OPTIONS)
    assert done.exit_code == 0, done.stderr
    state = load_resume(resume_path(folder / "m.st"))
    state.values["training"]["steps"] = 20
    save_resume(resume_path(folder / "m.st"), state)
    return folder


@pytest.fixture
def state(run):
    """What the run's resume file holds, to be altered."""
    return load_resume(resume_path(run / "m.st"))


@pytest.fixture(scope="module")
def reading_run(tmp_path_factory):
    """The same of a run that learns to tell labels, stopped in its second pass."""
    folder = tmp_path_factory.mktemp("reading")
    lines = [f"{n:04}\t{['even', 'odd'][n % 2]}" for n in range(400)]
    (folder / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    more = ("--task", "label", "--precision", "float32")
    done = invoke("train", folder / "corpus.txt", "--model", folder / "m.st", *OPTIONS, *more)
    assert done.exit_code == 0, done.stderr
    state = load_resume(resume_path(folder / "m.st"))
    state.values["training"]["steps"] = 20
    save_resume(resume_path(folder / "m.st"), state)
    return folder


def _text(values):
    text = json.dumps(values)
    for name, depth in ((DEEP, 500), (DEEPER, 10_000)):
        text = text.replace(json.dumps(name), "[" * depth + "]" * depth)
    return text


def _write(path, arrays, text):
    """A resume file that says this, with a right checksum."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    path.write_bytes(to_safetensors(arrays, {
        "format": checkpoint.RESUME_FORMAT,
        "format_version": str(checkpoint.RESUME_FORMAT_VERSION),
        "values": text,
        "checksum": checkpoint.checksum_of(arrays, text),
    }))  # fmt: skip


def _places(values, before=()):
    """The way to every value, those in one another too."""
    for name, value in values.items():
        yield (*before, name)
        if isinstance(value, dict):
            yield from _places(value, (*before, name))


def _altered(values, place, wrong):
    """A copy in which the value at ``place`` is ``wrong``."""
    copy = json.loads(json.dumps(values))
    *way, name = place
    inner = copy
    for step in way:
        inner = inner[step]
    if wrong == MISSING:
        del inner[name]
    else:
        inner[name] = wrong
    return copy


def _trainer(run, values):
    shape = {name: value for name, value in values["shape"].items() if name != "vocabulary_size"}
    return create_trainer(
        [str(run / "corpus.txt")], TextConfig(**values["origin"]["text"]),
        TrainingConfig(**values["training"]), vocabulary=Vocabulary(values["characters"]), **shape,
    )  # fmt: skip


def _go_on(run, path):
    """What ``train --resume`` does with a resume file, for some steps and in this process."""
    saved = load_resume(path)
    trainer = _trainer(run, saved.values)
    trainer.restore(saved, load_model(run / "m.st"))
    records = list(itertools.islice(trainer.run(), 3))
    assert records or trainer.complete
    save_model(path.with_name("new.st"), trainer.best)
    save_resume(path, trainer.capture())
    assert load_finite_model(path.with_name("new.st")) and load_resume(path)


def _assert_refused_or_harmless(run, path):
    """The latter is what it returns."""
    try:
        _go_on(run, path)
    except CharrnnError as error:
        assert "\n" not in str(error)
        return False
    return True


def _assert_is_damage(error, path):
    assert f"{path} is damaged: " in str(error)
    assert "\n" not in str(error) and len(str(error)) < 1000


def _assert_damaged(path):
    with pytest.raises(ModelFileError) as caught:
        load_resume(path)
    _assert_is_damage(caught.value, path)


def _write_model(path, saved, training):
    """A model file that says this of its training."""
    path.write_bytes(to_safetensors(saved.tensors, {
        "format": checkpoint.FORMAT,
        "format_version": str(checkpoint.FORMAT_VERSION),
        "config": json.dumps(dataclasses.asdict(saved.config)),
        "characters": json.dumps(saved.vocabulary.characters),
        "labels": json.dumps(saved.labels),
        "training": training,
        "checksum": checkpoint.checksum_of(saved.tensors),
    }))  # fmt: skip


def test_any_value_of_a_resume_file_may_be_wrong(run, state, tmp_path):
    """A third of all alterations: each value in several ways."""
    path = tmp_path / "m.st.resume"
    altered = list(itertools.product(_places(state.values), WRONG))
    for place, wrong in random.Random(1).sample(altered, 300):
        _write(path, state.arrays, _text(_altered(state.values, place, wrong)))
        _assert_refused_or_harmless(run, path)


def test_any_value_of_a_run_that_reads_may_be_wrong(reading_run, tmp_path):
    """All of what only such a run has, and some of the rest."""
    path, state = tmp_path / "m.st.resume", load_resume(resume_path(reading_run / "m.st"))
    own = [("labels",), ("position",), ("shape", "task"), ("shape", "classes"),
           ("shape", "multiple"), *(("origin", "text", name) for name in ("task", "balance")),
           ("best", "temperature")]  # fmt: skip
    altered = [*itertools.product(own, WRONG)]
    altered += random.Random(1).sample([*itertools.product(_places(state.values), WRONG)], 60)
    altered += [(("position",), n) for n in (7, 12_345, 2**24 - 1, 2**24, 10**15)]
    altered += [(("labels",), names) for names in (["odd", "even"], ["even", "even"], ["even"])]
    for place, wrong in altered:
        _write(path, state.arrays, _text(_altered(state.values, place, wrong)))
        _assert_refused_or_harmless(reading_run, path)
    _write(path, state.arrays, _text(state.values))
    assert _assert_refused_or_harmless(reading_run, path)


@pytest.mark.parametrize("text", [*map(json.dumps, WRONG), "[" * 10_000, "", "{", "nonsense"],
                         ids=lambda text: text[:10])  # fmt: skip
def test_what_says_nothing_of_a_run_is_damage(state, tmp_path, text):
    _write(tmp_path / "m.st.resume", state.arrays, text)
    _assert_damaged(tmp_path / "m.st.resume")


def _wrong_arrays(array):
    """What may stand in the place of an array; None: nothing."""
    yield from (None, array[:0], array[..., :-1], array[None], array.reshape(-1)[:, None])
    yield from (array.astype(np.float64), array.astype(np.float16), array.view(np.int32))
    for number in (np.nan, np.inf, -np.inf):
        spoilt = array.copy()
        spoilt.flat[spoilt.size // 2] = number
        yield spoilt


def test_any_array_of_a_resume_file_may_be_wrong(run, state, tmp_path):
    path, text = tmp_path / "m.st.resume", _text(state.values)
    for name, array in state.arrays.items():
        for wrong in _wrong_arrays(array):
            others = {n: a for n, a in state.arrays.items() if n != name}
            _write(path, others if wrong is None else {**others, name: wrong}, text)
            if name == "moment.square" and wrong is not None and wrong.max(initial=0) == np.inf:
                assert _assert_refused_or_harmless(run, path)
            else:
                _assert_damaged(path)
        _write(path, {**others, f"{name}s": array}, text)
        _assert_damaged(path)
        _write(path, {**state.arrays, "more": array}, text)
        _assert_damaged(path)


def test_a_large_network_is_refused_before_it_is_made(state, tmp_path):
    """Its arrays are not there."""
    path = tmp_path / "m.st.resume"
    state.values["shape"] |= {"hidden_size": 65_536, "layers": 64}
    _write(path, state.arrays, _text(state.values))
    _assert_damaged(path)


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("step",), -1),
        (("seconds",), float("nan")),
        (("rng",), DEEPER),
        (("best", "options"), DEEP),
        (("training", "sequence_length"), 8.0),
        (("origin",), MISSING),
    ],
    ids=str,
)
def test_the_command_says_so_on_a_line_and_leaves_the_files(run, state, tmp_path, place, wrong):
    model = tmp_path / "m.st"
    model.write_bytes((run / "m.st").read_bytes())
    _write(resume_path(model), state.arrays, _text(_altered(state.values, place, wrong)))
    before = [path.read_bytes() for path in (model, resume_path(model))]
    done = invoke("train", run / "corpus.txt", "--model", model, "--resume")
    assert_one_line_error(done, 1, f"{resume_path(model)} is damaged: ")
    assert [path.read_bytes() for path in (model, resume_path(model))] == before


def test_every_value_that_is_written_is_read(run, state):
    """And nothing else is."""
    assert metadata.read_resume(state.values) == state.values
    trainer = _trainer(run, state.values)
    assert trainer.capture().values.keys() == state.values.keys()
    assert trainer.capture().arrays.keys() == state.arrays.keys()


# Models


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_model_that_is_not_finite_is_not_written(tmp_path, number):
    path = tmp_path / "m.st"
    path.write_bytes(b"old")
    with pytest.raises(ModelFileError, match=r"m\.st is not written.* NaN"):
        save_model(path, with_biases("ab", biases=[(3, number)]))
    assert path.read_bytes() == b"old"


def test_a_run_does_not_go_on_with_a_best_model_that_is_not_finite(run, state, tmp_path):
    model = tmp_path / "m.st"
    state.values["step"] += 1
    save_resume(resume_path(model), state)
    saved = load_model(run / "m.st")
    saved.tensors["readout.bias"][3] = np.nan
    save_unchecked(model, saved)
    done = invoke("train", run / "corpus.txt", "--model", model, "--resume")
    assert_one_line_error(done, 1, model, "NaN")


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: str(wrong)[:10])
def test_any_figure_of_a_model_may_be_wrong(run, tmp_path, wrong):
    """It is refused, or no command stumbles over it."""
    path, saved = tmp_path / "m.st", load_model(run / "m.st")
    for place in _places(saved.training):
        text = _text(_altered(saved.training, place, wrong))
        _write_model(path, saved, text)
        try:
            model = load(path, threads=1)
        except ModelFileError as error:
            _assert_is_damage(error, path)
        else:
            assert figures_table(describe(load_model(path)))
            assert len(model.sample(3, seed=1)) <= 3
            model.save(tmp_path / "again.st")


READING = {
    "label": (TextConfig(task="label"), ("even", "odd")),
    "tags": (TextConfig(task="tags"), ("O", "B-x", "I-x")),
    "restore": (TextConfig(task="restore", restore="case"), ("nothing", "upper")),
}


@pytest.mark.parametrize("task", READING)
def test_what_a_model_that_reads_says_of_its_text_may_be_wrong(tmp_path, task):
    text, labels = READING[task]
    path, figures = tmp_path / "m.st", {"text": dataclasses.asdict(text), "temperature": 1.5}
    saved = with_biases("abc", task=task, classes=len(labels))
    saved = dataclasses.replace(saved, labels=labels)
    answered = 0
    for place, wrong in itertools.product(_places(figures), WRONG):
        _write_model(path, saved, _text(_altered(figures, place, wrong)))
        try:
            model = load_any(path, threads=1)
            (found,) = model.answers(["aB"])
        except CharrnnError as error:
            assert "\n" not in str(error)
        else:
            assert found
            answered += 1
    assert answered > 0


@pytest.mark.parametrize(
    "labels", [("O", "B-x"), ("B-x", "I-x", "O"), ("O", "B-x", "I-y"), ("O", "B- ", "I- ")]
)
def test_labels_that_are_none_of_tags_are_damage(tmp_path, labels):
    saved = with_biases("abc", task="tags", classes=len(labels))
    _write_model(tmp_path / "m.st", dataclasses.replace(saved, labels=labels), "{}")
    with pytest.raises(CharrnnError) as caught:
        load_any(tmp_path / "m.st", threads=1)
    assert "\n" not in str(caught.value)


def test_figures_that_are_no_numbers_are_none(tmp_path):
    path = tmp_path / "m.st"
    figures = {"validation_loss": float("nan"), "training_loss": float("inf")}
    save_model(path, dataclasses.replace(with_biases("ab"), training=figures))
    assert load_model(path).training == dict.fromkeys(figures)
    assert "loss" not in invoke("info", "--model", path).stdout
    documents = dataclasses.replace(with_biases("ab"), training={"documents": True})
    save_model(path, documents)
    assert_one_line_error(invoke("info", "--model", path), 1, "is damaged", "documents: True")
