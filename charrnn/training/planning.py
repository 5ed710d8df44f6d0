"""Defaults that follow the text and the time, from lanes to validations; sizes are in ``sizes``.

What a run leaves open is chosen here from the number of characters, the extent of the run and the
measured speed of this machine. The rules are fits to a few dozen runs on prose, verse and names:
docs/measurements.md has them.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from charrnn.cells import CELLS
from charrnn.compute.target import FAST_BFLOAT16
from charrnn.config import (
    LEARNING_RATES,
    SEQUENCE_LENGTH,
    WEIGHT_DECAYS,
    ModelConfig,
    Plan,
    TrainingConfig,
)
from charrnn.errors import UsageError
from charrnn.network.network import Network
from charrnn.network.parameters import recurrent_weight_count, rotated
from charrnn.text.dataset import Dataset
from charrnn.text.running import Lanes, RunningText
from charrnn.training.processes import ALONE, Processes
from charrnn.training.speed import characters_a_second

#: Without an extent a run passes so often over the text, but within these limits in characters: a
#: small text is read often enough to learn from it, and a large one does not take days.
EPOCHS, FEWEST_CHARACTERS, MOST_CHARACTERS = 10, 4e6, 20e6

#: Passes after which a run gets no better, and characters beside them, as a small text takes many
#: passes for the same updates.
MOST_EPOCHS, CHARACTERS_BESIDE = 20, 2e5

#: With fewer weights for each character of the text, it takes as many times more passes.
_WEIGHTS_TO_LEARN_BY_HEART = 6.0

#: Of a network that reads: passes after which it gets no better, with as many characters as a small
#: text takes for its updates.
_READING_EPOCHS, _FEWEST_READ = {"label": 8, "tags": 12, "restore": 12}, 6e5

#: The same of pairs, of which a network learns more than a class.
_PAIR_EPOCHS, _PAIR_CHARACTERS_BESIDE = 20, 3e6

#: Passes times weights for each character from which on a network learns by heart what SOAP lets it
#: learn sooner.
_REPETITION_BY_HEART = 25.0

#: Of several members each is held back as if it had read so much less: what they learn by heart is
#: not the same.
_FREEDOM_OF_A_MEMBER = 3.0

#: Dropout for each doubling of passes times weights for each character, from four on.
_DROPOUT_OF_A_DOUBLING = {"write": 0.04, "pairs": 0.015}

#: Dropout of a network that tells classes, at least: what it learns of a text is little.
_READING_DROPOUT = 0.1

#: Of pairs with attention, the share of each symbol that all others get.
_LABEL_SMOOTHING = 0.1

#: Updates that a pass over a text should have, and the lanes that are chosen for it.
_UPDATES_OF_AN_EPOCH, _FEWEST_LANES, MOST_LANES = 32, 32, 64

#: Lanes below which two threads have less to do at once than a tile of the products has rows; also
#: of each of several processes, so that it computes for a while between two exchanges.
_LEAST_LANES = 16

_HIGHEST_DROPOUT = 0.4

#: Validations of a run, and the share of the training's time that they may take. Each that finds a
#: better model costs two files as well, 0.05 to 0.15 s for 2×160 to 2×256.
_FEWEST_VALIDATIONS, _MOST_VALIDATIONS, _VALIDATED = 4, 50, 0.04

#: Positions that a validation reads however short the run, where the text has them: the losses of
#: characters scatter by about 2 nats, so the mean of these is within about 0.02 of all others'.
_FEWEST_POSITIONS = 2**13

#: An evaluation is so many times as fast as training, but for so many characters no faster, as a
#: short text leaves lanes empty.
_EVALUATION_SPEED, _UNFILLED = 2.5, 4096


def training_precision(config: TrainingConfig) -> str:
    """What products multiply in training; left open, bfloat16 where that is faster."""
    if config.precision != "auto":
        return config.precision
    return "bfloat16" if FAST_BFLOAT16 else "float32"


def complete(
    config: TrainingConfig,
    network: Network,
    positions: int,
    held_back: int,
    processes: Processes = ALONE,
) -> Plan:
    """``config`` with nothing left open, for a run with ``network``, prepared for training.

    It learns from so many ``positions``; a validation can read no more than are ``held_back``.
    """
    weights = recurrent_weight_count(network.config) // network.config.members
    batch, length = Lanes.fit(positions, _lanes_of(config, positions), length_of(config))
    shape = network.config
    most = _most_epochs(positions, weights, shape.task) * positions
    chosen: dict[str, Any] = {"batch_size": config.batch_size or batch}
    chosen["sequence_length"] = length_of(config)
    chosen["label_smoothing"] = _LABEL_SMOOTHING if shape.answers else 0.0
    if config.epochs is config.steps is config.budget is None:
        characters = min(characters_read(config, positions, shape.task), most)
        chosen["steps"] = math.ceil(characters / (batch * length))
        config = dataclasses.replace(config, steps=chosen["steps"])
    optimizer = config.optimizer
    if None in (optimizer, config.dropout, config.weight_decay, config.validations,
                config.validation_positions, config.most_epochs):  # fmt: skip
        if config.budget is None:
            characters, early = characters_read(config, positions, shape.task), False
        else:
            characters = config.budget * characters_a_second(network, batch, length, processes)
            characters, early = min(characters, most), characters > most
        repetition = characters / positions * weights / positions
        validated = config.validation_positions
        if validated is None:
            validated = _validation_positions(held_back, characters)
        optimizer = optimizer or _suited_optimizer(repetition, network)
        repetition /= _FREEDOM_OF_A_MEMBER if shape.members > 1 else 1
        chosen |= {
            "optimizer": optimizer,
            "dropout": _dropout(repetition, shape),
            "weight_decay": _weight_decay(repetition, optimizer, shape),
            "validations": _validations(validated, characters),
            "validation_positions": validated,
            "most_epochs": round(most / positions, 1) if early else 0.0,
        }
    assert optimizer
    rate = LEARNING_RATES[optimizer] * _rate_factor(batch, shape.hidden_size)
    chosen["learning_rate"] = round(rate, 5)
    if config.label_smoothing and not shape.answers:
        raise UsageError("`label_smoothing` is for the task pairs with the `decoder` attention")
    given = {n: value for n, value in dataclasses.asdict(config).items() if value is not None}
    return Plan(**{**chosen, **given, "precision": training_precision(config)})


def characters_read(config: TrainingConfig, positions: int, task: str = "write") -> float:
    """Characters that a run without a budget reads."""
    if config.epochs is not None:
        return config.epochs * positions
    if config.steps is not None:
        batch, length = Lanes.fit(positions, _lanes_of(config, positions), length_of(config))
        return float(config.steps * batch * length)
    if task != "write":
        return min(_most_epochs(positions, 0, task) * positions, MOST_CHARACTERS)
    return min(max(EPOCHS * positions, FEWEST_CHARACTERS), MOST_CHARACTERS)


def with_length(config: TrainingConfig, dataset: Dataset) -> TrainingConfig:
    """``config``, where texts are read whole and it does not say so, with a length for them."""
    if config.sequence_length is None and not isinstance(dataset.training, RunningText):
        return dataclasses.replace(config, sequence_length=dataset.training.suited_length)
    return config


def with_lanes(config: TrainingConfig, positions: int, processes: Processes) -> TrainingConfig:
    """``config`` for several processes: with lanes for each, and products that each can make.

    More lanes are fewer updates, so there are no more of them than keep the processes busy. Raises
    ``UsageError`` where there are fewer lanes than processes.
    """
    count = processes.count
    lanes = config.batch_size or max(_lanes_of(config, positions), _LEAST_LANES * count)
    batch, _ = Lanes.fit(positions, lanes, length_of(config))
    if batch < count:
        few = f"{batch} lane{'s' if batch > 1 else ''}"
        raise UsageError(f"{count} processes cannot share {few}: start fewer of them, or give "
                         "a larger `batch_size` or a longer text")  # fmt: skip
    precisions = processes.all(training_precision(config))
    return dataclasses.replace(config, batch_size=batch, precision=max(precisions))


def length_of(config: TrainingConfig) -> int:
    """Steps of a chunk."""
    return config.sequence_length or SEQUENCE_LENGTH


def _lanes_of(config: TrainingConfig, positions: int) -> int:
    """Those that are given, or a power of two: a pass over the text should have enough updates.

    Where sequences are longer there are fewer, so that an update is of no more characters.
    """
    if config.batch_size is not None:
        return config.batch_size
    wanted = positions / (length_of(config) * _UPDATES_OF_AN_EPOCH)
    power = 2 ** round(math.log2(max(wanted, 1)))
    longer = max(1, 2 ** round(math.log2(length_of(config) / SEQUENCE_LENGTH)))
    least, most = (max(lanes // longer, _LEAST_LANES) for lanes in (_FEWEST_LANES, MOST_LANES))
    return min(max(power, least), most)


def _most_epochs(positions: int, weights: int, task: str) -> float:
    """Passes over a text after which a network gets no better, or worse."""
    if task == "pairs":
        return _PAIR_EPOCHS + _PAIR_CHARACTERS_BESIDE / positions
    if task in _READING_EPOCHS:
        return max(_READING_EPOCHS[task], _FEWEST_READ / positions)
    heavy = min(1.0, weights / (_WEIGHTS_TO_LEARN_BY_HEART * positions))
    return (MOST_EPOCHS + CHARACTERS_BESIDE / positions) / heavy


def _rate_factor(batch: int, size: int) -> float:
    """What a learning rate that suits 64 lanes and 128 to 256 units is multiplied by."""
    return math.sqrt(min(1.0, 256 / size) * batch / 64)


def _suited_optimizer(repetition: float, network: Network) -> str:
    """SOAP where it learns more: of a text that is not learned by heart, by what it can rotate."""
    lasting = network.config.writes and repetition < _REPETITION_BY_HEART
    return "soap" if lasting and rotated(network.graph) else "adam"


def _dropout(repetition: float, shape: ModelConfig) -> float:
    """What is left out of a network with so many passes times weights for each character.

    Nothing of units that are logits: without one a character would be likelier than it can be.
    Beside the weight decay below it takes little; that of a network that tells classes is less.
    """
    if CELLS[shape.cell, shape.activation].output_scale is not None:
        return 0.0
    if shape.task in _DROPOUT_OF_A_DOUBLING:
        dropout = _DROPOUT_OF_A_DOUBLING[shape.task] * math.log2(max(repetition / 4, 1))
    else:
        dropout = max(0.08 * math.log2(max(repetition, 1)), _READING_DROPOUT)
    return min(round(dropout, 2), _HIGHEST_DROPOUT)


def _weight_decay(repetition: float, optimizer: str, shape: ModelConfig) -> float:
    """Weight decay for a network with so many passes times weights for each character.

    It is what keeps a network from learning the text by heart; one that reads is told little, and
    with as much of it as one that writes it learns too little.
    """
    decay = WEIGHT_DECAYS[optimizer] * repetition ** (0.35 if shape.writes else 0.2)
    return min(float(f"{decay:.2g}"), 1.0)


def _validation_positions(held_back: int, characters: float) -> int:
    """As many as the time for the fewest validations allows, with a bound below.

    All of the text may take twice that time, so that losses compare. Where it is not all, it is a
    power of two: runs of about the same length are measured on the same text.
    """

    def within(share: float) -> float:
        cost = share * characters / _FEWEST_VALIDATIONS
        return max((cost - _UNFILLED) * _EVALUATION_SPEED, _FEWEST_POSITIONS)

    if held_back <= within(2 * _VALIDATED):
        return held_back
    return 2 ** int(math.log2(within(_VALIDATED)))


def validation_cost(validated: int) -> float:
    """Characters that training reads in the time in which a validation reads so many positions."""
    return min(validated, _UNFILLED + validated / _EVALUATION_SPEED)


def _validations(validated: int, characters: float) -> int:
    """As many as the time for them allows, between bounds; the fewest where there is no text."""
    if not validated:
        return _FEWEST_VALIDATIONS
    times = int(_VALIDATED * characters / validation_cost(validated))
    return min(max(times, _FEWEST_VALIDATIONS), _MOST_VALIDATIONS)
