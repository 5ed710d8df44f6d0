"""Files that change, move or vanish under a command: it ends as if alone, or says what is wrong."""

import os
import re
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
from commands import assert_one_line_error
from runs import TINY, assert_same_result, corpus_in, of_model, of_state, passed_through
from trained import with_biases
from warm import server

from charrnn.storage.checkpoint import load_model, load_resume, resume_path, save_model

pytestmark = pytest.mark.faults

#: Another user, who may not write everywhere.
NOBODY = 65534

#: Makes steps slow from the 20th on, so that there is time to move things.
SLOW_STEPS = """
import time
from charrnn.training.trainer import Trainer
step = Trainer.train_step
def slow(self):
    if self.step >= 20:
        time.sleep(0.05)
    return step(self)
Trainer.train_step = slow
"""


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warm")
    save_model(folder / "writer.st", with_biases("abcdefgh ", hidden_size=4))
    with server(
        folder,
        ("train", corpus_in(folder), "--model", folder / "w.st", *TINY),
        ("sample", "--model", folder / "writer.st", "--length", 3),
    ) as warm:
        yield warm


@pytest.fixture
def corpus(tmp_path):
    return corpus_in(tmp_path)


@pytest.fixture
def whole(tmp_path, corpus):
    """A run that nothing happens to: its model, and the models and states it passes through."""
    model = tmp_path / "whole.st"
    return model, *passed_through(corpus, "--model", model, *TINY)


def _grow(path):
    with path.open("a", encoding="utf-8") as file:
        file.write("more of it\n" * 100)


def _replace(path):
    other = path.with_name("other.txt")
    other.write_text("quite another text\n" * 100)
    other.replace(path)


#: What may happen to a corpus.
CHANGES = {
    "deleted": Path.unlink,
    "truncated": lambda path: os.truncate(path, 700),
    "emptied": lambda path: os.truncate(path, 0),
    "grown": _grow,
    "replaced": _replace,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_corpus_that_changes_while_it_is_learned(tmp_path, corpus, whole, warm, change):
    """The run has all of it already; one that is to go on is told what is missing."""
    model, stopped = tmp_path / "m.st", tmp_path / "stopped.st"
    runs = [
        warm.start("train", corpus, "--model", own, *TINY, first=SLOW_STEPS)
        for own in (model, stopped)
    ]
    for process in runs:
        process.wait_for("step 20 ")
    kept = corpus.read_bytes()
    CHANGES[change](corpus)
    runs[1].send(signal.SIGINT)
    assert runs[1].ended() == 130
    done = warm.run("train", corpus, "--model", stopped, "--resume")
    if change in ("deleted", "emptied"):
        assert_one_line_error(done, 1, "check the path" if change == "deleted" else "no characters")
    else:
        assert_one_line_error(done, 2, "corpus (corpus.txt ", "now corpus.txt ")
    assert runs[0].ended() == 0
    assert_same_result(whole[0], model)
    corpus.write_bytes(kept)
    assert warm.run("train", corpus, "--model", stopped, "--resume").returncode == 0
    assert_same_result(whole[0], stopped)


@pytest.mark.parametrize("change", CHANGES)
def test_a_corpus_that_changes_while_it_is_read(tmp_path, corpus, warm, change):
    """Between its two passes: nothing is made of half of it."""
    first = f"""
from pathlib import Path
from charrnn.text.vocabulary import Vocabulary
from test_moving import CHANGES
count = Vocabulary.from_counts
def changing(*arguments):
    CHANGES[{change!r}](Path({str(corpus)!r}))
    return count(*arguments)
Vocabulary.from_counts = changing
"""
    done = warm.run("train", corpus, "--model", tmp_path / "m.st", *TINY, first=first)
    words = "check the path" if change == "deleted" else "changed while it was read"
    assert_one_line_error(done, 1, "corpus.txt", words)
    assert not list(tmp_path.glob("*m.st*"))


@pytest.fixture
def own_folder():
    """A folder that everyone may get to, and that belongs to who runs what is started."""
    folder = Path(tempfile.mkdtemp(prefix="charrnn-"))
    folder.chmod(0o755)
    if not os.geteuid():
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_becomes_read_only(own_folder, whole, warm):
    _, models, states = whole
    corpus, model = corpus_in(own_folder), own_folder / "m.st"
    leave = "" if os.geteuid() else f"import os; os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    command = ("train", corpus, "--model", model)
    process = warm.start(*command, *TINY, first=leave + SLOW_STEPS)
    process.wait_for("step 20 ")
    own_folder.chmod(0o555)
    assert process.ended() == 1
    *_, last = process.told.splitlines()
    # Whichever it writes next: the model, where validation has just found a better one.
    written = "|".join(re.escape(str(path)) for path in (model, resume_path(model)))
    assert re.match(f"Error: cannot write ({written}): Permission denied; ", last)
    assert process.told.count("Error: ") == 1 and "Traceback" not in process.told
    assert of_model(load_model(model)) in models
    assert of_state(load_resume(resume_path(model))) in states
    refused = warm.run(*command, "--resume", first=leave)
    assert_one_line_error(refused, 1, f"cannot write {model}: ", "folder")
    own_folder.chmod(0o755)
    assert warm.run(*command, "--resume", first=leave).returncode == 0
    assert_same_result(whole[0], model)
    assert not list(own_folder.glob(".*"))


def test_a_folder_that_is_removed(tmp_path, corpus, warm):
    folder = tmp_path / "run"
    folder.mkdir()
    command = ("train", corpus, "--model", folder / "m.st", "--log", folder / "log", *TINY)
    process = warm.start(*command, first=SLOW_STEPS)
    process.wait_for("step 20 ")
    gone = folder.rename(tmp_path / "gone")  # all at once, whatever the run is writing there
    shutil.rmtree(gone)
    assert process.ended() == 1
    *_, last = process.told.splitlines()
    assert last.startswith(f"Error: cannot write {folder}") and "its folder is not there" in last
    assert process.told.count("Error: ") == 1 and "Traceback" not in process.told
    assert not folder.exists()


# Models


def test_a_model_that_is_replaced_while_it_is_read(tmp_path):
    """Whoever reads it has the one or the other."""
    path = tmp_path / "m.st"
    models = [with_biases("ab", hidden_size=100, biases=[(3, bias)]) for bias in (0.0, 2.0)]
    save_model(path, models[0])
    ended = threading.Event()

    def replace():
        while not ended.is_set():
            for model in models:
                save_model(path, model)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        found = {of_model(load_model(path)) for _ in range(100)}
    finally:
        ended.set()
        thread.join()
    assert found == set(map(of_model, models))


def test_a_model_that_is_removed_or_spoilt_while_it_writes(tmp_path, warm):
    """It is in memory by then."""
    model, out = tmp_path / "m.st", tmp_path / "out"
    shutil.copy(warm.folder / "writer.st", model)
    command = ("sample", "--model", model, "--seed", 1, "--length")
    expected = tmp_path / "expected"
    assert warm.run(*command, 30_000, stdout=expected).returncode == 0
    for spoil in (lambda: model.write_bytes(b"nothing"), model.unlink):
        shutil.copy(warm.folder / "writer.st", model)
        out.unlink(missing_ok=True)
        process = warm.start(*command, 30_000, stdout=out)
        while not (out.exists() and out.stat().st_size):
            time.sleep(0.001)
        spoil()
        assert process.ended() == 0
        assert out.read_bytes() == expected.read_bytes()
    assert_one_line_error(warm.run(*command, 3), 1, f"there is no charrnn model {model}")
