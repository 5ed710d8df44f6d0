"""Any model, for what it does: one that writes, labels, tags or restores."""

from __future__ import annotations

from pathlib import Path

from charrnn.config import check_machine, require_path
from charrnn.errors import CharrnnError, ModelFileError
from charrnn.inference.labelling import Labeller
from charrnn.inference.language_model import LanguageModel, restored
from charrnn.inference.restoration import TextRestorer
from charrnn.inference.tagging import Tagger
from charrnn.inference.transcription import Transcriber
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel, load_finite_model

_KINDS: dict[str, type[Labeller | Tagger | TextRestorer | Transcriber]] = {
    "label": Labeller,
    "tags": Tagger,
    "restore": TextRestorer,
    "pairs": Transcriber,
}


def load(
    path: str | Path, *, threads: int = 0, precision: str = "auto"
) -> LanguageModel | Labeller | Tagger | TextRestorer | Transcriber:
    """Read a model file; 0 threads: one for each processor; ``precision`` as in ``Network``.

    Raises ``ModelFileError`` where the file is missing, damaged or foreign, or where its weights
    are not finite, ``UsageError`` for a value of another type or range.
    """
    require_path("path", path)
    check_machine(threads, precision)
    return model_of(load_finite_model(path), threads=threads, precision=precision)


def model_of(
    saved: SavedModel, *, threads: int = 0, precision: str = "auto"
) -> LanguageModel | Labeller | Tagger | TextRestorer | Transcriber:
    """The model that a file holds; arguments and errors are those of ``load``."""
    if saved.config.writes:
        return restored(saved, {"threads": threads, "precision": precision})
    network = Network(saved.config, threads=threads, precision=precision)
    network.load(saved.tensors)
    return reader_of(saved, network)


def reader_of(saved: SavedModel, network: Network) -> Labeller | Tagger | TextRestorer | Transcriber:
    """A model that reads, with its ``network``.

    Raises ``ModelFileError`` where its labels or what it says of its texts make no sense.
    """
    try:
        return _KINDS[saved.config.task](network, saved)
    except (CharrnnError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"the model's labels make no sense ({error}): train it anew"
        ) from error
