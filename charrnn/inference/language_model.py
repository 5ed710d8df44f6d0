"""A trained model as a library offers it: load, save, sample, evaluate."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.compute.constraints import Copies
from charrnn.compute.turns import in_turn
from charrnn.config import (
    SamplingConfig,
    check_machine,
    require_path,
    require_text,
    require_whole,
)
from charrnn.errors import UsageError
from charrnn.inference.choosing import anything, choosing, only_matches
from charrnn.inference.expectation import Expected, expected_after
from charrnn.inference.pattern import compile_pattern
from charrnn.inference.scoring import ScoredLines, score_text
from charrnn.inference.texts import Author, some_seed
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel, load_writer, save_model
from charrnn.storage.summary import reads_lines
from charrnn.text.labels import Labels
from charrnn.text.vocabulary import START, Vocabulary
from charrnn.training import evaluation
from charrnn.training.adaptation import evaluate_adapting
from charrnn.training.trainer import Trainer


class LanguageModel:
    """A network, the characters it knows and the labels that it may be told.

    ``training`` says where it came from, ``history`` how its run went (JSON values). A model of a
    single document has hardly seen an end, if at all: its texts are as long as asked for.

    Several threads may call it: they take turns, and each gets what it would get alone. A model may
    be used in a child process after a fork, pickled and copied. A call that interrupts another one,
    from a signal handler, raises ``UsageError``.
    """

    def __init__(
        self,
        network: Network,
        vocabulary: Vocabulary,
        training: dict[str, Any],
        labels: tuple[str, ...] = (),
        history: dict[str, Any] | None = None,
    ) -> None:
        self.network, self.vocabulary, self.training = network, vocabulary, training
        self.labels, self.history = labels, history

    @in_turn
    def told(self, labels: Mapping[str, float] | None) -> LanguageModel:
        """The same model, to which all texts have these ``labels``, each with its weight.

        A weight of 1 is what a label has in training; others mix labels, stress them or turn away
        from them. None: the labels that this model was told. Raises ``UsageError`` for a label
        that it does not know, and for a weight that is no number from -1000 to 1000.
        """
        if labels is None:
            return self
        if not self.labels:
            raise UsageError(
                "the model knows no labels: train one with `labels`, from columns or files"
            )
        weights = Labels(self.labels).weights(labels)
        network = self.network.with_values(self.network.values, weights.tolist())
        return LanguageModel(network, self.vocabulary, self.training, self.labels, self.history)

    @in_turn
    def save(self, path: str | Path) -> None:
        """Write a model file, atomically. Raises ``ModelFileError``."""
        save_model(path, self._saved(self.network.parameters))

    @in_turn
    def __reduce__(self) -> tuple:
        saved = self._saved(copy.deepcopy(self.network.parameters))
        return restored, (saved, self.network.options)

    def _saved(self, tensors: dict[str, np.ndarray]) -> SavedModel:
        config = self.network.config
        return SavedModel(
            config, self.vocabulary, tensors, self.training, self.labels, self.history
        )

    def texts(
        self,
        length: float = 200,
        *,
        count: int = 1,
        prime: str = "",
        seed: int | None = None,
        **choices: Any,
    ) -> Iterator[str]:
        """Write ``count`` texts one after the other, in pieces as they come.

        Each begins with ``prime`` and is followed by a line end; see ``sample``. Text k is the one
        that ``seed`` + k alone would write. Many texts are written side by side. Raises
        ``UsageError`` at once for a value of another type or range.
        """
        require_whole("count", count, 1)
        seed = some_seed(seed)
        _check_prime(prime)
        author = self.author(length=length, **choices)
        if count == 1:
            return itertools.chain([prime], author.stream(prime, seed), ["\n"])
        seeds = range(seed, seed + count)
        return (text.whole + "\n" for text in author.texts(itertools.repeat(prime), seeds))

    def sample(
        self, length: float = 200, *, prime: str = "", seed: int | None = None, **choices: Any
    ) -> str:
        """New text that goes on from ``prime``, without it.

        It ends with the end token or after ``length`` characters. ``choices`` are fields of
        ``charrnn.config.SamplingConfig``, such as ``temperature``, or what else ``author`` takes.
        The same ``seed`` gives the same text. Raises ``UsageError`` for a value of another type or
        range, and for a text without end.
        """
        _check_prime(prime)
        (text,) = self.author(length=length, **choices).texts([prime], [some_seed(seed)])
        return text.written

    def author(
        self,
        config: SamplingConfig | None = None,
        *,
        copies: Copies | None = None,
        dropped: bool = False,
        labels: Mapping[str, float] | None = None,
        **choices: Any,
    ) -> Author:
        """Who writes texts as ``config`` says, or as ``choices``, which are fields of one.

        ``copies`` is what may not be copied (see ``choosing.copies_of``); with ``dropped`` a text
        ends before what was to end it; ``labels`` are those of the texts (see ``told``). Raises
        ``UsageError`` for a value of another type or range.
        """
        config = config or SamplingConfig(**{name: _plain(own) for name, own in choices.items()})
        may_end = self.training.get("documents", 1) > 1 and not config.ignore_end
        if config.match is None:
            allowed = anything(self.vocabulary.size, self.network.dtype, may_end=may_end)
        else:
            pattern = compile_pattern(config.match, self.vocabulary)
            allowed = only_matches(
                pattern, self.network.dtype, may_end=may_end, length=config.length
            )
        chosen = choosing(config, self.vocabulary, allowed, copies)
        network = self.told(labels).network
        return Author(network, self.vocabulary, config, chosen, dropped=dropped)

    @in_turn
    def evaluate(self, text: str, *, adapt: bool = False) -> evaluation.Evaluation:
        """Loss of ``text`` as one document, its end included.

        To ``adapt`` is to learn from each piece of the text once it has been predicted; the model
        stays as it is. Raises ``UsageError`` where ``text`` is no ``str``.
        """
        require_text("what is evaluated", text)
        tokens = np.concatenate([[START], self.vocabulary.encode(text), [START]])
        measure = evaluate_adapting if adapt else evaluation.evaluate
        return measure(self.network, tokens)

    def score(
        self,
        text: str,
        *,
        lines: bool | None = None,
        labels: Mapping[str, float] | None = None,
    ) -> ScoredLines:
        """What each line and each character of ``text`` tells, in bits.

        With ``lines`` every line is a document, else the text is one; None: as the model was
        trained. ``labels`` are those of all (see ``told``). Raises ``UsageError`` where ``text`` is
        no ``str``.
        """
        require_text("what is scored", text)
        lines = reads_lines(self.training) if lines is None else lines
        return score_text(self.told(labels), text, lines=lines)

    def expect(
        self,
        prime: str = "",
        *,
        temperature: float = 1.0,
        labels: Mapping[str, float] | None = None,
    ) -> list[Expected]:
        """What may follow ``prime``, the likeliest first; see ``expected_after``.

        ``labels`` are those of the text (see ``told``).
        """
        return expected_after(self.told(labels), prime, temperature)


def _plain(value: Any) -> Any:
    """A number of NumPy as Python's own; anything else as it is."""
    return value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value


def _check_prime(prime: Any) -> None:
    require_text("prime", prime)


def load(path: str | Path, *, threads: int = 0, precision: str = "auto") -> LanguageModel:
    """Read the file of a model that writes; 0 threads: one for each processor.

    ``precision`` is as in ``Network``.
    Raises ``ModelFileError`` where the file is missing, damaged or foreign, or where its weights
    are not finite, ``UsageError`` for a value of another type or range.
    """
    require_path("path", path)
    check_machine(threads, precision)
    return restored(load_writer(path), {"threads": threads, "precision": precision})


def averaged_model(trainer: Trainer) -> LanguageModel:
    """What a run has learned so far: a model with its averaged weights, apart from the run."""
    return LanguageModel(trainer.averaged(), trainer.vocabulary, trainer.origin, trainer.labels)


def restored(saved: SavedModel, options: dict[str, Any]) -> LanguageModel:
    """A model that writes, with the ``options`` of its network."""
    network = Network(saved.config, **options)
    network.load(saved.tensors)
    return LanguageModel(network, saved.vocabulary, saved.training, saved.labels, saved.history)
