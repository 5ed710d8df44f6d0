"""What is shown of a run fits the terminal, and a run needs nobody who watches it."""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios

import pytest

from charrnn.cli.progress import Reporter
from charrnn.errors import CharrnnError
from charrnn.storage.files import Appended
from charrnn.storage.log import JsonLog
from charrnn.training.record import Record


def _record(progress, validation=None, **figures):
    values = {"step": 12_345, "characters": 10**7, "epoch": 3.0, "progress": progress,
              "loss": 1.234, "learning_rate": 0.01, "gradient_norm": 1.0, "skipped": 0,
              "seconds": 100.0, "characters_per_second": 123_456.0}  # fmt: skip
    return Record(**values | figures, validation_loss=validation, improved=validation is not None)


def _read(leader):
    """All that has been written to a terminal; it comes in pieces."""
    shown = b""
    while select.select([leader], [], [], 0.05)[0]:
        shown += os.read(leader, 1 << 16)
    return shown.decode()


@pytest.fixture
def terminal(monkeypatch):
    """Makes standard error a terminal of so many columns; returns what reads it."""
    opened = []

    def open_(columns):
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        opened.extend([leader, follower])
        stream = open(follower, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        monkeypatch.setattr(sys, "stderr", stream)
        return lambda: _read(leader)

    yield open_
    for handle in opened:
        os.close(handle)


def _rows(shown):
    """What stood on the terminal's lines at any time, without the blanks that clear them."""
    return [row.rstrip() for row in re.split("[\r\n]+", shown) if row.strip()]


@pytest.mark.parametrize(
    ("columns", "beside_bar", "in_line"),
    [
        (20, "", "validation 1.3000  best so far"),
        (40, "loss 1.234  1:40 left", "validation 1.3000  best so far"),
        (60, "step 12,345  loss 1.234  1:40 left",
         "step 12,345  loss 1.234  validation 1.3000  best so far"),
        (80, "step 12,345  loss 1.234 (1.780 bits)  123,456 chars/s  1:40 left",
         "step 12,345  loss 1.234  1:40 left  validation 1.3000  best so far"),
        (110, "step 12,345  loss 1.234 (1.780 bits)  123,456 chars/s  1:40 left",
         "step 12,345  loss 1.234 (1.780 bits)  123,456 chars/s  1:40 left  validation 1.3000  "
         "best so far"),
        (200, "step 12,345  loss 1.234 (1.780 bits)  123,456 chars/s  1:40 left",
         "step 12,345  loss 1.234 (1.780 bits)  123,456 chars/s  1:40 left  validation 1.3000  "
         "best so far"),
    ],
)  # fmt: skip
def test_what_matters_most_fits_and_the_bar_takes_the_rest(terminal, columns, beside_bar, in_line):
    shown = terminal(columns)
    with Reporter() as reporter:
        reporter.show(_record(0.5, validation=1.3))
    rows = _rows(shown())
    assert " ".join(row for row in rows if "%|" not in row).split() == in_line.split()
    if columns >= 40:
        assert in_line in rows
    bar = [row for row in rows if "%|" in row][-1]
    assert all(len(row) < columns for row in rows if row in (bar, in_line) or "%|" in row)
    figures = re.fullmatch(r" 50%\|(█+.? *)\| ?(.*)", bar)
    assert figures and figures[2] == beside_bar, bar
    assert columns < 40 or (len(bar) == columns - 1 and len(figures[1]) >= 6)


def test_the_bar_follows_the_terminal_as_it_changes(terminal):
    shown = terminal(120)
    with Reporter() as reporter:
        reporter.show(_record(0.25, validation=1.3))
        size = struct.pack("HHHH", 24, 60, 0, 0)
        fcntl.ioctl(sys.stderr.fileno(), termios.TIOCSWINSZ, size)
        reporter.show(_record(0.5, validation=1.2))
    bars = [row for row in _rows(shown()) if "%|" in row and "left" in row]
    assert len(bars[0]) == 119 and len(bars[-1]) == 59


def test_a_terminal_that_does_not_know_its_width(terminal):
    shown = terminal(0)
    with Reporter() as reporter:
        reporter.show(_record(0.5, validation=1.3))
    assert {len(row) for row in _rows(shown()) if "%|" in row and "left" in row} == {79}


def test_messages_break_between_words_above_the_bar(terminal):
    shown = terminal(40)
    path = "/a/long/path/" + "x" * 40
    words = f"a message that takes a few lines, with {path} in it"
    with Reporter() as reporter:
        reporter.say(words)
    rows = [row for row in _rows(shown()) if "%|" not in row]
    assert " ".join(rows) == words and path in rows
    assert len(rows) == 3 and all(len(row) <= 40 for row in rows if row != path)


def test_skipped_updates_are_told(terminal):
    shown = terminal(110)
    with Reporter() as reporter:
        reporter.show(_record(0.5, validation=1.3, skipped=3))
    assert "3 skipped" in shown()


def test_a_terminal_that_is_gone_ends_no_run(monkeypatch):
    """Its other end is closed, as by a window or a connection."""
    leader, follower = pty.openpty()
    with open(follower, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with Reporter() as reporter:
            os.close(leader)
            for step in range(3):
                reporter.show(_record(0.5, validation=1.3, step=step))
                reporter.say("a message")


def test_a_log_on_a_full_device_is_an_error(tmp_path):
    path = tmp_path / "log"
    file = Appended(path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file._handle)
    os.close(full)
    with pytest.raises(CharrnnError, match=r"cannot write the log .*No space left"):
        Reporter(JsonLog(path, file)).show(_record(0.5, validation=1.3))
    file.close()
