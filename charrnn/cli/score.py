"""``charrnn score``: what each line or each character of a text tells a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from charrnn.cli.options import (
    default_model,
    json_option,
    precision_option,
    reading_options,
    threads_option,
)
from charrnn.cli.terminal import Output
from charrnn.cli.waiting import announced_compilation
from charrnn.errors import UsageError
from charrnn.text.display import decoded


@click.command()
@click.argument("files", nargs=-1, metavar="[FILES]...")
@click.option("--model", "paths", type=click.Path(path_type=Path), multiple=True,
              help="A model file; may be given several times.  [env var: CHARRNN_MODEL; default: "
                   "model.safetensors]")  # fmt: skip
@click.option("--per-character", is_flag=True,
              help="Show the bits of each character: as colours on a terminal (unless NO_COLOR is "
                   "set), elsewhere a character and its bits on each line.")  # fmt: skip
@click.option("--copied", type=click.Path(), multiple=True,
              help="Find what is copied from this file; may be given several times.")  # fmt: skip
@click.option("--copied-length", type=click.IntRange(min=1), default=20, show_default=True,
              help="Characters on end from which on they are copied.")  # fmt: skip
@click.option("--unbuffered", is_flag=True, help="Score each line at once when it comes.")
@reading_options
@threads_option
@precision_option
@json_option
def score(files: tuple[str, ...], paths: tuple[Path, ...], per_character: bool,
          copied: tuple[str, ...], copied_length: int, unbuffered: bool, lines: bool | None,
          encoding: str, normalize_newlines: bool, threads: int, precision: str,
          as_json: bool) -> None:  # fmt: skip
    """Measure how many bits each line of FILES tells.

    Without FILES, or for -, it reads standard input. One line is printed for each line, with tabs
    between: bits, characters, bits per character, unknown characters, the line. What is likely has
    few bits. With --lines each line is a text of
    its own, and its end is predicted and counted too; with --no-lines a file is one text, what
    stands before a line counts as known, and its newline is a character of it.

    With several models: the bits of each, characters, the model to which the line is likeliest,
    the line. With --copied two more stand before the line: characters that are copied, and where
    the longest run of them first stands, as FILE:LINE.

    \b
    Examples:
      charrnn score names.txt --lines | sort -n | tail
      charrnn score --model en.safetensors --model de.safetensors letters.txt
      charrnn sample | charrnn score --copied corpus.txt --json
      charrnn score --per-character poem.txt
    """
    if per_character and (len(paths) > 1 or copied):
        raise UsageError("give --per-character with one --model, and without --copied")
    from charrnn.cli.scores import presentation
    from charrnn.inference.language_model import load
    from charrnn.inference.scoring import score as scored_blocks
    from charrnn.storage.summary import reads_lines
    from charrnn.text.originals import Originals

    output = Output(raw=per_character)
    with announced_compilation():
        paths = paths or (default_model(),)
        models = [load(path, threads=threads, precision=precision) for path in paths]
        lines = reads_lines(models[0].training) if lines is None else lines
        reading: dict[str, Any] = {
            "encoding": encoding,
            "normalize_newlines": lines or normalize_newlines,
        }
        originals = Originals(copied, copied_length, **reading) if copied else None
        show = presentation([decoded(str(path)) for path in paths], as_json, per_character)
        for block in scored_blocks(
            models,
            files or ("-",),
            lines=lines,
            unbuffered=unbuffered,
            originals=originals,
            **reading,
        ):
            output.write(show(block))  # fmt: skip
