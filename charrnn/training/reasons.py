"""Why a network is as large as it is, and a run as long, in words."""

from __future__ import annotations

from charrnn.training.clock import duration
from charrnn.training.planning import characters_read
from charrnn.training.sizes import fills_the_text
from charrnn.training.trainer import Trainer


def reasons(trainer: Trainer) -> dict[str, str]:
    """A sentence for each choice that was left open, by its field; none where nothing was."""
    config, positions, told = trainer.plan, trainer.positions, {}
    if trainer.size_planned:
        shape = trainer.network.config
        members = f"{shape.members} members of " if shape.members > 1 else ""
        size = f"{members}{shape.hidden_size} units a layer"
        if fills_the_text(shape, positions, trainer.training.targets):
            why = f"{size}: a text of {positions:,} characters gives no larger network enough"
        elif config.budget:
            why = f"{size} suit what this machine reads in {duration(config.budget)}"
        else:
            read = characters_read(config, positions, shape.task)
            why = f"{size} suit the {read:,.0f} characters that the run reads, passes counted"
        told["hidden_size"] = why
    if config.budget and config.most_epochs:
        told["most_epochs"] = (
            f"a text of {positions:,} characters is learned in {config.most_epochs:.0f} passes: "
            f"the run ends there, before its {duration(config.budget)} are over; more `epochs` "
            "make it longer"
        )
    return told
