"""``charrnn decompress``: the text that ``charrnn compress`` was given."""

from __future__ import annotations

from pathlib import Path

import click

from charrnn.cli.coded import SUFFIX, coding_options, read_file, writable_output, write_file
from charrnn.cli.options import model_option, threads_option
from charrnn.cli.waiting import announced_compilation, shown_progress
from charrnn.errors import UsageError


@click.command()
@click.argument("file")
@coding_options(f"The text; - is standard output.  [default: FILE without {SUFFIX}]")
@model_option
@threads_option
def decompress(file: str, output: str | None, force: bool, model_path: Path,
               threads: int) -> None:  # fmt: skip
    """Decompress FILE; - is standard input.

    It takes the model that the text was compressed with. FILE stays.

    \b
    Examples:
      charrnn decompress play.txt.rnn
      charrnn decompress play.txt.rnn --output - | less
    """
    from charrnn.inference.compression import decompress
    from charrnn.inference.language_model import load

    target = output or _without_suffix(file)
    writable_output(target, file, model_path, force=force, binary=False)
    with announced_compilation():
        model = load(model_path, threads=threads, precision="float32")
        data = read_file(file)
        with shown_progress("decompressing") as show:
            text = decompress(model, data, show)
    write_file(target, text)


def _without_suffix(file: str) -> str:
    if file == "-":
        return "-"
    if not Path(file).name.removesuffix(SUFFIX) or not file.endswith(SUFFIX):
        raise UsageError(f"{file} does not end in {SUFFIX}: name the text with `output`")
    return file.removesuffix(SUFFIX)
