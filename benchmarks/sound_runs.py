"""Whether runs that are planned by the program are sound: their losses, and how far they rose.

Trains every cell on every text, for every extent, with every seed that is given:

    python benchmarks/sound_runs.py shakespeare.txt --cells elman,gru --extent budget=60 --seeds 1,2
    python benchmarks/sound_runs.py shakespeare.txt --cells leaky --shapes 1x64,2x128

A line for each run says the network, the lowest validation loss, the largest rise of the training
loss, smoothed over 100 updates, above its lowest so far, for how many updates in a row that was
more than 0.05, and how often the run went back. It ends with 1 where a rise was longer than 100.
"""

from __future__ import annotations

import argparse
import itertools
import sys

import numpy as np

import charrnn
from charrnn.cells import CELLS
from charrnn.network.description import architecture

SMOOTHED, HIGH = 100, 0.05


def rise(losses: list[float]) -> tuple[float, int]:
    """The largest rise of the smoothed losses, and the longest time that it was too high."""
    width = max(1, min(SMOOTHED, len(losses) // 4))
    smooth = np.convolve(losses, np.ones(width) / width, "valid")
    above = smooth - np.minimum.accumulate(smooth)
    longest = max((len(list(run)) for high, run in itertools.groupby(above > HIGH) if high),
                  default=0)  # fmt: skip
    return float(above.max()), longest


def measure(
    text: str, cell: tuple[str, str], shape: dict[str, int], extent: dict, seed: int, lines: bool
) -> int:
    """Make one run and print its line; the longest time that its loss was too high."""
    name, activation = cell
    layers = min(shape.get("layers", 2), CELLS[cell].most_layers)
    trainer = charrnn.create_trainer(
        [text],
        charrnn.TextConfig(lines=lines),
        charrnn.TrainingConfig(seed=seed, **extent),
        cell=name,
        activation=activation,
        **shape | {"layers": layers},
    )
    losses = [record.loss for record in trainer.run()]
    highest, longest = rise(losses)
    print(
        f"{text} {architecture(trainer.network.config)} {extent} seed {seed}: "
        f"{trainer.best_loss:.4f} in {len(losses):,} updates, rise {highest:.3f}, {longest} too "
        f"high, {trainer.recovery.returns} returns",
        flush=True,
    )
    return longest


def main() -> None:
    """Parse, run all, say by the exit code whether all were sound."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--cells", default=",".join("/".join(cell) for cell in CELLS))
    parser.add_argument("--extent", action="append", default=[], metavar="budget=SECONDS")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--shapes", default="", metavar="LAYERSxUNITS,...",
                        help="instead of those that the program chooses")  # fmt: skip
    parser.add_argument("--lines", action="store_true")
    given = parser.parse_args()
    sizes = (shape.split("x") for shape in given.shapes.split(",") if shape)
    shapes = [{"layers": int(layers), "hidden_size": int(units)} for layers, units in sizes]
    pairs = (cell.partition("/") for cell in given.cells.split(","))
    cells = [(name, activation or "tanh") for name, _, activation in pairs]
    parts = (extent.split("=") for extent in given.extent or ["budget=60"])
    kinds = {"steps": int, "epochs": float, "budget": float}
    extents = [{name: kinds[name](value)} for name, value in parts]
    seeds = [int(seed) for seed in given.seeds.split(",")]
    runs = itertools.product(given.texts, cells, shapes or [{}], extents, seeds)
    longest = [measure(*run, given.lines) for run in runs]
    sys.exit(int(max(longest) > SMOOTHED))


if __name__ == "__main__":
    main()
