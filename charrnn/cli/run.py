"""Making a run: it is shown, what is best is saved, and a signal ends it with its exit code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from charrnn.cli.progress import reporting
from charrnn.cli.remarks import remarks_on
from charrnn.cli.signals import stopped_by_signals
from charrnn.cli.terminal import say
from charrnn.errors import TrainingError
from charrnn.inference.language_model import averaged_model
from charrnn.network.description import predicted
from charrnn.storage.checkpoint import resume_path, save_model, save_resume
from charrnn.storage.log import Log
from charrnn.training.record import Record
from charrnn.training.trainer import Trainer

#: Seconds after which a run is saved at the latest.
_SAVE_INTERVAL = 60.0

#: Characters of a sample that is shown during a run: some lines on a terminal.
_SAMPLE_LENGTH = 200


def run(
    trainer: Trainer, path: Path, log: Log | None, sample_every: int | None = None, *, again: str
) -> None:
    """Train, show it, save what is best; end with the signal's exit code if one came.

    After every ``sample_every`` steps a sample is shown, which does not count in a budget.
    ``again`` says how to go on with the run where a signal ends it.

    A run can be killed at any moment, so the state is saved first, then the model: the best model
    is in its file, or it is the state's. Of several processes only the first writes.
    """

    def save() -> None:
        if log:
            log.sync()  # a run that goes on adds the steps after those that were saved
        processes.by_first(save_resume, resume_path(path), trainer.capture())

    def show_sample() -> None:
        with trainer.extent.paused():
            for line in _sample(trainer).split("\n"):
                reporter.say(line)

    processes = trainer.processes
    if not trainer.step:
        save()  # of this run, not of one it replaces
    improved, saved_at = None, trainer.seconds
    with (
        stopped_by_signals(trainer.stop) as received,
        reporting(remarks_on(trainer), log) as reporter,
    ):
        for record in _steps(trainer, path):
            reporter.show(record)
            if record.improved or record.validation_loss is not None:
                improved = bool(improved or record.improved)
            if record.improved or record.seconds - saved_at >= _SAVE_INTERVAL:
                save()
                saved_at = record.seconds
            if record.improved and trainer.best:
                processes.by_first(save_model, path, trainer.best)
            if sample_every and record.step % sample_every == 0:
                processes.by_first(show_sample)
    save()
    if trainer.best:  # which knows by now how the run went on
        processes.by_first(save_model, path, trainer.best)
    if trainer.out_of_patience:
        say("stopped: the validation loss has not improved in "
            f"{trainer.plan.patience} validations")  # fmt: skip
    elif not trainer.complete:
        say(f"stopped; {again}")
    say(_summary(trainer, path, record, improved))
    if received:
        raise SystemExit(128 + received[0])


def _steps(trainer: Trainer, path: Path) -> Iterator[Record]:
    """The run's records; if it comes to nothing the message says where the last good model is."""
    try:
        yield from trainer.run()
    except TrainingError as error:
        kept = f"the best model so far is in {path}" if trainer.best else "no model was saved"
        raise TrainingError(f"{error}; {kept}") from error


def _sample(trainer: Trainer) -> str:
    """What the network writes as it is, as ``charrnn sample`` does by default.

    The step is the seed, so that the run's own random numbers are not touched. The run remembers
    it.
    """
    # Several, for where a document is short.
    texts = "".join(averaged_model(trainer).texts(_SAMPLE_LENGTH, count=8, seed=trainer.step))
    text = texts[:_SAMPLE_LENGTH].rstrip()
    trainer.history.sampled(trainer.step, text)
    return f"a sample at step {trainer.step:,}:\n{text}\n"


def _summary(trainer: Trainer, path: Path, record: Record, improved: bool | None) -> str:
    """The model in the file, and whether the run has ``improved`` it; None: it was not asked."""
    if trainer.best is None:
        return "no model was saved: its validation loss was never a number"
    figures = trainer.best.training
    nats, kind = figures["validation_loss"], "validation"
    if nats is None:
        nats, kind = figures["training_loss"], "training"
    each = predicted(trainer.network.config)
    loss = f"{kind} loss {nats:.4f} nats, {nats / math.log(2):.4f} bits per {each}"
    speed = f"{record.seconds:.0f} s, {record.characters_per_second:,.0f} characters/s"
    step = f"step {figures['steps']:,}"
    if not improved:
        why = "not validated since it went on" if improved is None else "no better than before"
        return f"{why}: {path} is still that of {step}, {loss}; {speed}"
    return f"saved {path}: {loss}, at {step} of {record.step:,}; {speed}"
