"""The program as a user runs it: in a process of its own, on a terminal, or within this one."""

from __future__ import annotations

import contextlib
import fcntl
import inspect
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from unittest import mock

import pytest
from click.testing import CliRunner
from subprocesses import ROOT

from charrnn.cli.main import main

#: Options of ``train`` that make a run of a second.
QUICK = ("--layers", "1", "--hidden-size", "16", "--batch-size", "16", "--sequence-length", "32",
         "--steps", "30", "--warmup-steps", "5", "--validations", "3")  # fmt: skip

#: Python code that makes the import of the modules in ``blocked`` fail.
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
"""


#: The user's model, and the width that a worker of pytest-xdist names for all terminals.
_NOT_INHERITED = ("CHARRNN_MODEL", "COLUMNS", "LINES")


def environment_with(more):
    """That of the program: what a user has set is left out, and ``more`` is added."""
    kept = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
    return kept | {"PYTHONPATH": str(ROOT)} | {k: str(v) for k, v in more.items()}


class Process(subprocess.Popen):
    """A process that ends with the test that fails beside it: waited for, it would hold up all."""

    def __exit__(self, kind, *more):
        if kind is not None:
            self.kill()
        super().__exit__(kind, *more)

    def until(self, said):
        """Wait for a line on standard error in which this is said; all lines up to it."""
        lines = []
        while not lines or said not in lines[-1]:
            line = self.stderr.readline()
            assert line, f"it has ended: {b''.join(lines).decode()}"
            lines.append(line)
        return lines


def start(*arguments, environment=None, program=("-m", "charrnn"), **options):
    """The running program, with pipes unless ``options`` of Popen say otherwise."""
    given = {s: subprocess.PIPE for s in ("stdin", "stdout", "stderr")} | options
    command = [sys.executable, *map(str, (*program, *arguments))]
    return Process(command, env=environment_with(environment or {}), **given)


def execute(*arguments, stdin=b"", **options):
    """Run the program to its end; ``stdout`` and ``stderr`` of the answer are bytes."""
    with start(*arguments, **options) as process:
        stdout, stderr = process.communicate(stdin, timeout=120)
    stderr = without_compiling(stderr or b"")
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def without_compiling(text):
    """What a program said, but for the lines that say that it compiles.

    Whether a test is the first to need a kernel is chance.
    """
    return re.sub(rb"(?m)^compiling for this processor.*\r?\n", b"", text)


def execute_code(code, *arguments, timeout=120):
    """Run Python code as a process."""
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)],
                          capture_output=True, timeout=timeout,
                          env=environment_with({}))  # fmt: skip


def on_terminal(stream, *arguments, columns=120, **options):
    """Run with ``stream`` ("stdout" or "stderr") a terminal; exit code and what it showed."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = b""
    with start(*arguments, **{stream: follower}, **options) as process:
        os.close(follower)
        process.stdin.close()
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # Linux: the last writer has closed it
                break
            if not piece:
                break
            shown += piece
    os.close(leader)
    return process.returncode, shown.decode()


def invoke_on_terminal(stream, *arguments, columns=120):
    """The same within this process, which has a terminal for its ``stream`` meanwhile."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown: list[bytes] = []

    def watch():
        with contextlib.suppress(OSError):  # Linux: the last writer has closed it
            while piece := os.read(leader, 65536):
                shown.append(piece)

    watcher = threading.Thread(target=watch)
    watcher.start()
    other = "stderr" if stream == "stdout" else "stdout"
    with (
        open(follower, "w") as terminal,
        open(os.devnull, "w") as nowhere,
        mock.patch.object(sys, stream, terminal),
        mock.patch.object(sys, other, nowhere),
        pytest.raises(SystemExit) as ended,
    ):
        main.main([str(a) for a in arguments], prog_name="charrnn")
    watcher.join()
    os.close(leader)
    return ended.value.code, without_compiling(b"".join(shown)).decode()


#: What keeps standard error apart from standard output in click before 8.2; later ones always do.
_APART = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}


def invoke(*arguments, stdin=None):
    """Run a command within this process; an exception that it lets out is a failed test."""
    result = CliRunner(**_APART).invoke(main, [str(a) for a in arguments], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    result.stderr_bytes = without_compiling(result.stderr_bytes)
    return result


def assert_one_line_error(done, code, *words):
    """Ended with ``code`` and one line on standard error that holds ``words``."""
    text = done.stderr if isinstance(done.stderr, str) else done.stderr.decode()
    status = done.returncode if hasattr(done, "returncode") else done.exit_code
    assert "Traceback" not in text, text
    assert text.startswith("Error: ") and text.count("\n") == 1 and text.endswith("\n"), text
    assert status == code, text
    for word in words:
        assert str(word) in text
