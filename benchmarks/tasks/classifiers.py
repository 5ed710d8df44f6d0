"""Peers that label a text: logistic regression on n-grams of characters, and identifiers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from measures import labels
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

Pairs = Sequence[tuple[str, str]]
Identify = Callable[[str], str]

CHOSEN_WITH = 1_000_000  # characters that settings are chosen with, so that it takes minutes
TOLERANCE = 1e-4  # with 1e-3 lbfgs stops early, 2 to 8 points of accuracy short on `languages`
STRENGTHS = 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0
SETTINGS = list(itertools.product(("char", "char_wb"), STRENGTHS))

CODES = {"english": "en", "german": "de", "french": "fr", "italian": "it", "spanish": "es",
         "dutch": "nl", "portuguese": "pt", "danish": "da", "catalan": "ca"}  # fmt: skip


def logistic_regression(pairs: Pairs, analyzer: str, strength: float) -> Pipeline:
    """Trained on one to five characters; `char_wb` looks at words one by one, `char` at all."""
    ngrams = TfidfVectorizer(
        analyzer=analyzer, ngram_range=(1, 5), lowercase=False, sublinear_tf=True, min_df=2,
        dtype=np.float32,
    )  # fmt: skip
    # Two labels are quicker with liblinear, and come out the same.
    solver = "lbfgs" if len({label for _, label in pairs}) > 2 else "liblinear"
    model = LogisticRegression(C=strength, solver=solver, tol=TOLERANCE, max_iter=1000)
    return Pipeline([("ngrams", ngrams), ("model", model)]).fit(*zip(*pairs, strict=True))


def sample(pairs: Pairs) -> Pairs:
    """The first lines, which are in random order, of at most `CHOSEN_WITH` characters."""
    lengths = itertools.accumulate(len(text) for text, _ in pairs)
    return [pair for pair, end in zip(pairs, lengths, strict=True) if end <= CHOSEN_WITH]


def choose(pairs: Pairs) -> tuple[str, float]:
    """The analyzer and C that are right most often in a tenth that is held out."""
    some = sample(pairs)
    held = len(some) // 10
    texts, wanted = zip(*some[:held], strict=True)

    def accuracy(setting: tuple[str, float]) -> float:
        given = logistic_regression(some[held:], *setting).predict(texts)
        return labels(wanted, list(given))["accuracy"]

    return max(SETTINGS, key=accuracy)


def py3langid(languages: Sequence[str]) -> Identify:
    """Naive Bayes on n-grams of bytes, limited to these languages."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    names = {CODES[language]: language for language in languages}
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(names))
    return lambda text: names.get(identifier.classify(text)[0], "")


def cld3(languages: Sequence[str]) -> Identify:
    """Google's network; it can't be limited, so that another language is a wrong answer."""
    import gcld3

    names = {CODES[language]: language for language in languages}
    identifier = gcld3.NNetLanguageIdentifier(0, 1000)
    return lambda text: names.get(identifier.FindLanguage(text).language, "")


def lingua(languages: Sequence[str]) -> Identify:
    """One to five characters and rules, limited to these languages."""
    from lingua import Language, LanguageDetectorBuilder

    names = {getattr(Language, language.upper()): language for language in languages}
    builder = LanguageDetectorBuilder.from_languages(*names)
    detector = builder.with_preloaded_language_models().build()
    return lambda text: names.get(detector.detect_language_of(text), "")


IDENTIFIERS = {"py3langid": py3langid, "cld3": cld3, "lingua": lingua}
