"""Several cells trained on the same text, with the same options, and how well each of them did."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.cells import CELL_NAMES, most_layers
from charrnn.cli.remarks import remarks_on
from charrnn.cli.running import refuse_to_overwrite, reporting, stopped_by_signals
from charrnn.config import ModelConfig, TextConfig, TrainingConfig
from charrnn.errors import ModelFileError, TrainingError, UsageError
from charrnn.network.parameters import parameter_count, with_weights
from charrnn.storage.checkpoint import resume_path, save_model
from charrnn.storage.files import Named
from charrnn.text.dataset import read_dataset
from charrnn.training.setup import shape_for, trainer_on
from charrnn.training.trainer import Record, Trainer

#: Seconds that each cell is trained when neither epochs, steps nor a budget is given.
DEFAULT_BUDGET = 60.0

#: The cell whose number of weights is the measure where they are to be equal.
REFERENCE = "lstm"


@dataclass(frozen=True)
class Result:
    """How a cell did. Of a run that came to nothing there are no losses; ``error`` says why."""

    cell: str
    layers: int
    hidden_size: int
    weights: int
    characters_per_second: float  # mean over the run, validation included
    validation_loss: float | None  # nats per character, the lowest; None without validation text
    training_loss: float | None  # the same of the one step after which the model was kept
    bits_per_character: float | None  # of the validation loss, or else of the training loss
    seconds: float  # of the whole run, without compilation
    steps: int
    error: str | None


def refuse_doubles(cells: Sequence[str]) -> None:
    """Raise ``UsageError`` where a cell is named twice: its models would share a name."""
    for name in cells:
        if cells.count(name) > 1:
            raise UsageError(f"{name} is named twice: name each of {', '.join(CELL_NAMES)} once")


def model_path(folder: Path, cell: str) -> Path:
    """Where the model of a cell is kept."""
    return folder / f"{cell}.safetensors"


def kept_files(folder: Path, cells: Sequence[str]) -> list[Named]:
    """The files in the folder that a comparison replaces or removes."""
    models = [model_path(folder, cell) for cell in cells]
    return [f for m in models for f in (("the model", m), ("the resume file", resume_path(m)))]


def prepare_folder(folder: Path, cells: Sequence[str], force: bool) -> None:
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
        refuse_to_overwrite(model_path(folder, cell), force, "--output")


def compare(
    sources: Sequence[str],
    cells: Sequence[str],
    text: TextConfig,
    training: TrainingConfig,
    *,
    layers: int,
    equal_weights: bool = False,
    folder: Path | None = None,
    **sizes: Any,
) -> Iterator[Result]:
    """Train a network of each cell; yield how it did when its run is over.

    ``sizes`` is the rest of the shape, as ``ModelConfig.for_vocabulary`` takes it. With
    ``equal_weights`` every hidden size is such that the network has about as many weights as an
    lstm of these sizes. The best model of each run is saved in ``folder``. SIGINT and SIGTERM end
    the run at hand and the comparison with it, as ``SystemExit``. Raises ``CorpusError``,
    ``UsageError``, or ``ModelFileError`` where a model cannot be saved.
    """
    rng = np.random.default_rng([training.seed, 0])
    dataset = read_dataset(sources, text, rng=rng)
    asked = shape_for(dataset, training, cell=REFERENCE, layers=layers, **sizes)
    configs = model_configs(asked, cells, equal_weights=equal_weights)
    with stopped_by_signals() as received:
        for number, config in enumerate(configs, 1):
            trainer = trainer_on(dataset, config, training, rng=copy.deepcopy(rng))
            # All are measured on the text that the first has the time for.
            positions = trainer.plan.validation_positions
            training = dataclasses.replace(training, validation_positions=positions)
            remarks = _remarks(trainer, layers)
            remarks[0] = f"{number} of {len(configs)}: {remarks[0]}"
            result = _train(trainer, remarks, received)
            if result:
                yield result  # before anything can go wrong with the file
                if folder:
                    _keep(trainer, result, folder)
            if received:
                raise SystemExit(128 + received[0])


def model_configs(
    asked: ModelConfig, cells: Sequence[str], *, equal_weights: bool = False
) -> list[ModelConfig]:
    """``asked`` with each of the cells, and with no more layers than the cell can have."""
    configs = []
    for cell in cells:
        layers = min(asked.layers, most_layers(cell))
        config = dataclasses.replace(asked, cell=cell, layers=layers)
        configs.append(with_weights(config, parameter_count(asked)) if equal_weights else config)
    return configs


def _remarks(trainer: Trainer, layers: int) -> list[str]:
    """What is said of a run before it: the trainer's remarks, and that the layers are fewer."""
    config = trainer.network.config
    if config.layers == layers:
        return remarks_on(trainer)
    most = f"{config.layers} layer{'s' if config.layers > 1 else ''}"
    return [*remarks_on(trainer), f"{config.cell} is compared with {most}: it takes no more"]


def _train(trainer: Trainer, remarks: list[str], received: list[int]) -> Result | None:
    """Make the run and show it; None if a signal ended it before its time."""
    cell, error = trainer.network.config.cell, None
    with reporting(remarks) as reporter:
        try:
            for record in trainer.run():
                reporter.show(record)
                if received and record.progress < 1:
                    reporter.say(f"{cell} was stopped, and is left out")
                    return None
        except TrainingError as fault:  # not before a step has been recorded
            error = str(fault)
        result = _result(trainer, record, error)
        if result.error:
            reporter.say(f"{cell}: {result.error}")
    return result


def _result(trainer: Trainer, record: Record, error: str | None) -> Result:
    config = trainer.network.config
    figures = trainer.best.training if trainer.best and not error else {}
    validation = _finite(figures.get("validation_loss"))
    training = _finite(figures.get("training_loss"))
    loss = training if validation is None else validation
    if loss is None and not error:
        error = "training came to nothing: its loss was never a number"
    return Result(
        cell=config.cell,
        layers=config.layers,
        hidden_size=config.hidden_size,
        weights=parameter_count(config),
        characters_per_second=record.characters_per_second,
        validation_loss=validation,
        training_loss=training,
        bits_per_character=None if loss is None else loss / math.log(2),
        seconds=record.seconds,
        steps=record.step,
        error=error,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _keep(trainer: Trainer, result: Result, folder: Path) -> None:
    """Save the best model of a run that came to something."""
    if trainer.best and not result.error:
        path = model_path(folder, result.cell)
        save_model(path, trainer.best)
        resume_path(path).unlink(missing_ok=True)  # of a run whose model this one replaced
