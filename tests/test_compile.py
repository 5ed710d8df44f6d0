"""Compiling beforehand: what is compiled then is all that other commands need."""

from commands import execute, invoke
from trained import FABLES

from charrnn.compute import cache
from charrnn.compute.cache import announce_compilation
from charrnn.compute.folders import Folders
from charrnn.inference.language_model import load
from charrnn.studies.preparation import prepare


def test_after_it_training_and_sampling_compile_nothing(tmp_path):
    """A network of another size, on another text."""
    prepare(["lstm"])
    model, said = tmp_path / "m", []
    with announce_compilation(lambda *counts: said.append(counts)):
        done = invoke("train", FABLES, "--model", model, "--steps", "3", "--hidden-size", "32")
        load(model).sample(5, seed=1, top_p=0.9)
    assert done.exit_code == 0, done.stderr
    assert not said


def test_the_command_says_what_was_compiled_and_where(tmp_path):
    done = execute("compile", "--precision", "float32")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"compiled for lstm: ")
    assert done.stdout.rstrip().endswith(str(cache.kept_in()).encode())


def test_where_nothing_can_be_kept_it_says_why(monkeypatch):
    monkeypatch.setattr(cache, "_FOLDERS", Folders(None, None, "there is no home folder"))
    monkeypatch.setattr(cache, "_FAULTS", ["there is no home folder"])
    done = invoke("compile")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: nothing that is compiled can be kept: there is no home")
    assert "CHARRNN_CACHE" in done.stderr and len(done.stderr.splitlines()) == 1


def test_no_other_cell_is_compiled_than_there_is():
    done = invoke("compile", "--cell", "gpt")
    assert done.exit_code == 2 and "'gpt' is not one of" in done.stderr
