"""Small models, each trained once in a session, and models whose probabilities are known."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from subprocesses import ROOT

from charrnn.config import ModelConfig, TextConfig, TrainingConfig
from charrnn.inference.language_model import LanguageModel
from charrnn.network.network import Network
from charrnn.network.parameters import parameter_shapes
from charrnn.storage.checkpoint import SavedModel, save_model
from charrnn.text.vocabulary import Vocabulary
from charrnn.training.setup import create_trainer
from charrnn.training.trainer import Trainer

FABLES = ROOT / "corpora" / "fables.txt"
DINOSAURS = ROOT / "corpora" / "dinosaurs.txt"


def small_trainer(*sources, text=None, layers=1, hidden_size=16, shape=None, **training) -> Trainer:
    """A run of seconds at most; 40 steps of 16 lanes × 32 unless ``training`` says otherwise.

    In float32, as models are read: what a run measures is then measured again to the last bit.
    """
    given = {"batch_size": 16, "sequence_length": 32, "warmup_steps": 10, "validations": 4}
    given["precision"] = "float32"
    limits = {"epochs", "steps", "budget"} & training.keys()
    given |= training if limits else {"steps": 40, **training}
    return create_trainer(
        [str(source) for source in sources or [FABLES]],
        text,
        TrainingConfig(**given),
        layers=layers,
        hidden_size=hidden_size,
        **(shape or {}),
    )


def run(trainer: Trainer) -> list:
    """All records of a run."""
    return list(trainer.run())


@functools.cache
def fables() -> SavedModel:
    """A model of a single document that has learned common words, and no text by heart."""
    trainer = small_trainer(hidden_size=32, layers=2, steps=400, batch_size=32, optimizer="adam")
    run(trainer)
    return trainer.best


@functools.cache
def dinosaurs() -> SavedModel:
    """A model of names, each of which ends."""
    lines = TextConfig(lines=True)
    trainer = small_trainer(DINOSAURS, text=lines, hidden_size=32, steps=300, batch_size=32)
    run(trainer)
    return trainer.best


def with_biases(characters: str, *, documents=1, biases=(), **shape) -> SavedModel:
    """A model without memory: every character has the same probability, but for ``biases``.

    These are pairs of a token and its logit; all others are 0.
    """
    vocabulary = Vocabulary(characters)
    config = ModelConfig(vocabulary.size, **{"layers": 1, "hidden_size": 3, **shape})
    tensors = {name: np.zeros(s, np.float32) for name, s in parameter_shapes(config).items()}
    for token, logit in biases:
        tensors["readout.bias"][token] = logit
    return SavedModel(config, vocabulary, tensors, {"documents": documents})


def told_writer() -> SavedModel:
    """A model that knows authors and sexes, and writes any character whatever it is told."""
    model = with_biases("abc", documents=2, classes=4)
    labels = ("austen", "female", "male", "melville")
    training = {"documents": 4, "label_counts": [[1, 2, 3, 4]]}
    return SavedModel(model.config, model.vocabulary, model.tensors, training, labels)


def save_unchecked(path, model: SavedModel) -> None:
    """Write a model file as another program may: with weights that are not finite, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SavedModel, "finite", True)
        save_model(path, model)


def language_model(saved: SavedModel, *, threads=1) -> LanguageModel:
    """The model as ``charrnn.load`` would give it."""
    network = Network(saved.config, threads=threads)
    network.load(saved.tensors)
    return LanguageModel(network, saved.vocabulary, saved.training, saved.labels, saved.history)


def live_model(trainer: Trainer) -> LanguageModel:
    """The network of a run as it is, as a model: it changes with every step."""
    return LanguageModel(trainer.network, trainer.vocabulary, trainer.origin, trainer.labels)
