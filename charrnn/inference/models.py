"""Any model, for what it does: one that writes, labels, tags, restores or answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from charrnn.config import check_machine, require_path
from charrnn.errors import CharrnnError, ModelFileError, UsageError
from charrnn.inference.labelling import Labeller
from charrnn.inference.language_model import LanguageModel, restored
from charrnn.inference.restoration import TextRestorer
from charrnn.inference.tagging import Tagger
from charrnn.inference.transcription import Transcriber
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel, load_finite_model

#: A model that reads, and any.
AnyReader: TypeAlias = "Labeller | Tagger | TextRestorer | Transcriber"
AnyModel: TypeAlias = "LanguageModel | AnyReader"

_KINDS: dict[str, type[AnyReader]] = {
    "label": Labeller,
    "tags": Tagger,
    "restore": TextRestorer,
    "pairs": Transcriber,
}


def load(path: str | Path, *, threads: int = 0, precision: str = "auto") -> AnyModel:
    """Read a model file; 0 threads: one for each processor; ``precision`` as in ``Network``.

    Raises ``ModelFileError`` where the file is missing, damaged or foreign, or where its weights
    are not finite, ``UsageError`` for a value of another type or range.
    """
    require_path("path", path)
    check_machine(threads, precision)
    return model_of(load_finite_model(path), threads=threads, precision=precision)


def load_together(
    paths: Sequence[str | Path], *, threads: int = 0, precision: str = "auto"
) -> AnyModel:
    """One model, or several of pairs that answer together, as ``load`` reads each.

    Raises as ``load``, and ``UsageError`` where several cannot answer together.
    """
    models = [load(path, threads=threads, precision=precision) for path in paths]
    if len(models) == 1:
        return models[0]
    of_pairs = [model for model in models if isinstance(model, Transcriber)]
    if len(of_pairs) < len(models):
        raise UsageError("several models answer together where all have learned pairs: give one")
    return of_pairs[0].together_with(of_pairs[1:])


def model_of(saved: SavedModel, *, threads: int = 0, precision: str = "auto") -> AnyModel:
    """The model that a file holds; arguments and errors are those of ``load``."""
    if saved.config.writes:
        return restored(saved, {"threads": threads, "precision": precision})
    network = Network(saved.config, threads=threads, precision=precision)
    network.load(saved.tensors)
    return reader_of(saved, network)


def reader_of(saved: SavedModel, network: Network) -> AnyReader:
    """A model that reads, with its ``network``.

    Raises ``ModelFileError`` where its labels or what it says of its texts make no sense.
    """
    try:
        return _KINDS[saved.config.task](network, saved)
    except (CharrnnError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"the model's labels make no sense ({error}): train it anew"
        ) from error
