from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from helpers import make_encoded, small_hyperparameters
from imdb_sentiment.errors import InputError
from imdb_sentiment.network.averaging import average_networks
from imdb_sentiment.network.model import build_model, divide_logits, score_sequences
from imdb_sentiment.network.ngrams import NgramModel, fit_ngram_model
from imdb_sentiment.parameters import NgramsParameters
from imdb_sentiment.text.encoded_reviews import EncodedReviews


def choose(**changes: float) -> NgramsParameters:
    chosen = {"share": 0.5, "max_ngram": 2, "min_document_frequency": 3}
    return NgramsParameters(**{**chosen, "inverse_regularisation": 0.5, **changes})


def ask(model: NgramModel, reviews: EncodedReviews) -> npt.NDArray[np.float64]:
    """Return the logits of a layer with these weights."""
    from imdb_sentiment.network.layers import NgramScores

    layer = NgramScores(model.max_ngram, len(model.bias))
    layer.build((None, None))
    layer.set_weights([model.table, model.bias])
    return np.asarray(layer(reviews.sequences), np.float64)


def expected_scores(
    train: EncodedReviews, test: EncodedReviews, is_label: npt.NDArray[np.bool_], max_ngram: int
) -> npt.NDArray[np.float64]:
    """Compute the scores from the tokens as text, without hashing."""
    texts = [
        [" ".join(f"t{token}" for token in row if token) for row in reviews.sequences]
        for reviews in (train, test)
    ]
    vectorizer = CountVectorizer(ngram_range=(1, max_ngram), min_df=3, binary=True)
    counts = vectorizer.fit_transform(texts[0]).toarray()
    inside, outside = (1 + counts[rows].sum(axis=0) for rows in (is_label, ~is_label))
    ratio = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
    model = LogisticRegression(C=0.5, max_iter=1000).fit(counts * ratio, is_label)
    return np.asarray(model.decision_function(vectorizer.transform(texts[1]).toarray() * ratio))


@pytest.mark.parametrize("max_ngram", [1, 2, 3])
def test_the_ngrams_of_a_review_are_found_once_each(max_ngram: int) -> None:
    from imdb_sentiment.network.layers import find_ngrams

    reviews = np.array([[0, 0, 0, 0, 7], [0, 5, 6, 5, 6], [9, 9, 9, 9, 9], [1, 2, 3, 4, 5]])
    found = np.asarray(find_ngrams(reviews, max_ngram))
    buckets: dict[tuple[int, ...], int] = {}
    for row, review in zip(found, reviews.tolist(), strict=True):
        tokens = [token for token in review if token]
        distinct = {
            tuple(tokens[i : i + n])
            for n in range(1, max_ngram + 1)
            for i in range(len(tokens) - n + 1)
        }
        kept = row[row > 0].tolist()
        assert len(kept) == len(set(kept)) == len(distinct)
        for ngram in distinct:  # each n-gram has its bucket, the same in every review
            code = 0
            for token in ngram:
                code = (code * 1_000_003 + token) % 1_048_573
            assert code + 1 in kept
            assert buckets.setdefault(ngram, code + 1) == code + 1
    assert len(set(buckets.values())) == len(buckets)


def test_padding_and_company_change_nothing() -> None:
    from imdb_sentiment.network.layers import find_ngrams

    alone = np.asarray(find_ngrams(np.array([[4, 3]]), 3))
    padded = np.asarray(find_ngrams(np.array([[0, 0, 0, 4, 3], [1, 2, 3, 4, 5]]), 3))
    assert sorted(alone[alone > 0]) == sorted(padded[0][padded[0] > 0])


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("max_ngram", [1, 2])
def test_scores_are_those_of_a_model_without_a_hash(n_labels: int, max_ngram: int) -> None:
    train, test = make_encoded(200, n_labels), make_encoded(50, n_labels, seed=5)
    noisy = np.random.default_rng(0).permutation(200)[:60]
    train.codes[noisy] = (train.codes[noisy] + 1) % n_labels
    found = ask(fit_ngram_model(train, choose(max_ngram=max_ngram)), test)
    for output, code in enumerate([1] if n_labels == 2 else [0, 1, 2]):
        expected = expected_scores(train, test, train.codes == code, max_ngram)
        if n_labels > 2:
            expected = -np.log1p(np.exp(-expected))
        np.testing.assert_allclose(found[:, output], expected, atol=2e-3)  # the solver's tolerance


@pytest.mark.parametrize("n_labels", [2, 3, 4])
def test_it_is_as_sure_as_it_is_right(n_labels: int) -> None:
    """A third of the labels are random, which limits the accuracy and the confidence."""
    reviews = [make_encoded(600, n_labels, seed=seed) for seed in (0, 1)]
    rng = np.random.default_rng(0)
    for some in reviews:
        noisy = rng.permutation(600)[:200]
        some.codes[noisy] = rng.integers(n_labels, size=200)
    model = fit_ngram_model(reviews[0], choose(max_ngram=1, inverse_regularisation=0.1))
    logits = ask(model, reviews[1])
    logits = np.pad(logits, ((0, 0), (1, 0))) if n_labels == 2 else logits
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = probabilities.argmax(axis=1) == reviews[1].codes
    assert 0.7 < right.mean() < 0.9
    assert abs(probabilities.max(axis=1).mean() - right.mean()) < 0.05


def test_with_no_ngram_often_enough_the_error_says_what_to_change() -> None:
    with pytest.raises(InputError, match=r"lower training\.ngrams\.min_document_frequency"):
        fit_ngram_model(make_encoded(40), choose(min_document_frequency=1000))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_leaves_something_to_the_network(share: float) -> None:
    with pytest.raises(ValidationError, match="share"):
        choose(share=share)


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("n_networks", [1, 2])
def test_the_average_gives_the_ngrams_their_share(
    n_labels: int, n_networks: int, tmp_path: Path
) -> None:
    import keras

    keras.utils.set_random_seed(0)
    reviews = make_encoded(60, n_labels)
    networks = [build_model(small_hyperparameters(), 30, n_labels) for _ in range(n_networks)]
    ngrams = fit_ngram_model(reviews, choose())
    logits = 0.7 * np.mean(
        [np.log(score_sequences(network, reviews.sequences)) for network in networks], axis=0
    )
    scores = ask(ngrams, reviews)
    logits += 0.3 * (np.pad(scores, ((0, 0), (1, 0))) if n_labels == 2 else scores)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    model = average_networks(networks, ngrams, 0.3)
    np.testing.assert_allclose(score_sequences(model, reviews.sequences), expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    restored = divide_logits(keras.models.load_model(tmp_path / "model.keras"), 2.0)
    halved = np.sqrt(expected) / np.sqrt(expected).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(score_sequences(restored, reviews.sequences), halved, atol=1e-5)


def test_what_the_ngrams_say_is_not_trained_further() -> None:
    """Padding and repetitions use row 0 of the table, which must stay 0."""
    import keras

    keras.utils.set_random_seed(0)
    reviews = make_encoded(60)
    ngrams = fit_ngram_model(reviews, choose())
    model = average_networks([build_model(small_hyperparameters(), 30, 2)], ngrams, 0.5)
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.fit(reviews.sequences.astype(np.int32), reviews.codes, epochs=2, verbose=0)
    np.testing.assert_allclose(
        score_sequences(model, np.pad(reviews.sequences, ((0, 0), (5, 0)))),
        score_sequences(model, reviews.sequences),
        atol=1e-6,
    )
    table, _ = next(layer for layer in model.layers if layer.name.startswith("ngram")).get_weights()
    np.testing.assert_array_equal(table, ngrams.table)
