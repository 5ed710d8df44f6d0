"""Scores of lines: those of the evaluation, whatever is scored beside them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trained import DINOSAURS, FABLES, dinosaurs, fables, language_model, with_biases

from charrnn.inference import scoring
from charrnn.inference.scoring import score
from charrnn.text.lines import line_starts, text_of, whole_lines
from charrnn.text.originals import Originals
from charrnn.text.vocabulary import code_points


@given(st.lists(st.text("ab\n", max_size=6)), st.integers(1, 12))
def test_blocks_are_whole_lines(pieces, size):
    blocks = list(whole_lines([code_points(piece) for piece in pieces if piece], size))
    text = "".join(pieces)
    assert "".join(map(text_of, blocks)) == text
    for block in blocks[:-1]:
        assert text_of(block).endswith("\n")
    longest = max(map(len, [*pieces, *text.split("\n")]), default=0)
    assert all(block.size <= size + 2 * longest for block in blocks)
    if size == 1:  # a line does not wait for the next piece
        assert len(blocks) >= sum("\n" in piece for piece in pieces)
    starts = [
        line_starts(block) + sum(b.size for b in blocks[:n]) for n, block in enumerate(blocks)
    ]
    expected = [0, *(at + 1 for at, c in enumerate(text[:-1]) if c == "\n")] if text else []
    assert np.concatenate([np.empty(0, int), *starts]).tolist() == expected


def _scores(blocks):
    blocks = list(blocks)
    return (
        [line for block in blocks for line in block.lines()],
        np.concatenate([block.bits_of_lines() for block in blocks], axis=1),
    )


def test_lines_as_documents_are_evaluations(tmp_path):
    """Empty ones too, and of whatever line end; each as it is alone."""
    model = language_model(dinosaurs(), threads=2)
    path = tmp_path / "names"
    path.write_bytes(b"Yi\r\n\nZuul\rX-ray\n\n" + DINOSAURS.read_bytes() + b"Mei")
    lines, bits = _scores(score([model], [path], lines=True))
    names = ["Yi", "", "Zuul", "X-ray", "", *DINOSAURS.read_text("utf-8").splitlines(), "Mei"]
    assert lines == names
    for n in [*range(8), len(names) - 1]:
        alone = model.evaluate(names[n])
        assert bits[0, n] == pytest.approx(alone.nats / math.log(2), rel=1e-12)
        assert model.score(names[n]).bits_of_lines()[0, 0] == bits[0, n]
    (block,) = score([model], [path], lines=True)
    assert block.characters_of_lines()[:4].tolist() == [2, 0, 4, 5]
    assert block.predictions_of_lines()[:4].tolist() == [3, 1, 5, 6]
    assert block.unknown_in_lines()[0, :4].tolist() == [0, 0, 0, 1]  # the hyphen


def test_a_text_as_one_document(tmp_path):
    """Its lines' bits are those of the evaluation, but for the end; each file begins anew."""
    model = language_model(fables(), threads=2)
    text = FABLES.read_text("utf-8")[:4000]
    path = tmp_path / "text"
    path.write_text(text, encoding="utf-8")
    lines, bits = _scores(score([model], [path, path], lines=False))
    assert lines == 2 * text.split("\n")
    half = len(lines) // 2
    assert np.array_equal(bits[:, :half], bits[:, half:])
    scored = model.score(text)
    assert np.array_equal(scored.bits_of_lines(), bits[:, :half])
    with_end = model.evaluate(text).nats / math.log(2)
    end = -math.log2({x.name: x for x in model.expect(text)}["end of text"].probability)
    assert bits[:, :half].sum() == pytest.approx(with_end - end, rel=1e-6)
    assert scored.characters_of_lines().sum() == len(text)


@pytest.mark.parametrize("lines", [True, False])
def test_blocks_change_nothing(tmp_path, monkeypatch, lines):
    """Of lines nothing at all; of one text nothing where it is read in one lane."""
    model = language_model(dinosaurs() if lines else fables(), threads=2)
    path = DINOSAURS if lines else tmp_path / "text"
    if not lines:
        path.write_bytes(FABLES.read_bytes()[:7000])
    expected = _scores(score([model], [path], lines=lines))
    monkeypatch.setattr("charrnn.text.corpus.CHUNK", 100)
    unbuffered = list(score([model], [path], lines=lines, unbuffered=True))
    assert len(unbuffered) > 60
    monkeypatch.setattr(scoring, "BLOCK", 1000)
    for blocks in (unbuffered, list(score([model], [path], lines=lines))):
        found = _scores(blocks)
        assert found[0] == expected[0]
        assert np.array_equal(found[1], expected[1])


def test_long_texts_in_blocks_are_close_to_one_pass(monkeypatch):
    model = language_model(fables(), threads=2)
    monkeypatch.setattr("charrnn.text.corpus.CHUNK", 3000)
    _, expected = _scores(score([model], [FABLES], lines=False, unbuffered=True))
    monkeypatch.setattr(scoring, "BLOCK", 30_000)
    blocks = list(score([model], [FABLES], lines=False))
    assert len(blocks) == 3
    _, found = _scores(blocks)
    assert found.sum() == pytest.approx(expected.sum(), rel=1e-3)
    assert np.abs(found - expected).max() < 5


def test_models_of_other_characters_side_by_side(tmp_path):
    (tmp_path / "text").write_text("abba\nxyxy\n", encoding="utf-8")
    models = [
        language_model(with_biases("ab\n", biases=[(2, -9)])),
        language_model(with_biases("xyz\n", biases=[(2, -9)])),
    ]
    (block,) = score(models, [tmp_path / "text"], lines=False)
    assert block.bits_of_lines().argmin(axis=0).tolist() == [0, 1]
    assert block.unknown_in_lines().tolist() == [[0, 4], [4, 0]]
    for n, model in enumerate(models):
        (alone,) = score([model], [tmp_path / "text"], lines=False)
        assert np.array_equal(alone.bits[0], block.bits[n])


def test_text_that_is_no_text_and_half_a_character():
    model = language_model(with_biases("ab"))
    assert model.score("a\udc80\n").unknown_in_lines().tolist() == [[2]]
    assert model.score("", lines=False).lines() == []
    assert model.score("", lines=True).bits_of_lines()[0] == pytest.approx([math.log2(5)])
    assert model.score("", lines=True).lines() == [""]


# What is copied


def _originals(tmp_path, length, *texts):
    paths = [tmp_path / str(n) for n in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    return Originals(paths, length)


def _found(originals, text, **how):
    return originals.find(code_points(text), **how)


def test_what_is_copied_and_from_where(tmp_path):
    originals = _originals(tmp_path, 4, "one\ntwo three\n", "zero\nfour three\n")
    lines = _found(originals, "a three b\nour thre\nnothing\n", documents=True)
    assert [line.characters for line in lines] == [6, 8, 0]
    first, second = str(tmp_path / "0"), str(tmp_path / "1")
    assert lines[0].passages == [(1, 6, first, 2)]
    assert lines[1].passages == [(0, 8, second, 2)]
    assert (lines[0].longest, lines[2].longest) == (lines[0].passages[0], None)


def test_passages_cross_lines_only_where_these_are_one_text(tmp_path):
    originals = _originals(tmp_path, 6, "x\nabc\ndef\n", "ghi")
    text = "-abc\ndef\nghi"
    assert [line.characters for line in _found(originals, text, documents=True)] == [0, 0, 0]
    lines = _found(originals, text, documents=False)
    assert [line.characters for line in lines] == [4, 4, 0]  # files do not go on in one another
    place = str(tmp_path / "0")
    assert [line.passages for line in lines] == [[(1, 4, place, 2)], [(0, 4, place, 3)], []]


def test_passages_go_on_from_block_to_block(tmp_path):
    originals = _originals(tmp_path, 6, "x\nabc\ndef\n")
    assert _found(originals, "-abc\n", documents=False)[0].characters == 0  # too few, so far
    (line,) = _found(originals, "def\n", documents=False)
    assert line == (4, [(0, 4, str(tmp_path / "0"), 3)])
    originals.begin()
    assert _found(originals, "def\n", documents=False)[0].characters == 0
