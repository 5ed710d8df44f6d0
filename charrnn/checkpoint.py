"""The model file: safetensors with PyTorch's names and layouts, and JSON in its metadata.

Reading a model needs no Numba. Nothing in a file is believed: the table of tensors that the
configuration implies is the measure, and a checksum guards the weights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from charrnn.config import ModelConfig
from charrnn.errors import CharrnnError, ModelFileError
from charrnn.parameters import parameter_shapes
from charrnn.vocabulary import Vocabulary

FORMAT = "charrnn"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class SavedModel:
    """What a model file holds."""

    config: ModelConfig
    vocabulary: Vocabulary
    tensors: dict[str, np.ndarray]  # float32, as parameter_shapes(config) names them
    training: dict[str, Any] = field(default_factory=dict)  # figures and origin, JSON values

    @property
    def finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return all(np.isfinite(tensor).all() for tensor in self.tensors.values())


def _checksum(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by a file with ``data``: at any moment the old or the new one is there.

    Raises ``ModelFileError`` where it cannot be written; the old file then still stands.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise ModelFileError(f"cannot write {path}: {error.strerror}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make a rename last; systems that cannot open folders do without."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def save_model(path: str | Path, model: SavedModel) -> None:
    """Write a model file. Raises ``ModelFileError`` where that fails, leaving the old one."""
    tensors = {name: np.ascontiguousarray(t, np.float32) for name, t in model.tensors.items()}
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "config": json.dumps(dataclasses.asdict(model.config)),
        "characters": json.dumps(model.vocabulary.characters),
        "training": json.dumps(model.training),
        "checksum": _checksum(tensors),
    }
    write_atomically(Path(path), to_safetensors(tensors, metadata))


def _open_regular_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise ModelFileError(
            f"there is no model {path}: train one with 'charrnn train CORPUS --model {path}'"
        ) from error
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise ModelFileError(f"{path} is not a charrnn model: it is no regular file")


def _read_metadata(path: Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    metadata = metadata or {}
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not a charrnn model")
    version = metadata.get("format_version", "")
    if version != str(FORMAT_VERSION):
        raise ModelFileError(
            f"{path} has format version {version}, this charrnn reads version {FORMAT_VERSION}: "
            "upgrade charrnn, or train the model anew"
        )
    try:
        parsed = {key: json.loads(metadata[key]) for key in ("config", "characters", "training")}
        return {
            "config": ModelConfig(**parsed["config"]),
            "vocabulary": Vocabulary(parsed["characters"]),
            "training": dict(parsed["training"]),
            "checksum": metadata["checksum"],
        }
    except (KeyError, TypeError, ValueError, RecursionError, CharrnnError) as error:
        raise ModelFileError(
            f"{path} is damaged: its description cannot be read ({error})"
        ) from error


def _check_tensors(path: Path, file: Any, config: ModelConfig) -> None:
    expected = parameter_shapes(config)
    if set(file.keys()) != set(expected):
        raise ModelFileError(f"{path} is damaged: its tensors are not those of its configuration")
    for name, shape in expected.items():
        found = file.get_slice(name)
        if tuple(found.get_shape()) != shape or found.get_dtype() != "F32":
            raise ModelFileError(
                f"{path} is damaged: {name} is {found.get_dtype()} {found.get_shape()}, "
                f"its configuration says F32 {list(shape)}"
            )


def load_model(path: str | Path) -> SavedModel:
    """Read a model file and check all of it. Raises ``ModelFileError``."""
    path = Path(path)
    _open_regular_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            described = _read_metadata(path, file.metadata())
            checksum = described.pop("checksum")
            if described["vocabulary"].size != described["config"].vocabulary_size:
                raise ModelFileError(f"{path} is damaged: its vocabulary has another size")
            _check_tensors(path, file, described["config"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelFileError(f"{path} is not a charrnn model") from error
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}") from error
    if _checksum(tensors) != checksum:
        raise ModelFileError(f"{path} is damaged: its weights do not match their checksum")
    return SavedModel(**described, tensors=tensors)
