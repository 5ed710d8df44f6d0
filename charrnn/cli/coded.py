"""What ``compress`` and ``decompress`` share: one file in, one file out, pipes too."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from charrnn.cli.options import options
from charrnn.cli.outputs import refuse_to_overwrite
from charrnn.cli.terminal import Output
from charrnn.errors import UsageError
from charrnn.storage.files import keep_apart, texts, write_atomically

#: How the name of a compressed file ends.
SUFFIX = ".rnn"


def coding_options(output: str) -> Any:
    """Where the result goes, as the help text ``output`` says."""
    return options(
        click.option("-o", "--output", help=output),
        click.option("--force", is_flag=True, help="Overwrite a file that is there."),
    )


def writable_output(target: str, file: str, model: Path, *, force: bool, binary: bool) -> None:
    """Say before the work, rather than after it, that its result could not be written.

    What is ``binary`` goes to no terminal.
    """
    if target == "-":
        if binary and sys.stdout is not None and sys.stdout.isatty():
            raise UsageError("compressed text is nothing for a terminal: give `output` or a pipe")
        return
    read = [*texts([file]), ("the model", model)]
    keep_apart([("the result", target)], read)
    refuse_to_overwrite(Path(target), force, "--output")


def read_file(file: str) -> bytes:
    """All bytes of a file. Raises ``CorpusError`` where it cannot be read."""
    from charrnn.text.sources import Progress, Text

    with ExitStack() as stack, Text.of(file, stack, Progress()).opened() as opened:
        return opened.read()


def write_file(target: str, data: bytes) -> None:
    """Write a result. Raises ``CharrnnError`` where it cannot be written."""
    if target == "-":
        Output().write_bytes(data)
    else:
        write_atomically(Path(target), data)
