"""Every command that prints, where its output is full, closed, or no longer read."""

import pytest
from commands import assert_one_line_error
from runs import SHAPE, corpus_in, labeller
from trained import with_biases
from warm import server

from charrnn.storage.checkpoint import save_model

pytestmark = pytest.mark.faults

OWN = ("--model", "writer.st")
BRIEF = (*SHAPE, "--steps", 2, "--validations", 1)

COMMANDS = {
    "help": ("train", "--help"),
    "version": ("--version",),
    "info": ("info", *OWN),
    "info as JSON": ("info", "--json", *OWN),
    "sample": ("sample", *OWN, "--count", 3, "--length", 50, "--seed", 1),
    "sample as JSON": ("sample", *OWN, "--json", "--length", 5, "--seed", 1),
    "next": ("next", "--prime", "ab", *OWN),
    "score": ("score", "text", *OWN),
    "score of characters": ("score", "text", "--per-character", *OWN),
    "evaluate": ("evaluate", "text", *OWN),
    "evaluate as JSON": ("evaluate", "text", "--json", *OWN),
    "compress": ("compress", "text", "--output", "-", *OWN),
    "decompress": ("decompress", "coded.rnn", "--output", "-", *OWN),
    "export": ("export", "-", *OWN),
    "apply": ("apply", "text", "--model", "labeller.st"),
    "recall": ("recall", "text", "--line", "abc"),
    "plan": ("plan", "corpus.txt", *BRIEF),
    "apply as JSON": ("apply", "text", "--json", "--model", "labeller.st"),
    "neurons": ("neurons", "text", *OWN),
    "gradients": ("gradients", "text", "--positions", 3, *OWN),
    "plot": ("plot", "log"),
    "compare": ("compare", "corpus.txt", "--cells", "lstm", *BRIEF),
}

#: Python code that makes standard output a pipe that nobody reads.
UNREAD = "import os; r, w = os.pipe(); os.dup2(w, 1); os.close(r); os.close(w)"


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Starts commands where a model of each kind and some texts are."""
    folder = tmp_path_factory.mktemp("outputs")
    model = with_biases("abcdefgh\n ", hidden_size=4)
    save_model(folder / "writer.st", model)
    save_model(folder / "labeller.st", labeller())
    (folder / "text").write_text("abc defg\n" * 50)
    first = ("train", corpus_in(folder), "--model", "m.st", "--log", "log", *BRIEF)
    code = ("compress", "text", "-o", "coded.rnn", *OWN)
    with server(folder, first, code) as warm:
        yield warm


@pytest.fixture
def arguments(request):
    return COMMANDS[request.param]


every_command = pytest.mark.parametrize("arguments", COMMANDS, indirect=True)


def _printed(warm, *arguments, **options):
    """What a command prints, and the rest of it."""
    path = warm.folder / "printed"
    path.write_bytes(b"")
    done = warm.run(*arguments, stdout=path, **options)
    return path.read_bytes(), done


@every_command
def test_a_full_device_is_an_error(warm, arguments):
    """And the last thing that is said."""
    done = warm.run(*arguments, stdout="/dev/full")
    done.stderr = done.stderr.splitlines(keepends=True)[-1]
    words = ("cannot write to standard output: No space left on device",)
    assert_one_line_error(done, 1, *words)


@every_command
def test_a_reader_that_has_left_is_none(warm, arguments):
    _, done = _printed(warm, *arguments)
    quiet = warm.run(*arguments, first=UNREAD)
    assert (done.returncode, quiet.returncode) == (0, 0)
    assert "Error" not in quiet.stderr and "Broken pipe" not in quiet.stderr
    assert "Traceback" not in quiet.stderr


@every_command
def test_a_closed_output_is_an_error_or_help_that_nobody_wants(warm, arguments):
    done = warm.run(*arguments, stdout=None)
    assert "Traceback" not in done.stderr
    if arguments[-1] in ("--help", "--version"):
        assert (done.returncode, done.stderr) == (0, "")
    else:
        done.stderr = done.stderr.splitlines(keepends=True)[-1]
        assert_one_line_error(done, 1, "cannot write to standard output: it is closed")


@every_command
@pytest.mark.parametrize("stderr", [None, "/dev/full"])
def test_what_is_printed_is_the_same_where_nothing_can_be_said(warm, arguments, stderr):
    expected, _ = _printed(warm, *arguments)
    printed, done = _printed(warm, *arguments, stderr=stderr)
    assert done.returncode == 0
    assert len(printed) > 3 and (printed == expected or arguments[0] in ("compare", "plan"))
