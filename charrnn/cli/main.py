"""The command ``charrnn``: its subcommands, and errors as messages and exit codes.

Each subcommand has a file of its own, which parses, calls the library and prints. Only that of the
one that is called is imported, and what needs Numba inside it, so that ``info`` answers at once.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import re
import signal
import warnings
from collections.abc import Iterator
from typing import Any

import click

from charrnn import __version__
from charrnn.cli.terminal import output_errors, prepare_streams
from charrnn.cli.together import failed
from charrnn.errors import CharrnnError, UsageError

#: The subcommands, each a function in the module of its name, in the order of the help.
COMMANDS = (
    "train", "plan", "sample", "apply", "evaluate", "score", "next", "recall", "compress",
    "decompress", "export", "report", "info", "compare", "gradients", "neurons", "plot",
    "benchmark", "compile",
)  # fmt: skip


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

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"charrnn.cli.{name}"), name)
        return command

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
        with output_errors(), warnings.catch_warnings():  # click writes the help
            # What overflows comes out as what it is; NumPy's words on it are for programmers.
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    except _HELP_WANTED:
        raise
    except click.ClickException as error:
        raise failed(f"{_message(error)}{_hint(error)}", error.exit_code) from error
    except CharrnnError as error:
        from charrnn.cli.options import with_options

        code = 2 if isinstance(error, UsageError) else 1
        raise failed(with_options(str(error)), code) from error
    except MemoryError as error:
        raise failed(f"not enough memory{_wanted(error)}: try a smaller --batch-size, "
                     "--sequence-length or --hidden-size", 1) from error  # fmt: skip
    except KeyboardInterrupt as error:
        raise failed("", 128 + signal.SIGINT) from error


def _message(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        error = click.NoSuchOption(error.option_name, possibilities=_near(error), ctx=error.ctx)
    return error.format_message().rstrip(".")


def _wanted(error: MemoryError) -> str:
    """How much there was no room for, where NumPy says so."""
    found = re.match(r"Unable to allocate ([\d.]+ \w+) ", str(error))
    return f" for {found[1]} more" if found else ""


def _hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see {context.command_path} --help)" if context else ""


@click.group(cls=_Group, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="charrnn")
def main() -> None:
    """Learn any text character by character, and write new text in its manner."""
