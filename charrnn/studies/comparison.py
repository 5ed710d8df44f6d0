"""Runs on one text that differ in what is varied, such as the cell, and how well each did."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from charrnn.cells import CELL_NAMES, CELLS, is_bound_to_vocabulary, is_reservoir, most_layers
from charrnn.config import ModelConfig, TextConfig, TrainingConfig
from charrnn.errors import TrainingError, UsageError
from charrnn.network.parameters import weight_count, with_weights
from charrnn.text.dataset import read_dataset
from charrnn.training.processes import ALONE, Processes
from charrnn.training.record import Record
from charrnn.training.setup import shape_for, trainer_on
from charrnn.training.trainer import Trainer

#: The cell that is trained where none is named, and whose number of weights is the measure where
#: they are to be equal.
REFERENCE = "lstm"

#: What a run has of its own: values by the names of fields of ``ModelConfig`` or
#: ``TrainingConfig``.
Variant: TypeAlias = Mapping[str, Any]

_TRAINING = {field.name for field in dataclasses.fields(TrainingConfig)}

#: What only reservoirs have, and with the cell's name what the measure of sizes does not have.
_OF_RESERVOIRS = "spectral_radius", "leak"
_OF_A_CELL = "cell", "activation", *_OF_RESERVOIRS


@dataclass(frozen=True)
class Result:
    """How a run did. Of a run that came to nothing there are no losses; ``error`` says why."""

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
    """The run of the variant with a number: ``run`` makes it, ``result`` says how it did.

    ``curve`` is what it told of the updates that a curve is drawn through: those with a validation,
    or all of a run that has none.
    """

    def __init__(self, number: int, trainer: Trainer) -> None:
        self.number, self.trainer = number, trainer
        self.curve: list[dict[str, Any]] = []
        self._last: Record | None = None
        self._error: str | None = None

    def run(self) -> Iterator[Record]:
        """Train; yield a record after each update. A run that comes to nothing ends early."""
        try:
            for record in self.trainer.run():
                self._last = record
                if record.validation_loss is not None or not self.trainer.validation.positions:
                    self.curve.append(vars(record))
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

    Those whose sizes the vocabulary bounds are to be named, and those that are not trained.
    """
    free = [
        name for name in CELL_NAMES if not is_bound_to_vocabulary(name) and not is_reservoir(name)
    ]
    if text.task == "write" and text.labels is None:
        return free
    feeding_back = {name for (name, _), cell in CELLS.items() if cell.output_block is not None}
    return [name for name in free if name not in feeding_back]


def combinations(varied: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Each combination of the values of fields; those of the last field change first.

    Raises ``UsageError`` where a field has a value twice: two models would share a name.
    """
    for field, values in varied.items():
        choices = CELL_NAMES if field == "cell" else tuple(dict.fromkeys(values))
        for value in choices:
            if values.count(value) > 1:
                own = f"each of {', '.join(map(str, choices))}" if len(choices) > 1 else "it"
                raise UsageError(f"{value} is named twice: name {own} once")
    return [
        dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())
    ]


def compare(
    sources: Sequence[str],
    variants: Sequence[Variant],
    text: TextConfig,
    training: TrainingConfig,
    *,
    equal_weights: bool = False,
    processes: Processes = ALONE,
    **shape: Any,
) -> Iterator[Trial]:
    """Set up a run for each variant, one when the one before is over; whoever takes it makes it.

    Of several ``processes`` each has runs of its own. All that is not varied is as ``training`` and
    ``shape`` say, which is what ``ModelConfig.for_vocabulary`` takes; a hidden size that is left
    open is what suits an lstm that trains as the first variant, and all have it. With
    ``equal_weights`` every hidden size is such that the network has about as many weights as an
    lstm of its sizes. What is held back for validation is the same for all, also where seeds vary.
    Raises ``CorpusError`` or ``UsageError``.
    """
    variants = _with_reservoirs(variants, shape)
    trainings = [_training_of(variant, training) for variant in variants]
    rng = np.random.default_rng([training.seed, 0])
    dataset = read_dataset(sources, text, rng=rng)
    if shape.get("members") is None:  # one network of each is compared
        shape["members"] = 1
    asked = processes.first(lambda: shape_for(dataset, trainings[0], cell=REFERENCE, **shape))
    configs, begun = model_configs(asked, variants, equal_weights=equal_weights), []

    def trainer_of(number: int) -> Trainer:
        own = trainings[number]
        seeded = copy.deepcopy(rng)  # as in a run alone: it goes on from what the text took of it
        if own.seed != training.seed:
            seeded = np.random.default_rng([own.seed, 0])
        return trainer_on(dataset, configs[number], own, rng=seeded)

    def validated() -> int:
        """Positions of the text that all are measured on: those that the first has time for."""
        begun.append(trainer_of(0))
        return begun[0].plan.validation_positions

    positions = processes.first(validated)
    trainings = [dataclasses.replace(own, validation_positions=positions) for own in trainings]
    for number in processes.own(range(len(variants))):
        yield Trial(number, begun.pop() if begun else trainer_of(number))


def _with_reservoirs(variants: Sequence[Variant], shape: dict[str, Any]) -> Sequence[Variant]:
    """Let reservoirs have what the ``shape`` says of reservoirs; it says that no more."""
    if not any(is_reservoir(variant.get("cell", REFERENCE)) for variant in variants):
        return variants
    own = {name: shape.pop(name) for name in _OF_RESERVOIRS if name in shape}
    return [
        {**own, **variant} if is_reservoir(variant.get("cell", REFERENCE)) else variant
        for variant in variants
    ]


def _training_of(variant: Variant, training: TrainingConfig) -> TrainingConfig:
    own = {name: value for name, value in variant.items() if name in _TRAINING}
    return dataclasses.replace(training, **own)


def model_configs(
    asked: ModelConfig, variants: Sequence[Variant], *, equal_weights: bool = False
) -> list[ModelConfig]:
    """``asked`` as each of the variants has it, and with no more layers than its cell can have."""
    configs = []
    for variant in variants:
        own = {name: value for name, value in variant.items() if name not in _TRAINING}
        sizes = {name: value for name, value in own.items() if name not in _OF_A_CELL}
        measure = dataclasses.replace(asked, **sizes)
        own["layers"] = min(measure.layers, most_layers(own.get("cell", asked.cell)))
        shape = {**vars(asked), **own}
        if equal_weights:
            del shape["hidden_size"]
            size = shape.pop("vocabulary_size")
            config = with_weights(ModelConfig.for_vocabulary(size, **shape), weight_count(measure))
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
