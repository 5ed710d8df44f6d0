"""The log of a run, a file of JSON lines that a resumed run goes on with."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charrnn.errors import CharrnnError


@contextlib.contextmanager
def opened_log(path: Path | None, resumed_at: int | None) -> Iterator[Any]:
    """The log file, empty; of a run that goes on from a step, with the records up to there."""
    if path is None:
        yield None
        return
    try:
        if resumed_at is not None and path.is_file():
            # Cut where it lies: a run killed while it writes the log anew would lose all of it.
            os.truncate(path, _size_until(resumed_at, path))
        file = path.open("w" if resumed_at is None else "a", encoding="utf-8")
    except OSError as error:
        raise CharrnnError(f"cannot write the log {path}: {error.strerror}") from error
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # a record that could not be written has been told of
            file.close()


def _size_until(step: int, path: Path) -> int:
    """Bytes of a log up to a step, or up to a line that a killed run left unfinished."""
    size = 0
    with path.open("rb") as file:
        for line in file:
            try:
                if json.loads(line)["step"] > step or not line.endswith(b"\n"):
                    break
            except (ValueError, TypeError, KeyError):
                break
            size += len(line)
    return size
