"""The commands that measure: cells beside one another, gradients through time, the machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from charrnn.cells import CELL_NAMES
from charrnn.cli.options import (
    EXTENT,
    SHAPE,
    SIZES,
    activation_option,
    cells_option,
    default_model,
    extent_options,
    json_option,
    option,
    plain_size_option,
    planned_size_option,
    precision_option,
    reading_options,
    shape_options,
    size_options,
    text_options,
    threads_option,
    training_options,
)
from charrnn.cli.tables import benchmark_table, comparison_table
from charrnn.cli.terminal import print_result, say
from charrnn.cli.waiting import announced_compilation, shown_reading
from charrnn.config import ModelConfig, TextConfig, TrainingConfig
from charrnn.storage.files import keep_apart, texts
from charrnn.text.display import decoded


@click.command()
@click.argument("corpus", nargs=-1, required=True)
@cells_option(".  [default: all of them]", CELL_NAMES)
@click.option(
    "--equal",
    type=click.Choice(("size", "weights")),
    default="size",
    show_default=True,
    help="Give all the same hidden size, or about as many weights as an lstm of the sizes has.",
)
@click.option("--output", "folder", type=click.Path(path_type=Path),
              help="Keep each cell's best model in this folder, as CELL.safetensors.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the models in the folder.")
@planned_size_option
@size_options
@text_options
@extent_options(budget="  [default: 1m]")
@training_options
@json_option
def compare(corpus: tuple[str, ...], cells: list[str], equal: str, folder: Path | None, force: bool,
            as_json: bool, **options: Any) -> None:  # fmt: skip
    """Train several cells on the files of CORPUS and compare them.

    Each is trained for the same time (or the same --epochs or --steps), on the same text (- is
    standard input), with the same seed and options. Ctrl-C ends the comparison, and shows the
    cells that are through.
    """
    from charrnn.cli import comparison

    comparison.refuse_doubles(cells)
    sizes = {name: options.pop(name) for name in SIZES}
    text = TextConfig(**{n: options.pop(n) for n in TextConfig.__dataclass_fields__})
    if all(options[name] is None for name in EXTENT):
        options["budget"] = comparison.DEFAULT_BUDGET
    training = TrainingConfig(**options)
    if folder:
        kept = comparison.kept_files(folder, cells)
        keep_apart(kept, texts([*corpus, text.validation]))
        comparison.prepare_folder(folder, cells, force)
    results = []
    try:
        with announced_compilation(), shown_reading():
            for result in comparison.compare(
                corpus, cells, text, training, folder=folder, equal_weights=equal == "weights",
                **sizes,
            ):  # fmt: skip
                results.append(vars(result))
    finally:  # what was learned is shown, however the comparison ends
        if results:
            print_result(json.dumps(results) if as_json else comparison_table(results))


@click.command()
@plain_size_option
@shape_options
@click.option(
    "--vocabulary-size",
    type=int,
    default=68,
    show_default=True,
    help="Characters, the three special ones included.",
)
@click.option("--batch-size", type=int, default=64, show_default=True,
              help="Lanes that read the corpus side by side.")  # fmt: skip
@option(TrainingConfig, "--sequence-length", int, "Characters back through which gradients flow.")
@click.option("--profile", is_flag=True, help="Tell the parts of a training step apart.")
@threads_option
@precision_option
@json_option
def benchmark(vocabulary_size: int, profile: bool, as_json: bool, **options: Any) -> None:
    """Measure how fast this machine trains, evaluates and samples.

    It does so with a network of the size given. The limit is what the processor could do at best
    in 32-bit multiply-adds, and what its memory can deliver.
    """
    shape = {name: options.pop(name) for name in SHAPE}
    network = ModelConfig.for_vocabulary(vocabulary_size, **shape)
    config = TrainingConfig(**options)
    from charrnn.studies.benchmark import benchmark as measure

    with announced_compilation():
        result = measure(network, config, profile=profile)
    print_result(json.dumps(result) if as_json else benchmark_table(result))


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
    """
    from charrnn.storage.checkpoint import load_finite_model
    from charrnn.storage.summary import reads_lines
    from charrnn.studies.gradients import Curve, choose_places, figures, measure, untrained
    from charrnn.studies.plotting import check_picture, draw_picture, report
    from charrnn.text.corpus import read_corpus

    paths = models or (() if cells else (default_model(),))
    if output:
        keep_apart([("the picture", output)], [*texts(files), *(("the model", p) for p in paths)])
        check_picture(output)
    trained = [(load_finite_model(path), decoded(str(path))) for path in paths]
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
    print_result(json.dumps(figures(curves, places)) if as_json else report(curves, places.counts))
    if output:
        draw_picture(curves, output)
