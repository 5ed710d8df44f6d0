"""``charrnn apply`` and ``evaluate`` of models that read, in pipes and as answers to bad input."""

import json

import pytest
from commands import assert_one_line_error, execute, invoke, start
from readers import labelled_lines, labeller, labeller_of_several, reader, restorer, tagger
from trained import FABLES, dinosaurs

from charrnn.storage.checkpoint import save_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a model of each task, and what some of them are measured on."""
    folder = tmp_path_factory.mktemp("models")
    saved = {"label": labeller(), "several": labeller_of_several(), "tags": tagger(),
             "restore": restorer(), "write": dinosaurs()}  # fmt: skip
    for name, model in saved.items():
        save_model(folder / name, model)
    (folder / "lines.tsv").write_text("\n".join(labelled_lines()), encoding="utf-8")
    return folder


def test_a_line_out_for_a_line_in(models):
    done = execute("apply", "--model", models / "label", stdin=b"tyrannosaurus\n\nhouses\r\nlast")
    assert (done.returncode, done.stderr) == (0, b"")
    first, empty, *others = done.stdout.decode().split("\n")
    assert (first, empty, others[2:]) == ("dinosaur", "", [""])
    assert set(others[:2]) <= {"dinosaur", "word"}


def test_files_one_after_the_other(models, tmp_path):
    (tmp_path / "a").write_text("tyrannosaurus")
    (tmp_path / "b").write_text("\n")
    done = invoke("apply", "--model", models / "label", tmp_path / "a", tmp_path / "b", "-",
                  stdin="stegosaurus\n")  # fmt: skip
    assert done.stdout == "dinosaur\n\ndinosaur\n"


def test_an_answer_comes_as_soon_as_the_line_is_there(models):
    """Before the input ends, and each before the next line is written."""
    with start("apply", "--model", models / "label") as process:
        for line in (b"tyrannosaurus\n", b"\n", b"stegosaurus\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() in (b"dinosaur\n", b"\n")
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_reader_that_has_enough_ends_it_quietly(models, tmp_path):
    (tmp_path / "many").write_text("tyrannosaurus\n" * 200_000)
    with start("apply", "--model", models / "label", tmp_path / "many") as process:
        assert process.stdout.readline() == b"dinosaur\n"
        process.stdout.close()
        stderr = process.stderr.read()
        process.wait(60)
    assert b"Traceback" not in stderr and b"Error" not in stderr


def test_the_likeliest_with_probabilities_and_terms(models):
    done = invoke("apply", "--model", models / "label", "--best", 2, "--terms", 1, "--temperature",
                  1, stdin="house tyrannosaurus\n")  # fmt: skip
    first, chance, second, other, *terms = done.stdout.rstrip("\n").split("\t")
    assert {first, second} == {"dinosaur", "word"} and len(terms) <= 1
    assert float(chance) + float(other) == pytest.approx(1, abs=1e-4)
    assert float(chance) >= float(other)


def test_json_of_each_task(models):
    def answer(task, line, *options):
        done = invoke("apply", "--model", models / task, "--json", *options, stdin=line)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    assert list(answer("label", "house", "--terms", 1)) in (
        ["text", "labels", "probabilities", "terms"],
        ["text", "labels", "probabilities"],
    )
    assert len(answer("label", "house", "--best", 1)["probabilities"]) == 1
    found = answer("several", "aeiou")
    assert found["labels"] == [n for n, p in found["probabilities"].items() if p >= 0.5]
    spans = answer("tags", "the Ankylosaurus of 12 eggs")["spans"]
    assert list(spans[0]) == ["name", "start", "end", "text", "probability"]
    assert spans[0]["text"] == "Ankylosaurus" and 0 < spans[0]["probability"] <= 1
    text = answer("restore", "a fox once saw a crow")["text"]
    assert "".join(c for c in text.lower() if c.isalpha() or c == " ") == "a fox once saw a crow"


def test_answers_are_the_librarys(models):
    lines = ["the fox and the crow", "a crow sat in a tree"]
    done = invoke("apply", "--model", models / "restore", stdin="\n".join(lines))
    assert done.stdout.split("\n")[:-1] == [a.text for a in reader(restorer()).answers(lines)]


@pytest.mark.parametrize(
    ("task", "options", "code", "words"),
    [
        ("write", [], 2, "charrnn sample"),
        ("tags", ["--best", "2"], 2, "--best, --terms and --temperature are for models that tell"),
        ("restore", ["--terms", "2"], 2, "are for models that tell labels"),
        ("label", ["--temperature", "0"], 2, "--temperature"),
        ("label", ["missing.txt"], 1, "cannot read 'missing.txt'"),
        ("nothing", [], 1, "there is no charrnn model"),
    ],
)
def test_what_it_refuses(models, task, options, code, words):
    done = invoke("apply", "--model", models / task, *options, stdin="x\n")
    assert_one_line_error(done, code, words)


@pytest.mark.parametrize("command", ["sample", "score", "next", "compress"])
def test_commands_of_models_that_write_name_those_of_models_that_read(models, command, tmp_path):
    given = ["x"] if command == "compress" else []
    done = invoke(command, "--model", models / "label", *given, stdin="x\n")
    assert_one_line_error(done, 2, "writes no text, it tells labels: use charrnn apply")


# Evaluate


def _figures(model, *files):
    done = invoke("evaluate", "--json", "--model", model, *files)
    assert (done.exit_code, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_labels_are_measured(models):
    figures = _figures(models / "label", models / "lines.tsv")
    told = invoke("apply", "--model", models / "label", stdin="\n".join(
        line.split("\t")[0] for line in labelled_lines())).stdout.split()  # fmt: skip
    true = [line.split("\t")[1] for line in labelled_lines()]
    pairs = list(zip(true, told, strict=True))
    assert figures["texts"] == len(pairs)
    assert figures["accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    for name, row in figures["confusion"].items():
        assert row == {b: pairs.count((name, b)) for b in row} and sum(row.values()) == true.count(
            name
        )
    scores = []
    for name in ("dinosaur", "word"):
        right = pairs.count((name, name))
        scores.append(2 * right / (true.count(name) + told.count(name)))
    assert figures["macro_f1"] == pytest.approx(sum(scores) / 2)
    assert figures["commonest_share"] == max(map(true.count, true)) / len(true)
    assert 0 <= figures["calibration_error"] < 0.2 and figures["accuracy"] > 0.8


def test_tags_are_measured_as_whole_spans(models, tmp_path):
    right = "the <animal>Ankylosaurus</animal> of 12 &amp; <count>84</count> eggs"
    (tmp_path / "right").write_text(right)
    found = _figures(models / "tags", tmp_path / "right")
    assert (found["f1"], found["lines_right"], found["character_accuracy"]) == (1, 1, 1)
    (tmp_path / "half").write_text(right.replace("Ankylosaurus</animal>", "Ankylo</animal>saurus"))
    found = _figures(models / "tags", tmp_path / "half")
    assert (found["f1"], found["lines_right"]) == (0.5, 0)
    assert found["f1_of_tags"] == {"animal": 0, "count": 1}
    shown = invoke("evaluate", "--model", models / "tags", tmp_path / "half").stdout
    assert "lines right" in shown and shown.splitlines()[-1].split() == ["count", "1.0000"]


def test_restored_words_are_measured(models, tmp_path):
    (tmp_path / "text").write_text(FABLES.read_text(encoding="utf-8")[:3000], encoding="utf-8")
    found = _figures(models / "restore", tmp_path / "text")
    assert found["words"] == len(FABLES.read_text(encoding="utf-8")[:3000].split())
    assert 0 < found["word_error_rate"] < found["word_error_rate_before"] < 0.5
    assert 0.3 < found["f1"] < 1


@pytest.mark.parametrize("task", ["label", "tags", "restore"])
def test_evaluate_reads_standard_input(models, tmp_path, task):
    text = {
        "label": "tyrannosaurus\tdinosaur\n",
        "tags": "the <animal>Ankylosaurus</animal> of 12\n",
        "restore": "The fox, and the crow.\n",
    }[task]
    (tmp_path / "text").write_text(text)
    done = invoke("evaluate", "--json", "--model", models / task, "-", stdin=text)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == _figures(models / task, tmp_path / "text")


def test_what_evaluate_refuses(models, tmp_path):
    (tmp_path / "unheard").write_text("x\tdinosaurs\n")
    done = invoke("evaluate", "--model", models / "label", tmp_path / "unheard")
    assert_one_line_error(done, 2, "there is no label 'dinosaurs'; the nearest is dinosaur")
    (tmp_path / "bare").write_text("x\n")
    done = invoke("evaluate", "--model", models / "label", tmp_path / "bare")
    assert_one_line_error(done, 1, "line 1 of ", "has no tab: every line is TEXT<tab>LABEL")
    for option in ("--adapt", "--by-position", "--lines"):
        done = invoke("evaluate", "--model", models / "label", option, models / "lines.tsv")
        assert_one_line_error(done, 2, "are for models that write")


def test_info_of_each_task(models):
    for task, words in (("label", "tells 2 labels"), ("tags", "tells 5 classes of tags"),
                        ("restore", "edits")):  # fmt: skip
        shown = invoke("info", "--model", models / task).stdout
        assert "both ways" in shown and words in shown and "labels" in shown
