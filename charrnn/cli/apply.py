"""``charrnn apply``: what a model tells of each line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from charrnn.cli.options import (
    default_model,
    json_option,
    models_option,
    option,
    precision_option,
    threads_option,
)
from charrnn.cli.terminal import Output, say
from charrnn.cli.waiting import announced_compilation
from charrnn.config import ANSWER_BEAMS, MOST_ANSWER_BEAMS, TextConfig
from charrnn.errors import UsageError


@click.command()
@click.argument("files", nargs=-1, metavar="[FILES]...")
@models_option("  Several models of pairs answer together: their probabilities are averaged.")
@click.option("--best", type=click.IntRange(min=1), metavar="N",
              help="Of a model that tells labels, or of pairs: the N likeliest, each with its "
                   "probability.")  # fmt: skip
@click.option("--beams", type=click.IntRange(1, MOST_ANSWER_BEAMS), metavar="N",
              help="Of a model of pairs: beginnings that are followed at once; 1 is fastest.  "
                   f"[default: {ANSWER_BEAMS}, or as many as --best]")  # fmt: skip
@click.option("--terms", type=click.IntRange(min=1), metavar="N",
              help="Of a model that tells labels: the N words without which the label is less "
                   "likely.")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(min=0, min_open=True),
              help="Of a model that tells labels: above 1 for less certain probabilities, below "
                   "for more certain ones.  [default: as found in training]")  # fmt: skip
@option(TextConfig, "--encoding", str, "Encoding of the text.")
@threads_option
@precision_option
@json_option
def apply(files: tuple[str, ...], paths: tuple[Path, ...], best: int | None, beams: int | None,
          terms: int | None, temperature: float | None, encoding: str, threads: int,
          precision: str, as_json: bool) -> None:  # fmt: skip
    """Tell the label of each line, tag, restore or answer it.

    What a model does it has learned: see --task, --restore and --labels of charrnn train. One that
    writes texts by labels tells the label that each line most likely has, by Bayes; where texts
    had several columns of labels, one of each, with commas between them. One of pairs reads INPUT,
    or INPUT<tab>LABEL... where its pairs had labels, and writes the OUTPUT. Without FILES, or for
    -, standard input is read. A line is printed for each line, an empty one for an empty one, as
    soon as no more lines wait.

    \b
    Examples:
      charrnn apply --model sexes.safetensors < names.txt
      charrnn apply --model sentiment.safetensors --best 2 --terms 3 reviews.txt
      charrnn apply --model told.safetensors --best 2 names.txt
      charrnn apply --model tags.safetensors --json < lines.txt | jq -c .spans
      charrnn apply --model sounds.safetensors --best 3 names.txt
    """
    from charrnn.cli.answers import presentation
    from charrnn.inference.applying import apply as answered_blocks
    from charrnn.inference.models import load_together
    from charrnn.inference.transcription import Transcribed

    asked: dict[str, Any] = {"temperature": temperature, "terms": terms, "beams": beams}
    asked = {name: value for name, value in asked.items() if value is not None}
    output, cut = Output(), 0
    with announced_compilation():
        model = load_together(paths or (default_model(),), threads=threads, precision=precision)
        reader, asked = _answering(model, asked, best)
        show = presentation(best, as_json)
        for answers in answered_blocks(reader, files or ("-",), encoding=encoding, **asked):
            output.write("".join(show(answer) + "\n" for answer in answers))
            cut += sum(isinstance(own, Transcribed) and own.cut for own in answers)
    if cut:
        were = "answer was" if cut == 1 else "answers were"
        say(f"{cut:,} {were} cut off after {reader.most:,} symbols, more than twice the longest "
            "that was learned")  # fmt: skip


def _answering(model: Any, asked: dict[str, Any], best: int | None) -> tuple[Any, dict[str, Any]]:
    """What answers with a model, and what it is asked for, which it can answer."""
    from charrnn.inference.attribution import Attributor
    from charrnn.inference.labelling import Labeller
    from charrnn.inference.readers import Reader
    from charrnn.inference.transcription import Transcriber

    if isinstance(model, Transcriber):
        if asked.keys() - {"beams"}:
            raise UsageError("--terms and --temperature are for models that tell labels")
        if best and best > MOST_ANSWER_BEAMS:
            raise UsageError(f"--best of a model of pairs is at most {MOST_ANSWER_BEAMS}")
        beams = asked.get("beams", max(best or 0, ANSWER_BEAMS))
        if best and best > beams:
            raise UsageError(f"--best {best} is more than --beams {beams} can find: give as many "
                             "--beams, or none")  # fmt: skip
        return model, {"beams": beams}
    if "beams" in asked:
        raise UsageError("--beams is for models of pairs")
    if isinstance(model, Reader):
        if not isinstance(model, Labeller) and (asked or best):
            raise UsageError("--best, --terms and --temperature are for models that tell labels")
        return model, asked
    if not model.labels:
        raise UsageError("the model writes texts: use charrnn sample or charrnn score")
    if asked:
        raise UsageError("--terms and --temperature are for models that read: --task label")
    return Attributor(model), asked
