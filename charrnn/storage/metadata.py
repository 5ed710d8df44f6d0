"""What the JSON in model files and resume files says, and how each value of it is read.

Nothing in a file is believed. A reader gives a value back as it is to be used, and raises one of
``SENSELESS`` where it makes no sense.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import reprlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from charrnn.config import ModelConfig, TextConfig, TrainingConfig
from charrnn.errors import CharrnnError
from charrnn.text.labels import Labels
from charrnn.text.vocabulary import Vocabulary

Reader = Callable[[Any], Any]

#: What is raised where a value makes no sense.
SENSELESS = (KeyError, TypeError, ValueError, OverflowError, RecursionError, CharrnnError)

#: Lists and objects within one another, at most; what is written has three.
_DEEPEST = 8

#: Lists and objects of a description, at most, and brackets in its texts: labels may be some.
_MOST_LISTS = 2**18
_LISTS = (list, dict)

#: Points of a curve, at most.
_MOST_ROWS = 1000

#: Symbols of the longest right side of pairs, and how often CTC reads a character, at most: an
#: answer is no longer than these allow.
_MOST_SYMBOLS, _MOST_REPEATS = 2**20, 8

#: More than any run counts or measures.
_MOST = 10**15


def parse(text: str) -> Any:
    """The values of a JSON text, none of which is said twice.

    Nesting is bounded: whoever walks through them may recurse.
    """
    if text.count("[") + text.count("{") > _MOST_LISTS:
        raise ValueError("it has too many lists")
    values = json.loads(text, object_pairs_hook=_said_once)
    level = [values]
    for _ in range(_DEEPEST + 1):
        level = [inner for value in level if type(value) in _LISTS for inner in _within(value)]
    if level:
        raise ValueError("it is nested too deeply")
    return values


def _said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("it says something twice")
    return values


def _within(value: list | dict) -> Iterable[Any]:
    return value.values() if type(value) is dict else value


def _of(*types: type, when: Callable[[Any], Any] = lambda _: True) -> Reader:
    """Reads what has one of the types, and for which ``when`` holds."""

    def read(value: Any) -> Any:
        if type(value) not in types or not when(value):
            raise ValueError(f"{reprlib.repr(value)} makes no sense")
        return value

    return read


_text = _of(str)
_count = _of(int, when=lambda n: 0 <= n <= _MOST)
_seconds = _of(int, float, when=lambda n: 0 <= n <= _MOST)
_number = _of(int, float, when=lambda n: abs(n) <= _MOST)
_lowest = _of(int, float, when=lambda n: n >= -_MOST)  # infinite: there is none yet


def _figure(value: Any) -> Any:
    """What was measured; NaN and infinity say as little as None."""
    nothing = value is None or (type(value) is float and not math.isfinite(value))
    return None if nothing else _number(value)


def _words(value: Any) -> list[str]:
    return [_text(word) for word in _of(list)(value)]


#: What a model file says of its training and its text; commands rely on the types.
_FIGURES: dict[str, Reader] = {
    **dict.fromkeys(("documents", "steps", "characters", "corpus_characters"), _count),
    **dict.fromkeys(("left_out", "columns"), _count),
    "longest": _of(int, when=lambda n: 0 <= n <= _MOST_SYMBOLS),
    "repeats": _of(int, when=lambda n: 1 <= n <= _MOST_REPEATS),
    **dict.fromkeys(("skipped", "returns"), _count),
    **dict.fromkeys(("validation_loss", "training_loss", "seconds", "temperature"), _figure),
    **dict.fromkeys(("text", "options"), _of(dict)),
    **dict.fromkeys(("version", "init_from"), _text),
    **dict.fromkeys(("corpus", "reasons"), _words),
    **dict.fromkeys(("whole_words", "joined_tags"), _of(bool)),
    "label_counts": lambda value: [[_count(n) for n in _of(list)(own)] for own in _of(list)(value)],
}


def _read(readers: dict[str, Reader], found: Any) -> dict[str, Any]:
    """What ``found`` says of all that the readers are for."""
    values, found = {}, _of(dict)(found)
    for name, reader in readers.items():
        if name not in found:
            raise ValueError(f"{name} is missing")
        try:
            values[name] = reader(found[name])
        except SENSELESS as error:
            raise ValueError(f"{name}: {error}") from error
    return values


#: What the header of a safetensors file says of a tensor. It lies between two bytes, which are
#: counted from the header's end on.
_TENSOR: dict[str, Reader] = {
    "dtype": _text,
    "shape": lambda value: tuple(_count(n) for n in _of(list)(value)),
    "data_offsets": lambda value: tuple(_count(n) for n in _of(list)(value)),
}


def read_tensor(found: Any) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Type, shape and place of a tensor in a safetensors file."""
    values = _read(_TENSOR, found)
    return values["dtype"], values["shape"], values["data_offsets"]


def read_header(found: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """The metadata of a safetensors file, and what it says of its tensors by their names."""
    table = dict(_of(dict)(found))
    metadata = _of(dict)(table.pop("__metadata__", {}))
    return {name: _text(value) for name, value in metadata.items()}, table


def read_figures(found: Any) -> dict[str, Any]:
    """What a model file says of its training; any of it may be missing, and more may be there."""
    known = {name: reader for name, reader in _FIGURES.items() if name in _of(dict)(found)}
    return found | _read(known, found)


def _rows(*cells: Reader) -> Reader:
    """Reads lists that have such cells."""

    def read(value: Any) -> Any:
        rows = [
            list(_of(list)(row)) for row in _of(list, when=lambda v: len(v) <= _MOST_ROWS)(value)
        ]
        return [[cell(own) for cell, own in zip(cells, row, strict=True)] for row in rows]

    return read


#: What a run remembers of its way: see ``training.history.History``.
_HISTORY: dict[str, Reader] = {
    "every": _of(int, when=lambda n: 1 <= n <= _MOST),
    "points": _rows(_count, _figure, _figure, _number, _count, _seconds),
    **dict.fromkeys(("losses", "norms"), lambda v: [_number(own) for own in _of(list)(v)]),
    "validations": _rows(_count, _figure),
    "samples": _rows(_count, _text),
}


def read_history(found: Any) -> dict[str, Any] | None:
    """What a model file, or a resume file, says of the way of a run; None: nothing."""
    return None if found is None else _read(_HISTORY, found)


def read_network(
    config: Any, characters: Any, labels: Any
) -> tuple[ModelConfig, Vocabulary, tuple[str, ...]]:
    """The shape of a network, its characters and its labels, which must fit together."""
    shape, vocabulary = ModelConfig(**config), Vocabulary(characters)
    names = Labels(found).names if (found := tuple(_words(labels))) else ()
    if vocabulary.size != shape.vocabulary_size:
        raise ValueError("its vocabulary has another size")
    if len(names) != shape.classes:
        raise ValueError("it has another number of labels")
    return shape, vocabulary, names


def _config(kind: type) -> Reader:
    return lambda value: dataclasses.asdict(kind(**value))


def _best(value: Any) -> dict[str, Any] | None:
    """Figures of the best model so far: its step, and the loss by which it is the best."""
    if value is None:
        return None
    figures = read_figures(value)
    if figures["validation_loss"] is None:
        _number(figures["training_loss"])
    return figures | _read({"steps": _count}, figures)


def _origin(value: Any) -> dict[str, Any]:
    """Where a model comes from: figures that say how its text was read."""
    return read_figures(value) | _read({"text": _config(TextConfig)}, value)


def _random_state(value: Any) -> dict[str, Any]:
    generator = np.random.PCG64()
    generator.state = value
    if generator.state != value:
        raise ValueError("it is no state of a random generator")
    return value


#: What a resume file has of a trainer's attributes, as they are.
ATTRIBUTES: dict[str, Reader] = {
    "step": _count,
    "skipped": _count,
    "_skipped_in_a_row": _count,
    "_intervals": _count,
    "_in_vain": _count,
    "best_loss": _lowest,
}

#: What ``recovery.Recovery`` knows of the loss.
_RECOVERY: dict[str, Reader] = {
    **dict.fromkeys(("step", "updates", "high", "returns", "returned_at"), _count),
    "smoothed": _number,
    "lowest": _lowest,
}

_RESUME: dict[str, Reader] = {
    **ATTRIBUTES,
    "best": _best,
    "lanes": _count,
    "position": _count,
    "updates": _count,
    "seconds": _seconds,
    "recovery": lambda value: _read(_RECOVERY, value),
    "history": lambda value: _read(_HISTORY, value),
    "rng": _random_state,
    "corpus": _of(str, when=re.compile("[0-9a-f]{64}").fullmatch),
    "shape": _config(ModelConfig),
    "training": _config(TrainingConfig),
    "origin": _origin,
    "characters": lambda value: Vocabulary(value).characters,
    "labels": _words,
}


def read_resume(found: Any) -> dict[str, Any]:
    """What a resume file says of its run: see ``training.Trainer.capture``."""
    values = _read(_RESUME, found)
    read_network(values["shape"], values["characters"], values["labels"])
    return values
