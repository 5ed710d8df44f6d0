"""What may follow a prompt: probabilities that are those of the scores."""

import math

import pytest
from trained import dinosaurs, fables, language_model, with_biases

from charrnn.errors import UsageError
from charrnn.text.vocabulary import END


@pytest.mark.parametrize("prime", ["", "Tyr", "Tyrannosaurus", "X?" * 40])
def test_probabilities_are_those_that_score_tells(prime):
    model = language_model(dinosaurs(), threads=2)
    found = model.expect(prime)
    assert [x.probability for x in found] == sorted((x.probability for x in found), reverse=True)
    assert 0.99 < sum(x.probability for x in found) <= 1 + 1e-5
    assert len(found) == model.vocabulary.size - 1
    named = {x.name: x for x in found}
    for character in "aus":
        bits = model.score(prime + character, lines=True).bits[0][len(prime)]
        assert named[character].bits == pytest.approx(bits, abs=1e-9)
    end = model.score(prime, lines=True).bits[0][-1]
    assert named["end of text"].bits == pytest.approx(end, abs=1e-9)
    assert named["end of text"].character is None and named["a"].character == "a"


def test_a_long_prompt_and_many_characters():
    """In lanes, and more characters than are measured at once."""
    model = language_model(fables())
    prompt = "The wolf and the lamb. " * 500
    assert model.expect(prompt)[0].probability > 0.02
    many = "".join(chr(0x4E00 + n) for n in range(700))
    found = language_model(with_biases(many, biases=[(650, 3.0)])).expect("\u4e00")
    assert found[0].character == many[647]
    total = 702 + math.exp(3)
    assert found[0].probability == pytest.approx(math.exp(3) / total, rel=1e-5)
    assert found[-1].probability == pytest.approx(1 / total, rel=1e-5)


def test_temperature_sharpens_and_flattens():
    model = language_model(with_biases("ab", biases=[(END, 2.0)]))
    for temperature in (0.25, 0.5, 1, 4):
        found = model.expect("a", temperature=temperature)
        weight = math.exp(2 / temperature)
        assert found[0].name == "end of text"
        assert found[0].probability == pytest.approx(weight / (weight + 4), rel=1e-5)
        assert [x.name for x in found[1:]] == ["unknown character", "a", "b"]


def test_what_is_certain_tells_no_bits():
    first = language_model(with_biases("ab", biases=[(END, 2.0)])).expect(temperature=1e-9)[0]
    assert str(first.bits) == "0.0"


@pytest.mark.parametrize("temperature", [0, -1, math.nan, math.inf])
def test_temperatures_that_make_no_sense(temperature):
    with pytest.raises(UsageError, match="temperature must be above 0"):
        language_model(with_biases("ab")).expect("a", temperature=temperature)
    with pytest.raises(UsageError, match="prime must be text"):
        language_model(with_biases("ab")).expect(5)
