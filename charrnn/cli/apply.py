"""``charrnn apply``: what a model tells of each line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from charrnn.cli.options import (
    json_option,
    model_option,
    option,
    precision_option,
    threads_option,
)
from charrnn.cli.terminal import Output
from charrnn.cli.waiting import announced_compilation
from charrnn.config import TextConfig
from charrnn.errors import UsageError


@click.command()
@click.argument("files", nargs=-1, metavar="[FILES]...")
@model_option
@click.option("--best", type=click.IntRange(min=1), metavar="N",
              help="Of a model that tells labels: the N likeliest, each with its "
                   "probability.")  # fmt: skip
@click.option("--terms", type=click.IntRange(min=1), metavar="N",
              help="Of a model that tells labels: the N words without which the label is less "
                   "likely.")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(min=0, min_open=True),
              help="Of a model that tells labels: what logits are divided by.  [default: as found "
                   "in training]")  # fmt: skip
@option(TextConfig, "--encoding", str, "Encoding of the text.")
@threads_option
@precision_option
@json_option
def apply(files: tuple[str, ...], model_path: Path, best: int | None, terms: int | None,
          temperature: float | None, encoding: str, threads: int, precision: str,
          as_json: bool) -> None:  # fmt: skip
    """Tell the label of each line, tag it or put back what it lacks.

    What a model does it has learned: see --task, --restore and --labels of charrnn train. One that
    writes texts by labels tells which it most likely was, by Bayes; of each column of labels, with
    commas. Without FILES, or for -, it reads standard input. A line is printed for each line, an
    empty one for an empty one, as soon as no more lines wait.

    \b
    Examples:
      charrnn apply --model sexes.safetensors < names.txt
      charrnn apply --model sentiment.safetensors --best 2 --terms 3 reviews.txt
      charrnn apply --model told.safetensors --best 2 names.txt
      charrnn apply --model tags.safetensors --json < lines.txt | jq -c .spans
    """
    from charrnn.cli.answers import presentation
    from charrnn.inference.applying import apply as answered_blocks
    from charrnn.inference.models import load

    asked: dict[str, Any] = {"temperature": temperature, "terms": terms}
    asked = {name: value for name, value in asked.items() if value is not None}
    output = Output()
    with announced_compilation():
        model = load(model_path, threads=threads, precision=precision)
        reader = _answering(model, model_path, asked, best)
        show = presentation(best, as_json)
        for answers in answered_blocks(reader, files or ("-",), encoding=encoding, **asked):
            output.write("".join(show(answer) + "\n" for answer in answers))


def _answering(model: Any, path: Path, asked: dict[str, Any], best: int | None) -> Any:
    """What answers with a model, and can answer what is asked for."""
    from charrnn.inference.attribution import Attributor
    from charrnn.inference.labelling import Labeller
    from charrnn.inference.readers import Reader

    if isinstance(model, Reader):
        if not isinstance(model, Labeller) and (asked or best):
            raise UsageError("--best, --terms and --temperature are for models that tell labels")
        return model
    if not model.labels:
        raise UsageError(f"{path} writes texts: use charrnn sample or charrnn score")
    if asked:
        raise UsageError("--terms and --temperature are for models that read: --task label")
    return Attributor(model)
