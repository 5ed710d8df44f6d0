"""``charrnn info``: what a model is made of."""

from __future__ import annotations

from pathlib import Path

import click

from charrnn.cli.options import (
    json_option,
    model_option,
)
from charrnn.cli.tables import figures_table, to_json
from charrnn.cli.terminal import print_result


@click.command()
@model_option
@json_option
def info(model_path: Path, as_json: bool) -> None:
    """Say what a model is made of and where it came from.

    \b
    Examples:
      charrnn info
      charrnn info --model names.safetensors --json | jq .weights
    """
    from charrnn.storage.checkpoint import load_model
    from charrnn.storage.summary import describe

    figures = describe(load_model(model_path))
    print_result(to_json(figures) if as_json else figures_table(figures))
