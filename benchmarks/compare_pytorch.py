"""charrnn beside PyTorch on the same machine: the same work, in turn, medians and ratios.

PyTorch gets its fused layers (``torch.nn.LSTM``, ``GRU``, ``RNN``), cross-entropy, clipping and
Adam for training; for sampling ``inference_mode`` and whichever is faster of the recurrent call and
its per-step cell. Every figure is the median of ``--rounds`` turns of at least half a second each.

    python benchmarks/compare_pytorch.py [--rounds 5] [--quick] [--large]

prints a Markdown table; with ``--large`` of networks, and a vocabulary, that take seconds a step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from charrnn.compute.target import HAS_BFLOAT16
from charrnn.config import ModelConfig, TrainingConfig
from charrnn.studies.benchmark import create_random_trainer, create_writer, write_texts

VOCABULARY = 68
LAYERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "elman": torch.nn.RNN}
CELLS = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "elman": torch.nn.RNNCell}

#: cell, layers, hidden size, lanes, steps; and the ratio to be reached.
TRAINING = [
    ("lstm", 2, 128, 50, 50, 1.6),
    ("lstm", 2, 256, 64, 64, 1.6),
    ("lstm", 2, 512, 64, 64, 1.6),
    ("lstm", 3, 512, 100, 100, 1.6),
    ("gru", 2, 128, 50, 50, 2.5),
    ("gru", 2, 256, 64, 64, 2.5),
    ("gru", 2, 512, 64, 64, 2.5),
    ("gru", 3, 512, 100, 100, 2.5),
    ("elman", 2, 256, 64, 64, 2.0),
]
#: The same of large ones, with characters in the vocabulary, and without a ratio to be reached.
LARGE = [
    ("lstm", 3, 1024, 64, 64, VOCABULARY),
    ("lstm", 2, 2048, 64, 64, VOCABULARY),
    ("lstm", 2, 512, 64, 64, 20_000),
]
#: cell, layers, hidden size, texts at once; and the ratio to be reached.
SAMPLING = [
    ("lstm", 2, 128, 1, 20),
    ("lstm", 2, 256, 1, 12),
    ("lstm", 2, 512, 1, 6),
    ("gru", 2, 128, 1, 10),
    ("gru", 2, 256, 1, 6),
    ("gru", 2, 512, 1, 3),
    ("lstm", 2, 256, 64, 3),
]


class Reference(torch.nn.Module):
    """The same network in PyTorch: one-hot or embedded characters, recurrent layers, a linear
    readout.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        cell, size, self.vocabulary = config.cell, config.hidden_size, config.vocabulary_size
        width = config.embedding_size or self.vocabulary
        self.embedding = (
            torch.nn.Embedding(self.vocabulary, width) if config.embedding_size else None
        )
        self.rnn = LAYERS[cell](width, size, config.layers)
        self.readout = torch.nn.Linear(size, self.vocabulary)
        widths = [width, *[size] * (config.layers - 1)]
        self.cells = torch.nn.ModuleList(CELLS[cell](width, size) for width in widths)

    def read(self, characters: torch.Tensor) -> torch.Tensor:
        if self.embedding:
            return self.embedding(characters)
        return torch.nn.functional.one_hot(characters, self.vocabulary).float()

    def train_step(self, batch, optimizer) -> None:
        inputs, targets = batch
        optimizer.zero_grad()
        outputs, _ = self.rnn(self.read(inputs))
        loss = torch.nn.functional.cross_entropy(self.readout(outputs).flatten(0, 1), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        optimizer.step()

    @torch.inference_mode()
    def sample_with_layers(self, texts: int, length: int) -> None:
        state, characters = None, torch.zeros(1, texts, dtype=torch.long)
        for _ in range(length):
            outputs, state = self.rnn(self.read(characters), state)
            chances = torch.softmax(self.readout(outputs[0]), dim=1)
            characters = torch.multinomial(chances, 1).T

    @torch.inference_mode()
    def sample_with_cells(self, texts: int, length: int) -> None:
        states, characters = [None] * len(self.cells), torch.zeros(texts, dtype=torch.long)
        for _ in range(length):
            x = self.read(characters)
            for number, cell in enumerate(self.cells):
                states[number] = cell(x, states[number])
                x = states[number][0] if isinstance(states[number], tuple) else states[number]
            characters = torch.multinomial(torch.softmax(self.readout(x), dim=1), 1)[:, 0]


@dataclass
class Contest:
    """Pieces of work that take turns, each with the characters that one call treats."""

    work: dict[str, tuple[Callable[[], object], int]]

    def medians(self, rounds: int, seconds: float) -> dict[str, float]:
        """Characters a second of each."""
        rates: dict[str, list[float]] = {name: [] for name in self.work}
        for call, _ in self.work.values():
            call()
        for _ in range(rounds):
            for name, (call, characters) in self.work.items():
                start, calls = time.perf_counter(), 0
                while time.perf_counter() - start < seconds:
                    call()
                    calls += 1
                rates[name].append(calls * characters / (time.perf_counter() - start))
        return {name: statistics.median(values) for name, values in rates.items()}


def config_of(cell, layers, size, vocabulary=VOCABULARY) -> ModelConfig:
    return ModelConfig.for_vocabulary(vocabulary, cell=cell, layers=layers, hidden_size=size)


def charrnn_trainer(config, lanes, steps, precision):
    options = TrainingConfig(
        batch_size=lanes, sequence_length=steps, steps=10**9, precision=precision, dropout=0.0
    )
    return create_random_trainer(config, options)


def training_contest(config, lanes, steps) -> Contest:
    trainer = charrnn_trainer(config, lanes, steps, "float32")
    reference = Reference(config)
    del reference.cells  # which only write
    optimizer = torch.optim.Adam(reference.parameters())
    batch = trainer.lanes.next()
    tensors = torch.tensor(batch.inputs).long(), torch.tensor(batch.targets).long().flatten()
    count = lanes * steps
    work = {
        "torch": (lambda: reference.train_step(tensors, optimizer), count),
        "charrnn": (trainer.train_step, count),
    }
    if HAS_BFLOAT16:
        halved = charrnn_trainer(config, lanes, steps, "bfloat16")

        def autocast() -> None:
            with torch.autocast("cpu", torch.bfloat16):
                reference.train_step(tensors, optimizer)

        work["torch bf16"] = (autocast, count)
        work["charrnn bf16"] = (halved.train_step, count)
    return Contest(work)


def sampling_contest(config, texts) -> Contest:
    reference = Reference(config)
    length = 512 if texts == 1 else 64
    short = 64 if texts == 1 else 16
    work = {
        "torch": (lambda: reference.sample_with_layers(texts, short), texts * short),
        "torch cells": (lambda: reference.sample_with_cells(texts, short), texts * short),
    }
    for name, precision in [("charrnn", "float32"), ("charrnn bf16", "bfloat16")]:
        if precision == "float32" or HAS_BFLOAT16:
            network = charrnn_trainer(config, 1, 1, precision).network
            writer = create_writer(network, length, temperature=1)
            work[name] = (lambda w=writer: write_texts(w, texts), texts * length)
    return Contest(work)


def row(what: str, rates: dict[str, float], goal: float | None) -> str:
    torch_rate = max(rates["torch"], rates.get("torch cells", 0))
    cells = [what, f"{torch_rate:,.0f}", f"{rates['charrnn']:,.0f}",
             f"{rates['charrnn'] / torch_rate:.2f}", f"{goal:g}" if goal else ""]  # fmt: skip
    if "charrnn bf16" in rates:
        cells.append(f"{rates['charrnn bf16']:,.0f}")
        cells.append(f"{rates['charrnn bf16'] / rates['charrnn']:.2f}")
        against = rates.get("torch bf16")
        cells.append(f"{rates['charrnn bf16'] / against:.2f}" if against else "")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="short turns, to see that it runs")
    parser.add_argument("--large", action="store_true", help="networks that take seconds a step")
    arguments = parser.parse_args()
    seconds = 0.05 if arguments.quick else 0.5
    names = ["work", "PyTorch", "charrnn", "ratio", "goal"]
    if HAS_BFLOAT16:
        names += ["charrnn bf16", "to float32", "to PyTorch bf16"]
    print("| " + " | ".join(names) + " |")
    print("|---" * len(names) + "|")
    if arguments.large:
        for cell, layers, size, lanes, steps, vocabulary in LARGE:
            contest = training_contest(config_of(cell, layers, size, vocabulary), lanes, steps)
            what = f"training, {cell} {layers}×{size}, {lanes} × {steps}, {vocabulary:,} characters"
            print(row(what, contest.medians(arguments.rounds, seconds), None), flush=True)
        return
    for cell, layers, size, lanes, steps, goal in TRAINING:
        contest = training_contest(config_of(cell, layers, size), lanes, steps)
        what = f"training, {cell} {layers}×{size}, {lanes} × {steps}"
        print(row(what, contest.medians(arguments.rounds, seconds), goal), flush=True)
    for cell, layers, size, texts, goal in SAMPLING:
        contest = sampling_contest(config_of(cell, layers, size), texts)
        what = f"sampling {texts} text{'s' * (texts > 1)}, {cell} {layers}×{size}"
        print(row(what, contest.medians(arguments.rounds, seconds), goal), flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
