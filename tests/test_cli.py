"""What all commands have in common: help, versions, one place for errors."""

import ast
import re
import signal
from pathlib import Path

import click
import pytest
from commands import assert_one_line_error, execute, invoke
from subprocesses import ROOT

import charrnn
from charrnn import errors
from charrnn.cli.compare import DEFAULT_BUDGET
from charrnn.cli.main import COMMANDS as NAMES
from charrnn.cli.main import main
from charrnn.cli.options import with_options
from charrnn.studies.canvas import PICTURES
from charrnn.training import planning

COMMANDS = {name: main.get_command(None, name) for name in sorted(NAMES)}
PARAMETERS = [(name, p) for name in COMMANDS for p in COMMANDS[name].params]
IDS = [f"{name} {p.name}" for name, p in PARAMETERS]


def test_the_commands_are_there():
    assert {"train", "sample", "evaluate", "info"} <= set(COMMANDS)
    shown = invoke("--help").stdout
    for name in COMMANDS:
        assert f"  {name} " in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    assert f"charrnn {name}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name):
    done = invoke(name, "--help")
    assert (done.exit_code, done.stderr) == (0, "")
    first = (COMMANDS[name].help or "").splitlines()[0]
    assert first.endswith(".") and first in " ".join(done.stdout.split())


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS, ids=IDS)
def test_every_parameter_is_documented(name, parameter):
    shown = " ".join(invoke(name, "--help").stdout.split())
    if isinstance(parameter, click.Argument):
        assert parameter.name.upper() in (COMMANDS[name].help or "")
        return
    assert parameter.help and parameter.help[-1] in ".]"
    assert all(word in shown for word in (*parameter.opts, *parameter.help.strip("\b").split()))


def test_defaults_are_shown():
    shown = invoke("train", "--help").stdout
    for part in ("model.safetensors", "[default: 0.995]", "[default: zeros]"):
        assert part in shown
    assert "None" not in shown
    assert "[default: 128]" in invoke("benchmark", "--help").stdout


def test_what_is_chosen_for_the_text_says_so():
    """Options whose default no configuration knows."""
    shown = " ".join(invoke("train", "--help").stdout.split())
    for name in ("--hidden-size", "--batch-size", "--learning-rate", "--dropout", "--epochs",
                 "--optimizer", "--members"):  # fmt: skip
        _, _, after = shown.partition(f" {name} ")
        assert "[default: " in after.partition(" --")[0], name


def _help_of(name, columns=80):
    """The lines of a command's help on a terminal of some columns."""
    environment = {"COLUMNS": columns}
    return execute(*name.split(), "--help", environment=environment).stdout.decode().splitlines()


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_reads_well_on_a_common_terminal(name):
    """It fits, and no name is broken at its hyphens or cut short."""
    lines = _help_of(name)
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.endswith("-")]
    assert not [line for line in lines if line.startswith("  ") and line.endswith("...")]


#: What help texts say of constants that lie where importing them would take a second.
SAID = [
    ("train", "--epochs", lambda: (
        f"{planning.EPOCHS}, within {planning.FEWEST_CHARACTERS / 1e6:g} to "
        f"{planning.MOST_CHARACTERS / 1e6:g} million characters")),
    ("train", "--batch-size", lambda: f"{planning._FEWEST_LANES} to {planning.MOST_LANES},"),
    ("train", "--validations", lambda: (
        f"{planning._FEWEST_VALIDATIONS} to {planning._MOST_VALIDATIONS}, which take about "
        f"{100 * planning._VALIDATED:g}% of the time")),
    ("compare", "--budget", lambda: f"{DEFAULT_BUDGET / 60:g}m]"),
    ("gradients", "--output", lambda: "FILE{}, {} or {}.".format(*PICTURES)),
]  # fmt: skip


@pytest.mark.parametrize(("command", "name", "said"), SAID, ids=[name for _, name, _ in SAID])
def test_help_says_the_constants_as_they_are(command, name, said):
    (option,) = (p for p in COMMANDS[command].params if name in p.opts)
    assert said() in option.help


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("--bugdet", "Did you mean '--budget'?"),
        ("--hidden", "Did you mean '--hidden-size'?"),
        ("--learning_rate", "Did you mean '--learning-rate'?"),
        ("--epoch", "Did you mean '--epochs'?"),
        ("--clip", "(Did you mean one of: '--clip-norm', '--clip-value'?)"),
        ("--lr", ""),
        ("--rnn-size", ""),
        ("--num-epoch", ""),
        ("--unheard-of", ""),
    ],
)
def test_unknown_options_get_a_hint_where_one_is_near(given, hint):
    done = invoke("train", "corpus", given, 3)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        f"Error: No such option '{given}'. {hint}".rstrip(" .") + " (see main train --help)"
    )


def test_the_version():
    assert invoke("--version").stdout.split() == ["charrnn,", "version", charrnn.__version__]


def test_wrong_usage_is_exit_code_2():
    for arguments in (["unheard-of"], ["--unheard-of"], ["train"], ["evaluate"], ["info", "x"]):
        done = invoke(*arguments)
        assert done.exit_code == 2
        assert "Error: " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("so"), 2),
        (errors.CorpusError("so"), 1),
        (errors.ModelFileError("so"), 1),
        (errors.TrainingError("so"), 1),
        (errors.CharrnnError("so"), 1),
        (MemoryError(), 1),
    ],
    ids=repr,
)
def test_errors_become_one_line_and_a_code(monkeypatch, error, code):
    def fail(*_):
        raise error

    monkeypatch.setattr("charrnn.storage.checkpoint.load_model", fail)
    words = "memory" if isinstance(error, MemoryError) else "so"
    assert_one_line_error(invoke("info"), code, words)


def test_an_interruption_is_exit_code_130(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("charrnn.storage.checkpoint.load_model", interrupt)
    before = signal.getsignal(signal.SIGINT)  # ignored where a shell runs the tests behind its back
    assert invoke("info").exit_code == 128 + signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("command", [["train"], ["evaluate"]])
def test_a_folder_or_a_binary_file_is_one_line(tmp_path, command):
    """As a process, where nothing hides a traceback."""
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(256)))
    done = execute(*command, path, "--model", tmp_path / "m.safetensors")
    assert_one_line_error(done, 1)


def test_library_messages_name_fields_and_the_command_line_options():
    assert with_options("try a smaller `clip_norm` or `model`") == (
        "try a smaller --clip-norm or --model"
    )
    assert with_options("the text 'a`b`c' and `nothing`") == "the text 'a`b`c' and `nothing`"


def test_the_library_names_no_options():
    """But within commands that are quoted as a whole."""
    package = Path(charrnn.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent != package / "cli":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    quoted = "``--" in node.value or "charrnn train " in node.value
                    assert quoted or not re.search(r"--[a-z]", node.value), (path, node.value)
