"""What reaches a terminal does no harm; what reaches a pipe is exact."""

import io
import os
import sys

import pytest
from commands import assert_one_line_error, execute, on_terminal, start
from trained import with_biases

from charrnn.checkpoint import save_model
from charrnn.errors import CharrnnError
from charrnn.terminal import Output

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
          *range(0x202A, 0x202F), *range(0x2066, 0x206A)]  # fmt: skip


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


@pytest.mark.parametrize("command", ["sample", "info", "evaluate"])
def test_a_full_device_is_an_error(model, command, tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("é", encoding="utf-8")
    more = [text] if command == "evaluate" else []
    with open("/dev/full", "wb") as full:
        done = execute(command, "--model", model, *more, stdout=full)
    assert_one_line_error(done, 1, "No space left")


@pytest.mark.parametrize("command", ["sample", "info", "evaluate"])
def test_a_closed_output_is_no_crash(model, command, tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("é", encoding="utf-8")
    more = [text] if command == "evaluate" else []
    done = execute(command, "--model", model, *more, preexec_fn=lambda: os.close(1))
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.stderr.count(b"\n") <= 1
