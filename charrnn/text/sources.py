"""Files and standard input as bytes that can be read more than once, and how much has been read."""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, NamedTuple

from charrnn.errors import CorpusError

#: Bytes that are read at once; 1 MiB was no faster and took four times the memory.
CHUNK = 1 << 18

_STANDARD_INPUT = "standard input"

_Watcher = Callable[[int, "int | None"], None]
_watcher: ContextVar[_Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched_reading(watcher: _Watcher) -> Iterator[None]:
    """Tell ``watcher``, in the block, how many bytes have been read, and of how many.

    That is None while what can be read only once is copied, and begins anew after it.
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


class Progress:
    """How many bytes of all texts have been read, told to who watches."""

    def __init__(self) -> None:
        self.begin(None)

    def begin(self, total: int | None) -> None:
        """From here on ``total`` bytes are to be read; None: nobody knows."""
        self._read, self._total = 0, total

    def add(self, size: int) -> None:
        """So many more have been read."""
        self._read += size
        if watcher := _watcher.get():
            watcher(self._read, self._total)


class Text(NamedTuple):
    """A text that can be read from its beginning more than once."""

    name: str  # for messages
    path: Path
    size: int  # in bytes, when it was looked at
    spool: IO[bytes] | None = None  # a copy of what can be read only once

    @classmethod
    def of(cls, source: str | Path, stack: ExitStack, progress: Progress) -> Text:
        """Looks at the source; what is not a regular file is copied for as long as ``stack``."""
        if str(source) == "-":
            return cls._copied(_STANDARD_INPUT, Path("-"), _standard_input(), stack, progress)
        name, path = repr(str(source)), Path(source)
        with _errors_named(name), path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode):
                return cls(name, path, status.st_size)
            return cls._copied(name, path, file, stack, progress)

    @classmethod
    def _copied(
        cls, name: str, path: Path, file: IO[bytes], stack: ExitStack, progress: Progress
    ) -> Text:
        spool = _spooled(file, name, stack, progress)
        return cls(name, path, spool.tell(), spool)

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The bytes from the beginning. Regular files are not kept open: there may be many."""
        with _errors_named(self.name), ExitStack() as stack:
            file = self.spool or stack.enter_context(self.path.open("rb"))
            file.seek(0)
            yield file


def _standard_input() -> IO[bytes]:
    # A program that was started with its standard input closed has none.
    return sys.stdin.buffer if sys.stdin else io.BytesIO()


_REMEDIES: dict[type[OSError], str] = {
    FileNotFoundError: "check the path",
    IsADirectoryError: "name the files in the folder",
    PermissionError: "change its permissions",
}


@contextmanager
def _errors_named(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(type(error), "try a copy of it")
        raise CorpusError(f"cannot read {name} ({error.strerror or error}); {remedy}") from error


@contextmanager
def opened_once(source: str | Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and bytes of what is read once and as it comes, which a pipe may do for ever.

    Raises ``CorpusError`` where it cannot be read.
    """
    if str(source) == "-":
        with _errors_named(_STANDARD_INPUT):
            yield _STANDARD_INPUT, _standard_input()
    else:
        name = repr(str(source))
        with _errors_named(name), Path(source).open("rb") as file:
            yield name, file


def _spooled(file: IO[bytes], name: str, stack: ExitStack, progress: Progress) -> IO[bytes]:
    """A temporary file with all that ``file`` yields, closed and gone with ``stack``."""
    try:
        with ExitStack() as cleanup:
            spool = cleanup.enter_context(tempfile.TemporaryFile())
            while chunk := file.read(CHUNK):
                spool.write(chunk)
                progress.add(len(chunk))
            spool.flush()
            stack.enter_context(cleanup.pop_all())
            return spool
    except OSError as error:
        raise CorpusError(
            f"cannot copy {name} to a temporary file ({error.strerror or error}); "
            "set TMPDIR to a folder that has room for it"
        ) from error
