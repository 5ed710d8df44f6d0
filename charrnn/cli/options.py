"""The options that commands share, with the defaults of the configuration."""

from __future__ import annotations

import dataclasses
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import click

from charrnn.cells import CELL_NAMES, CELLS
from charrnn.config import (
    DECODERS,
    EMBEDDING_SIZE,
    INITIAL_STATES,
    LABELS,
    LEARNING_RATES,
    ONE_HOT_VOCABULARY,
    OPTIMIZERS,
    PRECISIONS,
    RESTORABLE,
    SPECTRAL_RADIUS,
    TASKS,
    ModelConfig,
    SamplingConfig,
    TextConfig,
    TrainingConfig,
)
from charrnn.errors import UsageError
from charrnn.training.clock import duration


class Duration(click.ParamType):
    """A time such as 90, 45s, 3m or 1.5h, in seconds."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if not match:
            self.fail(f"{value!r} is not a time such as 90, 45s, 3m or 1.5h", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


_MODEL, _MODEL_VARIABLE = "model.safetensors", "CHARRNN_MODEL"

model_option = click.option(
    "--model", "model_path", type=click.Path(path_type=Path), default=_MODEL,
    show_default=True, envvar=_MODEL_VARIABLE, show_envvar=True, help="The model file.",
)  # fmt: skip


def models_option(several: str) -> Any:
    """Any number of models; ``several`` says what they are for together."""
    return click.option(
        "--model", "paths", type=click.Path(path_type=Path), multiple=True,
        help=f"A model file; may be given several times.{several}  [env var: {_MODEL_VARIABLE}; "
             f"default: {_MODEL}]",
    )  # fmt: skip


def as_option(field: str) -> str:
    """The option that gives a field of a configuration its value."""
    return f"--{field.replace('_', '-')}"


def as_value(field: str, value: Any) -> str:
    """How a user gives a field that value."""
    if field == "budget":
        return duration(value)
    return format(value, ".10g") if isinstance(value, float) else str(value)


#: What messages of the library name in backticks and the command line has an option for.
_FIELDS = {
    field.name
    for kind in (ModelConfig, TextConfig, TrainingConfig, SamplingConfig)
    for field in dataclasses.fields(kind)
} | {"model", "force", "output", "streams", "adapt", "beams", "rule", "beta"}


def with_options(message: str) -> str:
    """A message of the library with options in place of fields: ``clip_norm`` in backticks."""

    def option(match: re.Match[str]) -> str:
        return as_option(match[1]) if match[1] in _FIELDS else match[0]

    return re.sub(r"`(\w+)`", option, message)


def given_options(context: click.Context) -> frozenset[str]:
    """The names of a command's parameters that were given at all."""
    default = click.core.ParameterSource.DEFAULT
    return frozenset(n for n in context.params if context.get_parameter_source(n) is not default)


def refuse_together(context: click.Context, excluded: dict[str, tuple[str, ...]]) -> None:
    """Raise ``UsageError`` where a parameter was given, and one that it excludes."""
    given = given_options(context)
    names = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for one, others in excluded.items():
        for other in others:
            if one in given and other in given:
                raise UsageError(f"give {names[one]} or {names[other]}, not both")


def default_model() -> Path:
    """The model that ``model_option`` names when it is not given."""
    return Path(os.environ.get(_MODEL_VARIABLE) or _MODEL)


threads_option = click.option(
    "--threads",
    type=int,
    default=0,
    help="Threads to compute on.  [default: all processors]",
)
precision_option = click.option(
    "--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True,
    help="What products multiply: float32 or bfloat16; auto is bfloat16 in training on processors "
         "where that is faster, else float32.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def option(default_of: type, name: str, type_: Any, help_: str, **more: Any) -> Any:
    """An option whose default is that of a configuration's field."""
    field = name.removeprefix("--").replace("-", "_")
    default = getattr(default_of, field)
    return click.option(
        name, type=type_, default=default, show_default=default is not None, help=help_, **more
    )


def options(*options: Any) -> Any:
    """Several options as one decorator, in the order in which ``--help`` shows them."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_CELLS = ", ".join(CELL_NAMES)

#: Columns that help on an option has in 80, however long the names of options are.
_HELP_COLUMNS = 46


def whole_words(text: str) -> str:
    """Help on an option whose lines are broken between words alone, unlike Click's at hyphens."""
    return "\b\n" + textwrap.fill(text, _HELP_COLUMNS, break_on_hyphens=False)


_ACTIVATIONS = tuple(dict.fromkeys(activation for _, activation in CELLS))
_WITH_A_CHOICE = ", ".join(name for name, activation in CELLS if activation != _ACTIVATIONS[0])

activation_option = click.option(
    "--activation", type=click.Choice(_ACTIVATIONS), default=_ACTIVATIONS[0], show_default=True,
    help=f"Activation of the cells without gates ({_WITH_A_CHOICE}).",
)  # fmt: skip


def _named_cells(context: Any, parameter: Any, given: tuple[str, ...]) -> list[str]:
    """The names of cells in lists with commas. Raises ``UsageError`` for one that there is not."""
    names = [name.strip() for text in given for name in text.split(",")]
    for name in names:
        if name not in CELL_NAMES:
            raise UsageError(f"there is no cell {name!r}: choose from {_CELLS}")
    return names


def cells_option(purpose: str) -> Any:
    """Any number of cells, with commas between them or by giving the option again."""
    return click.option(
        "--cells", "--cell", "cells", multiple=True, metavar="CELL,...",
        callback=_named_cells, help=whole_words(f"Any of {_CELLS}{purpose}"),
    )  # fmt: skip


#: Where a text says which size suits it, and where there is none.
planned_size_option = click.option(
    "--hidden-size", type=int,
    help="Units of each layer.  [default: as suits the text and the time]",
)  # fmt: skip
plain_size_option = option(ModelConfig, "--hidden-size", int, "Units of each layer.")

size_options = options(
    click.option("--members", type=int,
                 help="Networks that learn side by side and write together, by the mean of their "
                      "probabilities.  [default: as suits the text and the time; 1 with "
                      "--hidden-size]"),
    click.option("--layers", type=int,
                 help="Recurrent layers, one on top of the other.  "
                      f"[default: {ModelConfig.layers}, or as many as the cell takes]"),
    click.option("--embedding-size", type=int,
                 help="Units that a character becomes; 0: one-hot.  [default: 0 for up to "
                      f"{ONE_HOT_VOCABULARY} characters, else {EMBEDDING_SIZE}]"),
    option(ModelConfig, "--dense-before", int,
           "Feed-forward layers before each recurrent one, of as many units."),
    option(ModelConfig, "--readout-layers", int,
           "Feed-forward layers between the top recurrent layer and the output."),
    option(ModelConfig, "--readout-size", int,
           "Units of each of them; 0: as many as hidden units."),
    option(ModelConfig, "--initial-state", click.Choice(INITIAL_STATES),
           "Before a document; random ones are drawn in training only."),
    click.option("--spectral-radius", type=float,
                 help="Of the recurrent matrix of echo-state, which is not trained: the share of "
                      f"the past that a step leaves.  [default: {SPECTRAL_RADIUS}]"),
    click.option("--leak", type=float,
                 help="With echo-state: how far units go in a step to what they read; less than 1 "
                      "lets them change slowly.  [default: 1]"),
)  # fmt: skip

shape_options = options(
    click.option("--cell", "--cells", "cell", type=click.Choice(CELL_NAMES), metavar="CELL",
                 default="lstm", help=whole_words(f"One of {_CELLS}.  [default: lstm]")),
    activation_option,
    size_options,
)  # fmt: skip

reading_options = options(
    click.option("--lines/--no-lines", default=None,
                 help="Every line is a document of its own.  [default: as the model was trained]"),
    option(TextConfig, "--encoding", str, "Encoding of the text."),
    click.option("--normalize-newlines", is_flag=True, help="Read \\r\\n and \\r as \\n."),
)  # fmt: skip

task_options = options(
    click.option("--task", type=click.Choice([t for t in TASKS if t != "restore"]),
                 default=TASKS[0], show_default=True,
                 help="What is learned: to write texts, to tell the label of each line "
                      "TEXT<tab>LABEL, to find tags as in the lines, <name>Ada</name> writes, or "
                      "to write the OUTPUT of each line INPUT<tab>OUTPUT."),
    option(TextConfig, "--restore", str,
           "Learn to put back what is taken out of the text: any of "
           f"{', '.join(RESTORABLE)}, with commas between them.", metavar="KIND,..."),
    option(TextConfig, "--labels", click.Choice(LABELS),
           "Write texts by labels: those behind each line, TEXT<tab>LABEL<tab>..., or the names "
           "of the files."),
    click.option("--multiple", is_flag=True,
                 help="With --task label: a text has any number of labels, with commas between "
                      "them."),
    click.option("--balance", is_flag=True,
                 help="With --task label: rare labels count as much as others."),
    click.option("--decoder", type=click.Choice(DECODERS),
                 help="With --task pairs: write symbol by symbol with attention to the input, or "
                      "all at once by CTC, where the output follows the input from left to "
                      f"right.  [default: {DECODERS[0]}]"),
    click.option("--target-symbols", is_flag=True,
                 help="With --task pairs: outputs are symbols with spaces between them."),
    click.option("--ngram-buckets", type=int,
                 help="With --task label: rows of a table of what sequences of up to five "
                      "characters say, beside the network; 0: none.  [default: as suits the text]"),
)  # fmt: skip

text_options = options(
    click.option("--lines", is_flag=True,
                 help="Every line is a document of its own, as in a list of names."),
    option(TextConfig, "--min-count", int, "Characters seen less often become unknown."),
    option(TextConfig, "--encoding", str, "Encoding of the text."),
    click.option("--normalize-newlines", is_flag=True, help="Read \\r\\n and \\r as \\n."),
    option(TextConfig, "--validation", click.Path(), "Validate on this file."),
    option(TextConfig, "--validation-fraction", float,
            "Share of the corpus kept for validation: its end, or as many documents."),
)  # fmt: skip


def extent_options(*, epochs: str = "", budget: str = "") -> Any:
    """How long a run is; ``epochs`` or ``budget`` ends that option's help with the default."""
    return options(
        option(TrainingConfig, "--epochs", float,
               f"Stop after so many passes over the text.{epochs}"),
        option(TrainingConfig, "--steps", int, "Stop after so many updates."),
        option(TrainingConfig, "--budget", Duration(),
               f"Stop after a time such as 45s, 3m or 1h.{budget}"),
    )  # fmt: skip


_RATES = ", ".join(f"{rate:g} {name}" for name, rate in LEARNING_RATES.items())

training_options = options(
    option(TrainingConfig, "--batch-size", int,
           "Lanes that read the corpus side by side.  [default: 32 to 64, as suits the text]"),
    option(TrainingConfig, "--sequence-length", int,
            "Characters back through which gradients flow.  [default: 64, or as many as most of "
           "the texts have that are read whole]"),
    option(TrainingConfig, "--optimizer", click.Choice(OPTIMIZERS),
           "How weights are updated.  [default: soap, or adam where a text is read so often that "
           "it is learned by heart]"),
    option(TrainingConfig, "--learning-rate", float,
            f"Highest learning rate.  [default: {_RATES}, less for few lanes and large networks]"),
    option(TrainingConfig, "--warmup-steps", int, "Updates until the learning rate is reached."),
    option(TrainingConfig, "--final-rate", float,
            "Where the learning rate's cosine ends, as a share of the highest."),
    option(TrainingConfig, "--beta1", float, "Adam's first decay; momentum of sgd."),
    option(TrainingConfig, "--beta2", float, "Adam's second decay; rmsprop's."),
    option(TrainingConfig, "--dropout", float,
           "Share of each recurrent layer's units left out in training.  [default: as suits the "
           "network, the text and the time]"),
    option(TrainingConfig, "--weight-decay", float,
           "Share of each weight that an update takes away, times the learning rate.  [default: as "
           "suits the network, the text and the time]"),
    option(TrainingConfig, "--label-smoothing", float,
           "With --task pairs and attention: share of each symbol that all others get in "
           "training.  [default: 0.1]"),
    option(TrainingConfig, "--averaging", float,
           "Decay of the average of the weights that is validated and kept; 0: the weights as "
           "they are."),
    option(TrainingConfig, "--clip-norm", float, "Longest gradient of an update; 0: any."),
    option(TrainingConfig, "--clip-value", float, "Largest element of a gradient; 0: any."),
    option(TrainingConfig, "--validations", int,
           "Times to validate in a run.  [default: 4 to 50, which take about 4% of the time]"),
    option(TrainingConfig, "--patience", int,
            "Stop after so many validations in a row without improvement, of those that the first "
            "lines of a run tell; 0: never."),
    option(TrainingConfig, "--seed", int, "Seed of everything random."),
    threads_option,
    precision_option,
)  # fmt: skip

init_from_option = click.option(
    "--init-from", type=click.Path(), metavar="MODEL",
    help="Start from this model: its shape, its weights, its characters and those that are new.",
)  # fmt: skip

#: All that says what a run is, but for what it starts from.
run_options = options(
    planned_size_option,
    shape_options,
    task_options,
    text_options,
    extent_options(epochs="  [default: 10, within 4 to 20 million characters]"),
    training_options,
)

SIZES = (
    *("members", "layers", "hidden_size", "embedding_size", "dense_before"),
    *("readout_layers", "readout_size", "initial_state", "spectral_radius", "leak"),
)
SHAPE = ("cell", "activation", *SIZES)
TASK_SHAPE = ("ngram_buckets",)
EXTENT = ("epochs", "steps", "budget")
