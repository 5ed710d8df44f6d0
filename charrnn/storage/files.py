"""Which file a path means, whether a file may be written there, and how it is written.

All files that a user keeps are written here: in one piece by ``write_atomically``, or piece by
piece as an ``Appended``. Each operation is one of ``os``, so that tests can let any of them fail.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from charrnn.errors import ModelFileError, UsageError

#: How the name of a file ends that is not yet whole.
_PARTIAL = ".partial"

#: Windows would write other ends of lines.
_BINARY = getattr(os, "O_BINARY", 0)

_NO_FOLDER = "its folder is not there"

#: Files not yet whole that threads of this process are writing.
_being_written: set[Path] = set()


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
        fault = _NO_FOLDER
    else:
        return
    raise ModelFileError(f"cannot write {path}: {fault}; name a file in an existing folder")


_MAKE_ROOM = "make room there, or name a file on another disk"
_REMEDIES = {errno.ENOSPC: _MAKE_ROOM, errno.EDQUOT: _MAKE_ROOM, errno.EFBIG: _MAKE_ROOM}


@contextlib.contextmanager
def writing_errors(what: str | Path) -> Iterator[None]:
    """Raise ``ModelFileError`` where the system refuses to write ``what``, a file, in the block."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "name a file in another folder")
        # That of a file that is made at this moment: see ``check_output``.
        fault = _NO_FOLDER if error.errno == errno.ENOENT else error.strerror or error
        raise ModelFileError(f"cannot write {what}: {fault}; {remedy}") from error


def write_atomically(path: Path, *data: bytes | memoryview) -> None:
    """Replace ``path`` by a file with all ``data``: at any moment the old or the new one is there.

    That holds for a power cut too, and when it returns the new one lasts. A symbolic link stays,
    and the file that it leads to is replaced. Raises ``ModelFileError`` where it cannot be written;
    the old file then still stands, or the new one where only the folder could not be made to last.
    """
    check_output(path)
    target = target_of(path)
    with writing_errors(path):
        _remove_leftovers(target)  # first: they take room
        name = f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}{_PARTIAL}"
        partial = target.parent / name
        _being_written.add(partial)
        try:
            _write_new(partial, *data)
            os.replace(partial, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise
        finally:
            _being_written.discard(partial)
        _sync_folder(target.parent)


def remove(path: Path) -> None:
    """Remove a file if it is there. Raises ``ModelFileError`` where that is refused."""
    with writing_errors(path):
        path.unlink(missing_ok=True)


def _write_new(path: Path, *data: bytes | memoryview) -> None:
    """Make a file with ``data`` that lasts, but for its name."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        for part in data:
            _write(handle, part)
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(handle: int, data: bytes | memoryview) -> None:
    """Write all of it; the system may take a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _sync_folder(folder: Path) -> None:
    """Let the names in it last; some systems open no folders, or cannot do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _remove_leftovers(target: Path) -> None:
    """Remove what processes left that were killed while they wrote ``target``."""
    prefix = f".{target.name}."
    for path in target.parent.glob(f"{glob.escape(prefix)}*{_PARTIAL}"):
        process = path.name.removeprefix(prefix).partition("-")[0]
        if path not in _being_written and not _is_another(process):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _is_another(process: str) -> bool:
    """Whether another process has this number, and may be writing still.

    Windows is not asked, where it would end that process: open files are not removed there.
    """
    if sys.platform == "win32" or process == str(os.getpid()):
        return False
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    return True


class Appended:
    """A file that grows, of which the first ``size`` bytes are kept.

    All that it does raises ``OSError`` where the system refuses.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | _BINARY, 0o666)
        try:
            os.ftruncate(self._handle, size)
            os.lseek(self._handle, size, os.SEEK_SET)
            _sync_folder(target_of(path).parent)
        except OSError:
            self.close()
            raise
        self.size = size

    def write(self, data: bytes) -> None:
        """Add to it."""
        _write(self._handle, data)
        self.size += len(data)

    def sync(self) -> None:
        """Let what was written last, even if the power fails."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Write no more."""
        os.close(self._handle)


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
