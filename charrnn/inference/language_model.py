"""A trained model as a library offers it: load, save, sample, evaluate."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.compute.turns import in_turn
from charrnn.config import check_machine, require_path, require_text, require_whole
from charrnn.inference.expectation import Expected, expected_after
from charrnn.inference.sampling import TOGETHER, Writer, check_temperature
from charrnn.inference.scoring import ScoredLines, score_text
from charrnn.network.network import Network
from charrnn.storage.checkpoint import SavedModel, load_finite_model, save_model
from charrnn.storage.summary import reads_lines
from charrnn.text.vocabulary import START, Vocabulary
from charrnn.training import evaluation
from charrnn.training.adaptation import evaluate_adapting
from charrnn.training.trainer import Trainer


class LanguageModel:
    """A network and the characters it knows.

    ``training`` says where it came from (JSON values). A model of a single document has hardly
    seen an end, if at all: its texts are as long as asked for.

    Several threads may call it: they take turns, and each gets what it would get alone. A model may
    be used in a child process after a fork, pickled and copied. A call that interrupts another one,
    from a signal handler, raises ``UsageError``.
    """

    def __init__(self, network: Network, vocabulary: Vocabulary, training: dict[str, Any]) -> None:
        self.network, self.vocabulary, self.training = network, vocabulary, training

    @in_turn
    def save(self, path: str | Path) -> None:
        """Write a model file, atomically. Raises ``ModelFileError``."""
        save_model(path, self._saved(self.network.parameters))

    @in_turn
    def __reduce__(self) -> tuple:
        saved = self._saved(copy.deepcopy(self.network.parameters))
        return _restored, (saved, self.network.options)

    def _saved(self, tensors: dict[str, np.ndarray]) -> SavedModel:
        return SavedModel(self.network.config, self.vocabulary, tensors, self.training)

    def texts(
        self,
        length: int,
        *,
        temperature: float = 1.0,
        prime: str = "",
        count: int = 1,
        seed: int | None = None,
    ) -> Iterator[str]:
        """Write ``count`` texts one after the other, in pieces as they come.

        Each begins with ``prime`` and is followed by a line end; see ``sample``. Text k is the
        same for the same ``seed``, whatever ``count`` is. Many texts are written side by side.
        Raises ``UsageError`` at once for a value of another type or range.
        """
        require_whole("count", count, 1)
        _check_request(length, temperature, prime, seed)
        return self._texts(length, temperature, prime, count, _seed_or_some(seed))

    def _texts(
        self, length: int, temperature: float, prime: str, count: int, seed: int
    ) -> Iterator[str]:
        writer = self._writer(temperature)
        for first in range(0, count, TOGETHER):
            numbers = range(first, min(first + TOGETHER, count))
            pieces = self._pieces(writer, length, prime, numbers, seed)
            if count == 1:
                yield prime
                yield from (piece for (piece,) in pieces)
                yield "\n"
            else:
                written = [prime + "".join(text) for text in zip(*pieces, strict=True)]
                yield from (text + "\n" for text in written or [prime] * len(numbers))

    def sample(
        self,
        length: int = 200,
        *,
        temperature: float = 1.0,
        prime: str = "",
        seed: int | None = None,
    ) -> str:
        """New text that goes on from ``prime``, without it.

        It ends with the end token or after ``length`` characters. Temperature 0 always takes the
        likeliest character, 1 follows the model, more is wilder. The same ``seed`` gives the
        same text. Raises ``UsageError`` for a value of another type or range.
        """
        _check_request(length, temperature, prime, seed)
        writer = self._writer(temperature)
        pieces = self._pieces(writer, length, prime, range(1), _seed_or_some(seed))
        return "".join(piece for (piece,) in pieces)

    def _writer(self, temperature: float) -> Writer:
        may_end = self.training.get("documents", 1) > 1
        return Writer(self.network, temperature=temperature, may_end=may_end)

    def _pieces(
        self, writer: Writer, length: int, prime: str, numbers: range, seed: int
    ) -> Iterator[list[str]]:
        read = self.vocabulary.encode(prime)
        for arrays in writer.write(numbers, length=length, prime=read, seed=seed):
            yield [self.vocabulary.decode(array) for array in arrays]

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

    def score(self, text: str, *, lines: bool | None = None) -> ScoredLines:
        """What each line and each character of ``text`` tells, in bits.

        With ``lines`` every line is a document, else the text is one; None: as the model was
        trained. Raises ``UsageError`` where ``text`` is no ``str``.
        """
        require_text("what is scored", text)
        lines = reads_lines(self.training) if lines is None else lines
        return score_text(self, text, lines=lines)

    def expect(self, prime: str = "", *, temperature: float = 1.0) -> list[Expected]:
        """What may follow ``prime``, the likeliest first; see ``expected_after``."""
        return expected_after(self, prime, temperature)


def _check_request(length: Any, temperature: Any, prime: Any, seed: Any) -> None:
    """Raise ``UsageError`` unless a text can be written so."""
    require_whole("length", length, 0)
    check_temperature(temperature)
    require_text("prime", prime)
    if seed is not None:
        require_whole("seed", seed, 0)


def _seed_or_some(seed: int | None) -> int:
    return int(np.random.default_rng().integers(2**63)) if seed is None else seed


def load(path: str | Path, *, threads: int = 0, precision: str = "auto") -> LanguageModel:
    """Read a model file; 0 threads: one for each processor; ``precision`` as in ``Network``.

    Raises ``ModelFileError`` where the file is missing, damaged or foreign, or where its weights
    are not finite, ``UsageError`` for a value of another type or range.
    """
    require_path("path", path)
    check_machine(threads, precision)
    return _restored(load_finite_model(path), {"threads": threads, "precision": precision})


def averaged_model(trainer: Trainer) -> LanguageModel:
    """What a run has learned so far: a model with its averaged weights, apart from the run."""
    return LanguageModel(trainer.averaged(), trainer.vocabulary, trainer.origin)


def _restored(saved: SavedModel, options: dict[str, Any]) -> LanguageModel:
    network = Network(saved.config, **options)
    network.load(saved.tensors)
    return LanguageModel(network, saved.vocabulary, saved.training)
