"""Which file a path means, and whether a file may be written there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from charrnn.errors import ModelFileError, UsageError


def target_of(path: Path) -> Path:
    """The file that is meant by ``path``: where a symbolic link leads, be it there or not."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def check_output(path: Path) -> None:
    """Raise ``ModelFileError`` where no file can be written because of what is there, or is not."""
    target = target_of(path)
    if os.path.isdir(target):
        fault = "it is a folder"
    elif os.path.lexists(target) and not os.path.isfile(target):
        fault = "it is no regular file"
    elif not os.path.isdir(target.parent):
        fault = "its folder is not there"
    else:
        return
    raise ModelFileError(f"cannot write {path}: {fault}; name a file in an existing folder")


#: What a file is to a command, such as "the log", and its path; None: there is none.
Named = tuple[str, "str | Path | None"]


def texts(sources: Iterable[str | Path | None]) -> list[Named]:
    """Texts that are read, as ``keep_apart`` takes them; "-" is standard input."""
    return [("the text", "/dev/stdin" if str(source) == "-" else source) for source in sources]


def keep_apart(written: Iterable[Named], read: Iterable[Named]) -> None:
    """Raise ``UsageError`` where a file that is to be written is something else to the command too.

    It may go by another name there, that of a link too, and need not exist. What is read and
    written as the same, such as a model that is trained on in its place, is no clash.
    """
    known: dict[object, Named] = {}
    for role, path in read:
        known.setdefault(_identity(path), (role, path))
    for role, path in written:
        other, its_path = known.setdefault(_identity(path), (role, path))
        if other != role:
            raise UsageError(
                f"{role} {path} would be the same file as {other} {its_path}: name another"
            )


def _identity(path: str | Path | None) -> object:
    """What two paths have in common if they lead to one file, and nothing else has."""
    if path is None:
        return object()
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
