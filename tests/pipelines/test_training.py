import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from pydantic import ValidationError
from scipy.special import expit, logit, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss, mean_absolute_error
from tokenizers import Tokenizer

from helpers import (
    base_parameters,
    make_encoded,
    make_reviews,
    small_hyperparameters,
    with_words,
)
from imdb_sentiment.datasets import AtomicDataset, KerasModelDataset
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.logits import to_probabilities
from imdb_sentiment.evaluation.objectives import make_metric
from imdb_sentiment.evaluation.probabilities import DecisionRule
from imdb_sentiment.evaluation.stacking import HeldOutLogits, Weights, fit_weights
from imdb_sentiment.network import ngram_regression
from imdb_sentiment.network.model import build_model, score_logits
from imdb_sentiment.network.ngram_regression import (
    CHARACTER_WEIGHTS,
    DEFAULT_LATENT_WEIGHT,
    LATENT_WEIGHTS,
    NgramRegression,
    NgramWeights,
    PseudoLabelled,
    fit_ngram_model,
)
from imdb_sentiment.network.ngrams import NgramModel
from imdb_sentiment.network.training import History, PseudoLabels, train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    ClassWeight,
    CustomReviewsParameters,
    DecisionTarget,
    Hyperparameters,
    MetricName,
    NgramsParameters,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    TrainingParameters,
    TuningParameters,
)
from imdb_sentiment.pipelines.data_processing.nodes import encode_reviews, fit_tokenizer
from imdb_sentiment.pipelines.reporting.nodes.scoring import score_baseline
from imdb_sentiment.pipelines.training import cotraining, create_pipeline, nodes
from imdb_sentiment.pipelines.training.baseline import fit_baseline
from imdb_sentiment.pipelines.training.cotraining import teach_ngrams
from imdb_sentiment.pipelines.training.decision import Choice, choose_rule, restore_preference
from imdb_sentiment.pipelines.training.export import export_model
from imdb_sentiment.pipelines.training.ngram_weights import Fold, choose_ngram_weights
from imdb_sentiment.pipelines.training.nodes import (
    fit_average,
    fit_best_model,
    fit_decision,
    fit_ngrams,
)
from imdb_sentiment.pipelines.tuning.nodes import assign_folds
from imdb_sentiment.pipelines.tuning.protocol import Folds, pair_reviews
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.ngrams import hash_ngrams
from services import EVEN, make_texts

LINEAGE = {
    "raw_reviews": {"file": "mine.csv", "sha256": "1a" * 32, "made": ""},
    "model": {"file": "model.keras", "sha256": "2b" * 32, "made": "2026-11-27 05:41 UTC"},
    "calibration": {"file": "c.json", "sha256": "3c" * 32, "made": "2026-11-26 05:41 UTC"},
}
VECTORS = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
LABELS = ("negative", "positive", "neutral")
REVIEWS = ReviewsParameters(**base_parameters()["reviews"])
ACCURACY = make_metric("accuracy", None, REVIEWS.labels, are_ordered=False)


@dataclass(frozen=True)
class Data:
    """What the pipeline data_processing makes of a few reviews, some with a wrong label."""

    chunks: list[pd.DataFrame]
    tokens: TokenizerParameters
    tokenizer: Tokenizer
    train: EncodedReviews
    validation: EncodedReviews

    @property
    def rows(self) -> pd.DataFrame:
        return pd.concat(self.chunks).set_index("row")

    def hash_texts(
        self, reviews: EncodedReviews, ngrams: NgramsParameters
    ) -> list[npt.NDArray[np.int64]]:
        texts = self.rows["text"][reviews.rows]
        length = ngrams.character_ngram
        return [hash_ngrams(text, ngrams.max_ngram, character_ngram=length) for text in texts]


def make_data(n: int = 300, n_labels: int = 2) -> Data:
    labels = LABELS[:n_labels]
    texts, names = zip(*make_reviews(n, labels), strict=True)
    codes = np.array([labels.index(name) for name in names])
    wrong = np.random.default_rng(0).permutation(n)[: n // 5]
    codes[wrong] = (codes[wrong] + 1) % n_labels
    frame = pd.DataFrame({"row": np.arange(1, n + 1), "text": texts, "code": codes, "group": ""})
    frame["split"] = ["train", "train", "train", "validation", "test"] * (n // 5)
    frame.loc[3, "text"] = "unheard of"  # a validation review without a known word
    frame, words = with_words(frame)
    chunks = [frame[:70], frame[70:]]
    tokens = TokenizerParameters(
        kind="words", vocabulary_size=28, sequence_length=6, script="auto", head_fraction=0.4
    )
    tokenizer = fit_tokenizer(chunks, words, tokens)
    reviews = ReviewsParameters(**base_parameters()["reviews"] | {"labels": labels})
    sets = encode_reviews(chunks, tokenizer, words, reviews, tokens)
    train, validation, _ = (reduce(add, parts) for parts in sets)
    return Data(chunks, tokens, tokenizer, train, validation)


@pytest.fixture(scope="module")
def data() -> Data:
    return make_data()


def find_folds(
    train: EncodedReviews,
    validation: EncodedReviews,
    folds: Any = "auto",
    *,
    evaluate_on: str = "validation",
    group_column: str | None = None,
) -> Folds:
    """Return the folds of a table without splits of its own."""
    split = SplitParameters(**base_parameters()["split"] | {"group_column": group_column})
    return assign_folds(
        train,
        validation,
        split,
        {"accepted_by_own_split": {}},
        folds=folds,
        evaluate_on=evaluate_on,
        seed=base_parameters()["tuning"]["seed"],
    )


def fit(
    train: EncodedReviews,
    validation: EncodedReviews,
    hyperparameters: Hyperparameters,
    training: TrainingParameters,
) -> tuple[Any, History]:
    return fit_best_model(
        train=train,
        validation=validation,
        best_hyperparameters=hyperparameters,
        word_vectors=VECTORS,
        metric=ACCURACY,
        **split_up(training),
    )


def split_up(training: TrainingParameters) -> dict[str, Any]:
    """Return the parameters of the group `training` that `fit_best_model` takes."""
    names = ("class_weight", "use_validation_rows", "seed")
    return {name: getattr(training, name) for name in names}


def with_ngrams(training: TrainingParameters, **changes: Any) -> TrainingParameters:
    return TrainingParameters(
        **{**training.model_dump(), "ngrams": training.ngrams.model_dump() | changes}
    )


@pytest.mark.parametrize("use_validation_rows", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_best_hyperparameters_shape_the_model(
    use_validation_rows: bool, hyperparameters: Hyperparameters, training: TrainingParameters
) -> None:
    chosen = training.model_copy(update={"use_validation_rows": use_validation_rows})
    model, history = fit(make_encoded(40), make_encoded(20, seed=2), hyperparameters, chosen)
    assert model.get_layer(index=1).units == hyperparameters.units
    assert len(history["loss"]) == hyperparameters.epochs
    assert ("val_accuracy" in history) is not use_validation_rows


def test_the_embedding_begins_with_the_word_vectors(training: TrainingParameters) -> None:
    still = small_hyperparameters(
        pretrained_embedding=True, learning_rate=1e-9, naive_bayes_scale=0.0
    )
    model, _ = fit(make_encoded(40), make_encoded(20, seed=2), still, training)
    np.testing.assert_allclose(model.layers[0].get_weights()[0], VECTORS, atol=1e-6)


def test_the_network_begins_with_the_pretrained_weights(training: TrainingParameters) -> None:
    still = small_hyperparameters(
        pretrained_embedding=True, learning_rate=1e-9, units=3, naive_bayes_scale=0.0
    )
    shapes = [(VECTORS.shape[0], 4), (4, 12), (3, 12), (12,)]
    pretrained = [np.full(shape, 0.1, np.float32) for shape in shapes]
    model, _ = fit_best_model(
        train=make_encoded(40),
        validation=make_encoded(20, seed=2),
        best_hyperparameters=still,
        word_vectors=VECTORS,
        pretrained_weights=pretrained,
        metric=ACCURACY,
        **split_up(training),
    )
    for found, given in zip(model.get_weights(), pretrained, strict=False):
        np.testing.assert_allclose(found, given, atol=1e-6)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, []),
        (
            {"min_steps": 5},
            [
                "The final training takes 3 epochs instead of 2, for at least 5 steps "
                "(hyperparameters.min_steps)"
            ],
        ),
        (
            {"max_steps": 3},
            [
                "The final training takes fewer epochs than 2 (1), since more would exceed 3 steps "
                "(hyperparameters.max_steps)"
            ],
        ),
    ],
)
def test_it_is_said_why_there_are_other_epochs(
    limits: dict[str, int],
    said: list[str],
    training: TrainingParameters,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    chosen = small_hyperparameters(epochs=2, batch_size=32, **limits)
    _, history = fit(make_encoded(40), make_encoded(20, seed=2), chosen, training)
    found = [record.getMessage() for record in caplog.records if "epochs" in record.msg]
    assert found == said
    assert len(history["loss"]) == chosen.count_epochs(60, 2)


def test_validation_rows_are_learnt_from(
    hyperparameters: Hyperparameters, training: TrainingParameters
) -> None:
    train, validation = make_encoded(40), make_encoded(20, seed=2)
    apart, _ = fit(train, validation, hyperparameters, training)
    without = training.model_copy(update={"use_validation_rows": False})
    together, _ = fit(train + validation, make_encoded(2), hyperparameters, without)
    for one, other in zip(apart.get_weights(), together.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def balance(codes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return weights of two labels in inverse proportion to the number of their reviews."""
    return len(codes) / 2 / np.bincount(codes)


def test_weights_of_labels_reach_all_that_learns(
    *,
    data: Data,
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spy(name: str, module: Any = nodes) -> list[tuple[tuple[Any, ...], Any]]:
        """Return the arguments and the weights of each call of a function."""
        calls: list[tuple[tuple[Any, ...], Any]] = []
        real = getattr(module, name)

        def call(*args: Any, label_weights: Any, **kwargs: Any) -> Any:
            calls.append((args, label_weights))
            return real(*args, label_weights=label_weights, **kwargs)

        monkeypatch.setattr(module, name, call)
        return calls

    is_kept = (data.train.codes == 0) | (data.train.rows % 4 == 0)
    train, validation = data.train.take(np.flatnonzero(is_kept)), data.validation
    balanced = training.model_copy(update={"class_weight": "balanced"})
    expected = balance((train + validation).codes)
    assert expected[1] > 1.2 > balance(validation.codes)[1]

    networks = spy("train_model")
    fit(train, validation, small_hyperparameters(epochs=1), balanced)
    ((_, weights),) = networks
    np.testing.assert_allclose(weights, expected)

    models, choices = spy("NgramRegression", ngram_regression), spy("choose_ngram_weights")
    common: dict[str, Any] = {"training": balanced, "script": "auto"}
    common["folds"] = find_folds(train, validation, 2)
    fit_ngrams(data.chunks, [], train, validation, **common)
    assert len(models) > 2  # those of the folds, and the final one
    for (_, codes, *_), weights in models:
        np.testing.assert_allclose(weights, balance(codes))
    ((_, weights),) = choices
    np.testing.assert_allclose(weights, expected)

    rows = data.rows.loc[[*train.rows, *validation.rows]].reset_index()
    common |= {"train": train, "validation": validation, "metric": ACCURACY}
    baseline, decision = fit_baseline(
        [rows], baseline=baseline_parameters, reviews=REVIEWS, **common
    )
    weights = list(baseline.steps[-1][1].class_weight.values())
    np.testing.assert_allclose(weights, expected)

    # As of the model: probabilities without the weights, and labels as with them.
    scored = score_baseline(baseline, decision, [rows.assign(split="test")], REVIEWS)
    weighted = baseline.predict_proba(rows["text"])
    probabilities = [f"probability_{label}" for label in REVIEWS.labels]
    products = scored[probabilities].to_numpy() * expected
    np.testing.assert_allclose(products / products.sum(axis=1, keepdims=True), weighted, rtol=1e-6)
    preferred = np.array(REVIEWS.labels)[weighted.argmax(axis=1)]
    assert scored["predicted_sentiment"].tolist() == preferred.tolist()


def test_the_final_network_is_watched_by_the_metric_of_the_search(
    training: TrainingParameters,
) -> None:
    _, history = fit_best_model(
        train=make_encoded(40),
        validation=make_encoded(20, seed=2),
        best_hyperparameters=small_hyperparameters(epochs=1),
        word_vectors=VECTORS,
        metric=make_metric("f1_macro", None, REVIEWS.labels, are_ordered=False),
        **split_up(training.model_copy(update={"use_validation_rows": False})),
    )
    assert "val_f1_macro" in history


@pytest.mark.parametrize(
    ("use_validation_rows", "learnt"),
    [(True, ["train", "validation"]), (False, ["train"])],
)
def test_the_baseline_learns_from_the_rows_of_the_network(
    *,
    use_validation_rows: bool,
    learnt: list[str],
    data: Data,
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
) -> None:
    chosen = training.model_copy(update={"use_validation_rows": use_validation_rows})
    baseline, decision = fit_baseline(
        iter(data.chunks),
        train=data.train,
        validation=data.validation,
        baseline=baseline_parameters,
        metric=ACCURACY,
        folds=find_folds(data.train, data.validation),
        training=chosen,
        reviews=REVIEWS,
        script="auto",
    )
    even = {"negative": 1.0, "positive": 1.0}
    assert decision == {
        "label_weights": even,
        "is_median": False,
        "has_thresholds": False,
        "loss_weights": even,
        "temperature": 1.0,
    }

    rows = data.rows
    known = rows[rows["split"].isin(learnt)]
    vectorizer = TfidfVectorizer(
        ngram_range=(1, baseline_parameters.max_ngram),
        min_df=baseline_parameters.min_document_frequency,
        sublinear_tf=True,
    )
    features = vectorizer.fit_transform(known["text"])
    expected = LogisticRegression(  # by another algorithm, which has to find the same optimum
        C=baseline_parameters.inverse_regularisation, tol=1e-8, max_iter=10_000
    )
    expected.fit(features, known["code"])
    np.testing.assert_allclose(
        baseline.predict_proba(rows["text"]),
        expected.predict_proba(vectorizer.transform(rows["text"])),
        atol=1e-4,
    )


def score_by(
    metric: MetricName,
    chunks: list[pd.DataFrame],
    sets: tuple[EncodedReviews, EncodedReviews],
    baseline: BaselineParameters,
    training: TrainingParameters,
) -> pd.DataFrame:
    """Fit a baseline for a metric, and return its predictions for the test rows."""
    reviews = REVIEWS.model_copy(update={"ordered": metric == "mean_absolute_error"})
    fitted, decision = fit_baseline(
        chunks,
        train=sets[0],
        validation=sets[1],
        baseline=baseline,
        metric=make_metric(metric, None, LABELS[:2], are_ordered=reviews.ordered),
        folds=find_folds(sets[0], sets[1], 2),
        training=training,
        reviews=reviews,
        script="auto",
    )
    assert (decision["temperature"] != 1) == (metric != "accuracy")
    return score_baseline(fitted, decision, chunks, reviews)


@pytest.mark.parametrize("metric", ["log_loss", "mean_absolute_error"])
@pytest.mark.parametrize("class_weight", [None, {"negative": 1.0, "positive": 3.0}])
def test_a_search_by_what_depends_on_the_calibration_calibrates_the_baseline_too(
    metric: MetricName,
    class_weight: ClassWeight,
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
) -> None:
    """Otherwise the comparison would be one of a calibrated model with an uncalibrated one."""
    rng = np.random.default_rng(0)
    codes = np.tile([0, 1], 300)
    told = np.where(rng.random(600) < 0.75, codes, 1 - codes)
    noise = rng.integers(100, size=(600, 20))
    pairs = zip(told, noise, strict=True)
    texts = [" ".join([f"told{label}", *(f"noise{word}" for word in row)]) for label, row in pairs]
    frame = pd.DataFrame(
        {"row": np.arange(600), "text": texts, "code": codes, "split": "train", "group": ""}
    )
    frame.loc[300:399, "split"] = "validation"
    frame.loc[400:, "split"] = "test"
    train, validation = (
        replace(
            make_encoded(len(rows)),
            codes=rows["code"].to_numpy(np.uint8),
            rows=rows["row"].to_numpy(),
        )
        for rows in (frame[:300], frame[300:400])
    )
    strong = baseline_parameters.model_copy(update={"inverse_regularisation": 1e5})
    weighted = training.model_copy(update={"class_weight": class_weight})
    usual, calibrated = (
        score_by(name, [frame], (train, validation), strong, weighted)["probability_positive"]
        for name in ("accuracy", metric)
    )
    assert log_loss(codes[400:], calibrated) < log_loss(codes[400:], usual) - 0.05
    assert calibrated.mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("metric", "changes"),
    [
        ("log_loss", {"class_weight": {"negative": 1.0, "positive": 3.0}}),
        ("mean_absolute_error", {"class_weight": {"negative": 1.0, "positive": 3.0}}),
        ("log_loss", {"decision_target": DecisionTarget(label="positive", recall=0.9)}),
    ],
)
def test_a_calibrated_baseline_predicts_what_it_did_without(
    metric: MetricName,
    changes: dict[str, Any],
    data: Data,
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
) -> None:
    rows = pd.concat(data.chunks)
    chunks = [rows, rows.assign(split="test")]  # they are scored, too
    sets = (data.train, data.validation)
    chosen = training.model_copy(update=changes)
    usual, calibrated = (
        score_by(name, chunks, sets, baseline_parameters, chosen) for name in ("accuracy", metric)
    )
    assert usual["predicted_sentiment"].tolist() == calibrated["predicted_sentiment"].tolist()
    assert not np.allclose(usual["probability"], calibrated["probability"])


@pytest.mark.slow
def test_the_final_network_has_its_seed(training: TrainingParameters) -> None:
    chosen, train, validation = small_hyperparameters(), make_encoded(40), make_encoded(20, seed=2)
    model, history = fit(train, validation, chosen, training.model_copy(update={"seed": 7}))
    expected = train_model(train + validation, chosen, 7)
    np.testing.assert_array_equal(
        score_logits(model, validation.sequences), score_logits(expected[0], validation.sequences)
    )
    assert history == expected[1]


def fit_scale(logits: npt.NDArray[np.float64], codes: npt.NDArray[np.integer]) -> Any:
    """Return the weights of one column per model, shape (models,)."""
    model = LogisticRegression(C=1, fit_intercept=False, tol=1e-9, max_iter=10_000)
    return model.fit(logits, codes).coef_[0]


@pytest.mark.parametrize("use_validation_rows", [True, False])
@pytest.mark.parametrize("folds", [1, 2])
def test_the_ngrams_learn_from_the_rows_of_the_networks(
    *,
    folds: int,
    use_validation_rows: bool,
    data: Data,
    training: TrainingParameters,
) -> None:
    """The final model from those of the final network, the others from those of the best trial."""
    timid = with_ngrams(training, inverse_regularisation=0.1, character_weight=0.8)
    chosen = timid.model_copy(update={"use_validation_rows": use_validation_rows})
    assigned = find_folds(data.train, data.validation, folds)
    model, held_out = fit_ngrams(
        iter(data.chunks),
        iter([]),
        data.train,
        data.validation,
        folds=assigned,
        training=chosen,
        script="auto",
    )

    def fit_without_folds(reviews: EncodedReviews) -> NgramModel:
        hashes = data.hash_texts(reviews, timid.ngrams)
        return fit_ngram_model(hashes, reviews.codes, 2, timid.ngrams)

    logits: dict[int, float] = {}
    for learnt, scored in pair_reviews(data.train, data.validation, assigned):
        assert not set(learnt.rows) & set(scored.rows)
        texts = data.rows["text"][scored.rows]
        found = fit_without_folds(learnt).score_texts(texts)[:, 0]
        logits |= dict(zip(scored.rows.tolist(), found, strict=True))
    expected_rows = data.validation if folds == 1 else data.train + data.validation
    assert sorted(held_out.rows) == sorted(expected_rows.rows)
    raw = np.array([[logits[row]] for row in held_out.rows.tolist()])
    (factor,) = fit_scale(raw, data.rows["code"][held_out.rows].to_numpy(np.intp))
    assert factor > 1.5  # with so much regularisation, the logits are too small
    np.testing.assert_allclose(held_out.logits, factor * raw, rtol=1e-3, atol=1e-5)
    assert held_out.factor == pytest.approx(factor, rel=1e-3)

    learnt = data.train + data.validation if use_validation_rows else data.train
    texts = data.rows["text"]
    np.testing.assert_allclose(
        model.score_texts(texts),
        factor * fit_without_folds(learnt).score_texts(texts),
        rtol=1e-3,
        atol=1e-5,
    )


def test_characters_are_read_if_that_is_better_for_unseen_reviews(
    data: Data, training: TrainingParameters
) -> None:
    rng = np.random.default_rng(0)

    def fit(make_text: Callable[[int], str]) -> NgramModel:
        rows = data.rows.reset_index()
        model, held_out = fit_ngrams(
            [rows.assign(text=rows["code"].map(make_text))],
            [],
            data.train,
            data.validation,
            folds=find_folds(data.train, data.validation, 2),
            training=training,
            script="auto",
        )
        right = (held_out.logits[:, 0] > 0) == data.rows["code"][held_out.rows]
        assert right.mean() > 0.9
        return model

    def inflect(code: int) -> str:
        return " ".join(f"{stem}{['ing', 'est'][code]}" for stem in rng.integers(1000, size=4))

    def reverse(code: int) -> str:
        number = rng.integers(10**6)
        return f"{number} {['not good', 'good not'][code]} {number}"

    assert fit(inflect).character_ngram == 4
    assert fit(reverse).character_ngram == 0


@pytest.mark.parametrize(("n_held_out", "weight"), [(99, 0.5), (100, 1)])
def test_with_few_held_out_rows_no_weight_is_chosen(
    n_held_out: int,
    weight: float,
    training: TrainingParameters,
) -> None:
    data = make_data(300)
    rows = data.rows.reset_index()
    endings = ["ing", "est"]
    rows["text"] = [f"{row} so {row}{endings[code]}" for row, code in enumerate(rows["code"])]
    held_out = data.train.take(np.arange(n_held_out))
    model, _ = fit_ngrams(
        [rows],
        [],
        data.validation,
        held_out,
        folds=find_folds(data.validation, held_out, 1),
        training=training,
        script="auto",
    )
    assert model.character_weight == weight


@pytest.mark.parametrize(("n_held_out", "has_limits"), [(99, True), (100, False)])
def test_with_few_held_out_rows_the_factor_of_the_ngrams_has_limits(
    *,
    n_held_out: int,
    has_limits: bool,
    training: TrainingParameters,
) -> None:
    data = make_data(300)
    ngrams = training.ngrams.model_copy(update={"inverse_regularisation": 0.01})
    held_out = data.train.take(np.arange(n_held_out))
    learnt, scored = (data.hash_texts(reviews, ngrams) for reviews in (data.validation, held_out))

    def find_factor(codes: npt.NDArray[np.integer]) -> float:
        def prepare(_: bool) -> NgramRegression:
            return NgramRegression(learnt, data.validation.codes, 2, ngrams)

        return choose_ngram_weights(
            [Fold(prepare, scored, codes)], ngrams, has_unlabelled=False, label_weights=None
        ).factor

    lowest, highest = find_factor(1 - held_out.codes), find_factor(held_out.codes)
    if has_limits:
        assert (lowest, highest) == (0.5, 2)
    else:
        assert lowest == pytest.approx(0.05)
        assert highest > 2


@pytest.mark.parametrize("n_labels", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("noise", [0, 1, 4])
def test_the_chosen_weight_has_the_lowest_log_loss(
    noise: int,
    n_labels: int,
    training: TrainingParameters,
) -> None:
    data = make_data(450, n_labels)
    rng = np.random.default_rng(noise)
    rows = data.rows.reset_index()
    endings = np.array(["ing", "est", "ful"])
    rows["text"] = [
        f"{text} {rng.integers(60)}{endings[code if rng.random() > noise / 4 else 0]}"
        for text, code in zip(rows["text"], rows["code"], strict=True)
    ]
    data = replace(data, chunks=[rows])
    validation = data.train  # more of them
    losses = {}
    for weight in CHARACTER_WEIGHTS:
        given = training.ngrams.model_copy(update={"character_weight": weight})
        hashes = data.hash_texts(data.validation, given)
        model = fit_ngram_model(hashes, data.validation.codes, n_labels, given)
        logits = model.score(data.hash_texts(validation, given))
        if n_labels == 2:
            logits = np.hstack([np.zeros_like(logits), logits])
        losses[weight] = min(
            log_loss(validation.codes, softmax(scale * logits, axis=1))
            for scale in np.geomspace(0.1, 10, 100)
        )
    model, _ = fit_ngrams(
        data.chunks,
        [],
        data.validation,
        validation,
        folds=find_folds(data.validation, validation, 1),
        training=training,
        script="auto",
    )
    assert model.character_weight == min(losses, key=lambda weight: losses[weight])


def make_synonyms(
    rng: np.random.Generator, codes: Iterable[int], n_words: int, n_synonyms: int = 150
) -> list[str]:
    """Return texts of words that are all of one label, but of which each occurs rarely."""
    return [
        " ".join(f"w{code}x{number}" for number in rng.integers(n_synonyms, size=n_words))
        for code in codes
    ]


def test_unlabelled_reviews_tell_which_words_mean_the_same(
    data: Data, training: TrainingParameters
) -> None:
    rng = np.random.default_rng(0)
    rows = data.rows.reset_index()
    rows["text"] = make_synonyms(rng, rows["code"], 2)
    texts = make_synonyms(rng, [0, 1] * 500, 12)
    chunks = [pd.DataFrame({"text": texts[:300]}), pd.DataFrame({"text": texts[300:]})]
    accuracies = []
    for unlabelled, dimensions in [(chunks, 200), (chunks, 0), ([], 200)]:
        model, held_out = fit_ngrams(
            [rows],
            iter(unlabelled),
            data.train,
            data.validation,
            folds=find_folds(data.train, data.validation, 2),
            training=with_ngrams(training, latent_dimensions=dimensions, character_ngram=0),
            script="auto",
        )
        right = (held_out.logits[:, 0] > 0) == data.rows["code"][held_out.rows]
        accuracies.append(right.mean())
        assert (model.latent_weight > 0) == bool(unlabelled and dimensions)
    assert accuracies[0] > 0.93
    assert max(accuracies[1:]) < 0.9


@pytest.mark.parametrize("is_telling", [True, False])
def test_the_chosen_latent_weight_has_the_lowest_log_loss(
    *,
    is_telling: bool,
    training: TrainingParameters,
) -> None:
    data = make_data(450)
    rng = np.random.default_rng(0)
    rows = data.rows.reset_index()
    noisy = np.where(rng.random(len(rows)) < 0.2, 1 - rows["code"], rows["code"])
    rows["text"] = make_synonyms(rng, noisy, 3, n_synonyms=50)
    texts = make_synonyms(rng, [0, 1] * 200, 12, n_synonyms=50)
    if not is_telling:
        pairs = [f"w0x{number} w1x{number}" for number in range(50)]  # of opposite words
        texts = [" ".join(rng.choice(pairs, 6, replace=False)) for _ in range(400)]
    parameters = training.ngrams.model_copy(update={"character_ngram": 0})
    by_row = rows.set_index("row")["text"]
    learnt, scored, unlabelled = (
        [hash_ngrams(text, parameters.max_ngram) for text in some]
        for some in (by_row[data.validation.rows], by_row[data.train.rows], texts)
    )
    regression = NgramRegression(
        learnt, data.validation.codes, 2, parameters, unlabelled=unlabelled
    )
    alone = NgramRegression(learnt, data.validation.codes, 2, parameters)
    losses = {}
    for weight in (0.0, *LATENT_WEIGHTS):
        fitted = regression if weight else alone
        logits = fitted.fit(NgramWeights(0, weight)).score(scored)[:, 0]
        losses[weight] = min(
            log_loss(data.train.codes, expit(scale * logits))
            for scale in np.geomspace(0.1, 10, 100)
        )
    model, _ = fit_ngrams(
        [rows],
        [pd.DataFrame({"text": texts})],
        data.validation,
        data.train,  # more of them
        folds=find_folds(data.validation, data.train, 1),
        training=training.model_copy(update={"ngrams": parameters}),
        script="auto",
    )
    assert model.latent_weight == min(losses, key=lambda weight: losses[weight])
    assert (model.latent_weight > 0) == is_telling
    assert model.unlabelled_reviews == (400 if model.latent_weight else 0)


def test_of_very_many_unlabelled_reviews_some_are_drawn(
    data: Data,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them has a word of its own, which the model knows if the review was drawn."""
    monkeypatch.setattr("imdb_sentiment.network.ngrams.MAX_LATENT_UNLABELLED", 50)
    words = [f"unlabelled{number}" for number in range(200)]
    chunks = [pd.DataFrame({"text": words[:130]}), pd.DataFrame({"text": words[130:]})]

    def draw(seed: int) -> set[str]:
        chosen = with_ngrams(
            training, min_document_frequency=1, character_ngram=0, latent_dimensions=50
        )
        model, _ = fit_ngrams(
            data.chunks,
            chunks,
            data.train,
            data.validation,
            folds=find_folds(data.train, data.validation, evaluate_on="test"),
            training=chosen.model_copy(update={"seed": seed}),
            script="auto",
        )
        return {word for word in words if hash_ngrams(word, 1)[0] in model.hashes}

    drawn = draw(0)
    assert len(drawn) == 50
    assert 5 < len(drawn & set(words[:50])) < 30
    assert drawn & set(words[130:])
    assert draw(0) == drawn != draw(1)


@pytest.mark.parametrize(
    ("n_held_out", "evaluate_on", "n_unlabelled", "max_labelled", "is_used"),
    [
        (99, "validation", 200, 1000, True),  # too few reviews to compare
        (99, "test", 200, 1000, True),
        (99, "validation", 199, 1000, False),  # fewer than dimensions
        (99, "validation", 200, 170, True),
        (99, "validation", 200, 158, False),  # more labelled reviews than the limit
    ],
)
def test_without_a_comparison_the_latent_weight_is_the_default(
    *,
    n_held_out: int,
    evaluate_on: str,
    n_unlabelled: int,
    max_labelled: int,
    is_used: bool,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imdb_sentiment.network.ngrams.MAX_LATENT_LABELLED", max_labelled)
    data = make_data(300, n_labels=3)
    texts = make_synonyms(np.random.default_rng(0), [0, 1] * 100, 12)[:n_unlabelled]
    held_out = data.train.take(np.arange(n_held_out))
    learnt = len(data.validation) + n_held_out
    assert 158 < learnt <= 170
    model, _ = fit_ngrams(
        data.chunks,
        [pd.DataFrame({"text": texts})],
        data.validation,
        held_out,
        folds=find_folds(data.validation, held_out, 1, evaluate_on=evaluate_on),
        training=training.model_copy(update={"class_weight": "balanced"}),
        script="auto",
    )
    assert model.latent_weight == (DEFAULT_LATENT_WEIGHT if is_used else 0)
    assert model.unlabelled_reviews == (200 if is_used else 0)


@pytest.mark.parametrize("n_unlabelled", [0, 300])
def test_held_out_logits_know_nothing_of_their_rows(
    n_unlabelled: int,
    data: Data,
    training: TrainingParameters,
) -> None:
    """Each review has a word of its own, so a model can learn random labels by heart."""
    rng = np.random.default_rng(1)
    train, validation = (
        replace(part, codes=rng.integers(2, size=len(part), dtype=np.uint8))
        for part in (data.train, data.validation)
    )
    texts = make_texts(make_encoded(n_unlabelled, seed=9)) if n_unlabelled else []
    by_heart = with_ngrams(training, min_document_frequency=1, inverse_regularisation=1000)
    model, held_out = fit_ngrams(
        data.chunks,
        [pd.DataFrame({"text": texts})],
        train,
        validation,
        folds=find_folds(train, validation),
        training=by_heart,
        script="auto",
    )
    pool = train + validation
    codes = pd.Series(pool.codes, pool.rows)
    known = model.score_texts(data.rows["text"][pool.rows])[:, 0] > 0
    unseen = held_out.logits[:, 0] > 0
    assert len(unseen) == len(pool) == 240
    assert (known == pool.codes).mean() == 1
    assert 0.35 < (unseen == codes[held_out.rows]).mean() < 0.65


class Taught:
    """Labelled reviews and unlabelled ones of synonyms, and networks that predict labels.

    Args:
        data: The labelled reviews.
        quality: Mean log-odds that the networks give to the right label of an unlabelled review.

    """

    def __init__(self, data: Data, quality: float = 2.0) -> None:
        rng = np.random.default_rng(0)
        self.data = data
        self.labelled = data.rows.reset_index()
        self.labelled["text"] = make_synonyms(rng, self.labelled["code"], 2)
        codes = np.array([0, 1] * 500)
        rows = np.arange(1, 1001)
        texts = make_synonyms(rng, codes, 12)
        self.unlabelled = pd.DataFrame({"row": 3 * rows, "text": texts})
        # Their only token is their number.
        tokens = rows.reshape(-1, 1).astype(np.uint16)
        self.labels = PseudoLabels(tokens, np.full((1000, 2), 0.5, np.float32), 3 * rows)
        right = np.where(codes == 1, quality, -quality)[:, np.newaxis]
        self.logits: list[npt.NDArray[np.float64]] = [
            right + rng.normal(size=right.shape) for _ in range(3)
        ]
        pool = data.train + data.validation
        truth = np.where(rng.random(len(pool)) < 0.8, pool.codes, 1 - pool.codes)
        self.by_row = dict(zip(pool.rows.tolist(), 4.0 * truth - 2, strict=True))

    def teach(
        self,
        training: TrainingParameters,
        monkeypatch: pytest.MonkeyPatch,
        n_folds: Any = "auto",
        **changes: Any,
    ) -> tuple[tuple[NgramModel, HeldOutLogits], tuple[NgramModel, HeldOutLogits]]:
        """Return what `fit_ngrams` returns, and then `teach_ngrams`."""

        def score(_: object, sequences: npt.NDArray[np.unsignedinteger]) -> Any:
            return self.logits[2][sequences[:, 0] - 1]

        monkeypatch.setattr(cotraining, "score_logits", score)
        common: dict[str, Any] = {
            "clean_reviews": [self.labelled],
            "train": self.data.train,
            "validation": self.data.validation,
            "folds": find_folds(self.data.train, self.data.validation, n_folds),
            "training": training,
            "script": "auto",
        }
        first = fit_ngrams(clean_unlabelled_reviews=[], **common)
        sets = pair_reviews(self.data.train, self.data.validation, common["folds"])
        rows = np.concatenate([scored.rows for _, scored in sets])
        known = np.array([[self.by_row[row]] for row in rows.tolist()])
        given: dict[str, Any] = {
            "network_held_out": HeldOutLogits(rows, known, tuple(self.logits[: len(sets)])),
            "pseudo_labels": (self.labels,),
        }
        taught = teach_ngrams(
            first_ngram_model=first[0],
            first_ngrams_held_out=first[1],
            model="the final network",
            clean_unlabelled_reviews=[self.unlabelled[:300], self.unlabelled[300:]],
            **common | given | changes,
        )
        return first, taught


@pytest.mark.parametrize("folds", [1, 2])
@pytest.mark.parametrize("share", ["auto", 0.5, 1])
def test_ngrams_learn_the_labels_that_networks_predict(
    *,
    share: Any,
    folds: int,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = with_ngrams(training, character_ngram=0, share=share)
    data = make_data(600)
    first, (model, held_out) = Taught(data).teach(chosen, monkeypatch, folds)
    assert (first[0].unlabelled_reviews, model.unlabelled_reviews) == (0, 1000)
    codes = data.rows["code"][held_out.rows].to_numpy(np.intp)
    np.testing.assert_array_equal(first[1].rows, held_out.rows)
    losses = [log_loss(codes, expit(some.logits[:, 0])) for some in (first[1], held_out)]
    assert losses[1] < 0.5 * losses[0]
    texts = make_synonyms(np.random.default_rng(1), [0, 1] * 50, 12)
    found = expit(model.score_texts(texts)[:, 0])
    assert log_loss([0, 1] * 50, found) < 0.1


@pytest.mark.parametrize("share", ["auto", 0.5, 1])
def test_wrong_labels_are_not_learnt(
    *,
    share: Any,
    data: Data,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    chosen = with_ngrams(training, character_ngram=0, share=share)
    first, taught = Taught(data, quality=-9).teach(chosen, monkeypatch, 2)
    assert taught == first
    assert (
        "are not trained on predictions of the network: the average would be no better"
        in caplog.text
    )


def note_pseudo_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> list[tuple[int, npt.NDArray[np.float64]]]:
    """Return a list that gets an entry for each fit to pseudo-labels.

    An entry is the number of labelled reviews, and the probability of the second label for each
    unlabelled one.
    """
    learnt: list[tuple[int, npt.NDArray[np.float64]]] = []

    def note(
        *args: Any, pseudo_labelled: PseudoLabelled | None = None, **kwargs: Any
    ) -> NgramRegression:
        if pseudo_labelled:
            learnt.append((len(args[0]), pseudo_labelled.probabilities[:, 1]))
        return NgramRegression(*args, pseudo_labelled=pseudo_labelled, **kwargs)

    monkeypatch.setattr(ngram_regression, "NgramRegression", note)
    return learnt


@pytest.mark.parametrize("use_validation_rows", [True, False])
@pytest.mark.parametrize("folds", [1, 2])
def test_each_model_learns_from_the_network_that_has_seen_the_same_reviews(
    *,
    folds: int,
    use_validation_rows: bool,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = make_data(600)
    learnt = note_pseudo_labels(monkeypatch)
    taught = Taught(data)
    chosen = with_ngrams(training, character_ngram=0)
    chosen = chosen.model_copy(update={"use_validation_rows": use_validation_rows})
    taught.teach(chosen, monkeypatch, folds)
    n_train, n_pool = len(data.train), len(data.train + data.validation)
    expected = {1: [(n_train, 0)], 2: [(n_pool // 2, 0), (n_pool // 2, 1)]}[folds]
    expected.append((n_pool if use_validation_rows else n_train, 2))  # the final one
    assert [n for n, _ in learnt] == [n for n, _ in expected]
    for (_, probabilities), (_, network) in zip(learnt, expected, strict=True):
        similar = [
            np.corrcoef(np.log(probabilities / (1 - probabilities)), logits[:, 0])[0, 1]
            for logits in taught.logits
        ]
        assert np.argmax(similar) == network


@pytest.mark.parametrize(("character_ngram", "n_learnt"), [(0, 200), (4, 50)])
def test_of_the_unlabelled_reviews_those_are_learnt_that_networks_have_scored(
    *,
    character_ngram: int,
    n_learnt: int,
    data: Data,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taught = Taught(data)
    words = [f"own{row}" for row in taught.unlabelled["row"]]
    taught.unlabelled["text"] += [f" {word}" for word in words]
    of_networks = [np.random.default_rng(seed).normal(0, 5, (1000, 1)) for seed in range(3)]
    chosen = np.linspace(0, 999, 200).round().astype(int)
    taught.logits = [of_networks[0][chosen], of_networks[1][chosen], of_networks[2]]
    monkeypatch.setattr(cotraining, "MAX_UNLABELLED_WITH_CHARACTERS", 50)
    losses = iter([1.0, 0.5])  # of the first n-grams, and of the taught ones, which are kept
    monkeypatch.setattr(cotraining, "measure_log_loss", lambda *_: next(losses))
    every_word = with_ngrams(
        training, min_document_frequency=1, character_ngram=character_ngram, character_weight=0.5
    )
    labels = note_pseudo_labels(monkeypatch)
    _, (model, _) = taught.teach(every_word, monkeypatch, 2)
    assert model.unlabelled_reviews == n_learnt
    learnt = chosen[np.linspace(0, 199, n_learnt).round().astype(int)]
    for (_, probabilities), logits in zip(labels, of_networks, strict=True):
        both = np.stack([logit(probabilities), logits[learnt, 0]])
        of_one_label = both[:, learnt % 2 == 1]  # which the n-grams hardly tell apart
        assert np.corrcoef(of_one_label)[0, 1] > 0.6
    known = [number for number, word in enumerate(words) if hash_ngrams(word, 1)[0] in model.hashes]
    np.testing.assert_array_equal(known, learnt)


def test_taught_held_out_logits_know_nothing_of_their_rows(
    data: Data,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each review has a word of its own, so a model can learn random labels by heart."""
    rng = np.random.default_rng(1)
    train, validation = (
        replace(part, codes=rng.integers(2, size=len(part), dtype=np.uint8))
        for part in (data.train, data.validation)
    )
    random = replace(data, train=train, validation=validation)
    taught = Taught(random)
    taught.labelled["text"] = data.rows["text"].tolist()
    taught.unlabelled["text"] = make_texts(make_encoded(1000, seed=9))
    taught.by_row = {row: rng.normal() for row in taught.by_row}
    losses = iter([1.0, 0.5])  # of the first n-grams, and of the taught ones, which are kept
    monkeypatch.setattr(
        "imdb_sentiment.pipelines.training.cotraining.measure_log_loss", lambda *_: next(losses)
    )
    by_heart = with_ngrams(
        training, min_document_frequency=1, inverse_regularisation=1000, character_weight=1
    )
    pool = train + validation
    codes = pd.Series(pool.codes, pool.rows)
    _, (model, held_out) = taught.teach(by_heart, monkeypatch)
    assert model.unlabelled_reviews == 1000
    known = model.score_texts(data.rows["text"][pool.rows])[:, 0] > 0
    assert (known == pool.codes).mean() > 0.95
    unseen = held_out.logits[:, 0] > 0
    assert len(unseen) == len(pool) == 240
    assert 0.35 < (unseen == codes[held_out.rows]).mean() < 0.65


@pytest.mark.parametrize("missing", ["labels", "logits", "share"])
def test_without_anything_to_learn_the_ngrams_are_the_first_ones(
    *,
    missing: str,
    data: Data,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes: dict[str, Any] = {}
    if missing == "labels":
        changes["pseudo_labels"] = ()
    if missing == "logits":
        changes["network_held_out"] = HeldOutLogits(data.train.rows, np.zeros((180, 1)))
    chosen = with_ngrams(training, share=0) if missing == "share" else training
    (model, held_out), taught = Taught(data).teach(chosen, monkeypatch, **changes)
    assert taught[0] is model
    assert taught[1] is held_out


def test_too_many_ngrams_of_both_kinds_of_reviews_are_left_out(
    *,
    data: Data,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("imdb_sentiment.network.ngrams.MAX_ENTRIES", 5000)
    caplog.set_level("INFO")
    chosen = with_ngrams(training, character_ngram=0)
    first, taught = Taught(data).teach(chosen, monkeypatch)
    assert taught == first
    assert (
        "are not trained on predictions of the network: 1,120 reviews have more than" in caplog.text
    )


def test_other_held_out_reviews_of_the_network_are_refused(
    data: Data,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taught = Taught(data)
    others = HeldOutLogits(data.train.rows + 1000, np.zeros((180, 1)), taught.logits[:2])
    with pytest.raises(InputError, match="no longer match the data"):
        taught.teach(training, monkeypatch, network_held_out=others)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_without_unseen_rows_the_ngrams_are_not_scaled(
    n_labels: int, training: TrainingParameters
) -> None:
    data = make_data(150, n_labels)
    spoilt = data.rows.reset_index()
    spoilt.loc[spoilt["split"] == "test", "text"] = None  # not read
    model, held_out = fit_ngrams(
        [spoilt],
        [],
        data.train,
        data.validation,
        folds=find_folds(data.train, data.validation, evaluate_on="test"),
        training=training,
        script="auto",
    )
    pool = data.train + data.validation
    hashes = data.hash_texts(pool, training.ngrams)
    expected = fit_ngram_model(hashes, pool.codes, n_labels, training.ngrams)
    np.testing.assert_array_equal(model.score(hashes), expected.score(hashes))
    assert model.character_weight == 0.5
    assert held_out.rows.shape == (0,)
    assert held_out.logits.shape == (0, {2: 1, 3: 3}[n_labels])


@pytest.mark.parametrize("n_labels", [2, 3])
def test_without_a_share_no_ngrams_are_learnt(n_labels: int, training: TrainingParameters) -> None:
    reviews = make_encoded(40, n_labels)
    model, held_out = fit_ngrams(
        [],  # the texts are not read
        [],
        reviews,
        reviews,
        folds=find_folds(reviews, reviews),
        training=with_ngrams(training, share=0),
        script="auto",
    )
    outputs = {2: 1, 3: 3}[n_labels]
    np.testing.assert_array_equal(model.score_texts(["a superb film"]), np.zeros((1, outputs)))
    assert held_out.rows.shape == (0,)
    assert held_out.logits.shape == (0, outputs)


def make_held_out(
    n: int = 200, n_labels: int = 2
) -> tuple[EncodedReviews, HeldOutLogits, HeldOutLogits]:
    """Return reviews, and logits of two models that predict each in its own way."""
    rng = np.random.default_rng(0)
    reviews = make_encoded(n, n_labels)
    reviews = replace(reviews, rows=rng.permutation(10 * n)[:n])
    truth = (
        2.0 * reviews.codes[:, None] - 1 if n_labels == 2 else 2 * np.eye(n_labels)[reviews.codes]
    )
    network, ngrams = (
        HeldOutLogits(reviews.rows, strength * (truth + rng.normal(scale=2, size=truth.shape)))
        for strength in (0.5, 0.2)
    )
    return reviews, network, ngrams


def average(
    network: HeldOutLogits,
    ngrams: HeldOutLogits,
    reviews: EncodedReviews,
    training: TrainingParameters,
    *,
    evaluate_on: str = "validation",
) -> dict[str, Any]:
    """Call `fit_average` with half of the reviews for training and half for validation."""
    half = len(reviews) // 2
    train, validation = reviews.take(np.arange(half)), reviews.take(np.arange(half, len(reviews)))
    return fit_average(
        network_held_out=network,
        ngrams_held_out=ngrams,
        train=train,
        validation=validation,
        folds=find_folds(train, validation, 1, evaluate_on=evaluate_on),
        training=training,
    )


def decide(
    network: HeldOutLogits,
    ngrams: HeldOutLogits,
    reviews: EncodedReviews,
    metric: MetricName,
    training: TrainingParameters,
    *,
    are_ordered: bool = False,
) -> dict[str, Any]:
    """Call `fit_average` and `fit_decision` with the same reviews."""
    half = len(reviews) // 2
    return fit_decision(
        network_held_out=network,
        ngrams_held_out=ngrams,
        calibration=average(network, ngrams, reviews, training),
        train=reviews.take(np.arange(half)),
        validation=reviews.take(np.arange(half, len(reviews))),
        metric=make_metric(metric, None, reviews.labels, are_ordered=are_ordered),
        are_ordered=are_ordered,
        training=training,
    )


def make_rare(n_labels: int) -> tuple[EncodedReviews, HeldOutLogits, HeldOutLogits]:
    """Return held-out reviews of which few have the last label."""
    reviews, network, ngrams = make_held_out(n=600, n_labels=n_labels)
    rng = np.random.default_rng(0)
    kept = np.flatnonzero((reviews.codes < n_labels - 1) | (rng.random(600) < 0.15))
    return reviews.take(kept), reorder(network, kept), reorder(ngrams, kept)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_without_a_wish_the_most_probable_label_is_predicted(
    n_labels: int, training: TrainingParameters
) -> None:
    reviews, network, ngrams = make_rare(n_labels)
    decision = decide(network, ngrams, reviews, "accuracy", training)
    assert list(decision["label_weights"].values()) == pytest.approx([1] * n_labels)
    assert (decision["aim"], decision["unfitted_reason"]) == (None, None)
    assert decision["threshold"] == (0.5 if n_labels == 2 else None)
    assert json.loads(json.dumps(decision)) == decision


@pytest.mark.parametrize(("n_labels", "decision_by"), [(2, "threshold"), (3, "auto")])
def test_thresholds_are_chosen_for_the_metric_on_held_out_reviews(
    n_labels: int, decision_by: str, training: TrainingParameters
) -> None:
    reviews, network, ngrams = make_rare(n_labels)
    chosen = training.model_copy(update={"decision": decision_by, "min_confidence": 0.2})
    decision = decide(network, ngrams, reviews, "f1_macro", chosen)
    weights = np.array(list(decision["label_weights"].values()))
    fitted = average(network, ngrams, reviews, chosen)["weights"]
    probabilities = Weights(**fitted).average(network.logits, ngrams.logits)
    plain, best = (
        f1_score(reviews.codes, (probabilities * factors).argmax(axis=1), average="macro")
        for factors in (np.ones(n_labels), weights)
    )
    assert decision["before"] == pytest.approx(plain)
    assert plain < decision["after"] < best  # on reviews that weights were not chosen on
    assert decision["unfitted_reason"] is None
    assert (decision["aim"], decision["min_confidence"]) == ("macro F1", 0.2)
    if n_labels == 2:
        is_second = probabilities[:, 1] > decision["threshold"]
        np.testing.assert_array_equal((probabilities * weights).argmax(axis=1), is_second)
    else:
        assert decision["threshold"] is None


@pytest.mark.parametrize("class_weight", [None, {"14": 3.0}])
def test_weights_that_do_not_help_with_other_reviews_are_not_chosen(
    class_weight: ClassWeight, training: TrainingParameters
) -> None:
    """Many labels with few reviews each, for which the most probable label is the best."""
    reviews, network, ngrams = make_held_out(n=300, n_labels=30)
    reviews = replace(reviews, labels=tuple(str(code) for code in range(30)))
    weighted = training.model_copy(update={"class_weight": class_weight})
    decision = decide(network, ngrams, reviews, "f1_macro", weighted)
    without = decide(network, ngrams, reviews, "accuracy", weighted)
    assert decision["label_weights"] == without["label_weights"]
    assert (decision["aim"], decision["unfitted_reason"]) == ("macro F1", "no_gain")
    assert decision["after"] == decision["before"]


def test_ordered_labels_are_predicted_by_their_median(training: TrainingParameters) -> None:
    reviews, network, ngrams = make_rare(3)
    decision = decide(network, ngrams, reviews, "mean_absolute_error", training, are_ordered=True)
    fitted = average(network, ngrams, reviews, training)["weights"]
    probabilities = Weights(**fitted).average(network.logits, ngrams.logits)
    medians = DecisionRule(np.ones(3), is_median=True).choose(probabilities)
    assert decision["is_median"]
    assert decision["aim"] == "mean absolute error"
    for name, predicted in (("before", probabilities.argmax(axis=1)), ("after", medians)):
        error = mean_absolute_error(reviews.codes, predicted)
        assert decision[name] == pytest.approx(error)
    by_hand = training.model_copy(update={"decision": "median"})
    wished = decide(network, ngrams, reviews, "accuracy", by_hand, are_ordered=True)
    assert wished["is_median"]
    assert wished["aim"] is None  # the median does not suit the accuracy
    with pytest.raises(InputError, match=r"set reviews\.ordered: true, or another decision"):
        decide(network, ngrams, reviews, "accuracy", by_hand)


def test_a_median_that_is_worse_is_not_predicted(training: TrainingParameters) -> None:
    metric = make_metric("mean_absolute_error", None, LABELS, are_ordered=True)
    probabilities = np.tile([0.46, 0.1, 0.44], (40, 1))
    codes = np.zeros(40, np.intp)  # the most probable label; the median is the second
    for decision, is_median in (("auto", False), ("median", True)):
        asked = training.model_copy(update={"decision": decision})
        start = DecisionRule(np.ones(3), is_median=True)
        chosen = choose_rule(
            probabilities, codes, LABELS, metric=metric, training=asked, start=start
        )
        assert chosen.rule.is_median == is_median


def test_instead_of_a_median_that_is_worse_the_rule_is_chosen_that_was_measured(
    training: TrainingParameters,
) -> None:
    """With class weights, it has these, too: without them, it would predict another label here."""
    metric = make_metric("mean_absolute_error", None, LABELS, are_ordered=True)
    probabilities = np.tile([0.3, 0.4, 0.3], (40, 1))
    start = DecisionRule(np.array([1.2, 0.2, 1.1]), is_median=True)
    chosen = choose_rule(
        probabilities, np.zeros(40, np.intp), LABELS, metric=metric, training=training, start=start
    )
    assert (start.choose(probabilities) == 1).all()
    assert (chosen.rule.choose(probabilities) == 0).all()


def test_class_weights_do_not_cost_the_median(training: TrainingParameters) -> None:
    """With them, errors are larger: the median is compared with a label that has them, too."""
    reviews, network, ngrams = make_rare(3)
    weighted = training.model_copy(update={"class_weight": {LABELS[2]: 3.0}})
    first, second = (
        replace(part, logits=part.logits + np.log([1, 1, 3])) for part in (network, ngrams)
    )
    decision = decide(first, second, reviews, "mean_absolute_error", weighted, are_ordered=True)
    weights = decision["label_weights"]
    assert weights[LABELS[2]] > 2 * weights[LABELS[0]]
    assert decision["is_median"]
    assert decision["after"] < decision["before"]


def test_a_wanted_recall_is_reached(training: TrainingParameters) -> None:
    reviews, network, ngrams = make_rare(2)
    settings = training.model_dump() | {"decision": "threshold"}
    wanted = {"label": "positive", "recall": 0.9}
    chosen = TrainingParameters(**settings | {"decision_target": wanted})
    decision = decide(network, ngrams, reviews, "log_loss", chosen)
    assert decision["before"] < 0.9 < decision["after"] < 1  # by a margin for new reviews
    assert decision["aim"] == "recall of positive of at least 0.9"
    missing = TrainingParameters(**settings | {"decision_target": wanted | {"label": "awful"}})
    with pytest.raises(InputError, match="decision_target names the label 'awful', which"):
        decide(network, ngrams, reviews, "accuracy", missing)
    with pytest.raises(InputError, match=r"tuning\.metric is log_loss, which does not depend"):
        decide(network, ngrams, reviews, "log_loss", TrainingParameters(**settings))
    with pytest.raises(ValidationError, match="needs decision: threshold, or auto"):
        TrainingParameters(**settings | {"decision_target": wanted, "decision": "argmax"})
    with pytest.raises(ValidationError, match="either a precision or a recall"):
        TrainingParameters(**settings | {"decision_target": wanted | {"precision": 0.5}})


def test_a_precision_out_of_reach_changes_nothing(
    training: TrainingParameters, caplog: pytest.LogCaptureFixture
) -> None:
    """The surest predictions of the label are wrong."""
    reviews, network, ngrams = make_rare(2)
    codes = reviews.codes.copy()
    codes[np.argsort(-network.logits[:, 0] - ngrams.logits[:, 0])[:60]] = 0
    wanted = {"label": "positive", "precision": 0.99}
    settings = training.model_dump() | {"decision": "threshold", "decision_target": wanted}
    chosen = TrainingParameters(**settings)
    decision = decide(network, ngrams, replace(reviews, codes=codes), "accuracy", chosen)
    assert decision["unfitted_reason"] == "out_of_reach"
    assert decision["threshold"] == 0.5
    assert "No threshold reaches a precision of positive of at least 0.99" in caplog.text


def test_a_target_of_a_label_without_held_out_reviews_is_given_up(
    training: TrainingParameters, caplog: pytest.LogCaptureFixture
) -> None:
    reviews, network, ngrams = make_rare(2)
    none = replace(reviews, codes=np.zeros_like(reviews.codes))
    wanted = {"label": "positive", "recall": 0.9}
    chosen = TrainingParameters(**training.model_dump() | {"decision_target": wanted})
    decision = decide(network, ngrams, none, "accuracy", chosen)
    assert decision["unfitted_reason"] == "too_few_rows_of_label"
    assert (decision["aim"], decision["before"]) == ("recall of positive of at least 0.9", None)
    assert decision["threshold"] == 0.5
    assert f"Fewer than 10 of {len(none)} held-out reviews have the label of" in caplog.text


def test_the_baseline_gets_thresholds_where_the_model_does(
    data: Data,
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
) -> None:
    """Chosen on predictions of pipelines that have not learnt from the rows."""

    def make_rare(reviews: EncodedReviews) -> EncodedReviews:
        return reviews.take(np.flatnonzero((reviews.codes == 0) | (reviews.rows % 6 == 0)))

    train, validation = make_rare(data.train), make_rare(data.validation)
    rows = data.rows.loc[[*train.rows, *validation.rows]].reset_index()

    def fit_with(metric: MetricName = "accuracy", **protocol: Any) -> tuple[Any, dict[str, float]]:
        baseline, decision = fit_baseline(
            [rows],
            train=train,
            validation=validation,
            baseline=baseline_parameters,
            metric=make_metric(metric, None, REVIEWS.labels, are_ordered=False),
            folds=find_folds(train, validation, **protocol),
            training=training,
            reviews=REVIEWS,
            script="auto",
        )
        assert decision["has_thresholds"] == (decision["label_weights"] != even)
        return baseline, decision["label_weights"]

    even = {"negative": 1.0, "positive": 1.0}

    (plain, usual), (tuned, weights) = fit_with(), fit_with(metric="f1_macro")
    assert usual == even
    assert weights["positive"] > weights["negative"]
    np.testing.assert_allclose(
        plain.predict_proba(rows["text"]), tuned.predict_proba(rows["text"]), atol=1e-6
    )
    assert len(validation) < 100  # too few to choose a threshold for the model
    assert fit_with(metric="f1_macro", folds=1)[1] == even
    assert fit_with(metric="f1_macro", evaluate_on="test")[1] == even


@pytest.mark.parametrize("most", [150, 5000])
def test_the_thresholds_of_the_baseline_are_chosen_on_the_reviews_of_the_model(
    *,
    most: int,
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A trial stores the predictions of some of many held-out reviews. Only the model warns."""
    pool = make_encoded(240)
    words = np.array(["bad film", "good film"])[pool.codes]
    chunk = pd.DataFrame({"row": pool.rows, "text": words, "code": pool.codes, "split": "train"})
    monkeypatch.setattr("imdb_sentiment.pipelines.tuning.protocol.MAX_STORED_ROWS", most)
    wanted = {"label": "positive", "precision": 0.999}  # out of reach with so few
    given = []

    def choose(
        probabilities: npt.NDArray[np.float64],
        codes: npt.NDArray[np.integer],
        *rest: Any,
        **by: Any,
    ) -> Choice:
        given.append(codes)
        return choose_rule(probabilities, codes, *rest, **by)

    monkeypatch.setattr("imdb_sentiment.pipelines.training.baseline.choose_rule", choose)
    fit_baseline(
        [chunk],
        train=pool.take(np.arange(180)),
        validation=pool.take(np.arange(180, 240)),
        baseline=baseline_parameters,
        metric=ACCURACY,
        folds=find_folds(pool.take(np.arange(180)), pool.take(np.arange(180, 240)), 2),
        training=TrainingParameters(**training.model_dump() | {"decision_target": wanted}),
        reviews=REVIEWS,
        script="auto",
    )
    assert [len(codes) for codes in given] == [min(most, 240)]
    assert not caplog.records


def test_the_thresholds_of_the_baseline_do_not_divide_groups(
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All texts of a group are one word, which is new to a pipeline that has not seen the group."""
    groups = np.arange(240) // 6
    words = pd.Series(groups).map(lambda group: "ab"[group % 2] * (group // 2 + 2))
    pool = replace(make_encoded(240), groups=groups.astype(np.uint64))
    chunk = pd.DataFrame({"row": pool.rows, "text": words, "code": pool.codes, "split": "train"})
    given = []

    def choose(probabilities: npt.NDArray[np.float64], *_: object, start: Any, **by: Any) -> Any:
        given.append(probabilities)
        by_group = pd.Series(probabilities[:, 1].round(9)).groupby(by["groups"])
        assert len(by_group) == 40
        assert by_group.nunique().max() <= 2  # one for each fold
        return Choice(start)

    monkeypatch.setattr("imdb_sentiment.pipelines.training.baseline.choose_rule", choose)
    for column, is_known in ((None, True), ("film", False)):
        fit_baseline(
            [chunk],
            train=pool.take(np.arange(180)),
            validation=pool.take(np.arange(180, 240)),
            baseline=baseline_parameters,
            metric=make_metric("f1_macro", None, REVIEWS.labels, are_ordered=False),
            folds=find_folds(
                pool.take(np.arange(180)), pool.take(np.arange(180, 240)), 2, group_column=column
            ),
            training=training,
            reviews=REVIEWS,
            script="auto",
        )
        assert len(given[-1]) == 240
        assert (len(np.unique(given[-1][:, 1].round(9))) > 2) is is_known


def test_the_thresholds_of_the_model_are_checked_on_other_groups(
    training: TrainingParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviews, network, ngrams = make_held_out()
    reviews = replace(reviews, groups=reviews.rows.astype(np.uint64) // 100)
    given = []

    def validate(*_: object, groups: npt.NDArray[np.uint64]) -> float:
        given.append(groups)
        return 0.0

    monkeypatch.setattr(
        "imdb_sentiment.pipelines.training.decision.cross_validate_weights", validate
    )
    some = np.random.default_rng(3).permutation(200)[:150]
    decide(reorder(network, some), ngrams, reviews, "f1_macro", training)
    np.testing.assert_array_equal(given, [reviews.groups[some]])


def test_without_calibration_no_threshold_is_chosen(training: TrainingParameters) -> None:
    reviews, network, ngrams = make_held_out(n=99)
    settings = {"decision": "threshold", "class_weight": {"positive": 3.0}}
    chosen = training.model_copy(update=settings)
    decision = decide(network, ngrams, reviews, "accuracy", chosen)
    assert decision["unfitted_reason"] == "too_few_rows"
    assert decision["aim"] is None
    weights = decision["label_weights"]
    assert weights["positive"] / weights["negative"] == pytest.approx(3)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_without_calibration_weights_of_labels_are_undone_in_scaled_ngrams(
    n_labels: int, training: TrainingParameters
) -> None:
    """They shift the logits of both models; a factor has multiplied this shift as well."""
    reviews, network, ngrams = make_held_out(n=60, n_labels=n_labels)
    shift = np.array([np.log(4)]) if n_labels == 2 else np.log([1, 1, 4])
    weighted = training.model_copy(update={"class_weight": {LABELS[n_labels - 1]: 4.0}})
    shifted = replace(network, logits=network.logits + shift)
    scaled = replace(ngrams, logits=0.5 * (ngrams.logits + shift), factor=0.5)
    found = average(shifted, scaled, reviews, weighted)["weights"]
    plain = average(network, ngrams, reviews, training)["weights"]
    np.testing.assert_allclose(
        Weights(**found).average(shifted.logits, scaled.logits),
        Weights(**plain).average(network.logits, 0.5 * ngrams.logits),
    )


@pytest.mark.parametrize("n_labels", [2, 3])
def test_weights_of_labels_are_calibrated_away_and_kept_in_the_decision(
    n_labels: int, training: TrainingParameters
) -> None:
    """Models that were trained with weights prefer a label; here, by shifted logits."""
    reviews, network, ngrams = make_held_out(n=3000, n_labels=n_labels)
    shift = np.array([np.log(4)]) if n_labels == 2 else np.log([1, 1, 4])
    shifted = [replace(part, logits=part.logits + shift) for part in (network, ngrams)]
    weighted = training.model_copy(update={"class_weight": {LABELS[n_labels - 1]: 4.0}})
    plain = average(network, ngrams, reviews, training)["weights"]
    fitted = average(shifted[0], shifted[1], reviews, weighted)["weights"]
    expected = Weights(**plain).average(network.logits, ngrams.logits)
    found = Weights(**fitted).average(shifted[0].logits, shifted[1].logits)
    np.testing.assert_allclose(found, expected, atol=0.05)  # calibrated
    decision = decide(shifted[0], shifted[1], reviews, "accuracy", weighted)
    raw = fitted["network"] * shifted[0].logits + fitted["ngrams"] * shifted[1].logits
    as_trained = (raw[:, 0] > 0).astype(int) if n_labels == 2 else raw.argmax(axis=1)
    weights = np.array(list(decision["label_weights"].values()))
    np.testing.assert_array_equal((found * weights).argmax(axis=1), as_trained)


@pytest.mark.parametrize(
    ("bias", "label_weights", "factors"),
    [
        ((), None, [1, 1]),
        ((1.0,), [3.0, 1.0], [1, np.exp(-1)]),
        ((2.0,), [3.0, 1.0], [1, np.exp(-2)]),
        ((-1.0,), [3.0, 1.0], [1, 1]),  # not against the loss
        ((-2.0, 0.0, 0.0), [8.0, 1.0, 1.0], [np.exp(2), 1, 1]),
        ((2.0, 0.0, 0.0), [8.0, 1.0, 1.0], [1, 1, 1]),
    ],
)
def test_decisions_prefer_labels_as_the_loss_does(
    bias: tuple[float, ...], label_weights: list[float] | None, factors: list[float]
) -> None:
    weights = None if label_weights is None else np.array(label_weights)
    found = restore_preference(Weights(0.5, 0.5, bias), weights, len(factors))
    np.testing.assert_allclose(found, np.array(factors) / np.mean(factors))


def reorder(held_out: HeldOutLogits, places: npt.NDArray[np.intp]) -> HeldOutLogits:
    return HeldOutLogits(held_out.rows[places], held_out.logits[places])


def render(sentence: str, calibration: dict[str, Any], training: TrainingParameters) -> str:
    """Return a sentence of the report and the model card about a calibration loaded from JSON."""
    loaded = json.loads(json.dumps(calibration))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("imdb_sentiment.pipelines.reporting", "templates"),
        undefined=jinja2.StrictUndefined,
    )
    facts = {
        "metrics": {"ngram_share": loaded["ngram_share"], "tuning_metric": "accuracy"},
        "model": {"training": training.model_dump(mode="json")},
    }
    return environment.from_string(
        f'{{% from "sentences.jinja" import {sentence} with context %}}'
        f"{{{{ {sentence}(calibration) }}}}"
    ).render(facts=facts, calibration=loaded)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_the_weights_are_fitted_to_the_rows_that_both_models_have_scored(
    n_labels: int, training: TrainingParameters
) -> None:
    reviews, network, ngrams = make_held_out(n_labels=n_labels)
    rng = np.random.default_rng(3)
    some = rng.permutation(200)[:150]
    found = average(
        reorder(network, some), reorder(ngrams, rng.permutation(200)), reviews, training
    )
    codes = reviews.codes[some]
    if n_labels == 2:
        columns = np.column_stack([network.logits[some, 0], ngrams.logits[some, 0]])
        weights = fit_scale(columns, codes)
    else:
        fitted = fit_weights(network.logits[some], ngrams.logits[some], codes, None)
        weights = np.array([fitted.network, fitted.ngrams])
    assert (weights > 0.1).all()
    assert found == {
        "weights": {
            "network": pytest.approx(weights[0], rel=1e-3),
            "ngrams": pytest.approx(weights[1], rel=1e-3),
        },
        "ngram_share": pytest.approx(weights[1] / weights.sum(), rel=1e-3),
        "temperature": pytest.approx(1 / weights.sum(), rel=1e-3),
        "uncalibrated_reason": None,
        "held_out_rows": 150,
    }
    says = render("describe_calibration", found, training)
    assert f"a temperature of {found['temperature']:.3f}, fitted to 150 reviews" in says
    says = render("describe_share", found, training)
    assert says == f"{found['ngram_share']:.2f}, fitted to held-out reviews"


@pytest.mark.parametrize("share", [0, 0.3, 0.8])
def test_a_given_share_is_kept_and_the_temperature_fitted(
    share: float, training: TrainingParameters
) -> None:
    given = with_ngrams(training, share=share)
    reviews, network, ngrams = make_held_out()
    mixed = (1 - share) * network.logits + share * ngrams.logits
    if share == 0:
        ngrams = reorder(ngrams, np.arange(0))  # as `fit_ngrams` returns
    found = average(network, ngrams, reviews, given)
    (scale,) = fit_scale(mixed, reviews.codes)
    assert found["ngram_share"] == pytest.approx(share)
    assert found["temperature"] == pytest.approx(1 / scale, rel=1e-3)
    assert found["weights"] == {
        "network": pytest.approx((1 - share) * scale, rel=1e-3),
        "ngrams": pytest.approx(share * scale, rel=1e-3),
    }
    assert found["uncalibrated_reason"] is None
    assert render("describe_share", found, given) == f"{share:.2f}"


@pytest.mark.parametrize(
    ("rows", "evaluate_on", "reason", "says"),
    [
        (100, "validation", None, "are calibrated with a temperature of"),
        (99, "validation", "too_few_rows", "99 held-out reviews are too few"),
        (100, "test", "no_unseen_rows", "chosen on the test reviews"),
    ],
)
@pytest.mark.parametrize("share", ["auto", 0.3, 0])
def test_where_nothing_can_be_fitted_the_share_is_the_given_one_or_the_default(
    *,
    rows: int,
    evaluate_on: str,
    reason: str | None,
    says: str,
    share: str | float,
    training: TrainingParameters,
) -> None:
    chosen = with_ngrams(training, share=share)
    reviews, network, ngrams = make_held_out()
    if evaluate_on == "test":
        network = replace(network, rows=network.rows + 100_000)
        ngrams = reorder(ngrams, np.arange(0))
    some = reorder(network, np.arange(rows))
    found = average(some, ngrams, reviews, chosen, evaluate_on=evaluate_on)
    sentence = render("describe_calibration", found, chosen)
    assert re.search(says, sentence)
    assert ("not calibrated" in sentence) == (reason is not None)
    assert found["uncalibrated_reason"] == reason
    assert found["held_out_rows"] == rows
    if reason:
        expected = {"auto": 0.75}.get(str(share), share)
        assert found["ngram_share"] == pytest.approx(expected)
        assert found["temperature"] == pytest.approx(1)
        assert found["weights"] == {
            "network": pytest.approx(1 - float(expected)),
            "ngrams": pytest.approx(expected),
        }
        assert render("describe_share", found, chosen) == f"{expected:.2f}"


@pytest.mark.parametrize("missing_in", ["reviews", "network", "ngrams"])
def test_logits_of_other_rows_are_refused(missing_in: str, training: TrainingParameters) -> None:
    reviews, network, ngrams = make_held_out()
    fewer = np.arange(199)
    average(reorder(network, fewer), ngrams, reviews, training)  # n-grams may have more
    if missing_in == "reviews":
        reviews = reviews.take(fewer)
    elif missing_in == "ngrams":
        ngrams = reorder(ngrams, fewer)
    else:
        network = replace(network, rows=network.rows + 100_000)
    with pytest.raises(InputError, match="run --pipelines tuning,training,reporting"):
        average(network, ngrams, reviews, training)


def export(
    data: Data,
    model: Any,
    ngram_model: NgramModel,
    weights: Weights,
    training: TrainingParameters,
) -> tuple[bytes, dict[str, float]]:
    return export_model(
        model=model,
        ngram_model=ngram_model,
        calibration={"weights": {"network": weights.network, "ngrams": weights.ngrams}},
        decision=EVEN,
        tokenizer=data.tokenizer,
        tokenization=data.tokens,
        train=data.train,
        validation=data.validation,
        clean_reviews=data.chunks,
        custom_reviews=pd.DataFrame({"review": ["w1"]}),
        run_facts={"time": "today"},
        lineage={},
        reviews=ReviewsParameters(**base_parameters()["reviews"]),
        split=SplitParameters(**base_parameters()["split"]),
        training=training,
        custom=CustomReviewsParameters(text_column="review"),
    )


def test_the_examples_are_test_reviews_if_the_custom_ones_do_not_suit(
    data: Data, training: TrainingParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.pipelines.training.export.are_suitable", lambda *_: False)
    model = build_model(small_hyperparameters(), 30, 2)
    exported, _ = export(data, model, NgramModel.empty(2), Weights(2, 0), training)
    examples = Predictor(exported).examples
    assert len(examples) == 10
    assert set(data.rows.loc[data.rows["text"].isin(examples), "split"]) == {"test"}


def test_an_export_that_differs_is_an_error(
    data: Data, training: TrainingParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model without n-grams, whose export therefore takes none."""
    model, nothing, weights = (
        build_model(small_hyperparameters(), 30, 2),
        NgramModel.empty(2),
        Weights(2, 0),
    )
    exported, check = export(data, model, nothing, weights, training)
    assert check["largest_probability_difference"] < 1e-5
    predictor = Predictor(exported)
    assert predictor.max_ngram == 0
    text = data.rows["text"].iloc[0]
    sequences = data.train.sequences[:1]
    probabilities = to_probabilities(score_logits(model, sequences))
    odds = np.log(probabilities / (1 - probabilities))
    np.testing.assert_allclose(predictor.predict_probabilities([text]), expit(2 * odds), atol=1e-5)

    monkeypatch.setattr(
        "imdb_sentiment.pipelines.training.export.convert_to_onnx", lambda *_, **__: exported
    )
    score = Predictor.score_cleaned
    for difference, message in ((2e-4, r"by up to 0\.0002"), (np.nan, "by up to nan")):

        def score_otherwise(self: Predictor, texts: list[str], by: float = difference) -> Any:
            return score(self, texts) + by

        monkeypatch.setattr(Predictor, "score_cleaned", score_otherwise)
        with pytest.raises(RuntimeError, match=message):
            export(data, model, nothing, weights, training)


@pytest.mark.parametrize("n_labels", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_pipeline_runs_on_a_few_rows(
    *,
    n_labels: int,
    tmp_path: Path,
    baseline_parameters: BaselineParameters,
    tuning: TuningParameters,
    reviews: ReviewsParameters,
    split: SplitParameters,
    training: TrainingParameters,
    custom: CustomReviewsParameters,
) -> None:
    data = make_data(n_labels=n_labels)
    halves = with_ngrams(training, share=0.5)
    parts = split_up(halves)
    pool = data.train + data.validation
    rng = np.random.default_rng(0)
    trial = HeldOutLogits(pool.rows, rng.normal(size=(len(pool), {2: 1, 3: 3}[n_labels])))
    catalog = DataCatalog(
        {
            "train": MemoryDataset(data.train),
            "validation": MemoryDataset(data.validation),
            "clean_reviews": MemoryDataset(data.chunks),
            "clean_unlabelled_reviews": MemoryDataset([]),
            "word_vectors": MemoryDataset(VECTORS),
            "pretrained_weights": MemoryDataset(()),
            "pseudo_labels": MemoryDataset(()),
            "tokenizer": MemoryDataset(data.tokenizer, copy_mode="assign"),
            "best_hyperparameters": MemoryDataset(small_hyperparameters(pretrained_embedding=True)),
            "network_held_out": MemoryDataset(trial),
            "model": KerasModelDataset(filepath=str(tmp_path / "model.keras")),
            "ngram_model": AtomicDataset(
                filepath=str(tmp_path / "ngrams.pkl"), dataset="pickle.PickleDataset"
            ),
            "calibration": AtomicDataset(
                filepath=str(tmp_path / "calibration.json"), dataset="json.JSONDataset"
            ),
            "custom_reviews": MemoryDataset(pd.DataFrame({"review": ["a superb film", None]})),
            "run_facts": MemoryDataset({"time": "today"}),
            "lineage": MemoryDataset(LINEAGE),
            "params:reviews.ordered": MemoryDataset(False),
            "metric": MemoryDataset(
                make_metric("accuracy", None, reviews.labels, are_ordered=False)
            ),
            "folds": MemoryDataset(find_folds(data.train, data.validation)),
            "params:tokenizer": MemoryDataset(data.tokens),
            "params:tokenizer.script": MemoryDataset("auto"),
            "params:split": MemoryDataset(split),
            "review_settings": MemoryDataset(reviews),
            "params:training": MemoryDataset(halves),
            **{f"params:training.{name}": MemoryDataset(value) for name, value in parts.items()},
            "params:custom_reviews": MemoryDataset(custom),
            "params:baseline": MemoryDataset(baseline_parameters),
        }
    )
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    assert set(outputs) == {
        *("baseline", "baseline_decision"),
        *("history", "onnx_model", "export_check"),
    }
    calibration = catalog.load("calibration")
    assert calibration["uncalibrated_reason"] is None
    assert calibration["held_out_rows"] == len(pool)
    assert calibration["ngram_share"] == 0.5
    assert outputs["export_check"].load()["largest_probability_difference"] < 1e-5

    predictor = Predictor(outputs["onnx_model"].load())
    assert predictor.head_length == 2
    longest = max(len(text.split()) for text in data.rows["text"])
    assert longest > 6  # so that the network reads the beginning and the end of some
    assert predictor.labels == LABELS[:n_labels]
    assert predictor.examples == ("a superb film",)
    trained = LINEAGE["model"]["made"]  # which may be earlier than the export
    assert predictor.facts["made"] == trained
    assert predictor.facts["reviews_file"] == reviews.file
    assert predictor.facts["text_column"] == reviews.text_column
    assert json.loads(predictor.facts["split"]) == split.model_dump()
    assert (
        predictor.describe() == f"from {trained}, trained on {reviews.file} (SHA-256 {'1a' * 6}…)"
    )
    assert json.loads(predictor.facts["lineage"]) == [
        {"name": name, **entry} for name, entry in LINEAGE.items()
    ]
    assert json.loads(predictor.facts["training"]) == halves.model_dump()
    assert json.loads(predictor.facts["calibration"]) == calibration
    assert predictor.facts["training_data_sha256"] == pool.fingerprint()

    # The weighted sum of the logits of the network and of the n-grams.
    network = to_probabilities(score_logits(catalog.load("model"), pool.sequences[:50]))
    texts = data.rows["text"][pool.rows[:50]].tolist()
    ngrams = catalog.load("ngram_model").score_texts(texts)
    weights = calibration["weights"]
    if n_labels == 2:
        ngrams = np.hstack([np.zeros_like(ngrams), ngrams])
    expected = softmax(weights["network"] * np.log(network) + weights["ngrams"] * ngrams, axis=1)
    np.testing.assert_allclose(predictor.predict_probabilities(texts), expected, atol=1e-5)
