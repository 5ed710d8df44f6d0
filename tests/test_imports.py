"""Imports run one way, and what answers at once does not wait for Numba."""

import ast
from pathlib import Path

import pytest
from subprocesses import python

import charrnn

PACKAGE = Path(charrnn.__file__).parent

#: Who may import whom: only what stands before.
ORDER = ("errors", "compute", "cells", "config", "text", "network", "storage", "training",
         "inference", "pages", "studies", "cli")  # fmt: skip
SOURCES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.parent != PACKAGE or path.stem not in ("__init__", "__main__")
]


def _part_of(source):
    """The module, or the package's folder, that a file belongs to."""
    return source.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported_parts(source):
    """The parts of charrnn that a file imports anywhere, inside functions too."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}:{node.lineno}: write imports in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, *rest = name.split(".")
            if first == "charrnn":
                yield node.lineno, rest[0]


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: str(s.relative_to(PACKAGE)))
def test_imports_run_one_way(source):
    part = _part_of(source)
    assert part in ORDER, f"{source} needs a place in ORDER"
    for line, imported in _imported_parts(source):
        if imported not in (part, "__version__"):
            assert ORDER.index(imported) < ORDER.index(part), (
                f"{source}:{line}: {part} imports {imported}"
            )


def test_the_walk_finds_imports():
    found = {imported for source in SOURCES for _, imported in _imported_parts(source)}
    assert {"errors", "cells", "compute"} <= found


@pytest.mark.parametrize(
    "name",
    ["cells", "config", "storage.checkpoint", "storage.summary", "cli.main", "text.vocabulary"],
)
def test_what_answers_at_once_does_not_import_numba(name):
    script = f"import sys, charrnn.{name}; print({{'numba', 'llvmlite'}} & sys.modules.keys())"
    assert python("-c", script).strip() == "set()"


def test_help_does_not_import_numpy():
    """It would take half of the time in which it answers."""
    script = (
        "import sys; from charrnn.cli.main import COMMANDS, main\n"
        "for name in COMMANDS: main.get_command(None, name)\n"
        "print({'numpy', 'numba'} & sys.modules.keys())"
    )
    assert python("-c", script).strip() == "set()"
