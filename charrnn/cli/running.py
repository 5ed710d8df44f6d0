"""A training run as a command: its options on resume, its log, signals, and what is saved when."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from charrnn.cli.options import EXTENT
from charrnn.cli.progress import Reporter
from charrnn.cli.remarks import remarks_on
from charrnn.cli.terminal import say
from charrnn.config import TrainingConfig
from charrnn.errors import CharrnnError, ModelFileError, TrainingError, UsageError
from charrnn.inference.language_model import averaged_model
from charrnn.storage.checkpoint import (
    ResumeState,
    SavedModel,
    load_finite_model,
    resume_path,
    save_model,
    save_resume,
)
from charrnn.storage.files import Named, check_output
from charrnn.storage.lock import lock_path
from charrnn.training.clock import duration
from charrnn.training.trainer import Record, Trainer

#: Options that may differ from those a run was started with.
_FREE = (*EXTENT, "validations", "patience", "precision", "threads")


def resumed(
    explicit: set[str], saved: ResumeState, given: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The options that the run was started with, and what of its extent was given anew.

    They come and go as those of the network's shape, of the text and of training. ``explicit``
    names those that the user gave. Raises ``UsageError`` where one of them differs and may not.
    """
    values = saved.values
    stored = values["shape"], values["origin"]["text"], values["training"]
    pairs = list(zip(given, stored, strict=True))
    if changed := [
        f"--{name.replace('_', '-')} {then[name]} (now {value})"
        for now, then in pairs
        for name, value in now.items()
        if name in explicit and name not in _FREE and value != then[name]
    ]:
        raise UsageError(f"the run was started with {', '.join(changed)}: give the same or leave "
                         "it out, or start anew with --force")  # fmt: skip
    kept = [{n: now[n] if n in explicit else then[n] for n in now} for now, then in pairs]
    training = kept[-1]
    training["most_epochs"] = values["training"]["most_epochs"]
    training["validation_positions"] = values["training"]["validation_positions"]
    if extent := explicit & set(EXTENT):
        training.update((name, None) for name in EXTENT if name not in extent)
        training["most_epochs"] = 0.0  # it is to go on: nothing ends it before its time
    return kept


def go_on(trainer: Trainer, saved: ResumeState, path: Path, explicit: set[str]) -> None:
    """Let the trainer take up the saved run of the model at ``path``; say if its extent is another.

    Raises ``UsageError`` where it is another run, or complete, and ``ModelFileError`` where the
    model is not that of the run.
    """
    trainer.restore(saved, _best_so_far(saved, path))
    if trainer.best:
        save_model(path, trainer.best)  # a run that was killed may not have come to it
    if trainer.complete:
        raise UsageError(f"the run is complete after {trainer.step:,} steps: to go on give more, "
                         f"such as {_more(trainer)}")  # fmt: skip
    if explicit & set(EXTENT):
        say(f"the schedule is made anew for {_extent(trainer.plan)}")


def _more(trainer: Trainer) -> str:
    """The option with which a run that is complete goes on: twice what it had.

    A run that was given less than it has behind it needs four times that, or eight times.
    """
    if trainer.out_of_patience:
        return f"--patience {2 * trainer.plan.patience}"
    progress = trainer.extent.progress(trainer.step)
    return _extent(trainer.plan, 2 ** math.frexp(progress)[1])


def _extent(config: TrainingConfig, times: int = 1) -> str:
    """The option that gives a run its extent, or so many times as much."""
    name = next(name for name in EXTENT if getattr(config, name) is not None)
    amount = getattr(config, name) * times
    return f"--{name} {duration(amount) if name == 'budget' else format(amount, '.10g')}"


def how_to_go_on(corpus: Sequence[str], **options: Any) -> str:
    """The command that takes up a run on ``corpus``, with the options that it does not remember."""
    words = ["charrnn", "train"]
    words += [f"./{name}" if name[:1] == "-" != name else name for name in corpus]
    for name, value in options.items():
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    again = ", with the same text on standard input" if "-" in corpus else ""
    return f"to go on{again}: {shlex.join([*words, '--resume'])}"


def _best_so_far(saved: ResumeState, path: Path) -> SavedModel | None:
    """The best model of the run to go on with, from its file, where ``Trainer.restore`` needs it.

    Raises ``ModelFileError`` where the file holds another model.
    """
    figures = saved.values["best"]
    if figures is None or figures["steps"] == saved.values["step"] or not path.exists():
        return None
    model = load_finite_model(path)
    if model.training != figures:
        raise ModelFileError(f"{path} is not the best model of the run to go on with, that of "
                             f"step {figures['steps']:,}: put that back, or start anew with "
                             "--force")  # fmt: skip
    return model


def run_files(model: Path) -> list[Named]:
    """The files that a run on a model writes, as ``keep_apart`` takes them."""
    return [
        ("the model", model),
        ("the resume file", resume_path(model)),
        ("the lock", lock_path(model)),
    ]


def refuse_to_overwrite(path: Path, force: bool, option: str = "--model") -> None:
    """Say before a run, rather than after it, that its model could not be written.

    ``option`` is the one that named it.
    """
    check_output(path)
    if path.exists() and not force:
        raise ModelFileError(f"{path} is there already: give --force to overwrite it, "
                             f"or {option} with another name")  # fmt: skip


@contextlib.contextmanager
def opened_log(path: Path | None, resumed_at: int | None) -> Iterator[Any]:
    """The log file, empty; of a run that goes on from a step, with the records up to there."""
    if path is None:
        yield None
        return
    try:
        if resumed_at is not None and path.is_file():
            # Cut where it lies: a run killed while it writes the log anew would lose all of it.
            os.truncate(path, _size_until(resumed_at, path))
        file = path.open("w" if resumed_at is None else "a", encoding="utf-8")
    except OSError as error:
        raise CharrnnError(f"cannot write the log {path}: {error.strerror}") from error
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # a record that could not be written has been told of
            file.close()


def _size_until(step: int, path: Path) -> int:
    """Bytes of a log up to a step, or up to a line that a killed run left unfinished."""
    size = 0
    with path.open("rb") as file:
        for line in file:
            try:
                if json.loads(line)["step"] > step or not line.endswith(b"\n"):
                    break
            except (ValueError, TypeError, KeyError):
                break
            size += len(line)
    return size


def _steps(trainer: Trainer, path: Path) -> Iterator[Record]:
    """The run's records; if it comes to nothing the message says where the last good model is."""
    try:
        yield from trainer.run()
    except TrainingError as error:
        kept = f"the best model so far is in {path}" if trainer.best else "no model was saved"
        raise TrainingError(f"{error}; {kept}") from error


#: Seconds after which a run is saved at the latest.
_SAVE_INTERVAL = 60.0


#: Characters of a sample that is shown during a run: some lines on a terminal.
_SAMPLE_LENGTH = 200


def _sample(trainer: Trainer) -> str:
    """What the network writes as it is: at temperature 1, as ``charrnn sample`` does by default.

    The step is the seed, so that the run's own random numbers are not touched.
    """
    # Several, for where a document is short.
    texts = "".join(averaged_model(trainer).texts(_SAMPLE_LENGTH, count=8, seed=trainer.step))
    return f"a sample at step {trainer.step:,}:\n{texts[:_SAMPLE_LENGTH].rstrip()}\n"


def run(
    trainer: Trainer, path: Path, log: Any, sample_every: int | None = None, *, again: str
) -> None:
    """Train, show it, save what is best; end with the signal's exit code if one came.

    After every ``sample_every`` steps a sample is shown, which does not count in a budget.
    ``again`` says how to go on with the run where a signal ends it.

    A run can be killed at any moment, so the state is saved first, then the model: the best model
    is in its file, or it is the state's.
    """
    if not trainer.step:
        save_resume(resume_path(path), trainer.capture())  # of this run, not of one it replaces
    improved, saved_at = False, time.monotonic()
    with (
        stopped_by_signals(trainer.stop) as received,
        reporting(remarks_on(trainer), log) as reporter,
    ):
        for record in _steps(trainer, path):
            reporter.show(record)
            if record.improved or time.monotonic() - saved_at > _SAVE_INTERVAL:
                save_resume(resume_path(path), trainer.capture())
                saved_at = time.monotonic()
            if record.improved and trainer.best:
                save_model(path, trainer.best)
                improved = True
            if sample_every and record.step % sample_every == 0:
                with trainer.extent.paused():
                    for line in _sample(trainer).split("\n"):
                        reporter.say(line)
    save_resume(resume_path(path), trainer.capture())
    if trainer.out_of_patience:
        say("stopped: the validation loss has not improved in "
            f"{trainer.plan.patience} validations")  # fmt: skip
    elif not trainer.complete:
        say(f"stopped; {again}")
    say(_summary(trainer, path, record, improved))
    if received:
        raise SystemExit(128 + received[0])


@contextlib.contextmanager
def reporting(remarks: list[str], log: Any = None) -> Iterator[Reporter]:
    """What shows a run, begun with the ``remarks``."""
    with Reporter(log) as reporter:
        for remark in remarks:
            reporter.say(remark)
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


def _summary(trainer: Trainer, path: Path, record: Record, improved: bool) -> str:
    """The model in the file, and whether it is new: the run may have ``improved`` it or not."""
    if trainer.best is None:
        return "no model was saved: its validation loss was never a number"
    figures = trainer.best.training
    nats, kind = figures["validation_loss"], "validation"
    if nats is None:
        nats, kind = figures["training_loss"], "training"
    loss = f"{kind} loss {nats:.4f} nats, {nats / math.log(2):.4f} bits per character"
    speed = f"{record.seconds:.0f} s, {record.characters_per_second:,.0f} characters/s"
    step = f"step {figures['steps']:,}"
    if not improved:
        return f"no better than before: {path} is still that of {step}, {loss}; {speed}"
    return f"saved {path}: {loss}, at {step} of {record.step:,}; {speed}"
