"""The processes that ``mpiexec`` has started, which tell one another by MPI.

To import this starts MPI: it needs mpi4py and an MPI library.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from mpi4py import MPI

from charrnn.compute.threads import share, share_processors
from charrnn.errors import CharrnnError, TrainingError
from charrnn.training.processes import Processes

T = TypeVar("T")

#: Seconds that a process which fails waits for the others to fail with it.
_PATIENCE = 3.0

#: Seconds that what a process says takes to those who started it, which an end of all cuts off.
_GRACE = 0.5

#: Seconds in which a process looks for a message whenever the processor has nothing else to do, and
#: seconds between two looks after that: large messages come in pieces, each of which is looked for.
_EAGER, _PAUSE = 0.02, 2e-4


@contextlib.contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except MPI.Exception as error:
        raise TrainingError(
            f"other processes cannot be reached ({error.Get_error_string()}): see that their "
            "machines work, and go on with the run"
        ) from error


def _wait(request: MPI.Request) -> None:
    """Wait for messages, and leave the processor to others meanwhile, which MPI itself does not."""
    patient = time.monotonic() + _EAGER
    while not request.Test():
        if time.monotonic() < patient and hasattr(os, "sched_yield"):
            os.sched_yield()
        else:
            time.sleep(_PAUSE)


class Ranks(Processes):
    """All processes of ``MPI.COMM_WORLD``. Raises ``TrainingError`` where one is out of reach.

    Gradients are not given to ``Allreduce``: the order of its sums is the library's, and may depend
    on where processes run. Each process gets one share of all of them, adds it up in the order of
    the processes, and sends it to all: as many bytes as the best of those algorithms sends.
    """

    def __init__(self) -> None:
        self._world = MPI.COMM_WORLD
        self._failures = self._world.Dup()  # where nothing waits but what has failed
        self.rank, self.count = self._world.rank, self._world.size
        self._parts = np.empty((0, 0))  # kept: the next gradients are as large
        share_processors(self._neighbours())
        sys.excepthook = self._end_all

    def _neighbours(self) -> int:
        """Processes, this one included, that run on the same processors of this machine."""
        machine = self._world.Split_type(MPI.COMM_TYPE_SHARED)
        own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        return machine.allgather(own).count(own)

    def _end_all(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """End all processes for an error that nobody expected: they would wait for this one."""
        sys.__excepthook__(kind, error, trace)
        sys.stderr.flush()
        self.abort(1)

    def exchange(self, gradients: np.ndarray, figures: np.ndarray) -> np.ndarray:
        """As ``Processes.exchange``; the figures travel while the gradients do."""
        table = np.empty((self.count, figures.size), figures.dtype)
        with _errors_told():
            told = self._world.Iallgather(figures, table)
            self._add_up(gradients)
            _wait(told)
        return table

    def sum(self, values: np.ndarray) -> np.ndarray:
        """As ``Processes.sum``; ``values`` are contiguous."""
        with _errors_told():
            self._add_up(values.reshape(-1))
        return values

    def _add_up(self, values: np.ndarray) -> None:
        """Make the flat ``values`` the sum of all processes'."""
        bounds = [share(values.size, rank, self.count) for rank in range(self.count)]
        firsts, counts = [a for a, _ in bounds], [b - a for a, b in bounds]
        first, last = bounds[self.rank]
        shape = self.count, last - first
        if (self._parts.shape, self._parts.dtype) != (shape, values.dtype):
            self._parts = np.empty(shape, values.dtype)
        of_each = [last - first] * self.count
        places = [rank * (last - first) for rank in range(self.count)]
        _wait(self._world.Ialltoallv([values, (counts, firsts)], [self._parts, (of_each, places)]))
        np.add.reduce(self._parts, axis=0, out=values[first:last])
        _wait(self._world.Iallgatherv(MPI.IN_PLACE, [values, (counts, firsts)]))

    def all(self, value: T) -> list[T]:
        """As ``Processes.all``, for values that can be pickled."""
        with _errors_told():
            return list(self._world.allgather(value))

    def first(self, make: Callable[[], T]) -> T:
        """As ``Processes.first``, for values that can be pickled."""
        made: Any = None
        if self.rank == 0:
            try:
                made = make()
            except CharrnnError as error:
                made = error
        with _errors_told():
            made = self._world.bcast(made)
        if isinstance(made, CharrnnError):
            raise made
        return made

    def all_fail(self) -> bool:
        """Whether all others have come here too, or do so soon: all processes may then end."""
        came, until = self._failures.Ibarrier(), time.monotonic() + _PATIENCE
        while not came.Test():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def abort(self, code: int) -> None:
        """End all processes, wherever they are, once what this one has said can have arrived."""
        time.sleep(_GRACE)
        self._world.Abort(code)
