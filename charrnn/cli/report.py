"""``charrnn report``: a page that shows what a model has learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from charrnn.cli.options import model_option, reading_options, threads_option
from charrnn.cli.terminal import say
from charrnn.cli.waiting import announced_compilation
from charrnn.errors import UsageError
from charrnn.storage.files import check_output, keep_apart, texts, write_atomically


@click.command()
@model_option
@click.option("--text", type=click.Path(), metavar="FILE",
              help="Show what the model makes of this text.  [default: one that it "
                   "writes]")  # fmt: skip
@click.option("--log", type=click.Path(path_type=Path), metavar="FILE",
              help="Draw the whole log of the run, as charrnn train --log wrote it.")  # fmt: skip
@click.option("--find", metavar="REGEX",
              help="Show the units that tell best where this regular expression "
                   "matches.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), default="report.html",
              show_default=True, help="The page.")  # fmt: skip
@reading_options
@threads_option
def report(model_path: Path, text: str | None, log: Path | None, find: str | None,
           output: Path, threads: int, **reading: Any) -> None:  # fmt: skip
    """Write a page that shows what a model has learned, and how.

    The page is one file that needs no network: learning curves, samples, a text coloured by what
    surprises the model, how far back it looks, and what its units stand for. Of a model that reads
    it shows with --text how often it is right, what it confuses and where its attention is; the
    text has the form of those that it was trained on.

    \b
    Examples:
      charrnn report --text held-out.txt
      charrnn report --model sexes.safetensors --text test.tsv --output sexes.html
    """
    from charrnn.storage.checkpoint import load_finite_model
    from charrnn.storage.log import read_log
    from charrnn.studies.report.page import report as page_on

    if text == "-":
        raise UsageError("the text is read more than once: give a file, not standard input")
    keep_apart(
        [("the page", output)], [("the model", model_path), ("the log", log), *texts([text])]
    )
    check_output(output)
    saved, records = load_finite_model(model_path), read_log(log) if log else []
    with announced_compilation():
        page = page_on(
            model_path, saved, text=text, log=records, find=find, threads=threads, **reading
        )
    write_atomically(output, page.encode("utf-8", "replace"))
    say(f"wrote {output}")
