"""Compiling beforehand all that models of a kind need, by doing with a tiny one what users do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from charrnn.cells import CELLS, most_layers
from charrnn.config import TextConfig, TrainingConfig
from charrnn.inference.language_model import LanguageModel
from charrnn.inference.models import load
from charrnn.storage.checkpoint import save_model
from charrnn.training.setup import create_trainer

#: What models are trained for: with these options of the text, on these lines.
_TASKS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "the fox and the crow\nthe hare and the tortoise\n" * 50),
    ({"task": "label"}, "the fox\tone\nthe crow\tother\n" * 50),
    ({"task": "restore", "restore": "case"}, "The Fox and the Crow\n" * 50),
    ({"task": "pairs"}, "the fox\tfox the\n" * 50),
    ({"task": "pairs", "decoder": "ctc"}, "the fox\tthe fox\n" * 50),
)


def prepare(cells: Iterable[str], precision: str = "auto") -> None:
    """Compile what training, sampling, measuring and reading with these cells take.

    ``precision`` is as in ``TrainingConfig``; "auto" is what each of these takes by itself. Raises
    ``UsageError`` for one that the processor does not have.
    """
    training = TrainingConfig(
        steps=2, validations=1, batch_size=8, sequence_length=8, precision=precision
    )
    with tempfile.TemporaryDirectory() as folder:
        for cell in cells:
            for text, lines in _TASKS:
                corpus = Path(folder) / "corpus.txt"
                corpus.write_text(lines, encoding="utf-8")
                for activation in (own for name, own in CELLS if name == cell):
                    shape = {"cell": cell, "activation": activation, "layers": most_layers(cell)}
                    _use(corpus, TextConfig(**text), training, shape)


def _use(corpus: Path, text: TextConfig, training: TrainingConfig, shape: dict[str, Any]) -> None:
    """Train a tiny model on the corpus, and let it write or read."""
    shape |= {"layers": min(2, shape["layers"]), "hidden_size": 16}
    trainer = create_trainer([str(corpus)], text, training, **shape)
    for _ in trainer.run():
        pass
    assert trainer.best is not None
    path = corpus.with_suffix(".safetensors")
    save_model(path, trainer.best)
    model = load(path, precision=training.precision)
    line, *_ = corpus.read_text(encoding="utf-8").splitlines()[0].split("\t")
    if isinstance(model, LanguageModel):
        _write(model, line)
    else:
        list(model.answers([line]))


def _write(model: LanguageModel, line: str) -> None:
    """Write, with the plain chooser and with the one that can do all; measure, look ahead."""
    model.sample(8, seed=0)
    model.sample(8, seed=0, top_k=5)
    model.evaluate(line)
    model.score(line)
    model.expect(line)
