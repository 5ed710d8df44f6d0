"""What is said while a user waits: of reading a large text, and of compiling."""

import re
import signal
import time

from commands import QUICK, invoke, on_terminal, start
from trained import FABLES

from charrnn.cli import waiting
from charrnn.cli.signals import stopped_by_signals
from charrnn.text import corpus
from charrnn.text.corpus import read_corpus
from charrnn.text.sources import watched_reading

NOTICE = "compiling for this processor, once: this takes about 8 seconds"
COMPILING = """
import sys
from numba.core import config
config.CACHE_DIR = sys.argv[1]
from charrnn.compute.cache import kernel
from charrnn.cli.waiting import announced_compilation

@kernel
def double(x):
    return 2 * x

@kernel
def after(x):
    return double(x) + 1

with announced_compilation():
    assert after(1.5) == 4.0
    print("ready", file=sys.stderr)
"""


def _left(line):
    """What stands in a line of a terminal in the end: a return to its beginning writes over it."""
    left = ""
    for piece in line.split("\r"):
        left = piece + left[len(piece) :]
    return left.rstrip()


# Compiling


def test_a_terminal_counts_the_kernels_that_are_compiled(tmp_path):
    (tmp_path / "script.py").write_text(COMPILING)
    code, shown = on_terminal("stderr", tmp_path, program=[tmp_path / "script.py"])
    assert code == 0, shown
    for compiled in (0, 1):  # one kernel calls the other, so it is not done before it
        assert f"kernels compiled: {compiled} of about 60, " in shown
    assert [_left(line) for line in shown.rstrip().split("\n")] == [NOTICE, "ready"]


def test_elsewhere_compiling_is_one_line(tmp_path):
    (tmp_path / "script.py").write_text(COMPILING)
    with start(tmp_path, program=[tmp_path / "script.py"]) as process:
        said = process.communicate(timeout=120)[1].decode()
    assert said.splitlines() == [NOTICE, "ready"]


# Reading


def test_who_watches_is_told_of_all_that_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "CHUNK", 4)
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, text in zip(paths, ("abcdefgh", "xyz"), strict=True):
        path.write_text(text)
    told = []
    with watched_reading(lambda *counts: told.append(counts)):
        read_corpus(paths)
    read_corpus(paths)
    assert sorted({read for read, total in told}) == [4, 8, 11, 15, 19, 22]
    assert {total for read, total in told} == {22}


def test_of_a_small_text_nothing_is_said(tmp_path):
    done = invoke("train", FABLES, "--model", tmp_path / "m", *QUICK)
    assert done.exit_code == 0 and "reading" not in done.stderr


def test_of_a_large_text_something_is_said_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "CHUNK", 20_000)
    monkeypatch.setattr(waiting, "_UNSAID", 0.0)
    monkeypatch.setattr(waiting, "_LINE_INTERVAL", 0.0)
    done = invoke("train", FABLES, "--model", tmp_path / "m", *QUICK)
    said = [line for line in done.stderr.splitlines() if "reading" in line]
    shares = [int(re.fullmatch(r"reading the text: (\d+)%", line)[1]) for line in said]
    assert shares == sorted(shares) and shares[0] == 12 and len(shares) > 6


def test_of_standard_input_the_bytes_are_said(tmp_path):
    """How many there will be nobody knows."""
    half = FABLES.read_bytes() * 4
    with start("train", "-", "--model", tmp_path / "m", *QUICK) as process:
        process.stdin.write(half)
        process.stdin.flush()
        time.sleep(waiting._UNSAID + 1.5)
        said = process.communicate(half, timeout=120)[1]
    assert process.returncode == 0
    assert re.search(rb"(?m)^reading the text: 0\.[357] MB so far$", said), said


def test_a_signal_that_is_handled_outside_python_is_left_alone(monkeypatch):
    """Of such a handler Python knows only that there is one."""
    known = signal.getsignal
    before = known(signal.SIGINT), known(signal.SIGTERM)

    def foreign(number):
        return None if number == signal.SIGTERM else known(number)

    monkeypatch.setattr(signal, "getsignal", foreign)
    with stopped_by_signals():
        assert known(signal.SIGTERM) is before[1]
    assert (known(signal.SIGINT), known(signal.SIGTERM)) == before
