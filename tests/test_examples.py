"""The examples of every command's help run as they stand, in a folder with files of such names."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from commands import invoke
from readers import answerer, labelled_lines, labeller, tagger
from subprocesses import ROOT
from trained import DINOSAURS, FABLES, dinosaurs, fables, told_writer

from charrnn.cli.main import COMMANDS, main
from charrnn.storage.checkpoint import save_model
from charrnn.storage.log import opened_log
from charrnn.studies import benchmark

pytestmark = pytest.mark.examples

#: Models of the examples that read, or write by labels.
MODELS = {
    "told.safetensors": told_writer,
    "sexes.safetensors": labeller,
    "sentiment.safetensors": labeller,
    "tags.safetensors": tagger,
    "sounds.safetensors": answerer,
}

#: Tools of a shell that every system has.
USUAL = {"cat", "head", "sort", "tail", "cut", "uniq", "wc", "cmp"}

#: What is installed with the tests.
PROGRAMS = {"charrnn", "mpiexec"}


def _examples_of(name):
    """The lines of the help behind "Examples:"."""
    _, _, after = (main.get_command(None, name).help or "").partition("Examples:\n")
    return [line.strip() for line in after.splitlines() if line.strip()]


EXAMPLES = [line for name in COMMANDS for line in _examples_of(name)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples(name):
    examples = _examples_of(name)
    assert len(examples) >= 2
    assert all(f"charrnn {name}" in line for line in examples)


def _writer(line):
    """The model that an example means where it names none."""
    if re.search(r"--label\b", line):
        return told_writer
    return dinosaurs if "--not-in" in line else fables


def _prepare(folder, line):
    """Files of the names that an example reads: models, names, prose."""
    models = {*re.findall(r"\S+\.safetensors", line), "model.safetensors"}
    if "charrnn train" in line:  # writes one
        models -= {"model.safetensors", *re.findall(r"--model (\S+)", line)}
    for model in models:
        does = MODELS.get(model, _writer(line))
        save_model(folder / model, does())
    for table in re.findall(r"\S+\.tsv", line):
        (folder / table).write_text("\n".join(labelled_lines()), encoding="utf-8")
    prose = FABLES.read_text("utf-8")
    for text in re.findall(r"\S+\.txt", line):
        (folder / text).write_text(prose[:60] if text == "letter.txt" else prose[:4000])
        if "charrnn decompress" in line:
            invoke("compress", text)
            (folder / text).unlink()
    for log in re.findall(r"\S+\.(?:jsonl|csv)", line):
        with opened_log(folder / log, None) as opened:
            for step in (10, 20):
                opened.write({"step": step, "seconds": 1.5, "loss": 2.0, "gradient_norm": 0.1})
    if "names.txt" in line:
        (folder / "names.txt").write_text(DINOSAURS.read_text("utf-8")[:2000])


def _run_in_shell(folder, line):
    program = folder / "bin" / "charrnn"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m charrnn "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=folder, env=environment,
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("line", EXAMPLES)
def test_the_example_runs(line, tmp_path, monkeypatch):
    """Within this process where no shell is needed; training is a matter of two steps."""
    words = ["|", *shlex.shlex(line, posix=True, punctuation_chars="|<>")]
    needed = {tool for before, tool in pairwise(words) if before == "|"}
    missing = [tool for tool in sorted(needed - USUAL - PROGRAMS) if not shutil.which(tool)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARRNN_MODEL", raising=False)
    monkeypatch.setattr(benchmark, "_ROUNDS", 1)
    monkeypatch.setattr(benchmark, "_SECONDS", 0.01)
    monkeypatch.setattr(benchmark, "_MEMORY_BYTES", 2**20)
    _prepare(tmp_path, line)
    before = set(tmp_path.iterdir())
    line = re.sub(r"--(budget|epochs|steps) \S+", "--steps 2 --hidden-size 16", line)
    if {"|", "<", ">", "mpiexec"} & {*words[1:]}:
        code, shown, said = _run_in_shell(tmp_path, line)
    else:
        done = invoke(*shlex.split(line)[1:])
        code, shown, said = done.exit_code, done.stdout, done.stderr
    assert code == 0 and "Error" not in said, said
    assert shown or set(tmp_path.iterdir()) - before
