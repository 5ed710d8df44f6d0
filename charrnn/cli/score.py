"""``charrnn score``: what each line or each character of a text tells a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from charrnn.cli.labels import attribution_json, attribution_row, label_option, with_told
from charrnn.cli.options import (
    default_model,
    json_option,
    models_option,
    precision_option,
    reading_options,
    refuse_together,
    threads_option,
)
from charrnn.cli.terminal import Output
from charrnn.cli.waiting import announced_compilation
from charrnn.errors import UsageError
from charrnn.text.display import decoded

#: What cannot be asked for together.
_EXCLUDED = {
    "per_character": ("copied",),
    "labels": ("told", "per_character", "copied", "lines", "normalize_newlines"),
}


@click.command()
@click.pass_context
@click.argument("files", nargs=-1, metavar="[FILES]...")
@models_option("")
@label_option
@click.option("--labels", is_flag=True,
              help="Tell the likeliest label of each line, by Bayes, and its "
                   "probability.")  # fmt: skip
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
def score(context: click.Context, files: tuple[str, ...], paths: tuple[Path, ...],
          told: tuple[str, ...], labels: bool, threads: int, precision: str,
          **options: Any) -> None:  # fmt: skip
    """Measure how many bits each line of FILES tells.

    Without FILES, or for -, it reads standard input. One line is printed for each line, with tabs
    between: bits, characters, bits per character, unknown characters, the line. What is likely has
    few bits. With --lines each line is a text of
    its own, and its end is predicted and counted too; with --no-lines a file is one text, what
    stands before a line counts as known, and its newline is a character of it.

    With several models: the bits of each, characters, the model to which the line is likeliest,
    the line. With --copied two more stand before the line: characters that are copied, and where
    the longest run of them first stands, as FILE:LINE.

    With --label it is what the line tells a model that knows that it has this label. With --labels,
    before the line: the label that it most likely has, as common as labels were in training, and
    its probability; both for each column of labels. Each line is a text of its own then.

    \b
    Examples:
      charrnn score names.txt --lines | sort -n | tail
      charrnn score --model en.safetensors --model de.safetensors letters.txt
      charrnn score --per-character poem.txt
      charrnn score --model told.safetensors --labels names.txt
    """
    refuse_together(context, _EXCLUDED)
    if len(paths) > 1 and (labels or options["per_character"]):
        asked = "--labels" if labels else "--per-character"
        raise UsageError(f"{asked} is for one --model: give one")
    from charrnn.inference.language_model import load

    output = Output(raw=options["per_character"])
    with announced_compilation():
        paths = paths or (default_model(),)
        models = [
            with_told(load(path, threads=threads, precision=precision), told) for path in paths
        ]
        sources, names = files or ("-",), [decoded(str(path)) for path in paths]
        if labels:
            shown = _attributed(models[0], sources, options)
        else:
            shown = _scored(models, names, sources, options)
        for text in shown:
            output.write(text)


def _attributed(model: Any, sources: Sequence[str], options: dict[str, Any]) -> Iterator[str]:
    """The likeliest labels of each line, as they are printed."""
    from charrnn.inference.attribution import attributed_lines

    show = attribution_json if options["as_json"] else attribution_row
    reading = {name: options[name] for name in ("encoding", "unbuffered")}
    for line, found in attributed_lines(model, sources, **reading):
        yield show(line, found)


def _scored(
    models: Sequence[Any], names: Sequence[str], sources: Sequence[str], options: dict[str, Any]
) -> Iterator[str]:
    """The bits of each line, as they are printed, block by block."""
    from charrnn.cli.scores import presentation
    from charrnn.inference.scoring import score as scored_blocks
    from charrnn.storage.summary import reads_lines
    from charrnn.text.originals import Originals

    lines = options["lines"]
    lines = reads_lines(models[0].training) if lines is None else lines
    reading: dict[str, Any] = {
        "encoding": options["encoding"],
        "normalize_newlines": lines or options["normalize_newlines"],
    }
    copied = options["copied"]
    originals = Originals(copied, options["copied_length"], **reading) if copied else None
    show = presentation(names, options["as_json"], options["per_character"])
    unbuffered = options["unbuffered"]
    blocks = scored_blocks(
        models, sources, lines=lines, unbuffered=unbuffered, originals=originals, **reading
    )
    yield from map(show, blocks)
