"""What a user sees of a training run: a bar on a terminal, lines elsewhere, a log file."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from tqdm import tqdm

from charrnn.cli.terminal import STANDARD_ERROR, columns, say
from charrnn.storage.log import Log
from charrnn.training.record import Record

#: Seconds between two lines where standard error is no terminal.
_LINE_INTERVAL = 10.0

#: The bar, as tqdm writes it, and the columns that it takes with the shortest of bars.
_BAR, _BAR_COLUMNS = "{percentage:3.0f}%|{bar}| {desc}", 7 + 6

#: Steps between two records of the log, beside those with a validation.
_LOG_STEPS = 10


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _figures(record: Record, loss: float) -> dict[str, str]:
    """What is told of a step, each with the gap before it, in the order in which it is read."""
    left = record.seconds * (1 - record.progress) / record.progress if record.progress else 0
    figures = {
        "step": f"  step {record.step:,}",
        "loss": f"  loss {loss:.3f}",
        "bits": f" ({loss / math.log(2):.3f} bits)",
        "speed": f"  {record.characters_per_second:,.0f} chars/s",
        "left": f"  {_clock(left)} left",
    }
    if record.skipped:
        figures["skipped"] = f"  {record.skipped} skipped"
    return figures


def _validation(record: Record) -> dict[str, str]:
    """What is told of a validation after the figures of its step."""
    best = "  best so far" if record.improved else ""
    return {"validation": f"  validation {record.validation_loss:.4f}{best}"}


#: What is left out, the first first, beside a bar and in a line that is too long for the terminal.
_LESS_BESIDE_BAR = ("bits", "speed", "skipped", "step", "loss", "left")
_LESS_IN_LINE = ("bits", "speed", "left", "loss", "skipped", "step")


def _fitted(figures: dict[str, str], width: float, less: Sequence[str]) -> str:
    """As many of the figures as fit in so many columns, ``less`` being left out in its order."""
    kept = dict(figures)
    for name in less:
        if len(_line(kept)) <= width:
            break
        kept.pop(name, None)
    return _line(kept)


def _line(figures: dict[str, str]) -> str:
    return "".join(figures.values()).lstrip()


class _RunningMean:
    """Mean of the latest losses, so that a figure does not jump about."""

    def __init__(self) -> None:
        self.value = math.nan

    def add(self, value: float) -> float:
        """Take one more value in; return the mean."""
        if math.isnan(self.value):
            self.value = value
        elif math.isfinite(value):
            self.value += 0.05 * (value - self.value)
        return self.value


class Reporter:
    """Shows the records of a run on standard error, and writes them to a ``log``."""

    def __init__(self, log: Log | None = None) -> None:
        self._log = log
        self._loss = _RunningMean()
        self._last_line = time.monotonic()
        self._logged: list[float] = []
        self._bar = tqdm(
            total=1.0,
            file=STANDARD_ERROR,
            disable=columns() is None,
            bar_format=_BAR,
            leave=False,
        )

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def say(self, message: str) -> None:
        """A line on standard error, above the bar if there is one."""
        with tqdm.external_write_mode(file=STANDARD_ERROR):
            say(message)

    def show(self, record: Record) -> None:
        """Take note of a step."""
        figures = _figures(record, self._loss.add(record.loss))
        width = columns()
        if width is not None:
            self._move_bar(record.progress, figures, width - 1)  # some wrap after the last column
        if record.validation_loss is not None:
            self._say_figures(figures | _validation(record), width)
        elif width is None and time.monotonic() - self._last_line > _LINE_INTERVAL:
            self._say_figures(figures, width)
        if record.returned_to is not None:
            self.say(
                f"step {record.step:,}: the loss has risen and stayed high; back to what was "
                f"learned in {record.returned_to:,} steps, at a quarter of the learning rate"
            )
        if self._log:
            self._write_log(self._log, record)

    def _move_bar(self, progress: float, figures: dict[str, str], width: int) -> None:
        self._bar.ncols = width
        text = _fitted(figures, width - _BAR_COLUMNS, _LESS_BESIDE_BAR)
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(max(0.0, progress - self._bar.n))

    def _say_figures(self, figures: dict[str, str], width: int | None) -> None:
        self.say(_fitted(figures, width or math.inf, _LESS_IN_LINE))
        self._last_line = time.monotonic()

    def _write_log(self, log: Log, record: Record) -> None:
        self._logged.append(record.loss)
        told = record.validation_loss is not None or record.returned_to is not None
        if record.step % _LOG_STEPS and not told:
            return
        values: dict[str, Any] = vars(record) | {"loss": sum(self._logged) / len(self._logged)}
        log.write(values)
        self._logged.clear()


@contextlib.contextmanager
def reporting(remarks: list[str], log: Log | None = None) -> Iterator[Reporter]:
    """What shows a run, begun with the ``remarks``."""
    with Reporter(log) as reporter:
        for remark in remarks:
            reporter.say(remark)
        yield reporter
