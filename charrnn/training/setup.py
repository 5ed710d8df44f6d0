"""From files to a training run: the texts, the shape of the network, its first weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.config import DECODERS, ModelConfig, TextConfig, TrainingConfig, require_path
from charrnn.errors import UsageError
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel, load_finite_model
from charrnn.text.alphabet import Alphabet
from charrnn.text.dataset import Dataset, read_dataset
from charrnn.text.display import decoded
from charrnn.text.vocabulary import Vocabulary
from charrnn.training.needs import check_run
from charrnn.training.planning import training_precision, with_lanes, with_length
from charrnn.training.processes import ALONE, Processes
from charrnn.training.reasons import reasons
from charrnn.training.sizes import MOST_MEMBERS, suited_buckets, suited_shape
from charrnn.training.trainer import Trainer
from charrnn.training.transfer import (
    carry_over,
    refuse_another_task,
    refuse_new_characters,
    shape_of,
)


def create_trainer(
    sources: Sequence[str],
    text: TextConfig | None = None,
    training: TrainingConfig | None = None,
    *,
    init_from: str | Path | None = None,
    vocabulary: Vocabulary | None = None,
    labels: tuple[str, ...] = (),
    processes: Processes = ALONE,
    **shape: Any,
) -> Trainer:
    """Read a corpus and set up a training run on it with a new network.

    ``sources`` are files, or "-" for standard input. ``shape`` is that of the network, as
    ``ModelConfig.for_vocabulary`` takes it. ``init_from`` names a model to start from: its shape,
    its weights, its characters and those of the corpus, its labels. A ``vocabulary`` and
    ``labels`` that are given stay as they are. Of several ``processes`` each calls this with the
    same arguments and reads the files. Raises ``CorpusError``, ``UsageError`` or
    ``ModelFileError``.
    """
    text, training = text or TextConfig(), training or TrainingConfig()
    _check_kinds(sources, text, training)
    if init_from is not None:
        require_path("init_from", init_from)
    start = load_finite_model(init_from) if init_from else None
    if start:
        refuse_another_task(start, text)
    rng = np.random.default_rng([training.seed, 0])
    known = start.vocabulary.characters if start else ""
    labels = start.labels if start else labels
    dataset = read_dataset(
        sources, text, rng=rng, vocabulary=vocabulary, known=known, labels=labels
    )
    if start:
        dataset.origin["init_from"] = decoded(Path(str(init_from)).name)
        # Before the sizes are looked at: a larger one would be refused as well.
        refuse_new_characters(start, dataset.vocabulary.size)
        shape = shape_of(start, shape)
    if processes.count > 1:
        training = with_lanes(with_length(training, dataset), dataset.training.positions, processes)
    config = shape_for(dataset, training, processes=processes, **shape)
    trainer = trainer_on(dataset, config, training, rng=rng, start=start, processes=processes)
    _refuse_other_texts(trainer)
    trainer.size_planned = shape.get("hidden_size") is None
    trainer.origin["reasons"] = list(reasons(trainer).values())
    return trainer


def _refuse_other_texts(trainer: Trainer) -> None:
    """Raise ``UsageError`` where not all processes have read the same."""
    processes = trainer.processes
    if processes.count > 1 and len(set(processes.all(trainer.fingerprint))) > 1:
        raise UsageError("the processes have read different texts: give the files the same "
                         "contents on all machines")  # fmt: skip


def _check_kinds(sources: Any, text: Any, training: Any) -> None:
    """Raise ``UsageError`` for one name instead of a list, or one configuration for another."""
    if isinstance(sources, str) or not isinstance(sources, Sequence):
        raise UsageError(f"sources must be a list of files such as ['a.txt'], not {sources!r}")
    for source in sources:
        require_path("every source", source)
    for name, value, kind in (("text", text, TextConfig), ("training", training, TrainingConfig)):
        if not isinstance(value, kind):
            raise UsageError(f"{name} must be a {kind.__name__}, not {value!r}")


def shape_for(
    dataset: Dataset,
    training: TrainingConfig,
    *,
    hidden_size: int | None = None,
    members: int | None = None,
    processes: Processes = ALONE,
    **shape: Any,
) -> ModelConfig:
    """The shape of a network for a run on ``dataset``; without a ``hidden_size``, one that suits.

    So it is with ``members`` too, where neither is given. ``shape`` is the rest, as
    ``ModelConfig.for_vocabulary`` takes it. Raises ``UsageError``.
    """
    if hidden_size is not None:
        shape["hidden_size"] = hidden_size
    shape["members"] = members
    shape |= {name: dataset.origin["text"][name] for name in ("task", "multiple")}
    shape["classes"] = len(dataset.labels)
    text = TextConfig(**dataset.origin["text"])
    if text.task == "pairs":
        alphabet = Alphabet.of(dataset.labels, spaced=text.target_symbols)
        shape |= {"symbols": len(alphabet.symbols), "decoder": text.decoder or DECODERS[0]}
    texts = dataset.training
    if shape.get("ngram_buckets") is None:
        suited = suited_buckets(texts.positions, shape["classes"])
        shape["ngram_buckets"] = suited if shape["task"] == "label" else 0
    config = ModelConfig.for_vocabulary(dataset.vocabulary.size, **shape)
    if hidden_size is not None:
        return config
    training = with_length(training, dataset)
    most = MOST_MEMBERS if members is None and config.can_have_members else 1
    return suited_shape(
        config, training, texts.positions, texts.targets, processes, most_members=most
    )


def trainer_on(
    dataset: Dataset,
    config: ModelConfig,
    training: TrainingConfig,
    *,
    rng: np.random.Generator,
    start: SavedModel | None = None,
    processes: Processes = ALONE,
) -> Trainer:
    """A training run on ``dataset`` with a new network, whose first weights ``rng`` draws.

    Those that the model to ``start`` from has are taken from there. Raises ``CharrnnError`` where
    the memory is too small.
    """
    training = with_length(training, dataset)
    check_run(config, training, dataset.training.positions, processes)
    precision = training_precision(training)
    network = Network(config, threads=training.threads, precision=precision)
    network.initialize(rng=rng)
    if start:
        carry_over(start, network)
    return Trainer(network, dataset, training, processes)
