"""``charrnn export``: a model as a web page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.coded import write_file
from charrnn.cli.evaluate import read_measured
from charrnn.cli.options import model_option, reading_options, threads_option
from charrnn.cli.outputs import refuse_to_overwrite
from charrnn.cli.terminal import say
from charrnn.cli.waiting import announced_compilation, shown_reading
from charrnn.config import PAGE_PRECISIONS
from charrnn.errors import UsageError
from charrnn.storage.files import keep_apart
from charrnn.storage.files import texts as named
from charrnn.text.display import decoded

if TYPE_CHECKING:
    from charrnn.storage.checkpoint import SavedModel


@click.command()
@click.argument("page")
@model_option
@click.option("--precision", type=click.Choice(PAGE_PRECISIONS), default="int8", show_default=True,
              help="What matrices are kept as: int8 with a scale for each row takes a quarter of "
                   "the room, float16 half.")  # fmt: skip
@click.option("--text", "texts", multiple=True, metavar="FILE",
              help="Tell the loss of this text, by the model and by the page; may be given several "
                   "times.")  # fmt: skip
@reading_options
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@threads_option
def export(page: str, model_path: Path, precision: str, texts: tuple[str, ...], lines: bool | None,
           force: bool, threads: int, **reading: Any) -> None:  # fmt: skip
    """Write a model as PAGE, a web page; - is standard output.

    The page is one file with the model inside, for people who install nothing: it opens in any
    browser, on a phone too, and writes there, without a server and without a network. The
    model must be one that writes.

    --lines, --encoding and --normalize-newlines say how the text is read that is measured.

    \b
    Examples:
      charrnn export shakespeare.html
      charrnn export shakespeare.html --text held-out.txt --force
      charrnn export names.html --model names.safetensors --precision float16
    """
    from charrnn.pages.writing import page_of
    from charrnn.storage.checkpoint import load_writer

    _check_page(page, model_path, texts, force=force)
    model = load_writer(model_path)
    loss = _losses(model, precision, texts, lines, threads, reading) if texts else None
    title = Path(decoded(page)).stem if page != "-" else model_path.stem
    data = page_of(model, precision, title=title, loss=loss).encode()
    write_file(page, data)
    say(f"{page}: {len(data):,} bytes, matrices as {precision}")
    if loss:
        say(f"{loss[0]:.4f} nats per character by the model, {loss[1]:.4f} by the page")


def _check_page(page: str, model: Path, texts: Sequence[str], *, force: bool) -> None:
    """Say before the work that the page could not be written, or would replace something else."""
    if page == "-":
        return
    if Path(page).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{page} is no name of a page: give one that ends in .html")
    keep_apart([("the page", page)], [*named(texts), ("the model", model)])
    refuse_to_overwrite(Path(page), force, "PAGE")


def _losses(model: SavedModel, precision: str, texts: Sequence[str], lines: bool | None,
            threads: int, reading: dict[str, Any]) -> tuple[float, float]:  # fmt: skip
    """Of the texts, in nats per character: by the model, and by what the page holds of it."""
    from charrnn.inference.language_model import restored
    from charrnn.pages.rounding import rounded
    from charrnn.storage.summary import reads_lines
    from charrnn.training.evaluation import evaluate_corpus

    with announced_compilation():
        network = (measured := restored(model, {"threads": threads})).network
        with shown_reading():
            own = reads_lines(model.training) if lines is None else lines
            corpus, told = read_measured(measured, texts, own, reading)
        before = evaluate_corpus(network, corpus, labelling=told)
        network.load(rounded(model, precision).tensors)
        after = evaluate_corpus(network, corpus, labelling=told)
    return before.total.nats_per_character, after.total.nats_per_character
