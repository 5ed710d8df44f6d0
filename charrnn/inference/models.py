"""Any model, for what it does: one that writes, labels, tags or restores."""

from __future__ import annotations

from pathlib import Path

from charrnn.config import check_machine, require_path
from charrnn.inference.language_model import LanguageModel, restored
from charrnn.inference.readers import Labeller, Tagger, TextRestorer, reader_of
from charrnn.network.network import Network
from charrnn.storage.checkpoint import load_finite_model


def load(
    path: str | Path, *, threads: int = 0, precision: str = "auto"
) -> LanguageModel | Labeller | Tagger | TextRestorer:
    """Read a model file; 0 threads: one for each processor; ``precision`` as in ``Network``.

    Raises ``ModelFileError`` where the file is missing, damaged or foreign, or where its weights
    are not finite, ``UsageError`` for a value of another type or range.
    """
    require_path("path", path)
    check_machine(threads, precision)
    saved = load_finite_model(path)
    if saved.config.writes:
        return restored(saved, {"threads": threads, "precision": precision})
    network = Network(saved.config, threads=threads, precision=precision)
    network.load(saved.tensors)
    return reader_of(saved, network)
