"""Python in a process of its own, where other settings of the environment hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import charrnn

TESTS = Path(__file__).parent
ROOT = Path(charrnn.__file__).parents[1]


def python(*arguments, root=ROOT, without=(), cwd=None, **environment):
    """Run Python with the package in ``root``; return what it prints, fail with its errors."""
    kept = {name: value for name, value in os.environ.items() if name not in without}
    path = {"PYTHONPATH": os.pathsep.join([str(root), str(TESTS)])}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=kept | path | {name: str(value) for name, value in environment.items()},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
