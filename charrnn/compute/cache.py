"""How functions are compiled, and where the machine code is kept between processes.

Numba's own cache sees edits of the file that holds a function, not of what that file imports, so
the cache lives in a folder named after a hash of all compiled sources and versions. Cached code
is unpickled, so the folder must belong to the user and be closed to everyone else; where that
cannot be had, everything still runs, compiled anew in each process. A damaged cache costs a
compilation, never a crash.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
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


def _private_folder() -> str | None:
    """The cache folder, made if need be; None where no folder of the user's own can be had."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(base):  # there is no home
        return None
    root = Path(base) / "charrnn"
    folder = root / _fingerprint()
    try:
        for path in (root, folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
            if os.name == "posix" and status.st_uid != os.getuid():
                return None
            if os.name == "posix" and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return None
    except (OSError, RuntimeError):
        return None
    return str(folder) if os.access(folder, os.W_OK | os.X_OK) else None


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


_FOLDER = None if config.CACHE_DIR else _private_folder()


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
            pass
        finally:
            config.CACHE_DIR = previous
    return compiled


COMPILATION_NOTICE = "compiling for this processor, once: this takes about 15 seconds"


class _FirstCompilation(event.Listener):
    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify: Callable[[], None] | None = notify

    def on_start(self, event):
        if self._notify:
            notify, self._notify = self._notify, None
            notify()

    def on_end(self, event):
        """Nothing to do: only the beginning is announced."""


@contextlib.contextmanager
def announce_compilation(notify: Callable[[], None]) -> Iterator[None]:
    """Call ``notify()`` once if anything must be compiled, rather than loaded, in this block."""
    with event.install_listener("numba:compile", _FirstCompilation(notify)):
        yield
