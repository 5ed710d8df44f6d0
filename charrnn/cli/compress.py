"""``charrnn compress``: a text as a code by a model, which takes less room."""

from __future__ import annotations

from pathlib import Path

import click

from charrnn.cli.coded import SUFFIX, coding_options, read_file, writable_output, write_file
from charrnn.cli.options import model_option, threads_option
from charrnn.cli.terminal import say
from charrnn.cli.waiting import announced_compilation, shown_progress


@click.command()
@click.argument("file")
@coding_options(f"The compressed file; - is standard output.  [default: FILE{SUFFIX}]")
@model_option
@click.option("--streams", type=int,
              help="Parts that are coded side by side, up to 64: faster, and a few bytes more for "
                   "each.  [default: one for every 8,192 characters]")  # fmt: skip
@click.option(
    "--adapt",
    is_flag=True,
    help="Let the model learn from what it has read: smaller and slow, in one stream.",
)
@threads_option
def compress(file: str, output: str | None, force: bool, model_path: Path, streams: int | None,
             adapt: bool, threads: int) -> None:  # fmt: skip
    """Compress FILE; - is standard input.

    The better the model foretells a text, the smaller it becomes. Any bytes come back as they
    were, by `charrnn decompress` with the same model. FILE stays.

    \b
    Examples:
      charrnn compress play.txt
      charrnn compress play.txt --adapt --output smallest.rnn
      cat play.txt | charrnn compress - > small.rnn
    """
    from charrnn.inference.compression import compress
    from charrnn.inference.language_model import load

    target = output or (file + SUFFIX if file != "-" else "-")
    writable_output(target, file, model_path, force=force, binary=True)
    with announced_compilation():
        model = load(model_path, threads=threads, precision="float32")
        data = read_file(file)
        with shown_progress("compressing") as show:
            compressed = compress(model, data, streams=streams, adapt=adapt, watcher=show)
    write_file(target, compressed)
    bits = f", {8 * len(compressed) / len(data):.3f} bits a byte" if data else ""
    say(f"{len(data):,} bytes became {len(compressed):,}{bits}")
