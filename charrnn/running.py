"""A training run as a command: its options on resume, its log, signals, and what is saved when."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from charrnn.checkpoint import resume_path, save_model, save_resume
from charrnn.compute.cache import COMPILATION_NOTICE, announce_compilation
from charrnn.errors import CharrnnError, ModelFileError, TrainingError, UsageError
from charrnn.options import EXTENT
from charrnn.progress import Reporter
from charrnn.training import Record, Trainer

#: Options that may differ from those a run was started with.
_FREE = (*EXTENT, "threads")


def resumed(explicit: set[str], saved: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The options that the run was started with, and what of its extent was given anew.

    ``explicit`` names those of the ``given`` options that the user gave. Raises ``UsageError``
    where one of them differs and may not.
    """
    stored = {**saved["shape"], **saved["text"], **saved["training"]}
    changed = [n for n in given if n in explicit and n not in _FREE and given[n] != stored[n]]
    if changed:
        differences = ", ".join(f"--{n.replace('_', '-')} {stored[n]}" for n in changed)
        raise UsageError(f"the run was started with {differences}: leave that as it was, "
                         "or start anew with --force")  # fmt: skip
    options = {name: given[name] if name in explicit else stored[name] for name in given}
    if extent := explicit & set(EXTENT):
        options.update((name, None) for name in EXTENT if name not in extent)
        spans = " and ".join(f"--{name} {options[name]:g}" for name in extent)
        click.echo(f"the schedule is made anew for {spans}", err=True)
    return options


def refuse_to_overwrite(path: Path, force: bool, option: str = "--model") -> None:
    """Say before a run, rather than after it, that its model could not be written.

    ``option`` is the one that named it.
    """
    if path.exists() and not force:
        raise ModelFileError(f"{path} is there already: give --force to overwrite it, "
                             f"or {option} with another name")  # fmt: skip
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ModelFileError(f"cannot write {path}: it must be a file in an existing folder")


@contextlib.contextmanager
def opened_log(path: Path | None, resumed_at: int | None) -> Iterator[Any]:
    """The log file, empty; of a run that goes on from a step, with the records up to there."""
    if path is None:
        yield None
        return
    try:
        kept = [] if resumed_at is None else _records_until(resumed_at, path)
        file = path.open("w", encoding="utf-8")
        file.writelines(kept)
    except OSError as error:
        raise CharrnnError(f"cannot write the log {path}: {error.strerror}") from error
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # a record that could not be written has been told of
            file.close()


def _records_until(step: int, path: Path) -> list[str]:
    """The lines of a log up to a step, or up to a line that a killed run left unfinished."""
    kept: list[str] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
            try:
                if json.loads(line)["step"] > step:
                    break
            except (ValueError, TypeError, KeyError):
                break
            kept.append(line)
    return kept


def _steps(trainer: Trainer, path: Path) -> Iterator[Record]:
    """The run's records; if it comes to nothing the message says where the last good model is."""
    try:
        yield from trainer.run()
    except TrainingError as error:
        kept = f"the best model so far is in {path}" if trainer.best else "no model was saved"
        raise TrainingError(f"{error}; {kept}") from error


#: Seconds after which a run is saved at the latest.
_SAVE_INTERVAL = 60.0


def run(trainer: Trainer, path: Path, log: Any) -> None:
    """Train, show it, save what is best; end with the signal's exit code if one came."""
    if not trainer.step:
        resume_path(path).unlink(missing_ok=True)  # of a run that this one replaces
    record, saved_at = None, time.monotonic()
    with stopped_by_signals(trainer.stop) as received, reporting(trainer.remarks, log) as reporter:
        for record in _steps(trainer, path):
            reporter.show(record)
            if record.improved and trainer.best:
                save_model(path, trainer.best)
            if time.monotonic() - saved_at > _SAVE_INTERVAL:
                save_resume(resume_path(path), trainer.capture())
                saved_at = time.monotonic()
    if record is None:
        raise UsageError("the run is complete: give more --epochs, --steps or --budget to go on")
    save_resume(resume_path(path), trainer.capture())
    click.echo(_summary(trainer, path, record), err=True)
    if received:
        raise SystemExit(128 + received[0])


@contextlib.contextmanager
def reporting(remarks: list[str], log: Any = None) -> Iterator[Reporter]:
    """What shows a run: begun with the ``remarks``, and saying so if anything is compiled."""
    with Reporter(log) as reporter:
        for remark in remarks:
            reporter.say(remark)
        with announce_compilation(lambda: reporter.say(COMPILATION_NOTICE)):
            yield reporter


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


def _summary(trainer: Trainer, path: Path, record: Record) -> str:
    if trainer.best is None:
        return "no model was saved: its validation loss was never a number"
    figures = trainer.best.training
    loss, kind = figures["validation_loss"], "validation"
    if loss is None:
        loss, kind = figures["training_loss"], "training"
    return (
        f"saved {path}: {kind} loss {loss:.4f} nats, {loss / math.log(2):.4f} bits per character, "
        f"at step {figures['steps']:,} of {record.step:,}; {record.seconds:.0f} s, "
        f"{record.characters_per_second:,.0f} characters/s"
    )
