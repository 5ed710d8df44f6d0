"""``charrnn compare``: several cells trained side by side on one text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
from charrnn.cli.tables import comparison_table, to_json
from charrnn.cli.terminal import print_result
from charrnn.cli.together import together
from charrnn.cli.waiting import announced_compilation, shown_reading
from charrnn.config import TextConfig, TrainingConfig
from charrnn.errors import ModelFileError
from charrnn.storage.files import Named, keep_apart, remove, texts
from charrnn.training.clock import duration

if TYPE_CHECKING:
    from charrnn.studies.comparison import Result, Trial
    from charrnn.training.trainer import Trainer

#: Seconds that each cell is trained when neither epochs, steps nor a budget is given.
DEFAULT_BUDGET = 60.0


@click.command()
@click.argument("corpus", nargs=-1, required=True)
@cells_option(".  [default: all that can learn any text of the task]")
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
@task_options
@text_options
@extent_options(budget=f"  [default: {duration(DEFAULT_BUDGET)}]")
@training_options
@json_option
def compare(corpus: tuple[str, ...], cells: list[str], equal: str, folder: Path | None, force: bool,
            as_json: bool, **options: Any) -> None:  # fmt: skip
    """Train several cells on the files of CORPUS and compare them.

    Each is trained for the same time (or the same --epochs or --steps), on the same text (- is
    standard input), with the same seed and options. Ctrl-C ends the comparison, and shows the
    cells that are through. Processes that mpiexec starts each train some of the cells.

    \b
    Examples:
      charrnn compare corpus.txt --cells lstm,gru --budget 30s
      charrnn compare corpus.txt --cells lstm,elman --equal weights --output kept
      charrnn compare names.txt --lines --cells gru,lstm --steps 500 --json
      mpiexec -n 2 charrnn compare corpus.txt --cells lstm,gru --budget 5m
    """
    from charrnn.studies import comparison

    sizes = {name: options.pop(name) for name in (*SIZES, *TASK_SHAPE)}
    text = TextConfig(**text_of(options))
    cells = cells or comparison.cells_for(text)
    comparison.refuse_doubles(cells)
    options = {name: value for name, value in options.items() if name not in vars(text)}
    if all(options[name] is None for name in EXTENT):
        options["budget"] = DEFAULT_BUDGET
    training = TrainingConfig(**options)
    processes = together([*corpus, text.validation])
    if folder:
        keep_apart(_kept_files(folder, cells), texts([*corpus, text.validation]))
        _prepare_folder(folder, cells, force)
    trials = comparison.compare(
        corpus, cells, text, training,
        equal_weights=equal == "weights", processes=processes, **sizes,
    )  # fmt: skip
    results: list[dict[str, Any]] = []
    try:
        with announced_compilation(), shown_reading():
            _make(trials, cells, sizes["layers"], folder, results)
    finally:  # what was learned is shown, however the comparison ends
        results = sorted((result for own in processes.all(results) for result in own),
                         key=lambda result: cells.index(result["cell"]))  # fmt: skip
        if results and processes.rank == 0:
            print_result(to_json(results) if as_json else comparison_table(results))


def _make(
    trials: Iterator[Trial],
    cells: list[str],
    layers: int,
    folder: Path | None,
    results: list[dict[str, Any]],
) -> None:
    """Make and show all runs; a signal ends the one at hand, and the comparison with it."""
    from charrnn.cli.signals import stopped_by_signals

    with stopped_by_signals() as received:
        for trial in trials:
            remarks = _remarks(trial.trainer, layers)
            number = cells.index(trial.trainer.network.config.cell) + 1
            remarks[0] = f"{number} of {len(cells)}: {remarks[0]}"
            if _show(trial, remarks, received):
                results.append(_told(trial.result))  # before anything can go wrong with the file
                if folder:
                    _keep(trial, folder)
            if received:
                raise SystemExit(128 + received[0])


def _show(trial: Trial, remarks: list[str], received: list[int]) -> bool:
    """Make a run and show it; whether it is through, which it is not if a signal ended it."""
    from charrnn.cli.progress import reporting

    cell = trial.trainer.network.config.cell
    with reporting(remarks) as reporter:
        for record in trial.run():
            reporter.show(record)
            if received and record.progress < 1:
                reporter.say(f"{cell} was stopped, and is left out")
                return False
        if error := _told(trial.result)["error"]:
            reporter.say(f"{cell}: {error}")
    return True


def _told(result: Result) -> dict[str, Any]:
    """A result as it is shown, with options in its error."""
    error = with_options(result.error) if result.error else None
    return vars(result) | {"error": error}


def _remarks(trainer: Trainer, layers: int) -> list[str]:
    """What is said of a run before it: the trainer's remarks, and that the layers are fewer."""
    from charrnn.cli.remarks import remarks_on

    config = trainer.network.config
    if config.layers == layers:
        return remarks_on(trainer)
    most = f"{config.layers} layer{'s' if config.layers > 1 else ''}"
    return [*remarks_on(trainer), f"{config.cell} is compared with {most}: it takes no more"]


def _model_path(folder: Path, cell: str) -> Path:
    """Where the model of a cell is kept."""
    return folder / f"{cell}.safetensors"


def _kept_files(folder: Path, cells: list[str]) -> list[Named]:
    """The files in the folder that the command replaces or removes."""
    from charrnn.storage.checkpoint import resume_path

    models = [_model_path(folder, cell) for cell in cells]
    return [f for m in models for f in (("the model", m), ("the resume file", resume_path(m)))]


def _prepare_folder(folder: Path, cells: list[str], force: bool) -> None:
    """Make the folder for the models, if need be.

    Raises ``ModelFileError`` where that fails, or where a model would be overwritten without
    ``force``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"cannot make the folder {folder} ({error.strerror}); "
                             "name another one with --output") from error  # fmt: skip
    for cell in cells:
        refuse_to_overwrite(_model_path(folder, cell), force, "--output")


def _keep(trial: Trial, folder: Path) -> None:
    """Save the best model of a run that came to something."""
    from charrnn.storage.checkpoint import resume_path, save_model

    best, result = trial.trainer.best, trial.result
    if best and not result.error:
        path = _model_path(folder, result.cell)
        save_model(path, best)
        remove(resume_path(path))  # of a run whose model this one replaced
