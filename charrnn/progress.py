"""What a user sees of a training run: a bar on a terminal, lines elsewhere, a log file."""

from __future__ import annotations

import json
import math
import sys
import time
from types import TracebackType
from typing import IO, Any

from tqdm import tqdm

from charrnn.errors import CharrnnError
from charrnn.training import Record

#: Seconds between two lines where standard error is no terminal.
_LINE_INTERVAL = 10.0

#: Steps between two records of the log, beside those with a validation.
_LOG_STEPS = 10


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _describe(record: Record, loss: float) -> str:
    left = record.seconds * (1 - record.progress) / record.progress if record.progress else 0
    skipped = f"  {record.skipped} skipped" if record.skipped else ""
    return (
        f"step {record.step:,}  loss {loss:.3f} ({loss / math.log(2):.3f} bits)  "
        f"{record.characters_per_second:,.0f} chars/s  {_clock(left)} left{skipped}"
    )


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
    """Shows the records of a run on standard error, and writes them to ``log`` as JSON lines."""

    def __init__(self, log: IO[str] | None = None) -> None:
        self._log = log
        self._loss = _RunningMean()
        self._last_line = time.monotonic()
        self._logged: list[float] = []
        self._bar = tqdm(
            total=1.0,
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            bar_format="{percentage:3.0f}%|{bar:6}| {desc}",
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
        if self._bar.disable:
            print(message, file=sys.stderr, flush=True)
        else:
            self._bar.write(message, file=sys.stderr)

    def show(self, record: Record) -> None:
        """Take note of a step."""
        text = _describe(record, self._loss.add(record.loss))
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(max(0.0, record.progress - self._bar.n))
        if record.validation_loss is not None:
            best = "  best so far" if record.improved else ""
            self.say(f"{text}  validation {record.validation_loss:.4f}{best}")
            self._last_line = time.monotonic()
        elif self._bar.disable and time.monotonic() - self._last_line > _LINE_INTERVAL:
            self.say(text)
            self._last_line = time.monotonic()
        if record.returned_to is not None:
            self.say(
                f"step {record.step:,}: the loss has risen and stayed high; back to what was "
                f"learned in {record.returned_to:,} steps, at a quarter of the learning rate"
            )
        if self._log:
            self._write_log(record)

    def _write_log(self, record: Record) -> None:
        self._logged.append(record.loss)
        told = record.validation_loss is not None or record.returned_to is not None
        if record.step % _LOG_STEPS and not told:
            return
        values: dict[str, Any] = vars(record) | {"loss": sum(self._logged) / len(self._logged)}
        finite = {
            k: v if not isinstance(v, float) or math.isfinite(v) else None
            for k, v in values.items()
        }
        try:
            print(json.dumps(finite), file=self._log, flush=True)
        except OSError as error:
            raise CharrnnError(f"cannot write the log: {error.strerror}") from error
        self._logged.clear()
