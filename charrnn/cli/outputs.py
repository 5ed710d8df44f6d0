"""The files that commands write: which they are, and whether they may be written."""

from __future__ import annotations

from pathlib import Path

from charrnn.errors import ModelFileError
from charrnn.storage.files import Named, check_output


def run_files(model: Path) -> list[Named]:
    """The files that a run on a model writes, as ``keep_apart`` takes them."""
    from charrnn.storage.checkpoint import resume_path
    from charrnn.storage.lock import lock_path

    return [
        ("the model", model),
        ("the resume file", resume_path(model)),
        ("the lock", lock_path(model)),
    ]


def refuse_to_overwrite(path: Path, force: bool, option: str = "--model") -> None:
    """Say before a run, rather than after it, that its model could not be written.

    ``option`` is the one that named it.
    """
    check_output(path)
    if path.exists() and not force:
        raise ModelFileError(f"{path} is there already: give --force to overwrite it, "
                             f"or {option} with another name")  # fmt: skip
