"""What a user should know before a run: its sizes, why they are so, and what is unusual."""

from __future__ import annotations

from collections.abc import Iterator

from charrnn.cli.options import with_options
from charrnn.compute.target import TILE_ROWS
from charrnn.network.description import architecture, weights
from charrnn.text.dataset import looks_like_a_list
from charrnn.text.pairs import Pairs
from charrnn.training.reasons import reasons
from charrnn.training.trainer import Trainer


def remarks_on(trainer: Trainer) -> list[str]:
    """The first lines of a run, sizes before all else."""
    return [
        _network(trainer),
        _plan(trainer),
        *map(with_options, reasons(trainer).values()),
        *warnings_on(trainer),
    ]


def _network(trainer: Trainer) -> str:
    config = trainer.network.config
    validated, held_back = trainer.validation.evaluated, trainer.held_back.positions
    share = f" of {held_back:,}" if validated < held_back else ""
    return (
        f"{architecture(config)}, {weights(config)} weights, "
        f"{config.vocabulary_size:,} characters with the special ones; {trainer.positions:,} "
        f"characters to learn, {validated:,}{share} to validate"
    )


def _plan(trainer: Trainer) -> str:
    config, lanes, optimizer = trainer.plan, trainer.lanes, trainer.optimizer
    validations = f", {config.validations} validations" if trainer.validation.positions else ""
    count, threads = trainer.processes.count, trainer.network.team.threads
    shared = f" in {count} processes of {_counted(threads, 'thread')}" if count > 1 else ""
    return (
        f"{lanes.batch} lanes × {lanes.length} steps{shared}, {config.optimizer} with a learning "
        f"rate of {optimizer.highest_rate:g}, weight decay {optimizer.decay:g}, dropout "
        f"{config.dropout:g}, {config.precision}{validations}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _left_out(trainer: Trainer, pairs: Pairs) -> Iterator[str]:
    """How many pairs are not learned from, and why."""
    if misfits := trainer.origin.get("left_out"):
        yield (
            f"{_counted(misfits, 'pair')} left out, with more symbols on the right than CTC tells "
            "of what is on the left; --decoder attention takes them"
        )
    if longer := int((pairs.lengths > trainer.lanes.length).sum()):
        yield (
            f"{_counted(longer, 'pair')} left out, longer than {trainer.lanes.length} steps: "
            "--sequence-length takes longer ones"
        )


def warnings_on(trainer: Trainer) -> Iterator[str]:
    """What is unusual about a run, and what may help."""
    if trainer.too_short:
        yield "the text is too short for more lanes"
    elif (useful := TILE_ROWS // 2 * trainer.network.team.threads) > trainer.lanes.batch:
        threads = _counted(trainer.network.team.threads, "thread")
        yield (
            f"{trainer.lanes.batch} lanes are few for {threads}: "
            f"--batch-size {useful} reads more characters a second"
        )
    if not trainer.step and looks_like_a_list(trainer.training, trainer.vocabulary):
        yield (
            "the lines are short, as those of a list are: --lines makes each of them a text of "
            "its own, which begins and ends; losses with and without it cannot be compared"
        )
    if isinstance(trainer.training, Pairs):
        yield from _left_out(trainer, trainer.training)
    if not trainer.validation.positions:
        yield "no validation text: the last model is kept, not the best"
