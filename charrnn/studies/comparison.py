"""Several cells trained on the same text, with the same options, and how well each of them did."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.cells import CELL_NAMES, CELLS, is_bound_to_vocabulary, most_layers
from charrnn.config import ModelConfig, TextConfig, TrainingConfig
from charrnn.errors import TrainingError, UsageError
from charrnn.network.parameters import weight_count, with_weights
from charrnn.text.dataset import read_dataset
from charrnn.training.processes import ALONE, Processes
from charrnn.training.record import Record
from charrnn.training.setup import shape_for, trainer_on
from charrnn.training.trainer import Trainer

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


class Trial:
    """The run of one cell: ``run`` makes it, and ``result`` says how it did."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._last: Record | None = None
        self._error: str | None = None

    def run(self) -> Iterator[Record]:
        """Train; yield a record after each update. A run that comes to nothing ends early."""
        try:
            for record in self.trainer.run():
                self._last = record
                yield record
        except TrainingError as fault:  # not before a step has been recorded
            self._error = str(fault)

    @property
    def result(self) -> Result:
        """How the run did, as far as it has been made: at least one step."""
        assert self._last, "no step has been made"
        return _result(self.trainer, self._last, self._error)


def cells_for(text: TextConfig) -> list[str]:
    """The names of all cells that can learn what is to be learned of any such text.

    Those whose sizes the vocabulary bounds are to be named.
    """
    free = [name for name in CELL_NAMES if not is_bound_to_vocabulary(name)]
    if text.task == "write" and text.labels is None:
        return free
    feeding_back = {name for (name, _), cell in CELLS.items() if cell.output_block is not None}
    return [name for name in free if name not in feeding_back]


def refuse_doubles(cells: Sequence[str]) -> None:
    """Raise ``UsageError`` where a cell is named twice: its models would share a name."""
    for name in cells:
        if cells.count(name) > 1:
            raise UsageError(f"{name} is named twice: name each of {', '.join(CELL_NAMES)} once")


def compare(
    sources: Sequence[str],
    cells: Sequence[str],
    text: TextConfig,
    training: TrainingConfig,
    *,
    layers: int,
    equal_weights: bool = False,
    processes: Processes = ALONE,
    **sizes: Any,
) -> Iterator[Trial]:
    """Set up a run for each cell, one when the one before is over; whoever takes it makes it.

    Of several ``processes`` each has runs of its own.

    ``sizes`` is the rest of the shape, as ``ModelConfig.for_vocabulary`` takes it. With
    ``equal_weights`` every hidden size is such that the network has about as many weights as an
    lstm of these sizes. Raises ``CorpusError`` or ``UsageError``.
    """
    refuse_doubles(cells)
    rng = np.random.default_rng([training.seed, 0])
    dataset = read_dataset(sources, text, rng=rng)
    asked = processes.first(
        lambda: shape_for(dataset, training, cell=REFERENCE, layers=layers, **sizes)
    )
    configs, begun = model_configs(asked, cells, equal_weights=equal_weights), []

    def validated() -> int:
        """Positions of the text that all are measured on: those that the first has time for."""
        begun.append(trainer_on(dataset, configs[0], training, rng=copy.deepcopy(rng)))
        return begun[0].plan.validation_positions

    positions = processes.first(validated)
    training = dataclasses.replace(training, validation_positions=positions)
    for config in processes.own(configs):
        yield Trial(begun.pop() if begun else
                    trainer_on(dataset, config, training, rng=copy.deepcopy(rng)))  # fmt: skip


def model_configs(
    asked: ModelConfig, cells: Sequence[str], *, equal_weights: bool = False
) -> list[ModelConfig]:
    """``asked`` with each of the cells, and with no more layers than the cell can have."""
    configs = []
    for cell in cells:
        shape = {**vars(asked), "cell": cell, "layers": min(asked.layers, most_layers(cell))}
        if equal_weights:
            del shape["hidden_size"]
            size = shape.pop("vocabulary_size")
            config = with_weights(ModelConfig.for_vocabulary(size, **shape), weight_count(asked))
        else:
            config = ModelConfig(**shape)
        configs.append(config)
    return configs


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
        weights=weight_count(config),
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
