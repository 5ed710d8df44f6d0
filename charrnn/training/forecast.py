"""What a run will take, told before it is made: updates, passes, time and memory."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from charrnn.training.planning import validation_cost
from charrnn.training.trainer import Trainer

#: How many seconds of updates a run's speed is measured by, and how many updates at least.
_SECONDS, _FEWEST = 1.0, 4


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to take if nothing ends it early."""

    characters_per_second: float  # as measured, of updates without validations
    steps: int  # updates
    epochs: float  # passes over the text
    seconds: float  # updates and validations, without compilation
    memory: int | None  # bytes that this process took at most; None where the system does not tell


def forecast(trainer: Trainer) -> Forecast:
    """What the run will take, as its first updates show, which are made for about a second.

    They change the trainer's network: give a trainer whose run is not to be made. Raises
    ``TrainingError`` as its run would.
    """
    record = trainer.train_step()
    while trainer.step < _FEWEST or trainer.seconds < _SECONDS:
        record = trainer.train_step()
    extent, speed = trainer.extent, record.characters_per_second
    step = record.characters / record.step / speed
    validations = 0.0
    if trainer.validation.positions:
        cost = validation_cost(trainer.plan.validation_positions)
        validations = trainer.plan.validations * cost / speed
    within = max(1.0, (extent.budget - validations) / step)
    steps = math.ceil(min(extent.steps, within))
    return Forecast(
        characters_per_second=speed,
        steps=steps,
        epochs=steps / trainer.lanes.epoch,
        seconds=min(steps * step + validations, extent.budget),
        memory=_most_memory(),
    )


def _most_memory() -> int | None:
    """Bytes that this process has taken at most so far."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
