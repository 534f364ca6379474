"""Scoring reviews in chunks, so that memory does not grow with the file."""

import logging
import time
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from imdb_sentiment.errors import require_column
from imdb_sentiment.evaluation.predictions import add_predictions, tabulate_predictions
from imdb_sentiment.evaluation.probabilities import REASON_COLUMN
from imdb_sentiment.parameters import InferenceParameters
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.cleaning import clean_text

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_REPORTS = 10


def score_reviews(
    onnx_model: bytes, input_reviews: Iterable[pd.DataFrame], inference: InferenceParameters
) -> Iterator[pd.DataFrame]:
    """Add the model's predictions to each row.

    Args:
        onnx_model: The exported model, from the pipeline training.
        input_reviews: Chunks of strings with a column of texts and `_malformed`, which is empty for
            a well-formed row.
        inference: Name of the column of texts.

    Returns:
        Chunks of the same rows in the same order, with all their columns, then
        `predicted_sentiment`, its `probability`, `probability_LABEL` for each label, and
        `not_predicted_because`, the reason if there is no prediction. Columns that already had
        these names are replaced.

    Raises:
        InputError: The column is missing; raised with the first chunk.

    """
    predictor = Predictor(onnx_model)
    logger.info("The model is %s", predictor.describe())
    scored = (_score_chunk(predictor, chunk, inference) for chunk in input_reviews)
    return _report_progress(scored)


def _score_chunk(
    predictor: Predictor, chunk: pd.DataFrame, inference: InferenceParameters
) -> pd.DataFrame:
    require_column(
        inference.text_column,
        chunk.columns.drop("_malformed"),
        "the input file",
        "inference.text_column",
    )
    texts = [clean_text(text) for text in chunk[inference.text_column]]
    probabilities = predictor.score_cleaned(texts)
    predictions = tabulate_predictions(
        probabilities, predictor.labels, predictor.label_weights, predictor.min_confidence
    )
    predictions[REASON_COLUMN] = [
        ""
        if is_predicted
        else f"malformed line: {malformed}"
        if malformed
        else predictor.explain_silence(text, is_scored=is_scored)
        for is_predicted, is_scored, malformed, text in zip(
            predictions["probability"].notna(),
            ~np.isnan(probabilities[:, 0]),
            chunk["_malformed"],
            texts,
            strict=True,
        )
    ]
    return add_predictions(chunk.drop(columns="_malformed"), predictions)


def _report_progress(chunks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Pass the chunks on and log the progress."""
    start = reported = time.monotonic()
    rows = 0
    for chunk in chunks:
        yield chunk
        rows += len(chunk)
        now = time.monotonic()
        if now - reported > SECONDS_BETWEEN_REPORTS:
            logger.info("%s rows scored, %.0f per second", f"{rows:,}", rows / (now - start))
            reported = now
    logger.info("%s rows scored in %.1f s", f"{rows:,}", time.monotonic() - start)
