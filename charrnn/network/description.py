"""What a network is, in words."""

from __future__ import annotations

from charrnn.cells import is_reservoir
from charrnn.config import ModelConfig
from charrnn.network.parameters import trained_weight_count, weight_count


def architecture(config: ModelConfig) -> str:
    """The shape of a network in a few words, such as 'lstm 2×128'."""
    cell = config.cell if config.activation == "tanh" else f"{config.cell} ({config.activation})"
    inputs = f", embedding {config.embedding_size}" if config.embedding_size else ""
    before = f", {config.dense_before} dense before each" if config.dense_before else ""
    readout = (
        f", readout {config.readout_layers}×{config.dense_size}" if config.readout_layers else ""
    )
    start = "" if config.initial_state == "zeros" else f", {config.initial_state} initial state"
    members = f", {config.members} members" if config.members > 1 else ""
    shape = f"{cell} {config.layers}×{config.hidden_size}{members}{inputs}{before}{readout}{start}"
    return shape + _reservoir(config) + _task(config)


def _reservoir(config: ModelConfig) -> str:
    """What is told of recurrent weights that are not trained."""
    if not is_reservoir(config.cell):
        return ""
    leak = "" if config.leakage == 1 else f", leak {config.leakage:g}"
    return f", spectral radius {config.radius:g}{leak}"


def weights(config: ModelConfig) -> str:
    """How many weights it has, and how many are trained where not all are."""
    all_of_them, trained = weight_count(config), trained_weight_count(config)
    told = "" if trained == all_of_them else f" ({trained:,} trained)"
    return f"{all_of_them:,}{told}"


def predicted(config: ModelConfig) -> str:
    """What its loss is the mean over."""
    if config.task == "pairs":
        return "symbol"
    return "text" if config.task == "label" else "character"


def _task(config: ModelConfig) -> str:
    """What it does, where that is not to write without labels."""
    if config.task == "pairs":
        symbols, labels = config.symbols, config.classes - config.symbols
        told = f", {labels} labels" if labels else ""
        way = "with attention" if config.answers else "by CTC"
        return f" both ways, writes {symbols} symbols {way}{told}"
    if config.writes:
        return f", told {config.classes} labels" if config.classes else ""
    told = {"label": "labels", "tags": "classes of tags", "restore": "edits"}[config.task]
    table = f", {config.ngram_buckets:,} buckets of n-grams" if config.ngram_buckets else ""
    return f" both ways, tells {config.classes} {told}{table}"
