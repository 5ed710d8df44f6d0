"""Tokens that are too many for the memory lie in a file that nobody sees."""

import os

import numpy as np
import pytest
from commands import invoke
from trained import DINOSAURS, FABLES

from charrnn.config import TextConfig
from charrnn.errors import CorpusError
from charrnn.storage.checkpoint import load_model
from charrnn.text import room
from charrnn.text.corpus import read_corpus
from charrnn.text.dataset import read_dataset


@pytest.fixture
def little_memory(monkeypatch):
    """A machine whose memory holds no text of more than 1,000 bytes."""
    monkeypatch.setattr(room, "memory_size", lambda: 4000)


def _mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


def test_the_memory_is_that_of_the_machine_or_of_its_container(tmp_path, monkeypatch):
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 2**26 < room.memory_size() <= machine
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(room, "_CONTAINER_LIMITS", (str(limit),))
    assert room.memory_size() == machine  # there is no such file
    for written, size in (("max\n", machine), (f"{2**28}\n", 2**28), (f"{2**62}\n", machine)):
        limit.write_text(written)
        assert room.memory_size() == size
    monkeypatch.setattr("sys.platform", "win32")  # which does not tell in this way
    limit.unlink()
    assert room.memory_size() == 4 * 2**30


@pytest.mark.parametrize("lines", [False, True])
def test_a_text_in_a_file_is_split_as_one_in_memory(lines, monkeypatch, tmp_path):
    text = TextConfig(lines=lines)
    whole = read_dataset([str(DINOSAURS)], text, rng=np.random.default_rng(1))
    monkeypatch.setattr(room, "memory_size", lambda: 4000)
    with room.room_in(tmp_path):
        kept = read_dataset([str(DINOSAURS)], text, rng=np.random.default_rng(1))
    assert list(tmp_path.iterdir()) == []
    for one, other in ((whole.training, kept.training), (whole.validation, kept.validation)):
        assert not _mapped(one.tokens) and _mapped(other.tokens)
        assert type(other.tokens) is np.ndarray
        np.testing.assert_array_equal(one.tokens, other.tokens)


def test_without_posix_it_is_written_with_zeros(little_memory, monkeypatch, tmp_path):
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.setattr(room, "_BLOCK", 100)
    with room.room_in(tmp_path):
        array = room.room_for(1001, np.dtype(np.uint16))
    assert _mapped(array) and array.shape == (1001,) and not array.any()
    array[-1] = 5


def test_a_run_learns_the_same_from_a_file(little_memory, tmp_path):
    def trained(name):
        options = ("--steps", 3, "--hidden-size", 8, "--batch-size", 4, "--sequence-length", 8)
        result = invoke("train", FABLES, "--model", tmp_path / name, *options)
        assert result.exit_code == 0, result.stderr
        return load_model(tmp_path / name).tensors

    kept = trained("kept.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "memory_size", lambda: 2**40)
        whole = trained("whole.safetensors")
    for name, tensor in whole.items():
        np.testing.assert_array_equal(tensor, kept[name])
    assert sorted(p.name.split(".")[0] for p in tmp_path.iterdir() if p.suffix != ".lock")


def test_where_there_is_no_room_it_is_said(little_memory, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    model = tmp_path / "model.safetensors"
    result = invoke("train", FABLES, "--model", model)
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
    assert f"cannot be kept in {tmp_path} (No space left on device)" in result.stderr
    assert "name a model in another folder" in result.stderr
    with pytest.raises(CorpusError, match="set TMPDIR to another folder"):
        read_corpus([FABLES])
