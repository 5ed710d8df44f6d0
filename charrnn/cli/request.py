"""What a user asks of a run, options of network, text and training kept apart; and that run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import SHAPE, TASK_SHAPE, given_options
from charrnn.cli.waiting import shown_reading
from charrnn.config import TextConfig, TrainingConfig

if TYPE_CHECKING:
    from charrnn.storage.checkpoint import ResumeState
    from charrnn.training.processes import Processes
    from charrnn.training.trainer import Trainer


@dataclass(frozen=True)
class Request:
    """Values by the names of fields, and which options of a command were given at all."""

    shape: dict[str, Any]
    text: dict[str, Any]
    training: dict[str, Any]
    given: frozenset[str]

    @classmethod
    def of(cls, context: click.Context, options: dict[str, Any]) -> Request:
        """The request that the ``options`` of a command are, those of training being the rest."""
        text, shape = text_of(options), (*SHAPE, *TASK_SHAPE)
        return cls(
            shape={name: options[name] for name in shape},
            text=text,
            training={n: v for n, v in options.items() if n not in shape and n not in text},
            given=given_options(context),
        )


def text_of(options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that are of the text; to say what to restore is to give the task."""
    text = {name: options[name] for name in TextConfig.__dataclass_fields__}
    return {**text, "task": "restore"} if text["restore"] and text["task"] == "write" else text


def create_run(
    corpus: Sequence[str],
    request: Request,
    processes: Processes,
    *,
    init_from: str | None = None,
    saved: ResumeState | None = None,
    folder: Path | None = None,
) -> Trainer:
    """The run that is asked for, at its beginning; of one that goes on, with what it knows.

    What of the text finds no room in memory lies in ``folder``. Raises what ``create_trainer``
    does.
    """
    from charrnn.text.room import room_in
    from charrnn.text.vocabulary import Vocabulary
    from charrnn.training.setup import create_trainer

    shape, vocabulary, labels = request.shape, None, ()
    if init_from:  # what is left open is that model's
        shape = {name: value for name, value in shape.items() if name in request.given}
    if saved:
        vocabulary = Vocabulary(saved.values["characters"])
        labels = tuple(saved.values["labels"])
    with shown_reading(), room_in(folder):
        return create_trainer(
            corpus, TextConfig(**request.text), TrainingConfig(**request.training),
            init_from=init_from, vocabulary=vocabulary, labels=labels, processes=processes,
            **shape,
        )  # fmt: skip
