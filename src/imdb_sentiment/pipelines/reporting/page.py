"""The report as one page, and the model card, from what the other nodes have found."""

import hashlib
import json
import re
from typing import Any

import jinja2
import numpy as np
import optuna
import pandas as pd
import plotly.graph_objects as go
import yaml
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from pydantic_core import to_jsonable_python
from scipy.special import logit

from imdb_sentiment.evaluation.predictions import choose_positive_labels
from imdb_sentiment.parameters import Hyperparameters, ReviewsParameters
from imdb_sentiment.pipelines.reporting.examples import Example
from imdb_sentiment.pipelines.reporting.figures import tabulate_thresholds
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews

SIGNIFICANT = 0.05
SHOWN_THRESHOLDS = np.arange(1, 10) / 10
STRETCH = 1000  # characters at each end of a longer text without a word to mark
FAINTEST = 0.01  # in log-odds; words with a smaller effect are not marked,
LEAST_SHARE = 0.1  # nor those with less than this share of the strongest
LEAST_SURE = 1e-7  # about the smallest step that a probability of the exported model takes near 1

Facts = dict[str, Any]


def collect_facts(
    *,
    metrics: dict[str, Any],
    audit: dict[str, Any],
    data_description: dict[str, Any],
    calibration: dict[str, Any],
    best_hyperparameters: Hyperparameters,
    study: optuna.Study,
    onnx_model: bytes,
    test: EncodedReviews,
    test_predictions: pd.DataFrame,
    custom_predictions: pd.DataFrame,
    run_facts: dict[str, Any],
    parameters: dict[str, Any],
    reviews: ReviewsParameters,
) -> Facts:
    """Gather what the page and the model card say.

    Args:
        metrics: From `compute_metrics`.
        audit: From the data pipeline.
        data_description: From `describe_data`.
        calibration: From the training pipeline.
        best_hyperparameters: From the tuning pipeline.
        study: From the tuning pipeline.
        onnx_model: From the training pipeline; it knows what it was made with and from.
        test: The encoded test reviews, for their fingerprint.
        test_predictions: From `score_test_reviews`.
        custom_predictions: From `score_custom_reviews`.
        run_facts: When and with what the report is made.
        parameters: All of the configuration.
        reviews: The labels.

    Returns:
        Plain JSON values.

    """
    made_with = Predictor(onnx_model).facts
    training = {"ngrams": {"share": 0}} | json.loads(made_with["training"])  # older ones had none
    states = [trial.state.name.lower() for trial in study.trials]
    return {
        "metrics": metrics,
        "audit": audit,
        "data": data_description,
        "calibration": calibration,
        "verdict": judge(metrics),
        "best_hyperparameters": best_hyperparameters.model_dump(),
        "searched": sorted(study.best_params),
        "trials": {state: states.count(state) for state in sorted(set(states))},
        "search_seconds": sum(t.duration.total_seconds() for t in study.trials if t.duration),
        "model": {
            "versions": json.loads(made_with["versions"]),
            "made": made_with["made"],
            "training": training,
            "classifier": "LSTM with n-grams" if training["ngrams"]["share"] else "LSTM",
            "training_data_sha256": made_with["training_data_sha256"],
        },
        "custom_reviews": len(custom_predictions),
        "test_data_sha256": test.fingerprint(),
        "thresholds": {
            label: [
                {name: None if pd.isna(value) else float(value) for name, value in row.items()}
                for row in _choose_rows(tabulate_thresholds(test_predictions, label))
            ]
            for label in choose_positive_labels(reviews.labels)
        },
        "run": run_facts,
        "parameters": to_jsonable_python(parameters),
    }


def record_run(facts: Facts, test_predictions: pd.DataFrame, onnx_model: bytes) -> dict[str, Any]:
    """Choose what is kept of a run for good, to compare others with it.

    Args:
        facts: From `collect_facts`.
        test_predictions: From `score_test_reviews`, for the fingerprint of texts and labels, which
            stays the same where only the tokenizer changes.
        onnx_model: From the training pipeline, for its fingerprint.

    Returns:
        Plain JSON values.

    """
    reviews = test_predictions[["review", "sentiment"]].sort_values(["review", "sentiment"])
    text = reviews.to_json(orient="values")
    return {
        "model_sha256": hashlib.sha256(onnx_model).hexdigest(),
        "test_reviews_sha256": hashlib.sha256(text.encode()).hexdigest(),
        **{name: facts[name] for name in ("metrics", "best_hyperparameters", "model", "run")},
    }


def judge(metrics: dict[str, Any]) -> str:
    """Return in words which of the two models the test speaks for: `lstm`, `baseline`, `neither`.

    Args:
        metrics: From `compute_metrics`.

    """
    if metrics["mcnemar_p_value"] >= SIGNIFICANT:
        return "neither"
    better = metrics["test_accuracy"] > metrics["baseline_test_accuracy"]
    return "lstm" if better else "baseline"


def render_report(
    *,
    facts: Facts,
    mistakes: list[Example],
    disagreements: list[Example],
    custom_examples: list[Example],
    **figures: go.Figure,
) -> str:
    """Put everything on one page that needs nothing else: no network, no other file.

    Args:
        facts: From `collect_facts`.
        mistakes: From `explain_mistakes`.
        disagreements: From `explain_disagreements`.
        custom_examples: From `explain_custom_reviews`.
        **figures: Each under the name that the template has for it.

    Returns:
        HTML.

    """
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            facts=facts,
            mistakes=mistakes,
            disagreements=disagreements,
            custom_examples=custom_examples,
            figures={name: _embed(figure) for name, figure in figures.items()},
            plotlyjs=Markup(get_plotlyjs()),  # the library's own script
        )
    )


def write_model_card(facts: Facts) -> str:
    """Describe the model for whoever thinks of using it.

    The headings are those of Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.

    Args:
        facts: From `collect_facts`.

    Returns:
        Markdown.

    """
    return _environment().get_template("model_card.md.jinja").render(facts=facts)


def escape_markdown(text: str) -> str:
    """Return one line of Markdown that shows `text` as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", " ".join(text.split()))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("imdb_sentiment.pipelines.reporting", "templates"),
        autoescape=jinja2.select_autoescape(("html.jinja",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": lambda share: f"{100 * share:.1f}%",
        "p_value": lambda p: f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001",  # noqa: PLR2004
        "duration": _duration,
        "marks": mark_words,
        "yaml": lambda values: yaml.safe_dump(values, sort_keys=False, allow_unicode=True),
        "line": escape_markdown,
    }
    return environment


def _embed(figure: go.Figure) -> dict[str, Any]:
    """Return a figure's title, height and JSON, safe inside a script element."""
    return {
        "title": figure.layout.title.text,
        "height": figure.layout.height or 400,
        "json": Markup(figure.to_json().replace("<", "\\u003c")),  # no markup is left
    }


def _choose_rows(table: pd.DataFrame) -> list[dict[str, float]]:
    shown = np.isclose(table["threshold"].to_numpy()[:, np.newaxis], SHOWN_THRESHOLDS).any(axis=1)
    return [{str(k): v for k, v in row.items()} for row in table[shown].to_dict("records")]


def mark_words(
    segments: list[tuple[str, float | None]], probability: float | None
) -> list[dict[str, Any]]:
    """Return segments with how strongly each is to be marked, from 0 to 1 for the strongest.

    Args:
        segments: Texts, each with by how much the probability falls without it, or None.
        probability: Of the predicted label; None if there is no prediction.

    Returns:
        For each `text`, `effect` and `strength`. Effects are in log-odds: of a prediction as good
        as certain, no single word moves the probability.

    """
    found = [
        None if effect is None or probability is None else _log_odds(probability, effect)
        for _, effect in segments
    ]
    most = max([*(abs(effect) for effect in found if effect is not None), FAINTEST])
    return [
        {
            "text": text if len(text) <= 2 * STRETCH else f"{text[:STRETCH]} … {text[-STRETCH:]}",
            "effect": effect,
            "strength": round(abs(effect) / most, 2)
            if effect is not None and abs(effect) >= max(FAINTEST, LEAST_SHARE * most)
            else 0,
        }
        for (text, _), effect in zip(segments, found, strict=True)
    ]


def _log_odds(probability: float, effect: float) -> float:
    """Return by how much log-odds fall where a probability falls by `effect`."""
    before, after = np.clip([probability, probability - effect], LEAST_SURE, 1 - LEAST_SURE)
    return float(logit(before) - logit(after))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
