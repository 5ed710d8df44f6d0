"""Whether the memory holds a network and its training, told before they are made.

Systems lend more memory than there is, and end without a word a process that uses it.
"""

from __future__ import annotations

from charrnn.config import BASES, MOMENTS, ModelConfig, TrainingConfig
from charrnn.errors import CharrnnError
from charrnn.network.graph import build
from charrnn.network.parameters import parameter_count
from charrnn.text.room import memory_size
from charrnn.text.running import Lanes
from charrnn.training.processes import ALONE, Processes

#: Arrays of all weights that training has beside the optimizer's moments: themselves, gradients,
#: their average, what each learns faster, what decays, where the run can go back to.
_ARRAYS = 6

#: Values of a step beside the states of a layer, each as many: what it reads, its output, and that
#: one's gradient.
_BESIDE = 3


def check_run(
    config: ModelConfig, training: TrainingConfig, positions: int, processes: Processes = ALONE
) -> None:
    """Raise ``CharrnnError`` where training on so many positions takes more than the memory.

    What is counted is less than what is taken: whatever has room is let through.
    """
    batch, length = Lanes.fit(
        max(positions, 1), training.batch_size or 1, training.sequence_length or 1
    )
    values = sum((len(own.cell.states) + _BESIDE) * own.room for own in build(config).recurrent)
    chunk = batch // processes.count * length * values
    # What is left open is adam or takes more.
    moments = sum(name not in BASES for name in MOMENTS[training.optimizer or "adam"])
    check_room(config, _ARRAYS + moments, 4 * chunk)


def check_room(config: ModelConfig, arrays: int, more: int = 0) -> None:
    """Raise ``CharrnnError`` where so many arrays of all weights do not fit into the memory.

    They are of float32; with ``more`` bytes for the chunks of a run.
    """
    weights, size = parameter_count(config), memory_size()
    needed = 4 * arrays * weights + more
    if needed > size:
        hint = "a smaller `batch_size`, `sequence_length` or" if more > needed // 2 else "a smaller"
        raise CharrnnError(
            f"not enough memory: a network of {weights:,} weights takes at least "
            f"{needed / 2**30:,.1f} GiB here, and there are {size / 2**30:,.1f} GiB; give {hint} "
            "`hidden_size`, or fewer `layers`"
        )
