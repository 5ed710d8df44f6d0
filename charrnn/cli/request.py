"""What a user asks of a run: options of the network, of the text and of training, kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from charrnn.cli.options import SHAPE, TASK_SHAPE, given_options
from charrnn.config import TextConfig


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
