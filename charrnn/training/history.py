"""What a run remembers of its way: so much that its curves can be drawn, however long it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from charrnn.training.record import Record

#: Points and validations that are kept at most, and samples.
MOST, MOST_SAMPLES = 200, 8


class Point(NamedTuple):
    """Some updates on end: means of the losses and of the norms, the rest as after the last."""

    step: int
    loss: float | None  # None: none was a number
    gradient_norm: float | None
    learning_rate: float
    characters: int
    seconds: float


@dataclass
class History:
    """The points of a run, each of ``every`` updates.

    Where they become too many, each two become one. What is held depends on the records alone, not
    on where a run was stopped.
    """

    every: int = 1
    points: list[Point] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # of the point to come
    norms: list[float] = field(default_factory=list)  # likewise
    validations: list[tuple[int, float | None]] = field(default_factory=list)  # step, loss
    samples: list[tuple[int, str]] = field(default_factory=list)  # step, what was written then

    @classmethod
    def of(cls, figures: dict[str, Any]) -> History:
        """The one that has such ``figures``, as ``charrnn.storage.metadata`` checks them."""
        pairs = {name: [tuple(own) for own in figures[name]] for name in ("validations", "samples")}
        return cls(**{**figures, "points": [Point(*own) for own in figures["points"]], **pairs})

    @property
    def figures(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    def note(self, record: Record) -> None:
        """Take in an update."""
        for values, value in ((self.losses, record.loss), (self.norms, record.gradient_norm)):
            values += [value] if math.isfinite(value) else []
        if record.step % self.every:
            return
        self.points.append(
            Point(record.step, _mean(self.losses), _mean(self.norms), record.learning_rate,
                  record.characters, round(record.seconds, 3))
        )  # fmt: skip
        self.losses, self.norms = [], []
        if len(self.points) == MOST:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points, self.every = [_joined(*pair) for pair in pairs], 2 * self.every

    def validated(self, record: Record) -> None:
        """Take in a validation, if there was one; of two, where they are too many, the better."""
        if record.validation_loss is None:
            return
        loss = record.validation_loss
        self.validations.append((record.step, loss if math.isfinite(loss) else None))
        if len(self.validations) == MOST:
            pairs = zip(self.validations[::2], self.validations[1::2], strict=True)
            self.validations = [min(pair, key=_order) for pair in pairs]

    def sampled(self, step: int, text: str) -> None:
        """Take in what was written; where they are too many, every other one stays."""
        if len(self.samples) == MOST_SAMPLES:
            self.samples = self.samples[::2]
        self.samples.append((step, text))


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known; None: there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _joined(one: Point, other: Point) -> Point:
    loss, norm = (_mean([a, b]) for a, b in zip(one[1:3], other[1:3], strict=True))
    return other._replace(loss=loss, gradient_norm=norm)


def _order(validation: tuple[int, float | None]) -> float:
    return math.inf if validation[1] is None else validation[1]
