"""The folders that machine code is kept in, and read from.

Cached code is unpickled, which can run anything. So a folder must belong to the user and be closed
to writing by everyone else; or it belongs to who could run anything as this user anyway, root or
whoever has installed the program, and is closed in the same way: then it is read. An image's
builder makes such a folder and names it in ``CHARRNN_CACHE``; nothing in it is ever removed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import llvmlite
import numba
import numpy as np

from charrnn.compute.pruning import hold

_PACKAGE = Path(__file__).resolve().parent.parent
_COMPILED = ("compute", "cells")

#: The variable that names a folder.
VARIABLE = "CHARRNN_CACHE"


class Folders(NamedTuple):
    """Where machine code is kept and read, where else it is read, and why it is not kept."""

    own: Path | None
    shared: Path | None
    fault: str


class _NotKept(Exception):
    """Why machine code cannot be kept."""


def _fingerprint() -> str:
    """Hash of the compiled sources and of what compiles them."""
    digest = hashlib.sha256()
    for version in (sys.version, numba.__version__, llvmlite.__version__, np.__version__):
        digest.update(version.encode())
    for folder in _COMPILED:
        for source in sorted((_PACKAGE / folder).glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def find_folders() -> Folders:
    """The folders for this version of the program, made if need be."""
    shared = None
    try:
        named = os.environ.get(VARIABLE)
        if named:
            root = Path(named).absolute()
            if not _is_anothers(root):
                return Folders(_made(root, 0o755), None, "")
            shared = _trusted(root)
        return Folders(_held_at_home(), shared, "")
    except _NotKept as fault:
        return Folders(None, shared, str(fault))


def _held_at_home() -> Path:
    """The user's own folder, which stays while this process runs; old ones may go."""
    while not hold(folder := _made(_in_home(), 0o700)):
        pass  # another process has just removed it, as one that nobody uses
    return folder


def _in_home() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(base):
        raise _NotKept("there is no home folder")
    return Path(base) / "charrnn"


def _is_anothers(path: Path) -> bool:
    if sys.platform == "win32":
        return False  # files have no such owner
    return path.exists() and path.stat().st_uid != os.getuid()


def _made(root: Path, mode: int) -> Path:
    """The folder within ``root``, made if need be. Raises ``_NotKept`` where it is not the user's.

    With ``mode`` 0o755 others may read it.
    """
    folder = root / _fingerprint()
    for path in (root, folder):
        try:
            path.mkdir(mode=mode, parents=True, exist_ok=True)
        except OSError as error:
            raise _NotKept(f"{path} cannot be made ({error.strerror})") from error
    if sys.platform != "win32":  # where home folders are closed to others
        _check((root, folder), {os.getuid()})
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _NotKept(f"{folder} cannot be written to")
    return folder


def _trusted(root: Path) -> Path | None:
    """The folder within another user's ``root``, if it is there. Raises ``_NotKept`` where whoever
    can write to it could not run anything as this user anyway.
    """
    folder = root / _fingerprint()
    if sys.platform == "win32" or not folder.is_dir():
        return None
    owners = {0, os.getuid(), Path(__file__).stat().st_uid}
    _check((root, folder, *folder.rglob("*")), owners)
    return folder


def _check(paths: Iterable[Path], owners: set[int]) -> None:
    """Raise ``_NotKept`` unless all belong to one of ``owners`` and nobody else can write."""
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise _NotKept(f"{path} cannot be read ({error.strerror})") from error
        if status.st_uid not in owners:
            raise _NotKept(f"{path} belongs to another user")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _NotKept(f"others can write to {path}")
