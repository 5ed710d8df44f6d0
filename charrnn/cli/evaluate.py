"""``charrnn evaluate``: how well a model predicts a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from charrnn.cli.options import (
    json_option,
    model_option,
    precision_option,
    reading_options,
    threads_option,
)
from charrnn.cli.tables import figures_table, to_json
from charrnn.cli.terminal import print_result
from charrnn.cli.waiting import announced_compilation, shown_reading


@click.command()
@click.argument("files", nargs=-1, required=True)
@model_option
@reading_options
@click.option("--adapt", is_flag=True,
              help="Measure again while the model learns from what it has read.")  # fmt: skip
@threads_option
@precision_option
@json_option
def evaluate(files: tuple[str, ...], model_path: Path, lines: bool | None, adapt: bool,
             threads: int, precision: str, as_json: bool, **reading: Any) -> None:  # fmt: skip
    """Measure how well a model predicts FILES; - is standard input.

    The loss is the mean over all characters and ends of documents. The model file stays as it is,
    also with --adapt.
    """
    from charrnn.inference.language_model import load
    from charrnn.storage.summary import reads_lines
    from charrnn.text.corpus import read_corpus
    from charrnn.training.adaptation import evaluate_adapting
    from charrnn.training.evaluation import evaluate as measure

    with announced_compilation():
        model = load(model_path, threads=threads, precision=precision)
        if lines is None:
            lines = reads_lines(model.training)
        with shown_reading():
            text = read_corpus(files, lines=lines, vocabulary=model.vocabulary, **reading)
        result = measure(model.network, text.tokens)
        adapted = evaluate_adapting(model.network, text.tokens) if adapt else None
    names = ("nats_per_character", "bits_per_character", "perplexity", "characters", "unknown")
    figures = {name: getattr(result, name) for name in names}
    if adapted:
        figures |= {f"adapted_{name}": getattr(adapted, name) for name in names[:3]}
    print_result(to_json(figures) if as_json else figures_table(figures))
