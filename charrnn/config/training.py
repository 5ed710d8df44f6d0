"""How a network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from charrnn.config.checks import (
    MAX_SIZE,
    require,
    require_between,
    require_choice,
    require_kinds,
    require_whole,
)

PRECISIONS = ("auto", "float32", "bfloat16")

#: What a web page may keep matrices as.
PAGE_PRECISIONS = ("float32", "float16", "int8")
#: What each optimizer keeps of the gradients, an array as large as the parameters for each name,
#: but for ``BASES``: of these one of columns by columns for each matrix that reads units.
MOMENTS = {
    "adam": ("mean", "square"),
    "soap": ("mean", "square", "covariance", "basis"),
    "rmsprop": ("square",),
    "sgd": ("velocity",),
}
BASES = ("covariance", "basis")
OPTIMIZERS = tuple(MOMENTS)

#: Highest learning rate of each that suits 64 lanes and 128 to 256 units.
LEARNING_RATES = {"adam": 0.03, "soap": 0.03, "rmsprop": 6e-3, "sgd": 0.5}
#: Weight decay of each that suits a text which is read once with a weight for each character.
WEIGHT_DECAYS = {"adam": 0.14, "soap": 0.14, "rmsprop": 0.05, "sgd": 2e-4}

#: Steps through which gradients flow where a text is read on and on.
SEQUENCE_LENGTH = 64

#: Beyond this an extent would be no number of steps.
MAX_EXTENT = 1e15


def check_machine(threads: Any, precision: Any) -> None:
    """Raise ``UsageError`` unless these are a number of threads and a precision."""
    require_whole("threads", threads, 0, 4096)
    require_choice("precision", precision, PRECISIONS)


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained. Raises ``UsageError`` for a value of another type or range.

    At most one of ``epochs``, ``steps`` and ``budget`` is given. What is None follows from the
    text, the network and the time: see ``charrnn.training.planning``.
    """

    batch_size: int | None = None  # B: lanes that read the corpus side by side
    sequence_length: int | None = None  # T: steps of truncated backpropagation through time
    epochs: float | None = None  # passes over the training text
    steps: int | None = None  # updates
    budget: float | None = None  # seconds
    most_epochs: float | None = None  # passes that end a budget before its time; 0: any number
    optimizer: str | None = None  # adam, soap, rmsprop or sgd
    learning_rate: float | None = None  # the highest of the schedule
    warmup_steps: int = 100  # updates over which the learning rate rises from zero
    final_rate: float = 0.05  # where the cosine ends, as a share of the learning rate
    beta1: float = 0.9  # Adam: decay of the mean gradient; SGD: momentum
    beta2: float = 0.99  # Adam and RMSprop: decay of the mean squared gradient
    dropout: float | None = None  # share of each recurrent layer's units left out in training
    weight_decay: float | None = None  # of itself that a weight loses, times the learning rate
    label_smoothing: float | None = None  # of each symbol of pairs, the share that all others get
    averaging: float = 0.995  # decay of the weights' average, which is validated and kept; 0: none
    clip_norm: float = 1.0  # longest gradient of an update; 0: any length
    clip_value: float = 0.0  # largest element of a gradient; 0: any size
    validations: int | None = None  # times that the validation text is read in a run
    validation_positions: int | None = None  # of that text, which are the same each time
    patience: int = 0  # validations in a row without improvement that end a run; 0: any number
    seed: int = 1  # of everything random
    threads: int = 0  # 0: one for each processor
    precision: str = "auto"  # of products: float32, or bfloat16 where that is faster

    def __post_init__(self) -> None:
        require_kinds(self)
        given = [n for n in ("epochs", "steps", "budget") if getattr(self, n) is not None]
        require(len(given) <= 1, f"give only one of {', '.join(given)}")
        for name in given:
            value = getattr(self, name)
            require(0 < value <= MAX_EXTENT,
                     f"{name} must be above 0 and at most {MAX_EXTENT:g}, not {value}")  # fmt: skip
        if self.most_epochs is not None:
            require_between("most epochs", self.most_epochs, 0, 10**9)
        if self.optimizer is not None:
            require_choice("optimizer", self.optimizer, OPTIMIZERS)
        if self.batch_size is not None:
            require_between("batch size", self.batch_size, 1, MAX_SIZE)
        if self.sequence_length is not None:
            require_between("sequence length", self.sequence_length, 1, MAX_SIZE)
        if self.learning_rate is not None:
            require(0 < self.learning_rate < 100, "learning rate must be above 0 and below 100")
        require_between("warm-up steps", self.warmup_steps, 0, 10**9)
        require_between("final rate", self.final_rate, 0, 1)
        require(0 <= self.beta1 < 1 and 0 <= self.beta2 < 1, "betas must be from 0 to below 1")
        if self.dropout is not None:
            require(0 <= self.dropout < 1, "dropout must be from 0 to below 1")
        if self.label_smoothing is not None:
            require(0 <= self.label_smoothing < 1, "label smoothing must be from 0 to below 1")
        if self.weight_decay is not None:
            require_between("weight decay", self.weight_decay, 0, 1)
        require(0 <= self.averaging < 1, "averaging must be from 0 to below 1")
        require(self.clip_norm >= 0 and self.clip_value >= 0, "clipping must not be negative")
        if self.validations is not None:
            require_between("validations", self.validations, 1, 10**6)
        if self.validation_positions is not None:
            require_between("validation positions", self.validation_positions, 0, 2**48)
        require_between("patience", self.patience, 0, 10**6)
        require_between("seed", self.seed, 0, 2**63 - 1)
        check_machine(self.threads, self.precision)


@dataclass(frozen=True, kw_only=True)
class Plan(TrainingConfig):
    """A run with nothing left open but which of ``epochs``, ``steps`` and ``budget`` it ends at.

    ``charrnn.training.planning`` makes it, once; a run and its optimizer read nothing else.
    """

    batch_size: int
    sequence_length: int
    most_epochs: float
    optimizer: str
    learning_rate: float
    dropout: float
    label_smoothing: float = 0.0
    weight_decay: float
    validations: int
    validation_positions: int
