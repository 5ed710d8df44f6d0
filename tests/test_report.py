"""The page of ``charrnn report``: what is on it, its figures, and that no text becomes markup."""

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from commands import assert_one_line_error, invoke
from readers import (
    labelled_lines,
    labeller,
    labeller_of_several,
    reader,
    restorer_of_spaces,
    tagged_lines,
    tagger,
    words,
)
from trained import (
    FABLES,
    dinosaurs,
    fables,
    language_model,
    run,
    small_trainer,
    told_writer,
    with_biases,
)

from charrnn.inference.assessment import assess
from charrnn.storage.checkpoint import SavedModel, save_model
from charrnn.storage.log import opened_log
from charrnn.studies.canvas import Line
from charrnn.studies.report import charts
from charrnn.studies.report.charts import chart

#: Markup that would run script, or close what it stands in, if it were not escaped.
MARKUP = "</script><script>alert(1)</script><img src=x onerror=alert(1)>'\"&"

VOID = {"meta", "path", "circle", "polyline", "br"}


class Page(HTMLParser):
    """The elements of a page, each with its attributes and its text, and those that it is in."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open = [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "inside": [*self.open], **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, **attributes):
        return [
            e
            for e in self.elements
            if e["tag"] == tag and all(e.get(n) == v for n, v in attributes.items())
        ]

    def one(self, id):
        (found,) = [e for e in self.elements if e.get("id") == id]
        return found

    def data(self, id):
        return json.loads(self.one(id)["text"])

    def cells(self, table):
        """The text of all cells of a table, row by row."""
        cells = (e for e in self.elements if e["tag"] in ("th", "td"))
        return [e["text"] for e in cells if any(other is table for other in e["inside"])]

    def facts(self):
        names, values = ([e["text"] for e in self.all(tag)] for tag in ("dt", "dd"))
        return dict(zip(names, values, strict=True))


def _page(folder, model, *more, name="m.safetensors"):
    if isinstance(model, SavedModel):
        save_model(folder / name, model)
    out = folder / "page.html"
    done = invoke("report", "--model", folder / name, "--output", out, *more)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"wrote {out}\n")
    return Page(out.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A page on a model that writes, and the text that it is shown."""
    folder = tmp_path_factory.mktemp("report")
    text = FABLES.read_text("utf-8")[:3000]
    (folder / "held-out.txt").write_text(text, encoding="utf-8")
    return _page(folder, fables(), "--text", folder / "held-out.txt"), text


def test_a_page_needs_nothing_but_itself(written):
    page, _ = written
    (policy,) = [e["content"] for e in page.all("meta") if "http-equiv" in e]
    hashes = {
        kind: "'sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() + "'"
        for kind, code in (
            ("style", page.all("style")[0]["text"]),
            ("script", page.all("script")[-1]["text"]),
        )
    }
    assert policy == (
        f"default-src 'none'; style-src {hashes['style']}; script-src {hashes['script']}; "
        "base-uri 'none'; form-action 'none'"
    )
    assert [e.get("type") for e in page.all("script")] == ["application/json"] * 2 + [None]
    for element in page.elements:
        assert not {"src", "style", "action", "srcdoc"} & element.keys(), element
        assert not [name for name in element if name.startswith("on")], element
        assert element.get("href", "#").startswith("#")
    assert "url(" not in page.all("style")[0]["text"]


def test_it_can_be_read_by_all(written):
    page, _ = written
    assert page.all("html")[0]["lang"] == "en"
    ids = [e["id"] for e in page.elements if "id" in e]
    assert len(ids) == len(set(ids))
    referred = {e["href"][1:] for e in page.all("a")}
    for name in ("aria-labelledby", "aria-describedby", "for"):
        referred |= {e[name] for e in page.elements if name in e}
    assert referred <= set(ids) and {e["aria-labelledby"] for e in page.all("section")} <= referred
    assert all(e["role"] == "img" and e["aria-label"] for e in page.all("svg"))
    assert len(page.all("h1")) == 1 and page.all("meta", name="viewport")
    style = page.all("style")[0]["text"]
    assert "prefers-color-scheme: dark" in style and ":focus-visible" in style
    used = {word for e in page.elements for word in e.get("class", "").split()}
    assert {word for word in used if not re.search(rf"\.{word}\b", style)} <= {
        "s0", "h4", "c0", "attention", "answer",
    }  # fmt: skip


def test_characters_tell_what_score_and_next_tell(written):
    page, text = written
    model, found = language_model(fables()), page.data("characters")
    shown = "".join(own[0] for own in found)
    assert shown == text[: len(shown)] and len(shown) == 2000
    bits = model.score(text).bits[0][:2000]
    np.testing.assert_allclose([own[1] for own in found], bits, atol=0.006)
    spans = [e for e in page.elements if e["tag"] == "span" and e.get("class", "")[:1] == "s"][6:]
    assert [e["text"].replace("↵\n", "\n") for e in spans] == list(shown)
    bounds = (0.5, 1, 2, 4, 8)
    levels = [int(e["class"][1:]) for e in spans]
    sure = [min(abs(b - edge) for edge in bounds) > 0.01 for b in bits]
    expected = np.searchsorted(bounds, bits, "right")
    assert np.array(levels)[sure].tolist() == expected[sure].tolist()
    for n in (0, 700, 1999):
        likeliest = model.expect(text[:n])[:5]
        assert [name for name, _ in found[n][2]] == [own.name for own in likeliest]
        np.testing.assert_allclose(
            [p for _, p in found[n][2]], [own.probability for own in likeliest], atol=1e-4
        )


def test_figures_of_the_text_are_those_of_evaluate(written):
    page, text = written
    result = language_model(fables()).evaluate(text)
    whole = next(e["text"] for e in page.all("p") if e["text"].startswith("All in all"))
    assert whole == f"All in all {result.bits_per_character:.4f} bits per character, over 3,000 " \
        "characters."  # fmt: skip
    tables = page.all("table")
    lines = [t for t in tables if t["text"].startswith("bits per character")]
    cells = page.cells(lines[0])[2:]
    bits = [float(cell) for cell in cells[::2]]
    assert len(bits) == 8 and bits == sorted(bits, reverse=True)
    scored = language_model(fables()).score(text, lines=False)
    means = (scored.bits_of_lines()[0] / scored.predictions_of_lines()).tolist()
    of_lines = dict(zip(scored.lines(), means, strict=True))
    assert [of_lines[line] for line in cells[1::2]] == pytest.approx(bits, abs=0.006)
    longer = [mean for line, mean in of_lines.items() if len(line) >= 12]
    assert bits[0] == pytest.approx(max(longer), abs=0.006)


def test_samples_are_those_of_the_library(written):
    page, _ = written
    model = language_model(fables())
    expected = ["".join(model.texts(400, seed=1, temperature=t, min_p=0.0)) for t in (0.3, 0.7, 1)]
    assert [e["text"] for e in page.all("pre")] == ["\n" + text for text in expected]


def test_a_model_that_is_told_labels_writes_by_each(tmp_path):
    """And is told those of a text."""
    path = _lines(tmp_path, "abc.tsv", [f"{word}\tausten\tfemale" for word in ("abc", "cab")] * 9)
    model = told_writer()
    training = {**model.training, "text": {"labels": "columns"}}
    page = _page(tmp_path, dataclasses.replace(model, training=training), "--text", path)
    headings = [e["text"] for e in page.all("h3")]
    assert [f"{label}, temperature 0.7" in headings for label in model.labels] == [True] * 4
    found = page.data("characters")
    assert [own[0] for own in found[:8]] == list("abc\ncab\n")
    assert all(own[1] == round(np.log2(6), 2) for own in found)


def test_units_are_those_of_neurons(written, tmp_path):
    page, text = written
    save_model(tmp_path / "m", fables())
    (tmp_path / "t").write_text(text, encoding="utf-8")
    done = invoke("neurons", "--model", tmp_path / "m", tmp_path / "t", "--json", "--top", 12)
    found = json.loads(done.stdout)
    names = [e["text"] for e in page.all("option")]
    assert names == [f"{unit['unit']}: {unit['pattern']}" for unit in found]
    table = page.one("units")["text"]
    assert all(f"{unit['loss_change']:+.4f}" in table for unit in found)
    levels = page.data("levels")
    assert len(levels) == 12 and {len(own) for own in levels} == {1500}
    assert set("".join(levels)) <= set("012345678") and all({*own} & {"0", "8"} for own in levels)


def test_curves_are_those_of_the_run(tmp_path):
    """From the model, or all of a log; and what was written during the run."""
    trainer = small_trainer(steps=12, validations=3)
    records = run(trainer)
    trainer.history.sampled(5, "a <b>sample</b>")
    page = _page(tmp_path, trainer.best)
    assert [e["text"] for e in page.all("figcaption")][:4] == [
        "Loss, nats per character", "Learning rate", "Norm of the gradient",
        "Speed, characters a second",
    ]  # fmt: skip
    validated = [r for r in records if r.validation_loss is not None]
    losses = page.cells(page.all("table")[0])
    assert losses[:3] == ["steps", "training", "validation"]
    assert losses[3:] == [
        f"{v:.4g}" for r in validated for v in (r.step, r.loss, r.validation_loss)
    ]
    assert "a <b>sample</b>" in page.all("pre")[-1]["text"]
    assert "after 5 steps" in [e["text"] for e in page.all("h3")]
    with opened_log(tmp_path / "run.csv", None) as log:
        for step in (1, 2, 3):
            log.write({"step": step, "loss": step / 2, "validation_loss": None})
    page = _page(tmp_path, trainer.best, "--log", tmp_path / "run.csv")
    assert page.cells(page.all("table")[0]) == ["steps", "training", "1", "0.5", "2", "1", "3",
                                                    "1.5"]  # fmt: skip


def test_without_a_text_it_is_the_models_own(tmp_path):
    """Of names many, which end; a model of another program, without a history, has a page too."""
    bare = dataclasses.replace(dinosaurs(), history=None, training={"documents": 9, "text": {
        "lines": True}})  # fmt: skip
    page = _page(tmp_path, bare)
    shown = "".join(own[0] for own in page.data("characters"))
    names = "".join(language_model(bare).texts(100, count=40, seed=1, temperature=1.0, min_p=0.0))
    assert names.startswith(shown) and shown.count("\n") > 20
    assert "A text that it wrote itself" in page.all("main")[0]["text"]
    assert "How it learned" not in page.all("nav")[0]["text"]


def _lines(folder, name, lines):
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def _figures(model, path):
    figures = assess(reader(model), [str(path)])
    return {
        name.replace("_", " "): f"{v:,}" if isinstance(v, int) else f"{v:.4f}"
        for name, v in figures.items()
        if not isinstance(v, dict)
    }, figures


def test_a_model_of_labels(tmp_path):
    path = _lines(tmp_path, "l.tsv", labelled_lines()[::8])
    page = _page(tmp_path, labeller(), "--text", path)
    told, figures = _figures(labeller(), path)
    assert told.items() <= page.facts().items()
    table = page.cells(page.one("confusion"))
    own = figures["confusion"]
    cells = [own[name].get(other, 0) for name in own for other in own]
    assert sorted(int(cell) for cell in table if cell.isdigit()) == sorted(cells)
    attended = [e["text"] for e in page.all("div", **{"class": "text short attention"})]
    texts = [line.split("\t")[0] for line in labelled_lines()[::8]]
    assert attended and set(attended) <= set(texts)
    assert "Share that is right, by how sure it is" in [e["text"] for e in page.all("figcaption")]
    assert len(page.all("option")) == 12
    assert (
        page.one("heat")["text"].split("\n")[:-1] == texts[: page.one("heat")["text"].count("\n")]
    )


def test_a_model_of_several_labels(tmp_path):
    lines = [f"{w}\t{','.join(v for v in 'aeiou' if v in w)}" for w in words()[::20]]
    path = _lines(tmp_path, "l.tsv", lines)
    page = _page(tmp_path, labeller_of_several(), "--text", path)
    assert _figures(labeller_of_several(), path)[0].items() <= page.facts().items()
    assert page.all("div", **{"class": "text short attention"})


def test_models_of_tags_and_of_what_is_missing(tmp_path):
    path = _lines(tmp_path, "l.txt", tagged_lines()[:40])
    page = _page(tmp_path, tagger(), "--text", path)
    assert _figures(tagger(), path)[0].items() <= page.facts().items()
    first = reader(tagger()).answers(["the Aardonyx of 0 & 0 eggs"])[0]
    marks = [e["text"] for e in page.all("mark")]
    assert marks[: len(first.spans)] == [first.text[s.start : s.end] + s.name for s in first.spans]
    path = _lines(tmp_path, "t.txt", FABLES.read_text("utf-8").split("\n")[:30])
    page = _page(tmp_path, restorer_of_spaces(), "--text", path)
    assert _figures(restorer_of_spaces(), path)[0].items() <= page.facts().items()
    shown = [e["text"] for e in page.all("div", **{"class": "text short answer"})]
    bare = [re.sub(r"[^\w\s]", "", line).lower() for line in shown]
    assert len(shown) == 12 and re.sub(r"\s", "", bare[0]) == "theheronandtheferryman"


def test_a_reader_without_a_text_has_its_curves(tmp_path):
    page = _page(tmp_path, tagger())
    assert [e["text"] for e in page.all("h2")] == [
        "How it learned", "What was chosen, and what came of it",
    ]  # fmt: skip


def _assert_harmless(page):
    """Nothing of MARKUP has become an element; it is text where it stands."""
    assert not page.all("img") and len(page.all("script")) <= 3
    assert "alert(1)" not in page.all("script")[-1]["text"]
    assert "alert(1)" in page.all("body")[0]["text"]


def test_markup_in_a_text_a_vocabulary_and_names_is_text(tmp_path):
    training = {
        "documents": 2, "corpus": [MARKUP], "reasons": [MARKUP], "init_from": MARKUP,
        "options": {"optimizer": MARKUP, "precision": MARKUP},
    }  # fmt: skip
    characters = "".join(sorted({*MARKUP, *"abc \n"}))
    model = with_biases(characters, biases=[(n, 3.0) for n in (5, 6)])
    points = [[1, 1.0, 1.0, 1.0, 1, 1.0]]
    history = {"every": 1, "points": points, "losses": [], "norms": [], "validations": [],
               "samples": [(3, MARKUP)]}  # fmt: skip
    model = dataclasses.replace(model, training=training, history=history)
    name = MARKUP.replace("/", "") + ".safetensors"
    text = tmp_path / (MARKUP.replace("/", "") + ".txt")
    text.write_text(f"{MARKUP}\nabc {MARKUP}\n" * 3, encoding="utf-8")
    page = _page(tmp_path, model, "--text", text, "--find", "<[^>]*>", name=name)
    _assert_harmless(page)
    assert page.all("h1")[0]["text"] == name
    facts = page.facts()
    assert facts["corpus"] == facts["init from"] == facts["optimizer"] == MARKUP
    assert page.all("li")[-1]["text"] == MARKUP or MARKUP in [e["text"] for e in page.all("li")]
    assert "".join(own[0] for own in page.data("characters")).startswith(MARKUP)
    assert page.all("option")[0]["text"].endswith("<[^>]*>")


@pytest.mark.parametrize("kind", ["label", "tags"])
def test_markup_in_labels_and_tags_is_text(tmp_path, kind):
    model, lines = (labeller(), labelled_lines()[:20]) if kind == "label" else (
        tagger(), tagged_lines()[:20])  # fmt: skip
    if kind == "label":
        others = dict(zip(model.labels, (MARKUP, MARKUP[::-1]), strict=True))
        lines = [f"{MARKUP}{line.split(chr(9))[0]}\t{MARKUP}" for line in lines]
        model = dataclasses.replace(model, labels=tuple(others.values()))
    else:
        lines = [line.replace("the ", MARKUP.replace("&", "").replace("<", "&lt;") + " ")
                 for line in lines]  # fmt: skip
    page = _page(tmp_path, model, "--text", _lines(tmp_path, "l.txt", lines))
    if kind == "label":
        _assert_harmless(page)
        assert MARKUP in [e["text"] for e in page.all("th")]
    assert not page.all("img") and len(page.all("script")) == 2


def test_errors_are_one_line_and_cost_no_file(tmp_path):
    model = tmp_path / "m.safetensors"
    save_model(model, fables())
    text, out = tmp_path / "t.txt", tmp_path / "page.html"
    text.write_text("some text")
    out.write_text("old")
    for more, code, named in (
        (["--text", text, "--output", text], 2, "same file"),
        (["--output", model], 2, "same file"),
        (["--text", "-"], 2, "standard input"),
        (["--text", tmp_path / "none"], 1, "none"),
        (["--log", text], 1, "no log"),
        (["--find", "("], 2, "regular expression"),
        (["--output", tmp_path / "no" / "page.html"], 1, "existing folder"),
    ):
        given = ["--output", out] if "--output" not in more else []
        assert_one_line_error(invoke("report", "--model", model, *given, *more), code, named)
    missing = invoke("report", "--model", tmp_path / "x", "--output", out)
    assert_one_line_error(missing, 1, "no charrnn model")
    assert text.read_text() == "some text" and out.read_text() == "old"


# Charts


def test_a_chart_has_its_corners_at_its_extremes():
    line = Line(np.array([0.0, 50, 100]), np.array([1.0, 3, 2]))
    drawn = chart("a", "steps", {"one": line, "none": Line(np.array([]), np.array([]))})
    (own,) = drawn.lines
    assert own.dots[0] == (charts.LEFT, charts.BOTTOM) and own.dots[1][1] == charts.TOP
    assert own.dots[2][0] == charts.RIGHT
    assert own.points == " ".join(f"{x:g},{y:g}" for x, y in own.dots)
    assert [tick.label for tick in drawn.x_ticks] == ["0", "20", "40", "60", "80", "100"]
    assert drawn.rows == [["steps", "one"], ["0", "1"], ["50", "3"], ["100", "2"]]


def test_what_is_no_number_is_not_drawn():
    nothing = Line(np.array([1.0, np.nan]), np.array([np.nan, 1.0]))
    assert chart("a", "b", {"one": nothing}) is None
    assert chart("a", "b", {}) is None
