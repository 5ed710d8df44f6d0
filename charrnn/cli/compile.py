"""``charrnn compile``: compile beforehand, for an image or for the first run."""

from __future__ import annotations

import click

from charrnn.cells import CELL_NAMES
from charrnn.cli.options import precision_option, whole_words
from charrnn.cli.terminal import print_result
from charrnn.cli.waiting import announced_compilation


@click.command()
@click.option(
    "--cell",
    type=click.Choice((*CELL_NAMES, "all")),
    metavar="CELL",
    default="lstm",
    help=whole_words(f"One of {', '.join(CELL_NAMES)}, or all.  [default: lstm]"),
)
@precision_option
def compile(cell: str, precision: str) -> None:
    """Compile what networks with a cell need.

    That is what train, sample, apply, evaluate, score and next compile for this processor when
    they first need it. Where CHARRNN_CACHE names a folder it is kept there, and other users read
    it; whoever builds an image makes it so that the image's users need not wait.

    \b
    Examples:
      charrnn compile
      charrnn compile --cell gru --precision float32
    """
    from charrnn.compute.cache import kept_in
    from charrnn.studies.preparation import prepare

    folder = kept_in()
    cells = CELL_NAMES if cell == "all" else (cell,)
    with announced_compilation() as compiled:
        prepare(cells, precision)
    print_result(f"compiled for {', '.join(cells)}: {compiled()} kernels, kept in {folder}")
