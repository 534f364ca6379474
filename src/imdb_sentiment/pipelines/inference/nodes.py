"""Scoring reviews in chunks, so that memory does not grow with the file."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain

import numpy as np
import pandas as pd

from imdb_sentiment.cores import count_cores
from imdb_sentiment.engine.mapping import map_in_order
from imdb_sentiment.errors import InputError, list_names, make_printable
from imdb_sentiment.evaluation.predictions import add_predictions, tabulate_predictions
from imdb_sentiment.evaluation.probabilities import REASON_COLUMN, prediction_columns
from imdb_sentiment.parameters import InferenceParameters, ProcessingParameters
from imdb_sentiment.serving import Predictor
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.delimiters import MALFORMED_LINE
from imdb_sentiment.text.tables import CHUNK, MALFORMED, list_parts, read_first_rows, to_strings
from imdb_sentiment.text.user_tables import (
    choose_text_column,
    replace_surrogates,
    require_well_formed,
)

logger = logging.getLogger(__name__)

FILE = "the input file"  # for messages
SECONDS_BETWEEN_REPORTS = 10
DELIMITER_ADVICE = (
    "if each line is one text, set a delimiter that occurs in none of them, such as --params "
    "input_delimiter=tab"
)


def score_reviews(
    onnx_model: bytes,
    input_reviews: pd.DataFrame | Iterable[pd.DataFrame],
    inference: InferenceParameters,
    processing: ProcessingParameters,
) -> Iterator[pd.DataFrame]:
    """Add the model's predictions to each row.

    Args:
        onnx_model: The exported model, from the pipeline training.
        input_reviews: A table with a column of texts, whole or in chunks; see `list_parts`.
        inference: Name of the column of texts, or `auto`.
        processing: Processes that read the rows, if possible, and score them.

    Returns:
        Chunks of the same rows in the same order, with all their columns, then
        `predicted_sentiment`, its `probability`, `probability_LABEL` for each label, and
        `not_predicted_because`, the reason if there is no prediction. Columns that already had
        these names are replaced. So are halves of surrogate pairs, by U+FFFD.

    Raises:
        InputError: The first rows lack the column, or it can't be found without doubt, has objects
            or lists, or has the name of a column of the predictions. Rows of a later chunk without
            the column, as in another file of JSON Lines, have no text. After the last chunk, if
            most rows are malformed.

    """
    predictor = Predictor(onnx_model, threads=1)
    logger.info("The model is %s", predictor.describe())
    parts = list_parts(input_reviews)
    seen, rows = read_first_rows(parts)
    if not seen:
        return iter(())
    column = choose_text_column(
        rows,
        inference.text_column,
        predictor.facts.get("text_column"),
        FILE,
        "inference.text_column",
    )
    _require_free(rows.columns, column, predictor)
    scored = map_in_order(
        partial(_score_chunk, column=column),
        chain(seen, parts),
        predictor,
        # In this process, the network runs in some threads while another one cuts texts.
        threads=count_cores(),
        **processing.model_dump(),
    )
    return _report_progress(scored)


def _require_free(names: Iterable[str], column: str, predictor: Predictor) -> None:
    """Warn of columns that the predictions replace; refuse to replace the texts."""
    added = {*prediction_columns(predictor.labels), REASON_COLUMN}
    if column in added:
        raise InputError(
            f"the texts of {FILE} are in the column {column!r}, which the scored file needs for "
            "the predictions: rename it"
        )
    if replaced := [name for name in names if name in added]:
        logger.warning(
            "The predictions replace columns of %s: %s", FILE, list_names([*map(repr, replaced)])
        )


def _score_chunk(chunk: pd.DataFrame, predictor: Predictor, column: str) -> pd.DataFrame:
    texts = [""] * len(chunk)
    if column in chunk:
        texts = [clean_text(text) for text in to_strings(chunk[column])]
    elif len(chunk):
        logger.warning(
            "Rows %d to %d have no column %r, so they get no prediction",
            *(chunk.index[0], chunk.index[-1], make_printable(column)),
        )
    probabilities = predictor.score_cleaned(texts)
    predictions = tabulate_predictions(probabilities, predictor.labels, predictor.rule)
    reasons = [
        ""
        if is_predicted
        else f"{MALFORMED_LINE}: {malformed}"
        if malformed
        else predictor.explain_silence(text, is_scored=is_scored)
        for is_predicted, is_scored, malformed, text in zip(
            predictions["probability"].notna(),
            ~np.isnan(probabilities[:, 0]),
            chunk[MALFORMED],
            texts,
            strict=True,
        )
    ]
    predictions[REASON_COLUMN] = pd.Series(reasons, predictions.index, "str")  # even without rows
    return add_predictions(replace_surrogates(chunk.drop(columns=MALFORMED)), predictions)


def _report_progress(chunks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Pass the chunks on, log the progress, and stop if most rows turn out to be malformed."""
    start = reported = time.monotonic()
    rows, first, is_judged = 0, "", False
    reasons: Counter[str] = Counter()
    for chunk in chunks:
        yield chunk
        rows += len(chunk)
        missing = chunk.loc[chunk[REASON_COLUMN] != "", REASON_COLUMN].astype("str")
        is_malformed = missing.str.startswith(MALFORMED_LINE)
        if not first:
            malformed = make_printable(next(iter(missing[is_malformed]), ""))
            first = malformed.removeprefix(f"{MALFORMED_LINE}: ")
        reasons.update(missing.mask(is_malformed, MALFORMED_LINE))
        if rows >= CHUNK and not is_judged:  # no need to score the rest
            require_well_formed(reasons[MALFORMED_LINE], rows, first, FILE, DELIMITER_ADVICE)
            is_judged = True
        now = time.monotonic()
        if now - reported > SECONDS_BETWEEN_REPORTS:
            logger.debug("%s rows scored, %.0f per second", f"{rows:,}", rows / (now - start))
            reported = now
    require_well_formed(reasons[MALFORMED_LINE], rows, first, FILE, DELIMITER_ADVICE)
    rest = ", ".join(f"{reason}: {n:,}" for reason, n in reasons.most_common())
    logger.log(
        logging.WARNING if reasons[MALFORMED_LINE] else logging.INFO,
        "%s%s rows scored in %.1f s%s",
        f"{rows - reasons.total():,}",
        f" of {rows:,}" if reasons else "",
        time.monotonic() - start,
        f"; {REASON_COLUMN}: {make_printable(rest)}" if reasons else "",
    )
