"""What the commands print and what they say: exact to a pipe, harmless on a terminal.

Results go to standard output; where they cannot be written is an error. Messages go to standard
error by way of ``say``; where nobody can read them is none.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import textwrap
import unicodedata
from collections.abc import Iterator
from typing import IO

from charrnn.errors import CharrnnError
from charrnn.text.display import decoded

#: Control characters, and format characters such as bidirectional overrides; not \n and \t.
_ACTIVE = re.compile(
    r"[^\n\t\x20-\x7e\xa0-\U0010ffff]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def prepare_streams() -> None:
    """Let standard output and standard error take all text as UTF-8, in every locale."""
    if sys.stderr is None:  # closed; a file that is opened later must not come in its place
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]


def _discard(stream: IO[str]) -> None:
    """Let go nowhere what is written from now on, and what Python still holds, at exit too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def visible(text: str) -> str:
    """``text`` with what would control a terminal in a form that is seen, such as ``^[``."""
    return _ACTIVE.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 32 or code == 127:
        return "^" + chr(code ^ 64)
    return f"<{unicodedata.name(match.group(), 'U+' + format(code, '04X'))}>"


class Output:
    """Writes generated text to standard output as UTF-8, whatever the locale, and flushes.

    On a terminal control characters are shown (``^[``) instead of obeyed, unless ``raw``. Raises
    ``CharrnnError`` where standard output is closed.
    """

    def __init__(self, *, raw: bool = False) -> None:
        if sys.stdout is None:
            raise CharrnnError("cannot write to standard output: it is closed")
        self._stream = sys.stdout.buffer
        self._shows_controls = sys.stdout.isatty() and not raw

    def write(self, text: str) -> None:
        """Write and flush. A closed pipe ends the program quietly.

        Raises ``CharrnnError`` where the text cannot be written, as on a full disk.
        """
        if self._shows_controls:
            text = visible(text)
        self._put(text.encode("utf-8", "replace"))

    def write_bytes(self, data: bytes) -> None:
        """Write what may be no text as it is; on a terminal as text. Else as ``write``."""
        if self._shows_controls:
            self.write(data.decode("utf-8", "replace"))
        else:
            self._put(data)

    def _put(self, data: bytes) -> None:
        with output_errors():
            self._stream.write(data)
            self._stream.flush()


@contextlib.contextmanager
def output_errors() -> Iterator[None]:
    """Where standard output fails in the block: a closed pipe ends the program quietly.

    Raises ``CharrnnError`` for the rest, as on a full disk.
    """
    try:
        yield
    except BrokenPipeError:
        _discard(sys.stdout)
        raise SystemExit(0) from None
    except OSError as error:
        if error.filename is not None:  # it is about a file
            raise
        _discard(sys.stdout)
        raise CharrnnError(f"cannot write to standard output: {error.strerror}") from error


def print_result(text: str) -> None:
    """A command's result, on lines of its own. Raises ``CharrnnError`` as ``Output`` does."""
    Output().write(text + "\n")


class StandardError:
    """Standard error as a file that never fails: a run goes on also where nobody can watch it.

    While it is ``silent`` nothing is written.
    """

    encoding = "utf-8"
    silent = False

    def write(self, text: str) -> None:
        """Write and flush; where that fails nothing is written any more."""
        if self.silent:
            return
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            _discard(sys.stderr)


#: The one file of that kind: what writes above a bar must know the bar's file.
STANDARD_ERROR = StandardError()


def say(message: str) -> None:
    """Tell people something, on a line of its own whatever the message holds.

    A terminal is sent no control characters, and a line that is too long for it breaks between
    words.
    """
    line = visible(decoded(message)).replace("\n", "^J")
    width = columns()
    if width and len(line) > width:
        line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    STANDARD_ERROR.write(line + "\n")


def columns() -> int | None:
    """How wide the terminal is that standard error is; None: it is none."""
    if not sys.stderr.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    except OSError:
        return _USUAL_COLUMNS


#: Of a terminal that does not know how wide it is.
_USUAL_COLUMNS = 80
