"""Pairs: charrnn beside the same network in PyTorch, in turn, medians and ratios.

    python benchmarks/pairs_pytorch.py PAIRS.tsv [--hidden-size 128] [--rounds 5] [--symbols]

trains both with attention on the pairs of one chunk after another. PyTorch gets its fused LSTM,
packed sequences for what is read, padded ones for what is written, sorted by length, Adam and
clipping.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from compare_pytorch import Contest, row
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from charrnn.compute.target import HAS_BFLOAT16
from charrnn.config import TextConfig, TrainingConfig
from charrnn.text.batch import Batch
from charrnn.text.vocabulary import START
from charrnn.training.setup import create_trainer

#: Chunks that take turns.
_CHUNKS = 8


class Reference(torch.nn.Module):
    """The network of ``charrnn.network.graph`` with two layers on either side."""

    def __init__(self, inputs: int, symbols: int, size: int) -> None:
        super().__init__()
        self.inputs, self.symbols, self.size = inputs, symbols, size
        self.reader = torch.nn.LSTM(inputs, size, 2, batch_first=True, bidirectional=True)
        self.first = torch.nn.LSTM(symbols, size, batch_first=True)
        self.second = torch.nn.LSTM(size, size, batch_first=True)
        self.starts = torch.nn.ModuleList(torch.nn.Linear(2 * size, 2 * size) for _ in range(2))
        self.key = torch.nn.Linear(2 * size, size, bias=False)
        self.value = torch.nn.Linear(2 * size, size, bias=False)
        self.both = torch.nn.Linear(2 * size, size)
        self.readout = torch.nn.Linear(size, symbols)

    def forward(self, left, lengths, right):
        one_hot = torch.nn.functional.one_hot
        packed = pack_padded_sequence(one_hot(left, self.inputs).float(), lengths, batch_first=True)
        outputs, (h, _) = self.reader(packed)
        y, _ = pad_packed_sequence(outputs, batch_first=True)
        ends = torch.cat([h[-2], h[-1]], dim=1)
        states = [
            tuple(part[None].contiguous() for part in torch.tanh(start(ends)).chunk(2, dim=1))
            for start in self.starts
        ]
        q, _ = self.first(one_hot(right, self.symbols).float(), states[0])
        energies = q @ self.key(y).transpose(1, 2) / self.size**0.5
        nothing = torch.arange(y.shape[1])[None] >= lengths[:, None]
        shares = energies.masked_fill(nothing[:, None], float("-inf")).softmax(dim=2)
        z = torch.tanh(self.both(torch.cat([shares @ self.value(y), q], dim=2)))
        z, _ = self.second(z, states[1])
        return self.readout(z)

    def train_step(self, batch, optimizer) -> None:
        left, lengths, right, targets = batch
        optimizer.zero_grad()
        logits = self(left, lengths, right)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=-1, label_smoothing=0.1
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        optimizer.step()


def padded(batch: Batch) -> tuple[torch.Tensor, ...]:
    """The pairs of a batch as PyTorch takes them, the longest first."""
    assert batch.first is not None and batch.spans is not None

    def parts(array: np.ndarray, spans: np.ndarray) -> list[torch.Tensor]:
        return [torch.tensor(array[first:last, lane]).long() for lane, first, last in spans]

    order = np.argsort([first - last for _, first, last in batch.first.spans], kind="stable")
    left = parts(batch.first.inputs, batch.first.spans[order])
    right, targets = (parts(a, batch.spans[order]) for a in (batch.inputs, batch.targets))
    lengths = torch.tensor([len(own) for own in left])
    return (
        pad_sequence(left, batch_first=True), lengths,
        pad_sequence(right, batch_first=True, padding_value=START),
        pad_sequence(targets, batch_first=True, padding_value=-1),
    )  # fmt: skip


def contest_of(path: Path, size: int, *, symbols: bool) -> Contest:
    """Training on the chunks of the file; what counts is pairs."""

    def trainer(precision: str):
        text = TextConfig(task="pairs", target_symbols=symbols)
        training = TrainingConfig(steps=10**9, precision=precision, dropout=0.0)
        return create_trainer([str(path)], text, training, hidden_size=size)

    own = trainer("float32")
    config = own.network.config
    reference = Reference(config.vocabulary_size, config.symbols + 3, size)
    optimizer = torch.optim.Adam(reference.parameters())
    batches = [own.lanes.next() for _ in range(_CHUNKS)]
    pairs = sum(len(batch.spans) for batch in batches if batch.spans is not None) // _CHUNKS
    chunks, turn = [padded(batch) for batch in batches], iter(range(10**9))

    def theirs() -> None:
        reference.train_step(chunks[next(turn) % _CHUNKS], optimizer)

    work = {"torch": (theirs, pairs), "charrnn": (own.train_step, pairs)}
    if HAS_BFLOAT16:

        def autocast() -> None:
            with torch.autocast("cpu", torch.bfloat16):
                theirs()

        work["torch bf16"] = (autocast, pairs)
        work["charrnn bf16"] = (trainer("bfloat16").train_step, pairs)
    return Contest(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--hidden-size", type=int, nargs="+", default=[96, 128, 192])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--symbols", action="store_true", help="right sides are symbols")
    arguments = parser.parse_args()
    names = ["pairs a second", "PyTorch", "charrnn", "ratio", "goal"]
    if HAS_BFLOAT16:
        names += ["charrnn bf16", "to float32", "to PyTorch bf16"]
    print("| " + " | ".join(names) + " |")
    print("|---" * len(names) + "|")
    for size in arguments.hidden_size:
        contest = contest_of(arguments.pairs, size, symbols=arguments.symbols)
        rates = contest.medians(arguments.rounds, 2.0)
        print(row(f"training, lstm 2×{size} and 2×{size}", rates, 2.0), flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
