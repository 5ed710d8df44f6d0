"""Compression: any bytes come back, codes are as short as the model is good, damage is told."""

import contextlib
import functools
import itertools
import math
import struct
import zlib

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from subprocesses import python
from test_bfloat16 import needs_bfloat16
from test_target import AVX2, NUMBA_SETTINGS, X86
from trained import DINOSAURS, FABLES, dinosaurs, fables, language_model, with_biases

from charrnn.compute import target, threads
from charrnn.compute.cache import kernel
from charrnn.compute.coding import (
    _narrow,
    code_to_read,
    code_to_write,
    finished,
    is_understood,
)
from charrnn.errors import CompressionError, UsageError
from charrnn.inference import compression
from charrnn.inference.compression import compress, decompress
from charrnn.inference.language_model import load
from charrnn.storage.checkpoint import save_model
from charrnn.text.vocabulary import START
from charrnn.training.adaptation import evaluate_adapting
from charrnn.training.evaluation import evaluate

TEXT = FABLES.read_bytes()
HEADER = compression._HEADER.size + compression._CRC.size


@functools.cache
def _model():
    return language_model(fables())


TEXTS = st.text(st.sampled_from(["a", " ", "x", "\0", "\r", "é", "漢", "\U0010ffff"]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.binary(), TEXTS.map(str.encode))).map(b"".join), st.integers(1, 5))
@example(b"", 1)
@example(b"a", 64)
@example(b"\0\0\0", 2)
@example(b"\xed\xa0\x80\xed\xb3\xbf", 1)  # surrogates as bytes, which are no UTF-8
@example("\ufeffx\udc80".encode("utf-8", "surrogateescape"), 1)
@example(b"\xf0\x9f\x98", 3)
def test_any_bytes_come_back(data, streams):
    compressed = compress(_model(), data, streams=streams)
    assert decompress(_model(), compressed) == data
    assert len(compressed) <= HEADER + len(data)


@pytest.mark.parametrize("characters", ["a", "abc", "".join(map(chr, range(0x4E00, 0x4E00 + 700)))])
def test_vocabularies_of_every_size(characters):
    model = language_model(with_biases(characters, biases=[(0, 50.0), (1, 40.0)]))
    for data in (characters.encode() * 3, b"abc" * 40, bytes(range(256))):
        for streams in (1, 3):
            assert decompress(model, compress(model, data, streams=streams)) == data


def test_the_code_is_as_short_as_the_model_is_good():
    text = TEXT[:30_000].decode()
    bits = _model().evaluate(text).nats / math.log(2)
    size = {n: len(compress(_model(), text.encode(), streams=n)) for n in (1, 16)}
    assert 8 * size[1] == pytest.approx(bits, rel=0.001, abs=8 * 60)
    assert size[1] < size[16] < size[1] + 16 * 20


NAMES = DINOSAURS.read_bytes()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([b"Tyrannus", b"\n", b"\r\n", b"a", b"\xff", b""])).map(b"".join),
       st.integers(1, 3))  # fmt: skip
@example(b"\n", 1)
@example(b"\n\n\na\n", 2)
def test_any_lines_come_back(data, streams):
    model = language_model(dinosaurs())
    for adapt in (False, True)[: 2 if streams == 1 else 1]:
        assert decompress(model, compress(model, data, streams=streams, adapt=adapt)) == data


@pytest.mark.parametrize("adapt", [False, True])
def test_lines_that_are_documents_are_coded_as_such(adapt):
    """As well as the model foretells each of them, which begins anew."""
    model = language_model(dinosaurs())
    lines = NAMES.decode()[:3000].rpartition("\n")[0] + "\n"
    tokens = model.vocabulary.encode(lines)
    tokens[np.array(list(lines)) == "\n"] = START
    measure = evaluate_adapting if adapt else evaluate
    bits = measure(model.network, np.concatenate([[START], tokens])).nats / math.log(2)
    size = len(compress(model, lines.encode(), streams=1, adapt=adapt)) - HEADER
    assert abs(size - bits / 8) < 0.005 * size + 8


def test_streams_follow_from_the_length():
    streams_of = functools.partial(compression._streams, None, adapt=False)
    assert [streams_of(n) for n in (0, 1, 16383, 16384, 10**9)] == [0, 1, 1, 2, 64]
    assert compression._streams(None, 10**9, adapt=True) == 1


def test_it_is_told_how_far_coding_is():
    told = []
    compressed = compress(
        _model(), TEXT[:1000], streams=2, watcher=lambda done, total: told.append((done, total))
    )
    assert told == [(256, 500), (500, 500)]
    told.clear()
    decompress(_model(), compressed, lambda done, total: told.append((done, total)))
    assert told == [(256, 500), (500, 500)]


def test_unknown_characters_become_expected():
    """The first may cost as much as 30 bits more; later ones little more than their number."""
    data = "漢".encode() * 1000
    assert len(compress(_model(), data)) < HEADER + 4 + 1000 * 20.1 / 8 + 40
    known = len(compress(_model(), TEXT[:1000]))
    assert len(compress(_model(), TEXT[:1000] + data[:3])) < known + 12


def test_any_number_of_threads_gives_the_same_bytes(monkeypatch):
    monkeypatch.setattr(threads, "available_threads", lambda: 3)
    data = TEXT[:2000] + b"\xff" + "é".encode()
    for options in ({"streams": 1}, {"streams": 5}, {"adapt": True}):
        models = [language_model(fables(), threads=n) for n in (1, 2, 3)]
        first, *others = [compress(model, data, **options) for model in models]
        assert others == [first, first]
        assert decompress(models[2], first) == data


def test_adapting_learns_and_leaves_the_model_as_it_is():
    model, data = language_model(fables()), b"zebra quiz, " * 100
    before = model.network.values.copy()
    plain, adapted = compress(model, data, streams=1), compress(model, data, adapt=True)
    assert len(adapted) < 0.9 * len(plain)
    assert decompress(model, adapted) == data
    np.testing.assert_array_equal(model.network.values, before)
    nats = model.evaluate(data.decode(), adapt=True).nats
    # The first character of a piece is predicted before what the piece before it taught.
    assert 8 * (len(adapted) - HEADER) == pytest.approx(nats / math.log(2), rel=0.05)


@pytest.mark.processors
@pytest.mark.skipif(
    not X86 or not llvm.get_host_cpu_features().get("avx2"), reason="this machine has no AVX2"
)
def test_other_registers_make_the_same_bytes(tmp_path):
    """Registers that are half as wide, where this processor has wide ones."""
    if target.VECTOR_BYTES == 32:
        pytest.skip("this process itself has registers of 32 bytes")
    saved = with_biases("abcdefghijklmnop", cell="elman", hidden_size=20, layers=2)
    rng = np.random.default_rng(1)
    saved.tensors.update({n: rng.normal(0, 0.5, t.shape).astype(np.float32)
                          for n, t in saved.tensors.items()})  # fmt: skip
    save_model(tmp_path / "model", saved)
    (tmp_path / "text").write_bytes(TEXT[:3000] + b"\xff")
    script = (
        "import pathlib, charrnn; from charrnn.inference.compression import *\n"
        "text = pathlib.Path('text').read_bytes(); model = charrnn.load('model')\n"
        "print(compress(model, text, streams=3).hex())"
    )
    found = python("-c", script, without=NUMBA_SETTINGS, cwd=tmp_path, **AVX2)
    expected = compress(language_model(saved), TEXT[:3000] + b"\xff", streams=3)
    assert bytes.fromhex(found) == expected


# --- damage ------------------------------------------------------------------------------------


def _with_header(data, **changes):
    """Compressed text whose header says something else, and has the CRC that fits."""
    header, body = compression._read_header(data)
    changed = compression._HEADER.pack(*header._replace(**changes))
    return changed + struct.pack("<I", zlib.crc32(changed)) + body


def test_every_change_of_a_byte_and_every_cut_is_told():
    """But of a last byte's last bits: any number in the last interval names the same text."""
    data = compress(_model(), TEXT[:300], streams=2)
    assert len(data) < 300
    sizes = struct.unpack_from("<2I", data, HEADER)
    last_bytes = {len(data) - 1 - sizes[1], len(data) - 1}
    for at in range(len(data)):
        for mask in (1, 0xFF):
            broken = bytearray(data)
            broken[at] ^= mask
            if at in last_bytes and mask == 1:
                with contextlib.suppress(CompressionError):
                    assert decompress(_model(), bytes(broken)) == TEXT[:300]
                continue
            with pytest.raises(CompressionError):
                decompress(_model(), bytes(broken))
        with pytest.raises(CompressionError):
            decompress(_model(), data[:at])
    for more in (b"\0", data):
        with pytest.raises(CompressionError):
            decompress(_model(), data + more)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2**64 - 1), st.integers(0, 64), st.booleans())
@example(b"\x55" * 20, 2**64 - 1, 2, True)
@example(b"\x55" * 20, 2**61, 2, True)
def test_what_makes_no_sense_behind_a_good_header_is_told(body, characters, streams, whole):
    """Whatever it promises, no more is made than its bytes tell of."""
    if whole and streams:  # the table of sizes is right too
        body = struct.pack(f"<{streams}I", *[0] * (streams - 1), len(body)) + body
    sound = compress(_model(), TEXT[:100])[:HEADER]
    broken = _with_header(sound, characters=characters, streams=streams, size=characters, crc=1)
    with pytest.raises(CompressionError, match=r"damaged"):
        decompress(_model(), broken + body)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"magic": b"PK\3\4"}, "no compressed text"),
        ({"version": 9}, "version 9, this charrnn reads version 1"),
        ({"model": bytes(range(8))}, "0001020304050607"),
        ({"arithmetic": 1}, "arithmetic differs"),
        ({"size": 301}, "damaged"),
        ({"crc": 1}, "damaged"),
        ({"flags": compression._ADAPTS, "streams": 2}, "damaged"),
    ],
)
def test_each_fault_has_its_words(changes, words):
    broken = _with_header(compress(_model(), TEXT[:300]), **changes)
    with pytest.raises(CompressionError, match=words):
        decompress(_model(), broken)


def test_another_model_is_told_by_its_checksum():
    other = language_model(with_biases("ab"))
    compressed = compress(_model(), TEXT[:300])
    with pytest.raises(CompressionError) as raised:
        decompress(other, compressed)
    for model in (_model(), other):
        assert compression._identity(model).hex() in str(raised.value)


@needs_bfloat16
def test_bfloat16_is_refused(tmp_path):
    save_model(tmp_path / "model", fables())
    model = load(tmp_path / "model", precision="bfloat16")
    for wrong in (compress, decompress):
        with pytest.raises(UsageError, match="`precision` float32"):
            wrong(model, b"abc")


@pytest.mark.parametrize("options", [{"streams": 0}, {"streams": 65}, {"streams": 1.5},
                                     {"streams": 2, "adapt": True}])  # fmt: skip
def test_options_out_of_range(options):
    with pytest.raises(UsageError, match="streams"):
        compress(_model(), b"abc", **options)


# --- the coder ---------------------------------------------------------------------------------


@kernel
def _narrow_all(code, writes, shares):
    for n in range(shares.shape[0]):
        _narrow(code, writes, 0, shares[n, 0], shares[n, 1], shares[n, 2])


def _coded(shares):
    code = code_to_write(1, len(shares))
    _narrow_all(code, True, np.array(shares, np.uint64).reshape(-1, 3))
    return finished(code)[0]


def _twin(shares):
    """The same with numbers of any length, in which nothing has to be carried."""
    low, width, size = 0, 2**64 - 1, 0
    for first, weight, total in shares:
        step = width // total
        low, width = low + step * first, step * weight
        while width < 2**56:
            low, width, size = low << 8, width << 8, size + 1
    return ((low + 2**56 - 1) >> 56).to_bytes(size + 1, "big")


@st.composite
def _shares(draw):
    total = draw(st.integers(1, 2**55))
    first = draw(st.one_of(st.integers(0, total - 1), st.just(total - 1), st.just(total // 2)))
    return first, draw(st.integers(1, total - first)), total


@settings(max_examples=100, deadline=None)
@given(st.lists(_shares(), max_size=40))
@example([(1, 1, 3)] * 30 + [(2, 1, 3)])  # 0.0111… until the last one carries through all of it
@example([(1, 1, 3)] * 30 + [(0, 1, 3)])
@example([(2**55 - 1, 1, 2**55)] * 20)
def test_codes_are_those_of_the_twin_and_are_read_to_their_ends(shares):
    code = _coded(shares)
    assert code == _twin(shares)
    reading = code_to_read([code])
    for share in shares:
        first, weight, total = share
        place = int(reading.low[0]) // (int(reading.width[0]) // total)
        assert first <= place < first + weight
        _narrow_all(reading, False, np.array([share], np.uint64))
    assert is_understood(reading)


def test_carries_do_happen():
    tail = [[(1, 1, 3)] * 30 + [(last, 1, 3)] for last in (0, 2)]
    below, above = map(_coded, tail)
    assert below[:5] == b"\x7f" + b"\xff" * 4
    assert above[:5] == b"\x80" + b"\0" * 4


def test_equal_texts_beside_others_have_equal_codes():
    """A stream's code is that of its text alone."""
    part = TEXT[100:600]
    for order in itertools.permutations([part, TEXT[700:1200], TEXT[1300:1800]]):
        data = compress(_model(), b"".join(order), streams=3)
        codes = compression._codes(*reversed(compression._read_header(data)))
        alone = compress(_model(), part, streams=1)[HEADER + 4 :]
        assert codes[order.index(part)] == alone
