"""How functions are compiled, and where the machine code is kept between processes.

Numba's own cache sees edits of the file that holds a function, not of what that file imports, so
the cache lives in a folder named after a hash of all compiled sources and versions. Cached code
is unpickled, so the folder must belong to the user and be closed to everyone else; where that
cannot be had, everything still runs, compiled anew in each process, and the user is told why. A
damaged cache costs a compilation, never a crash.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core import config, event, sigutils
from numba.core.caching import FunctionCache

_PACKAGE = Path(__file__).resolve().parent.parent
_COMPILED = ("compute", "cells")


def _fingerprint() -> str:
    """Hash of the compiled sources and of what compiles them."""
    digest = hashlib.sha256()
    for version in (sys.version, numba.__version__, llvmlite.__version__, np.__version__):
        digest.update(version.encode())
    for folder in _COMPILED:
        for source in sorted((_PACKAGE / folder).glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


class _NotKept(Exception):
    """Why machine code cannot be kept."""


def _private_folder() -> str:
    """The cache folder, made if need be. Raises ``_NotKept`` where there is none of the user's."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(base):
        raise _NotKept("there is no home folder")
    root = Path(base) / "charrnn"
    folder = root / _fingerprint()
    for path in (root, folder):
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
        except OSError as error:
            raise _NotKept(f"{path} cannot be made ({error.strerror})") from error
        if sys.platform == "win32":
            continue  # its home folders are closed to others, and files have no such owner
        if status.st_uid != os.getuid():
            raise _NotKept(f"{path} belongs to another user")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _NotKept(f"others can write to {path}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _NotKept(f"{folder} cannot be written to")
    return str(folder)


class _ForgivingCache(FunctionCache):
    """Numba's cache, except that what cannot be read or written counts as absent.

    So does machine code for other types than those asked for. Numba numbers the files of a
    function's versions by its index, and two processes that compile two versions at once take the
    same number: then the index names the code of the one as that of the other.
    """

    def load_overload(self, sig, target_context):
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # unpickling damaged data can raise anything
            return None
        if found is None or found.signature.args != sigutils.normalize_signature(sig)[0]:
            return None
        return found

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except Exception:  # as can writing over it: the index is read first
            with contextlib.suppress(OSError):
                Path(self._cache_file._index_path).unlink(missing_ok=True)


#: Why machine code is not kept; empty: it is.
_FAULTS: list[str] = []
_FOLDER: str | None = None
if not config.CACHE_DIR:
    try:
        _FOLDER = _private_folder()
    except _NotKept as fault:
        _FAULTS.append(str(fault))


def kernel(function):
    """Compile ``function`` with Numba: cached, without the GIL, division by zero as in NumPy.

    ``NUMBA_CACHE_DIR`` is obeyed; otherwise machine code is kept under the user's cache folder.
    Not ``fastmath``: it folds away the checks for NaN.
    """
    compiled = numba.njit(nogil=True, error_model="numpy")(function)
    folder = config.CACHE_DIR or _FOLDER
    if folder is not None:
        previous, config.CACHE_DIR = config.CACHE_DIR, folder
        try:
            compiled._cache = _ForgivingCache(compiled.py_func)
        except RuntimeError:  # Numba found no place that it can write to
            _FAULTS.append(f"nothing can be kept in {folder}")
        finally:
            config.CACHE_DIR = previous
    return compiled


#: Options of Numba for what becomes part of the kernels that call it. A tuple of arrays that is
#: passed on otherwise costs the counting of references to all of them.
INLINED = {"nogil": True, "error_model": "numpy", "forceinline": True}

#: Compile a function as a part of its callers.
inlined = numba.njit(**INLINED)


def compilation_notice() -> str:
    """What to tell a user when something is compiled: that it is once, or why it is not."""
    if not _FAULTS:
        return "compiling for this processor, once: this takes about 15 seconds"
    return (
        "compiling for this processor, about 15 seconds in each process anew: "
        f"{_FAULTS[0]}; set NUMBA_CACHE_DIR to a folder of your own to keep what is compiled"
    )


class _Compilation(event.Listener):
    """Counts the kernels that are compiled, and the seconds in which any is."""

    def __init__(self, notify: Callable[[int, float, bool], None]) -> None:
        self._notify = notify
        self._compiled = self._depth = 0  # a kernel compiles those that it calls
        self._seconds = self._started = 0.0

    def on_start(self, event):
        if not self._depth:
            self._started = time.monotonic()
        self._depth += 1
        self._tell()

    def on_end(self, event):
        self._depth -= 1
        self._compiled += 1
        self._tell()
        if not self._depth:
            self._seconds += time.monotonic() - self._started

    def _tell(self) -> None:
        seconds = self._seconds + time.monotonic() - self._started
        self._notify(self._compiled, seconds, self._depth > 0)


@contextlib.contextmanager
def announce_compilation(notify: Callable[[int, float, bool], None]) -> Iterator[None]:
    """Call ``notify`` when a kernel begins to be compiled, rather than loaded, and when it is done.

    It is told how many have been compiled in this block, in how many seconds, and whether another
    is at hand.
    """
    with event.install_listener("numba:compile", _Compilation(notify)):
        yield
