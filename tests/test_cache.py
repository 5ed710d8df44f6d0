"""Machine code is kept in a private folder, and no state of that folder can stop a run."""

import importlib
import os
import pickle
import pkgutil
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from numba.core import config
from subprocesses import ROOT, python

import charrnn.compute
from charrnn.compute.cache import Kernel, announce_compilation, kernel

pytestmark = pytest.mark.faults

SCRIPT = """
from charrnn.compute.cache import announce_compilation, compilation_notice, kernel

@kernel
def double(x):
    return 2 * x

said = []
with announce_compilation(lambda *counts: said.append(counts)):
    assert double(1.5) == 3.0
print("compiled" if said else "loaded")
"""
NOTICE = "print(compilation_notice())\n"
ONCE = "compiling for this processor, once: this takes about 8 seconds"
posix = pytest.mark.skipif(os.name != "posix", reason="needs the permissions of POSIX")
as_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can be another user"
)


@pytest.fixture
def run(tmp_path):
    """Run a script with one small kernel; returns "compiled" or "loaded"."""
    script = tmp_path / "script.py"

    def run(without=(), more="", **environment):
        script.write_text(SCRIPT + more)
        environment = {"XDG_CACHE_HOME": tmp_path / "cache"} | environment
        environment = {k: v for k, v in environment.items() if v is not None}
        forget = ("NUMBA_CACHE_DIR", "CHARRNN_CACHE", "XDG_CACHE_HOME", *without)
        return python(script, without=forget, cwd=tmp_path, **environment).strip()

    return run


#: A user that owns nothing. He may not be allowed to read this Python: what compiling takes, of
#: Numba's modules and of Python's too, is there before.
STRANGER = 54321
BECOME_STRANGER = f"""
import fcntl, os
import numba.core.caching
numba.njit(lambda x: 2 * x)(1.5)
if "STRANGER" in os.environ:
    os.setgroups([])
    os.setgid({STRANGER})
    os.setuid({STRANGER})
"""


def _copy_of_the_package(folder):
    """What the script needs of it, to be edited or given away."""
    for name in ("compute", "cells"):
        shutil.copytree(ROOT / "charrnn" / name, folder / "charrnn" / name)
    shutil.copy(ROOT / "charrnn" / "errors.py", folder / "charrnn")


@pytest.fixture
def elsewhere():
    """A folder that all users can read, and a function that runs the script there as a stranger."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        _copy_of_the_package(folder)

        # One script for both, for Numba keeps code by its file and line.
        script = folder / "script.py"
        script.write_text(BECOME_STRANGER + SCRIPT + NOTICE)

        def run(stranger=True, **environment):
            environment |= {"STRANGER": "yes"} if stranger else {}
            forget = ("NUMBA_CACHE_DIR", "CHARRNN_CACHE", "XDG_CACHE_HOME")
            said = python(script, root=folder, without=forget, cwd=folder, **environment)
            return said.splitlines()

        yield folder, run


class _Bomb:
    """What leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def _assert_said(notice, *words):
    """That each process compiles anew, why, and what helps."""
    assert notice.startswith("compiling for this processor, about 8 seconds in each process anew:")
    for word in (*words, "set CHARRNN_CACHE to a folder of your own"):
        assert str(word) in notice


def _files(folder, suffix=""):
    return sorted(p for p in folder.rglob(f"*{suffix}") if p.is_file())


@posix
def test_kernels_are_kept_in_a_private_folder(run, tmp_path):
    assert run() == "compiled"
    assert run() == "loaded"
    root = tmp_path / "cache" / "charrnn"
    (folder,) = root.iterdir()
    for path in (root, folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert len(_files(folder, ".nbi")) == len(_files(folder, ".nbc")) == 1


def _double(x):
    return 2 * x


def _compile_or_load():
    """A new kernel in this process, as a new process would make it."""
    said = []
    with announce_compilation(lambda *counts: said.append(counts)):
        assert kernel(_double)(1.5) == 3.0
    return "compiled" if said else "loaded"


@pytest.mark.parametrize("suffix", [".nbi", ".nbc", ""], ids=["index", "code", "both"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: bytes(255 - byte for byte in data),
        lambda data: b"\x80\x04N.",  # a pickle, but of nothing
        lambda data: b"garbage",
    ],
    ids=["empty", "halved", "shortened", "inverted", "foreign", "garbage"],
)
def test_a_damaged_cache_costs_a_compilation(monkeypatch, tmp_path, suffix, damage):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    assert [_compile_or_load(), _compile_or_load()] == ["compiled", "loaded"]
    files = _files(tmp_path, suffix)
    assert len(files) == (1 if suffix else 2)
    for path in files:
        path.write_bytes(damage(path.read_bytes()))
    assert _compile_or_load() == "compiled"
    _compile_or_load()
    assert _compile_or_load() == "loaded", "the damage is not mended"


def test_code_for_other_types_is_never_run(monkeypatch, tmp_path):
    """Two processes that compile at the same time may write their code under the same name."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    first = kernel(_double)
    assert (first(1.5), first(2)) == (3.0, 4)
    one, other = _files(tmp_path, ".nbc")
    swapped = one.read_bytes(), other.read_bytes()
    other.write_bytes(swapped[0])
    one.write_bytes(swapped[1])
    second = kernel(_double)
    assert (second(1.5), second(2)) == (3.0, 4)
    assert not second.called.stats.cache_hits


def test_no_two_kernels_share_a_name():
    """Numba links by name and a number that begins anew in each process: what two processes have
    compiled meets in the cache, and one kernel would call the other's namesake."""
    names = {}
    for module in pkgutil.iter_modules(charrnn.compute.__path__, "charrnn.compute."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Kernel):
                function = value.__wrapped__
                names.setdefault((function.__module__, function.__qualname__), set()).add(value)
    assert len(names) > 30
    assert not [name for name, kernels in names.items() if len(kernels) > 1]


def test_a_damaged_cache_does_not_stop_another_process(run, tmp_path):
    assert run() == "compiled"
    for path in _files(tmp_path / "cache"):
        path.write_bytes(path.read_bytes()[:100])
    assert run() == "compiled"


@posix
@pytest.mark.parametrize(
    ("mode", "inner"), [(0o770, False), (0o707, False), (0o777, True)], ids=str
)
def test_a_folder_that_others_can_write_to_is_not_used(run, tmp_path, mode, inner):
    assert run() == "compiled"
    root = tmp_path / "cache" / "charrnn"
    (folder,) = root.iterdir()
    open_folder = folder if inner else root
    open_folder.chmod(mode)
    before = {path: path.read_bytes() for path in _files(root)}
    said, notice = run(more=NOTICE).splitlines()
    assert said == "compiled"
    _assert_said(notice, f"others can write to {open_folder};")
    assert {path: path.read_bytes() for path in _files(root)} == before


@as_root
def test_of_another_users_folder_nothing_is_unpickled_and_the_way_out_is_named(elsewhere):
    """As in an image that root has made and a user runs."""
    folder, run = elsewhere
    cache = folder / "cache"
    assert run(stranger=False, XDG_CACHE_HOME=cache) == ["compiled", ONCE]
    for path in (cache, *cache.rglob("*")):
        path.chmod(0o755)
    trace = folder / "trace"
    for path in _files(cache):
        path.write_bytes(pickle.dumps(_Bomb(trace)))
    folder.chmod(0o777)
    said, notice = run(XDG_CACHE_HOME=cache)
    assert said == "compiled" and not trace.exists()
    _assert_said(notice, cache / "charrnn", "belongs to another user")
    assert run(NUMBA_CACHE_DIR=folder / "own") == ["compiled", ONCE]
    assert run(NUMBA_CACHE_DIR=folder / "own") == ["loaded", ONCE]
    assert run(stranger=False, XDG_CACHE_HOME=cache) and trace.exists(), "the trap is none"


@as_root
def test_what_a_builder_has_compiled_serves_other_users(elsewhere):
    """As in an image: root compiles, and a user without a home runs."""
    folder, run = elsewhere
    cache = folder / "cache"
    assert run(stranger=False, CHARRNN_CACHE=cache) == ["compiled", ONCE]
    assert run(CHARRNN_CACHE=cache, HOME="/nonexistent")[0] == "loaded"
    for path in _files(cache, ".nbc"):
        path.unlink()
    folder.chmod(0o777)
    assert run(CHARRNN_CACHE=cache, HOME=folder / "home")[0] == "compiled"
    assert run(CHARRNN_CACHE=cache, HOME=folder / "home")[0] == "loaded"
    assert [path.suffix for path in _files(cache)] == [".nbi"]


@as_root
@pytest.mark.parametrize("what", ["", "*", "*/*", "*/*/*.nbc"])
@pytest.mark.parametrize("spoil", [lambda p: p.chmod(0o777), lambda p: os.chown(p, 12345, -1)],
                         ids=["writable", "a third user's"])  # fmt: skip
def test_of_a_builders_folder_that_others_may_have_changed_nothing_is_unpickled(
    elsewhere, what, spoil
):
    folder, run = elsewhere
    cache = folder / "cache"
    assert run(stranger=False, CHARRNN_CACHE=cache) == ["compiled", ONCE]
    (changed,) = cache.glob(what) if what else [cache]
    trace = folder / "trace"
    for path in _files(cache):
        path.write_bytes(pickle.dumps(_Bomb(trace)))
    folder.chmod(0o777)
    spoil(changed)
    said, notice = run(CHARRNN_CACHE=cache)
    assert said == "compiled" and not trace.exists()
    _assert_said(notice, changed)


@as_root
def test_a_folder_that_cannot_be_written_to_is_named(elsewhere):
    folder, run = elsewhere
    said, notice = run(HOME=folder)
    assert said == "compiled"
    _assert_said(notice, folder / ".cache" / "charrnn", "cannot be made (Permission denied)")
    said, notice = run(HOME=folder, NUMBA_CACHE_DIR=folder / "none")
    assert said == "compiled"
    _assert_said(notice, f"nothing can be kept in {folder / 'none'};")


@as_root
def test_a_folder_of_another_user_is_not_used(run, tmp_path):
    assert run() == "compiled"
    root = tmp_path / "cache" / "charrnn"
    os.chown(root, 12345, -1)
    assert run() == "compiled"


def test_a_cache_folder_that_cannot_be_made_is_done_without(run, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert run(XDG_CACHE_HOME=tmp_path / "file") == "compiled"
    assert run(XDG_CACHE_HOME=None, HOME=tmp_path / "file") == "compiled"


@posix
@pytest.mark.skipif(os.name == "posix" and os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_home_is_done_without(run, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    assert run(XDG_CACHE_HOME=None, HOME=home) == "compiled"


@posix
def test_without_any_home_nothing_is_left_where_one_works(tmp_path):
    """A user without HOME and without an entry in the table of users, as in some containers."""
    script = tmp_path / "script.py"
    nobody = "import pwd\ndef unknown(uid):\n    raise KeyError(uid)\npwd.getpwuid = unknown\n"
    script.write_text(nobody + SCRIPT + NOTICE)
    without = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "CHARRNN_CACHE")
    said, notice = python(script, without=without, cwd=tmp_path).splitlines()
    assert said == "compiled"
    _assert_said(notice, "there is no home folder")
    assert [p.name for p in tmp_path.iterdir()] == ["script.py"]


def test_numbas_own_setting_is_obeyed(run, tmp_path):
    folder = tmp_path / "elsewhere"
    assert run(NUMBA_CACHE_DIR=folder) == "compiled"
    assert _files(folder, ".nbi")
    assert not (tmp_path / "cache").exists()
    assert run(NUMBA_CACHE_DIR=folder) == "loaded"


def test_an_edit_of_any_compiled_source_makes_another_folder(tmp_path):
    """Numba would see an edit of the file that holds the kernel only."""
    _copy_of_the_package(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def run():
        environment = {"XDG_CACHE_HOME": tmp_path / "cache"}
        without = ("NUMBA_CACHE_DIR", "CHARRNN_CACHE")
        return python(script, root=tmp_path, without=without, **environment).strip()

    assert run() == "compiled"
    for edited in ("compute/vector.py", "cells/__init__.py"):
        with (tmp_path / "charrnn" / edited).open("a") as file:
            file.write("\n# edited\n")
        assert run() == "compiled"
    assert len(list((tmp_path / "cache" / "charrnn").iterdir())) == 3
