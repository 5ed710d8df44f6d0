"""``charrnn export``: what a page holds of a model, and where it is written."""

import base64
import dataclasses
import json
import re

import numpy as np
import pytest
from commands import assert_one_line_error, execute, invoke
from trained import language_model, told_writer, with_biases

from charrnn.config import PAGE_PRECISIONS
from charrnn.errors import UsageError
from charrnn.network.parameters import parameter_shapes
from charrnn.pages.rounding import rounded, stored
from charrnn.pages.writing import page_of
from charrnn.storage.checkpoint import SavedModel, load_model, save_model
from charrnn.text.vocabulary import Vocabulary

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("precision", PAGE_PRECISIONS)
def test_matrices_are_kept_as_close_as_the_precision_is(precision):
    matrix = RNG.normal(0, [[1.0], [1e-3], [50.0]], (3, 40)).astype(np.float32)
    own = stored(matrix, precision)
    assert own.values.dtype == precision and own.tensor.dtype == np.float32
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    bound = {
        "float32": 0,
        "float16": np.maximum(2.0**-11 * np.abs(matrix), 2.0**-25),  # half of the last digit
        "int8": largest / 127 * 0.5001,
    }[precision]
    assert (np.abs(own.tensor - matrix) <= bound).all()


@pytest.mark.parametrize("precision", PAGE_PRECISIONS)
def test_vectors_are_kept_as_they_are(precision):
    vector = RNG.normal(size=30).astype(np.float32)
    np.testing.assert_array_equal(stored(vector, precision).tensor, vector)


def test_a_row_of_zeros_and_one_of_next_to_nothing_stay_numbers():
    matrix = np.zeros((2, 3), np.float32)
    matrix[1, 0] = 1e-44
    np.testing.assert_array_equal(stored(matrix, "int8").tensor, np.zeros((2, 3)))


def test_what_was_rounded_stays_as_it_is():
    matrix = RNG.normal(size=(5, 9)).astype(np.float32)
    for precision in PAGE_PRECISIONS:
        once = stored(matrix, precision).tensor
        np.testing.assert_allclose(stored(once, precision).tensor, once, rtol=1e-6)


def test_weights_too_large_for_float16_are_refused():
    model = _with_matrices(1e5)
    with pytest.raises(UsageError, match="too large for float16: give another `precision`"):
        rounded(model, "float16")
    assert np.isfinite(rounded(model, "int8").tensors["readout.weight"]).all()


def test_the_rounded_model_is_one_that_can_be_saved(tmp_path):
    model = rounded(_with_matrices(1.0), "int8")
    save_model(tmp_path / "model", model)
    loaded = load_model(tmp_path / "model")
    for name, tensor in model.tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], tensor)


def _with_matrices(scale) -> SavedModel:
    """A model whose weights are random."""
    model = with_biases("abcdef", documents=2)
    for name, shape in parameter_shapes(model.config).items():
        model.tensors[name] = (scale * RNG.normal(size=shape)).astype(np.float32)
    return model


def _held(page):
    """What a page holds of its model."""
    return json.loads(
        re.search(r'<script type="application/json" id="model">(.*?)</script>', page)[1]
    )


def test_a_page_holds_the_tensors_by_their_names():
    model = _with_matrices(1.0)
    held = _held(page_of(model, "float16", title="x"))["tensors"]
    assert list(held) == list(model.tensors)
    for name, own in held.items():
        values = np.frombuffer(base64.b64decode(own["values"]), np.dtype(own["type"]))
        expected = rounded(model, "float16").tensors[name]
        np.testing.assert_array_equal(values.reshape(own["shape"]).astype(np.float32), expected)


def test_a_page_is_one_file_that_names_no_other():
    page = page_of(told_writer(), "int8", title="x")
    for attribute in ("src=", "href=", "@import", "url(", "http:", "https:", "eval("):
        assert attribute not in page
    assert "default-src 'none'" in page


def test_markup_in_a_model_is_none_in_its_page():
    model = with_biases("</script>!-\N{LINE SEPARATOR}", documents=2)
    page = page_of(model, "int8", title="</title><script>alert(1)</script>")
    plain = page_of(with_biases("abc"), "int8", title="x")
    for tag in ("<script", "</script", "<title", "<!--", "\N{LINE SEPARATOR}"):
        assert page.lower().count(tag) == plain.lower().count(tag)
    assert _held(page)["characters"] == model.vocabulary.characters


def test_only_names_of_files_are_told_not_where_they_lay():
    model = with_biases("ab")
    model.training["corpus"] = ["/home/ada/diary/poems.txt", "C:\\Users\\ada\\prose.txt", "-"]
    about = dict(_held(page_of(model, "int8", title="x"))["about"])
    assert about["Learned from"] == "poems.txt, prose.txt, -"


# The command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a model."""
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "model.safetensors", _with_matrices(0.5))
    return tmp_path


def test_a_page_is_written_and_its_size_told(folder):
    done = invoke("export", "tales.html")
    page = (folder / "tales.html").read_bytes()
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"tales.html: {len(page):,} bytes, matrices as int8\n"
    assert _held(page.decode())["title"] == "tales"


def test_the_loss_is_told_before_and_after(folder):
    (folder / "text.txt").write_text("abcabcfed", encoding="utf-8")
    done = invoke("export", "a.html", "--text", "text.txt", "--precision", "int8")
    model = load_model(folder / "model.safetensors")
    before, after = (
        language_model(own).evaluate("abcabcfed").nats_per_character
        for own in (model, rounded(model, "int8"))
    )
    assert before != after
    told = f"{before:.4f} nats per character by the model, {after:.4f} by the page"
    assert done.stderr.splitlines()[-1] == told
    about = dict(_held((folder / "a.html").read_text("utf-8"))["about"])
    assert about["Loss"] == f"{before:.4f} nats per character, {after:.4f} in this page"


def test_a_loss_is_measured_with_the_labels_of_a_text(folder):
    save_model(folder / "told", told_writer())
    (folder / "austen").write_text("abc", encoding="utf-8")
    done = invoke("export", "a.html", "--model", "told", "--text", "austen")
    assert done.exit_code == 0 and "nats per character by the model" in done.stderr


def test_standard_output_takes_a_page(folder):
    done = execute("export", "-", cwd=folder)
    assert done.returncode == 0 and done.stdout.startswith(b"<!DOCTYPE html>")
    assert _held(done.stdout.decode())["title"] == "model"


def test_what_is_there_is_not_overwritten_unless_forced(folder):
    (folder / "a.html").write_text("mine")
    assert_one_line_error(invoke("export", "a.html"), 1, "a.html is there already", "--force")
    assert (folder / "a.html").read_text() == "mine"
    assert invoke("export", "a.html", "--force").exit_code == 0
    assert (folder / "a.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_what_is_no_page_is_refused_before_the_work(folder):
    before = (folder / "model.safetensors").read_bytes()
    done = invoke("export", "model.safetensors", "--force")
    assert_one_line_error(done, 2, "model.safetensors is no name of a page", ".html")
    assert (folder / "model.safetensors").read_bytes() == before
    (folder / "text.html").write_text("abc")
    done = invoke("export", "text.html", "--force", "--text", "text.html")
    assert_one_line_error(done, 2, "the same file as the text text.html")
    assert_one_line_error(invoke("export", "none/a.html"), 1, "its folder is not there")


def test_models_that_read_are_refused(folder):
    config = dataclasses.replace(with_biases("ab").config, task="label", classes=2)
    tensors = {n: np.zeros(shape, np.float32) for n, shape in parameter_shapes(config).items()}
    save_model(folder / "reader", SavedModel(config, Vocabulary("ab"), tensors, {}, ("a", "b")))
    done = invoke("export", "a.html", "--model", "reader")
    assert_one_line_error(done, 2, "reader writes no text, it tells labels", "charrnn apply")
    assert not (folder / "a.html").exists()


def test_a_text_that_is_not_there_costs_nothing(folder):
    done = invoke("export", "a.html", "--text", "missing.txt")
    assert_one_line_error(done, 1, "missing.txt")
    assert not (folder / "a.html").exists()


def test_a_trained_model_becomes_a_page_without_numba(folder):
    """So that it is there at once."""
    code = (
        "import sys; from charrnn.cli.main import main; "
        "main(['export', 'a.html'], standalone_mode=False); print('numba' in sys.modules)"
    )
    done = execute("-c", code, program=(), cwd=folder)
    assert done.stdout == b"False\n"
