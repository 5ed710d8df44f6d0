"""Classes have names, and whoever mistypes one is told of those that there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import CharrnnError, UsageError
from charrnn.text.labels import MAX_LABELS, Labels


@given(st.lists(st.text(), min_size=1, unique=True))
def test_an_index_and_its_name(names):
    labels = Labels(tuple(names))
    assert labels.size == len(names)
    assert [labels.index(name) for name in names] == list(range(len(names)))
    assert Labels(names) == labels, "JSON has lists"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "0 labels"),
        (("a", "b", "a"), "'a' comes twice"),
        (("a\n", "a\n"), r"'a\\n' comes twice"),
        (("a", 1), "texts"),
        (("a", None), "texts"),
        (("a", ["b"]), "texts"),
        ("ab", "texts"),
        (7, "texts"),
        (None, "texts"),
        (("a", "b\ud800"), "surrogate"),
        (tuple(map(str, range(MAX_LABELS + 1))), "65,536 labels"),
    ],
)
def test_what_are_no_labels_is_refused(names, message):
    with pytest.raises(CharrnnError, match=message):
        Labels(names)


def test_as_many_labels_as_there_may_be():
    labels = Labels(tuple(map(str, range(MAX_LABELS))))
    assert labels.index(str(MAX_LABELS - 1)) == MAX_LABELS - 1


def test_the_nearest_labels_are_named():
    labels = Labels(("melville", "austen", "austin"))
    with pytest.raises(UsageError, match=r"no label 'autsen'; the nearest are austen, austin$"):
        labels.index("autsen")
    with pytest.raises(UsageError, match=r"the nearest is melville$"):
        labels.index("mellvile")


def test_where_none_is_near_the_first_are_named():
    with pytest.raises(UsageError, match=r"no label 'xyz'; there are a, b$"):
        Labels(("a", "b")).index("xyz")
    with pytest.raises(UsageError, match=r"there are 0, 1, 2, 3, 4, …$"):
        Labels(tuple("0123456789")).index("xyz")


def test_names_of_strangers_stay_on_one_line():
    with pytest.raises(UsageError, match=r"no label 'a\\x1bb\\nc'; the nearest is a\\x1bb\\n$"):
        Labels(("a\x1bb\n",)).index("a\x1bb\nc")
