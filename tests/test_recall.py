"""The associative memory beside its equations as written, what it gives back, and the command."""

import json
import re

import numpy as np
import pytest
from commands import assert_one_line_error, execute, invoke

from charrnn.errors import CorpusError, UsageError
from charrnn.inference.memory import AssociativeMemory, HopfieldNetwork, read_memory

LINES = [
    "A stitch in time saves nine.",
    "A rolling stone gathers no moss.",
    "Still waters run deep.",
    "The early bird catches the worm.",
    "The early fox is late.",
]


@pytest.fixture
def proverbs(tmp_path):
    path = tmp_path / "proverbs.txt"
    path.write_text("\n".join(["", *LINES, LINES[0]]), encoding="utf-8")
    return path


# The equations


def _hopfield(patterns, state):
    """U = Σ ξ ξᵀ / N without connections within a place; one unit after the other, to the end."""
    count, places, own = patterns.shape
    x = patterns.reshape(count, -1)
    u = x.T @ x / x.shape[1] * (1 - np.kron(np.eye(places), np.ones((own, own))))
    order, s, energies = np.random.default_rng(0).permutation(places), state.reshape(-1).copy(), []
    for _ in range(20):
        for place in order:
            for unit in range(place * own, (place + 1) * own):
                field = np.round(u[unit] @ s, 9)
                s[unit] = np.sign(field) or s[unit]
        energies.append(-0.5 * s @ u @ s)
    return s.reshape(state.shape), np.array(energies)


@pytest.mark.parametrize("own", [1, 5])
def test_the_classical_rule_is_its_equation(own):
    rng = np.random.default_rng(3)
    patterns = rng.choice([-1, 0, 1], (9, 30 // own, own))
    states = np.concatenate([patterns, rng.choice([-1, 0, 1], patterns.shape)])
    found = HopfieldNetwork(patterns).settle(states)
    assert found.steps.max() > 1
    for state, energy, start in zip(found.states, found.energies, states, strict=True):
        twin, energies = _hopfield(patterns, start)
        np.testing.assert_array_equal(state, twin)
        assert energy == pytest.approx(energies[-1])
        assert (np.diff(energies) <= 1e-9).all()


def _softmax_memory(lines, cue, beta):
    """s ← X softmax(β Xᵀ s), one-hot and END behind a line; the line, and the energies passed."""
    characters = "\0" + "".join(sorted(set("".join(lines))))
    width = max(map(len, lines)) + 1
    eye = np.eye(len(characters))
    x = np.array([eye[[characters.index(c) for c in line.ljust(width, "\0")]] for line in lines])
    x, s = x.reshape(len(lines), -1), np.zeros((width, len(characters)))
    for place, character in enumerate(cue):
        if character in characters:
            s[place, characters.index(character)] = 1
    s, energies = s.reshape(-1), []
    for _ in range(200):
        powers = np.exp(beta * (x @ s))
        energies.append(0.5 * s @ s - np.log(powers.mean()) / beta + 0.5 * width)
        s = powers / powers.sum() @ x
    found = s.reshape(width, -1).argmax(axis=1)
    return "".join(characters[n] for n in found).partition("\0")[0], energies


@pytest.mark.parametrize("beta", [0.02, 0.3, 10])
@pytest.mark.parametrize("cue", ["A stitch", "The worly bird caught", "Still#####r", "water"])
def test_the_modern_rule_is_its_equation(beta, cue):
    (found,) = AssociativeMemory(LINES, beta=beta).recall([cue])
    line, energies = _softmax_memory(LINES, cue, beta)
    assert found.line == line
    assert found.energy == pytest.approx(energies[-1], abs=1e-4)
    assert (np.diff(energies) <= 1e-9).all()
    assert found.stored == (line in LINES) and 1 <= found.steps <= 200


def test_random_patterns_are_held_up_to_the_capacity_that_theory_tells():
    """Of 300 units: below 0.138 patterns a unit they are held but for a few units, beyond not."""
    patterns = np.random.default_rng(1).choice([-1, 1], (60, 300, 1))
    wrong = {}
    for count in (30, 60):
        found = HopfieldNetwork(patterns[:count]).settle(patterns[:20])
        wrong[count] = np.mean(found.states != patterns[:20])
    assert wrong[30] < 0.02 < 0.1 < wrong[60]


# What is recalled


@pytest.mark.parametrize("rule", ["modern", "classical"])
def test_damaged_and_unfinished_lines_lead_to_stored_ones(rule):
    cues = ["A stitch in", "A rollimg stome gethers no miss.", "####l waters", *LINES]
    found = AssociativeMemory(LINES, rule).recall(cues)
    assert [own.line for own in found] == [*LINES[:3], *LINES]
    assert all(own.stored for own in found) and [own.cue for own in found] == cues


def test_too_many_lines_mix_by_the_classical_rule_and_not_by_the_modern():
    letters = np.random.default_rng(2).choice(list("abcdefgh"), (90, 6))
    lines, held = ["".join(own) for own in letters], {}
    for rule in ("modern", "classical"):
        memory = AssociativeMemory(lines, rule)
        held[rule] = np.mean([own.line == own.cue for own in memory.recall(lines)])
        assert memory.held(len(lines)) == held[rule]
    assert held["modern"] == 1 and held["classical"] < 0.5
    assert memory.held(4) in (0, 0.25, 0.5, 0.75, 1)


def test_of_equally_near_lines_the_first_is_taken():
    found = AssociativeMemory(["or x", "ab c", "ab d", "ab"]).recall(["ab ", "ab", "r"])
    assert [own.line for own in found[:2]] == ["ab c", "ab"]
    assert found[2].stored


def test_what_is_longer_than_the_lines_and_what_none_has_is_unknown():
    found = AssociativeMemory(["one", "two"]).recall(["twx and more", "€", "€wo\udc80"])
    assert found[0].line == found[2].line == "two"
    assert found[1].stored


def test_lines_come_once_and_from_a_file(proverbs):
    assert read_memory(proverbs).lines == LINES
    assert AssociativeMemory(["a", "", "a", "b"]).lines == ["a", "b"]
    assert AssociativeMemory(["a"]).recall([]) == []


def test_what_is_refused(monkeypatch):
    with pytest.raises(CorpusError, match="no lines to store; name a file"):
        AssociativeMemory(["", ""])
    with pytest.raises(UsageError, match="`rule` must be one of modern, classical"):
        AssociativeMemory(LINES, "ancient")
    for beta in (0, -1, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="`beta` must be a number above 0"):
            AssociativeMemory(LINES, beta=beta)
    monkeypatch.setattr("charrnn.inference.memory._MOST", 64 * 50)
    AssociativeMemory(LINES[:2])
    for rule, lines in (("classical", LINES[:2]), ("modern", ["x" * 1000, *LINES])):
        with pytest.raises(UsageError, match="more than a gigabyte: give fewer"):
            AssociativeMemory(lines, rule)


def test_memory_is_refused_before_it_is_taken():
    """Of a line of many distinct characters a state would be their square: 29 GB."""
    with pytest.raises(UsageError, match="more than a gigabyte"):
        AssociativeMemory(["".join(map(chr, range(0x20000, 0x20000 + 60_000)))])
    with pytest.raises(CorpusError, match=r"65,533 distinct .* 65,532 .* store fewer lines"):
        AssociativeMemory([chr(code) for code in range(0x20000, 0x20000 + 65_533)])


def test_lines_are_the_same_however_many_are_recalled_together(monkeypatch):
    for rule in ("modern", "classical"):
        memory = AssociativeMemory(LINES, rule)
        whole = memory.recall(["A stitch", "The early", "x"])
        monkeypatch.setattr("charrnn.inference.memory._UNITS", 1)
        assert memory.recall(["A stitch", "The early", "x"]) == whole
        monkeypatch.undo()


# The command


def test_a_line_out_for_a_line_in(proverbs):
    done = execute("recall", proverbs, stdin=b"The early f\n\r\nStill wetter")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == f"{LINES[4]}\n\n{LINES[2]}\n"


def test_lines_that_are_given_and_json(proverbs):
    done = invoke("recall", proverbs, "--line", "A roll", "--line", "", "--rule", "classical")
    assert (done.stdout, done.stderr) == (f"{LINES[1]}\n\n", "")
    done = invoke("recall", proverbs, "--line", "A roll", "--json")
    told = json.loads(done.stdout)
    assert list(told) == ["cue", "line", "stored", "steps", "energy"]
    assert (told["cue"], told["line"], told["stored"]) == ("A roll", LINES[1], True)


def test_a_memory_on_standard_input(proverbs):
    text = proverbs.read_text("utf-8")
    assert invoke("recall", "-", "--line", "Still", stdin=text).stdout == LINES[2] + "\n"
    assert_one_line_error(invoke("recall", "-", stdin=text), 2, "with --line")


def test_too_many_lines_are_told(tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("".join(f"one is {n:02}\n" for n in range(80)))
    done = invoke("recall", path, "--line", "one is 4", "--rule", "classical")
    assert done.exit_code == 0
    told = r"the classical rule holds \d+% of these 80 lines: --rule modern holds more\n"
    assert re.fullmatch(told, done.stderr)
    assert invoke("recall", path, "--line", "one is 4").stderr == ""


def test_a_very_large_beta_is_no_warning(proverbs):
    done = invoke("recall", proverbs, "--line", "A stitch in", "--beta", "1e308")
    assert (done.exit_code, done.stderr) == (0, "")


def test_what_the_command_refuses(proverbs, tmp_path):
    (tmp_path / "empty").write_text("\n\n")
    for arguments, code, words in (
        (["missing"], 1, ["cannot read 'missing'", "check the path"]),
        ([tmp_path / "empty"], 1, ["no lines", "empty"]),
        ([proverbs, "--beta", "0"], 2, ["--beta must be a number above 0"]),
        ([proverbs, "--beta", "2", "--rule", "classical"], 2, ["--beta is for --rule modern"]),
        ([proverbs, "--encoding", "hex"], 2, ["no encoding 'hex'"]),
    ):
        assert_one_line_error(invoke("recall", *arguments, stdin="x\n"), code, *words)
