"""What reaches a terminal does no harm; what reaches a pipe is exact."""

import dataclasses
import io
import json
import os
import subprocess
import sys

import pytest
from commands import (
    QUICK,
    assert_one_line_error,
    execute,
    execute_code,
    invoke,
    on_terminal,
    start,
)
from safetensors.numpy import save as to_safetensors
from subprocesses import ROOT
from trained import with_biases

from charrnn.cli.terminal import Output
from charrnn.errors import CharrnnError
from charrnn.storage.checkpoint import load_model, save_model

VISIBLE = {
    "\x1b[31mred\x1b[0m": "^[[31mred^[[0m",
    "\x1b]0;title\x07": "^[]0;title^G",
    "a\bb\x7f": "a^Hb^?",
    "\0\r\n": "^@^M\n",
    "\x9b2J": "<U+009B>2J",
    "\u202eabc\u2066": "<RIGHT-TO-LEFT OVERRIDE>abc<LEFT-TO-RIGHT ISOLATE>",
}
HARMLESS = "plain\ttext\nwith é, ß, 日本, ¡, \xa0, \U0001f600 and ^[ itself\n"
ACTIVE = [*range(9), *range(11, 32), *range(127, 160), 0x61C, 0x200E, 0x200F,
          *range(0x2028, 0x202F), *range(0x2066, 0x206A)]  # fmt: skip


class _Stream(io.TextIOWrapper):
    terminal = True

    def isatty(self):
        return self.terminal


def _written(monkeypatch, text, *, raw=False, terminal=True, encoding="utf-8"):
    stream = _Stream(io.BytesIO(), encoding=encoding)
    stream.terminal = terminal
    monkeypatch.setattr(sys, "stdout", stream)
    Output(raw=raw).write(text)
    return stream.buffer.getvalue().decode()


@pytest.mark.parametrize(("text", "visible"), [*VISIBLE.items(), (HARMLESS, HARMLESS)])
def test_a_terminal_is_shown_what_would_control_it(monkeypatch, text, visible):
    assert _written(monkeypatch, text) == visible
    assert _written(monkeypatch, text, raw=True) == text
    assert _written(monkeypatch, text, terminal=False) == text
    assert _written(monkeypatch, text, terminal=False, encoding="ascii") == text


def test_no_control_character_reaches_a_terminal(monkeypatch):
    for code in ACTIVE:
        shown = _written(monkeypatch, f"a{chr(code)}b")
        assert chr(code) not in shown
        assert shown.startswith("a") and shown.endswith("b") and len(shown) > 3


def test_half_a_character_is_no_crash(monkeypatch):
    assert _written(monkeypatch, "a\udc80b") == "a?b"


def test_what_cannot_be_written_is_an_error(monkeypatch):
    handle = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(handle, "wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(full))
        with pytest.raises(CharrnnError, match="No space left"):
            Output().write("abc")


# Messages


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("a\x1b[31m\nb\x9b\u2028\u202e", "a^[[31m^Jb<U+009B><LINE SEPARATOR>"
         "<RIGHT-TO-LEFT OVERRIDE>"),
        ("\udcd0\udcb6.txt", "ж.txt"),
        ("a\udc9bb\ud83d", "a\\udc9bb\\ud83d"),
        ("", ""),
        ("long " * 50, "long " * 50),
    ],
)  # fmt: skip
def test_a_message_is_seen_and_stays_on_its_line(message, line):
    """Also where nothing is a terminal, and in every locale: people read it."""
    code = (
        "import sys; from charrnn.cli.terminal import prepare_streams, say; prepare_streams(); "
        f"say({message!r})"
    )
    done = execute_code(code)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (0, b"", line + "\n")


NAME = "a\x1b[31m\x07\x9b\n\u202eb"
SHOWN = "a^[[31m^G<U+009B>^J<RIGHT-TO-LEFT OVERRIDE>b"


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "--model", NAME],
        ["sample", "--model", NAME],
        ["train", NAME],
        ["train", "x", "--model", f"{NAME}/{NAME}"],
        ["train", "x", "--validation", NAME],
        ["gradients", NAME, "--cell", "gru"],
        ["gradients", "x", "--cell", "gru", "--output", f"{NAME}.svg/a.svg"],
        ["sample", "--prime-file", NAME],
        [NAME],
        ["train", f"--{NAME}"],
        ["train", "x", "--steps", NAME],
        ["train", "x", "--budget", NAME],
        ["train", "x", "--cell", NAME],
        ["train", "x", "--encoding", NAME],
        ["compare", "x", "--cells", NAME],
    ],
    ids=lambda a: " ".join(word.replace(NAME, "NAME") for word in a),
)
def test_no_name_in_an_error_controls_a_terminal(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("some text " * 9)
    done = invoke(*arguments)
    assert_one_line_error(done, done.exit_code)
    assert done.exit_code in (1, 2) and SHOWN[-1] in done.stderr
    assert not set("\x1b\x07\x9b\u202e") & set(done.stderr)


def test_what_a_file_says_of_itself_controls_no_terminal(tmp_path):
    metadata = {"format": "charrnn", "format_version": NAME}
    (tmp_path / "m").write_bytes(to_safetensors({}, metadata))
    assert_one_line_error(invoke("info", "--model", tmp_path / "m"), 1, r"version a\x1b[31m")
    figures = {"corpus": [NAME], "text": {NAME: NAME}, "version": NAME, "init_from": NAME}
    model = dataclasses.replace(with_biases("ab"), training=figures)
    save_model(tmp_path / "m", model)
    done = invoke("info", "--model", tmp_path / "m")
    lines = [line for line in done.stdout.splitlines() if "\\x1b[31m" in line]
    assert len(lines) == 4 and not set("\x1b\x07\x9b\u202e") & set(done.stdout)


def test_what_a_run_says_controls_no_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_text("some text " * 99)
    code, shown = on_terminal("stderr", "train", NAME, "--model", f"{NAME}.st", *QUICK)
    assert code == 0 and f"saved {SHOWN}.st: " in " ".join(shown.split())
    assert not set("\x1b\x07\x9b\u202e") & set(shown)


def test_a_wrong_option_is_one_line_that_says_where_help_is():
    done = execute("train", "x", "--no-such-option")
    assert_one_line_error(done, 2, "--no-such-option", "train --help")


# Streams that are of no use


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("some text " * 99)
    return path


def _redirected(command, *arguments):
    """Run by a shell, with the program as "$@"."""
    program = [sys.executable, "-m", "charrnn", *map(str, arguments)]
    return subprocess.run(["bash", "-o", "pipefail", "-c", command, "bash", *program],
                          cwd=ROOT, capture_output=True, timeout=120)  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "2>&1 | head -1"])
def test_a_run_goes_on_where_nobody_can_watch_it(text, tmp_path, redirection):
    done = _redirected(f'"$@" {redirection}', "train", text, "--model", tmp_path / "m", *QUICK)
    assert (done.returncode, done.stderr) == (0, b"")
    assert load_model(tmp_path / "m").training["steps"] == 30


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "2>&1 >/dev/null | true"])
def test_an_error_that_nobody_can_read_keeps_its_code(tmp_path, redirection):
    done = _redirected(f'"$@" {redirection}', "info", "--model", tmp_path / "missing")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_a_file_does_not_come_in_the_place_of_a_closed_stream(tmp_path):
    """What is written to standard error must not end up in the file that is opened next."""
    code = (
        "import os, sys; os.close(2); sys.stderr = None; from charrnn.cli.terminal import *; "
        "prepare_streams(); file = open(sys.argv[1], 'wb'); os.write(2, b'a message'); say('x')"
    )
    done = execute_code(code, tmp_path / "file")
    assert (done.returncode, (tmp_path / "file").read_bytes()) == (0, b"")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_for_a_full_device_is_an_error(arguments):
    with open("/dev/full", "wb") as full:
        done = execute(*arguments, stdout=full)
    assert_one_line_error(done, 1, "standard output", "No space left")


@pytest.mark.parametrize("redirection", [">&-", "| true"])
def test_help_that_nobody_reads_is_no_error(redirection):
    done = _redirected(f'"$@" {redirection}', "train", "--help")
    assert (done.returncode, done.stderr) == (0, b"")


def test_text_is_utf8_in_every_locale(tmp_path):
    plain = {"LC_ALL": "POSIX", "PYTHONUTF8": 0, "PYTHONCOERCECLOCALE": 0}
    options = {"environment": plain, "cwd": tmp_path}
    save_model(tmp_path / "м", with_biases("ж"))
    done = execute("sample", "--model", "м", "--prime", "ж", "--length", 0, **options)
    assert (done.stdout.decode(), done.stderr) == ("ж\n", b"")
    assert_one_line_error(execute("info", "--model", "ё", **options), 1, "ё")


def test_names_that_the_locale_does_not_know_are_kept_as_text(tmp_path):
    def undecoded(name):
        return os.fsencode(tmp_path / name).decode("ascii", "surrogateescape")

    (tmp_path / "ж.txt").write_text("жук " * 99, encoding="utf-8")
    save_model(tmp_path / "м", with_biases("жук "))
    arguments = (undecoded("ж.txt"), "--init-from", undecoded("м"), "--model", undecoded("б"))
    done = invoke("train", *arguments, *QUICK[4:])
    assert done.exit_code == 0 and f"saved {tmp_path / 'б'}: " in done.stderr
    origin = load_model(tmp_path / "б").training
    assert (origin["corpus"], origin["init_from"]) == (["ж.txt"], "м")
    done = invoke("gradients", undecoded("ж.txt"), "--model", undecoded("м"), "--json")
    assert json.loads(done.stdout)["curves"][0]["model"] == str(tmp_path / "м")


# The command


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Writes controls only."""
    path = tmp_path_factory.mktemp("terminal") / "m.safetensors"
    save_model(path, with_biases("\x1b[\u202eé"))
    return path


def test_samples_on_a_terminal_and_elsewhere(model):
    arguments = ("sample", "--model", model, "--seed", 1, "--length", 100, "--prime", "\x1b[31m")
    exact = execute(*arguments)
    assert (exact.returncode, exact.stderr.count(b"\n")) == (0, 1)  # 3, 1 and m are unknown
    text = exact.stdout.decode()
    assert len(text) == 106 and {"\x1b", "\u202e", "é"} < set(text)
    code, shown = on_terminal("stdout", *arguments)
    visible = text.replace("\x1b", "^[").replace("\u202e", "<RIGHT-TO-LEFT OVERRIDE>")
    assert (code, shown) == (0, visible.replace("\n", "\r\n"))
    assert execute(*arguments, "--raw").stdout == exact.stdout
    assert on_terminal("stdout", *arguments, "--raw") == (0, text.replace("\n", "\r\n"))


@pytest.mark.parametrize("command", [["info"], ["info", "--json"]])
def test_info_on_a_terminal_shows_no_controls(model, command):
    code, shown = on_terminal("stdout", *command, "--model", model)
    assert code == 0
    assert not {"\x1b", "\u202e"} & set(shown)


def test_a_reader_that_leaves_ends_it_quietly(model):
    with start("sample", "--model", model, "--length", 100_000) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_full_device_is_an_error(model):
    with open("/dev/full", "wb") as full:
        done = execute("sample", "--model", model, stdout=full)
    assert_one_line_error(done, 1, "No space left")


def test_a_closed_output_is_an_error(model):
    done = execute("sample", "--model", model, preexec_fn=lambda: os.close(1))
    assert_one_line_error(done, 1, "standard output", "closed")
