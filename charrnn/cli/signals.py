"""Ctrl-C and SIGTERM during a run: the step at hand is finished first."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None] | None = None) -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM in the list, and call ``stop``; a second one ends at once."""
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        received.append(number)
        if stop:
            stop()
        signal.signal(number, signal.SIG_DFL)

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, note) for number in signals]
    try:
        yield received
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
