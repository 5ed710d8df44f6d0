"""Model files that are none, from the command line: one line, exit code 1, no file is touched."""

import dataclasses
import json
import os
import pickle
import time
import zipfile

import numpy as np
import pytest
from commands import assert_one_line_error, invoke
from trained import save_unchecked, with_biases

from charrnn.errors import CharrnnError
from charrnn.storage.checkpoint import FORMAT_VERSION, load_model, save_model
from charrnn.storage.tensors import MOST_HEADER

QUICK = ("--steps", 1, "--batch-size", 1, "--threads", 1)

#: Commands that read a model; what they would write is not to be there.
COMMANDS = {
    "info": ("info", "--model"),
    "sample": ("sample", "--model"),
    "evaluate": ("evaluate", "text", "--model"),
    "apply": ("apply", "text", "--model"),
    "compress": ("compress", "text", "-o", "new", "--model"),
    "train": ("train", "text", *QUICK, "--model", "new", "--init-from"),
}
READING = [name for name in COMMANDS if name != "info"]


def _zip():
    with open("m", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 100)
    with open("m", "rb") as file:
        return file.read()


def _packed(header, payload, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    return length.to_bytes(8, "little") + text + payload


def _said(header, **values):
    """With other metadata: texts as they are, anything else as JSON; ``config`` in part."""
    said = dict(header["__metadata__"])
    for name, value in values.items():
        if name == "config":
            value = {**json.loads(said["config"]), **value}
        said[name] = value if isinstance(value, str) else json.dumps(value)
    return {**header, "__metadata__": said}


def _tensor(header, **values):
    """With another entry for the bias, where a value of None is none."""
    entry = {n: v for n, v in {**header["readout.bias"], **values}.items() if v is not None}
    return {**header, "readout.bias": entry}


def _hostile(sound):
    """Contents by names, with what is to be said of each."""
    end = 8 + int.from_bytes(sound[:8], "little")
    header, payload = json.loads(sound[8:end]), sound[end:]
    first, last = header["readout.bias"]["data_offsets"]
    other = header["rnn.bias_hh_l0"]
    without = {name: entry for name, entry in header.items() if name != "readout.bias"}
    more = {"dtype": "F32", "shape": [0], "data_offsets": [len(payload)] * 2}
    flipped = bytearray(sound)
    flipped[-3] ^= 1
    foreign, damaged = "not a charrnn model", "is damaged"
    yield from {
        "empty": (b"", foreign),
        "short": (b"1234567", foreign),
        "pickle": (pickle.dumps({"weights": [1.0] * 50}), foreign),
        "zip": (_zip(), foreign),
        "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100), foreign),
        "header of 2^63": (_packed(header, payload, 2**63), foreign),
        "header beyond the file": (_packed(header, payload, len(sound)), foreign),
        "header beyond the cap": (_packed(b" " * (MOST_HEADER + 1), payload), foreign),
        "no UTF-8": (_packed(b'{"\xff":1}', payload), foreign),
        "no JSON": (_packed(b"{nonsense", payload), foreign),
        "a key twice": (_packed(b'{"a":1,"a":2,' + sound[9:end], payload), foreign),
        "deep": (_packed(b"[" * 100_000 + b"]" * 100_000, payload), foreign),
        "many tensors": (
            _packed({**header, **{f"t{n}": more for n in range(40_000)}}, payload),
            "",
        ),
        "overlap": (_packed(_tensor(header, data_offsets=other["data_offsets"]), payload), ""),
        "hole": (_packed(_tensor(header, data_offsets=[first + 4, last + 4]), payload), ""),
        "behind it all": (sound + b"\0", ""),
        "cut": (sound[:-1], ""),
        "out of range": (_packed(_tensor(header, data_offsets=[2**40, 2**40 + 24]), payload), ""),
        "overflow": (_packed(_tensor(header, shape=[2**32, 2**32]), payload), ""),
        "no size": (_packed(_tensor(header, shape=[0]), payload), ""),
        "negative": (_packed(_tensor(header, shape=[-6]), payload), ""),
        "dtype": (_packed(_tensor(header, dtype="F16", data_offsets=None), payload), ""),
        "a tensor less": (_packed(without, payload), ""),
        "a tensor more": (_packed({**header, "more": more}, payload), ""),
        "hidden size": (_packed(_said(header, config={"hidden_size": 10**9}), payload), damaged),
        "layers": (_packed(_said(header, config={"layers": 2}), payload), damaged),
        **{
            f"characters {own!a}": (_packed(_said(header, characters=json.dumps(own)), payload), "")
            for own in ("aba", "ab\ud800", "ab")
        },
        "a bit": (bytes(flipped), "checksum"),
        "future": (_packed(_said(header, format_version="7"), payload), "version 7"),
    }.items()


@pytest.fixture
def sound(tmp_path, monkeypatch):
    """The bytes of a model file; the folder is the one that commands are run in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("abc cab " * 20)
    save_model(tmp_path / "m", with_biases("abc"))
    contents = (tmp_path / "m").read_bytes()
    load_model(tmp_path / "m")
    return contents


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_them_all(sound, tmp_path, command):
    for name, (contents, words) in _hostile(sound):
        (tmp_path / "m").write_bytes(contents)
        done = invoke(*COMMANDS[command], "m")
        assert_one_line_error(done, 1, "m", words)
        assert len(done.stderr) < 1000 and not done.stdout, name
        if name == "future":
            assert f"version {FORMAT_VERSION}" in done.stderr
        assert (tmp_path / "m").read_bytes() == contents
        assert sorted(os.listdir()) == ["m", "text"], name


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_regular_file_is_refused_at_once(sound, tmp_path, command):
    os.mkfifo("fifo")
    for path, words in (("fifo", "regular file"), ("/dev/zero", "regular file"), (".", "folder")):
        assert_one_line_error(invoke(*COMMANDS[command], path), 1, words)
    assert sorted(os.listdir()) == ["fifo", "m", "text"]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_for_info_alone(sound, tmp_path, number):
    save_unchecked(tmp_path / "m", with_biases("abc", biases=[(3, number)]))
    assert invoke("info", "--model", "m").exit_code == 0
    for command in READING:
        assert_one_line_error(invoke(*COMMANDS[command], "m"), 1, "m", "NaN or infinite")
    assert sorted(os.listdir()) == ["m", "text"]


READS = {
    "write": ({}, "abc\n" * 9),
    "label": ({"task": "label", "classes": 2}, "ab\ty\nc\tx\n" * 9),
    "several": ({"task": "label", "classes": 2, "multiple": True}, "ab\tx,y\nc\tx\n" * 9),
}


@pytest.mark.parametrize("reads", READS)
@pytest.mark.parametrize("weight", [1e30, 3e38])
def test_weights_beyond_all_measure_are_no_warnings(tmp_path, monkeypatch, reads, weight):
    """They are numbers; what comes of them is none, or infinite."""
    monkeypatch.chdir(tmp_path)
    more, text = READS[reads]
    (tmp_path / "text").write_text(text)
    saved = with_biases("abc\n", **more)
    rng = np.random.default_rng(1)
    tensors = {n: np.float32(weight) * rng.choice(np.float32([-1, 1]), t.shape)
               for n, t in saved.tensors.items()}  # fmt: skip
    said = {"task": more.get("task", "write"), "multiple": "multiple" in more}
    figures = {**saved.training, "text": said}
    labels = ("x", "y") if more else ()
    save_model("m", dataclasses.replace(saved, tensors=tensors, labels=labels, training=figures))
    commands = [("evaluate", "text"), ("report", "--text", "text", "--output", "page.html")]
    commands += [("apply", "text")] if more else [("sample", "--seed", 1), ("score", "text")]
    for command in commands:
        done = invoke(*command, "--model", "m")
        assert (done.exit_code, done.stderr.replace("wrote page.html\n", "")) == (0, ""), command


@pytest.mark.faults
def test_a_header_that_is_none_takes_no_tenth_of_a_second(sound, tmp_path):
    """Of the processor, the quickest of three times: others may have it meanwhile."""
    files = dict(_hostile(sound))
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    many = {f"t{number}": entry for number in range(100_000)}
    headers = {name: files[name][0] for name in ("no UTF-8", "no JSON", "a key twice", "deep")}
    for name, contents in {**headers, "many": _packed(many, b"0000")}.items():
        (tmp_path / "m").write_bytes(contents)
        took = []
        for _ in range(3):
            begun = time.thread_time()
            with pytest.raises(CharrnnError):
                load_model(tmp_path / "m")
            took.append(time.thread_time() - begun)
        assert min(took) < 0.1, name
