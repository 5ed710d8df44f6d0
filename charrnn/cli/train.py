"""``charrnn train``: learn a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import init_from_option, model_option, run_options
from charrnn.cli.outputs import refuse_to_overwrite, run_files
from charrnn.cli.request import Request, create_run
from charrnn.cli.together import together
from charrnn.cli.waiting import announced_compilation
from charrnn.errors import UsageError
from charrnn.storage.files import check_output, keep_apart, texts
from charrnn.storage.log import opened_log

if TYPE_CHECKING:
    from charrnn.storage.checkpoint import ResumeState


@click.command()
@click.pass_context
@click.argument("corpus", nargs=-1, required=True)
@model_option
@click.option("--force", is_flag=True, help="Overwrite the model file.")
@click.option(
    "--resume", is_flag=True, help="Go on where the run of this model stopped, with its options."
)
@init_from_option
@click.option("--log", "log_path", type=click.Path(path_type=Path),
              help="Write a record of the run to this file: a table where its name ends in .csv, "
                   "else JSON lines.")  # fmt: skip
@click.option("--sample-every", type=click.IntRange(min=1), metavar="STEPS",
              help="Show what the model writes after every so many steps.")  # fmt: skip
@run_options
def train(context: click.Context, corpus: tuple[str, ...], model_path: Path, force: bool,
          resume: bool, init_from: str | None, log_path: Path | None, sample_every: int | None,
          **options: Any) -> None:  # fmt: skip
    """Train a model on the files of CORPUS; - is standard input.

    The model with the lowest loss on the validation text is kept. Ctrl-C ends the run after the
    step at hand; --resume goes on from there, to the same bits as a run that was never stopped.
    More --epochs, --steps or --budget may be given then. Processes that mpiexec starts share the
    work.

    \b
    Examples:
      charrnn train corpus.txt --budget 3m
      charrnn train names.txt --lines --model names.safetensors --log run.jsonl
      cat chapter1.txt chapter2.txt | charrnn train - --steps 2000
      charrnn train names.tsv --task label --model sexes.safetensors --log run.csv
      charrnn train letters.txt --restore case,punctuation --model m.safetensors
      charrnn train sounds.tsv --task pairs --target-symbols --budget 15m
      charrnn train letters.txt --init-from en.safetensors --model own.safetensors
      mpiexec -n 2 charrnn train corpus.txt --budget 1h
    """
    from charrnn.cli.resuming import go_on, how_to_go_on, resumed
    from charrnn.cli.run import run
    from charrnn.storage.checkpoint import load_resume, resume_path
    from charrnn.storage.lock import locked

    if resume and init_from:
        raise UsageError("--resume goes on from the run's own weights: leave --init-from out")
    request = Request.of(context, options)
    if sample_every and request.text["task"] != "write":
        raise UsageError(
            "--sample-every shows what a model writes: leave it out for one that reads"
        )
    processes = together([*corpus, request.text["validation"]])
    context.with_resource(announced_compilation())

    def prepare() -> ResumeState | None:
        """See that all files may be written; what is known of a run that goes on."""
        read = [*texts([*corpus, request.text["validation"]]), ("the model", init_from)]
        keep_apart(run_files(model_path), read)
        context.with_resource(locked(model_path))
        saved = load_resume(resume_path(model_path)) if resume else None
        if saved:
            read += texts([resumed(request, saved).text["validation"]])  # not named again
        else:
            refuse_to_overwrite(model_path, force)
        if log_path:
            keep_apart([("the log", log_path)], [*read, *run_files(model_path)])
            check_output(log_path)
        return saved

    saved = processes.first(prepare)
    if saved:
        request = resumed(request, saved)
    trainer = create_run(
        corpus, request, processes, init_from=init_from, saved=saved, folder=model_path.parent
    )
    if saved:
        go_on(trainer, saved, model_path, request)
    model = model_path if "model_path" in request.given else None
    again = how_to_go_on(
        corpus, processes.count, model=model, log=log_path, sample_every=sample_every
    )
    own_log = None if processes.rank else log_path
    with opened_log(own_log, trainer.step if saved else None) as log:
        run(trainer, model_path, log, sample_every, again=again)
