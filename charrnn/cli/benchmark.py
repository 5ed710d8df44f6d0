"""``charrnn benchmark``: how fast this machine is."""

from __future__ import annotations

from typing import Any

import click

from charrnn.cli.options import (
    SHAPE,
    json_option,
    option,
    plain_size_option,
    precision_option,
    shape_options,
    threads_option,
)
from charrnn.cli.tables import benchmark_table, to_json
from charrnn.cli.terminal import print_result
from charrnn.cli.waiting import announced_compilation
from charrnn.config import ModelConfig, TrainingConfig


@click.command()
@plain_size_option
@shape_options
@click.option(
    "--vocabulary-size",
    type=int,
    default=68,
    show_default=True,
    help="Characters, the three special ones included.",
)
@click.option("--batch-size", type=int, default=64, show_default=True,
              help="Lanes that read the corpus side by side.")  # fmt: skip
@option(TrainingConfig, "--sequence-length", int, "Characters back through which gradients flow.")
@click.option("--profile", is_flag=True, help="Tell the parts of a training step apart.")
@click.option("--choosers", is_flag=True,
              help="Measure each way of choosing characters beside plain sampling.")  # fmt: skip
@threads_option
@precision_option
@json_option
def benchmark(vocabulary_size: int, profile: bool, choosers: bool, as_json: bool,
              **options: Any) -> None:  # fmt: skip
    """Measure how fast this machine trains, evaluates and samples.

    It does so with a network of the size given. The limit is what the processor could do at best
    in 32-bit multiply-adds, and what its memory can deliver.

    \b
    Examples:
      charrnn benchmark
      charrnn benchmark --cell gru --hidden-size 256 --profile
      charrnn benchmark --threads 1 --precision float32 --json
    """
    shape = {name: options.pop(name) for name in SHAPE}
    network = ModelConfig.for_vocabulary(vocabulary_size, **shape)
    config = TrainingConfig(**options)
    from charrnn.studies.benchmark import benchmark as measure

    with announced_compilation():
        result = measure(network, config, profile=profile, choosers=choosers)
    print_result(to_json(result) if as_json else benchmark_table(result))
