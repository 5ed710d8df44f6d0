"""``charrnn compress`` and ``decompress``: files and pipes, names, and what they refuse."""

import json
import os

import pytest
from commands import assert_one_line_error, execute, invoke, on_terminal
from trained import FABLES, fables, language_model, with_biases

from charrnn.inference.compression import compress
from charrnn.storage.checkpoint import save_model

TEXT = FABLES.read_bytes()[:2000] + b"\xff\0"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with two models and a text."""
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "model.safetensors", fables())
    save_model(tmp_path / "other", with_biases("ab"))
    (tmp_path / "text").write_bytes(TEXT)
    return tmp_path


def _done(*arguments, **options):
    done = invoke(*arguments, **options)
    assert done.exit_code == 0, done.stderr
    return done


def test_there_and_back(folder):
    done = _done("compress", "text")
    assert done.stdout == ""
    compressed = (folder / "text.rnn").read_bytes()
    assert compressed == compress(language_model(fables()), TEXT)
    bits = 8 * len(compressed) / len(TEXT)
    told = done.stderr.splitlines()[-1]  # above it how far it is, on a busy machine
    assert told == f"2,002 bytes became {len(compressed):,}, {bits:.3f} bits a byte"
    (folder / "text").unlink()
    done = _done("decompress", "text.rnn")
    assert (done.stdout, done.stderr) == ("", "")
    assert (folder / "text").read_bytes() == TEXT
    assert sorted(os.listdir(folder)) == ["model.safetensors", "other", "text", "text.rnn"]


def test_info_tells_the_checksum_that_a_compressed_text_names(folder):
    _done("compress", "text")
    refused = invoke("decompress", "text.rnn", "-o", "-", "--model", "other")
    for model in ("model.safetensors", "other"):
        figures = json.loads(_done("info", "--json", "--model", model).stdout)
        assert figures["checksum"][:16] in refused.stderr


def test_pipes(folder):
    compressed = execute("compress", "-", stdin=TEXT)
    assert compressed.returncode == 0
    assert b"\xff" in compressed.stdout and len(compressed.stdout) < len(TEXT) / 2
    back = execute("decompress", "-", stdin=compressed.stdout)
    assert (back.returncode, back.stdout, back.stderr) == (0, TEXT, b"")


@pytest.mark.parametrize("options", [[], ["--streams", 3], ["--adapt"], ["--threads", 2]])
def test_options(folder, options):
    _done("compress", "text", "-o", "small", *options)
    _done("decompress", "small", "--output", "back")
    assert (folder / "back").read_bytes() == TEXT


def test_an_empty_text(folder):
    (folder / "text").write_bytes(b"")
    assert "0 bytes became" in _done("compress", "text").stderr
    assert _done("decompress", "text.rnn", "-o", "-").stdout == ""


def test_what_is_there_is_overwritten_only_by_force(folder):
    (folder / "text.rnn").write_bytes(b"mine")
    refused = invoke("compress", "text")
    assert_one_line_error(refused, 1, "text.rnn is there already", "--force", "--output")
    assert (folder / "text.rnn").read_bytes() == b"mine"
    _done("compress", "text", "--force")
    assert_one_line_error(invoke("decompress", "text.rnn"), 1, "text is there already")
    _done("decompress", "text.rnn", "--force")
    assert (folder / "text").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compress", "nothing"], 1, ["nothing", "No such file"]),
        (["compress", "."], 1, ["cannot read"]),
        (["compress", "text", "--streams", 65], 2, ["--streams must be at most 64"]),
        (["compress", "text", "--adapt", "--streams", 2], 2, ["--adapt takes one stream"]),
        (["compress", "text", "-o", "text", "--force"], 2, ["would be the same file as the text"]),
        (["compress", "text", "-o", "model.safetensors", "--force"], 2, ["as the model"]),
        (["compress", "text", "-o", "no/folder"], 1, ["its folder is not there"]),
        (["decompress", "text"], 2, ["does not end in .rnn", "--output"]),
        (["decompress", ".rnn"], 2, ["does not end in .rnn", "--output"]),
        (["decompress", "text", "-o", "-"], 1, ["no compressed text"]),
        (["decompress", "good.rnn", "--model", "other"], 1, ["another model", "checksum"]),
        (["decompress", "cut.rnn"], 1, ["damaged or cut"]),
    ],
)
def test_errors_are_one_line(folder, arguments, code, words):
    good = compress(language_model(fables()), TEXT)
    (folder / "good.rnn").write_bytes(good)
    (folder / "cut.rnn").write_bytes(good[:-1])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = invoke(*arguments)
    assert_one_line_error(done, code, *words)
    assert not done.stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_no_code_goes_to_a_terminal(folder):
    code, shown = on_terminal("stdout", "compress", "text", "-o", "-")
    assert (code, shown) == (2, "")
