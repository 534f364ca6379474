import json
import re
from dataclasses import replace
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from helpers import make_encoded, make_reviews, make_study, small_hyperparameters
from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.calibration import fit_temperature, rescale_probabilities
from imdb_sentiment.network.averaging import average_networks
from imdb_sentiment.network.model import build_model, score_sequences
from imdb_sentiment.network.ngrams import fit_ngram_model
from imdb_sentiment.network.training import History, train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    Hyperparameters,
    TrainingParameters,
)
from imdb_sentiment.pipelines.training import create_pipeline
from imdb_sentiment.pipelines.training.nodes import (
    calibrate_model,
    export_model,
    fit_baseline,
    fit_best_model,
    fit_ngrams,
)
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from services import make_tokenizer

VECTORS = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)


@pytest.fixture
def clean_reviews() -> list[pd.DataFrame]:
    texts, labels = zip(*make_reviews(90), strict=True)
    frame = pd.DataFrame({"row": range(90), "text": texts})
    frame["code"] = [int(label == "positive") for label in labels]
    frame["split"] = ["train", "train", "train", "validation", "test"] * 18
    return [frame[:50], frame[50:]]


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
        ngram_model=fit_ngrams(train, validation, training),
        training=training,
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
    still = small_hyperparameters(pretrained_embedding=True, learning_rate=1e-9)
    model, _ = fit(make_encoded(40), make_encoded(20, seed=2), still, training)
    np.testing.assert_allclose(model.layers[0].get_weights()[0], VECTORS, atol=1e-6)


def test_early_stopping_needs_rows_held_out(training: TrainingParameters) -> None:
    patient = small_hyperparameters(early_stopping_patience=1)
    with pytest.raises(InputError, match="use_validation_rows: false"):
        fit(make_encoded(40), make_encoded(20), patient, training)


def test_validation_rows_are_learnt_from(
    hyperparameters: Hyperparameters, training: TrainingParameters
) -> None:
    train, validation = make_encoded(40), make_encoded(20, seed=2)
    apart, _ = fit(train, validation, hyperparameters, training)
    without = training.model_copy(update={"use_validation_rows": False})
    together, _ = fit(train + validation, make_encoded(2), hyperparameters, without)
    for one, other in zip(apart.get_weights(), together.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("use_validation_rows", "learnt"),
    [(True, ["train", "validation"]), (False, ["train"])],
)
def test_the_baseline_learns_from_the_rows_of_the_network(
    use_validation_rows: bool,
    learnt: list[str],
    clean_reviews: list[pd.DataFrame],
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
) -> None:
    chosen = training.model_copy(update={"use_validation_rows": use_validation_rows})
    baseline = fit_baseline(iter(clean_reviews), baseline_parameters, chosen)

    rows = pd.concat(clean_reviews)
    known = rows[rows["split"].isin(learnt)]
    vectorizer = TfidfVectorizer(
        ngram_range=(1, baseline_parameters.max_ngram),
        min_df=baseline_parameters.min_document_frequency,
        sublinear_tf=True,
    )
    features = vectorizer.fit_transform(known["text"])
    expected = LogisticRegression(C=baseline_parameters.inverse_regularisation, max_iter=1000)
    expected.fit(features, known["code"])
    np.testing.assert_allclose(
        baseline.predict_proba(rows["text"]),
        expected.predict_proba(vectorizer.transform(rows["text"])),
    )


def test_the_pipeline_runs_on_a_few_rows(
    clean_reviews: list[pd.DataFrame],
    hyperparameters: Hyperparameters,
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
    custom: CustomReviewsParameters,
) -> None:
    catalog = DataCatalog(
        {
            "train": MemoryDataset(make_encoded(40)),
            "validation": MemoryDataset(make_encoded(20, seed=2)),
            "clean_reviews": MemoryDataset(clean_reviews),
            "word_vectors": MemoryDataset(VECTORS),
            "tokenizer": MemoryDataset(make_tokenizer(), copy_mode="assign"),
            "best_hyperparameters": MemoryDataset(hyperparameters),
            "model": MemoryDataset(copy_mode="assign"),
            "custom_reviews": MemoryDataset(pd.DataFrame({"review": ["w1 w2", None]})),
            "run_facts": MemoryDataset({"time": "today"}),
            "study": MemoryDataset(make_study(), copy_mode="assign"),
            "fitted_model": MemoryDataset(copy_mode="assign"),
            "params:training": MemoryDataset(training),
            "params:custom_reviews": MemoryDataset(custom),
            "params:baseline": MemoryDataset(baseline_parameters),
        }
    )
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    assert set(outputs) == {"baseline", "history", "onnx_model", "export_check", "calibration"}
    predictor = Predictor(outputs["onnx_model"].load())
    assert predictor.labels == ("negative", "positive")
    assert predictor.examples == ("w1 w2",)
    learnt = make_encoded(40) + make_encoded(20, seed=2)
    assert predictor.facts["made"] == "today"
    assert json.loads(predictor.facts["training"]) == training.model_dump()
    assert predictor.facts["training_data_sha256"] == learnt.fingerprint()


@pytest.fixture(scope="module")
def fitted() -> Any:
    chosen = small_hyperparameters(learning_rate=0.05, epochs=3)
    return train_model(make_encoded(60), chosen, seed=1)[0]


def test_the_temperature_is_fitted_on_rows_held_out(
    fitted: Any, training: TrainingParameters
) -> None:
    held_out = training.model_copy(update={"use_validation_rows": False})
    validation = make_encoded(1200, seed=2)
    codes = np.where(np.arange(1200) % 10 == 0, 1 - validation.codes, validation.codes)
    noisy = replace(validation, codes=codes.astype(np.uint8))
    model, found = calibrate_model(
        fitted_model=fitted,
        validation=noisy,
        study=make_study(),
        training=held_out,
    )
    raw = score_sequences(fitted, noisy.sequences)
    assert found["temperature"] == pytest.approx(fit_temperature(raw, noisy.codes))
    assert found["temperature"] != pytest.approx(1, abs=0.05)
    assert found == {
        "temperature": found["fitted_temperature"],
        "fitted_temperature": found["temperature"],
        "source": "final_model",
        "uncalibrated_reason": None,
        "validation_rows": 1200,
    }
    assert f"a temperature of {found['temperature']:.3f}, fitted on" in describe(found)
    np.testing.assert_allclose(
        score_sequences(model, noisy.sequences),
        rescale_probabilities(raw, found["temperature"]),
        atol=1e-6,
    )
    np.testing.assert_array_equal(score_sequences(fitted, noisy.sequences), raw)


def describe(calibration: dict[str, Any]) -> str:
    """Return the text of report and model card about a calibration loaded from JSON."""
    loader = jinja2.PackageLoader("imdb_sentiment.pipelines.reporting", "templates")
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined)
    template: Any = environment.get_template("calibration.jinja").module
    return str(template.describe_calibration(json.loads(json.dumps(calibration))))


@pytest.mark.parametrize(
    ("rows", "evaluate_on", "temperature", "expected", "reason", "says"),
    [
        (1000, "validation", 1.7, 1.7, None, r"a temperature of 1\.700, .* for the best trial"),
        (999, "validation", 1.7, 1, "too_few_rows", "999 validation reviews are too few"),
        (1000, "test", 1.7, 1, "no_unseen_rows", "chosen on the test reviews"),
        (1000, "validation", 0.1, 1, "implausible_temperature", r"0\.100, .* is implausible"),
        (1000, "validation", None, 1, "trial_without_temperature", "recorded no temperature"),
    ],
)
def test_a_network_that_knows_all_rows_takes_the_trials_temperature_or_none(
    *,
    rows: int,
    evaluate_on: str,
    temperature: float | None,
    expected: float,
    reason: str | None,
    says: str,
    fitted: Any,
    training: TrainingParameters,
) -> None:
    study = make_study(evaluate_on, temperature=temperature)
    _, found = calibrate_model(
        fitted_model=fitted,
        validation=make_encoded(rows, seed=2),
        study=study,
        training=training,
    )
    took_the_trials = reason in (None, "implausible_temperature")
    assert found == {
        "temperature": expected,
        "fitted_temperature": temperature if took_the_trials else None,
        "source": "best_trial" if took_the_trials else None,
        "uncalibrated_reason": reason,
        "validation_rows": rows,
    }
    assert re.search(says, describe(found))
    assert ("not calibrated" in describe(found)) == (reason is not None)


def test_networks_with_seeds_of_their_own_are_averaged(training: TrainingParameters) -> None:
    chosen, train, validation = small_hyperparameters(), make_encoded(40), make_encoded(20, seed=2)
    several = training.model_copy(update={"networks": 2, "seed": 7})
    model, history = fit(train, validation, chosen, several)
    parts = [train_model(train + validation, chosen, seed) for seed in (7, 8)]
    np.testing.assert_allclose(
        score_sequences(model, validation.sequences),
        score_sequences(average_networks([network for network, _ in parts]), validation.sequences),
    )
    assert history == parts[0][1]
    _, calibration = calibrate_model(
        fitted_model=model,
        validation=make_encoded(1000),
        study=make_study(temperature=2.0),
        training=several,
    )
    assert calibration == {
        "temperature": 1,
        "fitted_temperature": None,
        "source": None,
        "uncalibrated_reason": "model_is_average",
        "validation_rows": 1000,
    }
    assert "not calibrated: the model is an average" in describe(calibration)
    exported, check = export_model(
        model=model,
        tokenizer=make_tokenizer(),
        train=train,
        validation=validation,
        custom_reviews=pd.DataFrame({"review": ["w1"]}),
        run_facts={"time": "today"},
        training=several,
        custom=CustomReviewsParameters(text_column="review"),
    )
    assert check["largest_probability_difference"] < 1e-5
    found = Predictor(exported).score_sequences(validation.sequences)
    np.testing.assert_allclose(found, score_sequences(model, validation.sequences), atol=1e-5)


@pytest.mark.parametrize("use_validation_rows", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_ngrams_are_averaged_with_the_network(
    use_validation_rows: bool, training: TrainingParameters
) -> None:
    chosen, train, validation = small_hyperparameters(), make_encoded(40), make_encoded(20, seed=2)
    ngrams = training.ngrams.model_copy(update={"share": 0.5, "min_document_frequency": 2})
    with_ngrams = training.model_copy(
        update={"ngrams": ngrams, "use_validation_rows": use_validation_rows}
    )
    model, _ = fit(train, validation, chosen, with_ngrams)
    learnt = train + validation if use_validation_rows else train
    network, _ = train_model(learnt, chosen, training.seed)
    np.testing.assert_allclose(
        score_sequences(model, validation.sequences),
        score_sequences(
            average_networks([network], fit_ngram_model(learnt, ngrams), 0.5), validation.sequences
        ),
        atol=1e-6,
    )
    _, calibration = calibrate_model(
        fitted_model=model,
        validation=make_encoded(1000),
        study=make_study(temperature=2.0),
        training=with_ngrams,
    )
    says = "the model is an average" if use_validation_rows else "fitted on the validation reviews"
    assert says in describe(calibration)


@pytest.mark.parametrize(
    "then",
    [
        {"ngrams": {"share": 0.0}},
        {"ngrams": {"max_ngram": 1}},
        {"ngrams": {"inverse_regularisation": 1.0}},
        {"use_validation_rows": False},
    ],
    ids=str,
)
def test_ngrams_of_another_run_are_refused(
    then: dict[str, Any], training: TrainingParameters
) -> None:
    train, validation = make_encoded(40), make_encoded(20, seed=2)
    now = training.model_dump() | {"use_validation_rows": True}
    now["ngrams"] |= {"share": 0.5, "min_document_frequency": 1}
    of_now = TrainingParameters(**now)
    of_then = TrainingParameters(**now | then | {"ngrams": now["ngrams"] | then.get("ngrams", {})})
    with pytest.raises(InputError, match="run kedro run --pipelines training"):
        fit_best_model(
            train=train,
            validation=validation,
            best_hyperparameters=small_hyperparameters(),
            word_vectors=VECTORS,
            ngram_model=fit_ngrams(train, validation, of_then),
            training=of_now,
        )


def test_an_export_that_differs_is_an_error(
    hyperparameters: Hyperparameters,
    training: TrainingParameters,
    custom: CustomReviewsParameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, validation = make_encoded(40), make_encoded(20, seed=2)
    score = Predictor.score_sequences
    monkeypatch.setattr(
        Predictor, "score_sequences", lambda self, sequences: score(self, sequences) + 2e-4
    )
    with pytest.raises(RuntimeError, match=r"differ from the network's by up to 0\.0002"):
        export_model(
            model=build_model(hyperparameters, 30, 2),
            tokenizer=make_tokenizer(),
            train=train,
            validation=validation,
            custom_reviews=pd.DataFrame({"review": ["w1"]}),
            run_facts={"time": "today"},
            training=training,
            custom=custom,
        )
