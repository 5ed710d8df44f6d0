"""A run that goes on: with which options, from which files, and how a user is told to."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.cli.options import EXTENT, as_option, as_value
from charrnn.cli.request import Request
from charrnn.cli.terminal import say
from charrnn.config import DECODERS, TrainingConfig
from charrnn.errors import ModelFileError, UsageError
from charrnn.storage.checkpoint import ResumeState, SavedModel, load_finite_model, save_model

if TYPE_CHECKING:
    from charrnn.training.trainer import Trainer

#: Options that may differ from those a run was started with.
_FREE = (*EXTENT, "validations", "patience", "precision", "threads")


def resumed(request: Request, saved: ResumeState) -> Request:
    """The request that the run was started with, and what of its extent is given anew.

    Raises ``UsageError`` where an option is given that was another and may not be.
    """
    values, given = saved.values, request.given
    changes = [
        *_changes(request.shape, values["shape"], given),
        *_changes(request.text, values["origin"]["text"], given),
        *_changes(request.training, values["training"], given - set(_FREE)),
    ]
    if changes:
        raise UsageError(f"the run was started with {', '.join(changes)}: give the same or leave "
                         "it out, or start anew with --force")  # fmt: skip
    new = {name: value for name, value in request.training.items() if name in given}
    training = {**values["training"], **new}
    if extent := given & set(EXTENT):
        training.update((name, None) for name in EXTENT if name not in extent)
        training["most_epochs"] = 0.0  # it is to go on: nothing ends it before its time
    shape = {name: values["shape"][name] for name in request.shape}
    return Request(shape, values["origin"]["text"], training, given)


def _changes(now: dict[str, Any], then: dict[str, Any], given: Set[str]) -> Iterator[str]:
    """Options that are ``given`` with another value than the run was started with."""
    for name, value in now.items():
        before = then[name]
        if name == "decoder" and then["task"] == "pairs":
            before = before or DECODERS[0]
        if name in given and value != before:
            yield f"{as_option(name)} {before} (now {value})"


def go_on(trainer: Trainer, saved: ResumeState, path: Path, request: Request) -> None:
    """Let the trainer take up the saved run of the model at ``path``; say if its extent is another.

    Raises ``UsageError`` where it is another run, or complete, and ``ModelFileError`` where the
    model is not that of the run.
    """
    processes = trainer.processes
    trainer.restore(saved, processes.first(lambda: _best_so_far(saved, path)))
    if trainer.best:  # a run that was killed may not have come to it
        processes.by_first(save_model, path, trainer.best)
    if trainer.complete:
        raise UsageError(f"the run is complete after {trainer.step:,} steps: to go on give more, "
                         f"such as {_more(trainer)}")  # fmt: skip
    if request.given & set(EXTENT):
        say(f"the schedule is made anew for {_extent(trainer.plan)}")


def _more(trainer: Trainer) -> str:
    """The option with which a run that is complete goes on: twice what it had.

    A run that was given less than it has behind it needs four times that, or eight times.
    """
    if trainer.out_of_patience:
        return f"--patience {2 * trainer.plan.patience}"
    return _extent(trainer.plan, 2 ** math.frexp(trainer.progress)[1])


def _extent(config: TrainingConfig, times: int = 1) -> str:
    """The option that gives a run its extent, or so many times as much."""
    name = next(name for name in EXTENT if getattr(config, name) is not None)
    amount = getattr(config, name) * times
    return f"{as_option(name)} {as_value(name, amount)}"


def how_to_go_on(corpus: Sequence[str], processes: int = 1, **options: Any) -> str:
    """The command that takes up a run on ``corpus``, with the options that it does not remember.

    So many ``processes`` may take part, or others.
    """
    words = ["mpiexec", "-n", str(processes)] if processes > 1 else []
    words += ["charrnn", "train"]
    words += [f"./{name}" if name[:1] == "-" != name else name for name in corpus]
    for name, value in options.items():
        words += [] if value is None else [as_option(name), str(value)]
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
