"""Whether ``mpiexec`` has started several processes of the program, to make one run together.

Only the first of them shows how far it is. An error that all have is told once; one that not all
have is told by those that do, and ends the others, which would wait for them for ever.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from click.exceptions import Exit

from charrnn.cli.terminal import STANDARD_ERROR, say
from charrnn.errors import CharrnnError, UsageError

if TYPE_CHECKING:
    from charrnn.training.mpi import Ranks
    from charrnn.training.processes import Processes

#: How many processes there are, as MPICH and its relatives, Open MPI and Slurm tell each of them.
_COUNTS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")

#: What is set beside that where processes are to find one another: not by each start by Slurm.
_MARKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")

#: The number of a process among those on its machine.
_LOCAL_RANKS = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")

#: The processes, once they have found one another.
_ranks: Ranks | None = None


def _number(names: Sequence[str]) -> int:
    """What the environment says under one of the names; 0: nothing."""
    return next((int(os.environ[n]) for n in names if os.environ.get(n, "").isdecimal()), 0)


def together(sources: Sequence[str | None]) -> Processes:
    """The processes that run this command together, or this one alone.

    ``sources`` are the texts that each of them reads. Raises ``UsageError`` where that is standard
    input, and ``CharrnnError`` where MPI does not work.
    """
    from charrnn.training.processes import ALONE

    count = _number(_COUNTS) if any(name in os.environ for name in _MARKS) else 1
    if count < 2:
        return ALONE
    if "-" in sources:
        raise UsageError("several processes cannot read standard input: give the name of a file")
    return _joined(count)


def _joined(count: int) -> Ranks:
    """All processes, found by MPI, of which others than the first are silent."""
    global _ranks
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mpi4py's, of what is told below
            from charrnn.training.mpi import Ranks
    except ImportError as error:
        raise CharrnnError("several processes need mpi4py: pip install 'charrnn[mpi]'") from error
    except RuntimeError as error:
        raise CharrnnError("mpi4py finds no MPI library: install the cluster's, or "
                           "pip install mpich") from error  # fmt: skip
    _ranks = Ranks()
    if _ranks.count != count:
        raise CharrnnError(f"{count} processes were started, and MPI finds {_ranks.count}: start "
                           "them with the mpiexec of the MPI that mpi4py uses")  # fmt: skip
    STANDARD_ERROR.silent = _ranks.rank > 0
    return _ranks


def failed(message: str, code: int) -> Exit:
    """Say what ended the command, if anything is to be said; what to raise for its exit code."""
    if _ranks is None:
        if not _number(_LOCAL_RANKS):  # each process of a machine has the same error
            _say(message)
    elif _ranks.all_fail():
        _say(message)
    else:
        STANDARD_ERROR.silent = False
        _say(f"{message} (process {_ranks.rank + 1} of {_ranks.count}, which ends the others)")
        _ranks.abort(code)
    return Exit(code)


def _say(message: str) -> None:
    if message:
        say(f"Error: {message}")
