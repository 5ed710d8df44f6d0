"""Files that say what is to be told of texts: read, told apart, and split for validation."""

import codecs
import io
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.config import RESTORABLE, TextConfig
from charrnn.errors import CharrnnError, CorpusError, UsageError
from charrnn.text.dataset import choose, read_dataset
from charrnn.text.documents import Documents
from charrnn.text.vocabulary import START

LABEL, COLUMNS = {"task": "label"}, {"labels": "columns"}
TAGS, FILES = {"task": "tags"}, {"labels": "files"}
SEVERAL = {"task": "label", "multiple": True}


@pytest.fixture
def read(tmp_path):
    """Reads texts, or files by their names, as a run would."""

    def read(*texts, known=(), files=None, **config):
        contents = files or {f"{number}.txt": text for number, text in enumerate(texts)}
        for name, text in contents.items():
            data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
            (tmp_path / name).write_bytes(data)
        rng = np.random.default_rng(1)
        return read_dataset([str(tmp_path / name) for name in contents], TextConfig(**config),
                            rng=rng, labels=known)  # fmt: skip

    return read


def texts_of(dataset, part="training"):
    """Its texts, each with its labels: their names, or of its positions, their classes."""
    own, names = getattr(dataset, part), (*dataset.labels, None)
    decode = dataset.vocabulary.decode
    if not isinstance(own, Documents):
        pieces = np.split(own.tokens[:-1], own.starts[1:]) if own.positions else []
        told = [[names[k] for k in row] for row in own.labels]
        return [(decode(t[1:]), *k) for t, k in zip(pieces, told, strict=True)]
    parts = [decode(t) for t in np.split(own.tokens, own.ends[:-1])] if own.positions else []
    if own.by_position:
        classes = np.split(own.classes, own.ends[:-1])
        return [(text, tuple(k.tolist())) for text, k in zip(parts, classes, strict=True)]
    if own.classes.ndim == 2:
        told = [tuple(n for n, has in zip(names, row, strict=False) if has) for row in own.classes]
        return list(zip(parts, told, strict=True))
    return [(text, names[k]) for text, k in zip(parts, own.classes, strict=True)]


ALL = {"validation_fraction": 0.0}


# What is read


def test_labels_stand_behind_the_last_tab(read):
    dataset = read("Ada\tf\nBob\tm\n\na\tb\tm", **LABEL, **ALL)
    assert dataset.labels == ("f", "m")
    assert texts_of(dataset) == [("Ada", "f"), ("Bob", "m"), ("a\tb", "m")]
    assert dataset.origin["documents"] == 3 and dataset.origin["corpus_characters"] == 9
    assert "\n" not in dataset.vocabulary.characters


def test_several_labels_or_none(read):
    dataset = read("ab\tx, y ,,x\nc\t\nd\ty\n", **SEVERAL, **ALL)
    assert dataset.labels == ("x", "y")
    assert texts_of(dataset) == [("ab", ("x", "y")), ("c", ()), ("d", ("y",))]


def test_columns_are_labels_of_one_list(read):
    dataset = read("Ada\tf\tuk\nBob\tm\tuk\nEve\t\tfr\n", **COLUMNS, **ALL)
    assert dataset.labels == ("f", "fr", "m", "uk")
    assert texts_of(dataset) == [("Ada", "f", "uk"), ("Bob", "m", "uk"), ("Eve", None, "fr")]


def test_names_of_files_are_labels(read):
    """An empty file has no document, and those of the same name have the same label."""
    files = {"b.txt": "beta\nx\n", "empty.txt": "", "a.txt": "alpha", "b.md": "more"}
    for lines in (False, True):
        dataset = read(files=files, lines=lines, **FILES, **ALL)
        assert dataset.labels == ("a", "b", "empty")
        rows = [("beta", "b"), ("x", "b")] if lines else [("beta\nx\n", "b")]
        assert texts_of(dataset) == [*rows, ("alpha", "a"), ("more", "b")]


def test_tags_are_classes_of_characters(read):
    dataset = read("<n>Ada</n> &lt;3\n\nfew\n<n>B</n><m>C</m>\n", **TAGS, **ALL)
    assert dataset.labels == ("O", "B-n", "I-n", "B-m", "I-m")
    assert texts_of(dataset) == [("Ada <3", (1, 2, 2, 0, 0, 0)), ("few", (0, 0, 0)),
                                 ("BC", (1, 3))]  # fmt: skip


def test_what_is_restored_is_read_without_it(read):
    dataset = read("Ab, c. Ab, c.", task="restore", restore="case,punctuation", **ALL)
    ((text, classes),) = texts_of(dataset)
    assert text.endswith("ab c ab c") and len(classes) == len("ab c ab c") + 1
    assert dataset.training.tokens[0] == START
    assert [number for number, own in enumerate(classes) if own] == [1, 2, 4, 6, 7, 9]
    assert classes[1:5] == classes[6:] and len({*classes}) == 4


BYTES = {
    "CRLF": ("aé\tx\r\nb\ty\r\n".encode(), "utf-8"),
    "CR": ("aé\tx\rb\ty".encode(), "utf-8"),
    "byte order mark": (codecs.BOM_UTF8 + "aé\tx\nb\ty\n".encode(), "utf-8"),
    "latin-1": ("aé\tx\nb\ty\n".encode("latin-1"), "latin-1"),
    "utf-16": ("aé\tx\nb\ty\n".encode("utf-16"), "utf-16"),
    "no last line end": ("aé\tx\n\n\nb\ty".encode(), "utf-8"),
}


@pytest.mark.parametrize(("data", "encoding"), BYTES.values(), ids=BYTES)
def test_lines_however_they_are_written(read, data, encoding):
    for task in (LABEL, COLUMNS):
        dataset = read(data, encoding=encoding, **task, **ALL)
        assert texts_of(dataset) == [("aé", "x"), ("b", "y")]


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\tx\nb\ty\n")))
    dataset = read_dataset(["-"], TextConfig(**LABEL, **ALL), rng=np.random.default_rng(1))
    assert texts_of(dataset) == [("a", "x"), ("b", "y")]
    assert dataset.origin["corpus"] == ["-"]


def test_several_files_are_read_as_one(read):
    dataset = read("a\tx", "b\ty\n", "\nc\tx\n", **LABEL, **ALL)
    assert texts_of(dataset) == [("a", "x"), ("b", "y"), ("c", "x")]


# What cannot be read


@pytest.mark.parametrize(
    ("config", "text", "words"),
    [
        (LABEL, "a\tx\n\nb y\n", r"line 3 of \S+0\.txt has no tab: every line is TEXT<tab>LABEL"),
        (COLUMNS, "a\tx\nb", "line 2 of .* has no tab"),
        (LABEL, "a\tx\r\n\ty\n", "line 2 of .* has no text before its tab"),
        (LABEL, "a\tx\nb\tx\n", "nothing to tell apart: the lines have 1 labels: x"),
        (LABEL, "a\tx\nb\t\n", "there is no label ''|nothing to tell apart"),
        (COLUMNS, "a\tx\tx\n", "nothing to tell apart: .* 1 labels: x"),
        (SEVERAL, "a\t\nb\t,\n", "nothing to tell apart: the lines have 0 labels; give"),
        (COLUMNS, "a\tx\ty\nb\ty\n", "line 2 of .* has 1 labels, the first line 2: .* some of them "
                                     "empty"),
        (COLUMNS, "a\tx\nb\ty\tz\n", "line 2 of .* has 2 labels, the first line 1"),
        (LABEL, "", "there are no lines; name a file that has lines TEXT<tab>LABEL"),
        (LABEL, "\n\n", "there are no lines"),
        (TAGS, "", "there are no lines; name a file that has tagged lines"),
        (TAGS, "a\n<n>b</n>\n<n>c\n", "line 3.*: <n> is not closed; write </n>"),
        (TAGS, "\na</n>\n", "line 2.*: </n> closes nothing"),
        (TAGS, "a\nb\n", "tag"),
        (LABEL, b"a\tx\n\xff\ty\n", "is not utf-8 text: byte 0xff at offset 4"),
        ({"task": "restore", "restore": "case"}, "", "no characters in the texts"),
        (FILES, "abc", "there is one file, 0: give two or more"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from_names_the_line(read, config, text, words):
    with pytest.raises(CharrnnError, match=words) as caught:
        read(text, **config)
    assert "\n" not in str(caught.value)


def test_there_may_be_no_such_file(tmp_path):
    for config in (LABEL, COLUMNS, TAGS, FILES):
        with pytest.raises(CorpusError, match="cannot read"):
            read_dataset([str(tmp_path / "missing")], TextConfig(**config),
                         rng=np.random.default_rng(1))  # fmt: skip


def test_standard_input_is_no_label():
    with pytest.raises(UsageError, match="standard input has no name that could be a label"):
        read_dataset(["a", "-"], TextConfig(**FILES), rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"task": "rhyme"}, "task must be one of write, label, tags, restore"),
        ({"labels": "names"}, "labels must be one of columns, files"),
        ({**LABEL, **COLUMNS}, "`labels` is for texts to write, not for the task label"),
        ({"multiple": True}, "`multiple` is for the task label"),
        ({"balance": True, **TAGS}, "`balance` is for the task label"),
        ({"balance": True, **SEVERAL}, "give `balance` or `multiple`, not both"),
        ({"task": "restore"}, f"takes what to `restore`, any of {', '.join(RESTORABLE)}"),
        ({"restore": "case", **TAGS}, "`restore` is for texts .* not for the task tags"),
        ({"task": "restore", "restore": "case,vowels"}, "one of case, .*not 'vowels'"),
    ],
)
def test_what_does_not_go_together(config, words):
    with pytest.raises(UsageError, match=words):
        TextConfig(**config)


# The split


def _lines(count, labels="xyz", copies=1):
    texts = (f"{number:04}" for number in range(count) for _ in range(copies))
    return "\n".join(f"{text}\t{labels[n % len(labels)]}" for n, text in enumerate(texts))


@pytest.mark.parametrize("config", [LABEL, COLUMNS], ids=["label", "columns"])
def test_labels_validate_in_proportion(read, config):
    rare = _lines(9, "z").replace("0", "q")
    dataset = read(_lines(600, "xxy") + "\n" + rare, validation_fraction=0.2, **config)
    training, validation = (texts_of(dataset, part) for part in ("training", "validation"))
    assert len(training) + len(validation) == 609 and not {*training} & {*validation}
    for label, count in {"x": 400, "y": 200, "z": 9}.items():
        found = sum(own[1] == label for own in validation)
        assert abs(found - count * 0.2) <= 1


@pytest.mark.parametrize("config", [LABEL, COLUMNS, SEVERAL])
def test_copies_of_a_text_stay_together(read, config):
    """Whatever their labels are."""
    dataset = read(_lines(200, copies=4), **config)
    training, validation = (texts_of(dataset, part) for part in ("training", "validation"))
    assert len(validation) == 80 and len(training) == 720
    assert not {own[0] for own in training} & {own[0] for own in validation}


def test_copies_of_a_tagged_line_stay_together(read):
    dataset = read("\n".join(f"<n>a{number % 50}</n> b" for number in range(200)), **TAGS)
    training, validation = ({own[0] for own in texts_of(dataset, part)}
                            for part in ("training", "validation"))  # fmt: skip
    assert len(validation) == 5 and len(training) == 45 and not training & validation


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-1, 3)), max_size=80),
       st.floats(0, 0.9), st.integers(0, 5))  # fmt: skip
def test_whole_groups_are_chosen_of_each_stratum_about_the_fraction(rows, fraction, seed):
    groups, strata = (np.array(column, np.int64) for column in zip(*rows, strict=True)) if rows \
        else (np.empty(0, np.int64), np.empty(0, np.int64))  # fmt: skip
    chosen = choose(groups, strata, fraction, np.random.default_rng(seed))
    assert chosen.dtype == bool and chosen.size == len(rows)
    first = {group: number for number, group in reversed(list(enumerate(groups.tolist())))}
    assert all(chosen[first[group]] == own for group, own in zip(groups, chosen, strict=True))
    of_group = list(first.values())
    for stratum in {*strata[of_group].tolist()}:
        own = [number for number in of_group if strata[number] == stratum]
        assert abs(chosen[own].sum() - fraction * len(own)) < 1 + 1e-9


@pytest.mark.parametrize("config", [LABEL, COLUMNS])
def test_the_same_seed_validates_the_same_texts(read, config):
    one, two = (texts_of(read(_lines(200), **config), "validation") for _ in "12")
    assert one == two
    # In any order, so that a part of them is like all.
    assert [own[0] for own in one] != sorted(own[0] for own in one)


KNOWN = pytest.mark.parametrize("known", [(), ("b", "c", "a")], ids=["new", "from-a-model"])


@KNOWN
def test_ends_of_files_are_cut_off_each_with_its_label(read, known):
    files = {"a.txt": "0123456789" * 9, "b.txt": "abcdefghij" * 12, "c.txt": "+"}
    dataset = read(files=files, known=known, **FILES)
    assert texts_of(dataset) == [(files["a.txt"][:81], "a"), (files["b.txt"][:108], "b"),
                                 ("+", "c")]  # fmt: skip
    assert sorted(texts_of(dataset, "validation")) == [
        (files["a.txt"][81:], "a"), (files["b.txt"][108:], "b")
    ]  # fmt: skip


@pytest.mark.parametrize("known", [(), ("nothing", *(f"character U+006{n}" for n in range(1, 4)))])
def test_ends_are_cut_off_of_what_is_restored(read, known):
    texts = "abc" * 40, "cba" * 30
    dataset = read(*texts, known=known, task="restore", restore="gaps")
    training, validation = (texts_of(dataset, part) for part in ("training", "validation"))
    lengths = [[len(own[1]) - 1 for own in part] for part in (training, validation)]
    assert len(training) == len(validation) == 2
    for found, whole in zip([*lengths[0], *sorted(lengths[1])[::-1]], [108, 81, 12, 9],
                            strict=True):  # fmt: skip
        assert whole * 0.6 <= found <= whole


@pytest.mark.parametrize("config", [FILES, {"task": "restore", "restore": "gaps"}])
def test_where_a_file_of_its_own_validates_no_ends_are_cut_off(read, tmp_path, config):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "1.txt"
    other.write_text("cba" * 30)
    dataset = read("abc" * 30, "bca" * 30, validation=str(other), **config)
    assert len(texts_of(dataset)) == 2 and len(texts_of(dataset, "validation")) == 1


def test_lines_are_restored_as_they_are(read):
    text = "\n".join(f"Line {number}" for number in range(100))
    dataset = read(text, task="restore", restore="case", lines=True)
    assert len(texts_of(dataset)) == 90 and len(texts_of(dataset, "validation")) == 10


@pytest.mark.parametrize("config", [LABEL, COLUMNS, TAGS])
def test_of_few_texts_none_validates(read, config):
    text = "<n>a</n>\nb" if config == TAGS else "a\tx\nb\ty"
    dataset = read(text, validation_fraction=0.5, **config)
    assert dataset.validation.positions == 0 and len(texts_of(dataset)) == 2


@pytest.mark.parametrize("config", [LABEL, COLUMNS])
def test_a_file_of_its_own_may_validate(read, tmp_path, config):
    other = tmp_path / "other.tsv"
    other.write_text("c!\ty\nd\tx\n")
    dataset = read("a\tx\nb\ty\n", validation=str(other), **config)
    assert texts_of(dataset) == [("a", "x"), ("b", "y")] and dataset.labels == ("x", "y")
    found = texts_of(dataset, "validation")
    assert [own[1] for own in found] == ["y", "x"]
    assert not {"c", "d"} & {*dataset.vocabulary.characters}
    other.write_text("c\ty\nd\txy\n")
    with pytest.raises(UsageError, match=r"there is no label 'xy'; the nearest are [xy], [xy]"):
        read("a\tx\nb\ty\n", validation=str(other), **config)


def test_another_file_of_tags_may_validate(read, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("<n>a</n>\n")
    dataset = read("<n>a</n><m>b</m>\n", validation=str(other), **TAGS)
    assert texts_of(dataset, "validation") == [("a", (1,))]
    other.write_text("<o>a</o>\n")
    with pytest.raises(UsageError, match="there is no label 'o'; there are n, m"):
        read("<n>a</n><m>b</m>\n", validation=str(other), **TAGS)


# From a model


def test_labels_of_a_model_are_settled(read):
    """Their order too; a text that has others is refused, and one may lack some."""
    known = ("z", "x", "y")
    for config in (LABEL, COLUMNS):
        dataset = read("a\tx\nb\tz\n", known=known, **config, **ALL)
        assert dataset.labels == known and texts_of(dataset) == [("a", "x"), ("b", "z")]
        dataset = read("a\tx\n", known=known, **config, **ALL)
        assert texts_of(dataset) == [("a", "x")], "one label of a model's is enough"
        with pytest.raises(UsageError, match="there is no label 'w'"):
            read("a\tx\nb\tw\n", known=known, **config)
    with pytest.raises(UsageError, match="there is no label '1'"):
        read(files={"0.txt": "a", "1.txt": "b"}, known=("0", "2"), **FILES)


# Weights


def test_with_balance_rare_labels_count_as_much_as_others(read):
    dataset = read(_lines(100, "xxxxxxxxxy"), balance=True, validation_fraction=0.2, **LABEL)
    weights, classes = dataset.training.weights, dataset.training.classes
    sums = np.bincount(classes, weights)
    assert sums[0] == pytest.approx(sums[1]) and weights.mean() == pytest.approx(1)
    assert dataset.validation.weights is None and read(_lines(9), **LABEL).training.weights is None
