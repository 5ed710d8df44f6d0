"""Completion in shells, as docs/shell.md has it."""

import os
import shutil
import subprocess
import sys

import pytest
from subprocesses import ROOT

from charrnn.cli.main import COMMANDS

PROGRAM = """import sys
sys.argv[0] = "charrnn"
from charrnn.cli.main import main
main()
"""


@pytest.fixture
def environment(tmp_path):
    """One in which ``charrnn`` is found."""
    (tmp_path / "program.py").write_text(PROGRAM)
    script = tmp_path / "charrnn"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/program.py" "$@"\n')
    script.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}


def _run(*command, environment):
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_commands_options_and_choices(environment):
    script = """eval "$(_CHARRNN_COMPLETE=bash_source charrnn)"
    try() {
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        _charrnn_completion charrnn; echo "${COMPREPLY[*]}"
    }
    try charrnn ""; try charrnn sa; try charrnn sample --top; try charrnn train --cell lstm-"""
    every, *found = _run("bash", "-c", script, environment=environment).splitlines()
    assert every.split() == list(COMMANDS)
    assert found == ["sample", "--top-k --top-p", "lstm-peephole lstm-coupled lstm-multiplicative"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_is_to_read(environment, shell):
    source = _run("charrnn", environment=environment | {"_CHARRNN_COMPLETE": f"{shell}_source"})
    assert f"{shell}_complete" in source
    if shutil.which(shell):
        _run(shell, "-n", "-c", source, environment=environment)
