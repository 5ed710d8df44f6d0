"""The shape of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from charrnn.cells import CELL_NAMES, CELLS, most_layers
from charrnn.config.checks import MAX_SIZE, require, require_between, require_choice, require_kinds
from charrnn.config.text import DECODERS, TASKS

INITIAL_STATES = ("zeros", "learned", "random")
#: Up to this vocabulary a character is one-hot by default; a larger one is embedded.
ONE_HOT_VOCABULARY = 256
EMBEDDING_SIZE = 128
#: Most rows of a table of n-grams.
MAX_BUCKETS = 2**19
#: Of recurrent matrices that are not trained, as most published echo state networks have it.
SPECTRAL_RADIUS = 0.9
#: Most weights of a layer with a matrix for each character: ten times as much memory in training,
#: 1.3 GB.
MAX_WEIGHTS_BY_CHARACTER = 2**25


def _hidden_sizes(cell: str, vocabulary: int) -> range:
    """Units that layers of a cell can have with such a vocabulary."""
    kinds = [kind for (name, _), kind in CELLS.items() if name == cell]
    least = vocabulary + 1 if any(kind.output_scale is not None for kind in kinds) else 1
    most = MAX_SIZE
    if any(kind.by_character for kind in kinds):
        most = math.isqrt(MAX_WEIGHTS_BY_CHARACTER // vocabulary)
    return range(least, most + 1)


def _nearest(size: int, sizes: range) -> int:
    return min(max(size, sizes[0]), sizes[-1])


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
    dense_before: int = 0  # feed-forward layers of H units before each recurrent layer
    readout_layers: int = 0  # feed-forward layers between the top recurrent layer and the logits
    readout_size: int = 0  # units of each of them; 0: as many as hidden units
    initial_state: str = "zeros"  # before a document: zeros, learned, or random in training
    spectral_radius: float | None = None  # of echo-state, of its recurrent matrix; None: 0.9
    leak: float | None = None  # of echo-state: how far units go to what they read; None: 1
    members: int = 1  # such networks side by side: their probabilities are averaged
    task: str = "write"  # one of TASKS; all but write read both ways
    classes: int = 0  # K: labels or edits that it tells, or of a writer, labels that it is told;
    # of pairs, the symbols of right sides and behind them the labels of further columns
    symbols: int = 0  # of the task pairs: how many of the classes right sides consist of
    decoder: str = ""  # of the task pairs: one of DECODERS
    multiple: bool = False  # of the task label: whether a text has any number of them
    ngram_buckets: int = 0  # of the task label: rows of the table of n-grams beside the network

    def __post_init__(self) -> None:
        require_kinds(self)
        require_choice("cell", self.cell, CELL_NAMES)
        choices = [activation for name, activation in CELLS if name == self.cell]
        require(
            self.activation in choices,
            f"activation of {self.cell} must be {' or '.join(choices)}, not {self.activation}",
        )
        require_between("vocabulary size", self.vocabulary_size, 4, MAX_SIZE)
        require_between("members", self.members, 1, 64)
        most = most_layers(self.cell)
        require(self.layers == 1 or most > 1, f"{self.cell} takes one layer: give `layers` 1")
        require_between("layers", self.layers, 1, most)
        require_between("hidden size", self.hidden_size, 1, MAX_SIZE)
        require_between("embedding size", self.embedding_size, 0, MAX_SIZE)
        require_between("dense layers before each", self.dense_before, 0, 64)
        require_between("readout layers", self.readout_layers, 0, 64)
        require_between("readout size", self.readout_size, 0, MAX_SIZE)
        require(
            not self.readout_size or self.readout_layers > 0,
            "a readout size needs `readout_layers`",
        )
        self._check_output()
        self._check_reservoir()
        require_choice("initial state", self.initial_state, INITIAL_STATES)
        self._check_task()

    def _check_output(self) -> None:
        """Of cells that have to do with the network's output."""
        does = ""
        if self._cell.output_block is not None:
            does = "feeds its output back"
        elif self._cell.output_scale is not None:
            does = "has its output among its units"
        least, most = self.hidden_sizes[0], self.hidden_sizes[-1]
        require(self.hidden_size >= least, f"{self.cell} {does}: for {self.vocabulary_size} "
                f"characters give a `hidden_size` of {least} or more")  # fmt: skip
        require(
            not (does and self.readout_layers), f"{self.cell} {does}: it takes no readout layers"
        )
        require(not does or self.writes, f"{self.cell} only writes: choose another `cell`")
        require(self.hidden_size <= most, f"{self.cell} has a matrix for each character: for "
                f"{self._characters:,} of them give a `hidden_size` of {most} or less")  # fmt: skip

    def _check_reservoir(self) -> None:
        """Of what is for cells that are not trained, and of what such cells cannot have."""
        if self._cell.trained:
            for name in ("spectral_radius", "leak"):
                given = getattr(self, name) is not None
                require(not given, f"`{name}` is for the cell echo-state, not for {self.cell}")
            return
        require_between("spectral radius", self.radius, 0.01, 10)
        require_between("leak", self.leakage, 0.001, 1)
        learns = f"nothing of {self.cell} is learned but what reads its units"
        require(not self.dense_before, f"{learns}: give `dense_before` 0")
        require(self.initial_state != "learned", f"{learns}: give another `initial_state`")
        require(not self.answers, f"{learns}, and with attention it would have to learn where to "
                "begin: give the `decoder` ctc or another `cell`")  # fmt: skip

    def _check_task(self) -> None:
        require_choice("task", self.task, TASKS)
        require(self.members == 1 or self.can_have_members, "several `members` are for networks "
                "that write, and do not feed their output back")  # fmt: skip
        fewest = 0 if self.writes else 1 if self.multiple or self.task == "pairs" else 2
        require_between("classes", self.classes, fewest, MAX_SIZE)
        require(self.task == "label" or not self.multiple, "`multiple` is for the task label")
        require_between("n-gram buckets", self.ngram_buckets, 0, MAX_BUCKETS)
        require(
            self.task == "label" or not self.ngram_buckets,
            "`ngram_buckets` are for the task label",
        )
        require((self.task == "pairs") == bool(self.decoder), "the task pairs takes a `decoder`")
        if self.decoder:
            require_choice("decoder", self.decoder, DECODERS)
            require(self.initial_state != "random", "the task pairs takes the `initial_state` "
                    "zeros or learned")  # fmt: skip
        fewest = 1 if self.task == "pairs" else 0
        require_between("symbols", self.symbols, fewest, self.classes if fewest else 0)
        require(
            not (self._cell.output_block is not None and self.classes),
            f"{self.cell} only writes, and without labels: choose another `cell`",
        )

    @property
    def _cell(self) -> Any:
        return CELLS[self.cell, self.activation]

    @property
    def hidden_sizes(self) -> range:
        """Units that layers of the cell can have with such a vocabulary."""
        return _hidden_sizes(self.cell, self._characters)

    @property
    def _characters(self) -> int:
        """Of what may choose a matrix; of pairs, labels and symbols too."""
        return self.vocabulary_size + (self.classes if self.task == "pairs" else 0)

    def with_size(self, size: int) -> ModelConfig:
        """The same with the hidden size that is nearest to ``size`` among its ``hidden_sizes``."""
        return replace(self, hidden_size=_nearest(size, self.hidden_sizes))

    @property
    def can_have_members(self) -> bool:
        """Whether several such networks can write together."""
        return self.writes and self._cell.output_block is None

    @property
    def radius(self) -> float:
        """The spectral radius of a recurrent matrix that is not trained."""
        return SPECTRAL_RADIUS if self.spectral_radius is None else self.spectral_radius

    @property
    def leakage(self) -> float:
        """How far units that are not trained go in a step to what they read."""
        return 1.0 if self.leak is None else self.leak

    @property
    def answers(self) -> bool:
        """Whether it writes what belongs to a text that it has read, symbol by symbol."""
        return self.decoder == "attention"

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
        cls,
        size: int,
        *,
        layers: int | None = None,
        members: int | None = None,
        embedding_size: int | None = None,
        **shape: Any,
    ) -> ModelConfig:
        """A shape in which, without an ``embedding_size``, many characters are embedded.

        Without ``layers`` or a ``hidden_size`` these are such as the cell can have; without
        ``members`` it is one network.
        """
        cell = shape.get("cell", cls.cell)
        require_choice("cell", cell, CELL_NAMES)
        if layers is None:
            layers = min(cls.layers, most_layers(cell))
        if "hidden_size" not in shape:
            shape["hidden_size"] = _nearest(cls.hidden_size, _hidden_sizes(cell, size))
        if embedding_size is None:
            embedding_size = 0 if size <= ONE_HOT_VOCABULARY else EMBEDDING_SIZE
        members = cls.members if members is None else members
        shape |= {"layers": layers, "members": members, "embedding_size": embedding_size}
        return cls(size, **shape)

    @property
    def input_size(self) -> int:
        """Columns of the first layer's input matrix."""
        return self.embedding_size or self.vocabulary_size
