"""The options of how texts are written, and what they are made of."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import click

from charrnn.cli.options import option, options
from charrnn.cli.prompt import unescaped
from charrnn.config import DEFAULT_MIN_P, SamplingConfig
from charrnn.errors import UsageError
from charrnn.text.display import decoded


class Length(click.ParamType):
    """A number of characters, or inf."""

    name = "integer"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if str(value) in ("inf", str(math.inf)):
            return math.inf
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number, or inf", param, ctx)


choice_options = options(
    option(SamplingConfig, "--length", Length(),
           "Most characters of a text, the prompt not counted; inf: as many as come."),
    click.option("--until", multiple=True,
                 help="A text ends once it ends with this; may be given several times."),
    click.option("--drop-until", is_flag=True, help="Do not print the --until that ended a text."),
    click.option("--ignore-end", is_flag=True, help="No text ends where the model would end it."),
    click.option("--match", help="Only texts that this regular expression matches as a whole, the "
                 "prompt not counted."),
    click.option("--max-copy", type=click.IntRange(min=1),
                 help="Copy no more than so many characters in a row from --corpus."),
    click.option("--corpus", type=click.Path(), multiple=True,
                 help="What --max-copy is about; may be given several times."),
    option(SamplingConfig, "--repetition-penalty", float,
           "Divides the probability of each of the last characters."),
    option(SamplingConfig, "--repetition-window", int, "How many these are."),
    option(SamplingConfig, "--dry", float,
           "What the logit loses of what would make a repeated run longer; 0: nothing."),
    option(SamplingConfig, "--dry-base", float,
           "Times this for each character of the run beyond --dry-length."),
    option(SamplingConfig, "--dry-length", int, "Characters of a run from which on it counts."),
    option(SamplingConfig, "--dry-window", int, "How many characters back runs are looked for."),
    option(SamplingConfig, "--top-k", int, "Only the so many likeliest characters; 0: all."),
    option(SamplingConfig, "--typical", float,
           "Only the most typical that together have this share; 1: all."),
    option(SamplingConfig, "--top-p", float,
           "Only the likeliest that together have this share; 1: all."),
    option(SamplingConfig, "--min-p", float,
           "Only those at least so likely, as a share of the likeliest; 0: all.  [default: "
           f"{DEFAULT_MIN_P:g}, or 0 with any of the other ways of choosing]"),
    option(SamplingConfig, "--temperature", float,
           "0: always the likeliest character; 1: as learned; more: wilder.  [default: 1]"),
    option(SamplingConfig, "--mirostat", float,
           "Bits a character at which surprise is held; 0: it is not."),
    option(SamplingConfig, "--mirostat-rate", float, "How fast that is learned."),
)  # fmt: skip


def read_choices(model: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What ``LanguageModel.author`` takes.

    Raises ``UsageError`` where options do not go together.
    """
    fields = {field.name for field in dataclasses.fields(SamplingConfig)}
    given = {name: value for name, value in options.items() if name in fields}
    given["until"] = tuple(unescaped(decoded(text)) for text in options["until"])
    given["match"] = options["match"] and decoded(options["match"])
    if (options["max_copy"] is None) != (not options["corpus"]):
        raise UsageError("--max-copy and --corpus go together: give both")
    if options["drop_until"] and not options["until"]:
        raise UsageError("--drop-until is about --until: give that too")
    return {"dropped": options["drop_until"], "copies": _copies(model, options), **given}


def _copies(model: Any, options: dict[str, Any]) -> Any:
    if options["max_copy"] is None:
        return None
    from charrnn.inference.choosing import copies_of
    from charrnn.storage.summary import reads_lines
    from charrnn.text.corpus import read_corpus

    # As the model read its own: else what it copies would look like something else.
    translated = model.training.get("text", {}).get("normalize_newlines", False)
    corpus = read_corpus(options["corpus"], lines=False, vocabulary=model.vocabulary,
                         encoding=options["encoding"],
                         normalize_newlines=reads_lines(model.training) or translated)  # fmt: skip
    return copies_of(corpus.tokens, options["max_copy"])
