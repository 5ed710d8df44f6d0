"""The size of a network that suits a text and a run: how many units it has, and how many members.

The rules are fits to a few dozen runs on prose, verse and names: docs/measurements.md has them.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from charrnn.cells import CELLS
from charrnn.config import ModelConfig, TrainingConfig
from charrnn.network.network import Network
from charrnn.network.parameters import recurrent_weight_count, with_weights
from charrnn.training.planning import (
    CHARACTERS_BESIDE,
    MOST_EPOCHS,
    MOST_LANES,
    characters_read,
    length_of,
    training_precision,
)
from charrnn.training.processes import ALONE, Processes
from charrnn.training.speed import characters_a_second

#: Characters that a run reads for each recurrent weight of the network that suits it.
_CHARACTERS_OF_A_WEIGHT = 6.0

#: Of each of several members: passes over the text, with characters beside them, as a small text
#: takes more; recurrent weights for each character of the text, and the fewest. What time is left
#: after that is for more members, up to so many.
_PASSES_OF_A_MEMBER, _READ_BESIDE = 9.0, 7e5
_WEIGHTS_OF_A_MEMBER, _FEWEST_WEIGHTS = 0.8, 4e5
MOST_MEMBERS = 8

#: Of the next member there is to be time for less than half: two are better than one before that.
_ROUNDED_UP = 0.4

#: Recurrent weights that a run without a budget takes however little it reads, and the most for
#: each character read: that costs little, and a larger network learns more.
_CHEAP_WEIGHTS, _MOST_FOR_A_CHARACTER = 8e5, 4.0

#: Most recurrent weights for each character of the text, so that weight decay and dropout can keep
#: them in check.
_WEIGHTS_OF_A_CHARACTER = 24.0

#: Of a network that reads: the fewest passes of a budget, and the most recurrent weights for each
#: class that is to be told and for each character.
_FEWEST_READINGS, _WEIGHTS_OF_A_TARGET, _WEIGHTS_OF_A_READ_CHARACTER = 7, 12.0, 0.02

#: Hidden sizes that are chosen: whole multiples of the last within the first two.
_SMALLEST, _LARGEST, _GRAIN = 32, 1024, 32

#: Rows of a table of n-grams: one for so many characters, within bounds, and the most weights.
_POSITIONS_OF_A_BUCKET, _FEWEST_BUCKETS, _MOST_BUCKETS, _MOST_IN_BUCKETS = 4, 2**12, 2**18, 2**22

#: Units of the network that is measured where the size is still open: large enough to be typical.
_MEASURED_SIZE = 128


def suited_shape(
    shape: ModelConfig,
    config: TrainingConfig,
    positions: int,
    targets: int = 0,
    processes: Processes = ALONE,
    *,
    most_members: int = 1,
) -> ModelConfig:
    """``shape`` with the hidden size that suits a run on a text of so many ``positions``.

    With ``most_members`` above 1 it gets as many of them as suit the run too. ``targets`` is how
    many classes a network that reads is told. For a budget the speed of the machine is measured,
    and of the ``processes`` together, which takes a fraction of a second.
    """
    each_reads, each_has = _of_a_member(positions)
    if config.budget is None:
        weights = _weights_for(characters_read(config, positions, shape.task))
        largest = recurrent_weight_count(shape.with_size(_LARGEST))
        shape = _with_members(shape, min(weights, largest) / each_has, most_members)
    else:
        products = config.budget * _multiply_adds_a_second(shape, config, processes)
        shape = _with_members(shape, products / (each_reads * each_has), most_members)
        weights = _weights_in(products, shape, positions)
    weights = min(weights, shape.members * _most_weights(shape, positions, targets))
    size = with_weights(shape, round(weights), recurrent_weight_count).hidden_size
    return shape.with_size(min(max(_GRAIN * round(size / _GRAIN), _SMALLEST), _LARGEST))


def _of_a_member(positions: int) -> tuple[float, float]:
    """Characters that each of several members reads, and recurrent weights that it has."""
    read = _PASSES_OF_A_MEMBER * positions + _READ_BESIDE
    return read, max(_WEIGHTS_OF_A_MEMBER * positions, _FEWEST_WEIGHTS)


def _with_members(shape: ModelConfig, count: float, most: int) -> ModelConfig:
    """``shape`` with about so many members, where it may have more than one.

    Of weights of which each character chooses some the time says nothing: it stays as it is.
    """
    if most == 1 or CELLS[shape.cell, shape.activation].by_character:
        return shape
    return dataclasses.replace(shape, members=min(max(round(count + _ROUNDED_UP), 1), most))


def _weights_for(read: float) -> float:
    """Recurrent weights, of all members, for a run that reads so many characters."""
    cheap = min(_CHEAP_WEIGHTS, _MOST_FOR_A_CHARACTER * read)
    return max(read / _CHARACTERS_OF_A_WEIGHT, cheap)


def _weights_in(products: float, shape: ModelConfig, positions: int) -> float:
    """The same for a run in which all weights together make so many products with characters."""
    read, weights = _of_a_member(positions)
    characters_of_a_weight = _CHARACTERS_OF_A_WEIGHT if shape.members == 1 else read / weights
    # What time is left after the passes of use, larger networks make use of.
    useful = MOST_EPOCHS * positions + CHARACTERS_BESIDE
    wanted = max(math.sqrt(products * shape.members / characters_of_a_weight), products / useful)
    if shape.writes:
        return wanted
    return min(wanted, products / (_FEWEST_READINGS * positions))


def suited_buckets(positions: int, classes: int) -> int:
    """Rows of a table of n-grams for a text of so many ``positions``: a power of two."""
    most = _MOST_IN_BUCKETS // max(classes, 1)
    rows = min(max(positions // _POSITIONS_OF_A_BUCKET, _FEWEST_BUCKETS), _MOST_BUCKETS, most)
    return 2 ** int(math.log2(rows))


def fills_the_text(shape: ModelConfig, positions: int, targets: int = 0) -> bool:
    """Whether a network has about as many weights as a text of so many ``positions`` bears."""
    weights = recurrent_weight_count(shape) / shape.members
    return weights > 0.8 * _most_weights(shape, positions, targets)


def _most_weights(shape: ModelConfig, positions: int, targets: int) -> float:
    """Recurrent weights, of a member, that weight decay and dropout can keep in check."""
    if shape.writes:
        return _WEIGHTS_OF_A_CHARACTER * positions
    return _WEIGHTS_OF_A_TARGET * targets + _WEIGHTS_OF_A_READ_CHARACTER * positions


def _multiply_adds_a_second(
    shape: ModelConfig, config: TrainingConfig, processes: Processes
) -> float:
    """Recurrent weights times characters a second, as a network of this kind is trained here."""
    measured = shape.with_size(_MEASURED_SIZE)
    network = Network(measured, threads=config.threads, precision=training_precision(config))
    network.initialize(rng=np.random.default_rng(0))
    network.prepare_training()
    batch = config.batch_size or MOST_LANES
    speed = characters_a_second(network, batch, length_of(config), processes)
    return recurrent_weight_count(measured) * speed
