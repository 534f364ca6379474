from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
import pytest

from helpers import (
    base_parameters,
    make_encoded,
    make_reviews,
    small_hyperparameters,
    with_words,
)
from imdb_sentiment.evaluation.objectives import make_metric
from imdb_sentiment.network.model import score_logits
from imdb_sentiment.network.training import NetworkTrainer, PseudoLabels
from imdb_sentiment.parameters import (
    NgramsParameters,
    PseudoLabelsParameters,
    ReviewsParameters,
    TokenizerParameters,
    TuningParameters,
)
from imdb_sentiment.pipelines.data_processing.nodes import encode_reviews, fit_tokenizer
from imdb_sentiment.pipelines.training.nodes import fit_best_model
from imdb_sentiment.pipelines.tuning import pseudo_labels
from imdb_sentiment.pipelines.tuning.nodes import (
    TrialData,
    train_candidate,
    tune_hyperparameters,
)
from imdb_sentiment.pipelines.tuning.pseudo_labels import label_unlabelled_reviews
from imdb_sentiment.text.batching import shorten
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.review_encoder import ReviewEncoder
from imdb_sentiment.text.word_numbers import WORDS

LABELS = ("negative", "positive", "neutral")
TUNING = TuningParameters(**base_parameters()["tuning"])
ACCURACY = make_metric("accuracy", None, ("negative", "positive"), are_ordered=False)


class Data:
    """Labelled and unlabelled reviews, and the node that labels the latter."""

    def __init__(self, n_labels: int, n_labelled: int = 180) -> None:
        labels, n = LABELS[:n_labels], n_labelled + 60
        texts, names = zip(*make_reviews(n, labels), strict=True)
        codes = np.array([labels.index(name) for name in names])
        frame = pd.DataFrame({"row": range(1, n + 1), "text": texts, "code": codes, "group": ""})
        frame["split"] = ["train", "train", "train", "validation", "test"] * (n // 5)
        frame, words = with_words(frame)
        self.labelled = frame[:n_labelled]
        self.unlabelled = frame[["row", "text", "words"]][n_labelled:]
        self.codes = codes[n_labelled:]
        tokens = TokenizerParameters(
            kind="words", vocabulary_size=28, sequence_length=8, script="auto", head_fraction=0.4
        )
        tokenizer = fit_tokenizer([self.labelled], words, tokens)
        reviews = ReviewsParameters(**base_parameters()["reviews"] | {"labels": labels})
        sets = encode_reviews([self.labelled], tokenizer, words, reviews, tokens)
        self.train, self.validation, _ = (reduce(add, parts) for parts in sets)
        self.n_words = len(words)
        encoder = ReviewEncoder(tokenizer, words, tokens.head_length)
        self.sequences = shorten(encoder.encode(self.unlabelled), 2)  # of 8 tokens
        self._common: dict[str, Any] = {
            "tokenizer": tokenizer,
            "words": words,
            "tokenization": tokens,
            "seed": 0,
            "class_weight": None,
            "pseudo_labels": PseudoLabelsParameters(max_reviews=2000),
            "use_validation_rows": True,
        }

    def label(self, **changes: Any) -> tuple[PseudoLabels, ...]:
        train = changes.get("train", self.train)
        validation = changes.get("validation", self.validation)
        given: dict[str, Any] = {
            "train": train,
            "validation": validation,
            "held_out_sets": [(train, validation), (validation, train)],
            "clean_reviews": [self.labelled],
            "clean_unlabelled_reviews": [self.unlabelled[:25], self.unlabelled[25:]],
        }
        return label_unlabelled_reviews(**self._common | given | changes)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudo_labels, "MIN_REVIEWS", 10)
    monkeypatch.setattr(pseudo_labels, "MIN_SHARE", 0.1)


@pytest.fixture(scope="module", params=[2, 3])
def data(request: pytest.FixtureRequest) -> Data:
    return Data(request.param)


def with_wrong_codes(reviews: EncodedReviews) -> EncodedReviews:
    n_labels = len(reviews.labels)
    return replace(reviews, codes=((reviews.codes + 1) % n_labels).astype(reviews.codes.dtype))


def test_each_training_has_labels_of_its_own(data: Data) -> None:
    first, second, final = data.label()
    for labels in (first, second, final):
        np.testing.assert_array_equal(labels.sequences, data.sequences)
        np.testing.assert_array_equal(labels.rows, data.unlabelled["row"])
        assert labels.probabilities.shape == (60, len(data.train.labels))
        assert labels.probabilities.dtype == np.float32
        np.testing.assert_allclose(labels.probabilities.sum(axis=1), 1, rtol=1e-5)
        assert np.mean(labels.probabilities.argmax(axis=1) == data.codes) > 0.9
    assert not np.array_equal(first.probabilities, second.probabilities)
    assert not np.array_equal(first.probabilities, final.probabilities)


@pytest.mark.parametrize("use_validation_rows", [True, False])
def test_labels_that_are_held_out_stay_unseen(data: Data, use_validation_rows: bool) -> None:
    wrong = with_wrong_codes(data.validation)
    test = data.labelled.assign(text="changed").where(data.labelled["split"] == "test")
    others = {
        "validation": wrong,
        "clean_reviews": [test.combine_first(data.labelled)],
    }
    before, after = (
        data.label(use_validation_rows=use_validation_rows, **changes) for changes in ({}, others)
    )
    same = [
        np.array_equal(one.probabilities, other.probabilities)
        for one, other in zip(before, after, strict=True)
    ]
    assert same == [True, False, not use_validation_rows]


def test_with_few_labels_the_ngrams_learn_from_the_unlabelled_reviews(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[npt.NDArray[np.float32]] = []
    for dimensions in (0, 20):
        chosen = pseudo_labels.NGRAMS.model_copy(update={"latent_dimensions": dimensions})
        monkeypatch.setattr(pseudo_labels, "NGRAMS", chosen)
        found.append(data.label()[0].probabilities)
    alone, helped = found
    assert not np.allclose(alone, helped, rtol=0.1)


def test_the_settings_are_the_defaults() -> None:
    given = base_parameters()["training"]["ngrams"] | {"share": 1}
    assert NgramsParameters(**given) == pseudo_labels.NGRAMS


def test_at_most_so_many_are_labelled(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """They keep their order, and the chunks do not matter."""
    monkeypatch.setattr(pseudo_labels, "MIN_REVIEWS", 50)  # of all that there are
    most = PseudoLabelsParameters.model_construct(max_reviews=40)
    labels = data.label(pseudo_labels=most)[0]
    whole = data.label()[0]
    again = data.label(pseudo_labels=most, clean_unlabelled_reviews=[data.unlabelled])[0]
    np.testing.assert_array_equal(again.sequences, labels.sequences)
    rows = iter(range(60))
    places = [
        next(row for row in rows if np.array_equal(whole.sequences[row], sequence))
        for sequence in labels.sequences
    ]
    assert len(places) == 40
    assert places != list(range(40))
    np.testing.assert_allclose(labels.probabilities, whole.probabilities[places], rtol=1e-5)
    others = data.label(pseudo_labels=most, seed=1)[0]
    assert not np.array_equal(others.sequences, labels.sequences)


def test_reviews_without_a_known_word_get_no_labels(
    data: Data, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in another language, whose words are in no labelled review."""
    caplog.set_level("INFO")
    monkeypatch.setattr(pseudo_labels, "MIN_REVIEWS", 40)
    unknown = np.array([data.n_words] * 3, np.int32).tobytes()
    for n_foreign in (20, 21):
        is_foreign = np.arange(60) < n_foreign
        own = zip(data.unlabelled[WORDS], is_foreign, strict=True)
        cells = [unknown if foreign else words for words, foreign in own]
        found = data.label(clean_unlabelled_reviews=[data.unlabelled.assign(**{WORDS: cells})])
        if n_foreign == 20:
            rows = data.unlabelled["row"][~is_foreign]
            assert all(np.array_equal(labels.rows, rows) for labels in found)
            assert {len(labels.sequences) for labels in found} == {40}
        else:
            assert found == ()
            assert "39 unlabelled reviews with known words are fewer than 40" in caplog.text


def test_weights_of_labels_count(data: Data) -> None:
    plain, weighted = (
        data.label(class_weight=weights)[0].probabilities[:, 0].mean()
        for weights in (None, {"negative": 20.0})
    )
    assert weighted > plain


def test_one_model_serves_where_the_reviews_are_the_same(data: Data) -> None:
    one, final = data.label(
        held_out_sets=[(data.train, data.validation)], use_validation_rows=False
    )
    np.testing.assert_array_equal(one.probabilities, final.probabilities)
    _, both = data.label(held_out_sets=[(data.train, data.validation)])
    assert not np.array_equal(one.probabilities, both.probabilities)


def test_without_need_or_reviews_there_are_no_labels(
    data: Data, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert data.label(pseudo_labels=PseudoLabelsParameters(max_reviews=0)) == ()
    assert data.label(clean_unlabelled_reviews=[]) == ()
    assert data.label(clean_unlabelled_reviews=[data.unlabelled[:0]]) == ()
    assert not caplog.messages
    caplog.set_level("INFO")
    texts = [f"a{row}" for row in data.labelled["row"]]
    assert data.label(clean_reviews=[data.labelled.assign(text=texts)]) == ()
    assert "no word n-gram occurs in enough reviews" in caplog.text
    for limit, why in ((61, "fewer than 61"), (10, "fewer than the 144 labelled ones")):
        monkeypatch.setattr(pseudo_labels, "MIN_REVIEWS", limit)
        monkeypatch.setattr(pseudo_labels, "MIN_SHARE", 0.0 if limit == 61 else 1.0)
        caplog.clear()
        assert data.label() == ()
        assert f"60 unlabelled reviews with known words are {why}" in caplog.text


def make_labels(codes: list[int]) -> PseudoLabels:
    """Return labels of reviews of the tokens 25 and 26, which no labelled review has."""
    sequences = np.tile(np.array([[25], [26]], np.uint16), (150, 8))
    probabilities = np.tile(np.eye(2, dtype=np.float32)[codes], (150, 1))
    return PseudoLabels(sequences, probabilities, np.arange(300))


OWN, OTHER = make_labels([0, 1]), make_labels([1, 0])
LEARNER = small_hyperparameters(learning_rate=0.02, learning_rate_schedule="constant", epochs=1)


def find_labels(logits: npt.NDArray[np.floating]) -> list[bool]:
    """Return whether the second label is more likely, for the first two reviews."""
    is_second: list[bool] = (logits[:2, 0] > 0).tolist()
    return is_second


@pytest.mark.slow
def test_each_fold_learns_its_own_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    reviews = make_encoded(40)
    found = []
    score = NetworkTrainer.score_logits

    def note(self: NetworkTrainer, sequences: Any) -> Any:
        if len(sequences) == len(reviews):
            found.append(find_labels(score(self, OWN.sequences)))
        return score(self, sequences)

    monkeypatch.setattr(NetworkTrainer, "score_logits", note)
    train_candidate(
        optuna.create_study().ask(),
        TrialData([(reviews, reviews)] * 2, np.zeros((0, 0), np.float32), (), (OWN, OTHER, OWN)),
        LEARNER,
        TUNING.model_copy(update={"search_space": {}}),
        metric=ACCURACY,
        class_weight=None,
    )
    assert found == [[False, True], [True, False]]


def test_the_final_network_learns_the_last_labels() -> None:
    reviews = make_encoded(40)
    model, _ = fit_best_model(
        train=reviews,
        validation=make_encoded(10),
        best_hyperparameters=LEARNER,
        word_vectors=np.zeros((0, 0), np.float32),
        pseudo_labels=(OTHER, OWN),
        metric=ACCURACY,
        class_weight=None,
        use_validation_rows=True,
        seed=0,
    )
    assert find_labels(score_logits(model, OWN.sequences)) == [False, True]


@pytest.mark.slow
def test_a_study_is_of_the_reviews_that_have_labels(caplog: pytest.LogCaptureFixture) -> None:
    """Their last bits may differ: another machine has other ones."""
    reviews = make_encoded(40)
    storage = optuna.storages.InMemoryStorage()

    def tune(*labels: PseudoLabels) -> optuna.Study:
        study, _, _ = tune_hyperparameters(
            storage,
            [(reviews, reviews)],
            np.zeros((0, 0), np.float32),
            pseudo_labels=labels,
            hyperparameters=LEARNER,
            tuning=TUNING.model_copy(update={"search_space": {}}),
            metric=ACCURACY,
            class_weight=None,
            use_validation_rows=True,
        )
        return study

    def find_warning(*labels: PseudoLabels) -> str:
        """Search with other labels; return what is said about the new study."""
        caplog.clear()
        assert tune(*labels).study_name != TUNING.study_name
        return caplog.text

    assert len(tune(OWN, OWN).trials) == 1
    almost = OWN._replace(probabilities=OWN.probabilities * np.float32(1 - 1e-7))
    assert len(tune(almost, almost).trials) == 1
    others = OWN._replace(sequences=OWN.sequences - 1)
    assert "the data of the study" in find_warning(others, others)
    assert "pseudo_labels: 300 there, none here" in find_warning()
