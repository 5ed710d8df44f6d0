"""``charrnn plot``: the curves of training runs."""

from __future__ import annotations

from pathlib import Path

import click

from charrnn.cli.terminal import print_result
from charrnn.storage.files import keep_apart
from charrnn.storage.log import read_log

#: As ``charrnn.studies.runs`` has them: help does not wait for NumPy.
_FIGURES = ("loss", "validation", "rate", "norm", "speed")
_ABSCISSAS = ("step", "characters", "epoch", "seconds")


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--figure", type=click.Choice(_FIGURES), default=_FIGURES[0], show_default=True,
              help="Draw the losses in training and validation, those in validation alone, the "
                   "learning rate, the norm of the gradient, or the speed.")  # fmt: skip
@click.option("--against", type=click.Choice(_ABSCISSAS), default=_ABSCISSAS[0], show_default=True,
              help="What the horizontal axis counts.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path),
              help="Draw a picture: FILE.svg, .png or .pdf. Needs charrnn[plot].")  # fmt: skip
def plot(logs: tuple[Path, ...], figure: str, against: str, output: Path | None) -> None:
    """Draw the curves of runs from their LOGS.

    A log is what charrnn train --log writes, a table or JSON lines, also of a run that is still
    going on. Without --output it is drawn on the terminal.

    \b
    Examples:
      charrnn plot run.jsonl other.csv
      charrnn plot run.jsonl other.csv --against seconds --output curves.svg
      charrnn plot run.csv --figure norm
    """
    from charrnn.studies.canvas import check_picture
    from charrnn.studies.runs import Run, draw_picture, report

    if output:
        keep_apart([("the picture", output)], [("the log", path) for path in logs])
        check_picture(output)
    runs = [Run(str(path), read_log(path)) for path in logs]
    if output:
        draw_picture(runs, figure, against, output)
    else:
        print_result(report(runs, figure, against))
