"""One run at a time on a model: a lock that the system takes back when its process ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from charrnn.errors import ModelFileError
from charrnn.storage.files import check_output, target_of

if sys.platform == "win32":
    import msvcrt

    #: Nobody else can read a byte that is locked there, so it is none of the process's number.
    _BYTE = 1 << 20

    def _lock(handle: int) -> None:
        os.lseek(handle, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock_path(model: Path) -> Path:
    """The file that is locked; the same for a link to the model."""
    target = target_of(model)
    return target.parent / f".{target.name}.lock"


@contextlib.contextmanager
def locked(model: Path) -> Iterator[None]:
    """Let no other process train ``model`` while the block runs.

    What is locked is a hidden file beside the model, gone after the block; a killed process leaves
    the file, but no lock on it. Raises ``ModelFileError`` where another process has the lock, and
    where there can be no such model or no file beside it.
    """
    check_output(model)
    path = lock_path(model)
    try:
        handle = _acquire(path)
    except BlockingIOError as error:
        raise ModelFileError(
            f"{model} is being trained by {_holder(path)}: let it end, or give `model` with "
            "another name"
        ) from error
    except OSError as error:
        raise ModelFileError(
            f"cannot write {model}: {error.strerror}; `model` must be a file in an existing "
            "folder that can be written to"
        ) from error
    try:
        yield
    finally:
        # While it is locked: whoever has opened it already will find that it is gone. Windows
        # removes no open file; there it stays, and is locked again by the next run.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


def _acquire(path: Path) -> int:
    """A handle of the file at ``path``, locked and with the process's number in it.

    Raises ``BlockingIOError`` where another process has the lock, ``OSError`` where no file can
    be made.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle)
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError:
            pass  # a file system without locks: one can train there all the same
        if _is_at(handle, path):
            with contextlib.suppress(OSError):  # the lock holds without the number too
                os.ftruncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
            return handle
        os.close(handle)  # the run that had the lock has just removed the file: try the next one


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    """The process that wrote its number into the file."""
    try:
        return f"process {int(path.read_bytes()[:20])}"
    except (OSError, ValueError):
        return "another process"
