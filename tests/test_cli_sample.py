"""``charrnn sample``: text to a pipe, a closed pipe, in any locale; what it refuses."""

import subprocess
import sys

import pytest
from commands import BLOCK, assert_one_line_error, execute, execute_code, invoke, start
from subprocesses import ROOT
from trained import dinosaurs, fables, with_biases

from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import save_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the models "fables", "names" and "foreign"."""
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "fables", fables())
    save_model(folder / "names", dinosaurs())
    save_model(folder / "foreign", with_biases("éß日\U0001f600"))
    return folder


def test_the_text_is_the_librarys(models):
    model = load(models / "fables")
    expected = "The " + model.sample(150, temperature=0.7, prime="The ", seed=4) + "\n"
    arguments = ["sample", "--model", models / "fables", "--length", 150, "--temperature", 0.7,
                 "--prime", "The ", "--seed", 4]  # fmt: skip
    for threads in (0, 1, 2):
        done = execute(*arguments, "--threads", threads)
        assert (done.returncode, done.stdout.decode(), done.stderr) == (0, expected, b"")
    assert invoke(*arguments).stdout == expected


def test_a_text_is_200_characters_by_default(models):
    texts = [invoke("sample", "--model", models / "fables").stdout for _ in range(2)]
    assert [len(text) for text in texts] == [201, 201]
    assert texts[0] != texts[1]


def test_many_texts_are_lines(models):
    arguments = ["sample", "--model", models / "names", "--seed", 2, "--count"]
    many = invoke(*arguments, 70).stdout.splitlines()
    assert len(many) == 70
    for count in (1, 2, 3, 65):
        assert invoke(*arguments, count).stdout.splitlines() == many[:count]
        for threads in (1, 2):
            some = invoke(*arguments, count, "--threads", threads).stdout
            assert some.splitlines() == many[:count]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("prime", ["", "Tyr"])
def test_length_0_is_the_prompt(models, count, prime):
    done = invoke("sample", "--model", models / "names", "--length", 0, "--prime", prime,
                  "--count", count)  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, (prime + "\n") * count)


@pytest.mark.parametrize("temperature", ["0", "1e-30", "1e-300", "1e30", "1e300"])
def test_extreme_temperatures(models, temperature):
    done = execute("sample", "--model", models / "fables", "--temperature", temperature)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.decode()) == 201


def test_a_prompt_may_come_from_a_file_or_a_pipe(models, tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("The heron\n", encoding="utf-8")
    arguments = ["sample", "--model", models / "fables", "--seed", 1, "--length", 20]
    expected = invoke(*arguments, "--prime", "The heron\n").stdout
    assert expected.startswith("The heron\n")
    assert invoke(*arguments, "--prime-file", path).stdout == expected
    piped = execute(*arguments, "--prime-file", "-", stdin=path.read_bytes())
    assert piped.stdout.decode() == expected


def test_a_final_newline_of_a_prompt_file_ends_no_line_of_a_model_of_lines(models, tmp_path):
    """One, that is: whoever wrote the file may not know that it is there."""
    path = tmp_path / "prompt.txt"
    arguments = ["sample", "--model", models / "names", "--seed", 1]
    expected = invoke(*arguments, "--prime", "Tyr")
    assert expected.stdout.startswith("Tyr") and not expected.stderr
    for contents in (b"Tyr", b"Tyr\n", b"Tyr\r\n"):
        path.write_bytes(contents)
        for given in (path, "-"):
            done = execute(*arguments, "--prime-file", given, stdin=contents)
            assert (done.stdout.decode(), done.stderr) == (expected.stdout, b"")
    path.write_bytes(b"Tyr\n\n")
    assert "'\\n'" in invoke(*arguments, "--prime-file", path).stderr
    assert "'\\n'" in invoke(*arguments, "--prime", "Tyr\n").stderr


def test_unseen_characters_of_a_prompt_are_suggested_in_the_other_case(tmp_path):
    save_model(tmp_path / "m", with_biases("abYß\u02bcN"))
    done = invoke("sample", "--model", tmp_path / "m", "--prime", "aByBß\u0149S", "--length", 0)
    assert done.stderr == (
        "Warning: the model does not know 'B' (it knows 'b'), 'y' (it knows 'Y'), '\u0149', 'S': "
        "read as unknown characters\n"
    )


def test_unseen_characters_of_a_prompt_are_named(models):
    done = invoke("sample", "--model", models / "fables", "--prime", "日Theé日", "--seed", 1)
    assert done.exit_code == 0
    assert done.stdout.startswith("日Theé日")
    (line,) = done.stderr.splitlines()
    assert "'日', 'é'" in line and "unknown" in line and "'T'" not in line
    assert not invoke("sample", "--model", models / "fables", "--prime", "The").stderr


def test_a_prompt_of_the_special_tokens_names_is_text(models):
    done = invoke("sample", "--model", models / "names", "--prime", "<unk><start>", "--length", 5)
    assert done.stdout.startswith("<unk><start>")
    assert "'<'" in done.stderr and "'>'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--temperature", "-1"], "temperature"),
        (["--temperature", "nan"], "temperature"),
        (["--temperature", "inf"], "temperature"),
        (["--temperature", "-0.001", "--length", "0"], "temperature"),
        (["--prime", "a", "--prime-file", "-"], "not both"),
        (["--prime", "", "--prime-file", "-"], "not both"),
        (["--threads", "-1"], "threads"),
    ],
)
def test_wrong_usage_is_one_line(models, arguments, words):
    done = invoke("sample", "--model", models / "fables", *arguments)
    assert_one_line_error(done, 2, words)
    assert not done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["--length", "-1"], ["--count", "0"], ["--seed", "-1"], ["--length", "x"], ["text"],
     ["--prime-file", "no-such-file"], ["--prime-file", "/"]],
)  # fmt: skip
def test_values_out_of_range_are_wrong_usage(models, arguments):
    done = invoke("sample", "--model", models / "fables", *arguments)
    assert done.exit_code == 2 and "Error: " in done.stderr and not done.stdout


def test_a_prompt_that_is_no_text_is_refused(models, tmp_path):
    path = tmp_path / "prompt.bin"
    path.write_bytes(b"abc\xff")
    done = invoke("sample", "--model", models / "fables", "--prime-file", path)
    assert_one_line_error(done, 2, "prompt.bin", "3")


@pytest.mark.parametrize("command", ["sample", "info", "evaluate"])
def test_a_missing_model_says_how_to_train_one(tmp_path, command):
    more = [tmp_path / "text"] if command == "evaluate" else []
    done = invoke(command, "--model", tmp_path / "m", *more)
    assert_one_line_error(done, 1, tmp_path / "m", "charrnn train CORPUS")
    assert not done.stdout


@pytest.mark.parametrize("contents", [b"", b"\x80\x04K\x01.", b"PK\x03\x04" * 9, b"\x89PNG" * 9])
def test_a_file_that_is_no_model_is_refused(tmp_path, contents):
    (tmp_path / "m").write_bytes(contents)
    done = invoke("sample", "--model", tmp_path / "m")
    assert_one_line_error(done, 1, "not a charrnn model")


def test_a_pipe_that_closes_early_is_no_error(models):
    for arguments in (["--length", "100000"], ["--length", "2000", "--count", "200"]):
        script = f'"$0" -m charrnn sample --model "$1" {" ".join(arguments)} | head -1;' + (
            "exit ${PIPESTATUS[0]}"
        )
        done = subprocess.run(["bash", "-c", script, sys.executable, models / "fables"],
                              capture_output=True, cwd=ROOT)  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.count(b"\n") == 1


def test_text_is_written_as_it_comes(models):
    """Long before the last of a very long text."""
    with start("sample", "--model", models / "fables", "--length", 10**9) as process:
        assert len(process.stdout.read(1000)) == 1000
        process.kill()


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": 0, "PYTHONCOERCECLOCALE": 0},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
    ],
    ids=str,
)
def test_text_is_utf_8_in_any_locale(models, tmp_path, environment):
    prompt = tmp_path / "prompt.txt"
    prompt.write_bytes("日é".encode())
    arguments = ["sample", "--model", models / "foreign", "--seed", 1, "--length", 30]
    expected = invoke(*arguments, "--prime", "日é").stdout
    assert {"é", "ß", "\U0001f600"} < set(expected)
    for prime in (["--prime-file", prompt], ["--prime-file", "-"]):
        done = execute(*arguments, *prime, stdin="日é".encode(), environment=environment)
        assert (done.returncode, done.stdout.decode(), done.stderr) == (0, expected, b"")
    if environment == {"LC_ALL": "C"}:
        done = execute(*arguments, "--prime", "日é", environment=environment)
        assert (done.stdout.decode(), done.stderr) == (expected, b"")
    unseen = execute(
        *arguments[:-2], "--prime-file", "-", stdin="ö".encode(), environment=environment
    )
    assert "'ö'" in unseen.stderr.decode()


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_pytorch_is_not_needed(models, command, tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("The heron")
    code = f"blocked = {{'torch'}}\n{BLOCK}\nfrom charrnn.cli.main import main\nmain()"
    more = [text] if command == "evaluate" else ["--length", 5]
    done = execute_code(code, command, "--model", models / "fables", *more)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout
