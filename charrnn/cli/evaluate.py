"""``charrnn evaluate``: how well a model predicts a text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from charrnn.cli.evaluations import assessment_tables, evaluation_figures, evaluation_tables
from charrnn.cli.options import (
    default_model,
    json_option,
    models_option,
    precision_option,
    reading_options,
    threads_option,
)
from charrnn.cli.tables import to_json
from charrnn.cli.terminal import print_result, say
from charrnn.cli.waiting import announced_compilation, shown_reading
from charrnn.errors import UsageError
from charrnn.text.display import decoded

if TYPE_CHECKING:
    from charrnn.inference.language_model import LanguageModel
    from charrnn.inference.readers import Reader

#: Figures, and what makes a table of them.
_Shown: TypeAlias = "tuple[dict[str, Any], Callable[[dict[str, Any]], str]]"


@click.command()
@click.argument("files", nargs=-1, required=True)
@models_option("  Several models of pairs answer together: their probabilities are averaged.")
@reading_options
@click.option("--adapt", is_flag=True,
              help="Measure again while the model learns from what it has read.")  # fmt: skip
@click.option("--by-position", is_flag=True,
              help="Tell the loss by how many characters of its document stand before a "
                   "character.")  # fmt: skip
@threads_option
@precision_option
@json_option
def evaluate(files: tuple[str, ...], paths: tuple[Path, ...], lines: bool | None, adapt: bool,
             by_position: bool, threads: int, precision: str, as_json: bool,
             **reading: Any) -> None:  # fmt: skip
    """Measure how well a model predicts FILES; - is standard input.

    The loss is the mean over all characters and ends of documents; the known perplexity leaves out
    characters that the model does not know. Of several files each is told too. The model file stays
    as it is, also with --adapt.

    A model that was trained by labels is told them: those of columns from lines TEXT<tab>LABEL, or
    the name of each file, if it is a label.

    For a model that reads, FILES are like those that it was trained on, and what it tells is
    compared with what they say: accuracy and F1 of labels, F1 of tags, the error rate of words in
    restored texts, the share of outputs of pairs that are wrong. Lines of one INPUT say which
    OUTPUTs are right.

    \b
    Examples:
      charrnn evaluate held-out.txt --adapt
      charrnn evaluate chapter1.txt chapter2.txt --by-position
      charrnn evaluate --lines - --json < names.txt
      charrnn evaluate --model sexes.safetensors sexes-test.tsv
    """
    from charrnn.inference.models import load_together
    from charrnn.inference.readers import Reader

    with announced_compilation():
        model = load_together(paths or (default_model(),), threads=threads, precision=precision)
        if isinstance(model, Reader):
            if lines is not None or adapt or by_position:
                raise UsageError("--lines, --adapt and --by-position are for models that write")
            figures, table = _assess(model, files, reading["encoding"])
        else:
            figures, table = _measure(
                model, files, lines, reading, adapt=adapt, by_position=by_position
            )
    print_result(to_json(figures) if as_json else table(figures))


def _assess(model: Reader, files: tuple[str, ...], encoding: str) -> _Shown:
    """Figures of a model that reads, and what shows them."""
    from charrnn.inference.assessment import assess

    with shown_reading():
        return assess(model, files, encoding=encoding), assessment_tables


def _measure(
    model: LanguageModel,
    files: tuple[str, ...],
    lines: bool | None,
    reading: dict[str, Any],
    *,
    adapt: bool,
    by_position: bool,
) -> _Shown:
    """Figures of a model that writes, and what shows them."""
    from charrnn.storage.summary import reads_lines
    from charrnn.training.adaptation import evaluate_adapting
    from charrnn.training.evaluation import evaluate_corpus

    if lines is None:
        lines = reads_lines(model.training)
    with shown_reading():
        text, told = read_measured(model, files, lines, reading)
    measure = functools.partial(evaluate_corpus, model.network, text, labelling=told)
    result, adapted = measure(), measure(measure=evaluate_adapting) if adapt else None
    names = [decoded(file) for file in files]
    figures = evaluation_figures(names, result, adapted, by_position=by_position)
    return figures, evaluation_tables


def read_measured(model: Any, files: Sequence[str], lines: bool, reading: dict[str, Any]) -> Any:
    """What is measured, and the labels that the model is told of it, None where it knows none."""
    from charrnn.config import TextConfig
    from charrnn.inference.assessment import read_running
    from charrnn.text.labelled import label_of

    if model.training.get("text", {}).get("labels") == "files":
        for file in files:
            if label_of(file) not in model.labels:
                say(f"{decoded(file)} has the name of no label: it is measured without")
    return read_running(model, files, TextConfig(lines=lines, **reading))
