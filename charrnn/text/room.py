"""Room for the tokens of a corpus: in memory, or on disk where they would take too much of it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from charrnn.errors import CorpusError
from charrnn.text.display import printable

#: Share of the memory that tokens may take; weights, caches and other programs need the rest.
MEMORY_SHARE = 0.25

#: Where a container says how many bytes of memory it may have; "max": all there is.
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

#: Bytes of memory where the system does not tell.
_UNTOLD = 4 * 2**30

#: Bytes of zeros that are written at once.
_BLOCK = 2**20

_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextlib.contextmanager
def room_in(folder: Path | None) -> Iterator[None]:
    """Tokens that find no room in memory lie in ``folder`` in the block; without one, in TMPDIR."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def memory_size() -> int:
    """Bytes of memory that this machine has, or the container that this process is in."""
    sizes = []
    if sys.platform != "win32":
        with contextlib.suppress(ValueError, OSError):
            sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CONTAINER_LIMITS:
        with contextlib.suppress(ValueError, OSError):
            sizes.append(int(Path(path).read_text()))
    return min((size for size in sizes if size > 0), default=_UNTOLD)


def room_for(count: int, dtype: np.dtype) -> np.ndarray:
    """An array [count] to be filled.

    Where it takes more than ``MEMORY_SHARE`` of the memory it lies in a file without a name, which
    is gone with the array, or with the process. Raises ``CorpusError`` where there is no room.
    """
    size = count * dtype.itemsize
    if size <= MEMORY_SHARE * memory_size():
        return np.empty(count, dtype)
    folder = _folder.get()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            _fill(file.fileno(), size)
            return np.asarray(np.memmap(file, dtype, "r+", shape=(count,)))
    except OSError as error:
        where, other = tempfile.gettempdir(), "set TMPDIR to another folder"
        if folder:
            where, other = printable(str(folder)), "name a model in another folder"
        raise CorpusError(
            f"the text takes {size / 2**30:.1f} GiB, too much for the memory, and cannot be kept "
            f"in {where} ({error.strerror or error}); make room there, or {other}"
        ) from error


def _fill(file: int, size: int) -> None:
    """Let a file have so many bytes that are really there: a map of others may end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    for start in range(0, size, _BLOCK):
        os.write(file, bytes(min(_BLOCK, size - start)))
