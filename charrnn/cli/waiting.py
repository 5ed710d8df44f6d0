"""What a user sees while he waits: how much of a text has been read, how many kernels are compiled.

On a terminal that is a line which is rewritten in place and gone at the end, below all others.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from charrnn.cli.signals import PutOff
from charrnn.cli.terminal import STANDARD_ERROR, columns, say
from charrnn.text.sources import watched_reading

#: Seconds of work of which nothing is said.
_UNSAID = 2.0

#: Seconds between two words of it, on a terminal and elsewhere.
_TERMINAL_INTERVAL, _LINE_INTERVAL = 0.1, 10.0


class _Status:
    """A line on standard error that says how far something is; elsewhere each time a new one."""

    def __init__(self) -> None:
        self.rewritten = columns() is not None
        self._line: Any = None

    def show(self, text: str) -> None:
        """Say this instead of what was said before."""
        from tqdm import tqdm

        if not self.rewritten:
            say(text)
            return
        if self._line is None:
            self._line = tqdm(bar_format="{desc}", file=STANDARD_ERROR, leave=False)
        self._line.set_description_str(text)

    def hide(self) -> None:
        """Leave nothing of it on a terminal."""
        if self._line is not None:
            self._line.close()
            self._line = None


def _say_above(message: str) -> None:
    """A line on standard error, above what is rewritten there."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=STANDARD_ERROR):
        say(message)


@contextlib.contextmanager
def shown_progress(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Gives what is to be told how much of how much is done; it says so, after a moment."""
    status = _Status()
    interval = _TERMINAL_INTERVAL if status.rewritten else _LINE_INTERVAL
    due = time.monotonic() + _UNSAID

    def show(done: int, total: int | None) -> None:
        nonlocal due
        if total and done >= total:
            status.hide()
        elif time.monotonic() >= due:
            share = f"{done / total:.0%}" if total else f"{done / 1e6:,.1f} MB so far"
            status.show(f"{what}: {share}")
            due = time.monotonic() + interval

    try:
        yield show
    finally:
        status.hide()


@contextlib.contextmanager
def shown_reading() -> Iterator[None]:
    """Say in the block how much of the texts has been read, if that takes more than a moment."""
    with shown_progress("reading the text") as show, watched_reading(show):
        yield


#: Kernels that the first training run compiles, or the first sample; some commands need fewer.
_USUAL_KERNELS = 60


@contextlib.contextmanager
def announced_compilation() -> Iterator[Callable[[], int]]:
    """Tell the user, once, if the block has to compile, and on a terminal how far that is.

    Gives what tells how many kernels have been compiled.
    """
    from charrnn.compute.cache import announce_compilation, compilation_notice

    status, announced, done, put_off = _Status(), False, 0, PutOff()

    def show(compiled: int, seconds: float, busy: bool) -> None:
        nonlocal announced, done
        done = compiled
        put_off.begin()
        if not announced:
            _say_above(compilation_notice())
            announced = True
        if not busy:
            status.hide()
            put_off.end()
        elif status.rewritten:
            usual = f" of about {_USUAL_KERNELS}" if compiled <= _USUAL_KERNELS else ""
            status.show(f"kernels compiled: {compiled}{usual}, {seconds:.0f} s")

    try:
        with announce_compilation(show):
            yield lambda: done
    finally:
        status.hide()
