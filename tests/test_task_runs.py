"""Runs that learn labels, tags and what was taken out: they go on to the bit, and from a model."""

import dataclasses
import itertools

import numpy as np
import pytest
from commands import invoke
from readers import labelled_lines, names, paired_lines, tagged_lines, words
from trained import FABLES, run, small_trainer

from charrnn.config import TextConfig
from charrnn.errors import CharrnnError, UsageError
from charrnn.storage.checkpoint import load_model, load_resume, save_model, save_resume
from charrnn.text.documents import Documents
from charrnn.text.pairs import Pairs
from charrnn.text.running import RunningText
from charrnn.training.evaluation import loss_of
from charrnn.training.reading import document_logits
from charrnn.training.validation import Validation, validate

#: What each run learns, and the lines of its file.
TASKS = {
    "label": ({"task": "label"}, labelled_lines),
    "balanced": ({"task": "label", "balance": True}, labelled_lines),
    "several": (
        {"task": "label", "multiple": True},
        lambda: [f"{w}\t{','.join({*w} & {*'aeiou'})}" for w in words()],
    ),
    "tags": ({"task": "tags"}, tagged_lines),
    "restore": (
        {"task": "restore", "restore": "case,gaps"},
        lambda: [FABLES.read_text("utf-8")[:30_000]],
    ),
    "columns": ({"labels": "columns"}, labelled_lines),
    "pairs": ({"task": "pairs"}, paired_lines),
    "ctc": ({"task": "pairs", "decoder": "ctc"}, paired_lines),
}
#: Whatever is planned for such runs, these learn fast.
FAST = {"dropout": 0.0, "weight_decay": 0.0}
every_task = pytest.mark.parametrize("task", TASKS)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A folder with a file for each task."""
    folder = tmp_path_factory.mktemp("corpora")
    for task, (_, lines) in TASKS.items():
        (folder / task).write_text("\n".join(lines()), encoding="utf-8")
    return folder


@pytest.fixture
def trainer_of(corpora):
    """Sets up a run of a task, on its file unless another is named."""

    def trainer_of(task, *sources, text=None, **given):
        text = TextConfig(**{**TASKS[task][0], **(text or {})})
        return small_trainer(*sources or [corpora / task], text=text, **given)

    return trainer_of


def _without_times(records):
    return [(r.step, r.characters, r.epoch, r.loss, r.gradient_norm, r.validation_loss)
            for r in records]  # fmt: skip


def _assert_equal(one, other):
    """Two trainers have come to the same weights, and to the same best model but for options."""
    for name, array in one.capture().arrays.items():
        np.testing.assert_array_equal(array, other.capture().arrays[name], err_msg=name)
    figures, of_other = one.best.training, other.best.training
    assert figures.keys() == of_other.keys()
    for name in figures.keys() - {"seconds", "options"}:
        assert figures[name] == of_other[name], name
    for name, tensor in one.best.tensors.items():
        np.testing.assert_array_equal(tensor, other.best.tensors[name])


# Going on


@every_task
def test_stopped_within_a_pass_it_ends_with_the_same_bits(trainer_of, task, tmp_path):
    """In a later pass than the first, between two validations, with another number of threads."""
    settings = {"batch_size": 48, "sequence_length": 64, "steps": 24, "dropout": 0.2}
    whole, first = trainer_of(task, **settings), trainer_of(task, **settings)
    records = run(whole)
    steps = 15
    assert records[steps - 1].epoch > 1
    for record in itertools.islice(first.run(), steps):
        if record.step == steps:
            save_resume(tmp_path / "run.resume", first.capture())
    second = trainer_of(task, **settings, threads=2)
    second.restore(load_resume(tmp_path / "run.resume"), first.best)
    assert second.lanes.read == records[steps - 1].characters
    assert _without_times(run(second)) == _without_times(records[steps:])
    _assert_equal(whole, second)


def test_other_labels_are_another_corpus(trainer_of, tmp_path):
    """Of the same texts: they are part of what is learned."""
    first = trainer_of("label", steps=2)
    lines = [line.replace("dinosaur", "aloe") for line in labelled_lines()]
    flipped = [f"{line.split(chr(9))[0]}\t{'ab'[len(line) % 2]}" for line in lines]
    (tmp_path / "0").write_text("\n".join(flipped), encoding="utf-8")
    with pytest.raises(UsageError, match="corpus"):
        trainer_of("label", tmp_path / "0", steps=2).restore(first.capture(), None)


def test_patience_of_a_run_that_reads(trainer_of, monkeypatch):
    """It ends, and so does one that goes on from it."""
    coming = [3.0, 2.5, 2.6, 2.7]
    monkeypatch.setattr("charrnn.training.trainer.validate", lambda *_: Validation(coming.pop(0)))
    settings = {"steps": 40, "validations": 20, "patience": 2, "batch_size": 8}
    first, second = trainer_of("label", **settings), trainer_of("label", **settings)
    run_of_first = list(itertools.islice(first.run(), 5))
    second.restore(first.capture(), first.best)
    records = [*run_of_first, *run(second)]
    assert records[-1].step == 8 and second.out_of_patience and not coming
    assert second.best.training["steps"] == 4


# Learning


def test_rare_labels_are_found_more_often_with_balance(trainer_of, tmp_path):
    """Names among twenty times as many words: what they weigh moves the boundary."""
    rare = [f"{name.lower()}\tdinosaur" for name in names()[: len(words()) // 20]]
    lines = [*rare, *(f"{word.lower()}\tword" for word in words())]
    (tmp_path / "0").write_text("\n".join(lines), encoding="utf-8")
    found = []
    for task in ("label", "balanced"):
        trainer = trainer_of(task, tmp_path / "0", steps=60, **FAST)
        run(trainer)
        told = document_logits(trainer.averaged(), trainer.training).argmax(axis=1)
        found.append(np.mean(told[trainer.training.classes == 0] == 0))
    assert found[0] + 0.1 < found[1]


def test_a_writer_learns_what_labels_say_and_to_do_without(trainer_of):
    """With the right labels texts are likelier than without, and without likelier than wrong."""
    trainer = trainer_of("columns", hidden_size=32, steps=150, batch_size=32, **FAST)
    run(trainer)
    held_back, network = trainer.held_back, trainer.averaged()
    wrong = RunningText(held_back.tokens, 1 - held_back.labels)
    right, none, other = (
        loss_of(network, text) for text in (held_back, RunningText(held_back.tokens), wrong)
    )
    assert trainer.labels == ("dinosaur", "word")
    assert right + 0.05 < none < other - 0.2
    assert right == pytest.approx(trainer.best.training["validation_loss"], rel=0.02)


# From a model


@pytest.fixture
def saved(trainer_of, tmp_path):
    """The file of a model of a task, of a few steps."""

    def saved(task):
        trainer = trainer_of(task, steps=40)
        run(trainer)
        save_model(tmp_path / task, trainer.best)
        return tmp_path / task, trainer.best

    return saved


def _from(trainer_of, task, path, *sources, **given):
    return trainer_of(task, *sources, layers=None, hidden_size=None,
                      shape={"init_from": path}, **given)  # fmt: skip


@every_task
def test_a_run_from_a_model_keeps_its_labels_and_its_losses(trainer_of, saved, corpora, task):
    """Of a text with the same characters, before any step."""
    path, model = saved(task)
    trainer = _from(trainer_of, task, path)
    assert trainer.labels == model.labels
    assert trainer.network.config == model.config
    text = trainer.held_back
    if task != "restore":  # whose gaps are drawn anew
        expected = model.training["validation_loss"]
        assert validate(trainer.network, text).loss == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(run(trainer)[-1].loss)


@pytest.mark.parametrize("task", ["label", "tags", "columns", "pairs", "ctc"])
def test_new_characters_and_old_labels(trainer_of, saved, tmp_path, task):
    """Old texts keep their losses; a text may lack some labels and have no new ones."""
    path, model = saved(task)
    new = tmp_path / "new"
    lines = {"tags": "<count>☃é</count> of", "pairs": "☃éof\tof\tword"}
    line = lines.get(task, lines["pairs"] if task == "ctc" else "☃éof\tword")
    new.write_text(f"{line}\n" * 30, encoding="utf-8")
    trainer = _from(trainer_of, task, path, new)
    assert trainer.labels == model.labels
    known, added = model.vocabulary.characters, trainer.vocabulary.characters
    assert added == known + "é☃"
    before = _from(trainer_of, task, path)
    text = before.held_back
    expected = loss_of(before.network, text)
    if isinstance(text, Pairs):  # labels are read behind all characters
        tokens = text.left.tokens
        moved = np.where(tokens >= model.vocabulary.size, tokens + 2, tokens)
        text = dataclasses.replace(text, left=dataclasses.replace(text.left, tokens=moved))
    found = loss_of(trainer.network, text)
    assert found == pytest.approx(expected, abs=1e-6 if task != "columns" else 0.04)
    assert np.isfinite(run(trainer)[-1].loss)
    unheard = {"tags": "<sum>3</sum>", "pairs": "x\ty\twords"}
    unheard = unheard.get(task, unheard["pairs"] if task == "ctc" else "x\twords")
    new.write_text(unheard, encoding="utf-8")
    with pytest.raises(CharrnnError, match=r"there is no label '(sum|words)'"):
        _from(trainer_of, task, path, new)


def test_another_task_is_refused(trainer_of, saved, corpora):
    label, tags, columns = (saved(task)[0] for task in ("label", "tags", "columns"))
    for path, task, words_of_it in [
        (label, "tags", "has the `task` label: a run from it keeps that"),
        (label, "columns", "has the `task` label"),
        (tags, "label", "has the `task` tags"),
        (columns, "label", "writes by labels: a run from it keeps that"),
    ]:
        with pytest.raises(UsageError, match=words_of_it):
            _from(trainer_of, task, path)
    with pytest.raises(UsageError, match="tells one label of a text: a run from it keeps that"):
        _from(trainer_of, "several", label)
    with pytest.raises(UsageError, match="restores case,gaps: a run from it keeps that"):
        kinds = {"restore": "case,gaps,punctuation"}
        _from(trainer_of, "restore", saved("restore")[0], text=kinds)
    with pytest.raises(UsageError, match="writes by labels"):
        small_trainer(layers=None, hidden_size=None, shape={"init_from": columns})


# What a run plans


def test_a_chunk_is_as_long_as_most_texts(trainer_of):
    """Where nothing else is asked for."""
    trainer = trainer_of("label", sequence_length=None)
    assert trainer.plan.sequence_length == 64
    tags = trainer_of("tags", sequence_length=None)
    longest = tags.training.lengths.max()
    assert isinstance(tags.training, Documents)
    assert longest < 64 and tags.plan.sequence_length == 64
    restore = trainer_of("restore", sequence_length=None)
    assert restore.plan.sequence_length == 256


# From the command line


def test_a_run_from_a_model_is_taken_up_again(saved, tmp_path):
    """Whose text has its labels in another order, and not all of them."""
    path, model = saved("tags")
    text, out = tmp_path / "text", tmp_path / "out"
    text.write_text("\n".join(f"<count>{n}</count> eggs" for n in range(400)), encoding="utf-8")
    done = invoke("train", text, "--init-from", path, "--model", out, "--task", "tags",
                  "--batch-size", 8, "--steps", 3)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    done = invoke("train", text, "--model", out, "--resume", "--steps", 5)
    assert done.exit_code == 0, done.stderr
    assert load_model(out).labels == model.labels
    assert load_model(out).training["steps"] == 5
