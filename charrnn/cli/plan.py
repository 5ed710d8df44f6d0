"""``charrnn plan``: what a run would choose, and what it would take."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from charrnn.cli.options import init_from_option, json_option, run_options, with_options
from charrnn.cli.request import Request, create_run
from charrnn.cli.tables import to_json
from charrnn.cli.terminal import print_result, say
from charrnn.cli.together import together
from charrnn.cli.waiting import announced_compilation
from charrnn.text.display import printable
from charrnn.training.clock import duration

if TYPE_CHECKING:
    from charrnn.training.forecast import Forecast
    from charrnn.training.trainer import Trainer

#: Columns of the table, and of its values at most.
_WIDTH, _VALUE = 80, 22


@click.command()
@click.pass_context
@click.argument("corpus", nargs=-1, required=True)
@init_from_option
@run_options
@json_option
def plan(context: click.Context, corpus: tuple[str, ...], init_from: str | None, as_json: bool,
         **options: Any) -> None:  # fmt: skip
    """Tell what a run on the files of CORPUS would choose, and take.

    It takes the options of charrnn train, chooses as that does, and makes updates for about a
    second to see how fast they are; it writes no file. - is standard input.

    \b
    Examples:
      charrnn plan corpus.txt --budget 15m
      charrnn plan names.txt --lines --cell gru --epochs 20
      charrnn plan names.tsv --task label --json | jq .seconds
      mpiexec -n 2 charrnn plan corpus.txt --budget 1h
    """
    request = Request.of(context, options)
    processes = together([*corpus, request.text["validation"]])
    context.with_resource(announced_compilation())
    trainer = create_run(corpus, request, processes, init_from=init_from)

    from charrnn.cli.remarks import warnings_on
    from charrnn.training.forecast import forecast

    warnings = list(warnings_on(trainer))  # before a step is made
    expected = forecast(trainer)
    rows = list(_rows(trainer, expected, request, init_from))
    if processes.rank:
        return
    print_result(to_json(_figures(trainer, expected, rows)) if as_json else _table(rows))
    for warning in warnings:
        say(warning)


class _Row(NamedTuple):
    """A value that was chosen or is expected, and why."""

    name: str
    value: str
    why: str


def _figures(trainer: Trainer, expected: Forecast, rows: list[_Row]) -> dict[str, Any]:
    """All of it by the names of fields, and the table's reasons by its names."""
    from charrnn.network.description import architecture
    from charrnn.network.parameters import weight_count

    config = trainer.network.config
    return {
        "architecture": architecture(config),
        **dataclasses.asdict(config),
        "weights": weight_count(config),
        "training_characters": trainer.positions,
        "held_back_characters": trainer.held_back.positions,
        "processes": trainer.processes.count,
        "options": dataclasses.asdict(trainer.plan),
        **dataclasses.asdict(expected),
        "why": {row.name: row.why for row in rows if row.why},
    }


def _table(rows: list[_Row]) -> str:
    """Names, values and reasons in three columns, broken between words."""
    name = max(len(row.name) for row in rows)
    value = min(max(len(row.value) for row in rows), _VALUE)
    lines = []
    for row in rows:
        values = textwrap.wrap(printable(row.value), value)
        whys = textwrap.wrap(printable(row.why), _WIDTH - name - value - 4)
        for n in range(max(len(values), len(whys))):
            told = [own[n] if n < len(own) else "" for own in ([row.name], values, whys)]
            lines.append(f"{told[0]:<{name}}  {told[1]:<{value}}  {told[2]}".rstrip())
    return "\n".join(lines)


def _rows(
    trainer: Trainer, expected: Forecast, request: Request, init_from: str | None
) -> Iterator[_Row]:
    """What is told of the network, of the text, of training, and of what it takes."""
    given = request.given

    def why(fields: tuple[str, ...], otherwise: str) -> str:
        """That one of the options was given, or why the value is as it is."""
        return "given" if given.intersection(fields) else otherwise

    yield from _network_rows(trainer, why(("hidden_size",), f"that of {init_from}"))
    yield from _text_rows(trainer, why(("validations",), "about 4% of the time"))
    plan, lanes = trainer.plan, trainer.lanes
    enough = "so that a pass has enough updates"
    yield _Row("lanes", f"{lanes.batch} × {lanes.length} steps",
               why(("batch_size", "sequence_length"), enough))  # fmt: skip
    often = "for a text that is read " + ("a few times" if plan.optimizer == "soap" else "often")
    yield _Row("optimizer", plan.optimizer, why(("optimizer",), often))
    follows = "from lanes, hidden size and optimizer"
    yield _Row("learning rate", f"{plan.learning_rate:g}", why(("learning_rate",), follows))
    more = "grows with passes and weights"
    yield _Row("weight decay", f"{plan.weight_decay:g}", why(("weight_decay",), more))
    yield _Row("dropout", f"{plan.dropout:g}", why(("dropout",), more))
    if trainer.network.config.answers:
        yield _Row("label smoothing", f"{plan.label_smoothing:g}",
                   why(("label_smoothing",), "the default"))  # fmt: skip
    yield _Row("precision", plan.precision, why(("precision",), "the fastest of this processor"))
    yield from _expected_rows(trainer, expected, given)


def _network_rows(trainer: Trainer, size: str) -> Iterator[_Row]:
    from charrnn.network.description import architecture, weights
    from charrnn.training.reasons import reasons

    config = trainer.network.config
    yield _Row("network", architecture(config), reasons(trainer).get("hidden_size", size))
    vocabulary = f"{config.vocabulary_size:,} characters with the special ones"
    yield _Row("weights", weights(config), vocabulary)


def _text_rows(trainer: Trainer, often: str) -> Iterator[_Row]:
    yield _Row("to learn", f"{trainer.positions:,}", "characters")
    if read := trainer.validation.positions:
        held_back = f"characters, of {trainer.held_back.positions:,} that are held back"
        yield _Row("to validate", f"{read:,}", held_back)
        yield _Row("validations", f"{trainer.plan.validations}", often)
    else:
        yield _Row("to validate", "0", "characters: the last model is kept")


def _expected_rows(trainer: Trainer, expected: Forecast, given: frozenset[str]) -> Iterator[_Row]:
    threads, processes = trainer.network.team.threads, trainer.processes.count
    on = f"{threads} thread{'s'[: threads > 1]}"
    on += f" of each of {processes} processes" if processes > 1 else ""
    speed = f"{expected.characters_per_second:,.0f}"
    yield _Row("speed", speed, f"characters a second, on {on}")
    yield _Row("passes", f"{expected.epochs:.3g}", _why_passes(trainer, given))
    yield _Row("updates", f"{expected.steps:,}", "given" if "steps" in given else "in these passes")
    takes = "with validations, after compiling"
    early = " at most" if trainer.plan.patience else ""
    yield _Row("time", f"{_clock(expected.seconds)}{early}", takes)
    if expected.memory is not None:
        yield _Row(
            "memory",
            f"{expected.memory / 2**20:,.0f} MiB",
            "taken until now; saving takes some more",
        )


def _why_passes(trainer: Trainer, given: frozenset[str]) -> str:
    from charrnn.training.reasons import reasons

    plan = trainer.plan
    if "epochs" in given:
        return "given"
    if "steps" in given:
        return "in the updates given"
    if plan.budget:
        early = reasons(trainer).get("most_epochs")
        return with_options(early) if early else f"in {duration(plan.budget)}"
    return "as many as are of use to such a text"


def _clock(seconds: float) -> str:
    """A time in its two largest units."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = (hours, "h"), (minutes, "m"), (seconds, "s")
    told = [f"{number:,}{unit}" for number, unit in parts if number]
    return " ".join(told[:2])
