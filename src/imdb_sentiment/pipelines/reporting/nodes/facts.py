"""The facts of a run, as plain JSON values: of the data, for the page, and for the record."""

import hashlib
import json
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from pydantic_core import to_jsonable_python
from tokenizers import Tokenizer

from imdb_sentiment.evaluation.metrics import tabulate_thresholds
from imdb_sentiment.evaluation.predictions import choose_positive_labels
from imdb_sentiment.evaluation.statistics import compare_words
from imdb_sentiment.parameters import (
    Hyperparameters,
    ReportParameters,
    ReviewsParameters,
    TokenizerParameters,
)
from imdb_sentiment.pipelines.data_processing.splits import SPLITS
from imdb_sentiment.pipelines.reporting.nodes.custom import CustomReviews, count_right
from imdb_sentiment.pipelines.reporting.nodes.verdict import (
    find_neglected_labels,
    find_rare_labels,
    is_for_accuracy,
    judge,
    may_be_constant,
    suggest_next_steps,
    suggest_threshold,
)
from imdb_sentiment.search import (
    has_died,
    list_begun_trials,
    measure_seconds,
    was_given_back,
)
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.review_encoder import ReviewEncoder
from imdb_sentiment.text.tokenizer import UNKNOWN_ID, count_known
from imdb_sentiment.urls import hide_secrets

LENGTH_BINS = 40

Facts = dict[str, Any]


def describe_data(
    *,
    clean_reviews: Iterable[pd.DataFrame],
    tokenizer: Tokenizer,
    words: Sequence[str],
    reviews: ReviewsParameters,
    tokenization: TokenizerParameters,
    report: ReportParameters,
) -> Facts:
    """Count labels, lengths and unknown words, and find the distinctive words of each label.

    Args:
        clean_reviews: Chunks with `text`, `code`, `split` and `words`; iterated once.
        tokenizer: Output of the pipeline data_processing.
        words: Output of the pipeline data_processing: what the numbers in `words` stand for.
        reviews: The labels.
        tokenization: Length that reviews are cut to.
        report: Number of words per label.

    Returns:
        `labels`; `sequence_length`; `head_length`, how many of these tokens a longer review has
        from its beginning; for each of the `splits`: `reviews`, `by_label`,
        `median_tokens`, `share_cut` (reviews with more known tokens than the limit) and
        `share_unknown` (tokens that are not in the vocabulary); `lengths`, a histogram of the known
        tokens per review for each split, whose last bin holds all longer reviews;
        `distinctive_words` of the training reviews for each label, most distinctive first.

    """
    encoder = ReviewEncoder(tokenizer, words)
    n_labels, n_tokens = len(reviews.labels), tokenizer.get_vocab_size()
    lengths: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in SPLITS}
    by_label = {name: np.zeros(n_labels, np.int64) for name in SPLITS}
    unknown = dict.fromkeys(SPLITS, 0)
    counts = np.zeros((n_labels, n_tokens), np.int64)
    for chunk in clean_reviews:
        for name in SPLITS:
            part = chunk[chunk["split"] == name]
            codes = part["code"].to_numpy(np.int64)
            ids, n_ids = encoder.encode_joined(part)
            lengths[name].append(count_known(ids, n_ids))
            by_label[name] += np.bincount(codes, minlength=n_labels)
            unknown[name] += int((ids == UNKNOWN_ID).sum())
            if name == "train":
                cells = n_tokens * np.repeat(codes, n_ids) + ids
                counts += np.bincount(cells, minlength=counts.size).reshape(counts.shape)
    counts[:, : UNKNOWN_ID + 1] = 0
    limit = tokenization.sequence_length
    known_lengths = {name: np.concatenate(found) for name, found in lengths.items()}
    return {
        "labels": list(reviews.labels),
        "sequence_length": limit,
        "head_length": tokenization.head_length,
        "splits": {
            name: {
                "reviews": len(found),
                "by_label": dict(zip(reviews.labels, by_label[name].tolist(), strict=True)),
                "median_tokens": float(np.median(found)),
                "share_cut": float((found > limit).mean()),
                "share_unknown": unknown[name] / max(1, unknown[name] + int(found.sum())),
            }
            for name, found in known_lengths.items()
        },
        "lengths": _count_lengths(known_lengths),
        "distinctive_words": {
            label: _find_distinctive_words(
                tokenizer, counts[code], counts.sum(axis=0) - counts[code], report.words
            )
            for code, label in enumerate(reviews.labels)
        },
    }


def collect_facts(
    *,
    metrics: dict[str, Any],
    audit: dict[str, Any],
    data_description: Facts,
    calibration: dict[str, Any],
    decision: dict[str, Any],
    best_hyperparameters: Hyperparameters,
    study: optuna.Study,
    onnx_model: bytes,
    test: EncodedReviews,
    test_predictions: pd.DataFrame,
    custom_reviews: CustomReviews,
    custom_predictions: pd.DataFrame,
    run_facts: dict[str, Any],
    parameters: dict[str, Any],
    reviews: ReviewsParameters,
) -> Facts:
    """Gather the facts that the page, the model card and the summary are written from.

    Args:
        metrics: Output of `collect_metrics`.
        audit: Output of the pipeline data_processing.
        data_description: Output of `describe_data`.
        calibration: Output of the pipeline training.
        decision: Output of the pipeline training.
        best_hyperparameters: Output of the pipeline tuning.
        study: Output of the pipeline tuning.
        onnx_model: Output of the pipeline training; it contains facts about its training.
        test: The encoded test reviews, for their fingerprint.
        test_predictions: Output of `score_test_reviews`.
        custom_reviews: Output of `choose_custom_reviews`.
        custom_predictions: Output of `score_custom_reviews`.
        run_facts: Time and software versions of this run.
        parameters: The whole configuration.
        reviews: The labels.

    Returns:
        Plain JSON values; the templates name each of them.

    """
    predictor = Predictor(onnx_model)
    made_with = predictor.facts
    trained = json.loads(made_with["training"])
    verdict, neglected = judge(metrics), find_neglected_labels(metrics)
    accuracy_counts = is_for_accuracy(metrics, trained)
    is_constant = may_be_constant(metrics, accuracy_counts=accuracy_counts)
    hides_labels = (
        bool(find_rare_labels(metrics, neglected))
        and accuracy_counts
        # Otherwise, another metric would choose no thresholds.
        and trained["decision"] in ("auto", "threshold")
    )
    right, judged = count_right(
        custom_reviews.expected, custom_predictions["predicted_sentiment"].tolist()
    )
    trials = list_begun_trials(study)
    ended = [trial for trial in trials if not was_given_back(trial)]
    states = [trial.state.name.lower() for trial in ended]
    return {
        "metrics": metrics,
        "audit": hide_secrets(audit),
        "data": data_description,
        "calibration": calibration,
        "decision": decision,
        "verdict": verdict,
        "may_be_constant": is_constant,
        "neglected_labels": neglected,
        "next_steps": suggest_next_steps(
            metrics,
            verdict,
            n_trials=sum(not has_died(trial) for trial in ended),
            is_searched=bool(study.best_params),
            is_constant=is_constant,
            hides_labels=hides_labels,
        ),
        "threshold_step": suggest_threshold(
            (*neglected, *choose_positive_labels(reviews.labels)),
            {
                label: n + data_description["splits"]["validation"]["by_label"][label]
                for label, n in data_description["splits"]["train"]["by_label"].items()
            },
            calibration["held_out_rows"],
        ),
        "best_hyperparameters": best_hyperparameters.model_dump(),
        "searched": sorted(study.best_params),
        "trials": {state: states.count(state) for state in sorted(set(states))},
        "search_seconds": sum(measure_seconds(trial) or 0.0 for trial in trials),
        "model": {
            "versions": json.loads(made_with["versions"]),
            "made": made_with["made"],
            "training": trained,
            "classifier": _name_classifier(metrics["ngram_share"]),
            "max_ngram": predictor.max_ngram,
            "character_ngram": predictor.character_ngram,
            "character_weight": predictor.character_weight,
            "unlabelled_reviews": predictor.unlabelled_reviews,
            "pseudo_labels": int(made_with.get("pseudo_labels", "0")),
            "training_data_sha256": made_with["training_data_sha256"],
            "lineage": hide_secrets(json.loads(made_with.get("lineage", "[]"))),
        },
        "custom_reviews": {
            "reviews": len(custom_predictions),
            "are_test_reviews": custom_reviews.are_test_reviews,
            "judged": judged,
            "right": right,
            "unpredicted": int(custom_predictions["predicted_sentiment"].isna().sum()),
        },
        "test_data_sha256": test.fingerprint(),
        "thresholds": {
            label: _list_thresholds(tabulate_thresholds(test_predictions, label))
            for label in choose_positive_labels(reviews.labels)
        },
        "run": run_facts,
        "parameters": hide_secrets(to_jsonable_python({**parameters, "reviews": reviews})),
    }


def record_run(facts: Facts, test_predictions: pd.DataFrame, onnx_model: bytes) -> Facts:
    """Select the facts of a run that are kept, to compare later runs with it.

    Args:
        facts: Output of `collect_facts`.
        test_predictions: Output of `score_test_reviews`, for the fingerprint of texts and labels,
            which does not depend on the tokenizer.
        onnx_model: Output of the pipeline training, for its fingerprint.

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


def _name_classifier(ngram_share: float) -> str:
    if ngram_share == 1:
        return "n-grams"
    return "LSTM and n-grams" if ngram_share else "LSTM"


def _count_lengths(lengths: dict[str, npt.NDArray[np.int64]]) -> Facts:
    """Return a histogram for each split; the last bin also holds all longer reviews.

    That bin begins at the longest 1% of all, or at Tukey's outer fence if that comes first.
    """
    everything = np.concatenate(list(lengths.values()))
    low, high, highest = np.quantile(everything, (0.25, 0.75, 0.99))
    longest = int(min(highest, high + 3 * (high - low)))
    width = longest // LENGTH_BINS + 1  # a whole number, so that all bins have equally many lengths
    edges = np.arange(0, longest + width + 1, width)
    return {
        "edges": edges.tolist(),
        "counts": {
            name: np.histogram(values.clip(max=longest), edges)[0].tolist()
            for name, values in lengths.items()
        },
    }


def _find_distinctive_words(
    tokenizer: Tokenizer,
    counts: npt.NDArray[np.int64],
    other_counts: npt.NDArray[np.int64],
    n_words: int,
) -> list[dict[str, Any]]:
    """Return the words with the highest z-scores; both counts have the shape (words,)."""
    z = compare_words(counts, other_counts)
    return [
        {
            "word": tokenizer.id_to_token(number),
            "z": round(float(z[number]), 2),
            "count": int(counts[number]),
            "elsewhere": int(other_counts[number]),
        }
        for number in np.argsort(-z, kind="stable")[:n_words]
        if z[number] > 0
    ]


def _list_thresholds(table: pd.DataFrame) -> list[dict[Hashable, float | None]]:
    """Return the rows of the thresholds 0.1 to 0.9, with None where a score is not defined."""
    tenths = (table["threshold"] * 10).round(6)
    listed = table[tenths % 1 == 0].astype(object)
    return listed.where(listed.notna(), None).to_dict("records")
