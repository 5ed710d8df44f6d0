"""``charrnn gradients``: how gradients vanish or explode through time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from charrnn.cli.options import (
    activation_option,
    cells_option,
    default_model,
    json_option,
    option,
    plain_size_option,
    reading_options,
    size_options,
    threads_option,
)
from charrnn.cli.tables import to_json
from charrnn.cli.terminal import print_result, say
from charrnn.cli.waiting import announced_compilation, shown_reading
from charrnn.config import TrainingConfig
from charrnn.storage.files import keep_apart, texts
from charrnn.text.display import decoded


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--model", "models", type=click.Path(path_type=Path), multiple=True,
              help="A trained model; may be given several times.  [default: model.safetensors, "
                   "unless --cell is given]")  # fmt: skip
@cells_option(": networks of them that are not trained.")
@activation_option
@plain_size_option
@size_options
@option(TrainingConfig, "--seed", click.IntRange(min=0), "Seed of untrained networks.")
@click.option("--steps-back", type=click.IntRange(1, 10_000), default=200, show_default=True,
              help="Steps that the gradient is followed back.")  # fmt: skip
@click.option("--positions", type=click.IntRange(1, 100_000), default=256, show_default=True,
              help="Places of the text to average over.")  # fmt: skip
@click.option("--scale", type=float, default=1.0, show_default=True,
              help="Multiply the recurrent weights of every network by this.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path),
              help="Draw a picture: FILE.svg, .png or .pdf. Needs charrnn[plot].")  # fmt: skip
@reading_options
@threads_option
@json_option
def gradients(files: tuple[str, ...], models: tuple[Path, ...], cells: list[str], seed: int,
              steps_back: int, positions: int, output: Path | None, lines: bool | None,
              encoding: str, normalize_newlines: bool, as_json: bool, scale: float,
              threads: int, **shape: Any) -> None:  # fmt: skip
    """Show how gradients vanish or explode back through FILES.

    Printed is the norm of the gradient of the loss at t with respect to the hidden states of all
    layers at t - k, as a mean over positions t, for trained and for untrained networks. They all
    read the same text (- is standard input), by default in documents such as the first model was
    trained on.

    \b
    Examples:
      charrnn gradients corpus.txt
      charrnn gradients corpus.txt --cells lstm,elman --scale 2 --steps-back 100
      charrnn gradients corpus.txt --model en.safetensors --output gradients.svg
    """
    from charrnn.storage.summary import reads_lines
    from charrnn.studies.canvas import check_picture
    from charrnn.studies.gradients import (
        Curve,
        choose_places,
        figures,
        load_writer,
        measure,
        untrained,
    )
    from charrnn.studies.plotting import draw_picture, report
    from charrnn.text.corpus import read_corpus

    paths = models or (() if cells else (default_model(),))
    if output:
        keep_apart([("the picture", output)], [*texts(files), *(("the model", p) for p in paths)])
        check_picture(output)
    trained = [(load_writer(path), decoded(str(path))) for path in paths]
    if lines is None:
        lines = bool(trained) and reads_lines(trained[0][0].training)
    with shown_reading():
        text = read_corpus(
            files, lines=lines, encoding=encoding, normalize_newlines=normalize_newlines
        )
    new = [(untrained(text.vocabulary, seed=seed, cell=cell, **shape), None) for cell in cells]
    places = choose_places(text.tokens, positions, steps_back)
    if places.steps < steps_back:
        say(f"the text goes back {places.steps} steps at most, not {steps_back}")
    with announced_compilation():
        curves = [
            Curve(model, origin, measure(model, text, places, scale=scale, threads=threads))
            for model, origin in (*trained, *new)
        ]
    print_result(to_json(figures(curves, places)) if as_json else report(curves, places.counts))
    if output:
        draw_picture(curves, output)
