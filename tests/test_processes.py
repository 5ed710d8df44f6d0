"""Runs of several processes, which ``mpiexec`` starts."""

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranks
from commands import BLOCK, QUICK, assert_one_line_error, execute, start
from trained import FABLES, small_trainer

from charrnn.compute import threads
from charrnn.config import TrainingConfig
from charrnn.errors import UsageError
from charrnn.storage.checkpoint import load_model, load_resume, resume_path
from charrnn.training.planning import with_lanes
from charrnn.training.processes import ALONE, Processes

pytestmark = pytest.mark.faults

#: Beside the interpreter, where the package mpich puts it.
MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))
#: One that nobody waits for.
LONG = ("--layers", "1", "--hidden-size", "16", "--batch-size", "16", "--sequence-length", "32",
        "--steps", "1000000", "--validations", "100000")  # fmt: skip


def started(count, *arguments, python=(sys.executable, "-m", "charrnn"), **options):
    """So many processes of the program, running."""
    words = (MPIEXEC, "-n", str(count), *python, *arguments)
    code = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
    return start(*words, program=("-c", code), **options)


def run(count, *arguments, **options):
    """So many processes, run to their end."""
    with started(count, *arguments, **options) as process:
        stdout, stderr = process.communicate(b"", timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr.decode())


# What comes of it


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of the texts, and what comes of each run that a process makes alone."""
    folder = tmp_path_factory.mktemp("ranks")
    ranks.write_texts(folder)
    return folder, {case: ranks.made(ranks.trainer_of(case, folder)) for case in ranks.CASES}


@pytest.mark.parametrize("count", [2, 4])
def test_it_equals_a_run_of_one_process_with_as_many_lanes(count, alone):
    """Step by step, within rounding; each time to the same bits, in every process."""
    folder, expected = alone
    done = run(count, ranks.__file__, folder, python=(sys.executable,))
    assert done.returncode == 0, done.stderr
    for case, made in expected.items():
        found = np.load(folder / f"{case}.{count}.npz")
        assert found.keys() == made.keys()
        for name, values in made.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-8, atol=1e-10, err_msg=case)
        assert np.isfinite(made["records"][:, 3]).sum() == 3


def test_processes_without_a_document_have_no_part_in_a_step(alone):
    """A pass over few texts ends with a chunk that fills few lanes."""
    folder, _ = alone
    trainer = ranks.trainer_of("label", folder)
    lanes = [trainer.training.lanes(6, trainer.lanes.length, seed=1, own=(n, n + 1))
             for n in range(6)]  # fmt: skip
    chunks = [[own.next() for own in lanes] for _ in range(ranks.STEPS)]
    assert any(batch.count == 0 for chunk in chunks for batch in chunk)


@pytest.mark.parametrize("case", ranks.CASES)
@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_lanes_of_all_are_those_of_one(count, case, alone):
    trainer = ranks.trainer_of(case, alone[0])

    def lanes(own=None):
        return trainer.training.lanes(6, trainer.lanes.length, seed=1, own=own)

    whole = lanes()
    parts = [lanes(threads.share(6, rank, count)) for rank in range(count)]
    for _ in range(12):
        batch, own = whole.next(), [part.next() for part in parts]
        assert all(part.read == whole.read for part in parts)
        for name in ("inputs", "resets"):
            joined = np.concatenate([getattr(b, name) for b in own], axis=1)
            np.testing.assert_array_equal(joined, getattr(batch, name))
        assert [b.lane for b in own] == [6 * rank // count for rank in range(count)]
        assert sum(b.read for b in own) == batch.read
        assert sum(b.count for b in own) == pytest.approx(batch.count)


# The program


def test_one_writes_and_another_number_of_processes_goes_on(tmp_path):
    model, log = tmp_path / "m.safetensors", tmp_path / "log"
    arguments = ("train", FABLES, "--model", model, "--log", log)
    first = run(2, *arguments, *QUICK, "--precision", "float32")
    assert first.returncode == 0, first.stderr
    assert "16 lanes × 32 steps in 2 processes of 1 thread, soap" in first.stderr
    assert first.stderr.count("best so far") == first.stderr.count(" lanes ×") * 3 == 3
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [10, 20, 30]
    trainer = small_trainer(hidden_size=16, batch_size=16, sequence_length=32, steps=30,
                            warmup_steps=5, validations=3)  # fmt: skip
    losses = [record.validation_loss for record in trainer.run() if record.validation_loss]
    assert load_model(model).training["validation_loss"] == pytest.approx(losses[-1], rel=1e-4)
    more = run(4, *arguments, "--resume", "--steps", "40")
    assert more.returncode == 0 and "in 4 processes" in more.stderr, more.stderr
    last = execute(*arguments, "--resume", "--steps", "50")
    assert last.returncode == 0, last.stderr
    assert load_resume(resume_path(model)).values["step"] == 50
    assert {*tmp_path.iterdir()} == {model, log, resume_path(model)}


def _until_it_validates(process):
    """Wait for the second validation: by then all processes are in the midst of the run."""
    for _ in range(2):
        while b"validation" not in (line := process.stderr.readline()) or b"chars/s" not in line:
            assert line, "it has ended"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_after_the_step_at_hand(number, code, tmp_path):
    model = tmp_path / "m.safetensors"
    with started(2, "train", FABLES, "--model", model, *LONG) as process:
        _until_it_validates(process)
        process.send_signal(number)
        said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == code, said
    assert "to go on: mpiexec -n 2 charrnn train" in said and "saved " in said
    assert load_resume(resume_path(model)).values["best"] and load_model(model)


DYING = """
import os, signal
from charrnn.cli.main import main
from charrnn.training.trainer import Trainer
step = Trainer.train_step
def dying(self):
    if self.processes.rank == 1 and self.step == 25:
        {death}
    return step(self)
Trainer.train_step = dying
main()
"""


@pytest.mark.parametrize(
    ("death", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "Killed (signal 9)"),
        ("raise RuntimeError('of a fault')", "RuntimeError: of a fault"),
        ("raise MemoryError", "not enough memory"),
    ],
)
def test_a_process_that_dies_ends_all(death, said, tmp_path):
    model = tmp_path / "m.safetensors"
    python = (sys.executable, "-c", DYING.format(death=death))
    done = run(2, "train", FABLES, "--model", model, *QUICK, python=python)
    assert done.returncode != 0 and said in done.stderr + done.stdout.decode()
    assert load_model(model).training["steps"] == 20
    assert load_resume(resume_path(model)).values["step"] == 20


def test_each_trains_some_of_the_cells_that_are_compared(tmp_path):
    kept = tmp_path / "kept"
    done = run(
        2, "compare", FABLES, "--cells", "gru,elman,lstm", *QUICK, "--output", kept, "--json"
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [result["cell"] for result in results] == ["gru", "elman", "lstm"]
    losses = [load_model(kept / f"{r['cell']}.safetensors").training["validation_loss"]
              for r in results]  # fmt: skip
    assert losses == [result["validation_loss"] for result in results]
    assert re.findall(r"\d of 3: \w+", done.stderr) == ["1 of 3: gru", "3 of 3: lstm"]


# What is refused


def test_fewer_lanes_than_processes_are_refused(tmp_path):
    done = run(4, "train", FABLES, "--model", tmp_path / "m", "--batch-size", "3")
    assert_one_line_error(done, 2, "4 processes cannot share 3 lanes", "--batch-size")
    assert not list(tmp_path.iterdir())


def test_standard_input_is_refused(tmp_path):
    done = run(2, "train", "-", "--model", tmp_path / "m")
    assert_one_line_error(done, 2, "several processes cannot read standard input")


def test_different_texts_are_refused(tmp_path):
    (tmp_path / "0").write_text(FABLES.read_text("utf-8"))
    (tmp_path / "1").write_text(FABLES.read_text("utf-8").replace("fox", "fix"))
    command = [sys.executable, "-m", "charrnn", "train", "text", "--model", "m", *QUICK]
    shell = (
        f"mkdir $PMI_RANK.own && cd $PMI_RANK.own && cp ../$PMI_RANK text && {shlex.join(command)}"
    )
    done = run(2, python=("bash", "-c", shell), cwd=tmp_path)
    assert_one_line_error(done, 2, "the processes have read different texts")


def test_what_only_one_process_lacks_ends_all_with_its_name(tmp_path):
    (tmp_path / "0").write_text(FABLES.read_text("utf-8"))
    command = (
        f"{shlex.quote(sys.executable)} -m charrnn train $PMI_RANK --model m {shlex.join(QUICK)}"
    )
    done = run(2, python=("bash", "-c", command), cwd=tmp_path)
    assert done.returncode == 1
    assert "Error: cannot read '1'" in done.stderr and "(process 2 of 2" in done.stderr


def _as_started_by(environment, code="from charrnn.cli.main import main; main()"):
    return execute("train", FABLES, program=("-c", code), environment=environment)


def test_without_mpi4py_it_says_what_to_install():
    code = f"blocked = ['mpi4py']\n{BLOCK}\nfrom charrnn.cli.main import main; main()"
    done = _as_started_by({"PMI_RANK": 0, "PMI_SIZE": 2}, code)
    assert_one_line_error(done, 1, "pip install 'charrnn[mpi]'")


def test_another_mpi_than_that_of_mpiexec_is_told():
    done = _as_started_by({"OMPI_COMM_WORLD_RANK": 0, "OMPI_COMM_WORLD_SIZE": 2})
    assert_one_line_error(done, 1, "2 processes were started, and MPI finds 1")


# Plans


class Several(Processes):
    """As many as one says, who all say what this one does."""

    def __init__(self, count):
        self.count = count

    def all(self, value):
        return [value] * self.count


@pytest.mark.parametrize(("count", "lanes"), [(1, 64), (4, 64), (16, 256), (64, 1024)])
def test_each_process_has_lanes_enough(count, lanes):
    assert with_lanes(TrainingConfig(), 10**8, Several(count)).batch_size == lanes
    given = TrainingConfig(batch_size=80)
    assert with_lanes(given, 10**8, Several(count)).batch_size == 80


def test_more_processes_than_a_text_has_lanes_for_are_refused():
    with pytest.raises(UsageError, match="cannot share 15 lanes"):
        with_lanes(TrainingConfig(), 1000, Several(16))


def test_products_are_what_all_processors_can_make():
    class Unlike(Several):
        def all(self, value):
            return ["bfloat16", "float32"]

    assert with_lanes(TrainingConfig(), 10**6, Unlike(2)).precision == "float32"


def test_processes_of_a_machine_share_its_processors(monkeypatch):
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(threads, "_sharing", 1)
    counts = []
    for processes in (1, 2, 3, 16):
        threads.share_processors(processes)
        counts.append(threads.available_threads())
    assert counts == [8, 4, 2, 1]


def test_a_process_alone_has_everything():
    figures, gradients = np.arange(3.0), np.arange(4.0)
    assert ALONE.share(7) == (0, 7) and list(ALONE.own("abc")) == ["a", "b", "c"]
    assert ALONE.exchange(gradients, figures).tolist() == [[0, 1, 2]]
    assert ALONE.sum(gradients) is gradients and gradients.tolist() == [0, 1, 2, 3]
