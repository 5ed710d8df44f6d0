"""What the commands print: exactly as it is to a pipe, harmless on a terminal."""

from __future__ import annotations

import os
import re
import sys
import unicodedata

from charrnn.errors import CharrnnError

#: Control characters, and format characters such as bidirectional overrides; not \n and \t.
_ACTIVE = re.compile(
    r"[^\n\t\x20-\x7e\xa0-\U0010ffff]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


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
        try:
            self._stream.write(text.encode("utf-8", "replace"))
            self._stream.flush()
        except BrokenPipeError:
            # What Python still holds would fail again at exit: let it go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise CharrnnError(f"cannot write to standard output: {error.strerror}") from error


def print_result(text: str) -> None:
    """A command's result, on lines of its own. Raises ``CharrnnError`` as ``Output`` does."""
    Output().write(text + "\n")
