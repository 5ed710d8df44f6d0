"""``charrnn evaluate``: its figures, how it reads files, what it refuses."""

import json
import math

import pytest
from commands import assert_one_line_error, execute, invoke
from trained import DINOSAURS, FABLES, dinosaurs, fables, with_biases

from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import save_model

KEYS = ["nats_per_character", "bits_per_character", "perplexity", "known_perplexity",
        "characters", "unknown"]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the models "fables", "names" and "uniform", and some text."""
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "fables", fables())
    save_model(folder / "names", dinosaurs())
    save_model(folder / "uniform", with_biases("ab\n"))
    (folder / "text").write_bytes(FABLES.read_bytes()[:3000])
    return folder


def _figures(*arguments, **options):
    done = invoke("evaluate", "--json", *arguments, **options)
    assert (done.exit_code, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_json_has_exactly_these_keys(models):
    done = execute("evaluate", "--json", "--model", models / "fables", models / "text")
    assert (done.returncode, done.stderr, done.stdout.count(b"\n")) == (0, b"", 1)
    figures = json.loads(done.stdout)
    assert list(figures) == KEYS
    result = load(models / "fables").evaluate((models / "text").read_text(encoding="utf-8"))
    assert figures == {key: getattr(result, key) for key in KEYS}
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats_per_character"]))
    assert figures["characters"] == 3000 and figures["unknown"] == 0


def test_people_get_a_table(models):
    done = invoke("evaluate", "--model", models / "fables", models / "text")
    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == [key.replace("_", " ") for key in KEYS]
    figures = _figures("--model", models / "fables", models / "text")
    assert lines[0].endswith(f"{figures['nats_per_character']:.4f}")
    assert lines[4].endswith("3,000")


def test_standard_input_and_threads(models):
    text = (models / "text").read_bytes()
    expected = _figures("--model", models / "fables", models / "text")
    assert _figures("--model", models / "fables", "-", stdin=text) == expected
    for threads in (1, 2):
        arguments = ["--model", models / "fables", "--threads", threads]
        assert _figures(*arguments, models / "text") == expected


def test_lines_are_as_they_were_in_training(models):
    arguments = ["--model", models / "names", DINOSAURS]
    by_default = _figures(*arguments)
    assert by_default == _figures(*arguments, "--lines")
    as_one = _figures(*arguments, "--no-lines")
    names = DINOSAURS.read_text(encoding="utf-8").splitlines()
    assert by_default["characters"] == sum(map(len, names))
    assert by_default["unknown"] == 0
    assert as_one["unknown"] == as_one["characters"] - by_default["characters"] == len(names)


@pytest.mark.parametrize("lines", ["--lines", "--no-lines"])
def test_the_mean_is_over_characters_and_ends(models, tmp_path, lines):
    """A uniform model: log 6 each; what is unknown counts too, and so do other files."""
    for name, text in (("1", "ab\r\nXb\n"), ("2", "a")):
        (tmp_path / name).write_bytes(text.encode())
    figures = _figures("--model", models / "uniform", lines, tmp_path / "1", tmp_path / "2")
    assert figures["nats_per_character"] == pytest.approx(math.log(6), rel=1e-6)
    assert figures["bits_per_character"] == pytest.approx(math.log2(6), rel=1e-6)
    assert figures["perplexity"] == pytest.approx(6, rel=1e-5)
    expected = (5, 1) if lines == "--lines" else (8, 2)
    assert (figures["characters"], figures["unknown"]) == expected
    normal = ["--model", models / "uniform", "--no-lines", "--normalize-newlines"]
    assert _figures(*normal, tmp_path / "1")["characters"] == 6


def test_encodings(models, tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("aé".encode("latin-1"))
    arguments = ["--model", models / "uniform", path]
    assert_one_line_error(invoke("evaluate", *arguments), 1, "offset 1", "--encoding")
    assert _figures(*arguments, "--encoding", "latin-1")["unknown"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no-such-file"], 1, "no-such-file"),
        (["-"], 1, "no characters in standard input"),
        (["/"], 1, "folder"),
        (["-", "-"], 2, "once"),
        (["-", "--encoding", "klingon"], 2, "klingon"),
    ],
)
def test_errors_are_one_line(models, arguments, code, words):
    done = invoke("evaluate", "--model", models / "fables", *arguments, stdin=b"")
    assert_one_line_error(done, code, words)
    assert not done.stdout


def test_threads_out_of_range_are_wrong_usage(models):
    done = invoke("evaluate", "--model", models / "fables", models / "text", "--threads", -1)
    assert_one_line_error(done, 2, "threads")


def test_a_model_that_is_sure_of_the_wrong_thing(tmp_path):
    """The perplexity stays a number."""
    save_model(tmp_path / "m", with_biases("ab", biases=[(3, 3e4)]))
    figures = _figures("--model", tmp_path / "m", "-", stdin=b"bbb")
    assert figures["nats_per_character"] == pytest.approx(3e4, rel=1e-3)
    assert math.isfinite(figures["perplexity"])


def test_known_perplexity_leaves_out_what_is_unknown(tmp_path):
    """Uniform but for the unknown character."""
    save_model(tmp_path / "m", with_biases("ab", biases=[(2, -3.0)]))
    normal = 4 + math.exp(-3)
    figures = _figures("--model", tmp_path / "m", "-", stdin=b"abXXa")
    assert figures["unknown"] == 2
    assert figures["known_perplexity"] == pytest.approx(normal, rel=1e-6)
    assert figures["perplexity"] == pytest.approx(normal * math.exp(3 * 2 / 6), rel=1e-6)


@pytest.mark.parametrize("adapt", [[], ["--adapt"]])
def test_several_files_are_told_apart(models, tmp_path, adapt):
    """The same as each alone, and the total as it is without them."""
    paths = [models / "text", tmp_path / "names", tmp_path / "empty"]
    paths[1].write_bytes(DINOSAURS.read_bytes()[:500])
    paths[2].write_bytes(b"")
    arguments = ["--model", models / "fables", *adapt]
    figures = _figures(*arguments, *paths)
    assert [row["file"] for row in figures["files"]] == [str(path) for path in paths]
    alone = [_figures(*arguments, path) for path in paths[:2]]
    for row, expected in zip(figures["files"], alone, strict=False):
        assert list(row) == ["file", *expected]
        for name in KEYS:
            assert row[name] == pytest.approx(expected[name], rel=1e-6)
    assert figures["characters"] == 3500
    assert figures["files"][2]["characters"] == 0 and figures["files"][2]["perplexity"] is None
    if adapt:
        first, second = (row["adapted_perplexity"] for row in figures["files"][:2])
        assert first == pytest.approx(alone[0]["adapted_perplexity"], rel=1e-6)
        assert second != alone[1]["adapted_perplexity"]  # it has learned from the first
    table = invoke("evaluate", *arguments, *paths).stdout
    totals, files = table.split("\n\n")
    assert totals.startswith("nats per character") and len(files.splitlines()) == 4
    assert {len(line) for line in files.splitlines()} == {len(files.splitlines()[0])}


def test_the_loss_by_position(models):
    arguments = ["--model", models / "names", DINOSAURS, "--by-position"]
    figures = _figures(*arguments)
    rows = figures["positions"]
    assert [(row["fewest"], row["most"]) for row in rows[:4]] == [(0, 0), (1, 1), (2, 3), (4, 7)]
    names = DINOSAURS.read_text(encoding="utf-8").splitlines()
    assert rows[0]["predictions"] == len(names)
    predictions = sum(map(len, names)) + len(names)
    assert sum(row["predictions"] for row in rows) == predictions
    total = sum(row["predictions"] * row["nats_per_character"] for row in rows)
    assert total / predictions == pytest.approx(figures["nats_per_character"], rel=1e-9)
    assert rows[0]["nats_per_character"] > rows[3]["nats_per_character"]
    table = invoke("evaluate", *arguments).stdout.split("\n\n")[1].splitlines()
    assert len(table) == 1 + len(rows) and table[3].startswith("2 to 3 ")
