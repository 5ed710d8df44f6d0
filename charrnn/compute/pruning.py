"""Machine code that nobody uses any more is removed.

Each version of the program, of Python and of Numba has a folder of its own (see ``folders``), and
would stay for ever. A process holds a lock on the one that it uses for as long as it runs; of those
beside it that are locked by nobody and were not used for a month, and that hold nothing but what
Numba writes, it removes all, once a day. Nobody waits for it and nothing is said.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

#: Seconds for which a folder is kept that nobody uses, and between two looks at all of them.
UNUSED, INTERVAL = 30 * 86_400, 86_400

#: How these folders are called, and the files in them; the last are of a process that was killed.
_FOLDER = re.compile(r"[0-9a-f]{16}")
_FILE = re.compile(r".+\.nb[ic](\.tmp\.\w+)?")

#: Folders that are locked until the process ends.
_held: list[int] = []

if sys.platform == "win32":

    def hold(folder: Path) -> bool:
        """Nothing: Windows has no locks on folders, and all are kept."""
        return True

else:
    import fcntl

    def hold(folder: Path) -> bool:
        """Let no other process remove ``folder``; False: one has done so just now.

        Where a day has passed since the last look, what is unused beside it is removed.
        """
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:  # no more files can be opened: it can be used all the same
            return True
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_SH)
        if not _is_at(handle, folder):
            os.close(handle)
            return False
        _held.append(handle)
        with contextlib.suppress(OSError):
            if _age(handle) > INTERVAL:
                os.utime(handle)
                _remove_unused(folder.parent)
        return True

    def _remove_unused(root: Path) -> None:
        for path in root.iterdir():
            if _FOLDER.fullmatch(path.name):
                with contextlib.suppress(OSError):  # also: somebody uses it
                    _remove_if_unused(path)

    def _remove_if_unused(folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_own = os.fstat(handle).st_uid == os.getuid()
            if is_own and _age(handle) > UNUSED and _holds_only_code(folder):
                shutil.rmtree(folder)
        finally:
            os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _age(handle: int) -> float:
    """Seconds since a folder was last marked as used, or something was added to it."""
    return time.time() - os.fstat(handle).st_mtime


def _holds_only_code(folder: Path) -> bool:
    """Whether there is nothing in a folder that Numba has not written."""
    return all(
        not path.is_symlink() and (path.is_dir() or _FILE.fullmatch(path.name))
        for path in folder.rglob("*")
    )
