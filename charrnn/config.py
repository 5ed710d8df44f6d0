"""What a network and a training run are made of; checked when they are created."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from os import PathLike
from typing import Any

from charrnn.cells import CELL_NAMES, CELLS, most_layers
from charrnn.errors import UsageError

#: Beyond this a network would not fit into memory, and indices into 32 bits.
MAX_SIZE = 65_536

INITIAL_STATES = ("zeros", "learned", "random")

#: What a network does with texts: it writes them, or it reads them and tells a label of each, tags
#: in them, or what was taken out of them.
TASKS = ("write", "label", "tags", "restore")

#: Where the labels of texts to write come from: columns behind tabs, or the names of files.
LABELS = ("columns", "files")

#: What can be taken out of a text and put back.
RESTORABLE = ("case", "accents", "punctuation", "spaces", "newlines", "gaps")
#: Up to this vocabulary a character is one-hot by default; a larger one is embedded.
ONE_HOT_VOCABULARY = 256
EMBEDDING_SIZE = 128


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def _require_between(name: str, value: float, low: float, high: float) -> None:
    bounds = f"{low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
    _require(low <= value <= high, f"{name} must be {bounds}, not {value}")


def require_whole(name: str, value: Any, low: int, high: float = math.inf) -> None:
    """Raise ``UsageError`` unless ``value`` is a whole number within these bounds."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    _require(whole, f"{name} must be a whole number, not {value!r}")
    _require_between(name, value, low, high)


def require_text(name: str, value: Any) -> None:
    """Raise ``UsageError`` unless ``value`` is a ``str``."""
    _require(isinstance(value, str), f"{name} must be text, not {value!r}")


def require_path(name: str, value: Any) -> None:
    """Raise ``UsageError`` unless ``value`` is the path of a file."""
    _require(isinstance(value, (str, PathLike)), f"{name} must be a path, not {value!r}")


def require_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ``UsageError`` unless ``value`` is one of the ``choices``."""
    _require(value in choices, f"{name} must be one of {', '.join(choices)}, not {value!r}")


#: What a field of a configuration may hold, by the type that it declares. Model files keep it as
#: JSON, so that other numbers than Python's own will not do.
_KINDS: dict[str, tuple[Any, str]] = {
    "bool": (bool, "True or False"),
    "int": (int, "a whole number"),
    "float": ((float, int), "a number"),
    "str": (str, "text"),
    "tuple[str, ...]": (tuple, "a tuple of texts"),
}


def _require_kinds(config: Any) -> None:
    """Raise ``UsageError`` unless every field of a dataclass holds what its type says."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        kind, _, other = str(field.type).partition(" | ")
        types, what = _KINDS[kind]
        # Python takes True and False for numbers, and whole numbers beyond any float.
        fits = isinstance(value, types) and isinstance(value, bool) == (kind == "bool")
        huge = kind == "float" and isinstance(value, int) and abs(value) > 2**53
        missing = value is None and other == "None"
        _require(missing or (fits and not huge), f"{field.name} must be {what}, not {value!r}")


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a network; with the vocabulary it says which tensors a model file holds.

    Raises ``UsageError`` for a value of another type or range.
    """

    vocabulary_size: int  # V: characters and the three special tokens
    cell: str = "lstm"  # a name in charrnn.cells.CELLS
    activation: str = "tanh"  # of elman and jordan: tanh or relu; other cells know tanh only
    layers: int = 2  # L: stacked recurrent layers
    hidden_size: int = 128  # H: units of each layer
    embedding_size: int = 0  # E: units that a character becomes; 0: one-hot
    readout_layers: int = 0  # feed-forward layers between the top recurrent layer and the logits
    readout_size: int = 0  # units of each of them; 0: as many as hidden units
    initial_state: str = "zeros"  # before a document: zeros, learned, or random in training
    task: str = "write"  # one of TASKS; all but write read both ways
    classes: int = 0  # K: labels or edits that it tells, or of a writer, labels that it is told
    multiple: bool = False  # of the task label: whether a text has any number of them

    def __post_init__(self) -> None:
        _require_kinds(self)
        require_choice("cell", self.cell, CELL_NAMES)
        choices = [activation for name, activation in CELLS if name == self.cell]
        _require(
            self.activation in choices,
            f"activation of {self.cell} must be {' or '.join(choices)}, not {self.activation}",
        )
        _require_between("vocabulary size", self.vocabulary_size, 4, MAX_SIZE)
        most = most_layers(self.cell)
        _require(self.layers == 1 or most > 1, f"{self.cell} takes one layer: give `layers` 1")
        _require_between("layers", self.layers, 1, most)
        _require_between("hidden size", self.hidden_size, 1, MAX_SIZE)
        _require_between("embedding size", self.embedding_size, 0, MAX_SIZE)
        _require_between("readout layers", self.readout_layers, 0, 64)
        _require_between("readout size", self.readout_size, 0, MAX_SIZE)
        _require(
            not self.readout_size or self.readout_layers > 0,
            "a readout size needs `readout_layers`",
        )
        feeds_back = CELLS[self.cell, self.activation].output_block is not None
        _require(
            not (feeds_back and self.readout_layers),
            f"{self.cell} feeds its output back: it takes no readout layers",
        )
        require_choice("initial state", self.initial_state, INITIAL_STATES)
        self._check_task(feeds_back=feeds_back)

    def _check_task(self, *, feeds_back: bool) -> None:
        require_choice("task", self.task, TASKS)
        fewest = 0 if self.writes else 1 if self.multiple else 2
        _require_between("classes", self.classes, fewest, MAX_SIZE)
        _require(self.task == "label" or not self.multiple, "`multiple` is for the task label")
        _require(
            not (feeds_back and (self.classes or not self.writes)),
            f"{self.cell} only writes, and without labels: choose another `cell`",
        )

    @property
    def writes(self) -> bool:
        """Whether it writes texts; else it reads them, both ways."""
        return self.task == "write"

    @property
    def dense_size(self) -> int:
        """Units of each feed-forward layer of the readout."""
        return self.readout_size or self.hidden_size

    @classmethod
    def for_vocabulary(
        cls, size: int, *, embedding_size: int | None = None, **shape: Any
    ) -> ModelConfig:
        """A shape in which, without an ``embedding_size``, many characters are embedded."""
        if embedding_size is None:
            embedding_size = 0 if size <= ONE_HOT_VOCABULARY else EMBEDDING_SIZE
        return cls(vocabulary_size=size, embedding_size=embedding_size, **shape)

    @property
    def input_size(self) -> int:
        """Columns of the first layer's input matrix."""
        return self.embedding_size or self.vocabulary_size


@dataclass(frozen=True)
class TextConfig:
    """How files become documents. Raises ``UsageError`` for a value of another type or range."""

    lines: bool = False  # every line is a document, instead of every file
    min_count: int = 1  # characters seen less often become UNKNOWN
    encoding: str = "utf-8"  # of all files
    normalize_newlines: bool = False  # read \r\n and \r as \n
    validation: str | None = None  # a file of its own to validate on
    validation_fraction: float = 0.1  # share of the corpus that is kept for validation
    task: str = "write"  # what is learned of it: one of TASKS
    labels: str | None = None  # of texts to write: from columns of lines, or names of files
    multiple: bool = False  # label: whether a text has any number of labels, with commas
    balance: bool = False  # label: whether rare labels count as much as others
    restore: str = ""  # what is taken out of the text and put back: some of RESTORABLE, with commas

    def __post_init__(self) -> None:
        _require_kinds(self)
        _require("\0" not in (self.validation or ""), "validation must be the name of a file")
        _require_between("min count", self.min_count, 1, 10**9)
        _require(
            0 <= self.validation_fraction <= 0.9,
            f"validation fraction must be from 0 to 0.9, not {self.validation_fraction}",
        )
        self._check_task()

    def _check_task(self) -> None:
        require_choice("task", self.task, TASKS)
        if self.labels is not None:
            require_choice("labels", self.labels, LABELS)
        told_in_vain = self.labels is not None and self.task != "write"
        _require(not told_in_vain, f"`labels` is for texts to write, not for the task {self.task}")
        for name in ("multiple", "balance"):
            _require(self.task == "label" or not getattr(self, name),
                     f"`{name}` is for the task label")  # fmt: skip
        _require(not (self.balance and self.multiple), "give `balance` or `multiple`, not both")
        _require(
            (self.task == "restore") == bool(self.restore),
            f"the task restore takes what to `restore`, any of {', '.join(RESTORABLE)}",
        )
        for kind in self.restored:
            require_choice("what to restore", kind, RESTORABLE)

    @property
    def restored(self) -> tuple[str, ...]:
        """What is taken out of the text and put back."""
        return tuple(kind.strip() for kind in self.restore.split(",")) if self.restore else ()

    @property
    def by_line(self) -> bool:
        """Whether every line is a document of its own."""
        return self.lines or self.task in ("label", "tags") or self.labels == "columns"


PRECISIONS = ("auto", "float32", "bfloat16")
#: What each optimizer keeps of the gradients, an array as large as the parameters for each name.
MOMENTS = {"adam": ("mean", "square"), "rmsprop": ("square",), "sgd": ("velocity",)}
OPTIMIZERS = tuple(MOMENTS)

#: Highest learning rate of each that suits 64 lanes and 128 to 256 units.
LEARNING_RATES = {"adam": 0.03, "rmsprop": 6e-3, "sgd": 0.5}
#: Weight decay of each that suits a text which is read once with a weight for each character.
WEIGHT_DECAYS = {"adam": 0.14, "rmsprop": 0.05, "sgd": 2e-4}

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
    optimizer: str = "adam"  # adam, rmsprop or sgd
    learning_rate: float | None = None  # the highest of the schedule
    warmup_steps: int = 100  # updates over which the learning rate rises from zero
    final_rate: float = 0.05  # where the cosine ends, as a share of the learning rate
    beta1: float = 0.9  # Adam: decay of the mean gradient; SGD: momentum
    beta2: float = 0.99  # Adam and RMSprop: decay of the mean squared gradient
    dropout: float | None = None  # share of each recurrent layer's units left out in training
    weight_decay: float | None = None  # of itself that a weight loses, times the learning rate
    averaging: float = 0.995  # decay of the weights' average, which is validated and kept; 0: none
    clip_norm: float = 1.0  # longest gradient of an update; 0: any length
    clip_value: float = 0.0  # largest element of a gradient; 0: any size
    validations: int | None = None  # times that the validation text is read in a run
    validation_positions: int | None = None  # of that text, which are the same each time
    patience: int = 0  # validations in a row without improvement that end a run; 0: any number
    seed: int = 1  # of everything random
    threads: int = 0  # 0: one for each processor
    precision: str = "auto"  # of products: float32, or bfloat16 where the processor has it

    def __post_init__(self) -> None:
        _require_kinds(self)
        given = [n for n in ("epochs", "steps", "budget") if getattr(self, n) is not None]
        _require(len(given) <= 1, f"give only one of {', '.join(given)}")
        for name in given:
            value = getattr(self, name)
            _require(0 < value <= MAX_EXTENT,
                     f"{name} must be above 0 and at most {MAX_EXTENT:g}, not {value}")  # fmt: skip
        if self.most_epochs is not None:
            _require_between("most epochs", self.most_epochs, 0, 10**9)
        require_choice("optimizer", self.optimizer, OPTIMIZERS)
        if self.batch_size is not None:
            _require_between("batch size", self.batch_size, 1, MAX_SIZE)
        if self.sequence_length is not None:
            _require_between("sequence length", self.sequence_length, 1, MAX_SIZE)
        if self.learning_rate is not None:
            _require(0 < self.learning_rate < 100, "learning rate must be above 0 and below 100")
        _require_between("warm-up steps", self.warmup_steps, 0, 10**9)
        _require_between("final rate", self.final_rate, 0, 1)
        _require(0 <= self.beta1 < 1 and 0 <= self.beta2 < 1, "betas must be from 0 to below 1")
        if self.dropout is not None:
            _require(0 <= self.dropout < 1, "dropout must be from 0 to below 1")
        if self.weight_decay is not None:
            _require_between("weight decay", self.weight_decay, 0, 1)
        _require(0 <= self.averaging < 1, "averaging must be from 0 to below 1")
        _require(self.clip_norm >= 0 and self.clip_value >= 0, "clipping must not be negative")
        if self.validations is not None:
            _require_between("validations", self.validations, 1, 10**6)
        if self.validation_positions is not None:
            _require_between("validation positions", self.validation_positions, 0, 2**48)
        _require_between("patience", self.patience, 0, 10**6)
        _require_between("seed", self.seed, 0, 2**63 - 1)
        check_machine(self.threads, self.precision)


#: Most beginnings that a search for the likeliest texts follows at once.
MOST_BEAMS = 1024

#: ``min_p`` where no way of choosing is asked for (docs/measurements.md).
DEFAULT_MIN_P = 0.05


@dataclass(frozen=True)
class SamplingConfig:
    """How texts are written. Raises ``UsageError`` for a value of another type or range.

    What leaves characters out or makes them less likely is applied in the order in which it stands
    here; ``charrnn.compute`` has the definitions. What is None depends on whether any of ``top_k``
    and what follows it is given: see ``complete``.
    """

    length: float = 200  # most characters of a text, the prompt not counted; inf: no end of them
    until: tuple[str, ...] = ()  # texts that end one, once it ends with one of them
    ignore_end: bool = False  # whether the model's own ends of documents are never chosen
    match: str | None = None  # a regular expression that the whole text matches, without its prompt
    repetition_penalty: float = 1.0  # what divides the probability of recent characters
    repetition_window: int = 64  # how many characters are recent
    dry: float = 0.0  # what the logit loses of what makes a repeated run longer; 0: nothing
    dry_base: float = 1.2  # times this for each character of the run beyond ``dry_length``
    dry_length: int = 8  # shortest run that counts
    dry_window: int = 4096  # how many characters back runs are looked for
    top_k: int = 0  # how many of the likeliest are left; 0: all
    typical: float = 1.0  # share of the most typical that is left
    top_p: float = 1.0  # share of the likeliest that is left
    min_p: float | None = None  # least probability, as a share of the likeliest's
    temperature: float | None = None  # 0: always the likeliest; 1: as learned; more: wilder
    mirostat: float = 0.0  # bits a character at which surprise is held; 0: it is not
    mirostat_rate: float = 0.1  # bits by which the bound moves for each that surprise is off

    def __post_init__(self) -> None:
        _require_kinds(self)
        _require_between("length", self.length, 0, math.inf)
        whole = self.length == math.inf or self.length == int(self.length)
        _require(whole, f"length must be a whole number, not {self.length}")
        _require(all(self.until), "what a text is to end with must not be empty")
        _require(self.match is None or not self.until,
                 "`match` says by itself where a text ends: give no `until`")  # fmt: skip
        _require_between("repetition penalty", self.repetition_penalty, 1e-3, 1e3)
        _require_between("dry", self.dry, 0, 1e6)
        _require_between("dry base", self.dry_base, 1, 1e3)
        for name in ("repetition_window", "dry_length", "dry_window"):
            _require_between(name.replace("_", " "), getattr(self, name), 1, MAX_SIZE)
        _require_between("top k", self.top_k, 0, MAX_SIZE)
        if self.min_p is not None:
            _require_between("min p", self.min_p, 0, 1)
        for name in ("typical", "top_p", "mirostat_rate"):
            value, named = getattr(self, name), name.replace("_", " ")
            _require(0 < value <= 1, f"{named} must be above 0 and at most 1, not {value}")
        if self.temperature is not None:
            _require(0 <= self.temperature < math.inf, "temperature must be a number from 0 "
                     f"(always the likeliest) up, not {self.temperature!r}")  # fmt: skip
        _require_between("mirostat", self.mirostat, 0, 64)
        for name, nothing in _FILTERS.items():
            _require(not self.mirostat or getattr(self, name) in (None, nothing),
                     f"`mirostat` says by itself what is left out: give no `{name}`")  # fmt: skip

    def complete(self) -> SamplingPlan:
        """The same with nothing open: as learned, or as reads best where nothing is asked for."""
        asked = self.mirostat or self.temperature is not None
        for name, nothing in _FILTERS.items():
            asked = asked or getattr(self, name) not in (None, nothing)
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        given = {name: value for name, value in given.items() if value is not None}
        return SamplingPlan(**{"min_p": 0.0 if asked else DEFAULT_MIN_P, **given})


@dataclass(frozen=True)
class SamplingPlan(SamplingConfig):
    """How texts are written, with nothing left open; ``SamplingConfig.complete`` makes it."""

    min_p: float = 0.0
    temperature: float = 1.0


#: What ``mirostat`` takes the place of, each at the value at which it does nothing.
_FILTERS = {"top_k": 0, "typical": 1, "top_p": 1, "min_p": 0}


@dataclass(frozen=True, kw_only=True)
class Plan(TrainingConfig):
    """A run with nothing left open but which of ``epochs``, ``steps`` and ``budget`` it ends at.

    ``charrnn.training.planning`` makes it, once; a run and its optimizer read nothing else.
    """

    batch_size: int
    sequence_length: int
    most_epochs: float
    learning_rate: float
    dropout: float
    weight_decay: float
    validations: int
    validation_positions: int
