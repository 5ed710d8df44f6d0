"""From gradients to an update: the schedule, clipping, Adam, SOAP, RMSprop and SGD.

How rates and decays were chosen is in docs/measurements.md.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from charrnn.compute import updates
from charrnn.compute.threads import Work, by_one, shared
from charrnn.compute.turns import no_fork
from charrnn.config import BASES, Plan
from charrnn.network.network import Network
from charrnn.network.nodes import Parameter
from charrnn.network.parameters import count_of, moment_sizes, rotated, views
from charrnn.training.processes import ALONE, Processes
from charrnn.training.rotation import Rotated

#: How much faster than all else the rows learn that characters choose: each sees its own
#: character only.
_TABLE_RATE = 4.0

#: Weight decay that counts at least where the growth of matrices is held down: without any they
#: grow for as long as a run lasts, and this stands for some thousand updates.
_LEAST_DECAY = 0.02

#: Updates that SOAP sees in one basis, once there have been as many; at first it changes with each
#: power of two.
_BASIS_LASTS = 32

#: How much more than the growth that a cell bears an update may change what a unit receives.
_AT_ONCE = 2.4


def learning_rate(highest: float, step: int, progress: float, plan: Plan) -> float:
    """The rate of update ``step`` (from 1): a linear rise, then half a cosine.

    ``progress`` is the share of the run that has passed, 0 … 1; the cosine ends at
    ``plan.final_rate`` of ``highest``.
    """
    warmth = min(1.0, step / (plan.warmup_steps + 1))
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0))
    return highest * warmth * (plan.final_rate + (1 - plan.final_rate) * cosine)


class Optimizer(ABC):
    """Clips a network's gradients and updates its values.

    ``rates`` is how much faster each value learns than the learning rate says, ``lasting`` is 1
    where weight decay takes nothing from it. ``moments`` and
    ``average``, the exponential average of the values, are all it remembers. All ``processes`` make
    the same updates.
    """

    #: Whether a value moves by about the learning rate in an update, whatever its gradient is.
    steps_alike = True

    def __init__(self, plan: Plan, network: Network, processes: Processes) -> None:
        self.plan, self.network, self.processes = plan, network, processes
        # Memory that is never written to, as that of values which are not trained, is not taken.
        sizes = moment_sizes(network.graph, plan.optimizer, network.values.size)
        self.moments = {name: np.zeros(size, network.dtype) for name, size in sizes.items()}
        self.average = network.values.copy()
        self.highest_rate = float(plan.learning_rate)
        self.decay = float(plan.weight_decay)  # an int would be another type to compile for
        self.rates, self.lasting = np.ones_like(network.values), np.zeros_like(network.values)
        rates, lasting = network.views(self.rates), network.views(self.lasting)
        for parameter in network.graph.parameters:
            rates[parameter.name][...] = self._rate_of(parameter)
            lasting[parameter.name][...] = not (parameter.trained and parameter.decayed)
        self.updates = 0
        self._blocks = network.values.size // updates.BLOCK
        self._sums = np.zeros(self._blocks, np.float64)
        # What comes before the first value that is trained is left alone.
        untrained = itertools.takewhile(lambda own: not own.trained, network.graph.parameters)
        held = count_of(list(untrained))
        self._first = held // updates.BLOCK
        # The rest of them, in a block with others: the mean of equals may be rounded.
        self._rest = slice(self._first * updates.BLOCK, held)

    def _rate_of(self, parameter: Parameter) -> float:
        if not parameter.trained:
            return 0.0
        if parameter.units:
            return self._bounded_rate(parameter)
        return _TABLE_RATE if parameter.chosen else 1.0

    def _bounded_rate(self, matrix: Parameter) -> float:
        """The share of the learning rate at which a matrix that reads units is to learn.

        Updates of ±rate that are mostly noise make its elements grow until weight decay takes away
        as much: to √(rate · units / (2 · decay)) times an orthogonal matrix. And an update whose
        elements all mean the same changes what a unit receives by up to rate · units at once.
        Beyond what a cell bears its units saturate, gradients explode, and the loss comes back
        late or never.
        """
        if not self.steps_alike:
            return 1.0
        reach = self.highest_rate * matrix.units
        growth = math.sqrt(reach / (2 * max(self.decay, _LEAST_DECAY)))
        return min(1.0, matrix.most_growth / max(growth, reach / _AT_ONCE))

    def restart(self) -> None:
        """Forget all gradients so far; the average begins anew with the values as they are."""
        for moment in self.moments.values():
            moment[:] = 0
        self.average[:] = self.network.values
        self.updates = 0

    def gradient_norm(self, count: float) -> float:
        """Euclidean norm of the gradient of the mean over ``count`` losses; may be NaN or inf."""

        def work(first: int, last: int) -> None:
            updates.squares_of_blocks(self.network.gradients, self._sums, first, last)

        self.network.team.run(self._shared(work))
        return math.sqrt(self._sums.sum()) / count

    def update(self, count: float, norm: float, rate: float) -> None:
        """One update with the gradient of the mean over ``count`` losses, whose norm is given.

        It is scaled down to ``clip_norm`` where it is longer, then each element is cut to
        ±``clip_value``.
        """
        plan = self.plan
        # Each of several members has a gradient of its own, and what it is to be at most.
        longest = plan.clip_norm * math.sqrt(self.network.config.members)
        shrink = min(1.0, longest / norm) if longest and norm else 1.0
        self.updates += 1
        limit = plan.clip_value or math.inf
        # A long memory would keep the first weights: it grows with the updates that there are.
        decay = min(plan.averaging, (1 + self.updates) / (10 + self.updates))

        update = updates.Update(shrink / count, limit, rate, self.decay)

        def average(first: int, last: int) -> None:
            updates.average(self.network.values, self.average, decay, first, last)

        with no_fork:
            self.network.team.run(
                *self._changes(update), self._shared(average), *self.network.packing(updated=True)
            )
            self.average[self._rest] = self.network.values[self._rest]

    def _shared(self, work: Callable[[int, int], None]) -> Work:
        """Of which each thread does some of the blocks that are trained."""
        first = self._first
        return shared(self._blocks - first, lambda a, b: work(first + a, first + b))

    @property
    def _learned(self) -> updates.Learned:
        return updates.Learned(
            self.network.values, self.network.gradients, self.rates, self.lasting
        )

    def _changes(self, update: updates.Update) -> list[Work]:
        """The work that changes the values."""
        return [self._shared(lambda first, last: self._apply(update, first, last))]

    @abstractmethod
    def _apply(self, update: updates.Update, first: int, last: int) -> None:
        """Update the blocks ``first … last`` of the values."""


class Adam(Optimizer):
    """Adam: steps of about the rate in the direction of the mean gradient."""

    def _apply(self, update: updates.Update, first: int, last: int) -> None:
        updates.adam(
            self._learned, self.moments["mean"], self.moments["square"], update,
            self.plan.beta1, self.plan.beta2, self.updates, first, last,
        )  # fmt: skip


class Soap(Adam):
    """SOAP: Adam, but for matrices that read units in the basis of what they read.

    There elements are cut to ±``clip_value`` in that basis. It is the first one's in all
    ``processes``.
    """

    def __init__(self, plan: Plan, network: Network, processes: Processes) -> None:
        super().__init__(plan, network, processes)
        rates, parameters = network.views(self.rates), rotated(network.graph)
        moments = {
            name: views(moment, parameters, squares=True)
            if name in BASES
            else network.views(moment)
            for name, moment in self.moments.items()
        }
        self._rotated = []
        for name in (parameter.name for parameter in parameters):
            own = {key: moment[name] for key, moment in moments.items()}
            self._rotated.append(Rotated(name, network, own, float(rates[name].flat[0])))
            rates[name][...] = 0  # it changes by what is rotated back

    def _each(self, work: Callable[[Rotated, int, int], None]) -> Work:
        def of_all(part: int, parts: int) -> None:
            for matrix in self._rotated:
                work(matrix, part, parts)

        return of_all

    def _changes(self, update: updates.Update) -> list[Work]:
        def renew() -> None:
            for matrix in self._rotated:
                matrix.renew(self.processes)

        step = update.rate, self.plan.beta1, self.plan.beta2, self.updates
        due = self.updates % _BASIS_LASTS == 0 or self.updates.bit_count() == 1
        return [
            self._each(lambda matrix, *part: matrix.read(update.scale, *part)),
            self._each(Rotated.multiply),
            self._each(Rotated.learn),
            *([by_one(renew)] if due else []),
            self._each(Rotated.pack),
            self._each(lambda matrix, *part: matrix.rotate(update.scale, *part)),
            *super()._changes(update),
            self._each(lambda matrix, *part: matrix.change(step, *part)),
        ]


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of its mean square."""

    def _apply(self, update: updates.Update, first: int, last: int) -> None:
        updates.rmsprop(self._learned, self.moments["square"], update, self.plan.beta2, first, last)


class SGD(Optimizer):
    """Gradient descent with momentum ``beta1``."""

    steps_alike = False

    def _apply(self, update: updates.Update, first: int, last: int) -> None:
        updates.sgd(self._learned, self.moments["velocity"], update, self.plan.beta1, first, last)


_METHODS: dict[str, type[Adam] | type[Soap] | type[RMSprop] | type[SGD]] = {
    "adam": Adam,
    "soap": Soap,
    "rmsprop": RMSprop,
    "sgd": SGD,
}


def create_optimizer(plan: Plan, network: Network, processes: Processes = ALONE) -> Optimizer:
    """The optimizer that ``plan`` names, for a network prepared for training.

    All ``processes`` make the same updates.
    """
    return _METHODS[plan.optimizer](plan, network, processes)
