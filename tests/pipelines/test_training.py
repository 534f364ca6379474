import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from helpers import make_encoded, make_reviews
from imdb_sentiment.model import build_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    Hyperparameters,
    TrainingParameters,
)
from imdb_sentiment.pipelines.training import create_pipeline
from imdb_sentiment.pipelines.training.nodes import export_model, fit_baseline, fit_best_model
from imdb_sentiment.serving import Predictor
from services import make_tokenizer


@pytest.fixture
def clean_reviews() -> list[pd.DataFrame]:
    texts, labels = zip(*make_reviews(90), strict=True)
    frame = pd.DataFrame({"row": range(90), "text": texts})
    frame["code"] = [int(label == "positive") for label in labels]
    frame["split"] = ["train", "train", "train", "validation", "test"] * 18
    return [frame[:50], frame[50:]]


@pytest.mark.parametrize("use_validation_rows", [True, False])
def test_the_best_hyperparameters_shape_the_model(
    use_validation_rows: bool, hyperparameters: Hyperparameters, training: TrainingParameters
) -> None:
    chosen = training.model_copy(update={"use_validation_rows": use_validation_rows})
    model, history = fit_best_model(
        make_encoded(40), make_encoded(20, seed=2), hyperparameters.model_dump(), chosen
    )
    assert model.get_layer(index=1).units == hyperparameters.units
    assert len(history["loss"]) == hyperparameters.epochs
    assert ("val_accuracy" in history) is not use_validation_rows


def test_validation_rows_are_learnt_from(
    hyperparameters: Hyperparameters, training: TrainingParameters
) -> None:
    train, validation = make_encoded(40), make_encoded(20, seed=2)
    apart, _ = fit_best_model(train, validation, hyperparameters.model_dump(), training)
    without = training.model_copy(update={"use_validation_rows": False})
    together, _ = fit_best_model(
        train + validation, make_encoded(2), hyperparameters.model_dump(), without
    )
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
            "tokenizer": MemoryDataset(make_tokenizer(), copy_mode="assign"),
            "best_hyperparameters": MemoryDataset(hyperparameters.model_dump()),
            "model": MemoryDataset(copy_mode="assign"),
            "custom_reviews": MemoryDataset(pd.DataFrame({"review": ["w1 w2", None]})),
            "params:training": MemoryDataset(training),
            "params:custom_reviews": MemoryDataset(custom),
            "params:baseline": MemoryDataset(baseline_parameters),
        }
    )
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    assert set(outputs) == {"history", "baseline", "onnx_model", "export_check"}
    predictor = Predictor(outputs["onnx_model"].load())
    assert predictor.labels == ("negative", "positive")
    assert predictor.examples == ("w1 w2",)
    learnt = make_encoded(40) + make_encoded(20, seed=2)
    assert predictor.facts["training_data_sha256"] == learnt.fingerprint()


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
            training=training,
            custom=custom,
        )
