"""``charrnn train``: what it reads, writes and refuses, and how it is stopped."""

import json
import math
import os
import signal

import numpy as np
import pytest
from commands import QUICK, assert_one_line_error, execute, invoke, on_terminal, start
from trained import DINOSAURS, FABLES

from charrnn.cli.options import Duration
from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import load_model
from charrnn.training.optimizer import Optimizer


@pytest.fixture
def model(tmp_path):
    """Where a model is to be written."""
    return tmp_path / "m.safetensors"


@pytest.fixture
def corpus(tmp_path):
    """A file of some kilobytes."""
    path = tmp_path / "corpus.txt"
    path.write_bytes(FABLES.read_bytes()[:6000])
    return path


def test_one_command_trains_and_the_next_samples(tmp_path, corpus):
    """With the default name of the model, in the folder at hand."""
    trained = execute("train", corpus, *QUICK, cwd=tmp_path)
    assert (trained.returncode, trained.stdout) == (0, b""), trained.stderr.decode()
    sampled = execute("sample", "--length", 50, "--threads", 1, cwd=tmp_path)
    assert (sampled.returncode, sampled.stderr) == (0, b"")
    assert len(sampled.stdout) == 51
    assert sorted(os.listdir(tmp_path)) == [
        "corpus.txt",
        "model.safetensors",
        "model.safetensors.resume",
    ]


def test_progress_is_lines_where_there_is_no_terminal(corpus, model):
    done = execute("train", corpus, "--model", model, *QUICK)
    assert (done.returncode, done.stdout) == (0, b"")
    lines = done.stderr.decode().splitlines()
    assert b"\r" not in done.stderr and b"%|" not in done.stderr
    assert "lstm 1×16" in lines[0]
    assert sum("  validation " in line for line in lines) == 3
    assert all(" bits)" in line for line in lines if "  validation " in line)
    assert lines[-1].startswith(f"saved {model}: validation loss")
    loss = load_model(model).training["validation_loss"]
    assert f"{loss:.4f} nats" in lines[-1] and f"{loss / math.log(2):.4f} bits" in lines[-1]


def test_progress_is_a_bar_on_a_terminal(corpus, model):
    code, shown = on_terminal("stderr", "train", corpus, "--model", model, *QUICK)
    assert code == 0
    assert "\r" in shown and "%|" in shown and "chars/s" in shown.split("%|")[-1]
    assert shown.count("  validation ") == 3
    assert f"saved {model}" in shown


def test_the_bar_fits_a_common_terminal(corpus, model):
    """Its last figure, the time left, is seen."""
    arguments = ["train", corpus, "--model", model, *QUICK]
    code, shown = on_terminal("stderr", *arguments, columns=80)
    assert code == 0
    bars = [piece for piece in shown.split("\r") if "%|" in piece and "step" in piece]
    assert bars and all(bar.rstrip().endswith("left") for bar in bars), bars


def test_several_files_are_several_documents(corpus, model, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("A cat. " * 30)
    assert invoke("train", corpus, other, "--model", model, *QUICK).exit_code == 0
    training = load_model(model).training
    assert training["documents"] == 2
    assert training["corpus"] == ["corpus.txt", "other.txt"]
    assert training["corpus_characters"] == 210 + len(corpus.read_text(encoding="utf-8"))


def test_standard_input_is_a_document(corpus, model):
    text = corpus.read_bytes() + DINOSAURS.read_bytes()[:3000]
    assert execute("train", "-", "--model", model, *QUICK, stdin=text).returncode == 0
    training = load_model(model).training
    assert (training["documents"], training["corpus"]) == (1, ["-"])
    assert training["corpus_characters"] == len(text.decode())
    assert len(load(model).sample(20)) == 20


def test_a_large_vocabulary_does_not_spend_a_short_run_on_validations(model, tmp_path):
    corpus, size = tmp_path / "large.txt", 400_000
    codes = np.random.default_rng(1).geometric(0.001, size) % 10_000 + 0x4E00
    corpus.write_bytes(codes.astype("<u4").tobytes().decode("utf-32-le").encode())
    log = tmp_path / "log.jsonl"
    done = execute("train", corpus, "--model", model, *QUICK, "--log", log)
    assert b"360,001 characters to learn, 8,192 of 40,000 to validate" in done.stderr
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(record["validation_loss"] is not None for record in records) == 3


def test_lines_are_documents(model):
    done = invoke("train", DINOSAURS, "--lines", "--model", model, *QUICK)
    assert done.exit_code == 0
    assert load_model(model).training["documents"] > 1000
    assert "\n" not in load_model(model).vocabulary.characters


HINT = "--lines makes each of them a text"


def test_a_list_is_told_of_lines_once(model):
    first = execute("train", DINOSAURS, "--model", model, *QUICK)
    head = first.stderr.decode().splitlines()[:3]
    assert [HINT in line for line in head] == [False, False, True], first.stderr.decode()
    assert first.stderr.decode().count(HINT) == 1
    resumed = ["--resume", "--steps", 40]
    more = invoke("train", DINOSAURS, "--model", model, *QUICK[:-6], *resumed)
    assert more.exit_code == 0 and HINT not in more.stderr


def test_other_texts_are_not_told_of_lines(corpus, tmp_path):
    for arguments in ([corpus], [DINOSAURS, "--lines"]):
        done = invoke("train", *arguments, "--model", tmp_path / "m", "--force", *QUICK)
        assert done.exit_code == 0 and HINT not in done.stderr


@pytest.mark.parametrize("option", ["--cell", "--cells"])
def test_a_cell_is_named_by_either_option(corpus, model, option):
    assert invoke("train", corpus, "--model", model, *QUICK, option, "gru").exit_code == 0
    assert load_model(model).config.cell == "gru"


def test_options_shape_the_model(corpus, model):
    options = ["--cell", "elman", "--activation", "relu", "--layers", 3, "--hidden-size", 5,
               "--embedding-size", 4, "--min-count", 5, "--optimizer", "rmsprop", "--dropout", 0.3,
               "--clip-value", 0.5, "--seed", 7, "--threads", 1]  # fmt: skip
    assert invoke("train", corpus, "--model", model, *QUICK, *options).exit_code == 0
    saved = load_model(model)
    found = saved.config
    assert (found.cell, found.activation, found.layers) == ("elman", "relu", 3)
    assert (found.hidden_size, found.embedding_size) == (5, 4)
    text = corpus.read_text(encoding="utf-8")
    assert set(saved.vocabulary.characters) == {c for c in text if text.count(c) >= 5}
    chosen = saved.training["options"]
    assert (chosen["optimizer"], chosen["dropout"], chosen["seed"]) == ("rmsprop", 0.3, 7)
    assert (chosen["clip_value"], chosen["steps"], chosen["epochs"]) == (0.5, 30, None)


def test_the_same_seed_saves_the_same_weights(corpus, tmp_path):
    tensors = []
    for number, options in enumerate([["--threads", 1], ["--threads", 2], ["--seed", 2]]):
        path = tmp_path / f"{number}.safetensors"
        assert invoke("train", corpus, "--model", path, *QUICK, *options).exit_code == 0
        tensors.append(b"".join(t.tobytes() for t in load_model(path).tensors.values()))
    assert tensors[0] == tensors[1] != tensors[2]


@pytest.mark.parametrize("command", ["train", "sample", "info"])
def test_the_environment_names_the_model(corpus, model, command, monkeypatch):
    monkeypatch.setenv("CHARRNN_MODEL", str(model))
    if command != "train":
        assert_one_line_error(invoke(command), 1, model)
    else:
        assert invoke("train", corpus, *QUICK).exit_code == 0
        assert load_model(model)
        other = model.with_name("other.safetensors")
        assert invoke("train", corpus, "--model", other, *QUICK).exit_code == 0
        assert load_model(other)


# The log


def _strict(line):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(line, parse_constant=refuse)


KEYS = ["step", "characters", "epoch", "progress", "loss", "learning_rate", "gradient_norm",
        "skipped", "seconds", "characters_per_second", "validation_loss", "improved",
        "returned_to"]  # fmt: skip


def test_the_log_is_json_lines(corpus, model, tmp_path, monkeypatch):
    """A record of every tenth step and of every validation; what is no number is null."""
    norm, calls = Optimizer.gradient_norm, iter(range(1, 1000))
    spoilt = {10: math.nan, 20: math.inf}
    monkeypatch.setattr(
        Optimizer, "gradient_norm", lambda self, n: spoilt.get(next(calls)) or norm(self, n)
    )
    log = tmp_path / "log.jsonl"
    done = invoke("train", corpus, "--model", model, "--log", log, *QUICK, "--validations", 4)
    assert done.exit_code == 0 and "2 skipped" in done.stderr
    records = [_strict(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [r["step"] for r in records] == [8, 10, 15, 20, 23, 30]
    assert [r["step"] for r in records if r["validation_loss"] is not None] == [8, 15, 23, 30]
    assert [r["step"] for r in records if r["gradient_norm"] is None] == [10, 20]
    assert [r["skipped"] for r in records] == [0, 1, 1, 2, 2, 2]
    assert all(r["loss"] > 0 and r["learning_rate"] > 0 for r in records)
    assert all(list(r) == KEYS for r in records)
    assert all(r["characters"] == 16 * 32 * r["step"] for r in records)
    assert all(r["characters_per_second"] > 0 and r["seconds"] > 0 for r in records)
    assert load_model(model).training["skipped"] in range(3)


def test_what_is_refused_leaves_the_log(corpus, model, tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("precious")
    for options in (["missing.txt"], [corpus, "--hidden-size", 0], [corpus, "--resume"]):
        assert invoke("train", *options, "--model", model, "--log", log).exit_code in (1, 2)
        assert log.read_text() == "precious"


@pytest.mark.parametrize("log", ["no/folder/log.jsonl", "."])
def test_a_log_that_cannot_be_written_is_an_error(corpus, model, log, tmp_path):
    done = invoke("train", corpus, "--model", model, "--log", tmp_path / log, *QUICK)
    assert_one_line_error(done, 1, "log")


def test_a_device_for_the_log_is_an_error(corpus, model):
    done = execute("train", corpus, "--model", model, "--log", "/dev/full", *QUICK)
    assert_one_line_error(done, 1, "/dev/full", "no regular file")


# What is refused


def test_a_model_is_not_overwritten_without_force(corpus, model):
    model.write_bytes(b"precious")
    done = invoke("train", "no-such-corpus.txt", "--model", model)
    assert_one_line_error(done, 1, model, "--force", "--model")
    assert model.read_bytes() == b"precious"
    assert invoke("train", corpus, "--model", model, "--force", *QUICK).exit_code == 0
    assert load_model(model)


@pytest.mark.parametrize("place", ["", "no/folder/m.safetensors"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_place_that_cannot_hold_a_model_is_refused_at_once(tmp_path, place, force):
    done = invoke("train", "no-such-corpus.txt", "--model", tmp_path / place, *force)
    assert_one_line_error(done, 1, tmp_path / place)


CORPORA = {
    "missing": (None, "No such file"),
    "empty": (b"", "no characters"),
    "byte order mark": ("\ufeff".encode(), "no characters"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\xff\xfe", "offset 0"),
    "latin-1": ("A café".encode("latin-1"), "offset 5"),
}


@pytest.mark.parametrize("kind", CORPORA)
@pytest.mark.parametrize("where", ["file", "standard input"])
def test_corpora_that_cannot_be_read(tmp_path, model, kind, where):
    contents, words = CORPORA[kind]
    path = tmp_path / "a.txt"
    if contents is not None:
        path.write_bytes(contents)
    if where == "file":
        done = invoke("train", path, "--model", model, *QUICK)
        assert_one_line_error(done, 1, words, path.name)
    elif contents is not None:
        done = invoke("train", "-", "--model", model, *QUICK, stdin=contents)
        assert_one_line_error(done, 1, words, "standard input")
    assert not model.exists()


def test_other_errors_are_one_line_too(tmp_path, model, corpus):
    for arguments, code, words in (
        ([tmp_path], 1, "folder"),
        (["-", "-"], 2, "once"),
        ([corpus, "--encoding", "klingon"], 2, "klingon"),
        ([corpus, "--lines", "--min-count", 10**6], 1, "--min-count"),
        ([corpus, "--validation", "no-such-file"], 1, "no-such-file"),
        ([corpus, "--dropout", 1], 2, "dropout"),
        ([corpus, "--cell", "lstm", "--activation", "relu"], 2, "activation"),
        ([corpus, "--hidden-size", 10**9], 2, "hidden size"),
        ([corpus, "--threads", -1], 2, "threads"),
    ):
        assert_one_line_error(invoke("train", "--model", model, *arguments), code, words)
        assert not model.exists()


def test_wrong_options_are_wrong_usage(corpus, model):
    for arguments in ([], [corpus, "--steps", "many"], [corpus, "--no-such-option"],
                      [corpus, "--budget", "soon"], [corpus, "--cell", "unheard-of"]):  # fmt: skip
        done = invoke("train", "--model", model, *arguments)
        assert done.exit_code == 2
        assert "Error: " in done.stderr and not done.stdout


@pytest.mark.parametrize(
    "option",
    ["--epochs", "--budget", "--learning-rate", "--clip-norm", "--dropout", "--final-rate"],
)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1"])
def test_odd_numbers_are_no_crash(corpus, model, option, value):
    limit = [] if option in ("--epochs", "--budget") else ["--steps", 3]
    done = invoke("train", corpus, "--model", model, *QUICK[:8], *limit, f"{option}={value}")
    expected = 0 if (option, value) == ("--clip-norm", "inf") else 2
    assert done.exit_code == expected, done.stderr


def test_a_single_character_trains(tmp_path, model):
    path = tmp_path / "a.txt"
    path.write_text("a")
    done = execute("train", path, "--model", model, *QUICK)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert b"too short" in done.stderr
    assert load(model).sample(5) == "aaaaa"


def test_a_run_that_comes_to_nothing_says_so(corpus, model, monkeypatch):
    monkeypatch.setattr(Optimizer, "gradient_norm", lambda self, n: math.nan)
    done = invoke("train", corpus, "--model", model, *QUICK)
    assert done.exit_code == 1
    assert "Error: training came to nothing" in done.stderr.splitlines()[-1]
    assert not model.exists()


def test_a_run_that_breaks_down_names_the_last_good_model(corpus, model, monkeypatch):
    norm, calls = Optimizer.gradient_norm, iter(range(1, 1000))
    monkeypatch.setattr(
        Optimizer, "gradient_norm", lambda self, n: norm(self, n) if next(calls) < 15 else math.nan
    )
    done = invoke("train", corpus, "--model", model, *QUICK)
    assert done.exit_code == 1
    assert str(model) in done.stderr.splitlines()[-1]
    assert load(model).training["steps"] == 20


def test_a_disk_that_is_full_at_the_end_leaves_the_old_model(corpus, model, monkeypatch):
    model.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("charrnn.storage.files.os.replace", fail)
    done = invoke("train", corpus, "--model", model, "--force", *QUICK)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: cannot write")
    assert model.read_bytes() == b"old"
    assert sorted(os.listdir(model.parent)) == ["corpus.txt", model.name]


# Signals


@pytest.mark.parametrize(
    ("number", "code", "after"),
    [
        (signal.SIGINT, 130, "  validation "),
        pytest.param(signal.SIGTERM, 143, "  validation ", marks=pytest.mark.faults),
        pytest.param(signal.SIGINT, 130, "lstm 1×16", marks=pytest.mark.faults),
    ],
    ids=["SIGINT", "SIGTERM", "at once"],
)
def test_a_signal_ends_the_run_and_saves(corpus, model, number, code, after):
    options = [*QUICK, "--steps", 10**6, "--validations", 10**4]
    with start("train", corpus, "--model", model, *options) as process:
        process.until(after.encode())
        process.send_signal(number)
        stdout, rest = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (code, b""), rest.decode()
    assert b"Traceback" not in rest
    *_, hint, last = rest.decode().splitlines()
    assert hint == f"stopped; to go on: charrnn train {corpus} --model {model} --resume"
    assert last.startswith(f"saved {model}")
    saved = load(model)
    assert 0 < saved.training["steps"] < 10**6
    assert len(saved.sample(10)) == 10


@pytest.mark.faults
def test_what_goes_on_with_standard_input_is_the_same_text(corpus, tmp_path):
    """Its name is all that is known of it."""
    options = [*QUICK, "--steps", 10**6, "--validations", 10**4]
    with corpus.open("rb") as text, start("train", "-", *options, cwd=tmp_path, stdin=text) as run:
        run.until(b"  validation ")
        run.send_signal(signal.SIGINT)
        _, rest = run.communicate(timeout=120)
    said = "stopped; to go on, with the same text on standard input: charrnn train - --resume\n"
    assert run.returncode == 130 and said in rest.decode()


@pytest.mark.faults
def test_interrupted_without_validation_saves_too(corpus, model):
    options = [*QUICK, "--steps", 10**6, "--validation-fraction", 0]
    with start("train", corpus, "--model", model, *options) as process:
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert load(model).training["validation_loss"] is None


# Times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("45s", 45), ("3m", 180), ("1.5h", 5400), ("0.5", 0.5), (" 2m ", 120)],
)
def test_budgets(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "m", "3x", "-3", "1e3", "3 m 2", "nan", "inf", "0"])
def test_budgets_that_are_none(text, corpus, model):
    done = invoke("train", corpus, "--model", model, "--budget", text)
    assert done.exit_code == 2 and "Error: " in done.stderr
