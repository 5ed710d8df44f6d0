"""The training loop: truncated backpropagation through time over lanes, as a stream of records.

It prints nothing and writes no file: whoever runs it shows the records and keeps what
``Trainer.best`` holds.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.checkpoint import ResumeState, SavedModel
from charrnn.compute.turns import in_turn
from charrnn.config import TrainingConfig
from charrnn.corpus import Lanes
from charrnn.description import architecture
from charrnn.errors import TrainingError, UsageError
from charrnn.evaluation import evaluate
from charrnn.extent import Extent
from charrnn.language_model import LanguageModel
from charrnn.model import Batch
from charrnn.optimizer import create_optimizer, learning_rate
from charrnn.parameters import parameter_count, views
from charrnn.planning import complete

#: Updates in a row whose gradients are not finite before a run is given up.
MOST_SKIPPED = 10

#: Positions of the validation text that are read each time: little beside what a large corpus
#: takes to train on.
VALIDATION_POSITIONS = 2**18

#: Attributes of a trainer that are counts, and go into a resume file as they are.
_COUNTS = ("step", "skipped", "_skipped_in_a_row", "_intervals", "_in_vain")


@dataclass(frozen=True)
class Record:
    """One step of training."""

    step: int  # updates so far, this one included
    characters: int  # characters trained on so far
    epoch: float  # the same in passes over the training text
    progress: float  # share of the run that has passed, 0 … 1
    loss: float  # mean of the step's losses, nats per character
    learning_rate: float  # of this update
    gradient_norm: float  # before clipping; NaN or infinite where the update was skipped
    skipped: int  # updates skipped so far because the gradient was not finite
    seconds: float  # since the first step was made
    characters_per_second: float  # mean over the run, validation included
    validation_loss: float | None = None  # nats per character, where the step ends an interval
    improved: bool = False  # whether ``Trainer.best`` is new


class Trainer:
    """A training run; ``run`` makes it, step by step.

    ``training`` and ``validation`` are token arrays of ``charrnn.corpus``; an empty validation
    array means none. ``best`` is the model with the lowest validation loss so far (without
    validation: that of the last interval), None before the first interval has ended. Steps
    take turns with what other threads ask of ``model``.
    """

    def __init__(
        self,
        model: LanguageModel,
        training: np.ndarray,
        validation: np.ndarray,
        config: TrainingConfig,
    ) -> None:
        self.model = model
        self.network = network = model.network
        network.prepare_training()
        self.validation = validation[: VALIDATION_POSITIONS + 1]
        if config.patience and not validation.size:
            raise UsageError("--patience needs a text to validate on, and there is none: give "
                             "--validation, or leave --patience out")  # fmt: skip
        self.positions = len(training) - 1
        asked = config
        config = complete(config, network, self.positions, len(self.validation))
        self.config = config
        batch, length = Lanes.fit(self.positions, config.batch_size or 1, config.sequence_length)
        self._too_short = asked.batch_size not in (None, batch) or asked.sequence_length != length
        self.lanes = Lanes(training, batch, length)
        self.optimizer = create_optimizer(config, network)
        self.state = network.initial_state(batch)
        self.rng = np.random.default_rng([config.seed, 1])
        self.step = self.skipped = self._skipped_in_a_row = self._intervals = 0
        self._in_vain = 0  # validations since the best
        self.best_loss = math.inf
        self.best: SavedModel | None = None
        self.extent = Extent(config, self.positions / (batch * length))
        self._stopping = False

    @property
    def remarks(self) -> list[str]:
        """What a user should know before the run: its sizes, and what was out of the ordinary."""
        config, lanes = self.network.config, self.lanes
        remarks = [
            f"{architecture(config)}, {parameter_count(config):,} weights, "
            f"{config.vocabulary_size} characters with the special ones; {self.positions:,} "
            f"characters to learn, {max(len(self.validation) - 1, 0):,} to validate",
            f"{lanes.batch} lanes × {lanes.length} steps, {self.config.optimizer} with a learning "
            f"rate of {self.optimizer.highest_rate:g}, weight decay {self.optimizer.decay:g}, "
            f"dropout {self.config.dropout:g}, {self.config.precision}",
        ]
        if self.validation.size:
            remarks[-1] += f", {self.config.validations} validations"
        if self.config.budget and self.config.most_epochs:
            remarks.append(
                f"a text of {self.positions:,} characters is learned in "
                f"{self.config.most_epochs:.0f} passes: the run ends there, before its "
                f"{self.config.budget:g} s are over; --epochs makes more of them"
            )
        if self._too_short:
            remarks.append("the text is too short for more lanes")
        if not self.validation.size:
            remarks.append("no validation text: the last model is kept, not the best")
        return remarks

    @property
    def out_of_patience(self) -> bool:
        """Whether as many validations in a row were no better as ``config.patience`` says."""
        return 0 < self.config.patience <= self._in_vain

    def stop(self) -> None:
        """Let ``run`` end after the step at hand."""
        self._stopping = True

    def run(self) -> Iterator[Record]:
        """Train; yield a record after each update.

        Raises ``TrainingError`` after ``MOST_SKIPPED`` updates in a row without a finite gradient.
        """
        while self._progress() < 1 and not self.out_of_patience:
            record = self.train_step()
            stopping = self._stopping
            if (passed := self._intervals_passed()) > self._intervals:
                self._intervals = passed
                record = self._close_interval(record)
                self._in_vain = 0 if record.improved else self._in_vain + 1
            elif stopping and math.isinf(self.best_loss):
                record = self._close_interval(record)
                # A run that was not stopped has no validation here: let the next one count.
                self.best_loss = math.inf
            yield record
            if stopping:
                return

    @in_turn
    def averaged(self) -> LanguageModel:
        """A model with the averaged weights, which are those that are kept."""
        network = self.network.with_values(self.optimizer.average)
        return LanguageModel(network, self.model.vocabulary, self.model.training)

    def _progress(self) -> float:
        return self.extent.progress(self.step)

    def _intervals_passed(self) -> int:
        """Those between validations, at the ends of which the text is read."""
        return int(min(self._progress(), 1.0) * (self.config.validations or 1))

    @in_turn
    def capture(self) -> ResumeState:
        """Everything that the coming steps depend on, as it is between two steps."""
        moments = {f"moment.{name}": m for name, m in self.optimizer.moments.items()}
        average = self.optimizer.average
        arrays = {"values": self.network.values, "average": average, "state": self.state, **moments}
        counts = {name: getattr(self, name) for name in _COUNTS}
        return ResumeState(
            {name: array.copy() for name, array in arrays.items()},
            {
                **counts,
                "position": self.lanes.position,
                "updates": self.optimizer.updates,
                "best_loss": self.best_loss,
                "best": self.best.training if self.best else None,
                "seconds": self.extent.seconds,
                "rng": self.rng.bit_generator.state,
                "corpus": self._fingerprint,
                "shape": dataclasses.asdict(self.network.config),
                "training": dataclasses.asdict(self.config),
                "origin": self.model.training,
                "characters": self.model.vocabulary.characters,
            },
        )

    def restore(self, saved: ResumeState, best: SavedModel | None) -> None:
        """Go on from ``saved``; ``best`` is the best model of the run so far, if it has one.

        It is not needed where it is that of the very step at which ``saved`` was captured. Raises
        ``UsageError`` where the corpus, the shape or the optimizer is not that of the saved run.
        """
        values = saved.values
        if changed := _differences(saved, self.capture()):
            raise UsageError(f"the run to go on with was started with another {changed}: "
                             "give the same, or start anew with --force")  # fmt: skip
        for name in _COUNTS:
            setattr(self, name, values[name])
        self.model.training = values["origin"]
        with self.network.turns.take():
            self.network.values[:] = saved.arrays["values"]
            self.network.pack()
        self.state = saved.arrays["state"]
        self.optimizer.average[:] = saved.arrays["average"]
        for name, moment in self.optimizer.moments.items():
            moment[:] = saved.arrays[f"moment.{name}"]
        self.lanes.position = values["position"]
        self.optimizer.updates = values["updates"]
        self.rng.bit_generator.state = values["rng"]
        figures = values["best"]
        self.best = self._snapshot(figures) if figures and figures["steps"] == self.step else best
        self.best_loss = values["best_loss"] if self.best else math.inf
        self.extent.before = values["seconds"]
        # A run that is made longer has more intervals before it than its schedule says.
        self._intervals = min(self._intervals, self._intervals_passed())

    @functools.cached_property
    def _fingerprint(self) -> str:
        """Hash of what is learned and validated on, the vocabulary included."""
        digest = hashlib.sha256(self.model.vocabulary.characters.encode())
        for tokens in (self.lanes.tokens, self.validation):
            digest.update(np.ascontiguousarray(tokens).data)
        return digest.hexdigest()

    @in_turn
    def train_step(self) -> Record:
        """One update: the next chunk forward and backward, clipping, the optimizer."""
        batch = Batch(*self.lanes.next())
        dropout = (self.config.dropout or 0.0, int(self.rng.integers(2**32)))
        losses, self.state = self.network.loss_and_gradients(batch, self.state, dropout)
        norm = self.optimizer.gradient_norm(losses.size)
        self.step += 1
        rate = learning_rate(self.optimizer.highest_rate, self.step, self._progress(), self.config)
        if math.isfinite(norm):
            self.optimizer.update(losses.size, norm, rate)
            self._skipped_in_a_row = 0
        else:
            self._skip()
        self.extent.start()  # after the first step, which compiled: a budget is for training
        return self._record(float(losses.mean(dtype=np.float64)), norm, rate, losses.size)

    def _skip(self) -> None:
        """Leave the weights as they are, and forget a state that may be the cause."""
        self.skipped += 1
        self._skipped_in_a_row += 1
        self.state = self.network.initial_state(self.lanes.batch)
        if self._skipped_in_a_row == MOST_SKIPPED:
            raise TrainingError(
                f"training came to nothing: {MOST_SKIPPED} gradients in a row were not finite at "
                f"step {self.step}; try a smaller --learning-rate or --clip-norm"
            )

    def _record(self, loss: float, norm: float, rate: float, size: int) -> Record:
        characters, seconds = self.step * size, self.extent.seconds
        return Record(
            step=self.step,
            characters=characters,
            epoch=characters / self.positions,
            progress=min(self._progress(), 1.0),
            loss=loss,
            learning_rate=rate,
            gradient_norm=norm,
            skipped=self.skipped,
            seconds=seconds,
            characters_per_second=(characters - size) / seconds if self.step > 1 else 0.0,
        )

    def _close_interval(self, record: Record) -> Record:
        """Validate, and keep the model if it is the best so far."""
        if self.validation.size:
            loss = evaluate(self.averaged().network, self.validation).nats_per_character
            record = dataclasses.replace(record, validation_loss=loss)
            improved = loss < self.best_loss
        else:
            finite = np.isfinite(self.optimizer.average).all()
            improved = bool(finite) and math.isfinite(record.loss)
        if improved:
            self.best_loss = record.validation_loss or self.best_loss
            self.best = self._snapshot({**self.model.training, **self._figures(record)})
        return dataclasses.replace(record, improved=improved)

    def _figures(self, record: Record) -> dict[str, Any]:
        """What a model file says of the run so far."""
        return {
            "steps": record.step,
            "characters": record.characters,
            "seconds": round(record.seconds, 1),
            "training_loss": record.loss,
            "validation_loss": record.validation_loss,
            "skipped": record.skipped,
            "options": dataclasses.asdict(self.config),
        }

    def _snapshot(self, training: dict[str, Any]) -> SavedModel:
        """The model as it is now, its weights averaged, with its origin and figures."""
        config = self.network.config
        tensors = views(self.optimizer.average.copy(), config)
        return SavedModel(config, self.model.vocabulary, tensors, training)


def _differences(then: ResumeState, now: ResumeState) -> str:
    """What a run to go on with has otherwise than this one, with both values; empty: nothing."""
    one, other = ({**state.values["shape"], **_identity(state)} for state in (then, now))
    pairs = ((name, one.get(name), value) for name, value in other.items())
    return ", ".join(f"{name} ({old}; now {new})" for name, old, new in pairs if old != new)


def _identity(state: ResumeState) -> dict[str, str]:
    """Of a run, as a user knows it: the corpus, told apart by its hash, and the optimizer."""
    values = state.values
    files = ", ".join(values["origin"].get("corpus", ()))
    return {
        "corpus": f"{files} {values['corpus'][:8]}".strip(),
        "optimizer": values["training"]["optimizer"],
    }
