"""Files become tokens without loss, whatever their bytes and wherever a chunk ends."""

import io
import itertools
import os
import re
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.errors import CorpusError, UsageError
from charrnn.text import corpus as corpus_module
from charrnn.text.corpus import Corpus, frame, read_corpus, split
from charrnn.text.running import Lanes
from charrnn.text.vocabulary import END, START, UNKNOWN, Vocabulary

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"

BYTE_ORDER_MARK = "\ufeff"

#: Texts rich in what a chunk's end could break: line ends, and characters of 1 to 4 bytes.
texts = st.text(st.sampled_from("ab\r\n\r\n\x85\u2028é漢😀\ufeff\x00"), max_size=30).map(
    lambda text: text.lstrip(BYTE_ORDER_MARK)
)
chunks = st.integers(1, 9)
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030"])


def _real(name):
    path = CORPORA / name
    if not path.exists():
        pytest.skip(f"{path} is missing")
    return path


def _written(folder, *contents):
    """Files with the given bytes, or with the given text in UTF-8."""
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"{number}.txt")
        paths[-1].write_bytes(content.encode() if isinstance(content, str) else content)
    return paths


def _documents(corpus, tokens=None):
    """The texts of all documents; an unfinished one and an empty one show as they are."""
    tokens = corpus.tokens if tokens is None else tokens
    assert tokens[0] == tokens[-1] == START
    starts = np.flatnonzero(tokens == START)
    return [corpus.vocabulary.decode(tokens[a + 1 : b]) for a, b in itertools.pairwise(starts)]


def _lines(text):
    """Universal newlines, by other means than the module's."""
    return [line for line in re.split("\r\n|\r|\n", text) if line]


def _corpus_of(documents):
    """A corpus in memory, made the slow way."""
    text = "".join(documents)
    vocabulary = Vocabulary("".join(sorted(set(text))))
    parts = [part for document in documents for part in ([START], vocabulary.encode(document))]
    tokens = np.concatenate([*parts, [START]]).astype(vocabulary.dtype)
    return Corpus(vocabulary, tokens, len(text), len(documents), 0, (tokens.size - 1,))


# Reading


@settings(deadline=None)
@given(
    st.lists(texts, min_size=1, max_size=4), encodings, chunks,
    st.booleans(), st.booleans(), st.sampled_from(["", BYTE_ORDER_MARK]),
)  # fmt: skip
def test_every_text_is_read_whole_in_chunks_of_any_size(
    contents, encoding, chunk, lines, normalize, mark
):
    if lines:
        expected = [line for text in contents for line in _lines(text)]
    elif normalize:
        expected = [re.sub("\r\n|\r", "\n", text) for text in contents if text]
    else:
        expected = [text for text in contents if text]
    options = {"lines": lines, "encoding": encoding, "normalize_newlines": normalize}
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(corpus_module, "CHUNK", chunk):
        paths = _written(Path(folder), *((mark + text).encode(encoding) for text in contents))
        if not expected:
            with pytest.raises(CorpusError, match="no characters"):
                read_corpus(paths, **options)
            return
        corpus = read_corpus(paths, **options)
    assert _documents(corpus) == expected
    assert corpus.documents == len(expected)
    assert corpus.characters == sum(map(len, expected))
    assert corpus.unknown == 0
    assert corpus.vocabulary.characters == "".join(sorted(set("".join(expected))))
    assert corpus.tokens.dtype == corpus.vocabulary.dtype


@settings(deadline=None)
@given(texts, chunks, st.integers(1, 3), st.booleans())
def test_rare_characters_are_unknown(text, chunk, min_count, lines):
    seen = "".join(_lines(text)) if lines else text
    kept = {c for c in seen if seen.count(c) >= min_count}
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(corpus_module, "CHUNK", chunk):
        paths = _written(Path(folder), text)
        if not kept:
            with pytest.raises(CorpusError, match="`min_count`" if seen else "no characters"):
                read_corpus(paths, min_count=min_count, lines=lines)
            return
        corpus = read_corpus(paths, min_count=min_count, lines=lines)
    assert set(corpus.vocabulary.characters) == kept
    assert corpus.unknown == sum(c not in kept for c in seen)
    assert corpus.unknown == np.count_nonzero(corpus.tokens == UNKNOWN)


def test_what_a_given_vocabulary_lacks_is_unknown(tmp_path):
    paths = _written(tmp_path, "abc\n\ncab\n")
    vocabulary = Vocabulary("\nab")
    whole = read_corpus(paths, vocabulary=vocabulary)
    assert whole.vocabulary is vocabulary
    assert (whole.characters, whole.unknown, whole.documents) == (9, 2, 1)
    by_line = read_corpus(paths, vocabulary=vocabulary, lines=True)
    assert _documents(by_line) == ["ab\ufffd", "\ufffdab"]
    assert (by_line.characters, by_line.unknown, by_line.documents) == (6, 2, 2)


def test_a_byte_order_mark_is_dropped_from_every_file_but_only_from_its_beginning(tmp_path):
    paths = _written(tmp_path, "\ufeffab\ufeffc", "\ufeffd", "\ufeff")
    assert _documents(read_corpus(paths)) == ["ab\ufeffc", "d"]


def test_newlines_are_kept_unless_told(tmp_path):
    paths = _written(tmp_path, "a\r\nb\rc\n")
    assert _documents(read_corpus(paths)) == ["a\r\nb\rc\n"]
    assert _documents(read_corpus(paths, normalize_newlines=True)) == ["a\nb\nc\n"]


def test_lines_of_several_files(tmp_path):
    paths = _written(tmp_path, "\n\na\r\n\r\nbc\n", "", "\n", "d", "e\rf")
    assert _documents(read_corpus(paths, lines=True)) == ["a", "bc", "d", "e", "f"]


def test_literal_tokens_and_control_characters_are_text(tmp_path):
    text = "<start><unk>\x00\x01\x02\x03\x1b[0m<end>"
    corpus = read_corpus(_written(tmp_path, text))
    assert _documents(corpus) == [text]
    assert corpus.tokens.tolist().count(START) == 2


def test_latin_1(tmp_path):
    paths = _written(tmp_path, bytes(range(256)))
    assert _documents(read_corpus(paths, encoding="latin-1")) == ["".join(map(chr, range(256)))]


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 1 << 18])
@pytest.mark.parametrize(
    ("data", "encoding", "offset"),
    [
        (b"\xffabc", "utf-8", 0),
        (b"abc\xff", "utf-8", 3),
        ("漢字".encode() + b"\xe6\xbcx", "utf-8", 6),
        ("a😀".encode()[:-1], "utf-8", 1),
        (b"\xef\xbb\xbfab\xc3(", "utf-8", 5),
        (b"a\r\xff", "utf-8", 2),
        (b"\xff\xfea\0\0\xdcb\0", "utf-16", 4),
        (b"abc\x80", "ascii", 3),
        ("漢".encode("gb18030") + b"ab\xff", "gb18030", 4),
    ],
)
def test_the_first_bad_byte_is_named(tmp_path, monkeypatch, data, encoding, offset, chunk):
    monkeypatch.setattr(corpus_module, "CHUNK", chunk)
    good, bad = _written(tmp_path, b"ab", data)
    pattern = rf"1\.txt.*{encoding}.*byte 0x{data[offset]:02x} at offset {offset} .*`encoding`"
    for lines in (False, True):
        with pytest.raises(CorpusError, match=pattern):
            read_corpus(
                [good, bad] if encoding != "utf-16" else [bad], encoding=encoding, lines=lines
            )


def test_lone_surrogates_are_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"U\+D800.*`encoding`"):
        read_corpus(_written(tmp_path, rb"ab\ud800"), encoding="unicode_escape")


@pytest.mark.parametrize("encoding", ["nonsense", "hex", "rot13", "", "a\0b", "locale"])
def test_an_encoding_that_there_is_not(tmp_path, encoding):
    with pytest.raises(UsageError, match="`encoding`"):
        read_corpus(_written(tmp_path, "ab"), encoding=encoding)


# Standard input and other sources


def _stdin(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_standard_input_among_files(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(corpus_module, "CHUNK", chunk)
    _stdin(monkeypatch, "é\r\n漢".encode())
    first, last = _written(tmp_path, "a", "b")
    assert _documents(read_corpus([first, "-", last])) == ["a", "é\r\n漢", "b"]


def test_standard_input_only_once(monkeypatch):
    _stdin(monkeypatch, b"ab")
    with pytest.raises(UsageError, match="only once"):
        read_corpus(["-", Path("-")])


def test_standard_input_that_is_empty_or_closed(monkeypatch):
    _stdin(monkeypatch, b"")
    with pytest.raises(CorpusError, match="no characters in standard input"):
        read_corpus(["-"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CorpusError, match="no characters in standard input"):
        read_corpus(["-"])


def test_a_pipe_is_utf_8_whatever_the_locale():
    script = (
        "from charrnn.text.corpus import read_corpus\n"
        "print(ascii(read_corpus(['-']).vocabulary.characters))"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    root = Path(corpus_module.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], input="é漢".encode(), capture_output=True, check=True,
        env=environment, cwd=root,
    )  # fmt: skip
    assert done.stdout.decode().strip() == ascii("é漢")


def test_a_named_pipe_is_read_once_for_both_passes(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"abc\n" * 50_000,))
    writer.start()
    corpus = read_corpus([pipe], lines=True)
    writer.join()
    assert (corpus.documents, corpus.characters) == (50_000, 150_000)


def test_temporary_files_are_gone_afterwards(tmp_path, monkeypatch):
    opened = []

    def opening(*args, file=tempfile.TemporaryFile):
        opened.append(file(*args))
        return opened[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", opening)
    for data in (b"ab", b"\xff"):
        _stdin(monkeypatch, data)
        try:
            read_corpus(["-"])
        except CorpusError:
            assert data == b"\xff"
    assert [file.closed for file in opened] == [True, True]


def test_no_room_for_standard_input(monkeypatch):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full.open("w+b"))
    _stdin(monkeypatch, b"ab")
    with pytest.raises(CorpusError, match=r"No space left.*TMPDIR"):
        read_corpus(["-"])


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match=r"absent\.txt.*check the path"):
        read_corpus([tmp_path / "absent.txt"])
    with pytest.raises(CorpusError, match="folder"):
        read_corpus([tmp_path])
    with pytest.raises(CorpusError, match="cannot read"):
        read_corpus(["a" * 5000])
    paths = _written(tmp_path, "ab")
    # Root may read everything, so that a file's mode would not do.
    monkeypatch.setattr(
        Path, "open", mock.Mock(side_effect=PermissionError(13, "Permission denied"))
    )
    with pytest.raises(CorpusError, match="permissions"):
        read_corpus(paths)


def test_a_read_that_fails_halfway():
    memory = Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip(f"there is no {memory}")
    with pytest.raises(CorpusError, match="cannot read '/proc/self/mem'"):
        read_corpus([memory])


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(
    "content", ["a\nbcd\n\ne", "a\nb\n", "a\nb\nc\nd", "", "\n", "a\nb\nc\n\xff"]
)
@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_a_file_that_changes_between_the_passes(tmp_path, monkeypatch, content, lines, chunk):
    monkeypatch.setattr(corpus_module, "CHUNK", chunk)
    paths = _written(tmp_path, "x", "a\nb\nc\n", "y")
    from_counts = Vocabulary.from_counts

    def changing(*arguments):
        paths[1].write_text(content)
        return from_counts(*arguments)

    monkeypatch.setattr(Vocabulary, "from_counts", changing)
    with pytest.raises(CorpusError, match=r"1\.txt' changed while it was read"):
        read_corpus(paths, lines=lines)


def test_a_file_that_vanishes_between_the_passes(tmp_path, monkeypatch):
    (path,) = _written(tmp_path, "ab")
    monkeypatch.setattr(Vocabulary, "from_counts", lambda *_: path.unlink() or Vocabulary("ab"))
    with pytest.raises(CorpusError, match="check the path"):
        read_corpus([path])


def test_no_text_at_all(tmp_path):
    for lines, contents in [(False, ["", "\ufeff"]), (True, ["\n\r\n", ""]), (False, [])]:
        with pytest.raises(CorpusError, match="no characters in the"):
            read_corpus(_written(tmp_path, *contents), lines=lines)


# Real corpora


def test_shakespeare():
    path = _real("shakespeare.txt")
    corpus = read_corpus([path])
    assert (corpus.characters, len(corpus.vocabulary.characters)) == (1_115_394, 65)
    assert _documents(corpus) == [path.read_text(encoding="utf-8")]


def test_names():
    path = _real("names.txt")
    corpus = read_corpus([path], lines=True)
    assert (corpus.documents, len(corpus.vocabulary.characters)) == (32_033, 26)
    assert _documents(corpus) == path.read_text(encoding="utf-8").split()


def test_tang():
    path = _real("tang.txt")
    corpus, frequent = read_corpus([path]), read_corpus([path], min_count=5)
    assert (corpus.characters, len(corpus.vocabulary.characters)) == (942_681, 5387)
    assert len(frequent.vocabulary.characters) == 5387 - 1639
    assert 0 < frequent.unknown < 5 * 1639


# Memory


def _measured(work):
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _large(tmp_path, distinct, line):
    """About 20 MB, mostly ASCII, in lines of ``line`` characters, with so many distinct ones."""
    letters = np.random.default_rng(1).integers(
        97, 123, (20_000_000 // (line + 1), line + 1), np.uint8
    )
    letters[:, -1] = 10
    rare = "\n".join(map(chr, range(0x4E00, 0x4E00 + distinct)))
    (path,) = _written(tmp_path, letters.tobytes() + rare.encode())
    return path


@pytest.mark.parametrize(
    ("distinct", "line", "lines", "factor"),
    [
        (0, 60, False, 2),
        (0, 60, True, 2),
        (300, 60, False, 3),
        (300, 60, True, 3),
        (300, 4, True, 3),
    ],
)
def test_memory_is_below_three_bytes_a_byte(tmp_path, distinct, line, lines, factor):
    path = _large(tmp_path, distinct, line)

    def work():
        corpus = read_corpus([path], lines=lines)
        return split(corpus, 0.1, rng=np.random.default_rng(0))

    (training, validation), peak = _measured(work)
    assert peak < factor * path.stat().st_size
    assert 0.09 < validation.size / (training.size + validation.size) < 0.11


# Splitting


@settings(deadline=None)
@given(st.text(min_size=1, max_size=300), st.floats(0, 0.9) | st.just(1.0))
def test_one_document_is_cut_once(text, fraction):
    corpus = _corpus_of([text])
    before = corpus.tokens.copy()
    training, validation = split(corpus, fraction, rng=np.random.default_rng(0))
    assert np.array_equal(corpus.tokens, before)
    wanted = round(len(text) * fraction)
    if wanted < 16 or len(text) + 1 - wanted < 2:
        assert validation.size == 0
        assert np.array_equal(training, before)
    else:
        assert validation.size == wanted + 1
        assert np.array_equal(np.concatenate((training[:-1], validation)), before)
        assert training[-1] == validation[0]


documents = st.lists(st.text("abcdefghij", min_size=1, max_size=40), min_size=2, max_size=40)


@settings(max_examples=300, deadline=None)
@given(documents, st.floats(0, 0.99), st.integers(0, 99), st.integers(1, 50))
def test_many_documents_go_one_way_or_the_other(texts, fraction, seed, block):
    texts = [f"{number}{text}" for number, text in enumerate(texts)]
    corpus = _corpus_of(texts)
    before = corpus.tokens.copy()
    with mock.patch.object(corpus_module, "BLOCK", block):
        training, validation = split(corpus, fraction, rng=np.random.default_rng(seed))
    if not validation.size:
        assert np.array_equal(training, before)
        return
    learned, held_out = _documents(corpus, training), _documents(corpus, validation)
    assert sorted(learned + held_out) == sorted(texts)
    assert learned == [text for text in texts if text in set(learned)]
    assert held_out == [text for text in texts if text in set(held_out)]
    wanted = max(1, round(len(texts) * fraction))
    assert len(held_out) == min(wanted, len(texts) - 1)
    assert training.size + validation.size == before.size + 1
    assert validation.size > 16


def test_the_seed_chooses_the_documents():
    texts = [f"document {number}" for number in range(50)]

    def held_out(seed):
        corpus = _corpus_of(texts)
        validation = split(corpus, 0.2, rng=np.random.default_rng(seed))[1]
        return _documents(corpus, validation)

    assert held_out(1) == held_out(1) != held_out(2)
    assert {text for seed in range(60) for text in held_out(seed)} == set(texts)


def test_training_keeps_a_document():
    texts = ["a" * 30, "b" * 30]
    corpus = _corpus_of(texts)
    training, validation = split(corpus, 0.99, rng=np.random.default_rng(0))
    parts = _documents(corpus, training), _documents(corpus, validation)
    assert sorted(parts) == [texts[:1], texts[1:]]


def test_no_validation_where_none_is_wanted_or_worth_it():
    for texts, fraction in [
        (["ab" * 50] * 5, 0.0),
        (["a"], 0.5),
        (["ab", "c"], 0.5),
        (["ab"] * 9, 0.1),
    ]:
        corpus = _corpus_of(texts)
        training, validation = split(corpus, fraction, rng=np.random.default_rng(0))
        assert validation.size == 0
        assert _documents(corpus, training) == texts


# Lanes


def test_frame_ends_and_starts_documents():
    tokens = np.array([[0, 5], [3, 0], [0, 2]], np.uint8)
    inputs, targets, resets = frame(tokens[:-1], tokens[1:])
    assert inputs.tolist() == [[0, 5], [3, 0]]
    assert targets.tolist() == [[3, END], [END, 2]]
    assert resets.tolist() == [[1, 0], [0, 1]]
    assert [a.dtype for a in (inputs, targets, resets)] == [np.int32, np.int32, np.uint8]
    for array in frame(tokens.T[:-1], tokens.T[1:]):
        assert array.flags.c_contiguous and array.base is None


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([START, 2, 3, 4, 300]), min_size=2, max_size=40),
    st.integers(1, 7), st.integers(1, 9), st.integers(0, 1000),
)  # fmt: skip
def test_lanes_read_in_circles(tokens, batch, length, position):
    tokens = np.array(tokens, np.uint16)
    positions = len(tokens) - 1
    lanes = Lanes(tokens, batch, length, position)
    for window in range(3):
        chunk = lanes.next()
        inputs, targets, resets = chunk.inputs, chunk.targets, chunk.resets
        for t in range(length):
            for lane in range(batch):
                at = (lane * positions // batch + position + window * length + t) % positions
                assert inputs[t, lane] == tokens[at]
                assert targets[t, lane] == (tokens[at + 1] or END)
                assert resets[t, lane] == (tokens[at] == START)
        assert inputs.shape == targets.shape == resets.shape == (length, batch)
    assert lanes.position == position + 3 * length


def test_lanes_go_on_from_a_position():
    tokens = np.arange(100, dtype=np.uint8)
    first = Lanes(tokens, 3, 7)
    for _ in range(20):
        first.next()
    second = Lanes(tokens, 3, 7, first.position)
    one, other = first.next(), second.next()
    for name in ("inputs", "targets", "resets"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_an_epoch_of_lanes_that_divide_the_text_predicts_every_token_once():
    tokens = np.arange(0, 241, dtype=np.uint8)
    lanes = Lanes(tokens, 8, 6)
    targets = np.concatenate([lanes.next().targets.ravel() for _ in range(240 // 48)])
    assert sorted(targets) == list(range(1, 241))


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 100), st.integers(1, 100))
def test_small_texts_have_small_windows(positions, batch, length):
    small_batch, small_length = Lanes.fit(positions, batch, length)
    assert 1 <= small_batch <= batch and 1 <= small_length <= length
    assert small_batch * small_length <= positions
    if batch * length <= positions:
        assert (small_batch, small_length) == (batch, length)
