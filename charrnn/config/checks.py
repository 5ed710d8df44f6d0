"""What values may be, and how a wrong one is told."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from numbers import Integral
from os import PathLike
from typing import Any

from charrnn.errors import UsageError

#: Beyond this a network would not fit into memory, and indices into 32 bits.
MAX_SIZE = 65_536


def require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def require_between(name: str, value: float, low: float, high: float) -> None:
    bounds = f"{low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
    require(low <= value <= high, f"{name} must be {bounds}, not {value}")


def require_whole(name: str, value: Any, low: int, high: float = math.inf) -> None:
    """Raise ``UsageError`` unless ``value`` is a whole number within these bounds."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    require(whole, f"{name} must be a whole number, not {value!r}")
    require_between(name, value, low, high)


def require_text(name: str, value: Any) -> None:
    """Raise ``UsageError`` unless ``value`` is a ``str``."""
    require(isinstance(value, str), f"{name} must be text, not {value!r}")


def require_path(name: str, value: Any) -> None:
    """Raise ``UsageError`` unless ``value`` is the path of a file."""
    require(isinstance(value, (str, PathLike)), f"{name} must be a path, not {value!r}")


def require_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ``UsageError`` unless ``value`` is one of the ``choices``."""
    require(value in choices, f"{name} must be one of {', '.join(choices)}, not {value!r}")


#: What a field of a configuration may hold, by the type that it declares. Model files keep it as
#: JSON, so that other numbers than Python's own will not do.
_KINDS: dict[str, tuple[Any, str]] = {
    "bool": (bool, "True or False"),
    "int": (int, "a whole number"),
    "float": ((float, int), "a number"),
    "str": (str, "text"),
    "tuple[str, ...]": (tuple, "a tuple of texts"),
}


def require_kinds(config: Any) -> None:
    """Raise ``UsageError`` unless every field of a dataclass holds what its type says."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        kind, _, other = str(field.type).partition(" | ")
        types, what = _KINDS[kind]
        # Python takes True and False for numbers, and whole numbers beyond any float.
        fits = isinstance(value, types) and isinstance(value, bool) == (kind == "bool")
        huge = kind == "float" and isinstance(value, int) and abs(value) > 2**53
        missing = value is None and other == "None"
        require(missing or (fits and not huge), f"{field.name} must be {what}, not {value!r}")
