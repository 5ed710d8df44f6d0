"""What a report says of a run, and of the network that came of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from charrnn.network.description import predicted
from charrnn.storage.checkpoint import SavedModel
from charrnn.storage.summary import describe
from charrnn.studies.canvas import Line
from charrnn.studies.report.charts import Chart, chart, logarithms

#: Fields of a point of a run's history that are drawn: see ``charrnn.training.history``.
_STEP, _LOSS, _NORM, _RATE, _CHARACTERS, _SECONDS = range(6)

#: Of what ``describe`` tells, what a reader of a report wants to know first.
_FIRST = ("architecture", "weights", "validation_loss", "validation_bits", "training_loss",
          "temperature", "steps", "characters_trained", "seconds", "skipped_updates", "returns",
          "init_from", "corpus", "corpus_characters", "documents")  # fmt: skip

#: What is set by itself unless it is given, and worth telling.
_CHOICES = ("batch_size", "sequence_length", "optimizer", "learning_rate", "weight_decay",
            "dropout", "clip_norm", "warmup_steps", "validations", "patience", "precision",
            "budget", "epochs", "steps", "most_epochs", "seed")  # fmt: skip


def facts(model: SavedModel) -> dict[str, str]:
    """Names and values of what came of the run."""
    figures = describe(model)
    return {name.replace("_", " "): _shown(figures[name]) for name in _FIRST if name in figures}


def choices(model: SavedModel) -> dict[str, str]:
    """Names and values of what was chosen for the run."""
    options = model.training.get("options", {})
    return {
        name.replace("_", " "): _shown(options[name])
        for name in _CHOICES
        if options.get(name) not in (None, 0, False)
    }


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def curves(model: SavedModel, records: Sequence[dict[str, Any]] = ()) -> list[Chart]:
    """The curves of the run: of a log's ``records``, or else of what the model remembers."""
    if records:
        names = ("step", "loss", "gradient_norm", "learning_rate", "characters", "seconds")
        points = [[record.get(name) for name in names] for record in records]
        validations = [[record.get(n) for n in ("step", "validation_loss")] for record in records]
    else:
        history = model.history or {"points": [], "validations": []}
        points, validations = history["points"], history["validations"]
    table = _numbers(points, 6)
    steps = table[_STEP]
    lines = {"training": Line(steps, table[_LOSS]), "validation": Line(*_numbers(validations, 2))}
    drawn = [
        chart(f"Loss, nats per {predicted(model.config)}", "steps", lines),
        chart("Learning rate", "steps", {"learning rate": Line(steps, table[_RATE])}),
        chart("Norm of the gradient", "steps",
              {"norm": Line(steps, logarithms(table[_NORM].tolist()))}, logarithmic=True),
        chart("Speed, characters a second", "steps", {"speed": _speed(table)}),
    ]  # fmt: skip
    return [own for own in drawn if own]


def _numbers(rows: Sequence[Sequence[Any]], columns: int) -> np.ndarray:
    """Columns of rows, NaN for what is no number."""
    cells = [[own if isinstance(own, (int, float)) else math.nan for own in row] for row in rows]
    return np.array(cells, np.float64).reshape(-1, columns).T


def _speed(table: np.ndarray) -> Line:
    """Characters a second from one point to the next; a break between two runs is none."""
    seconds, characters = (np.diff(table[n]) for n in (_SECONDS, _CHARACTERS))
    with np.errstate(all="ignore"):
        speeds = np.where(seconds > 0, characters / seconds, np.nan)
    return Line(table[_STEP][1:], speeds)
