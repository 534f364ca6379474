"""The linear model of n-grams against scikit-learn, with n-grams as text instead of hashes."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from helpers import make_encoded, make_ngrams_parameters
from imdb_sentiment.errors import InputError
from imdb_sentiment.network import ngram_regression, ngrams
from imdb_sentiment.network.ngram_regression import (
    CHARACTER_WEIGHTS,
    MIN_DECREASE,
    TOLERANCE,
    NgramRegression,
    NgramWeights,
    PseudoLabelled,
    fit_ngram_model,
)
from imdb_sentiment.network.ngrams import NgramModel, split_word_and_character_ngrams
from imdb_sentiment.text.ngrams import hash_ngrams, split_tokens
from services import make_texts

Codes = npt.NDArray[np.integer[Any]]


def test_too_many_ngrams_for_the_solver_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "MAX_ENTRIES", 100)
    texts, codes = make_noisy(2)
    with pytest.raises(InputError, match="150 reviews have more than 100 n-grams, the most"):
        fit(texts, codes, 2)


def make_noisy(n_labels: int) -> tuple[list[str], Codes]:
    """Return texts whose labels are wrong in a third of the cases."""
    reviews = make_encoded(150, n_labels)
    codes = reviews.codes.copy()
    noisy = np.random.default_rng(0).permutation(150)[:50]
    codes[noisy] = (codes[noisy] + 1) % n_labels
    return [*make_texts(reviews)[:-1], ""], codes  # one without any n-gram


def fit(texts: list[str], codes: Codes, n_labels: int = 2, **changes: Any) -> NgramModel:
    parameters = make_ngrams_parameters(**changes)
    length = parameters.character_ngram
    hashes = [hash_ngrams(text, parameters.max_ngram, character_ngram=length) for text in texts]
    return fit_ngram_model(hashes, codes, n_labels, parameters)


def list_tokens(text: str) -> list[str]:
    """Return the tokens of a text of `make_texts`, whose only mark is at its end."""
    tokens = text.split()
    if tokens and tokens[-1][-1] in "!?…":
        tokens[-1:] = [tokens[-1][:-1], tokens[-1][-1]]
    return tokens


def list_characters(text: str, length: int) -> list[str]:
    words = [f" {token} ".replace("…", "...") for token in list_tokens(text)]
    return [
        word[start : start + length]
        for word in words
        for start in range(len(word) - length + 1)
        if len(word) > length
    ]


def list_ngrams(text: str, max_ngram: int) -> list[str]:
    tokens = list_tokens(text)
    return [
        " ".join(tokens[start : start + n])
        for n in range(1, max_ngram + 1)
        for start in range(len(tokens) - n + 1)
    ]


def list_analyzers(
    max_ngram: int, character_ngram: int, character_weight: float
) -> list[tuple[Callable[[str], list[str]], float]]:
    """Return how a text is divided into the n-grams of each kind, and the weight of the kind."""
    analyzers: list[tuple[Callable[[str], list[str]], float]] = [
        (lambda text: list_ngrams(text, max_ngram), 1.0)
    ]
    if character_ngram and character_weight:
        analyzers.append((lambda text: list_characters(text, character_ngram), character_weight))
    return analyzers


def measure_scale(counts: Any, is_label: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the naive Bayes ratio of each n-gram from how often each text has it, 0 or 1."""
    table = counts.toarray()
    inside, outside = (2 * rows.mean() + table[rows].sum(axis=0) for rows in (is_label, ~is_label))
    ratio = np.abs(np.log((inside / inside.sum()) / (outside / outside.sum())))
    return np.asarray(ratio + ratio[table.any(axis=0)].mean())


def expect_scores(
    train: list[str],
    test: list[str],
    is_label: npt.NDArray[np.bool_],
    *,
    max_ngram: int,
    min_document_frequency: int,
    inverse_regularisation: float,
    character_ngram: int = 0,
    character_weight: float = 0.5,
) -> npt.NDArray[np.float64]:
    learnt, tested = [], []
    for analyzer, weight in list_analyzers(max_ngram, character_ngram, character_weight):
        vectorizer = CountVectorizer(
            binary=True, min_df=min_document_frequency, analyzer=analyzer, lowercase=False
        )
        counts = vectorizer.fit_transform(train)
        weighting = TfidfTransformer().fit(counts)
        scale = weight * measure_scale(counts, is_label)
        learnt.append(weighting.transform(counts).multiply(scale))
        tested.append(weighting.transform(vectorizer.transform(test)).multiply(scale))
    regression = LogisticRegression(
        C=inverse_regularisation, solver="liblinear", dual=True, tol=TOLERANCE, random_state=0
    )
    regression.fit(sparse.hstack(learnt).tocsr(), is_label)
    return np.asarray(regression.decision_function(sparse.hstack(tested).tocsr()))


@pytest.mark.parametrize("minimum", [1, 2, 5])
@pytest.mark.parametrize("character_ngram", [0, 4])
def test_ngrams_are_counted_wherever_their_hashes_lie(character_ngram: int, minimum: int) -> None:
    """They are counted in ranges of their hashes."""
    rng = np.random.default_rng(0)
    limits = np.iinfo(np.int64)
    starts = np.concatenate([np.arange(-4, 4) * 2**61, np.arange(1, 9) * 2**29, [limits.max]])
    hashes = np.unique(np.concatenate([starts, starts[:-1] + 1, starts[1:] - 1]))
    hashes = hashes[hashes != 0]
    reviews = [hashes[rng.random(len(hashes)) < 0.1] for _ in range(30)]
    parameters = make_ngrams_parameters(
        min_document_frequency=minimum, character_ngram=character_ngram, character_weight=1.0
    )
    model = fit_ngram_model(reviews, np.arange(30) % 2, 2, parameters)
    counts = Counter(np.concatenate(reviews).tolist())
    expected = {number: count for number, count in sorted(counts.items()) if count >= minimum}
    assert model.hashes.tolist() == list(expected)
    np.testing.assert_allclose(
        model.idf, 1 + np.log(31 / (1 + np.array(list(expected.values())))), rtol=1e-6
    )


@pytest.mark.parametrize("n_labels", [2, 3, 4])
@pytest.mark.parametrize(
    "chosen",
    [
        {"max_ngram": 1, "min_document_frequency": 3, "inverse_regularisation": 0.5},
        {"max_ngram": 2, "min_document_frequency": 1, "inverse_regularisation": 10},
        {"max_ngram": 3, "min_document_frequency": 2, "inverse_regularisation": 5},
        {
            "max_ngram": 2,
            "min_document_frequency": 2,
            "inverse_regularisation": 5,
            "character_ngram": 4,
        },
        {
            "max_ngram": 1,
            "min_document_frequency": 1,
            "inverse_regularisation": 1,
            "character_ngram": 3,
            "character_weight": 1.5,
        },
    ],
    ids=str,
)
def test_scores_are_those_of_scikit_learn(n_labels: int, chosen: dict[str, Any]) -> None:
    train, codes = make_noisy(n_labels)
    test = [*make_texts(make_encoded(50, n_labels, length=9, seed=5)), "", "w1 never seen"]
    found = fit(train, codes, n_labels, **{"character_ngram": 0, **chosen}).score_texts(test)
    columns = [1] if n_labels == 2 else range(n_labels)
    expected = [expect_scores(train, test, codes == code, **chosen) for code in columns]
    np.testing.assert_allclose(found, np.transpose(expected), atol=1e-5)


def test_most_frequent_ngrams_of_characters_are_kept_as_well() -> None:
    texts, codes = make_noisy(2)
    whole = fit(texts, codes, max_features=10**6, character_ngram=3)
    some = fit(texts, codes, max_features=9, character_ngram=3)
    assert [kind.sum() for kind in split_word_and_character_ngrams(some.is_character_ngram)] == [
        9,
        9,
    ]
    assert all(kind.sum() > 9 for kind in split_word_and_character_ngrams(whole.is_character_ngram))
    assert set(some.hashes) < set(whole.hashes)


def test_models_with_other_weights_are_those_that_are_fitted_alone() -> None:
    texts, codes = make_noisy(3)
    parameters = make_ngrams_parameters(character_ngram=3)
    hashes = [hash_ngrams(text, 3, character_ngram=3) for text in texts]
    regression = NgramRegression(hashes, codes, 3, parameters)
    for weight in (*CHARACTER_WEIGHTS, CHARACTER_WEIGHTS[1]):
        assert regression.drop_absent(NgramWeights(weight, latent=1)) == NgramWeights(weight)
        model = regression.fit(NgramWeights(weight, latent=1))
        length = 3 if weight else 0
        alone = fit(texts, codes, 3, character_ngram=length, character_weight=weight)
        assert (model.character_weight, model.character_ngram) == (weight, length)
        assert model.latent_weight == 0  # there are no unlabelled reviews
        np.testing.assert_array_equal(model.hashes, alone.hashes)
        np.testing.assert_allclose(model.score_texts(texts), alone.score_texts(texts), atol=1e-6)


@pytest.mark.parametrize("character_weight", [0, 0.5, 1])
@pytest.mark.parametrize(("n_labels", "character_ngram"), [(2, 0), (3, 0), (2, 3), (3, 3)])
def test_the_regression_reads_tf_idf_and_its_singular_vectors(
    n_labels: int, character_ngram: int, character_weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the fitted model reads is TF-IDF. The n-grams of both kinds of reviews are many."""
    monkeypatch.setattr(ngram_regression, "POWER_ITERATIONS", 100)
    monkeypatch.setattr(ngram_regression, "TOLERANCE", 1e-6)
    for module in (ngrams, ngram_regression):
        monkeypatch.setattr(module, "ROWS_AT_A_TIME", 7)
    train, codes = make_noisy(n_labels)
    unlabelled = make_texts(make_encoded(90, n_labels, seed=7))
    test = [*make_texts(make_encoded(50, n_labels, length=9, seed=5)), "", "w1 never seen"]
    parameters = make_ngrams_parameters(
        max_ngram=2,
        latent_dimensions=7,
        character_ngram=character_ngram,
        inverse_regularisation=1,
    )
    learnt, more, tested = (
        [hash_ngrams(text, 2, character_ngram=character_ngram) for text in texts]
        for texts in (train, unlabelled, test)
    )
    regression = NgramRegression(learnt, codes, n_labels, parameters, unlabelled=more)
    model = regression.fit(NgramWeights(character_weight, latent=1.5))
    assert (model.latent_weight, model.unlabelled_reviews) == (1.5, 90)

    codes_of_outputs = [1] if n_labels == 2 else list(range(n_labels))
    parts, scales = [], []
    for analyzer, weight in list_analyzers(2, character_ngram, character_weight):
        vectorizer = CountVectorizer(binary=True, min_df=2, analyzer=analyzer, lowercase=False)
        tf_idf = TfidfTransformer().fit(vectorizer.fit_transform([*train, *unlabelled]))
        counts = vectorizer.transform([*train, *unlabelled, *test])
        parts.append(weight * tf_idf.transform(counts).toarray())
        scales.append([measure_scale(counts[: len(train)], codes == c) for c in codes_of_outputs])
    vectors, scale = np.hstack(parts), np.hstack(scales)
    shared = vectors * scale.mean(axis=0)
    n_train = len(train)
    _, _, directions = np.linalg.svd(shared[: n_train + len(unlabelled)], full_matrices=False)
    latent = shared @ directions[:7].T

    def measure_norm(rows: npt.NDArray[np.float64]) -> float:
        return float(np.linalg.norm(rows[:n_train], axis=1).mean())

    expected = []
    for code, own in zip(codes_of_outputs, scale, strict=True):
        scaled = vectors * own
        factor = 1.5 * measure_norm(scaled) / measure_norm(latent)
        features = np.hstack([scaled, factor * latent])
        single = LogisticRegression(
            C=parameters.inverse_regularisation,
            solver="liblinear",
            tol=1e-6,
            max_iter=10_000,
            dual=True,
        )
        single.fit(features[:n_train], codes == code)
        expected.append(single.decision_function(features[n_train + len(unlabelled) :]))
    np.testing.assert_allclose(model.score(tested), np.transpose(expected), atol=1e-3)


@pytest.mark.parametrize("label_weights", [None, np.array([1.0, 4.0, 0.5])])
@pytest.mark.parametrize("n_labels", [2, 3])
def test_certain_pseudo_labels_are_learnt_like_labels(
    n_labels: int,
    label_weights: npt.NDArray[np.float64] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ngram_regression, "PSEUDO_LABEL_WEIGHT", 1.0)
    monkeypatch.setattr(ngram_regression, "TOLERANCE", 1e-7)
    monkeypatch.setattr(ngram_regression, "MIN_DECREASE", 1e-12)
    texts, codes = make_noisy(n_labels)
    parameters = make_ngrams_parameters(max_ngram=2, character_ngram=3)
    hashes = [hash_ngrams(text, 2, character_ngram=3) for text in texts]
    weights = None if label_weights is None else label_weights[:n_labels]
    labelled = NgramRegression(hashes, codes, n_labels, parameters, label_weights=weights)
    certain = PseudoLabelled(hashes[90:], np.eye(n_labels)[codes[90:]])
    both = NgramRegression(
        hashes[:90],
        codes[:90],
        n_labels,
        parameters,
        pseudo_labelled=certain,
        label_weights=weights,
    ).fit(NgramWeights(0.5))
    expected = labelled.fit(NgramWeights(0.5))
    assert (both.unlabelled_reviews, both.latent_weight) == (60, 0)
    np.testing.assert_array_equal(both.hashes, expected.hashes)
    np.testing.assert_allclose(both.weights, expected.weights, atol=1e-4)
    np.testing.assert_allclose(both.bias, expected.bias, atol=1e-4)


@pytest.mark.parametrize(("min_decrease", "atol"), [(1e-12, 1e-4), (MIN_DECREASE, 0.02)])
@pytest.mark.parametrize("n_labels", [2, 3])
def test_probable_labels_are_learnt_by_their_probability(
    n_labels: int, min_decrease: float, atol: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ngram_regression, "MIN_DECREASE", min_decrease)
    train, codes = make_noisy(n_labels)
    unlabelled = make_texts(make_encoded(90, n_labels, seed=7))
    probabilities = np.random.default_rng(0).dirichlet(np.full(n_labels, 9.0), 90)
    parameters = make_ngrams_parameters(
        max_ngram=2, min_document_frequency=2, character_ngram=0, inverse_regularisation=1
    )
    learnt, more = ([hash_ngrams(text, 2) for text in texts] for texts in (train, unlabelled))
    model = NgramRegression(
        learnt, codes, n_labels, parameters, pseudo_labelled=PseudoLabelled(more, probabilities)
    ).fit(NgramWeights(0))

    vectorizer = CountVectorizer(
        binary=True, min_df=2, analyzer=lambda text: list_ngrams(text, 2), lowercase=False
    )
    table = vectorizer.fit_transform([*train, *unlabelled]).toarray()
    tf_idf = TfidfTransformer().fit_transform(table).toarray()
    shares = np.concatenate([np.eye(n_labels)[codes], 0.3 * probabilities])
    expected = []
    for code in [1] if n_labels == 2 else range(n_labels):
        answers = [shares[:, code], shares.sum(axis=1) - shares[:, code]]  # yes and no
        counts = [answer @ table + 2 * answer.sum() / shares.sum() for answer in answers]
        inside, outside = (count / count.sum() for count in counts)
        ratio = np.abs(np.log(inside / outside))
        features = tf_idf * (ratio + ratio.mean())
        regression = LogisticRegression(
            C=1, solver="liblinear", dual=True, tol=1e-7, max_iter=10_000
        )
        regression.fit(
            np.tile(features, (2, 1)),
            np.repeat([True, False], len(features)),
            np.concatenate(answers),
        )
        expected.append(regression.decision_function(features))
    np.testing.assert_allclose(model.score([*learnt, *more]), np.transpose(expected), atol=atol)


def test_words_that_only_unlabelled_reviews_have_are_known_by_their_company() -> None:
    texts = ["a wonderful film", "a terrible film"] * 10
    unlabelled = ["a wonderful superb film", "a terrible boring film"] * 20
    learnt, more = ([hash_ngrams(text, 1) for text in given] for given in (texts, unlabelled))
    parameters = make_ngrams_parameters(max_ngram=1, character_ngram=0, latent_dimensions=2)
    regression = NgramRegression(learnt, np.array([1, 0] * 10), 2, parameters, unlabelled=more)
    for weight in (0, 1):
        model = regression.fit(NgramWeights(character=0, latent=weight))
        superb, boring = model.score_texts(["superb", "boring"])[:, 0]
        assert (superb > boring + 0.2) == bool(weight)
        assert model.latent_weight == weight


def test_what_only_unlabelled_reviews_have_does_no_harm() -> None:
    """No word of the labelled reviews is long enough for n-grams of characters."""
    texts, unlabelled = ["so a", "so b"] * 5, ["so a wonderful", "so b terrible"] * 5
    learnt, more = (
        [hash_ngrams(text, 1, character_ngram=4) for text in some] for some in (texts, unlabelled)
    )
    parameters = make_ngrams_parameters(max_ngram=1, character_ngram=4, latent_dimensions=2)
    regression = NgramRegression(learnt, np.array([1, 0] * 5), 2, parameters, unlabelled=more)
    model = regression.fit(NgramWeights(character=1, latent=1))
    assert model.is_character_ngram.any()
    good, bad = model.score_texts(["wonderful", "terrible"])[:, 0]
    assert good > bad


def test_unlabelled_reviews_do_not_displace_the_ngrams_of_labelled_ones() -> None:
    texts, codes = make_noisy(2)
    learnt = [hash_ngrams(text, 1) for text in texts]
    more = [hash_ngrams(f"other{number} words{number}", 1) for number in range(50)] * 90
    parameters = make_ngrams_parameters(max_ngram=1, character_ngram=0, max_features=20)
    alone = NgramRegression(learnt, codes, 2, parameters).fit(NgramWeights(0))
    both = NgramRegression(learnt, codes, 2, parameters, unlabelled=more).fit(NgramWeights(0, 1))
    assert set(alone.hashes) < set(both.hashes)
    assert len(both.hashes) == 40  # 20 of the labelled reviews, and 20 of all


def test_misspelt_words_are_known_by_their_characters() -> None:
    texts = ["a wonderful film", "a wonderful day", "a terrible film", "a terrible day"] * 5
    codes = np.array([1, 1, 0, 0] * 5)
    known, unknown = (fit(texts, codes, character_ngram=length) for length in (4, 0))
    misspelt = ["wunderful", "terribel"]
    good, bad = known.score_texts(misspelt)[:, 0]
    assert good > 0 > bad
    assert np.ptp(unknown.score_texts(misspelt)) == 0


def test_without_words_long_enough_there_are_no_characters() -> None:
    model = fit(["so so", "no no"] * 5, np.array([0, 1] * 5), character_ngram=4)
    assert (model.character_ngram, model.character_weight) == (0, 0)
    assert not model.is_character_ngram.any()


def test_it_learns_from_what_the_network_does_not_read() -> None:
    """The mark at the end tells the label, whatever the words are."""
    model = fit(make_texts(make_encoded(100)), make_encoded(100).codes)
    other, mark = model.score_texts(["never seen", "never seen!"])[:, 0]
    assert mark > 0
    assert mark > other


def test_the_most_frequent_ngrams_are_kept() -> None:
    texts, codes = make_noisy(3)
    whole = fit(texts, codes, 3, max_features=10**6, character_ngram=0)
    found = Counter(number for text in texts for number in hash_ngrams(text, whole.max_ngram))
    counts = sorted(found.values(), reverse=True)
    size = next(n for n in range(20, len(counts)) if counts[n - 1] > counts[n])
    some = fit(texts, codes, 3, max_features=size, character_ngram=0)
    assert set(some.hashes) == {number for number, _ in found.most_common(size)}
    assert len(some.hashes) == size < len(whole.hashes)
    np.testing.assert_array_equal(some.idf, whole.idf[np.isin(whole.hashes, some.hashes)])
    places = {number: place for place, number in enumerate(some.hashes.tolist())}
    for text, found in zip(texts[:30], some.score_texts(texts[:30]), strict=True):
        hashes = hash_ngrams(text, some.max_ngram).tolist()
        rows = [places[number] for number in hashes if number in places]
        length = sum(float(some.idf[row]) ** 2 for row in rows) ** 0.5
        added = some.weights[rows].sum(axis=0) / length if rows else 0
        np.testing.assert_allclose(found, added + some.bias, atol=1e-5)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_without_a_known_ngram_the_bias_is_left(n_labels: int) -> None:
    texts, codes = make_noisy(n_labels)
    model = fit(texts, codes, n_labels)
    assert model.bias.any()
    found = model.score_texts(["", "never seen", "w1"])
    np.testing.assert_array_equal(found[:2], [model.bias, model.bias])
    assert not np.array_equal(found[2], model.bias)
    assert model.score_texts([]).shape == (0, len(model.bias))


def test_unknown_ngrams_change_nothing() -> None:
    texts, codes = make_noisy(2)
    model = fit(texts, codes, max_ngram=1)
    found = model.score_texts(["w1 w2", "w1 never seen w2"])
    assert found[0] == found[1]


@pytest.mark.parametrize("n_labels", [2, 3])
def test_an_empty_model_says_nothing(n_labels: int) -> None:
    found = NgramModel.empty(n_labels).score_texts(["w1 w2", ""])
    np.testing.assert_array_equal(found, np.zeros((2, 1 if n_labels == 2 else 3)))


@pytest.mark.parametrize("n_labels", [2, 3])
def test_logits_can_be_scaled(n_labels: int) -> None:
    texts, codes = make_noisy(n_labels)
    model = fit(texts, codes, n_labels)
    before = model.score_texts(texts)
    np.testing.assert_allclose(model.scale(1.7).score_texts(texts), 1.7 * before, rtol=1e-5)
    np.testing.assert_array_equal(model.score_texts(texts), before)


def test_the_same_reviews_give_the_same_model() -> None:
    texts, codes = make_noisy(3)
    one, same = (fit(texts, codes, 3) for _ in range(2))
    for name in ("hashes", "idf", "weights", "bias"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))


def test_the_same_unlabelled_reviews_give_the_same_model() -> None:
    texts, codes = make_noisy(3)
    learnt, more = ([hash_ngrams(text, 2) for text in some] for some in (texts[:90], texts[90:]))
    parameters = make_ngrams_parameters(character_ngram=0, latent_dimensions=9)
    one, same = (
        NgramRegression(learnt, codes[:90], 3, parameters, unlabelled=more).fit(NgramWeights(0, 1))
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.weights, same.weights)


def test_what_is_stored_is_as_small_as_described() -> None:
    model = fit(*make_noisy(3), 3)
    assert model.hashes.dtype == np.int64
    assert {model.idf.dtype, model.weights.dtype, model.bias.dtype} == {np.dtype(np.float32)}
    assert (np.diff(model.hashes) > 0).all()
    assert 0 not in model.hashes
    assert model.weights.shape == (len(model.hashes), 3)


@pytest.mark.parametrize("texts", [["w1 w2", "w3 w4!"], ["", ""]])
def test_with_no_ngram_often_enough_the_error_says_what_to_change(texts: list[str]) -> None:
    with pytest.raises(InputError, match=r"lower training\.ngrams\.min_document_frequency"):
        fit(texts, np.array([0, 1]), min_document_frequency=2)


def test_only_the_ngrams_of_the_given_length_count() -> None:
    """Each text has the same words, so only their order can tell the label."""
    texts, codes = ["good not bad", "bad not good"] * 20, np.array([0, 1] * 20)
    words, pairs = (fit(texts, codes, max_ngram=n).score_texts(texts[:2]) for n in (1, 2))
    assert words[0] == pytest.approx(words[1])
    assert pairs[0] < 0 < pairs[1]
    assert len(split_tokens(texts[0])) == 3


@pytest.mark.parametrize("n_labels", [2, 3])
def test_a_weight_of_a_label_counts_its_reviews_several_times(n_labels: int) -> None:
    """In the loss; the log-count ratios and document frequencies stay those of single reviews."""
    texts, codes = make_noisy(n_labels)
    hashes = [hash_ngrams(text, 2) for text in texts]

    def fit_with(weights: list[float] | None, inverse_regularisation: float = 0.5) -> NgramModel:
        parameters = make_ngrams_parameters(inverse_regularisation=inverse_regularisation)
        array = None if weights is None else np.array(weights)
        regression = NgramRegression(hashes, codes, n_labels, parameters, label_weights=array)
        return regression.fit(NgramWeights(0.5))

    plain, ones = fit_with(None), fit_with([1.0] * n_labels)
    np.testing.assert_allclose(plain.weights, ones.weights, rtol=1e-5)
    heavy, freer = fit_with([3.0] * n_labels), fit_with(None, 1.5)  # the same problem
    np.testing.assert_allclose(heavy.score(hashes), freer.score(hashes), rtol=0.01, atol=0.01)
    preferring = fit_with([1.0] * (n_labels - 1) + [4.0])
    assert preferring.score(hashes)[:, -1].mean() > plain.score(hashes)[:, -1].mean() + 0.5
