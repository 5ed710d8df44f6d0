"""``charrnn info``: what a model is made of, without Numba."""

import dataclasses
import json
import math

import pytest
from commands import BLOCK, QUICK, assert_one_line_error, execute, execute_code, invoke
from trained import FABLES, fables, with_biases

from charrnn.config import ModelConfig
from charrnn.network.description import architecture
from charrnn.storage.checkpoint import save_model


@pytest.fixture
def path(tmp_path):
    """A trained model."""
    save_model(tmp_path / "m.safetensors", fables())
    return tmp_path / "m.safetensors"


def test_json(path):
    done = execute("info", "--json", "--model", path)
    assert (done.returncode, done.stderr, done.stdout.count(b"\n")) == (0, b"", 1)
    figures = json.loads(done.stdout)
    assert figures["architecture"] == "lstm 2×32"
    assert (figures["cell"], figures["layers"], figures["hidden_size"]) == ("lstm", 2, 32)
    assert figures["weights"] == sum(t.size for t in fables().tensors.values())
    assert figures["finite"] is True
    assert figures["characters"] == fables().vocabulary.characters
    assert figures["vocabulary_size"] == len(figures["characters"]) + 3
    assert figures["corpus"] == ["fables.txt"]
    assert figures["validation_bits"] == pytest.approx(figures["validation_loss"] / math.log(2))
    assert 0 < figures["steps"] <= 400
    assert figures["options"]["steps"] == 400


def test_a_table(path):
    done = invoke("info", "--model", path)
    lines = done.stdout.splitlines()
    assert (done.exit_code, done.stderr) == (0, "")
    assert lines[0].split() == ["architecture", "lstm", "2×32"]
    names = [line.split("  ")[0].replace(" ", "_") for line in lines]
    assert names == list(json.loads(invoke("info", "--json", "--model", path).stdout))
    assert next(line for line in lines if line.startswith("finite")).endswith("yes")


def test_options_that_are_0_are_shown(tmp_path):
    saved = with_biases("ab")
    options = {"patience": 0, "dropout": 0.0, "steps": None, "threads": 2}
    saved.training.update(options=options, text={"lines": False, "min_count": 1})
    save_model(tmp_path / "m", saved)
    lines = invoke("info", "--model", tmp_path / "m").stdout.splitlines()
    shown = {name: value.strip() for name, _, value in (line.partition(" ") for line in lines)}
    assert shown["options"] == "patience 0, dropout 0.0, threads 2"
    assert shown["text"] == "min_count 1"


@pytest.mark.parametrize(
    "arguments", [["info"], ["info", "--json"], ["--help"], ["train", "--help"], ["--version"]]
)
def test_it_answers_without_numba(path, arguments):
    blocked = "blocked = {'numba', 'llvmlite', 'torch'}"
    code = f"{blocked}\n{BLOCK}\nfrom charrnn.cli.main import main\nmain()"
    more = ["--model", path] if arguments[0] == "info" else []
    done = execute_code(code, *arguments, *more)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


def test_the_block_works():
    done = execute_code(f"blocked = {{'numba'}}\n{BLOCK}\nimport charrnn.inference.sampling")
    assert done.returncode == 1 and b"numba is blocked" in done.stderr


def test_characters_are_one_line(tmp_path):
    """Of whatever kind they are, and in any locale."""
    save_model(tmp_path / "m", with_biases("\n\r\t\x1b\u2028\u202e\x85'\"é日"))
    for environment in ({}, {"LC_ALL": "C", "PYTHONUTF8": 0, "PYTHONCOERCECLOCALE": 0}):
        done = execute("info", "--model", tmp_path / "m", environment=environment)
        assert (done.returncode, done.stderr) == (0, b"")
        text = done.stdout.decode()
        assert not {"\r", "\t", "\x1b", "\u2028", "\u202e", "\x85"} & set(text)
        (line,) = (line for line in text.split("\n") if line.startswith("characters "))
        assert "\\n" in line and "é日" in line
        told = execute("info", "--json", "--model", tmp_path / "m", environment=environment)
        assert json.loads(told.stdout)["characters"].startswith("\n\r\t\x1b")


def test_a_model_without_figures(tmp_path):
    save_model(tmp_path / "m", with_biases("ab", documents=3, cell="gru", embedding_size=4))
    figures = json.loads(invoke("info", "--json", "--model", tmp_path / "m").stdout)
    assert figures["architecture"] == "gru 1×3, embedding 4"
    assert figures["documents"] == 3
    assert "steps" not in figures and "validation_loss" not in figures
    assert invoke("info", "--model", tmp_path / "m").exit_code == 0


def test_a_damaged_model_is_refused(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    done = invoke("info", "--model", path)
    assert_one_line_error(done, 1, path, "damaged")
    assert not done.stdout


def test_the_architecture_names_what_is_out_of_the_ordinary():
    config = ModelConfig(
        vocabulary_size=9, cell="elman", activation="relu", layers=1, hidden_size=5,
        dense_before=3, readout_layers=2, readout_size=7, initial_state="learned",
    )  # fmt: skip
    expected = "elman (relu) 1×5, 3 dense before each, readout 2×7, learned initial state"
    assert architecture(config) == expected
    together = dataclasses.replace(config, members=4)
    assert architecture(together) == expected.replace("1×5", "1×5, 4 members")


def test_json_is_json_also_where_a_number_is_infinite(tmp_path):
    model = tmp_path / "m"
    options = (*QUICK, "--clip-norm", "inf", "--model", model)
    assert invoke("train", FABLES, *options).exit_code == 0

    def refuse(name):
        raise AssertionError(name)

    told = json.loads(invoke("info", "--json", "--model", model).stdout, parse_constant=refuse)
    assert told["options"]["clip_norm"] is None
