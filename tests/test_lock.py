"""One run at a time on a model, and no lock without a run."""

import os
import signal
import subprocess
import sys

import pytest
from commands import QUICK, Process, assert_one_line_error, invoke, start
from subprocesses import ROOT
from trained import FABLES

from charrnn.errors import ModelFileError
from charrnn.storage.checkpoint import load_model
from charrnn.storage.lock import locked

ENDLESS = (*QUICK[:-4], "--steps", 10**6, "--validations", 10**4)

#: Takes the lock of the model named, says so, and waits for a line.
HOLD = """
import sys
from pathlib import Path
from charrnn.storage.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
"""

#: Takes the lock again and again, and fails where another holds it meanwhile.
CONTEND = """
import os, sys, time
from pathlib import Path
from charrnn.errors import ModelFileError
from charrnn.storage.lock import locked
model, inside = Path(sys.argv[1]), Path(sys.argv[2])
had, end = 0, time.monotonic() + 1
while time.monotonic() < end:
    try:
        with locked(model):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            inside.unlink()
            had += 1
    except ModelFileError:
        pass
print(had)
"""


def _python(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {stream: subprocess.PIPE for stream in ("stdin", "stdout", "stderr")}
    return Process(command, env=environment, text=True, **pipes)


@pytest.fixture
def model(tmp_path):
    return tmp_path / "m.safetensors"


@pytest.mark.faults
def test_a_second_run_refuses_and_the_first_goes_on(model, tmp_path):
    log = tmp_path / "log.jsonl"
    with start("train", FABLES, "--model", model, "--log", log, *ENDLESS) as process:
        process.until(b"  validation ")
        for options in (["--force"], ["--resume"], []):
            second = invoke("train", FABLES, "--model", model, "--log", log, *options)
            assert_one_line_error(second, 1, f"{model} is being trained by process {process.pid}")
        assert log.read_text().startswith('{"step": ')
        other = model.with_name("other.safetensors")
        assert invoke("train", FABLES, "--model", other, *QUICK).exit_code == 0
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert load_model(model)
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_left_of_a_run_whether_it_succeeds_or_fails(model, tmp_path):
    for corpus, code in ((FABLES, 0), (tmp_path / "missing", 1)):
        assert invoke("train", corpus, "--model", model, "--force", *QUICK).exit_code == code
        assert not list(tmp_path.glob(".*"))


def test_a_killed_process_leaves_no_lock(model, tmp_path):
    process = _python(HOLD, model)
    with process:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(ModelFileError, match=f"process {process.pid}:"), locked(model):
            pass
        process.kill()
    assert [p.name for p in tmp_path.iterdir()] == [".m.safetensors.lock"]
    with locked(model):
        pass
    assert not list(tmp_path.iterdir())


def test_the_same_file_by_another_path_is_locked_too(model, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    with locked(model):
        for path in (tmp_path / "link" / model.name, model.relative_to(tmp_path)):
            with pytest.raises(ModelFileError, match=f"process {os.getpid()}:"), locked(path):
                pass


def test_taking_and_leaving_never_lets_two_in(model, tmp_path):
    """Three processes, each removing the file that the others are about to lock."""
    processes = [_python(CONTEND, model, tmp_path / "inside") for _ in range(3)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert int(out) > 10
    assert not list(tmp_path.iterdir())


def test_a_run_without_locks_trains(model, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("charrnn.storage.lock.fcntl.flock", refuse)
    assert invoke("train", FABLES, "--model", model, *QUICK).exit_code == 0


@pytest.mark.parametrize("force", ["--force", "--resume"])
@pytest.mark.parametrize("folder", ["no/folder", "file", "/proc"])
def test_a_folder_that_can_hold_no_file_is_told_of(tmp_path, folder, force):
    (tmp_path / "file").touch()
    path = tmp_path / folder / "m.safetensors"
    done = invoke("train", "no-such-corpus.txt", "--model", path, force)
    assert_one_line_error(done, 1, f"cannot write {path}", "folder")


@pytest.mark.parametrize("options", [["--force"], ["--resume"]])
def test_a_folder_is_no_model(options, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert_one_line_error(invoke("train", FABLES, "--model", ".", *options), 1)
