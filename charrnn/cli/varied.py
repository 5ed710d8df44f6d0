"""What a comparison varies: options of ``charrnn train``, and the names of the runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from charrnn.cli.options import SHAPE, TASK_SHAPE, as_option, as_value, given_options
from charrnn.config import TrainingConfig
from charrnn.errors import UsageError

#: Most runs of one variant.
_MOST_SEEDS = 1000


class _Seeds(click.ParamType):
    """How many seeds, as a number, or which, as a list."""

    name = "seeds"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | list[int]:
        text = str(value).replace(" ", "")
        if not re.fullmatch(r"\d+(,\d+)*", text):
            self.fail(f"{value!r} is no number of seeds, and no list such as 1,5,9", param, ctx)
        if "," in text:
            return [int(number) for number in text.split(",")]
        if not 1 <= int(text) <= _MOST_SEEDS:
            self.fail(f"{value} is not from 1 to {_MOST_SEEDS:,}", param, ctx)
        return int(text)


vary_option = click.option(
    "--vary", multiple=True, metavar="NAME=VALUE,...",
    help="Train with each of these values of an option of charrnn train, of its network or its "
         "training, such as dropout=0,0.2; given several times, with all combinations.",
)  # fmt: skip
seeds_option = click.option(
    "--seeds", type=_Seeds(), metavar="N|SEED,...",
    help="Train each with N seeds, from --seed on, or with those of a list; the table has medians.",
)  # fmt: skip


def varied_fields(
    context: click.Context, vary: Sequence[str], cells: Sequence[str], seeds: int | list[int] | None
) -> dict[str, list[Any]]:
    """The values that fields are to have: seeds, cells, and what ``vary`` says of options.

    Raises ``UsageError`` and what ``charrnn train`` raises for a value that an option cannot have.
    """
    varied: dict[str, list[Any]] = {}
    if seeds is not None:
        first = context.params["seed"]
        varied["seed"] = seeds if isinstance(seeds, list) else [*range(first, first + seeds)]
    if cells:
        varied["cell"] = list(cells)
    given = given_options(context) - {"seed"}
    for text in vary:
        name, _, values = text.partition("=")
        option = _option(name.strip(), text)
        field = str(option.name)
        if field in varied or field in given:
            raise UsageError(f"{option.opts[0]} is given more than once: give it once, or --vary "
                             "it once")  # fmt: skip
        own = [option.type(value.strip(), option, context) for value in values.split(",")]
        varied = {field: own, **varied} if field == "seed" else {**varied, field: own}
    return varied


def _option(name: str, text: str) -> click.Parameter:
    """The option of ``charrnn train`` that is called so, and can be varied."""
    from charrnn.cli.train import train

    fields = {*SHAPE, *TASK_SHAPE, *TrainingConfig.__dataclass_fields__}
    options = [parameter for parameter in train.params if parameter.name in fields]
    if not name or "=" not in text:
        raise UsageError(f"--vary takes NAME=VALUE,... such as dropout=0,0.2, not {text!r}")
    for option in options:
        if as_option(name) in option.opts:
            return option
    names = ", ".join(option.opts[0].removeprefix("--") for option in options)
    raise UsageError(f"--vary cannot vary {name!r}: name one of {names}")


def parts_of(variant: Mapping[str, Any]) -> list[str]:
    """What sets a run apart, in words: its cell, options and values of all else, its seed."""
    last = {field: variant[field] for field in ("seed",) if field in variant}
    others = {field: value for field, value in variant.items() if field != "seed"}
    return [
        value
        if field == "cell"
        else f"{as_option(field).removeprefix('--')} {as_value(field, value)}"
        for field, value in (others | last).items()
    ]


def name_of(variant: Mapping[str, Any]) -> str:
    """What a run is called; of one of which nothing is varied, what it is."""
    return ", ".join(parts_of(variant)) or "the run"


def file_name(variant: Mapping[str, Any]) -> str:
    """The name of the file that its model is kept in."""
    return "-".join(parts_of(variant)).replace(" ", "-") + ".safetensors"
