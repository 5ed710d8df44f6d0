"""A team of threads that share one piece of compiled work."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from charrnn.compute.turns import Turns, renewed_after_fork


def available_threads() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Team:
    """Runs one function on several threads at once; kernels release the GIL.

    The caller is one of them. Threads sleep between calls: a start costs some 30 µs, so the work
    is cut into few large regions. Callers take turns: a team does one thing at a time, for two
    whose parts meet (see ``barrier``) could wait for ever for each other's threads.
    """

    def __init__(self, threads: int) -> None:
        self.threads = max(1, min(threads, available_threads()))
        self._turns = Turns()
        self.renew()
        renewed_after_fork.add(self)

    def renew(self) -> None:
        """Have new helpers; they start when they are needed."""
        self._helpers = ThreadPoolExecutor(max(self.threads - 1, 1))

    def run(
        self, work: Callable[[int, int], None], give_up: Callable[[], None] = lambda: None
    ) -> None:
        """Call ``work(part, parts)`` for every part; return when all have finished.

        ``give_up()`` is called where a part fails or is interrupted: the others may wait for it.
        Raises ``UsageError`` in a signal handler that interrupts another run.
        """
        with self._turns.take():
            if self.threads == 1:
                work(0, 1)
            else:
                self._run(work, give_up)

    def _run(self, work: Callable[[int, int], None], give_up: Callable[[], None]) -> None:
        def part(number: int) -> None:
            try:
                work(number, self.threads)
            except BaseException:
                give_up()
                raise

        try:
            others = [self._helpers.submit(part, p) for p in range(1, self.threads)]
            part(0)
            wait(others)
        except BaseException:
            give_up()  # an interruption may come before the caller's own part has begun
            self._dismiss()
            raise
        for other in others:
            other.result()

    def _dismiss(self) -> None:
        """Wait for all that helpers do, also for a part that a signal let nobody know of."""
        helpers = self._helpers
        self.renew()
        helpers.shutdown()


def share(count: int, part: int, parts: int) -> tuple[int, int]:
    """First and one past the last of ``count`` items that ``part`` of ``parts`` takes."""
    return count * part // parts, count * (part + 1) // parts
