"""The model file: bit for bit, atomic, and never believed."""

import dataclasses
import errno
import io
import json
import os
import pickle
import random
import tracemalloc
import zipfile

import numpy as np
import pytest
from commands import invoke
from disks import ERRORS, Disk, on
from safetensors.numpy import save as to_safetensors
from samples import READERS, TOLD, config_of, every_variant, random_network
from trained import FABLES, fables, save_unchecked, with_biases

from charrnn.errors import CharrnnError, ModelFileError
from charrnn.inference.language_model import LanguageModel, load
from charrnn.network.parameters import parameter_shapes
from charrnn.storage import checkpoint
from charrnn.storage.checkpoint import (
    FORMAT_VERSION,
    ResumeState,
    SavedModel,
    load_model,
    save_model,
    save_resume,
)
from charrnn.storage.tensors import MOST_HEADER
from charrnn.text.vocabulary import Vocabulary


def _assert_same(one, other):
    assert (one.config, one.vocabulary, one.training, one.labels) == (
        other.config, other.vocabulary, other.training, other.labels,
    )  # fmt: skip
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert tensor.dtype == other.tensors[name].dtype == np.float32
        assert tensor.tobytes() == other.tensors[name].tobytes(), name


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path):
    """A model in the file ``path``."""
    model = with_biases("abc", biases=[(3, 1.5)])
    save_model(path, model)
    return model


# Round trips


def test_a_trained_model_comes_back_bit_for_bit(path):
    save_model(path, fables())
    _assert_same(load_model(path), fables())
    again = path.with_name("again.safetensors")
    load(path).save(again)
    _assert_same(load_model(again), fables())


@every_variant
def test_every_network_comes_back_and_says_the_same(path, cell, more):
    network = random_network(config_of(cell, layers=2, embedding_size=5, **more), dtype=np.float32)
    model = LanguageModel(network, Vocabulary("abcdefgh"), {"documents": 2})
    model.save(path)
    _assert_same(
        load_model(path),
        SavedModel(network.config, model.vocabulary, network.parameters, model.training),
    )
    assert load(path).evaluate("head") == model.evaluate("head")


def _of_labels(more, names=None):
    """A model that tells labels, or is told them."""
    config = config_of(("gru", "tanh"), **more)
    rng = np.random.default_rng(1)
    tensors = {n: rng.standard_normal(s, np.float32) for n, s in parameter_shapes(config).items()}
    names = tuple(map(str, range(config.classes))) if names is None else names
    return SavedModel(config, Vocabulary("abcdefgh"), tensors, {"documents": 2}, names)


@pytest.mark.parametrize("more", {**READERS, **TOLD}.values(), ids={**READERS, **TOLD})
def test_models_of_each_task_come_back_with_their_labels(path, more):
    save_model(path, _of_labels(more))
    _assert_same(load_model(path), _of_labels(more))


def test_any_labels_come_back(path):
    names = ("", '\0\n"', "日本 <unk>", "a\tb")
    save_model(path, _of_labels(TOLD["told"], names))
    assert load_model(path).labels == names


@pytest.mark.parametrize("characters", ["a", "\0\x1b\n\"\\'", "éß日本\U0001f600", "<unk>"])
def test_any_characters_come_back(path, characters):
    characters = "".join(dict.fromkeys(characters))
    model = with_biases(characters, embedding_size=5)
    save_model(path, model)
    _assert_same(load_model(path), model)


def test_extreme_weights_and_any_memory_layout_come_back(path):
    model = with_biases("abcd", hidden_size=4, layers=2)
    rng = np.random.default_rng(1)
    for name, tensor in model.tensors.items():
        values = rng.choice(np.array([-0.0, 1e-45, -3.4e38, 1 / 3, 0], np.float32), tensor.shape)
        strided = np.zeros((*values.shape[::-1], 2), np.float32)[..., 0].T
        strided[...] = values
        model.tensors[name] = strided
    assert not model.tensors["readout.weight"].flags.c_contiguous
    save_model(path, model)
    _assert_same(load_model(path), model)


def test_the_file_has_the_permissions_of_any_new_file(path, saved):
    plain = path.with_name("plain")
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.torch
def test_the_file_is_pytorchs(path):
    torch = pytest.importorskip("torch")
    tensors = pytest.importorskip("safetensors.torch")
    save_model(path, fables())
    config = fables().config
    assert config.cell == "lstm" and not config.embedding_size
    state = tensors.load_file(path)
    rnn = torch.nn.LSTM(config.input_size, config.hidden_size, config.layers)
    readout = torch.nn.Linear(config.hidden_size, config.vocabulary_size)
    for module, prefix in ((rnn, "rnn."), (readout, "readout.")):
        module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        )
    model = load(path)
    text = FABLES.read_text(encoding="utf-8")[:200]
    tokens = torch.tensor([0, *model.vocabulary.encode(text).tolist(), 1])
    with torch.no_grad():
        logits = readout(
            rnn(torch.nn.functional.one_hot(tokens[:-1], config.input_size).float())[0]
        )
        nats = torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="sum")
    assert model.evaluate(text).nats == pytest.approx(float(nats), rel=1e-5)


# Atomic writes


def test_saving_takes_no_memory_beside_the_tensors(tmp_path):
    """A laptop may have no room for another three."""
    state = ResumeState({"values": np.zeros(1 << 22, np.float32)}, {})
    tracemalloc.start()
    save_resume(tmp_path / "m.resume", state)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_a_refused_write_leaves_the_old_file(path, saved, error):
    before = path.read_bytes()
    for refused in range(5):
        with on(Disk(refused, error)), pytest.raises(ModelFileError, match=os.strerror(error)):
            save_model(path, fables())
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ModelFileError, match="cannot write"):
        save_model(tmp_path / "no" / "m.safetensors", with_biases("ab"))


# What is refused


def _contents(path, saved, *, tensors=None, config=None, config_text=None, **metadata):
    """Writes the file anew with other tensors, configuration values or metadata."""
    tensors = saved.tensors if tensors is None else tensors
    values = {
        "format": "charrnn",
        "format_version": str(FORMAT_VERSION),
        "config": config_text or json.dumps(dataclasses.asdict(saved.config) | (config or {})),
        "characters": json.dumps(saved.vocabulary.characters),
        "training": json.dumps(saved.training),
        "checksum": checkpoint.checksum_of(tensors),
    }
    values |= metadata
    path.write_bytes(to_safetensors(tensors, {k: v for k, v in values.items() if v is not None}))


def _zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 100)
    return file.getvalue()


def _with_header(header):
    return len(header).to_bytes(8, "little") + header


@pytest.mark.parametrize(
    "contents",
    {
        "empty": b"",
        "short": b"1234567",
        "pickle": pickle.dumps({"weights": [1.0] * 50}),
        "zip": _zip(),
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100),
        "zeros": bytes(1000),
        "text": b"Once upon a time there was a heron.\n" * 20,
        "header beyond the file": (10**6).to_bytes(8, "little") + b"{}",
        "header of 2^63": (2**63).to_bytes(8, "little") + b"{}" * 50,
        "header is no JSON": _with_header(b"{nonsense"),
        "header is not UTF-8": _with_header(b'{"\xff":1}'),
        "deep nesting": _with_header(b"[" * 100_000 + b"]" * 100_000),
        "no metadata": to_safetensors({"a": np.zeros(3)}),
        "foreign metadata": to_safetensors({"a": np.zeros(3)}, {"format": "pt"}),
    }.items(),
    ids=lambda item: item[0],
)
def test_foreign_files_are_not_models(path, contents):
    path.write_bytes(contents[1])
    with pytest.raises(ModelFileError, match="not a charrnn model") as caught:
        load_model(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_future_version_is_refused_with_both_versions(path, saved):
    _contents(path, saved, format_version="7", characters="[")
    with pytest.raises(ModelFileError, match=f"version 7.* version {FORMAT_VERSION}"):
        load_model(path)


def _changed(tensors, **changes):
    names = {"bias": "readout.bias", "weight": "rnn.weight_ih_l0", "more": "rnn.weight_ih_l1"}
    changed = dict(tensors)
    for name, change in changes.items():
        changed[names[name]] = change(changed.get(names[name]))
    return {name: tensor for name, tensor in changed.items() if tensor is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"bias": lambda t: None},
        {"more": lambda t: np.zeros((12, 3), np.float32)},
        {"bias": lambda t: t[:-1]},
        {"bias": lambda t: t[:, None]},
        {"bias": lambda t: t[:0]},
        {"weight": lambda t: np.ascontiguousarray(t.T)},
        {"weight": lambda t: t.astype(np.float64)},
        {"weight": lambda t: t.astype(np.float16)},
        {"weight": lambda t: t.view(np.int32)},
    ],
)
def test_tensors_must_be_those_of_the_configuration(path, saved, changes):
    _contents(path, saved, tensors=_changed(saved.tensors, **changes))
    with pytest.raises(ModelFileError, match="damaged") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "metadata",
    [
        {"config": {"hidden_size": 10**9}},
        {"config": {"hidden_size": 65_536, "layers": 64}},
        {"config": {"hidden_size": -3}},
        {"config": {"hidden_size": 4}},
        {"config": {"hidden_size": "3"}},
        {"config": {"hidden_size": 3.0}},
        {"config": {"hidden_size": 3.5}},
        {"config": {"hidden_size": None}},
        {"config": {"layers": 2}},
        {"config": {"layers": 1.0}},
        {"config": {"layers": 0}},
        {"config": {"layers": 10**4000}},
        {"config": {"cell": "gru"}},
        {"config": {"cell": "unheard-of"}},
        {"config": {"cell": ["lstm"]}},
        {"config": {"cell": "lstm-peephole"}},
        {"config": {"readout_layers": 1}},
        {"config": {"readout_layers": 10**9}},
        {"config": {"members": 2}},
        {"config": {"members": 10**9}},
        {"config": {"readout_size": 3}},
        {"config": {"initial_state": "learned"}},
        {"config": {"initial_state": "unheard-of"}},
        {"config": {"initial_state": None}},
        {"config": {"embedding_size": 7}},
        {"config": {"vocabulary_size": 7}},
        {"config": {"more": 1}},
        {"characters": '"abcd"'},
        {"characters": '"aba"'},
        {"characters": '"aa"'},
        {"characters": '"ab\\ud800"'},
        {"characters": '["a", "b", "c"]'},
        {"characters": "abc"},
        {"characters": None},
        {"training": None},
        {"training": "3"},
        {"training": "[" * 100_000},
        {"checksum": None},
        {"checksum": ""},
        {"format_version": None},
        {"format_version": "one"},
        {"format_version": "x\n\x1b[31m"},
    ],
    ids=lambda change: str(change)[:40],
)
def test_descriptions_that_make_no_sense_are_refused(path, saved, metadata):
    _contents(path, saved, **metadata)
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 10_000


#: Without labels, as models were before there were any.
FORMER = ("vocabulary_size", "cell", "activation", "layers", "hidden_size", "embedding_size",
          "readout_layers", "readout_size", "initial_state")  # fmt: skip


def test_a_model_from_before_there_were_tasks_writes(path, saved):
    config = {name: getattr(saved.config, name) for name in FORMER}
    _contents(path, saved, config_text=json.dumps(config))
    _assert_same(load_model(path), saved)
    assert load(path).evaluate("abc").nats_per_character > 0


@pytest.mark.parametrize("more", [TOLD["told"], READERS["label"], READERS["tags"]])
@pytest.mark.parametrize(
    "changes",
    [
        {"labels": None},
        {"labels": "[]"},
        {"labels": '["0", "1", "2"]'},
        {"labels": '["0", "1", "2", "3", "4", "5"]'},
        {"labels": '["0", "1", "2", "3", "3"]'},
        {"labels": '["0", "1", "2", 3, 4]'},
        {"labels": '["0", "1", "2", null]'},
        {"labels": '["0", "1", "2", ["3"]]'},
        {"labels": '"01234"'},
        {"labels": '{"0": 0, "1": 1, "2": 2, "3": 3, "4": 4}'},
        {"labels": "3"},
        {"labels": "[" * 100_000},
        {"labels": '["0"'},
        {"config": {"classes": 0}},
        {"config": {"classes": 1}},
        {"config": {"classes": -1}},
        {"config": {"classes": 10**9}},
        {"config": {"classes": "4"}},
        {"config": {"classes": True}},
        {"config": {"task": "restore" * 9}},
        {"config": {"task": None}},
        {"config": {"task": ["tags"]}},
        {"config": {"multiple": 1}},
        {"config": {"cell": "jordan"}},
    ],
    ids=lambda change: str(change)[:40],
)
def test_labels_that_do_not_fit_are_refused(path, more, changes):
    model = _of_labels(more)
    assert model.config.classes in (4, 5)
    changes = {"labels": json.dumps(model.labels), **changes}
    _contents(path, model, **changes)
    with pytest.raises(ModelFileError, match="damaged") as caught:
        load_model(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("more", "config"),
    [
        (READERS["tags"], {"task": "label"}),  # it would have a query
        (READERS["label"], {"task": "tags"}),
        (READERS["label"], {"task": "write"}),  # it would read one way
        (TOLD["told"], {"task": "tags"}),
    ],
)
def test_a_task_that_is_not_the_tensors_is_refused(path, more, config):
    model = _of_labels(more)
    _contents(path, model, config=config, labels=json.dumps(model.labels))
    with pytest.raises(ModelFileError, match="its tensors are not those of its configuration"):
        load_model(path)


@pytest.mark.parametrize(
    "training",
    [
        {"documents": "many"},
        {"documents": None},
        {"text": 3},
        {"validation_loss": "low"},
        {"corpus": {"a": [1]}, "options": [1], "steps": None},
    ],
    ids=str,
)
def test_figures_that_make_no_sense_are_no_crash(path, saved, training, tmp_path):
    """They may be refused or ignored."""
    _contents(path, saved, training=json.dumps(training))
    text = tmp_path / "a.txt"
    text.write_text("abc")
    for command in (["sample", "--length", "3"], ["info"], ["evaluate", text]):
        assert invoke(*command, "--model", path).exit_code in (0, 1)


def test_every_flipped_bit_of_the_weights_is_seen(path, saved):
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for at in random.Random(1).sample(range(start, len(whole)), 20):
        for bit in (0, 7):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(ModelFileError, match="checksum"):
                load_model(path)


@pytest.mark.parametrize("part", ["header", "tail"])
def test_files_cut_short_or_made_longer_are_refused(path, saved, part):
    whole = path.read_bytes()
    cuts = range(0, 600, 7) if part == "header" else range(len(whole) - 200, len(whole), 7)
    for contents in [*(whole[:cut] for cut in cuts), whole + b"\0", whole + whole]:
        path.write_bytes(contents)
        with pytest.raises(ModelFileError):
            load_model(path)


def test_any_byte_of_the_header_may_be_wrong(path, saved):
    """Whatever it then says: a model file, or an error in words."""
    whole = path.read_bytes()
    size = 8 + int.from_bytes(whole[:8], "little")
    rng = random.Random(2)
    for at in range(size):
        damaged = bytearray(whole)
        damaged[at] = rng.choice([0, 0x22, 0x30, 0x7B, 0xFF, damaged[at] ^ 1])
        path.write_bytes(damaged)
        try:
            model = load_model(path)
        except CharrnnError as error:
            assert "\n" not in str(error)
        else:
            assert isinstance(model, SavedModel)


@pytest.mark.parametrize(
    ("said", "twice", "words"),
    [
        (b'"format":', b'"format":"charrnn",', "not a charrnn model"),
        (b'"readout.bias":', b'"readout.bias":{},', "not a charrnn model"),
        (b'\\"layers\\":', b'\\"layers\\":1,', "is damaged"),
    ],
    ids=["metadata", "tensor", "configuration"],
)
def test_nothing_is_said_twice(path, saved, said, twice, words):
    whole = path.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    assert whole[:end].count(said) == 1
    header = whole[8:end].replace(said, twice + said)
    path.write_bytes(_with_header(header) + whole[end:])
    with pytest.raises(ModelFileError, match=words):
        load_model(path)


def test_a_header_that_is_too_large_is_neither_read_nor_written(path, saved):
    before = path.read_bytes()
    training = {"documents": 1, "corpus": ["x" * MOST_HEADER]}
    with pytest.raises(ModelFileError, match="at most 4,194,304 are read"):
        save_model(path, dataclasses.replace(saved, training=training))
    assert path.read_bytes() == before
    end = 8 + int.from_bytes(before[:8], "little")
    for size, readable in ((MOST_HEADER, True), (MOST_HEADER + 1, False)):
        path.write_bytes(_with_header(before[8:end].ljust(size)) + before[end:])
        if readable:
            _assert_same(load_model(path), saved)
        else:
            with pytest.raises(ModelFileError, match="not a charrnn model"):
                load_model(path)


def test_a_file_that_is_cut_while_it_is_read_is_damaged(path, monkeypatch):
    """It is larger than what is read ahead with its header."""
    save_model(path, with_biases("abc", hidden_size=200))

    def cut(config):
        os.truncate(path, path.stat().st_size - 100_000)
        return parameter_shapes(config)

    monkeypatch.setattr(checkpoint, "parameter_shapes", cut)
    with pytest.raises(ModelFileError, match=r"damaged.*it ended while it was read"):
        load_model(path)


def _fifo(path):
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    ("create", "words"),
    [
        (lambda path: path.mkdir() or path, "it is a folder"),
        (_fifo, "regular file"),
        (lambda path: "/dev/zero", "regular file"),
        (lambda path: path, "charrnn train CORPUS --model"),
        (lambda path: path.with_name("x" * 300), "cannot read"),
    ],
    ids=["folder", "fifo", "/dev/zero", "missing", "impossible"],
)
def test_what_is_no_regular_file_is_refused(path, create, words):
    with pytest.raises(ModelFileError, match=words) as caught:
        load_model(create(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_load_for_info_only(path, saved, value):
    saved.tensors["rnn.weight_hh_l0"][1, 2] = value
    save_unchecked(path, saved)
    assert not load_model(path).finite
    with pytest.raises(ModelFileError, match="NaN or infinite"):
        load(path)
    assert json.loads(invoke("info", "--json", "--model", path).stdout)["finite"] is False
    table = dict(
        line.rsplit(maxsplit=1) for line in invoke("info", "--model", path).stdout.splitlines()
    )
    assert table["finite"] == "no"
