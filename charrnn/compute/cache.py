"""How functions are compiled, and where the machine code is kept between processes.

Numba's own cache sees edits of the file that holds a function, not of what that file imports, so
the cache lives in a folder named after a hash of all compiled sources and versions, one that only
its user can write to (see ``folders``). Where there is none, everything still runs, compiled anew
in each process, and the user is told why. A damaged cache costs a compilation, never a crash.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core import config, event, sigutils, types
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    _CacheLocator,
    _SourceFileBackedLocatorMixin,
)
from numba.core.dispatcher import Dispatcher

from charrnn.compute import linking
from charrnn.compute.folders import VARIABLE, Folders, find_folders
from charrnn.errors import CharrnnError

#: Seconds that the first of most commands compiles for.
_SECONDS = 8


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


class _SharedLocator(_SourceFileBackedLocatorMixin, _CacheLocator):
    """Where a function's code is in the folder that is read only."""

    def __init__(self, function, file):
        self._py_file, self._lineno = file, function.__code__.co_firstlineno

    def get_cache_path(self):
        return str(_FOLDERS.shared / self.get_suitable_cache_subpath(self._py_file))

    def ensure_cache_path(self):
        """It is there, or nothing is found in it."""


class _SharedFiles(CompileResultCacheImpl):
    _locator_classes = (_SharedLocator,)


class _SharedCache(_ForgivingCache):
    """The cache of a function in the folder that is read only, before ``own``."""

    _impl_class = _SharedFiles

    def __init__(self, function, own):
        super().__init__(function)
        self._own = own

    def load_overload(self, sig, target_context):
        found = super().load_overload(sig, target_context)
        return found or self._own.load_overload(sig, target_context)

    def save_overload(self, sig, data):
        self._own.save_overload(sig, data)


#: Where machine code is kept; what is named to Numba is obeyed.
_FOLDERS = Folders(Path(config.CACHE_DIR), None, "") if config.CACHE_DIR else find_folders()

#: Why machine code is not kept; empty: it is.
_FAULTS: list[str] = [_FOLDERS.fault] if _FOLDERS.fault else []


def kept_in() -> Path:
    """The folder that machine code is kept in. Raises ``CharrnnError`` where there is none."""
    if _FAULTS or _FOLDERS.own is None:
        raise CharrnnError(f"nothing that is compiled can be kept: {_FAULTS[0]}; {_REMEDY}")
    return _FOLDERS.own


#: Options of Numba for all that is compiled: without the GIL, division by zero as in NumPy. Not
#: ``fastmath``: it folds away the checks for NaN.
_ALL = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True, "forceinline": False}

#: Options for what kernels are made of.
PART = _ALL | linking.PART

#: Options for what its callers take in, always: a tuple of arrays that is passed on otherwise
#: costs the counting of references to all of them.
INLINED = PART | {"forceinline": True}


class Kernel:
    """A function that Python calls and that other kernels call; for each it is compiled by itself.

    Called from Python, its machine code is kept.
    """

    def __init__(self, function: Callable, options: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.called = _kept(numba.njit(**_ALL, **linking.KERNEL)(function))
        self._part = numba.njit(**options)(function) if linking.PART else self.called
        self._numba_type_ = types.Dispatcher(self._part)  # what it is in compiled code

    def __call__(self, *arguments):
        return self.called(*arguments)


def _kept(compiled: Dispatcher) -> Dispatcher:
    """The function with a cache, unless there is no folder for it."""
    folder = config.CACHE_DIR or _FOLDERS.own
    if folder is not None:
        previous, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:
            compiled._cache = _ForgivingCache(compiled.py_func)
        except RuntimeError:  # Numba found no place that it can write to
            _FAULTS.append(f"nothing can be kept in {folder}")
        finally:
            config.CACHE_DIR = previous
    if _FOLDERS.shared is not None:
        compiled._cache = _SharedCache(compiled.py_func, compiled._cache)
    return compiled


def kernel(function):
    """Compile ``function`` with Numba, when it is called."""
    return Kernel(function, PART)


def inlined(function):
    """Compile ``function`` as a part of each caller's own code."""
    return Kernel(function, INLINED)


#: What helps where nothing is kept.
_REMEDY = f"set {VARIABLE} to a folder of your own to keep what is compiled"


def compilation_notice() -> str:
    """What to tell a user when something is compiled: that it is once, or why it is not."""
    if not _FAULTS:
        return f"compiling for this processor, once: this takes about {_SECONDS} seconds"
    return (
        f"compiling for this processor, about {_SECONDS} seconds in each process anew: "
        f"{_FAULTS[0]}; {_REMEDY}"
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
