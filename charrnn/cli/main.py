"""The commands: parse, call one library function, print.

What needs Numba is imported inside the commands, so that ``--help`` and ``info`` answer at once.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.exceptions import Exit

import charrnn.compute.blas  # noqa: F401  (before NumPy is imported)
from charrnn import __version__
from charrnn.cli.options import (
    SHAPE,
    extent_options,
    json_option,
    model_option,
    planned_size_option,
    precision_option,
    reading_options,
    shape_options,
    text_options,
    threads_option,
    training_options,
)
from charrnn.cli.studies import benchmark, compare, gradients
from charrnn.cli.tables import figures_table
from charrnn.cli.terminal import Output, output_errors, prepare_streams, print_result, say
from charrnn.cli.waiting import announced_compilation, shown_reading
from charrnn.config import TextConfig, TrainingConfig
from charrnn.errors import CharrnnError, UsageError
from charrnn.storage.files import check_output, keep_apart, texts
from charrnn.text.display import decoded


def _near(error: click.NoSuchOption) -> list[str]:
    """Of the options that Click would suggest, those that may well have been meant."""
    given = error.option_name.lstrip("-")
    names = {option.lstrip("-"): option for option in error.possibilities or ()}
    close = difflib.get_close_matches(given, names, cutoff=0.75)
    return [
        option
        for name, option in names.items()
        if name in close or any(word.startswith(given) for word in name.split("-"))
    ]


class _Group(click.Group):
    """The one place where errors and interruptions become messages and exit codes."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        prepare_streams()
        with _errors_told():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _errors_told():
            return super().invoke(ctx)


#: What click shows the help for, without a command; its versions before 8.2 do so by themselves.
_HELP_WANTED: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())


@contextlib.contextmanager
def _errors_told() -> Iterator[None]:
    try:
        with output_errors():  # click writes the help
            yield
    except _HELP_WANTED:
        raise
    except click.ClickException as error:
        say(f"Error: {_message(error)}{_hint(error)}")
        raise Exit(error.exit_code) from error
    except CharrnnError as error:
        say(f"Error: {error}")
        raise Exit(2 if isinstance(error, UsageError) else 1) from error
    except MemoryError as error:
        say("Error: not enough memory: try a smaller --batch-size, --sequence-length "
            "or --hidden-size")  # fmt: skip
        raise Exit(1) from error
    except KeyboardInterrupt as error:
        raise Exit(128 + signal.SIGINT) from error


def _message(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        error = click.NoSuchOption(error.option_name, possibilities=_near(error), ctx=error.ctx)
    return error.format_message().rstrip(".")


def _hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see {context.command_path} --help)" if context else ""


@click.group(cls=_Group, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="charrnn")
def main() -> None:
    """Learn any text character by character, and write new text in its manner."""


@main.command()
@click.pass_context
@click.argument("corpus", nargs=-1, required=True)
@model_option
@click.option("--force", is_flag=True, help="Overwrite the model file.")
@click.option(
    "--resume", is_flag=True, help="Go on where the run of this model stopped, with its options."
)
@click.option("--init-from", type=click.Path(), metavar="MODEL",
              help="Start from this model: its shape, its weights, its characters and those that "
                   "are new.")  # fmt: skip
@click.option("--log", "log_path", type=click.Path(path_type=Path),
              help="Write a record of the run to this file, as JSON lines.")  # fmt: skip
@click.option("--sample-every", type=click.IntRange(min=1), metavar="STEPS",
              help="Show what the model writes after every so many steps.")  # fmt: skip
@planned_size_option
@shape_options
@text_options
@extent_options(epochs="  [default: 10, within 4 to 20 million characters]")
@training_options
def train(context: click.Context, corpus: tuple[str, ...], model_path: Path, force: bool,
          resume: bool, init_from: str | None, log_path: Path | None, sample_every: int | None,
          **options: Any) -> None:  # fmt: skip
    """Train a model on the files of CORPUS; - is standard input.

    The model with the lowest loss on the validation text is kept. Ctrl-C ends the run after the
    step at hand; --resume goes on from there, to the same bits as a run that was never stopped.
    More --epochs, --steps or --budget may be given then.
    """
    from charrnn.cli.running import (
        go_on,
        how_to_go_on,
        opened_log,
        refuse_to_overwrite,
        resumed,
        run,
        run_files,
    )
    from charrnn.storage.checkpoint import load_resume, resume_path
    from charrnn.storage.lock import locked
    from charrnn.text.vocabulary import Vocabulary
    from charrnn.training.setup import create_trainer

    if resume and init_from:
        raise UsageError("--resume goes on from the run's own weights: leave --init-from out")
    read = [*texts([*corpus, options["validation"]]), ("the model", init_from)]
    keep_apart(run_files(model_path), read)
    context.with_resource(locked(model_path))
    context.with_resource(announced_compilation())
    default = click.core.ParameterSource.DEFAULT
    explicit = {n for n in context.params if context.get_parameter_source(n) is not default}
    shape = {name: options.pop(name) for name in SHAPE}
    text = {name: options.pop(name) for name in TextConfig.__dataclass_fields__}
    training, saved, vocabulary = options, None, None
    if resume:
        saved = load_resume(resume_path(model_path))
        shape, text, training = resumed(explicit, saved, (shape, text, training))
        vocabulary = Vocabulary(saved.values["characters"])
    else:
        refuse_to_overwrite(model_path, force)
    if init_from:
        shape = {name: value for name, value in shape.items() if name in explicit}
    read += texts([text["validation"]])  # a run that goes on remembers it
    if log_path:
        keep_apart([("the log", log_path)], [*read, *run_files(model_path)])
        check_output(log_path)
    with shown_reading():
        trainer = create_trainer(
            corpus, TextConfig(**text), TrainingConfig(**training),
            init_from=init_from, vocabulary=vocabulary, **shape,
        )  # fmt: skip
    if saved:
        go_on(trainer, saved, model_path, explicit)
    model = model_path if "model_path" in explicit else None
    again = how_to_go_on(corpus, model=model, log=log_path, sample_every=sample_every)
    with opened_log(log_path, trainer.step if saved else None) as log:
        run(trainer, model_path, log, sample_every, again=again)


@main.command()
@model_option
@click.option(
    "--length",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Most characters of a text, the prompt not counted.",
)
@click.option(
    "--temperature",
    type=float,
    default=1.0,
    show_default=True,
    help="0: always the likeliest character; 1: as learned; more: wilder.",
)
@click.option("--prime", help="Text to go on from.")
@click.option(
    "--prime-file",
    type=click.File("r", encoding="utf-8"),
    help="File with text to go on from; - is standard input.",
)
@click.option(
    "--count", type=click.IntRange(min=1), default=1, show_default=True, help="Texts to write."
)
@click.option("--seed", type=click.IntRange(min=0), help="The same seed writes the same text.")
@click.option("--raw", is_flag=True, help="Send control characters to a terminal as they are.")
@threads_option
@precision_option
def sample(model_path: Path, length: int, prime: str | None, prime_file: Any, raw: bool,
           threads: int, precision: str, **options: Any) -> None:  # fmt: skip
    """Write new text.

    A text ends where the model ends a document, or at --length. It begins with the prompt; a
    line end follows it.
    """
    if prime is not None and prime_file is not None:
        raise UsageError("give --prime or --prime-file, not both")
    from charrnn.inference.language_model import load
    from charrnn.storage.summary import reads_lines

    prompt = _read_prime(prime, prime_file)
    output = Output(raw=raw)
    with announced_compilation():
        model = load(model_path, threads=threads, precision=precision)
        if prime_file and reads_lines(model.training):
            prompt = prompt.removesuffix("\n")  # a file ends its line, the model's text goes on
        if unseen := model.vocabulary.unseen(prompt):
            known = frozenset(model.vocabulary.characters)
            shown = ", ".join(_with_other_case(character, known) for character in unseen)
            say(f"Warning: the model does not know {shown}: read as unknown characters")
        for piece in model.texts(length, prime=prompt, **options):
            output.write(piece)


def _read_prime(prime: str | None, file: Any) -> str:
    if file is None:
        return decoded(prime or "")
    try:
        return file.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"the prompt {file.name} is not UTF-8 at byte {error.start}") from error


def _with_other_case(character: str, known: frozenset[str]) -> str:
    """An unknown character, and the same in the other case if that is known."""
    other = character.swapcase()
    return f"{character!r} (it knows {other!r})" if other in known else repr(character)


@main.command()
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
    """Measure how well the model predicts FILES; - is standard input.

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
    print_result(json.dumps(figures) if as_json else figures_table(figures))


@main.command()
@model_option
@json_option
def info(model_path: Path, as_json: bool) -> None:
    """Say what a model is made of and where it came from."""
    from charrnn.storage.checkpoint import load_model
    from charrnn.storage.summary import describe

    figures = describe(load_model(model_path))
    print_result(json.dumps(figures) if as_json else figures_table(figures))


for study in (compare, gradients, benchmark):
    main.add_command(study)
