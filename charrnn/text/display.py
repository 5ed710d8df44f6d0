"""How names and texts that come from outside read in a message."""

from __future__ import annotations

import re

#: Bytes of the command line and of names that Python could not decode in the locale.
_UNDECODED = re.compile("[\udc80-\udcff]+")


def decoded(argument: str) -> str:
    """What the command line or a folder gave, with its UTF-8 read as such in every locale."""
    return _UNDECODED.sub(_as_utf8, argument)


def _as_utf8(match: re.Match[str]) -> str:
    return match[0].encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    """The text on one line, line ends and control characters as escapes."""
    text = decoded(text)
    return text if text.isprintable() else repr(text)[1:-1]


#: Most characters of a name that comes from a text or a file, and is named in a message.
_NAMED = 60


def named(text: str) -> str:
    """The text as ``printable`` has it, for a message: of a long one its beginning."""
    return printable(text if len(text) <= _NAMED else f"{text[:_NAMED]}…")
