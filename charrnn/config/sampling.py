"""How texts are written."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from charrnn.config.checks import MAX_SIZE, require, require_between, require_kinds

#: Most beginnings that a search for the likeliest texts follows at once.
MOST_BEAMS = 1024

#: Beginnings of an answer that a model of pairs follows at once unless it is said how many, and the
#: most (docs/measurements.md).
ANSWER_BEAMS, MOST_ANSWER_BEAMS = 4, 64

#: ``min_p`` where no way of choosing is asked for (docs/measurements.md).
DEFAULT_MIN_P = 0.05


@dataclass(frozen=True)
class SamplingConfig:
    """How texts are written. Raises ``UsageError`` for a value of another type or range.

    What leaves characters out or makes them less likely is applied in the order in which it stands
    here; ``charrnn.compute`` has the definitions. What is None depends on whether any of ``top_k``
    and what follows it is given: see ``complete``.
    """

    length: float = 200  # most characters of a text, the prompt not counted; inf: no end of them
    until: tuple[str, ...] = ()  # texts that end one, once it ends with one of them
    ignore_end: bool = False  # whether the model's own ends of documents are never chosen
    match: str | None = None  # a regular expression that the whole text matches, without its prompt
    repetition_penalty: float = 1.0  # what divides the probability of recent characters
    repetition_window: int = 64  # how many characters are recent
    dry: float = 0.0  # what the logit loses of what makes a repeated run longer; 0: nothing
    dry_base: float = 1.2  # times this for each character of the run beyond ``dry_length``
    dry_length: int = 8  # shortest run that counts
    dry_window: int = 4096  # how many characters back runs are looked for
    top_k: int = 0  # how many of the likeliest are left; 0: all
    typical: float = 1.0  # share of the most typical that is left
    top_p: float = 1.0  # share of the likeliest that is left
    min_p: float | None = None  # least probability, as a share of the likeliest's
    temperature: float | None = None  # 0: always the likeliest; 1: as learned; more: wilder
    mirostat: float = 0.0  # bits a character at which surprise is held; 0: it is not
    mirostat_rate: float = 0.1  # bits by which the bound moves for each that surprise is off

    def __post_init__(self) -> None:
        require_kinds(self)
        require_between("length", self.length, 0, math.inf)
        whole = self.length == math.inf or self.length == int(self.length)
        require(whole, f"length must be a whole number, not {self.length}")
        require(all(self.until), "what a text is to end with must not be empty")
        require(self.match is None or not self.until,
                 "`match` says by itself where a text ends: give no `until`")  # fmt: skip
        require_between("repetition penalty", self.repetition_penalty, 1e-3, 1e3)
        require_between("dry", self.dry, 0, 1e6)
        require_between("dry base", self.dry_base, 1, 1e3)
        for name in ("repetition_window", "dry_length", "dry_window"):
            require_between(name.replace("_", " "), getattr(self, name), 1, MAX_SIZE)
        require_between("top k", self.top_k, 0, MAX_SIZE)
        if self.min_p is not None:
            require_between("min p", self.min_p, 0, 1)
        for name in ("typical", "top_p", "mirostat_rate"):
            value, named = getattr(self, name), name.replace("_", " ")
            require(0 < value <= 1, f"{named} must be above 0 and at most 1, not {value}")
        if self.temperature is not None:
            require(0 <= self.temperature < math.inf, "temperature must be a number from 0 "
                     f"(always the likeliest) up, not {self.temperature!r}")  # fmt: skip
        require_between("mirostat", self.mirostat, 0, 64)
        for name, nothing in _FILTERS.items():
            require(not self.mirostat or getattr(self, name) in (None, nothing),
                     f"`mirostat` says by itself what is left out: give no `{name}`")  # fmt: skip

    def complete(self) -> SamplingPlan:
        """The same with nothing open: as learned, or as reads best where nothing is asked for."""
        asked = self.mirostat or self.temperature is not None
        for name, nothing in _FILTERS.items():
            asked = asked or getattr(self, name) not in (None, nothing)
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        given = {name: value for name, value in given.items() if value is not None}
        return SamplingPlan(**{"min_p": 0.0 if asked else DEFAULT_MIN_P, **given})


@dataclass(frozen=True)
class SamplingPlan(SamplingConfig):
    """How texts are written, with nothing left open; ``SamplingConfig.complete`` makes it."""

    min_p: float = 0.0
    temperature: float = 1.0


#: What ``mirostat`` takes the place of, each at the value at which it does nothing.
_FILTERS = {"top_k": 0, "typical": 1, "top_p": 1, "min_p": 0}
