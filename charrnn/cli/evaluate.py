"""``charrnn evaluate``: how well a model predicts a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from charrnn.cli.evaluations import evaluation_figures, evaluation_tables
from charrnn.cli.options import (
    json_option,
    model_option,
    precision_option,
    reading_options,
    threads_option,
)
from charrnn.cli.tables import to_json
from charrnn.cli.terminal import print_result
from charrnn.cli.waiting import announced_compilation, shown_reading
from charrnn.text.display import decoded


@click.command()
@click.argument("files", nargs=-1, required=True)
@model_option
@reading_options
@click.option("--adapt", is_flag=True,
              help="Measure again while the model learns from what it has read.")  # fmt: skip
@click.option("--by-position", is_flag=True,
              help="Tell the loss by how many characters of its document stand before a "
                   "character.")  # fmt: skip
@threads_option
@precision_option
@json_option
def evaluate(files: tuple[str, ...], model_path: Path, lines: bool | None, adapt: bool,
             by_position: bool, threads: int, precision: str, as_json: bool,
             **reading: Any) -> None:  # fmt: skip
    """Measure how well a model predicts FILES; - is standard input.

    The loss is the mean over all characters and ends of documents; the known perplexity leaves out
    characters that the model does not know. Of several files each is told too. The model file stays
    as it is, also with --adapt.

    \b
    Examples:
      charrnn evaluate held-out.txt --adapt
      charrnn evaluate chapter1.txt chapter2.txt --by-position
      charrnn evaluate --lines - --json < names.txt
    """
    from charrnn.inference.language_model import load
    from charrnn.storage.summary import reads_lines
    from charrnn.text.corpus import read_corpus
    from charrnn.training.adaptation import evaluate_adapting
    from charrnn.training.evaluation import evaluate_corpus

    with announced_compilation():
        model = load(model_path, threads=threads, precision=precision)
        if lines is None:
            lines = reads_lines(model.training)
        with shown_reading():
            text = read_corpus(files, lines=lines, vocabulary=model.vocabulary, **reading)
        result = evaluate_corpus(model.network, text)
        adapted = evaluate_corpus(model.network, text, evaluate_adapting) if adapt else None
    names = [decoded(file) for file in files]
    figures = evaluation_figures(names, result, adapted, by_position=by_position)
    print_result(to_json(figures) if as_json else evaluation_tables(figures))
