"""``charrnn sample``: text to a pipe, a closed pipe, in any locale; what it refuses."""

import json
import math
import re
import subprocess
import sys

import pytest
from commands import BLOCK, assert_one_line_error, execute, execute_code, invoke, start
from subprocesses import ROOT
from trained import DINOSAURS, FABLES, dinosaurs, fables, with_biases

from charrnn.inference import sampling
from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import save_model
from charrnn.text.vocabulary import END


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


def test_more_characters_than_there_are_is_all_of_them(models):
    arguments = ("--length", 50, "--temperature", 1)
    assert _output(models, "fables", "--top-k", 5000, *arguments) == _output(
        models, "fables", *arguments
    )


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


def _output(models, name, *arguments, **options):
    done = invoke("sample", "--model", models / name, "--seed", 3, *arguments, **options)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (["--until", r"\n"], {"until": ("\n",)}),
        (["--until", "he", "--until", "an", "--drop-until"],
         {"until": ("he", "an"), "dropped": True}),
        (["--ignore-end"], {"ignore_end": True}),
        (["--match", "[A-Z][a-z]{5} fox"], {"match": "[A-Z][a-z]{5} fox"}),
        (["--repetition-penalty", 3, "--repetition-window", 9],
         {"repetition_penalty": 3.0, "repetition_window": 9}),
        (["--dry", 2, "--dry-base", 1.5, "--dry-length", 2, "--dry-window", 50],
         {"dry": 2.0, "dry_base": 1.5, "dry_length": 2, "dry_window": 50}),
        (["--top-k", 3], {"top_k": 3}),
        (["--typical", 0.3], {"typical": 0.3}),
        (["--top-p", 0.4], {"top_p": 0.4}),
        (["--min-p", 0.2], {"min_p": 0.2}),
        (["--mirostat", 1.5, "--mirostat-rate", 0.3], {"mirostat": 1.5, "mirostat_rate": 0.3}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_each_control_is_the_librarys(models, arguments, choices):
    model = load(models / "fables", threads=1)
    expected = model.sample(300, seed=3, **choices)
    assert _output(models, "fables", "--length", 300, *arguments) == expected + "\n"
    assert expected != model.sample(300, seed=3) or "ignore_end" in choices


def test_no_more_is_copied_than_is_allowed(models):
    shown = _output(models, "fables", "--max-copy", 4, "--corpus", FABLES, "--length", 150)
    corpus, text = FABLES.read_text("utf-8"), shown.removesuffix("\n")
    assert len(text) == 150
    assert not any(text[n : n + 5] in corpus for n in range(146))


def test_escapes_of_a_prompt_are_what_they_stand_for(models):
    arguments = ("--length", 5, "--prime", r"A\tfox\\n\n")
    done = invoke("sample", "--model", models / "fables", *arguments)
    assert done.stdout.startswith("A\tfox\\n\n")
    assert "'\\t'" in done.stderr and "'\\\\'" in done.stderr and "'\\n'" not in done.stderr


@pytest.mark.parametrize("count", [1, 3])
def test_what_stands_between_texts(models, count):
    arguments = ("--prime", "Ty", "--count", count)
    lines = _output(models, "names", *arguments).splitlines()
    written = [line.removeprefix("Ty") for line in lines]
    assert _output(models, "names", *arguments, "--no-echo").splitlines() == written
    for options, between in (
        (["--null"], "\0"), (["--separator", r"\n--\n"], "\n--\n"), (["--separator", ""], ""),
    ):  # fmt: skip
        shown = _output(models, "names", *arguments, *options)
        assert shown == "".join(line + between for line in lines)


def test_json_is_an_object_on_each_line(models):
    arguments = ("--json", "--prime", "Ty", "--count", 6, "--length", 9)
    model = load(models / "names")
    rows = [json.loads(row, parse_constant=pytest.fail)
            for row in _output(models, "names", *arguments).splitlines()]  # fmt: skip
    for number, row in enumerate(rows):
        assert list(row) == ["prompt", "text", "seed", "stopped", "log_probability",
                             "bits_per_character"]  # fmt: skip
        assert (row["prompt"], row["seed"]) == ("Ty", 3 + number)
        assert row["text"] == model.sample(9, prime="Ty", seed=row["seed"])
        assert row["stopped"] == ("length" if len(row["text"]) == 9 else "end")
        bits = model.score("Ty" + row["text"]).bits[0][2:]
        bits = bits[: len(row["text"]) + (row["stopped"] == "end")]
        assert row["bits_per_character"] == pytest.approx(bits.mean(), rel=1e-5)
        assert row["log_probability"] == pytest.approx(-bits.sum() * math.log(2), rel=1e-5)
    assert {row["stopped"] for row in rows} == {"length", "end"}
    (nothing,) = _output(models, "names", "--json", "--length", 0).splitlines()
    assert '"log_probability": 0.0, "bits_per_character": null' in nothing


def test_which_texts_are_printed(models, tmp_path):
    names = _output(models, "names", "--count", 60, "--length", 12).splitlines()
    whole = [name for name in names if len(name) < 12]
    arguments = ("--length", 12, "--count")
    found = _output(models, "names", *arguments, 5, "--whole").splitlines()
    assert found == whole[:5]
    assert _output(models, "names", *arguments, 1, "--whole").splitlines() == whole[:1]
    (tmp_path / "known").write_text("\n".join(names[:10]))
    found = _output(models, "names", *arguments, 5, "--not-in", tmp_path / "known",
                    "--not-in", DINOSAURS).splitlines()  # fmt: skip
    known = {*names[:10], *DINOSAURS.read_text("utf-8").splitlines()}
    assert found == [name for name in names if name not in known][:5]
    few = _output(models, "names", *arguments, 9, "--unique", "--match", "[AB][ab]{1,2}",
                  "--temperature", 1)  # fmt: skip
    assert len(set(few.splitlines())) == 9


def test_best_of_and_beams(models):
    every = ("--json", "--length", 15)
    rows = [json.loads(row)
            for row in _output(models, "names", *every, "--count", 6).splitlines()]  # fmt: skip
    best = [min(rows[n : n + 3], key=lambda row: row["bits_per_character"]) for n in (0, 3)]
    found = _output(models, "names", *every, "--count", 2, "--best-of", 3).splitlines()
    assert [json.loads(row) for row in found] == best
    arguments = ["sample", "--model", models / "names", "--beams", 8, "--prime", "Ty"]
    likeliest = load(models / "names").author().likeliest("Ty", 8)
    for count in (1, 4):
        shown = invoke(*arguments, "--count", count).stdout
        assert shown.splitlines() == [text.whole for text in likeliest[:count]]
    whole = invoke(*arguments, "--count", 8, "--whole", "--json", "--length", 9).stdout
    assert {json.loads(row)["stopped"] for row in whole.splitlines()} == {"end"}


def test_a_text_for_each_line_in_their_order(models):
    primes = [("Ty", "Alloraptor" * (n % 7), "", "B")[n % 4] + "a" * (n % 5) for n in range(200)]
    author = load(models / "names", threads=1).author(length=10)
    shown = _output(models, "names", "--prime-lines", "--length", 10, stdin="\n".join(primes))
    assert shown.splitlines() == [
        prime + "".join(author.stream(prime, 3 + n)) for n, prime in enumerate(primes)
    ]
    twice = _output(models, "names", "--prime-lines", "--length", 10, "--count", 2, "--no-echo",
                    stdin="Ty\r\nA").splitlines()  # fmt: skip
    alone = enumerate(["Ty", "Ty", "A", "A"])
    assert twice == ["".join(author.stream(prime, 3 + n)) for n, prime in alone]
    assert _output(models, "names", "--prime-lines", stdin="") == ""


def test_no_more_is_written_than_is_printed(models, monkeypatch):
    counts, write = [], sampling.Writer.write

    def counted(self, prompts, seeds, **options):
        counts.append(len(prompts))
        return write(self, prompts, seeds, **options)

    monkeypatch.setattr(sampling.Writer, "write", counted)
    for arguments in (["--json"], ["--count", 66], ["--best-of", 3, "--count", 2]):
        _output(models, "fables", "--length", 5, *arguments)
    assert counts == [1, 64, 2, 6]


def test_an_endless_text_ends_with_its_reader(models):
    script = (
        'set -o pipefail; "$0" -m charrnn sample --model "$1" --length inf | head -c 20000 | wc -c'
    )
    done = subprocess.run(["bash", "-c", script, sys.executable, models / "fables"],
                          capture_output=True, cwd=ROOT, timeout=60)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert int(done.stdout) == 20000


WRONG = [
    (["--max-copy", 3], "--max-copy and --corpus"),
    (["--corpus", FABLES], "--max-copy and --corpus"),
    (["--drop-until"], "--until"),
    (["--until", ""], "must not be empty"),
    (["--until", "日"], "'日'"),
    (["--until", "a", "--match", "a*"], "give no --until"),
    (["--length", "inf", "--count", 2], "--length or --until"),
    (["--length", "inf", "--json"], "--length or --until"),
    (["--length", "inf", "--beams", 2], "--length"),
    (["--length", "nan"], "not a whole number"),
    (["--length", "1.5"], "not a whole number"),
    (["--length", 10**30], "length"),
    (["--match", "("], "match"),
    (["--match", "日"], "'日'"),
    (["--match", "abc", "--length", 2], "--length"),
    (["--mirostat", 2, "--top-k", 5], "give no --top-k"),
    (["--mirostat", 2, "--min-p", 0.1], "give no --min-p"),
    (["--mirostat", 65], "mirostat"),
    (["--mirostat-rate", 0], "mirostat rate"),
    (["--top-p", 0], "top p"),
    (["--top-p", 1.1], "top p"),
    (["--top-p", "nan"], "top p"),
    (["--typical", 1.1], "typical"),
    (["--min-p", -0.1], "min p"),
    (["--top-k", -1], "top k"),
    (["--repetition-penalty", 0], "repetition penalty"),
    (["--repetition-window", 0], "repetition window"),
    (["--dry", -1], "dry"),
    (["--dry-base", 0.5], "dry base"),
    (["--dry-length", 0], "dry length"),
    (["--dry-window", 0], "dry window"),
    (["--null", "--separator", "x"], "not both"),
    (["--json", "--null"], "not both"),
    (["--json", "--separator", "x"], "not both"),
    (["--prime-lines", "--prime", "a"], "not both"),
    (["--prime-lines", "--prime-file", "-"], "not both"),
    (["--prime-lines", "--whole"], "not both"),
    (["--prime-lines", "--unique"], "not both"),
    (["--prime-lines", "--not-in", FABLES], "not both"),
    (["--beams", 2, "--best-of", 2], "not both"),
    (["--beams", 2, "--seed", 2], "not both"),
    (["--beams", 2, "--count", 3], "larger"),
    (["--beams", 2, "--until", "a"], "likeliest"),
    (["--beams", 2, "--top-k", 4], "likeliest"),
    (["--beams", 2, "--max-copy", 4, "--corpus", FABLES], "likeliest"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), WRONG, ids=[" ".join(map(str, a)).replace("/", "-") for a, _ in WRONG]
)
def test_what_does_not_go_together_is_one_line(models, arguments, words):
    done = invoke("sample", "--model", models / "fables", *arguments, stdin="")
    assert_one_line_error(done, 2, words)
    assert not done.stdout and not re.search("`", done.stderr)


@pytest.mark.parametrize("option", ["--not-in", "--corpus"])
def test_files_that_are_missing_are_named(models, option):
    more = ["--max-copy", 9] if option == "--corpus" else []
    done = invoke("sample", "--model", models / "fables", option, "no-such-file", *more)
    assert_one_line_error(done, 1, "no-such-file")


def test_where_nothing_new_comes_that_is_said(models):
    done = invoke("sample", "--model", models / "names", "--match", "Ty|Tyr", "--unique",
                  "--count", 3, "--temperature", 2)  # fmt: skip
    assert_one_line_error(done, 1, "no more than 2 texts", "none was new")
    assert sorted(done.stdout.splitlines()) == ["Ty", "Tyr"]


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


def test_texts_that_are_read_may_be_in_another_encoding(tmp_path):
    """Prompts, what is not to be copied and what is not to be printed; the remedy is there."""
    save_model(tmp_path / "m", with_biases("é", documents=2, biases=[(END, -9), (3, 20)]))
    (tmp_path / "latin.txt").write_bytes("éé\né\n".encode("latin-1"))
    arguments = ["sample", "--model", tmp_path / "m", "--length", 3, "--seed", 1]
    reading = (
        ["--prime-lines"],
        ["--max-copy", 1, "--corpus", tmp_path / "latin.txt"],
        ["--not-in", tmp_path / "latin.txt"],
    )
    written = []
    for more in reading:
        stdin = "éé\n".encode("latin-1")
        done = execute(*arguments, *more, stdin=stdin)
        assert done.returncode == 1 and b"name its encoding with --encoding" in done.stderr
        done = execute(*arguments, *more, "--encoding", "latin-1", stdin=stdin)
        assert (done.returncode, done.stderr) == (0, b"")
        written.append(done.stdout.decode())
    assert written == ["ééééé\n", "é\n", "ééé\n"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_a_model_of_lines_may_not_copy_is_found_whatever_ends_the_lines(newline, tmp_path):
    """A name of two characters is a copy up to its last one, with either line end."""
    save_model(tmp_path / "m", with_biases("ab", documents=2, biases=[(END, -9), (3, 20)]))
    (tmp_path / "names.txt").write_bytes(newline.join(["aaa", "ab", ""]).encode())
    done = invoke("sample", "--model", tmp_path / "m", "--max-copy", 2, "--corpus",
                  tmp_path / "names.txt", "--length", 3, "--temperature", 0)  # fmt: skip
    assert done.stdout == "aab\n"
