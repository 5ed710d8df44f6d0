"""The model file and the resume file: safetensors, with JSON in their metadata.

A model file has PyTorch's names and layouts; the resume file beside it has what a run needs to go
on to the same bits.

Reading a model needs no Numba. Nothing in a file is believed: the table of tensors that the
configuration implies is the measure, and a checksum guards the weights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import stat
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.config import ModelConfig, require_path
from charrnn.errors import ModelFileError, UsageError
from charrnn.network.graph import build
from charrnn.network.parameters import (
    moment_sizes,
    parameter_count,
    parameter_shapes,
    state_shape,
)
from charrnn.storage.files import target_of, write_atomically
from charrnn.storage.metadata import (
    SENSELESS,
    parse,
    read_figures,
    read_history,
    read_network,
    read_resume,
)
from charrnn.storage.tensors import TensorFile, parts
from charrnn.text.display import printable
from charrnn.text.vocabulary import Vocabulary

FORMAT = "charrnn"
RESUME_FORMAT = "charrnn-resume"
FORMAT_VERSION = 1
RESUME_FORMAT_VERSION = 6
_KINDS = {
    FORMAT: ("charrnn model", FORMAT_VERSION),
    RESUME_FORMAT: ("charrnn resume file", RESUME_FORMAT_VERSION),
}


@dataclass(frozen=True)
class SavedModel:
    """What a model file holds."""

    config: ModelConfig
    vocabulary: Vocabulary
    tensors: dict[str, np.ndarray]  # float32, as parameter_shapes(config) names them
    training: dict[str, Any] = field(default_factory=dict)  # figures and origin, JSON values
    labels: tuple[str, ...] = ()  # the names of ``config.classes``
    history: dict[str, Any] | None = None  # of its run: ``training.history.History.figures``

    @property
    def finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return all(map(_is_finite, self.tensors.values()))


def _is_finite(tensor: np.ndarray) -> bool:
    """Whether there is neither NaN nor infinity in it; takes no memory, however large it is."""
    return bool(np.isfinite(tensor.min()) and np.isfinite(tensor.max()))


def checksum_of(tensors: dict[str, np.ndarray], text: str = "") -> str:
    """A hash of tensors by name, and of a text: what a file says to guard its own."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()


def save_model(path: str | Path, model: SavedModel) -> None:
    """Write a model file.

    Raises ``ModelFileError``, leaving the old one, where that fails or where the model has numbers
    that are not finite, and ``UsageError`` for what is no model: a trainer has none that is the
    best before its first interval has ended.
    """
    require_path("path", path)
    if not isinstance(model, SavedModel):
        raise UsageError(f"there is no model to save: {model!r}")
    tensors = {name: np.ascontiguousarray(t, np.float32) for name, t in model.tensors.items()}
    if not dataclasses.replace(model, tensors=tensors).finite:
        raise ModelFileError(f"{path} is not written: the model's weights are NaN or infinite")
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "config": json.dumps(dataclasses.asdict(model.config)),
        "characters": json.dumps(model.vocabulary.characters),
        "labels": json.dumps(model.labels),
        "training": json.dumps(model.training),
        "history": json.dumps(model.history),
        "checksum": checksum_of(tensors),
    }
    _write(Path(path), tensors, metadata)


def _write(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    try:
        written = parts(tensors, metadata)
    except ValueError as error:
        raise ModelFileError(f"cannot write {path}: {error}") from error
    write_atomically(path, *written)


@contextlib.contextmanager
def _opened(path: Path, expected: str, advice: str) -> Iterator[TensorFile]:
    """The file, its header read; what makes no sense in the block is told as damage of it."""
    kind, _ = _KINDS[expected]
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            found = "a folder, no regular file" if stat.S_ISDIR(mode) else "no regular file"
            raise ModelFileError(f"{path} is not a {kind}: it is {found}")
        with path.open("rb") as stream:
            try:
                file = TensorFile(stream)
            except ValueError as error:
                raise ModelFileError(f"{path} is not a {kind}") from error
            _check_format(path, file.metadata, expected)
            with _sensible(path):
                yield file
    except FileNotFoundError as error:
        raise ModelFileError(f"there is no {kind} {path}: {advice}") from error
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}") from error


def _check_format(path: Path, metadata: dict[str, str], expected: str) -> None:
    kind, readable = _KINDS[expected]
    if metadata.get("format") != expected:
        raise ModelFileError(f"{path} is not a {kind}")
    version = metadata.get("format_version", "")
    if version != str(readable):
        earlier = version.isdecimal() and len(version) < 9 and int(version) < readable
        raise ModelFileError(
            f"{path} has format version {printable(version[:40])}, "
            f"this charrnn reads version {readable}: "
            + ("start the run anew with `force`" if earlier else "upgrade charrnn")
        )


@contextlib.contextmanager
def _sensible(path: Path) -> Iterator[None]:
    """What makes no sense in the block is told as damage of the file, on one line."""
    try:
        yield
    except SENSELESS as error:
        why = textwrap.shorten(str(error), 300)
        raise ModelFileError(f"{path} is damaged: what it says makes no sense ({why})") from error


def load_model(path: str | Path) -> SavedModel:
    """Read a model file and check all of it. Raises ``ModelFileError``."""
    path = Path(path)
    advice = f"train it with 'charrnn train CORPUS --model {path}'"
    with _opened(path, FORMAT, advice) as file:
        said = file.metadata
        config, vocabulary, labels = read_network(
            parse(said["config"]), parse(said["characters"]), parse(said.get("labels", "[]"))
        )
        training, checksum = read_figures(parse(said["training"])), said["checksum"]
        history = read_history(parse(said.get("history", "null")))
        tensors = file.read(parameter_shapes(config))
    if checksum_of(tensors) != checksum:
        raise ModelFileError(f"{path} is damaged: its weights do not match their checksum")
    return SavedModel(config, vocabulary, tensors, training, labels, history)


def load_finite_model(path: str | Path) -> SavedModel:
    """Read a model to compute with. Raises ``ModelFileError``, for NaN or infinity in it too."""
    model = load_model(path)
    if not model.finite:
        raise ModelFileError(f"{path} has weights that are NaN or infinite: train it anew")
    return model


def load_writer(path: str | Path) -> SavedModel:
    """Read a model that writes, to compute with.

    Raises ``ModelFileError`` as ``load_finite_model`` does, ``UsageError`` for one that reads.
    """
    model = load_finite_model(path)
    if not model.config.writes:
        does = {
            "label": "tells labels", "tags": "finds tags", "restore": "restores",
            "pairs": "answers what it reads",
        }[model.config.task]  # fmt: skip
        raise UsageError(f"{path} writes no text, it {does}: use charrnn apply or charrnn evaluate")
    return model


@dataclass(frozen=True)
class ResumeState:
    """All that a run needs to go on: see ``training.Trainer.capture``."""

    arrays: dict[str, np.ndarray]  # float32, as _array_shapes names them
    values: dict[str, Any]  # JSON values, as metadata.read_resume names them


def _array_shapes(values: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays of a run with such values, the same on every machine."""
    config = ModelConfig(**values["shape"])
    count = parameter_count(config)
    moments = moment_sizes(build(config), values["training"]["optimizer"], count)
    sizes = {**dict.fromkeys(("values", "average", "recovery"), count),
             **{f"moment.{name}": size for name, size in moments.items()}}  # fmt: skip
    layers, states, size = state_shape(config)
    flat = {name: (size,) for name, size in sizes.items()}
    return {**flat, "state": (layers, states, values["lanes"], size)}


def resume_path(model: Path) -> Path:
    """Where the resume file of a model lies: beside it, and not beside a link to it."""
    target = target_of(model)
    return target.parent / f"{target.name}.resume"


def save_resume(path: Path, state: ResumeState) -> None:
    """Write a resume file. Raises ``ModelFileError`` where that fails, leaving the old one."""
    arrays = {name: np.ascontiguousarray(array) for name, array in state.arrays.items()}
    values = json.dumps(state.values)
    metadata = {
        "format": RESUME_FORMAT,
        "format_version": str(RESUME_FORMAT_VERSION),
        "values": values,
        "checksum": checksum_of(arrays, values),
    }
    _write(path, arrays, metadata)


def load_resume(path: Path) -> ResumeState:
    """Read a resume file and check all of it. Raises ``ModelFileError``."""
    with _opened(path, RESUME_FORMAT, "there is no run to go on with") as file:
        text, checksum = file.metadata["values"], file.metadata["checksum"]
        values = read_resume(parse(text))
        arrays = file.read(_array_shapes(values))
    if checksum_of(arrays, text) != checksum:
        raise ModelFileError(f"{path} is damaged: its contents do not match their checksum")
    for name, array in arrays.items():
        # A mean of squares may have become infinite: its weight then stays where it is.
        if not (array.min() >= 0 if name == "moment.square" else _is_finite(array)):
            raise ModelFileError(f"{path} is damaged: {name} has numbers that make no sense")
    return ResumeState(arrays, values)
