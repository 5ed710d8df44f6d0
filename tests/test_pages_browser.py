"""Pages as a reader has them: opened from a file, in a browser."""

import itertools
import json

import naive
import numpy as np
import pytest
from commands import invoke
from samples import TOLD, VARIANTS, config_of, every_cell, every_variant, is_possible
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from trained import dinosaurs, fables, language_model, told_writer, with_biases

from charrnn.cells import CELLS
from charrnn.config import PAGE_PRECISIONS, SamplingConfig
from charrnn.network.graph import build
from charrnn.network.network import Network
from charrnn.pages.rounding import rounded
from charrnn.pages.writing import described, page_of
from charrnn.storage.checkpoint import SavedModel, save_model
from charrnn.text.batch import Batch
from charrnn.text.vocabulary import SPECIALS, START, Vocabulary

pytestmark = pytest.mark.browser

#: At which a page takes the likeliest, and nothing is left out.
GREEDY = {"length": 80, "temperature": 0, "topK": 0, "topP": 1, "minP": 0, "penalty": 1}

LINE_SEPARATOR = "\N{LINE SEPARATOR}"
MARKUP = "</script><script>ran = 1</script><!--<script><img src=x onerror='ran = 1'>\"&amp;"


@pytest.fixture(scope="module")
def engine(browser, tmp_path_factory):
    """The browser with a page open, whose program carries out other models too."""
    path = tmp_path_factory.mktemp("engine") / "engine.html"
    path.write_text(page_of(with_biases("ab"), "float32", title="engine"), newline="\n")
    browser.get(path.as_uri())
    return browser


def _random_model(config, *, ends=False):
    """A model whose biases and per-unit parameters are not zero either."""
    rng = np.random.default_rng(1)
    tensors = {p.name: p.draw(rng) for p in build(config).parameters}
    for tensor in tensors.values():
        if tensor.ndim == 1:
            tensor[...] = rng.normal(0, 0.3, tensor.shape)
    vocabulary = Vocabulary("".join(chr(0x4E00 + n) for n in range(config.vocabulary_size - 3)))
    labels = tuple(f"label {n}" for n in range(config.classes))
    return SavedModel(config, vocabulary, tensors, {"documents": 1 + ends}, labels)


def _logits(engine, model, tokens, *, precision="float32", told=()):
    """What the page's program expects after each of the tokens, [N, V]."""
    script = """
        const network = new Network(arguments[0]);
        network.tell(arguments[2]);
        return arguments[1].map((token) => [...network.feed(token)]);"""
    weights = [{"index": index, "weight": weight} for index, weight in told]
    found = engine.execute_script(script, described(model, precision, ""), tokens, weights)
    return np.array(found)


def _written(engine, model, precision, prompt, choices, seed=1):
    script = "return [...new Writer(arguments[0]).text(...arguments[1])].join('')"
    data = described(model, precision, "")
    return engine.execute_script(script, data, [prompt, choices, seed])


def _twin_losses(model, tokens, told=()):
    """-log P of every token after each of the tokens, [N, V]: the twin's, in float64."""
    config, size = model.config, model.config.vocabulary_size
    shape = len(tokens), size
    inputs = np.repeat(np.array(tokens)[:, None], size, axis=1)
    targets = np.broadcast_to(np.arange(size), shape)
    resets = np.zeros(shape, np.uint8)
    resets[0] = 1
    labels = np.array([np.full(shape, index) for index in told]) if told else None
    batch = Batch(inputs, targets, resets, labels=labels)
    state = Network(config, threads=1, dtype=np.float64).initial_state(size)
    return naive.forward(config, model.tensors, batch, state)[0]


def _losses_of(logits):
    top = logits.max(axis=1, keepdims=True)
    return np.log(np.exp(logits - top).sum(axis=1, keepdims=True)) + top - logits


TOKENS = [START, 5, 3, 9, 9, 4, 10, 2, 7]


@every_variant
@pytest.mark.parametrize("embedding", [0, 5], ids=["one-hot", "embedded"])
def test_a_page_expects_what_the_equations_say(engine, cell, more, embedding):
    model = _random_model(config_of(cell, 2, 7, embedding, **more))
    found = _losses_of(_logits(engine, model, TOKENS))
    np.testing.assert_allclose(found, _twin_losses(model, TOKENS), rtol=2e-6, atol=2e-6)


def test_members_tell_the_mean_of_their_probabilities(engine):
    model = _random_model(config_of(("lstm", "tanh"), 2, 9, members=3))
    tokens = [START, 3, 5, 4, 3, 10, 7]
    network = Network(model.config, threads=1, dtype=np.float64)
    network.load(model.tensors)
    inputs = np.array(tokens, np.int32)[:, None]
    expected = network.logits(Batch(inputs, inputs, (inputs == START).astype(np.uint8)))[:, 0]
    np.testing.assert_allclose(_logits(engine, model, tokens), expected, rtol=0, atol=1e-5)


def test_a_text_begins_anew_after_another(engine):
    model = _random_model(config_of(("lstm", "tanh"), 2, initial_state="learned"))
    logits = _logits(engine, model, TOKENS * 2)
    np.testing.assert_array_equal(logits[: len(TOKENS)], logits[len(TOKENS) :])


@pytest.mark.parametrize("more", TOLD.values(), ids=TOLD)
def test_a_page_is_told_labels(engine, more):
    model = _random_model(config_of(("gru", "tanh"), 2, **more))
    both = _losses_of(_logits(engine, model, TOKENS, told=[(1, 1), (3, 1)]))
    np.testing.assert_allclose(both, _twin_losses(model, TOKENS, told=(1, 3)), rtol=2e-6, atol=2e-6)
    mixed = _losses_of(_logits(engine, model, TOKENS[:3], told=[(0, 0.7), (2, -1.5)]))
    text = model.vocabulary.decode(TOKENS[1:3])
    expected = language_model(model).expect(text, labels={"label 0": 0.7, "label 2": -1.5})
    chances = {own.character: own.probability for own in expected if own.character is not None}
    for character, chance in chances.items():
        token = SPECIALS + model.vocabulary.characters.index(character)
        assert np.exp(-mixed[-1, token]) == pytest.approx(chance, rel=1e-5)


@every_cell
def test_at_temperature_0_a_page_writes_what_sample_writes(engine, cell):
    """With the weights that it has, to the character; in each precision, networks of all kinds."""
    variants = [more for more in VARIANTS.values() if is_possible(cell, more)]
    kinds = itertools.cycle(variants)
    for number, (precision, more) in enumerate(zip(PAGE_PRECISIONS, kinds, strict=False)):
        config = config_of(cell, 2, 20, 5 * (number % 2), vocabulary_size=37, **more)
        model = _random_model(config, ends=number == 2)
        prompt = model.vocabulary.decode([4, 7, 9, 3])
        expected = language_model(rounded(model, precision)).sample(80, prime=prompt, temperature=0)
        assert _written(engine, model, precision, prompt, GREEDY) == expected


def test_probabilities_are_the_models_within_what_is_stored(engine):
    """Of a trained model: float16 keeps three digits of a weight, int8 two of its row's largest."""
    model = fables()
    tokens = [START, *model.vocabulary.encode("The fox and the ").tolist()]
    exact = _losses_of(_logits(engine, model, tokens))
    for precision, bound in (("float16", 0.01), ("int8", 0.1)):
        found = _losses_of(_logits(engine, model, tokens, precision=precision))
        likely = exact < 4
        assert 0 < np.abs(found - exact)[likely].max() < bound


def test_no_cell_and_no_node_is_forgotten(engine):
    cells, nodes = engine.execute_script("return [CELLS, NODES].map(Object.keys)")
    assert set(cells) == {cell.__name__ for cell in CELLS.values()}
    shapes = [*VARIANTS.values(), *TOLD.values(), {"embedding_size": 5}]
    graphs = [build(config_of(("lstm", "tanh"), **more)) for more in shapes]
    graphs += [build(config_of(cell)) for cell in CELLS]
    used = {type(n).__name__ for g in graphs for node in g.nodes for n in (node, *node.reads)}
    assert set(nodes) == used


CHOICES = [
    {"top_k": 3}, {"top_p": 0.6}, {"min_p": 0.2}, {"repetition_penalty": 3.0}, {"temperature": 0.4},
    {"temperature": 0.0}, {"top_k": 8, "top_p": 0.7, "temperature": 1.7},
    {"repetition_penalty": 1.5, "top_k": 9, "top_p": 0.9, "min_p": 0.05, "temperature": 0.8},
]  # fmt: skip


@pytest.mark.parametrize("asked", CHOICES, ids=str)
def test_characters_are_chosen_as_sample_chooses_them(engine, asked):
    config = SamplingConfig(**asked)
    plan, twin = config.complete(), naive.Chooser(config)
    rng = np.random.default_rng(3)
    names = {"topK": plan.top_k, "topP": plan.top_p, "minP": plan.min_p,
             "penalty": plan.repetition_penalty, "temperature": plan.temperature}  # fmt: skip
    cases, expected = [], []
    for _ in range(200):
        logits, recent = rng.normal(0, 2, 20), rng.integers(0, 20, 6).tolist()
        uniform = float(rng.random())
        cases.append([logits.tolist(), recent, names, uniform])
        expected.append(twin.choose(naive.normalized(logits), recent, uniform))
    script = """return arguments[0].map(([logits, ...others]) =>
        choose(Float64Array.from(logits), ...others))"""
    assert engine.execute_script(script, cases) == expected


def test_random_numbers_are_even_and_those_of_their_seed(engine):
    script = """const random = new Random(arguments[0]);
        return Array.from({length: 4000}, () => random.uniform())"""
    one, again, other = (np.array(engine.execute_script(script, s)) for s in (1, 1, 2**32 + 1))
    np.testing.assert_array_equal(one, again)
    for numbers in (one, other):
        counts, _ = np.histogram(numbers, 16, (0, 1))
        assert counts.sum() == 4000 and np.abs(counts - 250).max() < 5 * np.sqrt(250)
    assert (
        abs(np.corrcoef(one, other)[0, 1]) < 0.1 and abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.1
    )


# The page itself


@pytest.fixture
def opened(browser, tmp_path):
    """Opens the page that ``charrnn export`` makes of a model."""

    def open_page(model, name="page", *arguments):
        save_model(tmp_path / "model.safetensors", model)
        page = tmp_path / f"{name}.html"
        done = invoke("export", page, "--model", tmp_path / "model.safetensors", *arguments)
        assert done.exit_code == 0, done.stderr
        browser.get_log("browser")
        browser.get(page.as_uri())
        return browser

    return open_page


def _fill(browser, **fields):
    for name, value in fields.items():
        script = """const field = document.getElementById(arguments[0]);
            field.value = arguments[1];
            field.dispatchEvent(new Event("input", {bubbles: true}));"""
        browser.execute_script(script, name.replace("_", "-"), str(value))


def _press(browser, name):
    browser.find_element(By.ID, name).click()


def _status(browser):
    return browser.find_element(By.ID, "status").get_property("textContent")


def _texts(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('.text')].map((text) => text.textContent)"
    )


def _finished(browser):
    WebDriverWait(browser, 30, 0.02).until(lambda b: not _status(b).startswith("Writing"))
    return _texts(browser)


def test_a_reader_writes_in_the_page(opened):
    page = opened(fables())
    _fill(page, prompt="The fox ", temperature=0, min_p=0, length=200)
    _press(page, "write")
    text = language_model(rounded(fables(), "int8")).sample(200, prime="The fox ", temperature=0)
    assert _finished(page) == ["The fox " + text]
    assert _status(page).startswith("Done: 200 characters")
    assert page.execute_script("return document.querySelector('.beginning').textContent") == (
        "The fox "
    )
    assert page.get_log("browser") == []
    assert page.execute_script("return performance.getEntriesByType('resource')") == []


def test_the_same_seed_writes_the_same_text(opened):
    page, texts = opened(fables()), []
    _fill(page, length=100)
    for seed in (5, 5, 6, "", ""):
        _fill(page, seed=seed)
        page.find_element(By.ID, "prompt").send_keys(Keys.CONTROL, Keys.ENTER)
        texts += _finished(page)
    assert texts[0] == texts[1] and len(set(texts)) == 4


def test_names_are_written_several_at_a_time(opened):
    model = dinosaurs()
    page = opened(model)
    _fill(page, prompt="Ba", count=12, seed=3)
    _press(page, "write")
    names = _finished(page)
    assert len(names) == 12 and all(name.startswith("Ba") for name in names)
    assert len(set(names)) > 3 and len({len(name) for name in names}) > 1  # they end
    _fill(page, temperature=0, min_p=0, count=1)
    _press(page, "write")
    text = language_model(rounded(model, "int8")).sample(60, prime="Ba", temperature=0)
    assert _finished(page) == ["Ba" + text]


def test_a_long_text_is_stopped_and_another_one_begun(opened):
    page = opened(fables())
    for end in ("click", "escape"):
        _fill(page, length=1000000)
        _press(page, "write")
        WebDriverWait(page, 30, 0.02).until(lambda b: len("".join(_texts(b))) > 50)
        assert page.execute_script("return document.getElementById('texts').ariaBusy") == "true"
        if end == "click":
            _press(page, "stop")
        else:
            page.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
        (text,) = _finished(page)
        assert _status(page).startswith("Stopped: ") and 50 < len(text) < 1000000
        assert page.execute_script("return document.getElementById('texts').ariaBusy") == "false"


def test_what_was_written_is_copied(opened):
    page = opened(dinosaurs())
    _fill(page, count=3)
    assert not page.find_element(By.ID, "copy").is_enabled()
    _press(page, "write")
    names = _finished(page)
    page.execute_script("navigator.clipboard.writeText = async (text) => (copied = text)")
    _press(page, "copy")
    WebDriverWait(page, 10, 0.02).until(lambda b: _status(b) == "Copied.")
    assert page.execute_script("return copied") == "\n".join(names)
    page.execute_script("navigator.clipboard.writeText = async () => { throw new Error() }")
    _press(page, "copy")
    WebDriverWait(page, 10, 0.02).until(lambda b: "by hand" in _status(b))
    assert page.execute_script("return getSelection().toString()").split() == names


def test_unknown_characters_are_told(opened):
    page = opened(fables())
    _fill(page, prompt="The é fox ß")
    note = page.find_element(By.ID, "prompt-note").text
    assert "“é” “ß”" in note and "T" not in note.split("seen")[1].split(":")[0]
    _fill(page, prompt="The fox")
    assert page.find_element(By.ID, "prompt-note").text == ""


def test_a_wrong_value_is_shown_where_it_is_folded_away(opened):
    page = opened(fables())
    _fill(page, top_p=2)
    _press(page, "write")
    assert page.find_element(By.ID, "top-p").is_displayed()
    assert _texts(page) == []


def test_labels_are_chosen_and_weighed(opened):
    page = opened(told_writer())
    options = page.execute_script(
        "return [...document.querySelector('select').options].map((option) => option.text)"
    )
    assert options == ["none", "austen", "female", "male", "melville"]
    page.execute_script(
        """for (const [value, weight] of [["1", "0.7"], ["3", "-1"]]) {
            const [select, number] = document.querySelector(".label-row:last-child").children;
            select.value = value;
            number.value = weight;
            select.dispatchEvent(new Event("change"));
        }"""
    )
    assert page.execute_script("return labels()") == [
        {"index": 1, "weight": 0.7}, {"index": 3, "weight": -1},
    ]  # fmt: skip
    _press(page, "write")
    assert len(_finished(page)) == 1


def test_nothing_that_comes_with_a_model_runs(opened):
    model = with_biases("</script>!-\"'&\\`${}" + LINE_SEPARATOR + "\u2029\0\N{GRINNING FACE}")
    config = with_biases(model.vocabulary.characters, documents=2, classes=2).config
    hostile = SavedModel(config, model.vocabulary,
                         {p.name: np.zeros(p.shape, np.float32) for p in build(config).parameters},
                         {"documents": 2, "corpus": [f"folder/{MARKUP}"]},
                         (MARKUP, "</option><svg onload='ran = 1'>"))  # fmt: skip
    page = opened(hostile, MARKUP.replace("/", "%"))
    _fill(page, prompt=MARKUP, count=3, length=300, temperature=2)
    _press(page, "write")
    texts = _finished(page)
    assert all(text.startswith(MARKUP) for text in texts) and LINE_SEPARATOR in "".join(texts)
    assert page.execute_script("return typeof ran") == "undefined"
    counts = page.execute_script(
        "return ['img', 'svg', 'script', 'option'].map((n) => document.querySelectorAll(n).length)"
    )
    assert counts == [0, 0, 2, 3]
    assert page.title == page.find_element(By.ID, "title").text == MARKUP.replace("/", "%")
    assert page.execute_script("return model.characters") == hostile.vocabulary.characters
    assert page.execute_script("return model.labels") == list(hostile.labels)


def test_the_page_runs_nothing_that_is_not_its_own(opened):
    """Whatever might put markup into it: its policy names the one script and the one style."""
    page = opened(fables())
    page.execute_script(
        """const script = document.createElement("script");
        script.textContent = "ran = 1";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src='x:' onerror='ran = 1'>");"""
    )
    log = json.dumps(page.get_log("browser"))
    assert page.execute_script("return typeof ran") == "undefined"
    assert "Content Security Policy" in log


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_a_page_fits_the_screen_and_everything_has_a_name(opened, width):
    page = opened(told_writer())
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 1000}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.execute_script("for (const own of document.querySelectorAll('details')) own.open = 1")
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for control in page.find_elements(By.CSS_SELECTOR, "input, select, textarea, button"):
        assert control.accessible_name or not control.is_displayed()
