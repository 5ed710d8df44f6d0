"""What a run tells of each of its steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One step of training."""

    step: int  # updates so far, this one included
    characters: int  # characters trained on so far
    epoch: float  # the same in passes over the training text
    progress: float  # share of the run that has passed, 0 … 1
    loss: float  # mean of the step's losses, nats per character
    learning_rate: float  # of this update
    gradient_norm: float  # before clipping; NaN or infinite where the update was skipped
    skipped: int  # updates skipped so far because the gradient was not finite
    seconds: float  # since the first step was made
    characters_per_second: float  # mean over the run, validation included
    validation_loss: float | None = None  # nats per character, where the step ends an interval
    improved: bool = False  # whether ``Trainer.best`` is new
    returned_to: int | None = None  # the step to whose weights a run that was lost has gone back
