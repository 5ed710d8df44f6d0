"""The training loop: truncated backpropagation through time over lanes, as a stream of records.

It prints nothing and writes no file: whoever runs it shows the records and keeps what
``Trainer.best`` holds.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from charrnn.compute.turns import in_turn
from charrnn.config import BASES, TrainingConfig
from charrnn.errors import TrainingError, UsageError
from charrnn.network.network import Network
from charrnn.network.parameters import parameter_count, state_shape
from charrnn.storage.checkpoint import ResumeState, SavedModel
from charrnn.storage.metadata import ATTRIBUTES
from charrnn.text.batch import Batch
from charrnn.text.dataset import Dataset
from charrnn.text.running import Lanes
from charrnn.training.clock import Extent
from charrnn.training.history import History
from charrnn.training.identity import fingerprint_of, refuse_another
from charrnn.training.optimizer import create_optimizer, learning_rate
from charrnn.training.planning import complete
from charrnn.training.processes import ALONE, Processes
from charrnn.training.record import Record
from charrnn.training.recovery import SLOWER, Recovery
from charrnn.training.validation import divide_logits, validate

#: Updates in a row whose gradients are not finite before a run is given up.
MOST_SKIPPED = 10

#: Most positions of the validation text that are read each time, however long the run; they are
#: spread over it.
VALIDATION_POSITIONS = 2**18


class Trainer:
    """A training run; ``run`` makes it, step by step.

    ``dataset`` is what it learns from and is validated on. ``best`` is the model with the lowest
    validation loss so far (without validation: that of the last interval), None before the first
    interval has ended. Steps take turns with what other threads ask of ``network``.

    ``processes`` make the run together: each has a trainer, with the same data, network and
    configuration, and calls the same methods. The clock, and whether to ``stop``, are the first's.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        config: TrainingConfig,
        processes: Processes = ALONE,
    ) -> None:
        self.network, self.processes = network, processes
        self.vocabulary, self.origin = dataset.vocabulary, dataset.origin
        self.labels, self.training = dataset.labels, dataset.training
        self.held_back = dataset.validation
        network.prepare_training()
        if config.patience and not self.held_back.positions:
            raise UsageError("`patience` needs a text to validate on, and there is none: give "
                             "`validation`, or leave `patience` out")  # fmt: skip
        self.positions = self.training.positions
        most = min(self.held_back.positions, VALIDATION_POSITIONS)
        self.plan = plan = complete(config, network, self.positions, most, processes)
        self.validation = self.held_back.sample(plan.validation_positions)
        for head in network.heads:
            head.smoothing = plan.label_smoothing
        batch, length = Lanes.fit(self.positions, plan.batch_size, plan.sequence_length)
        # Whether there are fewer lanes, or shorter ones, than were asked for.
        self.too_short = (batch, length) != (plan.batch_size, plan.sequence_length)
        self.own_lanes = processes.share(batch)
        self.lanes = self.training.lanes(batch, length, seed=plan.seed, own=self.own_lanes)
        self.optimizer = create_optimizer(plan, network, processes)
        self.state = self._initial_state()
        self.rng = np.random.default_rng([plan.seed, 1])
        self.step = self.skipped = self._skipped_in_a_row = self._intervals = 0
        self._in_vain = 0  # validations since the best
        self.best_loss = math.inf
        self._best: SavedModel | None = None
        self.extent = Extent(plan, self.lanes.epoch)
        self.seconds = 0.0  # that the run has taken, as the first process last told it
        self.history, self.recovery = History(), Recovery.create(network.values, batch * length)
        self.size_planned = False  # whether the network's size was left open
        self._asked_to_stop = self._stopping = False

    @property
    def best(self) -> SavedModel | None:
        """The best model so far, with what the run remembers until now."""
        return self._best and dataclasses.replace(self._best, history=self.history.figures)

    @property
    def out_of_patience(self) -> bool:
        """Whether as many validations in a row were no better as ``plan.patience`` says."""
        return 0 < self.plan.patience <= self._in_vain

    @property
    def complete(self) -> bool:
        """Whether there is no step left to make."""
        return self.progress >= 1 or self.out_of_patience

    @property
    def progress(self) -> float:
        """The share of the run that has passed; 1 and more: all of it."""
        return self.extent.progress(self.step, self.seconds)

    def stop(self) -> None:
        """Let ``run`` end after the step at hand."""
        self._asked_to_stop = True

    def run(self) -> Iterator[Record]:
        """Train; yield a record after each update.

        Raises ``TrainingError`` after ``MOST_SKIPPED`` updates in a row without a finite gradient.
        """
        while not self.complete:
            record = self.train_step()
            stopping = self._stopping
            if (passed := self._intervals_passed()) > self._intervals:
                self._intervals = passed
                record = self._close_interval(record)
                self._in_vain = 0 if record.improved else self._in_vain + 1
                self.history.validated(record)
            elif stopping and math.isinf(self.best_loss):
                record = self._close_interval(record)
                # A run that was not stopped has no validation here: let the next one count.
                self.best_loss = math.inf
            yield record
            if stopping:
                return

    @in_turn
    def averaged(self) -> Network:
        """A network with the averaged weights, which are those that are kept."""
        return self.network.with_values(self.optimizer.average)

    def _initial_state(self) -> np.ndarray:
        """Of the own lanes, before any document."""
        first, last = self.own_lanes
        return self.network.initial_state(last - first)

    def _intervals_passed(self) -> int:
        """Those between validations, at the ends of which the text is read."""
        return int(min(self.progress, 1.0) * self.plan.validations)

    @in_turn
    def capture(self) -> ResumeState:
        """Everything that the coming steps depend on, as it is between two steps."""
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        arrays["state"] = np.concatenate(self.processes.all(arrays["state"]), axis=2)
        return ResumeState(arrays, self._values())

    def _arrays(self) -> dict[str, np.ndarray]:
        """The arrays of a resume file, as views; what pads them is zero, and left out.

        Of the state there are the own lanes.
        """
        config, optimizer = self.network.config, self.optimizer
        moments = {f"moment.{name}": moment for name, moment in optimizer.moments.items()}
        flat = {"values": self.network.values, "average": optimizer.average,
                "recovery": self.recovery.weights, **moments}  # fmt: skip
        count = parameter_count(config)
        bases = {f"moment.{name}" for name in BASES}
        arrays = {n: array if n in bases else array[:count] for n, array in flat.items()}
        return {**arrays, "state": self.state[..., : state_shape(config)[2]]}

    def _values(self) -> dict[str, Any]:
        """The JSON values of a resume file, as ``metadata.read_resume`` names them."""
        return {
            **{name: getattr(self, name) for name in ATTRIBUTES},
            "best": self._best.training if self._best else None,
            "history": self.history.figures,
            "lanes": self.lanes.batch,
            "position": self.lanes.position,
            "updates": self.optimizer.updates,
            "seconds": self.seconds,
            "recovery": self.recovery.figures,
            "rng": self.rng.bit_generator.state,
            "corpus": self.fingerprint,
            "shape": dataclasses.asdict(self.network.config),
            "training": dataclasses.asdict(self.plan),
            "origin": self.origin,
            "characters": self.vocabulary.characters,
            "labels": self.labels,
        }

    def restore(self, saved: ResumeState, best: SavedModel | None) -> None:
        """Go on from ``saved``; ``best`` is the best model of the run so far, if it has one.

        It is not needed where it is that of the very step at which ``saved`` was captured. Raises
        ``UsageError`` where the corpus, the shape or the optimizer is not that of the saved run.
        """
        values = saved.values
        refuse_another(values, self._values())
        for name in ATTRIBUTES:
            setattr(self, name, values[name])
        self.origin = values["origin"]
        arrays = {**saved.arrays, "state": saved.arrays["state"][:, :, slice(*self.own_lanes)]}
        with self.network.turns.take():
            for name, array in self._arrays().items():
                array[...] = arrays[name]
            self.network.pack()
        recovery = self.recovery
        self.recovery = Recovery(recovery.weights, recovery.horizon, **values["recovery"])
        self.history = History.of(values["history"])
        self.lanes.position = values["position"]
        self.optimizer.updates = values["updates"]
        self.rng.bit_generator.state = values["rng"]
        figures = values["best"]
        self._best = self._snapshot(figures) if figures and figures["steps"] == self.step else best
        if not self._best:
            self.best_loss = math.inf
        self.extent.before = self.seconds = values["seconds"]
        # A run that is made longer has more intervals before it than its schedule says.
        self._intervals = min(self._intervals, self._intervals_passed())

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of what is learned and validated on, the vocabulary included."""
        held_back = (array[: VALIDATION_POSITIONS + 1] for array in self.held_back.arrays)
        return fingerprint_of(self.vocabulary, (*self.training.arrays, *held_back))

    @in_turn
    def train_step(self) -> Record:
        """One update: the next chunk forward and backward, clipping, the optimizer."""
        batch = self.lanes.next()
        dropout = (self.plan.dropout, int(self.rng.integers(2**32)))
        losses, self.state = self.network.loss_and_gradients(batch, self.state, dropout)
        nats, count, read = self._exchange(losses, batch)
        count = count or 1.0  # where nothing counts there is nothing to divide
        norm = self.optimizer.gradient_norm(count)
        self.step += 1
        loss, rate = nats / count, self._rate()
        if math.isfinite(norm):
            self.optimizer.update(count, norm, rate)
            self._skipped_in_a_row = 0
            self.recovery.note(loss, self.optimizer.average, self.step)
        else:
            self._skip()
        self.extent.start()  # after the first step, which compiled: a budget is for training
        record = self._record(loss, norm, rate, int(read))
        self.history.note(record)
        return self._go_back(record) if self.recovery.is_lost else record

    def _exchange(self, losses: np.ndarray, batch: Batch) -> tuple[float, float, float]:
        """Let all processes have the sum of their gradients, and the first one's decisions.

        Returns the sums of the losses, of how many targets count, and of positions.
        """
        nats = float(losses.sum(dtype=np.float64))
        own = [nats, batch.count, batch.read, self.extent.seconds, self._asked_to_stop]
        told = self.processes.exchange(self.network.gradients, np.array(own, np.float64))
        self.seconds, self._stopping = float(told[0, 3]), bool(told[0, 4])
        nats, count, read = told[:, :3].sum(axis=0).tolist()
        return nats, count, read

    def _rate(self) -> float:
        """Of the update at hand; after a return it rises again from zero, less high."""
        highest = self.optimizer.highest_rate * SLOWER**self.recovery.returns
        since = self.step - self.recovery.returned_at
        return learning_rate(highest, since, self.progress, self.plan)

    def _go_back(self, record: Record) -> Record:
        """Go on from the weights that the run had before it lost its way."""
        self.recovery.turn_back(self.step)
        self.network.values[:] = self.recovery.weights
        self.network.pack()
        self.optimizer.restart()
        self.state = self._initial_state()
        return dataclasses.replace(record, returned_to=self.recovery.step)

    def _skip(self) -> None:
        """Leave the weights as they are, and forget a state that may be the cause."""
        self.skipped += 1
        self._skipped_in_a_row += 1
        self.state = self._initial_state()
        if self._skipped_in_a_row == MOST_SKIPPED:
            clips = 0 < self.plan.clip_norm < math.inf
            clip = "`clip_norm`" if clips else f"clip with `clip_norm` {TrainingConfig.clip_norm:g}"
            raise TrainingError(
                f"training came to nothing: {MOST_SKIPPED} gradients in a row were not finite at "
                f"step {self.step}; try a smaller `learning_rate` or {clip}"
            )

    def _record(self, loss: float, norm: float, rate: float, size: int) -> Record:
        characters, seconds = self.lanes.read, self.seconds
        return Record(
            step=self.step,
            characters=characters,
            epoch=characters / self.positions,
            progress=min(self.progress, 1.0),
            loss=loss,
            learning_rate=rate,
            gradient_norm=norm,
            skipped=self.skipped,
            seconds=seconds,
            # None have passed after the first step, nor after one of a run stopped there.
            characters_per_second=(characters - size) / seconds if seconds else 0.0,
        )

    def _close_interval(self, record: Record) -> Record:
        """Validate, and keep the model if it is the best so far."""
        better = math.isfinite(record.loss)
        temperature = None
        if self.validation.positions:
            loss, temperature = validate(self.averaged(), self.validation, self.processes)
            self.seconds = self.processes.first(lambda: self.extent.seconds)
            record = dataclasses.replace(record, validation_loss=loss)
            better = loss < self.best_loss
        improved = better and bool(np.isfinite(self.optimizer.average).all())
        if improved:
            self.best_loss = record.validation_loss or self.best_loss
            figures = {**self._figures(record), "temperature": temperature}
            self._best = self._snapshot({**self.origin, **figures})
        return dataclasses.replace(record, improved=improved)

    def _figures(self, record: Record) -> dict[str, Any]:
        """What a model file says of the run so far."""
        return {
            "steps": record.step,
            "characters": record.characters,
            "seconds": round(record.seconds, 1),
            "training_loss": record.loss if math.isfinite(record.loss) else None,
            "validation_loss": record.validation_loss,
            "skipped": record.skipped,
            "returns": self.recovery.returns,
            "options": dataclasses.asdict(self.plan),
        }

    def _snapshot(self, training: dict[str, Any]) -> SavedModel:
        """The model as it is now, its weights averaged, with its origin and figures."""
        config = self.network.config
        tensors = self.network.views(self.optimizer.average.copy())
        if config.task == "pairs" and training["temperature"]:
            divide_logits(self.network.graph, tensors, training["temperature"])
        return SavedModel(config, self.vocabulary, tensors, training, self.labels)
