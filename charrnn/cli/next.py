"""``charrnn next``: what the model expects after a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from charrnn.cli.labels import label_option, with_told
from charrnn.cli.options import json_option, model_option, precision_option, threads_option
from charrnn.cli.prompt import prompt_options, read_prompt, warn_of_unknown
from charrnn.cli.tables import expected_figures, expected_table, to_json
from charrnn.cli.terminal import print_result
from charrnn.cli.waiting import announced_compilation


@click.command()
@model_option
@prompt_options
@label_option
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True,
              help="Show so many, the likeliest first.")  # fmt: skip
@click.option("--temperature", type=float, default=1.0, show_default=True,
              help="1: as learned; less: sharper; more: flatter.")  # fmt: skip
@threads_option
@precision_option
@json_option
def next(model_path: Path, prime: str | None, prime_file: Any, told: tuple[str, ...], top: int,
         temperature: float, threads: int, precision: str, as_json: bool) -> None:  # fmt: skip
    """Show which characters the model expects after a prompt.

    Each with its probability, and the bits that it would tell (one less for each doubling of the
    probability). Without a prompt it is what a text begins with.

    \b
    Examples:
      charrnn next --prime "To be, or no"
      charrnn next --prime-file letter.txt --top 3
      charrnn next --prime "Th" --top 500 --json
      charrnn next --prime "Mari" --label female
    """
    from charrnn.inference.language_model import load
    from charrnn.storage.summary import reads_lines

    with announced_compilation():
        model = with_told(load(model_path, threads=threads, precision=precision), told)
        prompt = read_prompt(prime, prime_file, lines=reads_lines(model.training))
        warn_of_unknown(model.vocabulary, prompt)
        found = model.expect(prompt, temperature=temperature)[:top]
    print_result(to_json(expected_figures(found)) if as_json else expected_table(found))
