"""Disks that refuse, are full or lose power under a run: nothing is lost, and it is told."""

import contextlib
import errno
import json
import os
import random
import shutil
import subprocess
import sys

import pytest
from commands import assert_one_line_error, invoke
from disks import ERRORS, Disk, Remains, on
from runs import (
    SHAPE,
    assert_same_result,
    corpus_in,
    labeller,
    of_model,
    of_state,
    passed_through,
)
from trained import with_biases
from warm import server

from charrnn.storage.checkpoint import load_model, load_resume, resume_path, save_model

pytestmark = pytest.mark.faults

#: A run that saves its state five times, and its model four times.
BRIEF = (*SHAPE, "--steps", 12, "--validations", 3)

#: Lets a disk refuse an operation, or all from it on.
REFUSE = """
from disks import Disk
from charrnn.storage import files
files.os = Disk({}, {}, lasting={}, part=1 << 20)
"""

NO_SPACE = os.strerror(errno.ENOSPC)


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Starts runs and other commands on a model that writes, ``writer.st``, and on ``text``."""
    folder = tmp_path_factory.mktemp("warm")
    save_model(folder / "writer.st", with_biases("abcdefgh ", hidden_size=4))
    (folder / "text").write_text("abc defg " * 400)
    own = ("--model", folder / "writer.st")
    with server(
        folder,
        ("train", corpus_in(folder), "--model", folder / "warm.st", *BRIEF),
        ("compress", folder / "text", *own, "-o", folder / "coded.rnn"),
        ("decompress", folder / "coded.rnn", *own, "-o", folder / "decoded"),
        ("sample", *own, "--length", 5),
    ) as warm:
        yield warm


@pytest.fixture
def corpus(tmp_path):
    return corpus_in(tmp_path)


@pytest.fixture
def whole(tmp_path, corpus):
    """A run that nothing happens to: its model, and the models and states it passes through."""
    (tmp_path / "whole").mkdir()
    model = tmp_path / "whole" / "m.st"
    return model, *passed_through(corpus, "--model", model, *BRIEF)


def _assert_left_whole(model, whole):
    """What is there of a run is something that it passed through; the step of its state."""
    _, models, states = whole
    assert not [name for name in os.listdir(model.parent) if name.endswith(".partial")]
    if model.exists():
        assert of_model(load_model(model)) in models
    if not resume_path(model).exists():
        assert not model.exists()
        return None
    return states[of_state(load_resume(resume_path(model)))]


def test_any_operation_of_a_run_may_be_refused(tmp_path, corpus, whole, warm):
    """Of those on its model, its resume file and its log; then it goes on to the same bits."""
    folder = tmp_path / "run"
    folder.mkdir()
    model, log = folder / "m.st", folder / "log"
    command = ("train", corpus, "--model", model, "--log", log)
    with on(Disk(part=1 << 20)) as disk:
        assert invoke(*command, *BRIEF).exit_code == 0
    names = [name for name, *_ in disk.operations]
    assert names.count("replace") == 9
    steps = set()
    for number, name in enumerate(names):
        shutil.rmtree(folder)
        folder.mkdir()
        error = ERRORS[number % len(ERRORS)]
        process = warm.start(*command, *BRIEF, first=REFUSE.format(number, error, False))
        # A folder that may not be opened need not be synced; closing the log ends the run.
        harmless = error == errno.EPERM and name == "open" and disk.operations[number][1][1] == 0
        code = process.ended()
        if harmless or number == len(names) - 1:
            assert code == 0
        else:
            assert code == 1, process.told
            *_, last = process.told.splitlines()
            assert last.startswith("Error: cannot write ") and str(folder) in last
            assert os.strerror(error) in last and process.told.count("Error: ") == 1
        steps.add(step := _assert_left_whole(model, whole))
        if step is not None and step < 12 and number % 3 == 0:
            assert warm.run(*command, "--resume").returncode == 0
            assert_same_result(whole[0], model)
    assert {None, 0, 4, 8, 12} <= steps


def test_a_run_on_a_disk_that_refuses_everything_leaves_what_it_had(tmp_path, corpus, whole, warm):
    """What it cannot remove then goes with the next run."""
    folder = tmp_path / "run"
    folder.mkdir()
    model = folder / "m.st"
    command = ("train", corpus, "--model", model)
    with on(Disk(part=1 << 20)) as disk:
        assert invoke(*command, *BRIEF).exit_code == 0
    names = [name for name, *_ in disk.operations]
    _, second, third, *_ = (number for number, name in enumerate(names) if name == "replace")
    assert names[second + 5] == "write"
    shutil.rmtree(folder)
    folder.mkdir()
    for number in (second - 2, second - 1, second, second + 5, third + 3):
        done = warm.run(*command, *BRIEF, first=REFUSE.format(number, errno.EIO, True))
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("Error: cannot write ")
        assert warm.run(*command, "--resume").returncode == 0
        assert _assert_left_whole(model, whole) == 12
        assert_same_result(whole[0], model)
        shutil.rmtree(folder)
        folder.mkdir()


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("out.rnn", ("compress", "text", "--force", "-o")),
        ("out", ("decompress", "coded.rnn", "--force", "-o")),
        ("out.html", ("export", "--force")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_any_operation_of_an_output_may_be_refused(warm, name, command, error):
    path = warm.folder / name
    command = (*command, name, "--model", "writer.st")
    assert warm.run(*command).returncode == 0
    new = path.read_bytes()
    for number in range(8):
        path.write_bytes(b"old")
        done = warm.run(*command, first=REFUSE.format(number, error, False))
        if error == errno.EPERM and number == 5:  # the folder
            assert done.returncode == 0
        else:
            assert_one_line_error(done, 1, f"cannot write {name}: {os.strerror(error)}; ")
        assert path.read_bytes() == (new if number > 4 else b"old")
        assert not list(warm.folder.glob(".out*"))


# Power


def _log_steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_a_run_goes_on_after_a_power_cut_at_any_moment(tmp_path, corpus, whole, warm):
    """To the same bits, with a log that lacks nothing."""
    folder, chance = tmp_path / "run", random.Random(1)
    folder.mkdir()
    log = folder / "log"
    with on(Disk(part=1 << 20)) as disk:
        done = invoke("train", corpus, "--model", folder / "m.st", "--log", log, *BRIEF)
        assert done.exit_code == 0
    logged, remains, steps, resumed = _log_steps(log), Remains(), set(), 0
    for number, operation in enumerate(disk.operations):
        remains.take(operation)
        for cut in range(4):
            left = tmp_path / f"{number}-{cut}"
            left.mkdir()
            remains.save(left, chance)
            for partial in left.glob("*.partial"):
                partial.unlink()  # as the next save does
            model, own = left / "m.st", left / "log"
            steps.add(step := _assert_left_whole(model, whole))
            if step is None:
                continue
            due = [n for n in logged if n <= step]
            lines = own.read_bytes().split(b"\n") if due else []
            assert [json.loads(line)["step"] for line in lines[: len(due)]] == due
            if step < 12 and chance.random() < 0.1:
                again = ("train", corpus, "--model", model, "--log", own, "--resume")
                assert warm.run(*again).returncode == 0
                assert_same_result(whole[0], model)
                assert _log_steps(own) == logged
                resumed += 1
    assert {None, 0, 4, 8, 12} <= steps and resumed > 5


# Full disks


@contextlib.contextmanager
def _mounted(folder, size):
    """A disk of so many KiB at ``folder``."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "charrnn", folder]
    if not sys.platform.startswith("linux") or os.geteuid():
        pytest.skip("only root may mount a small disk, on Linux")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def disk(tmp_path):
    """A disk of 256 KiB."""
    with _mounted(tmp_path / "disk", 256) as disk:
        yield disk


def _fill(disk, leave=0):
    """Leave so many KiB of room."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    os.truncate(disk / "filler", max((disk / "filler").stat().st_size - 1024 * leave, 0))


def test_a_run_on_a_full_disk_goes_on_when_there_is_room(disk, corpus, whole, warm):
    """It had room for what it saved first: the state takes about 60 KiB, the model 20."""
    model = disk / "m.st"
    command = ("train", corpus, "--model", model)
    done = warm.run(*command, *BRIEF, first=f"""
from charrnn.cli import run
from pathlib import Path
from test_full_disk import _fill
real = run.save_resume
def save(path, state):
    real(path, state)
    if state.values["step"] == 4:
        _fill(Path({str(disk)!r}), 8)
run.save_resume = save
""")  # fmt: skip
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Error: cannot write {model}: {NO_SPACE}; make room there"), last
    assert done.returncode == 1 and done.stderr.count("Error: ") == 1
    assert _assert_left_whole(model, whole) == 4 and not model.exists()
    again = warm.run(*command, "--resume")
    assert_one_line_error(again, 1, f"cannot write {model}: {NO_SPACE}")
    assert _assert_left_whole(model, whole) == 4
    (disk / "filler").unlink()
    assert warm.run(*command, "--resume").returncode == 0
    assert_same_result(whole[0], model)


def test_a_full_disk_leaves_every_output(disk, warm):
    """Those that were there, and no part of those that were not."""
    old = {name: b"old" for name in ("out.rnn", "out", "out.html", "report.html", "out.svg")}
    for name, content in old.items():
        (disk / name).write_bytes(content)
    _fill(disk)
    own = ("--model", "writer.st")
    for command in (
        ("compress", "text", "--force", "-o", disk / "out.rnn", *own),
        ("compress", "text", "-o", disk / "new.rnn", *own),
        ("decompress", "coded.rnn", "--force", "-o", disk / "out", *own),
        ("export", "--force", disk / "out.html", *own),
        ("report", "--output", disk / "report.html", *own),
        ("gradients", "text", "--positions", 3, "--output", disk / "out.svg", *own),
    ):
        done = warm.run(*command)
        assert_one_line_error(done, 1, f"cannot write {disk}", NO_SPACE, "make room there")
    assert {p.name: p.read_bytes() for p in disk.iterdir() if p.name != "filler"} == old


def test_what_is_printed_to_a_file_on_a_full_disk_is_an_error(disk, warm):
    """``charrnn sample > file`` and others; what was whole is not cut by charrnn."""
    _fill(disk)
    save_model(warm.folder / "labeller.st", labeller())
    for command in (
        ("sample", "--length", 20_000, "--model", "writer.st"),
        ("info", "--model", "writer.st"),
        ("score", "text", "--model", "writer.st"),
        ("evaluate", "text", "--model", "writer.st"),
        ("compress", "text", "-o", "-", "--model", "writer.st"),
        ("export", "-", "--model", "writer.st"),
        ("apply", "text", "--model", "labeller.st"),
    ):
        done = warm.run(*command, stdout=disk / "out")
        assert_one_line_error(done, 1, f"cannot write to standard output: {NO_SPACE}")


def test_a_log_on_a_full_disk_ends_the_run_and_its_state_stands(
    tmp_path, disk, corpus, whole, warm
):
    _fill(disk)
    folder = tmp_path / "run"
    folder.mkdir()
    model, log = folder / "m.st", disk / "log"
    command = ("train", corpus, "--model", model, "--log", log)
    done = warm.run(*command, *BRIEF)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Error: cannot write the log {log}: {NO_SPACE}; make room there"), last
    assert _assert_left_whole(model, whole) == 0
    (disk / "filler").unlink()
    assert warm.run(*command, "--resume").returncode == 0
    assert_same_result(whole[0], model)
    assert _log_steps(log) == [4, 8, 10, 12]
