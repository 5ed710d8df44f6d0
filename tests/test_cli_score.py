"""``charrnn score`` and ``charrnn next``: rows, JSON, colours, pipes and what they refuse."""

import json
import math
import re
import subprocess

import click
import pytest
from commands import Process, assert_one_line_error, execute, invoke, on_terminal, start
from trained import DINOSAURS, dinosaurs, with_biases

from charrnn.cli.main import main
from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import save_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the models "names", "ab" (uniform), "xy" and "controls"."""
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "names", dinosaurs())
    save_model(folder / "ab", with_biases("ab\n\t", biases=[(2, -9.0)]))
    save_model(folder / "xy", with_biases("xy\n", biases=[(2, -9.0)]))
    save_model(folder / "controls", with_biases("a\n\x1b\t\u202e", biases=[(3, 8.0)]))
    return folder


def _output(*arguments, **options):
    done = invoke(*arguments, **options)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


# Rows and JSON


def test_a_row_for_each_line(models):
    done = execute("score", "--model", models / "names", stdin=b"Yi\n\nA\tb\x1b\nMei")
    assert (done.returncode, done.stderr) == (0, b"")
    rows = [row.split("\t", 4) for row in done.stdout.decode().split("\n")]
    assert rows.pop() == [""]
    assert [row[4] for row in rows] == ["Yi", "", "A\tb\x1b", "Mei"]
    model = load(models / "names")
    for bits, characters, mean, unknown, line in rows:
        result = model.evaluate(line)
        assert float(bits) == pytest.approx(result.nats / math.log(2), abs=1e-4)
        assert float(mean) == pytest.approx(result.bits_per_character, abs=1e-4)
        assert (int(characters), int(unknown)) == (result.characters, result.unknown)


def test_a_file_is_one_text_unless_it_is_lines(models):
    arguments = ["score", "--model", models / "names"]
    by_default = _output(*arguments, DINOSAURS)
    assert by_default == _output(*arguments, "--lines", DINOSAURS)
    rows = [row.split("\t") for row in _output(*arguments, "--no-lines", DINOSAURS).splitlines()]
    names = DINOSAURS.read_text("utf-8").splitlines()
    assert [row[4] for row in rows] == names
    assert [int(row[1]) for row in rows] == [len(name) + 1 for name in names]
    assert all(row[3] == "1" for row in rows)  # this model knows no newline


def test_json_says_the_same(models):
    arguments = ["score", "--model", models / "names", DINOSAURS]
    objects = [json.loads(line) for line in _output(*arguments, "--json").splitlines()]
    keys = ["bits", "characters", "bits_per_character", "unknown", "line"]
    assert list(objects[0]) == keys
    rows = []
    for o in objects:
        means = f"{o['bits']:.4f}\t{o['characters']}\t{o['bits_per_character']:.4f}"
        rows.append(f"{means}\t{o['unknown']}\t{o['line']}")
    assert rows == _output(*arguments).splitlines()


def test_several_models_say_which_is_likeliest(models):
    ab, xy = models / "ab", models / "xy"
    arguments = ["score", "--model", ab, "--model", xy, "--lines"]
    rows = [r.split("\t") for r in _output(*arguments, stdin="abba\nyx\n").splitlines()]
    assert [row[2:] for row in rows] == [["4", str(ab), "abba"], ["2", str(xy), "yx"]]
    alone = _output("score", "--model", xy, "--lines", stdin="abba\nyx\n").splitlines()
    assert [row[1] for row in rows] == [row.split("\t")[0] for row in alone]
    first, _ = map(json.loads, _output(*arguments, "--json", stdin="abba\nyx\n").splitlines())
    assert (first["likeliest"], first["characters"], first["line"]) == (str(ab), 4, "abba")
    assert [m["model"] for m in first["models"]] == [str(ab), str(xy)]
    assert [m["unknown"] for m in first["models"]] == [0, 4]


def test_what_is_copied(models, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.write_bytes(b"bbbb\nabababab\n")
    arguments = ["score", "--model", models / "ab", "--copied", corpus, "--copied-length", 5]
    rows = _output(*arguments, stdin="aaababab\nbb\n").splitlines()
    assert [row.split("\t")[4:] for row in rows] == [
        ["7", f"{corpus}:2", "aaababab"],
        ["0", "", "bb"],
    ]
    first, _ = map(json.loads, _output(*arguments, "--json", stdin="aaababab\nbb\n").splitlines())
    passage = {"start": 2, "length": 7, "file": str(corpus), "line": 2}
    assert (first["copied"], first["passages"]) == (7, [passage])
    lines = _output(*arguments, "--lines", stdin="aaababab\nbb\n").splitlines()
    assert lines[0].split("\t")[4] == "6"  # the end is no newline


# Characters


def test_each_character(models):
    arguments = ["score", "--model", models / "ab", "--per-character"]
    rows = _output(*arguments, "--no-lines", stdin="a\tX\nb").splitlines()
    assert [row.split("\t")[0] for row in rows] == ["a", "\\t", "X", "\\n", "b"]
    bits = [float(row.split("\t")[1]) for row in rows]
    normal = math.log2(6 + math.exp(-9))
    unlikely = normal + 9 / math.log(2)
    assert bits == pytest.approx([normal, normal, unlikely, normal, normal], abs=1e-3)
    rows = _output(*arguments, "--lines", stdin="a\nb").splitlines()
    assert [row.split("\t")[0] for row in rows] == ["a", "", "b", ""]
    first, second = map(json.loads, _output(*arguments, "--json", stdin="a\nb").splitlines())
    assert [c for c, _ in first] == ["a", "\n"] and [c for c, _ in second] == ["b"]
    lines = _output(*arguments, "--json", "--lines", stdin="a\nb").splitlines()
    assert [[c for c, _ in json.loads(line)] for line in lines] == [["a", None], ["b", None]]


def test_colours_on_a_terminal(models, tmp_path):
    """The text with a legend above; nothing that controls the terminal but colours."""
    path = tmp_path / "text"
    path.write_text("aa\x1b[2J\tb\u202e\naa", encoding="utf-8")
    arguments = ("score", "--model", models / "controls", "--no-lines", "--per-character", path)
    code, shown = on_terminal("stdout", *arguments)
    assert code == 0
    plain = re.sub("\x1b\\[(0|38;5;16;48;5;\\d+)m", "", shown)
    legend, first, second = plain.split("\r\n")
    assert legend == "bits:  0 to 0.5  0.5 to 1  1 to 2  2 to 4  4 to 8  8 or more "
    assert (first, second) == ("aa^[[2J→b<RIGHT-TO-LEFT OVERRIDE>↵", "aa")
    assert shown.endswith("\r\naa")  # what is likely has no colour
    assert "\x1b[38;5;16;48;5;203m^[[2J→b" in shown  # what is not has the last
    code, shown = on_terminal("stdout", *arguments, environment={"NO_COLOR": "1"})
    assert code == 0 and "\x1b" not in shown and shown.startswith("a\t0.0")


# Pipes


@pytest.mark.parametrize("lines", ["--lines", "--no-lines"])
def test_a_line_is_answered_before_the_next_comes(models, lines):
    arguments = ("score", "--model", models / "names", lines, "--unbuffered")
    expected = _output(*arguments[:-1], stdin="Yi\nMei\n").splitlines()
    with start(*arguments) as process:
        for line, answer in zip((b"Yi\n", b"Mei\n"), expected, strict=True):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline().decode() == answer + "\n"
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_a_reader_that_leaves_ends_it_quietly(models):
    arguments = ("score", "--model", models / "ab", "-", "--lines", "--unbuffered")
    with Process(["yes", "ab"], stdout=subprocess.PIPE) as endless:
        with start(*arguments, stdin=endless.stdout) as process:
            endless.stdout.close()
            assert process.stdout.readline().endswith(b"\tab\n")
            process.stdout.close()
            assert b"Traceback" not in process.stderr.read()
        endless.wait()
    assert process.returncode == 0


def test_the_locale_changes_nothing(models):
    options = {"environment": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}}
    done = execute("score", "--model", models / "ab", stdin="жук\n".encode(), **options)
    assert done.stdout.decode().endswith("\t3\tжук\n") and done.stderr == b""
    done = execute("next", "--model", models / "ab", "--prime", "ж", **options)
    assert done.returncode == 0 and done.stderr.decode().count("'ж'") == 1


def test_nothing_scores_nothing(models):
    assert _output("score", "--model", models / "ab", stdin="") == ""


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (["-"], b"ab\nc\xff", 1, ["standard input", "0xff at offset 4", "--encoding"]),
        (["no-such-file"], b"", 1, ["no-such-file", "check the path"]),
        (["--copied", "no-such-file"], b"", 1, ["no-such-file"]),
        (["--encoding", "klingon"], b"", 2, ["klingon"]),
        (["--per-character", "--copied", "x"], b"", 2, ["--per-character"]),
        (["--model", "no-such-model"], b"", 1, ["no-such-model"]),
    ],
)
def test_errors_are_one_line(models, arguments, stdin, code, words):
    done = execute("score", "--model", models / "ab", *arguments, stdin=stdin)
    assert_one_line_error(done, code, *words)


# What comes next


def test_next_is_a_table(models):
    lines = _output("next", "--model", models / "ab", "--prime", "a").splitlines()
    assert lines[0].split() == ["next", "probability", "bits"]
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "end of text", "'a'", "'b'", "'\\n'", "'\\t'", "unknown character"
    ]  # fmt: skip
    assert lines[1].split()[-2:] == [f"{1 / (6 + math.exp(-9)):.6f}", "2.585"]
    assert len(_output("next", "--model", models / "ab", "--top", 2).splitlines()) == 3


def test_next_as_json(models, tmp_path):
    arguments = ["next", "--model", models / "names", "--json", "--top", 100]
    found = json.loads(_output(*arguments, "--prime", "Tyrannosaur"))
    assert [x["character"] for x in found][:1] == ["u"] and found[0]["name"] == "u"
    assert {x["name"] for x in found if x["character"] is None} == {
        "end of text", "unknown character"
    }  # fmt: skip
    path = tmp_path / "prompt"
    path.write_text("Tyrannosaur\n", encoding="utf-8")
    assert json.loads(_output(*arguments, "--prime-file", path)) == found
    sharp = json.loads(_output(*arguments, "--prime", "Tyrannosaur", "--temperature", 0.5))
    assert sharp[0]["probability"] > found[0]["probability"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prime", "a", "--prime-file", "-"], "--prime-file"),
        (["--temperature", 0], "temperature must be above 0"),
        (["--top", 0], "--top"),
    ],
)
def test_next_refuses_what_makes_no_sense(models, arguments, words):
    done = invoke("next", "--model", models / "ab", *arguments)
    assert done.exit_code == 2 and words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["score", "next", "evaluate"])
def test_help_ends_with_examples_that_could_be_given(name):
    """Each is a command with options that there are."""
    command = main.get_command(None, name)
    _, _, examples = command.help.partition("Examples:\n")
    lines = examples.strip().splitlines()
    assert 2 <= len(lines) <= 4
    options = {o for p in command.params for o in p.opts if isinstance(p, click.Option)}
    for line in lines:
        _, called, given = line.rpartition(f"charrnn {name}")
        assert called and set(re.findall(r"--[a-z-]+", given)) <= options
