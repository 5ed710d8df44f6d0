"""What a model is made of and where it came from, as names and values. Needs no Numba."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from charrnn.config import ModelConfig
from charrnn.network.description import architecture
from charrnn.network.parameters import trained_weight_count, weight_count
from charrnn.storage.checkpoint import SavedModel, checksum_of
from charrnn.text.alphabet import told_apart


def reads_lines(training: dict[str, Any]) -> bool:
    """Whether every line was a document in the ``training`` that a model tells of."""
    text = training.get("text", {})
    return bool(text.get("lines", False)) or text.get("labels") == "columns"


def _trained(config: ModelConfig) -> int | None:
    """How many of the weights are trained, where not all are."""
    trained = trained_weight_count(config)
    return trained if trained < weight_count(config) else None


def describe(model: SavedModel) -> dict[str, Any]:
    """Everything that ``info`` tells, in order; absent figures are left out."""
    training = model.training
    loss = training.get("validation_loss")
    of_pairs = model.config.task == "pairs"
    symbols, labels = told_apart(model.labels) if of_pairs else ((), model.labels)
    figures = {
        "architecture": architecture(model.config),
        **dataclasses.asdict(model.config),
        "decoder": model.config.decoder or None,
        "weights": weight_count(model.config),
        "trained_weights": _trained(model.config),
        "checksum": checksum_of(model.tensors),
        "finite": model.finite,
        "characters": model.vocabulary.characters,
        "output_symbols": list(symbols) or None,
        "labels": list(labels) or None,
        "validation_loss": loss,
        "validation_bits": loss / math.log(2) if loss is not None else None,
        "training_loss": training.get("training_loss"),
        "temperature": training.get("temperature"),
        "steps": training.get("steps"),
        "characters_trained": training.get("characters"),
        "seconds": training.get("seconds"),
        "skipped_updates": training.get("skipped"),
        "returns": training.get("returns"),
        "init_from": training.get("init_from"),
        "corpus": training.get("corpus"),
        "corpus_characters": training.get("corpus_characters"),
        "documents": training.get("documents"),
        "text": training.get("text"),
        "options": training.get("options"),
        "charrnn_version": training.get("version"),
    }
    return {name: value for name, value in figures.items() if value is not None}
