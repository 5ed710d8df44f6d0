"""A team of threads that share one piece of compiled work."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeAlias

from charrnn.compute.barrier import abandon, create_barrier, meet
from charrnn.compute.turns import Turns, renewed_after_fork

#: What a thread does of its share: ``part`` of ``parts``.
Work: TypeAlias = Callable[[int, int], None]


#: Processes that share the processors.
_sharing = 1


def share_processors(processes: int) -> None:
    """Take only a share of the processors from now on: so many processes run on them."""
    global _sharing
    _sharing = processes


def available_threads() -> int:
    """Processors that this process may run on, or its share of them."""
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    return max(1, processors // _sharing)


class Team:
    """Runs one function on several threads at once; kernels release the GIL.

    The caller is one of them. Threads sleep between calls: a start costs some 30 µs, so the work
    is cut into few large regions. Callers take turns: a team does one thing at a time, for two
    whose parts meet (see ``barrier``) could wait for ever for each other's threads.
    """

    def __init__(self, threads: int) -> None:
        self.threads = max(1, min(threads, available_threads()))
        self._turns = Turns(last=True)
        self._inboxes: list[SimpleQueue] = []  # of the helpers, once there are any
        renewed_after_fork.add(self)

    def __del__(self) -> None:
        for inbox in self._inboxes:
            inbox.put(None)

    def renew(self) -> None:
        """Have no helpers until they are needed: those there were are not in this process."""
        self._inboxes = []

    def run(self, *phases: Work, give_up: Callable[[], None] = lambda: None) -> None:
        """Call each phase(part, parts) for every part; return when all have finished.

        A phase begins when all parts of the one before have ended. ``give_up()`` is called where a
        part fails or is interrupted: the others may wait for it. Raises ``UsageError`` in a signal
        handler that interrupts another run.
        """
        with self._turns.take():
            if self.threads == 1:
                for phase in phases:
                    phase(0, 1)
            else:
                self._run(phases, give_up)

    def _run(self, phases: Sequence[Work], give_up: Callable[[], None]) -> None:
        results: SimpleQueue[BaseException | None] = SimpleQueue()
        barrier = create_barrier()

        def stop() -> None:
            abandon(barrier)
            give_up()

        def work(part: int) -> None:
            for number, phase in enumerate(phases):
                if number and not meet(barrier, self.threads):
                    return  # another part has failed, and says why
                phase(part, self.threads)

        def help_with(number: int) -> None:
            try:
                work(number)
            except BaseException as error:
                stop()
                results.put(error)
            else:
                results.put(None)

        self._inboxes = self._inboxes or _hired(self.threads - 1)
        try:
            for number, inbox in enumerate(self._inboxes, start=1):
                inbox.put(functools.partial(help_with, number))
            work(0)
            errors = [results.get() for _ in self._inboxes]
        except BaseException:
            stop()  # an interruption may come before the caller's own part has begun
            self._settle()
            raise
        for error in errors:
            if error:
                raise error

    def _settle(self) -> None:
        """Wait until helpers have done whatever they were given before an interruption."""
        settled: SimpleQueue[None] = SimpleQueue()
        for inbox in self._inboxes:
            inbox.put(lambda: settled.put(None))
        for _ in self._inboxes:
            settled.get()


def _hired(count: int) -> list[SimpleQueue]:
    """The inboxes of new helpers.

    They are no pool of ``concurrent.futures``: an exception that a signal handler raises can leave
    its locks locked. These queues have none that Python code could be interrupted with.
    """
    inboxes: list[SimpleQueue] = [SimpleQueue() for _ in range(count)]
    for inbox in inboxes:
        threading.Thread(target=_help, args=(inbox,), daemon=True).start()
    return inboxes


def _help(inbox: SimpleQueue) -> None:
    """Do what is put into the inbox, one after the other, until that is None."""
    while task := inbox.get():
        task()
        del task  # with all that it refers to, such as a model


def share(count: int, part: int, parts: int) -> tuple[int, int]:
    """First and one past the last of ``count`` items that ``part`` of ``parts`` takes."""
    return count * part // parts, count * (part + 1) // parts


def shared(count: int, work: Callable[[int, int], None]) -> Work:
    """Work of which each part is called with the first and one past the last of its items."""
    return lambda part, parts: work(*share(count, part, parts))


def by_one(work: Callable[[], None]) -> Work:
    """Work that one part does alone."""
    return lambda part, parts: None if part else work()
