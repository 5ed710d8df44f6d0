"""How fast this machine trains, evaluates and samples, and how far that is from its limit."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from charrnn.compute import limits
from charrnn.compute.target import VECTOR_BYTES
from charrnn.compute.threads import Team, share
from charrnn.config import ModelConfig, SamplingConfig, TrainingConfig
from charrnn.inference.choosing import anything, choosing
from charrnn.inference.sampling import TOGETHER, Writer
from charrnn.network.network import Network
from charrnn.studies.profile import profile_steps
from charrnn.text.dataset import Dataset
from charrnn.text.running import RunningText
from charrnn.text.vocabulary import SPECIALS, Vocabulary
from charrnn.training.needs import check_run
from charrnn.training.planning import training_precision
from charrnn.training.processes import ALONE, Processes
from charrnn.training.trainer import Trainer

#: Rounds whose median is the figure, and the seconds that each takes at least.
_ROUNDS, _SECONDS = 5, 0.3

#: Characters of the text that is learned.
_POSITIONS = 2**18

#: Bytes that are read to measure the memory: more than any cache holds.
_MEMORY_BYTES = 512 * 2**20


def _rate(work: Callable[[], float]) -> float:
    """Median of units of work a second; ``work`` returns how many units it did."""
    work()
    rates = []
    for _ in range(_ROUNDS):
        start, done = time.perf_counter(), 0.0
        while time.perf_counter() - start < _SECONDS:
            done += work()
        rates.append(done / (time.perf_counter() - start))
    return statistics.median(rates)


def measure_limit(threads: int) -> dict[str, float]:
    """FP32 multiply-adds in GFLOP/s and memory reads in GB/s, on all threads together."""
    team = Team(threads)
    lanes = VECTOR_BYTES // 4
    sums = [np.zeros(limits.CHAINS * lanes, np.float32) for _ in range(team.threads)]
    turns = 200_000

    def multiply_adds() -> float:
        team.run(lambda part, parts: limits.multiply_adds(sums[part], turns))
        return 2 * limits.CHAINS * lanes * turns * team.threads

    block = 4 * lanes
    memory = np.ones(_MEMORY_BYTES // 4, np.float32)

    def reads() -> float:
        def work(part: int, parts: int) -> None:
            first, last = share(memory.size // block, part, parts)
            limits.read(memory, first * block, last * block)

        team.run(work)
        return memory.nbytes

    return {"gflops": _rate(multiply_adds) / 1e9, "gigabytes_per_second": _rate(reads) / 1e9}


def weights_in_products(network: Network) -> int:
    """Weights that a character is multiplied with: all matrices but a table of rows."""
    matrices = (p for p in network.graph.parameters if len(p.shape) == 2 and not p.chosen)
    return sum(math.prod(matrix.shape) for matrix in matrices)


def create_random_trainer(
    config: ModelConfig, training: TrainingConfig, processes: Processes = ALONE
) -> Trainer:
    """A training run on random characters: speed does not depend on what they are."""
    rng = np.random.default_rng(0)
    check_run(config, training, _POSITIONS, processes)
    precision = training_precision(training)
    network = Network(config, threads=training.threads, precision=precision)
    network.initialize(rng=rng)
    tokens = rng.integers(SPECIALS, config.vocabulary_size, _POSITIONS).astype(np.uint16)
    texts = RunningText(tokens), RunningText(tokens[:0])
    dataset = Dataset(Vocabulary(_characters(config)), *texts, {})
    return Trainer(network, dataset, training, processes)


def _characters(config: ModelConfig) -> str:
    """As many as the vocabulary has."""
    return "".join(chr(0x4E00 + n) for n in range(config.vocabulary_size - SPECIALS))


def benchmark(
    config: ModelConfig,
    training: TrainingConfig,
    *,
    profile: bool = False,
    choosers: bool = False,
) -> dict[str, dict[str, float]]:
    """Measure the limit, a training step, evaluation and sampling, one text and many at once.

    Characters a second are medians. A training step is the whole of it: forward, backward,
    clipping, update, packing. Precision "auto" is what it is in use: in training another than in
    evaluation and sampling. FLOPs are 6 for each weight and character in training, 2 otherwise.
    With ``profile`` the seconds of a step are told apart; with ``choosers`` the speed of each way
    of choosing a character, as a percentage of plain sampling's.
    """
    limit = measure_limit(training.threads or Team(2**16).threads)
    trainer = create_random_trainer(config, training)
    network = Network(config, threads=training.threads, precision=training.precision)
    network.load(trainer.network.parameters)
    weights = weights_in_products(network)
    batch = trainer.lanes.next()
    state = network.initial_state(trainer.lanes.batch)
    size = batch.inputs.size

    def step() -> float:
        trainer.train_step()
        return size

    def evaluation() -> float:
        network.losses(batch, state)
        return size

    def figures(rate: float, flops: int) -> dict[str, float]:
        gflops = rate * flops * weights / 1e9
        percent = 100 * gflops / limit["gflops"]
        return {"characters_per_second": rate, "gflops": gflops, "percent_of_limit": percent}

    one, many = (create_writer(network, length, temperature=1) for length in (512, 64))
    result = {
        "limit": limit,
        "training": figures(_rate(step), 6),
        "evaluation": figures(_rate(evaluation), 2),
        "sampling": figures(_rate(lambda: write_texts(one, 1)), 2),
        "sampling_batch": figures(_rate(lambda: write_texts(many, TOGETHER)), 2),
    }
    if profile:
        result["profile"] = profile_steps(trainer)
    if choosers:
        result["choosers"] = choosing_speeds(network)
    return result


#: What each way of choosing is asked for where its speed is measured.
_WAYS: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.8},
    "repetition penalty": {"repetition_penalty": 1.1},
    "dry": {"dry": 0.8},
    "top k": {"top_k": 40},
    "typical": {"typical": 0.95},
    "top p": {"top_p": 0.95},
    "min p": {"min_p": 0.05},
    "mirostat": {"mirostat": 2.0},
}


def choosing_speeds(network: Network) -> dict[str, float]:
    """Characters a second of each way of choosing, as a percentage of plain sampling's.

    One text, in turns with plain sampling. The least time of each counts: a text is written in a
    few milliseconds, of which another program's turn on the processor would be a multiple.
    """
    plain = create_writer(network, 2048, temperature=1)
    writers = {name: create_writer(network, 2048, **own) for name, own in _WAYS.items()}

    def seconds(writer: Writer) -> float:
        start = time.perf_counter()
        write_texts(writer, 1)
        return time.perf_counter() - start

    beside = {name: [math.inf, math.inf] for name in writers}  # plain sampling's, and its own
    for _ in range(3 * _ROUNDS):
        for name, writer in writers.items():
            now = seconds(plain), seconds(writer)
            beside[name] = [min(least, new) for least, new in zip(beside[name], now, strict=True)]
    return {name: 100 * least / own for name, (least, own) in beside.items()}


def create_writer(network: Network, length: int, **choices: Any) -> Writer:
    """Who writes texts of full length; ``choices`` are fields of ``SamplingConfig``."""
    characters = Vocabulary(_characters(network.config))
    allowed = anything(characters.size, network.dtype, may_end=False)
    config = SamplingConfig(length=length, **choices)
    return Writer(network, choosing(config, characters, allowed))


def write_texts(writer: Writer, texts: int) -> float:
    """Write texts; return how many characters that were."""
    pieces = writer.write([np.empty(0, np.int32)] * texts, range(texts))
    return sum(piece.tokens.size for some in pieces for piece in some)
