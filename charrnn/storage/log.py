"""The log of a run: a record on each line, as JSON or as CSV, that a resumed run goes on with."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charrnn.errors import CharrnnError
from charrnn.storage.files import Appended, writing_errors

#: What a line raises that is no record, or not whole.
_BROKEN = (ValueError, RecursionError, csv.Error)


class Log(ABC):
    """A file that is open for records, which are figures by name.

    What it does raises ``CharrnnError`` where the file cannot be written.
    """

    def __init__(self, path: Path, file: Appended) -> None:
        self._path, self._file = path, file

    def write(self, record: dict[str, Any]) -> None:
        """Add a record: what is no finite number becomes nothing."""
        text = self._text({name: _finite(own) for name, own in record.items()})
        with _errors_told(self._path):
            self._file.write(text.encode())

    def sync(self) -> None:
        """Let the records last, even if the power fails."""
        with _errors_told(self._path):
            self._file.sync()

    @abstractmethod
    def _text(self, record: dict[str, Any]) -> str:
        """The record as it is written, and what has to stand before the first."""

    @staticmethod
    @abstractmethod
    def records(lines: Iterator[bytes]) -> Iterator[tuple[dict[str, Any] | None, int]]:
        """The records of the lines of such a file, each with its bytes; None: what is above them.

        Raises one of ``_BROKEN`` at a line that is no record, or not whole.
        """


class JsonLog(Log):
    """An object on each line."""

    def _text(self, record: dict[str, Any]) -> str:
        return json.dumps(record, allow_nan=False) + "\n"

    @staticmethod
    def records(lines: Iterator[bytes]) -> Iterator[tuple[dict[str, Any] | None, int]]:
        for line in lines:
            yield _checked(json.loads(line), line), len(line)


class CsvLog(Log):
    """A row for each record below a row with the names, as spreadsheets read it."""

    def _text(self, record: dict[str, Any]) -> str:
        rows = [list(record.values())]
        if not self._file.size:
            rows.insert(0, list(record))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()

    @staticmethod
    def records(lines: Iterator[bytes]) -> Iterator[tuple[dict[str, Any] | None, int]]:
        names: list[str] = []
        for line in lines:
            (cells,) = csv.reader([line.decode()])
            if names:
                values = dict(zip(names, map(_value, cells), strict=True))
                yield _checked(values, line), len(line)
            else:
                names = cells
                yield None, len(line)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _value(cell: str) -> Any:
    """What a cell of a table says."""
    if cell in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[cell]
    return float(cell) if set(cell) - set("-0123456789") else int(cell)


def _checked(values: Any, line: bytes) -> dict[str, Any]:
    """A record, if its line is whole and says of which step it is."""
    whole = isinstance(values, dict) and line.endswith(b"\n")
    if not whole or not isinstance(values.get("step"), int):
        raise ValueError("it is no record of a run")
    return values


def _kind(path: Path) -> type[Log]:
    return CsvLog if path.suffix.lower() == ".csv" else JsonLog


@contextlib.contextmanager
def opened_log(path: Path | None, resumed_at: int | None) -> Iterator[Log | None]:
    """The log in a file, empty; of a run that goes on from a step, with the records up to there.

    A name that ends in .csv is that of a table, any other that of JSON lines. Raises
    ``CharrnnError`` where it cannot be written.
    """
    if path is None:
        yield None
        return
    with _errors_told(path):
        # Cut where it lies: a run killed while it writes the log anew would lose all of it.
        size = 0 if resumed_at is None else _size_until(resumed_at, path)
        file = Appended(path, size)
    try:
        yield _kind(path)(path, file)
    finally:
        with contextlib.suppress(OSError):  # a record that could not be written has been told of
            file.close()


def _errors_told(path: Path) -> contextlib.AbstractContextManager[None]:
    return writing_errors(f"the log {path}")


def _size_until(step: int, path: Path) -> int:
    """Bytes of a log up to a step, or up to a line that a killed run left unfinished."""
    size = 0
    if not path.is_file():
        return size
    with path.open("rb") as file, contextlib.suppress(*_BROKEN):
        for record, length in _kind(path).records(file):
            if record and record["step"] > step:
                break
            size += length
    return size


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log, up to a line that a killed run left unfinished.

    Raises ``CharrnnError`` where it cannot be read or has no record.
    """
    found: list[dict[str, Any]] = []
    try:
        with path.open("rb") as file, contextlib.suppress(*_BROKEN):
            for record, _ in _kind(path).records(file):
                found += [record] if record else []
    except OSError as error:
        raise CharrnnError(f"cannot read the log {path}: {error.strerror}") from error
    if not found:
        raise CharrnnError(f"{path} is no log of a run: make one with charrnn train --log")
    return found
