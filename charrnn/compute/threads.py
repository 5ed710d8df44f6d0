"""A team of threads that share one piece of compiled work."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait


def available_threads() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Team:
    """Runs one function on several threads at once; kernels release the GIL.

    The caller is one of them. Threads sleep between calls: a start costs some 30 µs, so the work
    is cut into few large regions.
    """

    def __init__(self, threads: int) -> None:
        self.threads = max(1, min(threads, available_threads()))
        self._helpers = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None

    def run(
        self, work: Callable[[int, int], None], give_up: Callable[[], None] = lambda: None
    ) -> None:
        """Call ``work(part, parts)`` for every part; return when all have finished.

        ``give_up()`` is called where a part fails or is interrupted: the others may wait for it.
        """
        if self._helpers is None:
            work(0, 1)
            return

        def part(number: int) -> None:
            try:
                work(number, self.threads)
            except BaseException:
                give_up()
                raise

        others: list[Future] = []
        try:
            others.extend(self._helpers.submit(part, p) for p in range(1, self.threads))
            part(0)
        except BaseException:
            give_up()  # an interruption may come before the caller's own part has begun
            raise
        finally:
            wait(others)
        for other in others:
            other.result()


def share(count: int, part: int, parts: int) -> tuple[int, int]:
    """First and one past the last of ``count`` items that ``part`` of ``parts`` takes."""
    return count * part // parts, count * (part + 1) // parts
