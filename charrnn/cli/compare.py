"""``charrnn compare``: several networks trained side by side on one text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.comparisons import Outcome, comparison_table, draw, outcome_figures
from charrnn.cli.options import (
    EXTENT,
    SIZES,
    TASK_SHAPE,
    cells_option,
    extent_options,
    json_option,
    planned_size_option,
    size_options,
    task_options,
    text_options,
    training_options,
    with_options,
)
from charrnn.cli.outputs import refuse_to_overwrite
from charrnn.cli.request import text_of
from charrnn.cli.tables import to_json
from charrnn.cli.terminal import print_result
from charrnn.cli.together import together
from charrnn.cli.varied import (
    file_name,
    name_of,
    parts_of,
    seeds_option,
    varied_fields,
    vary_option,
)
from charrnn.cli.waiting import announced_compilation, shown_reading
from charrnn.config import ModelConfig, TextConfig, TrainingConfig
from charrnn.errors import ModelFileError, UsageError
from charrnn.storage.files import Named, keep_apart, remove, texts
from charrnn.training.clock import duration

if TYPE_CHECKING:
    from charrnn.studies.comparison import Result, Trial

#: Seconds that each run takes when neither epochs, steps nor a budget is given.
DEFAULT_BUDGET = 60.0


@click.command()
@click.pass_context
@click.argument("corpus", nargs=-1, required=True)
@cells_option(
    ".  [default: lstm with --vary, else all that can learn the task but fully-recurrent]"
)
@vary_option
@seeds_option
@click.option(
    "--equal",
    type=click.Choice(("size", "weights")),
    default="size",
    show_default=True,
    help="Give all the same hidden size, or about as many weights as an lstm of the sizes has.",
)
@click.option("--plot", "picture", metavar="FILE",
              help="Draw the losses against time as FILE.svg, .png or .pdf, which needs "
                   "charrnn[plot]; -: below the table.")  # fmt: skip
@click.option("--output", "folder", type=click.Path(path_type=Path),
              help="Keep each run's best model in this folder, as CELL.safetensors, or named by "
                   "all that is varied.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the models in the folder.")
@planned_size_option
@size_options
@task_options
@text_options
@extent_options(budget=f"  [default: {duration(DEFAULT_BUDGET)}]")
@training_options
@json_option
def compare(context: click.Context, corpus: tuple[str, ...], cells: list[str],
            vary: tuple[str, ...], seeds: int | list[int] | None, equal: str, picture: str | None,
            folder: Path | None, force: bool, as_json: bool, **options: Any) -> None:  # fmt: skip
    """Train several networks on one text and compare them.

    They differ in their cells, or in what --vary says. Each is trained for the same time (or the
    same --epochs or --steps), on the files of CORPUS (- is standard input), with the same seed and
    options otherwise. Ctrl-C ends the comparison, and shows the runs that are through. Processes
    that mpiexec starts each make some of the runs.

    \b
    Examples:
      charrnn compare corpus.txt --cells lstm,gru --budget 30s
      charrnn compare corpus.txt --cells lstm,elman --equal weights --output kept
      charrnn compare corpus.txt --vary hidden-size=64,256 --seeds 3 --plot a.svg
      charrnn compare corpus.txt --cell gru --vary layers=1,2 --vary dropout=0,0.2
      charrnn compare names.txt --lines --cells gru,lstm --steps 500 --json
      mpiexec -n 2 charrnn compare corpus.txt --cells lstm,gru --budget 5m
    """
    from charrnn.studies import comparison

    shape = {name: options.pop(name) for name in (*SIZES, *TASK_SHAPE)}
    text = TextConfig(**text_of(options))
    varied = varied_fields(context, vary, cells, seeds)
    if not (cells or vary):
        varied["cell"] = comparison.cells_for(text)
    variants = comparison.combinations(varied)
    options = {name: value for name, value in options.items() if name not in vars(text)}
    if all(options[name] is None and name not in varied for name in EXTENT):
        options["budget"] = DEFAULT_BUDGET
    training = TrainingConfig(**options)
    read = texts([*corpus, text.validation])
    processes = together([*corpus, text.validation])
    _check_picture(picture, as_json, read)
    if folder:
        keep_apart(_kept_files(folder, variants), read)
        _prepare_folder(folder, variants, force)
    trials = comparison.compare(
        corpus, variants, text, training, equal_weights=equal == "weights", processes=processes,
        **shape,
    )  # fmt: skip
    outcomes: list[Outcome] = []
    try:
        with announced_compilation(), shown_reading():
            _make(trials, variants, shape["layers"] or ModelConfig.layers, folder, outcomes)
    finally:  # what was learned is shown, however the comparison ends
        outcomes = sorted(own for part in processes.all(outcomes) for own in part)
        if outcomes and processes.rank == 0:
            _tell(outcomes, picture, as_json)


def _tell(outcomes: list[Outcome], picture: str | None, as_json: bool) -> None:
    """Print what came of the runs, and draw it where that is wanted."""
    print_result(to_json(outcome_figures(outcomes)) if as_json else comparison_table(outcomes))
    if picture == "-":
        print_result(f"\n{draw(outcomes, None)}")
    elif picture:
        draw(outcomes, Path(picture))


def _check_picture(picture: str | None, as_json: bool, read: list[Named]) -> None:
    """Say before a run that a picture could not be drawn."""
    from charrnn.studies.canvas import check_picture

    if picture == "-" and as_json:
        raise UsageError("--json leaves no room for a plot: give --plot the name of a picture")
    if picture is not None and picture != "-":
        keep_apart([("the picture", Path(picture))], read)
        check_picture(Path(picture))


def _make(
    trials: Iterator[Trial],
    variants: Sequence[dict[str, Any]],
    layers: int,
    folder: Path | None,
    outcomes: list[Outcome],
) -> None:
    """Make and show all runs; a signal ends the one at hand, and the comparison with it."""
    from charrnn.cli.signals import stopped_by_signals

    with stopped_by_signals() as received:
        for trial in trials:
            variant = variants[trial.number]
            remarks = _remarks(trial, variant, variant.get("layers", layers))
            remarks[0] = f"{trial.number + 1} of {len(variants)}: {remarks[0]}"
            if _show(trial, name_of(variant), remarks, received):
                # Before anything can go wrong with the file.
                outcomes.append(Outcome(trial.number, variant, _told(trial.result), trial.curve))
                if folder:
                    _keep(trial, folder / file_name(variant))
            if received:
                raise SystemExit(128 + received[0])


def _show(trial: Trial, name: str, remarks: list[str], received: list[int]) -> bool:
    """Make a run and show it; whether it is through, which it is not if a signal ended it."""
    from charrnn.cli.progress import reporting

    with reporting(remarks) as reporter:
        for record in trial.run():
            reporter.show(record)
            if received and record.progress < 1:
                reporter.say(f"{name} was stopped, and is left out")
                return False
        if error := _told(trial.result)["error"]:
            reporter.say(f"{name}: {error}")
    return True


def _told(result: Result) -> dict[str, Any]:
    """A result as it is shown, with options in its error."""
    error = with_options(result.error) if result.error else None
    return vars(result) | {"error": error}


def _remarks(trial: Trial, variant: dict[str, Any], layers: int) -> list[str]:
    """What is said of a run before it: what is varied but its cell, the trainer's remarks, and
    that the layers are fewer than asked for.
    """
    from charrnn.cli.remarks import remarks_on

    config = trial.trainer.network.config
    first, *others = remarks_on(trial.trainer)
    apart = parts_of({name: value for name, value in variant.items() if name != "cell"})
    remarks = [": ".join([*([", ".join(apart)] if apart else []), first]), *others]
    if config.layers == layers:
        return remarks
    most = f"{config.layers} layer{'s' if config.layers > 1 else ''}"
    return [*remarks, f"{config.cell} is compared with {most}: it takes no more"]


def _kept_files(folder: Path, variants: Sequence[dict[str, Any]]) -> list[Named]:
    """The files in the folder that the command replaces or removes."""
    from charrnn.storage.checkpoint import resume_path

    models = [folder / file_name(variant) for variant in variants]
    return [f for m in models for f in (("the model", m), ("the resume file", resume_path(m)))]


def _prepare_folder(folder: Path, variants: Sequence[dict[str, Any]], force: bool) -> None:
    """Make the folder for the models, if need be.

    Raises ``ModelFileError`` where that fails, or where a model would be overwritten without
    ``force``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"cannot make the folder {folder} ({error.strerror}); "
                             "name another one with --output") from error  # fmt: skip
    for variant in variants:
        refuse_to_overwrite(folder / file_name(variant), force, "--output")


def _keep(trial: Trial, path: Path) -> None:
    """Save the best model of a run that came to something."""
    from charrnn.storage.checkpoint import resume_path, save_model

    if trial.trainer.best and not trial.result.error:
        save_model(path, trial.trainer.best)
        remove(resume_path(path))  # of a run whose model this one replaced
