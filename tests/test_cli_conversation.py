"""``charrnn sample --interactive``: from a pipe, and as a user types it on a terminal."""

import os
import pty
import select
import signal
import time

import pytest
from commands import assert_one_line_error, execute, invoke, start
from trained import dinosaurs, fables

from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import save_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the models "fables" and "names"."""
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "fables", fables())
    save_model(folder / "names", dinosaurs())
    return folder


def _answers(models, lines, name="fables"):
    done = invoke("sample", "--model", models / name, "--interactive", "--seed", 5, "--length", 20,
                  stdin=lines)  # fmt: skip
    assert done.exit_code == 0
    return done.stdout, done.stderr


def test_each_line_is_gone_on_from_after_what_stands_above(models):
    model = load(models / "fables")
    first = model.sample(20, prime="The fox", seed=5)
    above = f"The fox{first}" + ("" if first.endswith("\n") else "\n")
    second = model.sample(20, prime=f"{above}A crow", seed=6)
    shown, said = _answers(models, "The fox\nA crow\n")
    assert (shown, said) == (f"{first}\n{second}\n", "")
    assert _answers(models, "The fox\nA crow\n/quit\nmore\n") == (shown, "")
    assert _answers(models, "The fox\nA crow")[0] == shown


def test_another_answer_and_a_new_beginning(models):
    model = load(models / "fables")
    first = model.sample(20, prime="The fox", seed=5)
    again = model.sample(20, prime="The fox", seed=6)
    anew = model.sample(20, prime="A\ncrow", seed=7)
    shown, _ = _answers(models, "The fox\n/again\n/reset\nA\\ncrow\n")
    assert shown == f"{first}\n{again}\n{anew}\n"
    _, said = _answers(models, "/help\n")
    assert all(command in said for command in ("/reset", "/again", "/quit", "Ctrl-C"))


def test_lines_of_a_model_of_lines_do_not_see_one_another(models):
    model = load(models / "names")
    expected = [model.sample(20, prime=prime, seed=5 + n) for n, prime in enumerate(["Ty", "Al"])]
    shown, said = _answers(models, "Ty\nAl\n", "names")
    assert (shown, said) == ("".join(f"{text}\n" for text in expected), "")


def test_what_is_typed_may_be_no_text(models):
    """In every locale; an unknown character is told."""
    arguments = ["sample", "--model", models / "fables", "--interactive", "--length", 5]
    for locale in ("C", "C.UTF-8"):
        done = execute(*arguments, stdin=b"\xff\xc3\xa9\n", environment={"LC_ALL": locale})
        assert (done.returncode, len(done.stdout)) == (0, 6)
        assert done.stderr.count(b"\n") == 1 and "'é'" in done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--interactive"], 1), (["--prime-file", "-"], 2)]
)
def test_a_closed_standard_input_is_one_line(models, arguments, code):
    done = execute("sample", "--model", models / "fables", *arguments, stdin=None,
                   preexec_fn=lambda: os.close(0))  # fmt: skip
    assert_one_line_error(done, code, "standard input", "is closed")


@pytest.mark.parametrize(
    "other",
    [["--prime", "a"], ["--prime-lines"], ["--count", 2], ["--json"], ["--beams", 2], ["--whole"],
     ["--unique"], ["--not-in", "x"], ["--best-of", 2], ["--null"], ["--separator", "x"],
     ["--no-echo"]],
)  # fmt: skip
def test_what_has_no_part_in_a_conversation_is_refused(models, other):
    done = invoke("sample", "--model", models / "fables", "--interactive", *other, stdin="")
    assert_one_line_error(done, 2, "--interactive", "not both")


def _hear_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class _Terminal:
    """A program on a terminal of its own: what is typed, and what it has shown."""

    def __init__(self, *arguments):
        leader, follower = pty.openpty()
        self._leader, self.shown = leader, ""
        # Where the tests run in the background of a shell, SIGINT would be ignored.
        self.process = start(*arguments, stdin=follower, stdout=follower, stderr=follower,
                             start_new_session=True,
                             preexec_fn=_hear_interrupts)  # fmt: skip
        os.close(follower)

    def type(self, text):
        os.write(self._leader, text.encode())

    def wait_for(self, enough, seconds=60):
        """Read until ``enough`` is true of what has been shown since the last time."""
        end, self.shown = time.monotonic() + seconds, ""
        while not enough(self.shown):
            assert time.monotonic() < end, self.shown
            if select.select([self._leader], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self._leader, 65536).decode(errors="replace")
                except OSError:  # Linux: the program has closed it
                    return


def test_an_endless_answer_ends_with_ctrl_c_and_the_conversation_goes_on(models):
    terminal = _Terminal("sample", "--model", models / "fables", "--interactive", "--length", "inf",
                         "--ignore-end")  # fmt: skip
    try:
        terminal.wait_for(lambda shown: "> " in shown)
        terminal.type("The fox\n")
        terminal.wait_for(lambda shown: len(shown) > 3000)
        terminal.process.send_signal(signal.SIGINT)  # as a terminal does for Ctrl-C
        terminal.wait_for(lambda shown: shown.endswith("> "))
        terminal.type("/again\n")
        terminal.wait_for(lambda shown: len(shown) > 3000)
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for(lambda shown: shown.endswith("> "))
        time.sleep(0.5)  # what reads lines must wait for one: until then Python hears no signal
        terminal.process.send_signal(signal.SIGINT)  # with nothing typed
        terminal.wait_for(lambda shown: shown.endswith("> "))
        terminal.type("/quit\n")
        assert terminal.process.wait(timeout=30) == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal._leader)
    assert "Traceback" not in terminal.shown
