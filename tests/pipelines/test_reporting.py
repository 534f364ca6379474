import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
import plotly.graph_objects as go
import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from rich.console import Console
from rich.markdown import Markdown

from helpers import PROJECT, make_encoded, small_hyperparameters
from imdb_sentiment.datasets import AtomicCSVDataset
from imdb_sentiment.encoded import GuessedReviews
from imdb_sentiment.errors import InputError
from imdb_sentiment.model import KerasModel, train_model
from imdb_sentiment.parameters import (
    BaselineParameters,
    CustomReviewsParameters,
    ReviewsParameters,
    TrainingParameters,
)
from imdb_sentiment.pipelines.reporting import create_pipeline
from imdb_sentiment.pipelines.reporting.nodes import (
    compute_metrics,
    plot_confusion_matrix,
    plot_learning_curves,
    plot_parameter_importances,
    plot_roc_curves,
    score_custom_reviews,
    score_test_reviews,
    summarise_run,
)
from imdb_sentiment.pipelines.training.nodes import fit_baseline

CHECK = {"largest_probability_difference": 1e-7}
GUESSED = GuessedReviews(np.zeros((3, 6), np.uint8), np.full((3, 2), 0.5))


def make_study(evaluate_on: str = "validation", n_trials: int = 2) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    study.set_user_attr("protocol", {"evaluate_on": evaluate_on})

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_int("units", 50, 100)
        trial.report(0.5, 1)
        trial.report(0.6 + trial.number / 10, 2)
        return 0.6 + trial.number / 10

    study.optimize(objective, n_trials=n_trials)
    return study


def measure(
    network: pd.DataFrame,
    baseline: pd.DataFrame,
    reviews: ReviewsParameters,
    tuned_on: str = "validation",
) -> dict[str, Any]:
    return compute_metrics(
        test_predictions=network,
        baseline_predictions=baseline,
        study=make_study(tuned_on),
        export_check=CHECK,
        guessed_reviews=GUESSED,
        reviews=reviews,
    )


def make_predictions(n: int, labels: tuple[str, ...], seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(len(labels)), size=n)
    names = np.array(labels, dtype=object)
    frame = pd.DataFrame(
        {"row": np.arange(n), "sentiment": names[rng.integers(len(labels), size=n)]}
    )
    frame["predicted_sentiment"] = names[scores.argmax(axis=1)]
    frame["probability"] = scores.max(axis=1)
    for code, label in enumerate(labels):
        frame[f"probability_{label}"] = scores[:, code]
    return frame


def rank_auc(positive: npt.NDArray[np.float64], negative: npt.NDArray[np.float64]) -> float:
    """Return the share of pairs in the right order: what ROC AUC is (Hanley and McNeil 1982)."""
    wins = (positive[:, None] > negative[None, :]).mean()
    return float(wins + (positive[:, None] == negative[None, :]).mean() / 2)


@pytest.mark.parametrize("labels", [("bad", "good"), ("bad", "good", "so-so"), tuple("abcde")])
def test_metrics_are_those_counted_by_hand(
    labels: tuple[str, ...], reviews: ReviewsParameters
) -> None:
    named = reviews.model_copy(update={"labels": labels})
    frame, other = make_predictions(300, labels), make_predictions(300, labels, seed=1)
    metrics = measure(frame, other, named)

    truth, predicted = frame["sentiment"], frame["predicted_sentiment"]
    precisions, recalls, f1s, areas = [], [], [], []
    for label in labels if len(labels) > 2 else labels[1:]:
        hits = ((truth == label) & (predicted == label)).sum()
        precisions.append(hits / (predicted == label).sum())
        recalls.append(hits / (truth == label).sum())
        f1s.append(2 * hits / ((predicted == label).sum() + (truth == label).sum()))
        score = frame[f"probability_{label}"].to_numpy()
        areas.append(rank_auc(score[truth == label], score[truth != label]))
    likelihoods = [row[f"probability_{row['sentiment']}"] for row in frame.to_dict("records")]
    loss = -sum(map(math.log, likelihoods)) / len(likelihoods)
    assert metrics["test_accuracy"] == pytest.approx((truth == predicted).mean())
    assert metrics["test_precision"] == pytest.approx(np.mean(precisions))
    assert metrics["test_recall"] == pytest.approx(np.mean(recalls))
    assert metrics["test_f1"] == pytest.approx(np.mean(f1s))
    assert metrics["test_roc_auc"] == pytest.approx(np.mean(areas))
    assert metrics["test_log_loss"] == pytest.approx(loss)
    expected = (other["sentiment"] == other["predicted_sentiment"]).mean()
    assert metrics["baseline_test_accuracy"] == pytest.approx(expected)
    assert metrics["majority_test_accuracy"] == pytest.approx(truth.value_counts().max() / 300)
    assert metrics["test_rows"] == 300
    assert metrics["export_largest_probability_difference"] == 1e-7


def test_tuning_on_the_test_set_is_recorded(
    reviews: ReviewsParameters, custom: CustomReviewsParameters
) -> None:
    frame = make_predictions(20, reviews.labels)
    honest = measure(frame, frame, reviews)
    flattered = measure(frame, frame, reviews, tuned_on="test")
    assert (honest["tuned_on"], honest["test_set_unseen_in_tuning"]) == ("validation", True)
    assert (flattered["tuned_on"], flattered["test_set_unseen_in_tuning"]) == ("test", False)
    table = frame.assign(review="text")
    for metrics, marked in ((honest, False), (flattered, True)):
        summary = summarise_run({"units": 60}, metrics, table, make_study(), custom)
        assert ("this accuracy flatters" in summary) is marked


@pytest.fixture(scope="module")
def model() -> KerasModel:
    small = small_hyperparameters(dropout_rate=0.2, learning_rate=0.05, batch_size=8, epochs=6)
    return train_model(make_encoded(200), small, seed=1)[0]


def test_test_predictions_say_what_was_what(model: KerasModel) -> None:
    test = make_encoded(10, seed=4)
    texts = [f"text {row}" for row in range(1, 13)]
    splits = ["test"] * 10 + ["train", "validation"]
    chunks = [pd.DataFrame({"row": range(1, 13), "text": texts, "split": splits})]
    frame = score_test_reviews(model, test, chunks)
    assert frame.columns.tolist() == [
        "row",
        "review",
        "sentiment",
        "predicted_sentiment",
        "probability",
        "probability_negative",
        "probability_positive",
    ]
    assert frame["row"].tolist() == test.rows.tolist()
    assert frame["review"].tolist() == texts[:10]
    assert frame["sentiment"].tolist() == [test.labels[code] for code in test.codes]
    assert (frame["predicted_sentiment"] == frame["sentiment"]).all()
    both = frame[["probability_negative", "probability_positive"]]
    np.testing.assert_allclose(both.sum(axis=1), 1)
    np.testing.assert_allclose(both.max(axis=1), frame["probability"])


def test_custom_reviews_keep_their_columns_and_gaps(
    exported: bytes, custom: CustomReviewsParameters
) -> None:
    texts = ["w1 w2", None, " <br> ", "unheard of"]
    table = pd.DataFrame({"id": [7, 8, 9, 10], "review": texts}, index=[3, 4, 5, 6])
    scored = score_custom_reviews(exported, table, custom)
    assert scored.columns.tolist() == [
        "id",
        "review",
        "predicted_sentiment",
        "probability",
        "probability_negative",
        "probability_positive",
    ]
    assert scored["id"].tolist() == [7, 8, 9, 10]
    assert scored.index.tolist() == table.index.tolist()
    for column in scored.columns[2:]:
        assert scored[column].notna().tolist() == [True, False, False, False]
    with pytest.raises(InputError, match=r"no column 'review'; it has: text"):
        score_custom_reviews(exported, pd.DataFrame({"text": []}), custom)


def test_predictions_of_an_earlier_run_are_replaced(
    exported: bytes, custom: CustomReviewsParameters
) -> None:
    once = score_custom_reviews(exported, pd.DataFrame({"review": ["w1", "w2 w3"]}), custom)
    again = score_custom_reviews(exported, once.assign(probability="?"), custom)
    pd.testing.assert_frame_equal(once, again)


@pytest.mark.parametrize("labels", [("0", "1"), ("NA", "null"), ("true", "false"), ("007", "7")])
def test_labels_stay_text_on_their_way_through_the_catalog(
    labels: tuple[str, str], reviews: ReviewsParameters, tmp_path: Path
) -> None:
    entry = yaml.safe_load((PROJECT / "conf/base/catalog_reporting.yml").read_text())
    dataset = AtomicCSVDataset(
        filepath=str(tmp_path / "predictions.csv"),
        load_args=entry["test_predictions"]["load_args"],
    )
    named = reviews.model_copy(update={"labels": labels})
    frame = make_predictions(100, labels).assign(review="a\rb")
    dataset.save(frame)
    loaded = dataset.load()
    pd.testing.assert_frame_equal(loaded, frame, check_dtype=False)
    expected = measure(frame, frame, named)
    assert measure(loaded, loaded, named) == pytest.approx(expected)


def test_the_summary_shows_reviews_as_they_are(custom: CustomReviewsParameters) -> None:
    frame = make_predictions(1, ("bad", "good")).assign(review="2*3*4 | <b> [x](y) `z`")
    metrics = measure(
        make_predictions(9, ("bad", "good")),
        make_predictions(9, ("bad", "good")),
        ReviewsParameters(
            file="f", text_column="t", label_column="l", labels=("bad", "good"),
            max_rejected_fraction=0,
        ),
    )  # fmt: skip
    summary = summarise_run({"units": 60}, metrics, frame, make_study(), custom)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(Markdown(summary))
    assert "2*3*4 | <b> [x](y) `z`" in console.export_text()


def test_figures_hold_the_numbers(reviews: ReviewsParameters) -> None:
    frame = make_predictions(200, reviews.labels)
    matrix = plot_confusion_matrix(frame, reviews)
    for row, actual in enumerate(reviews.labels):
        for column, predicted in enumerate(reviews.labels):
            count = (
                (frame["sentiment"] == actual) & (frame["predicted_sentiment"] == predicted)
            ).sum()
            assert matrix.data[0].z[row][column] == count

    score, good = frame["probability_positive"].to_numpy(), frame["sentiment"] == "positive"
    area = rank_auc(score[good], score[~good])
    assert f"AUC {area:.3f}" in plot_roc_curves(frame, reviews).data[0].name

    history = {"accuracy": [0.7, 0.9], "val_accuracy": [0.6, 0.8], "loss": [1.0, 0.5]}
    curves = plot_learning_curves(history, make_study())
    assert [list(curve.y) for curve in curves.data] == [[0.7, 0.9], [0.6, 0.8], [0.5, 0.7]]


def test_several_labels_get_a_curve_each(reviews: ReviewsParameters) -> None:
    labels = ("bad", "good", "so-so")
    named = reviews.model_copy(update={"labels": labels})
    figure = plot_roc_curves(make_predictions(200, labels), named)
    assert [curve.name.split()[0] for curve in figure.data] == ["bad", "good", "so-so", "chance"]


def test_importances_need_trials_that_differ() -> None:
    assert (
        "need two finished trials"
        in plot_parameter_importances(make_study(n_trials=1)).layout.annotations[0].text
    )
    assert len(plot_parameter_importances(make_study(n_trials=4)).data) == 1


def test_the_pipeline_makes_every_report(
    *,
    model: KerasModel,
    exported: bytes,
    reviews: ReviewsParameters,
    custom: CustomReviewsParameters,
    baseline_parameters: BaselineParameters,
    training: TrainingParameters,
) -> None:
    test = make_encoded(10, seed=4)
    frame = pd.DataFrame(
        {
            "row": range(1, 31),
            "text": [f"w{i % 7} w{i % 3} {'good' if i % 2 else 'bad'}" for i in range(30)],
            "code": [i % 2 for i in range(30)],
            "split": ["test"] * 10 + ["train"] * 20,
        }
    )
    catalog = DataCatalog(
        {
            "model": MemoryDataset(model, copy_mode="assign"),
            "test": MemoryDataset(test),
            "clean_reviews": MemoryDataset([frame]),
            "baseline": MemoryDataset(fit_baseline([frame], baseline_parameters, training)),
            "onnx_model": MemoryDataset(exported),
            "export_check": MemoryDataset(CHECK),
            "guessed_reviews": MemoryDataset(GUESSED),
            "custom_reviews": MemoryDataset(pd.DataFrame({"review": ["w1", "w2"]})),
            "study": MemoryDataset(make_study(), copy_mode="assign"),
            "history": MemoryDataset({"accuracy": [0.5], "loss": [1.0]}),
            "best_hyperparameters": MemoryDataset({"units": 60}),
            "params:reviews": MemoryDataset(reviews),
            "params:custom_reviews": MemoryDataset(custom),
        }
    )
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    figures = [data.load() for data in outputs.values() if isinstance(data.load(), go.Figure)]
    assert len(figures) == 5
    assert "| LSTM |" in outputs["summary"].load()
