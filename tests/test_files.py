"""No command writes over what it reads, nor in the place of what is no file; links stay links."""

import os
import socket
import stat

import pytest
from commands import QUICK, assert_one_line_error, invoke, start
from trained import FABLES, with_biases

from charrnn.errors import ModelFileError, UsageError
from charrnn.storage.checkpoint import load_model, resume_path, save_model
from charrnn.storage.files import keep_apart, texts
from charrnn.storage.lock import locked
from charrnn.text.display import decoded

SMALL = ("--layers", 1, "--hidden-size", 8, "--positions", 5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder at hand, with texts, models, and other names of them."""
    monkeypatch.chdir(tmp_path)
    text = FABLES.read_bytes()[:3000]
    for name in ("c.txt", "v.txt", "old.resume", "lstm.safetensors", "gru.safetensors.resume",
                 ".other.lock", "c.svg"):  # fmt: skip
        (tmp_path / name).write_bytes(text)
    for name in ("m", "m.svg"):
        save_model(tmp_path / name, with_biases("ab"))
    (tmp_path / "link.txt").symlink_to("c.txt")
    (tmp_path / "hard.txt").hardlink_to("c.txt")
    (tmp_path / "here").symlink_to(".")
    return tmp_path


def _contents(folder):
    return {p.name: (os.readlink(p) if p.is_symlink() else p.read_bytes())
            for p in folder.iterdir() if p.is_symlink() or p.is_file()}  # fmt: skip


CLASHES = {
    "log and corpus": ("train c.txt --model new --log c.txt", "the log", "the text"),
    "log and one of many": ("train v.txt c.txt --model new --log ./c.txt", "the log", "c.txt"),
    "log and corpus by a link": ("train c.txt --model new --log link.txt", "link.txt", "c.txt"),
    "log and linked corpus": ("train link.txt --model new --log c.txt", "c.txt", "link.txt"),
    "log and corpus by a hard link": ("train c.txt --model new --log hard.txt", "hard.txt"),
    "log and validation": ("train c.txt --validation v.txt --model new --log v.txt", "v.txt"),
    "log and first model": ("train c.txt --init-from m --model new --log m", "the model m"),
    "log and model": ("train c.txt --model new --log here/new", "the log", "the model new"),
    "log and resume file": ("train c.txt --model new --log new.resume", "the resume file"),
    "log and lock": ("train c.txt --model new --log .new.lock", "the lock"),
    "model and corpus": ("train c.txt --model c.txt --force", "the model", "the text"),
    "model and validation": ("train c.txt --validation v.txt --model v.txt --force", "v.txt"),
    "resume file and corpus": ("train old.resume --model old", "the resume file"),
    "lock and corpus": ("train .other.lock --model other", "the lock", "the text"),
    "lock and first model": ("train c.txt --init-from .other.lock --model other", "the lock"),
    "kept model and corpus": ("compare lstm.safetensors --output . --force", "the model"),
    "removed file and corpus": ("compare gru.safetensors.resume --output .", "the resume file"),
    "kept model and validation":
        ("compare c.txt --validation lstm.safetensors --output here --force", "the text"),
    "picture and text": ("gradients c.svg --cell gru --output c.svg", "the picture", "the text"),
    "picture and model": ("gradients c.txt --model m.svg --output m.svg", "the model m.svg"),
}  # fmt: skip


@pytest.mark.parametrize("clash", CLASHES)
def test_what_is_written_is_not_what_is_read(folder, clash):
    command, *words = CLASHES[clash]
    before = _contents(folder)
    assert_one_line_error(invoke(*command.split()), 2, "same file", *words)
    assert _contents(folder) == before


def test_standard_input_is_a_file_too(folder):
    """Where a shell has redirected it."""
    before = _contents(folder)
    with open("c.txt", "rb") as file:
        process = start("train", "-", "--model", "new", "--log", "link.txt", stdin=file)
    with process:
        _, told = process.communicate()
    assert process.returncode == 2 and told.startswith(b"Error: the log link.txt would be")
    assert _contents(folder) == before


def test_a_resumed_run_remembers_its_validation_text(folder):
    options = ("--model", "new", "--log", "v.txt")
    assert invoke("train", "c.txt", "--validation", "v.txt", *options[:2], *QUICK).exit_code == 0
    before = _contents(folder)
    done = invoke("train", "c.txt", "--resume", *options)
    assert_one_line_error(done, 2, "the log v.txt")
    assert _contents(folder) == before


def test_files_that_differ_are_no_clash(folder):
    read = [*texts(["c.txt", "-", None]), ("the model", "m")]
    keep_apart([("the log", "new"), ("the model", "m"), ("the picture", None)], read)
    keep_apart([("the log", None), ("the picture", None)], [])
    (folder / "nowhere").symlink_to("new")
    with pytest.raises(UsageError, match=r"the log nowhere would be .* the model here/new"):
        keep_apart([("the model", "here/new"), ("the log", "nowhere")], read)


# What is no file


@pytest.fixture
def irregular(folder):
    """A pipe, a socket, a folder and a link that leads to itself."""
    os.mkfifo("pipe.svg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.svg")
        os.mkdir("folder.svg")
        os.symlink("loop.svg", "loop.svg")
        yield {name: os.lstat(name).st_mode for name in
               ("pipe.svg", "socket.svg", "folder.svg", "loop.svg")}  # fmt: skip


@pytest.mark.parametrize("name", ["pipe.svg", "socket.svg", "folder.svg", "loop.svg"])
@pytest.mark.parametrize(
    "command",
    [
        ("train", "c.txt", "--force", "--model"),
        ("train", "c.txt", "--resume", "--model"),
        ("train", "c.txt", "--model", "new", *QUICK, "--log"),
        ("gradients", "c.txt", "--cell", "gru", *SMALL, "--output"),
    ],
    ids=["model", "resumed", "log", "picture"],
)
def test_what_is_no_regular_file_is_not_written(irregular, command, name):
    fault = "folder" if stat.S_ISDIR(irregular[name]) else "no regular file"
    assert_one_line_error(invoke(*command, name), 1, f"cannot write {name}", fault)
    assert os.lstat(name).st_mode == irregular[name]
    assert not os.path.exists("new")


def test_the_library_writes_over_no_pipe_either(irregular):
    with pytest.raises(ModelFileError, match="no regular file"):
        save_model("pipe.svg", with_biases("ab"))
    assert stat.S_ISFIFO(os.stat("pipe.svg").st_mode)


@pytest.mark.parametrize("name", ["", ".", ".."])
@pytest.mark.parametrize("command", [["train", "c.txt", "--force"], ["info"]])
def test_a_model_is_no_folder(folder, command, name):
    before = sorted(os.listdir())
    assert_one_line_error(invoke(*command, "--model", name), 1, "it is a folder")
    assert sorted(os.listdir()) == before


# Links


def test_a_model_is_written_through_a_link(folder):
    (folder / "models").mkdir()
    for target in ("models/there", "models/not-yet"):
        link = folder / "latest"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        save_model(folder / "models" / "there", with_biases("ab"))
        assert invoke("train", "c.txt", "--model", link, "--force", *QUICK).exit_code == 0
        assert os.readlink(link) == target
        assert load_model(target).config.hidden_size == 16
        assert resume_path(link) == (folder / f"{target}.resume").resolve()
        assert resume_path(link).exists() and not os.path.exists("latest.resume")
    assert sorted(os.listdir("models")) == ["not-yet", "not-yet.resume", "there", "there.resume"]
    assert invoke("train", "c.txt", "--model", "models/not-yet", "--resume").exit_code == 2


def test_a_link_into_no_folder_is_an_error(folder):
    (folder / "latest").symlink_to("no/folder")
    done = invoke("train", "c.txt", "--model", "latest")
    assert_one_line_error(done, 1, "cannot write latest", "folder")
    assert os.readlink("latest") == "no/folder"


def test_one_run_trains_a_model_by_whatever_name(folder):
    (folder / "latest").symlink_to("m")
    for one, other in (("m", "latest"), ("latest", "here/m")):
        with locked(folder / one):
            done = invoke("train", "c.txt", "--model", other, "--force", *QUICK)
            assert_one_line_error(done, 1, f"{other} is being trained by process {os.getpid()}")


# Names


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (os.fsencode("ж.txt").decode("ascii", "surrogateescape"), "ж.txt"),
        ("ж é.txt", "ж é.txt"),
        ("a\udc9bb", "a\udc9bb"),
        ("a\ud83db", "a\ud83db"),
    ],
)
def test_names_are_utf8(given, text):
    assert decoded(given) == text
