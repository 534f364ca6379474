"""Checking rows: which are accepted, rejected or duplicates, and why."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from imdb_sentiment.errors import require_column
from imdb_sentiment.parameters import (
    ReviewsOptions,
    ReviewsParameters,
    SplitParameters,
    normalise_label,
)
from imdb_sentiment.pipelines.data_processing.splits import SPLITS
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.tables import MALFORMED, list_columns, to_strings
from imdb_sentiment.text.words import get_rule

ACCEPTED, REJECTED, DUPLICATE = "accepted", "rejected", "duplicate"  # the status of a row
# The reason of a duplicate.
SAME_LABEL, ANOTHER_LABEL = "same text and label", "same text under another label"
UNKNOWN_LABEL = "unknown label"
NO_SPLIT = "none"  # the split of a row, if the table has no splits of its own
NO_GROUP = ""  # the group of a row, if the table has no groups


def check_chunk(
    chunk: pd.DataFrame,
    reviews: ReviewsParameters,
    split: SplitParameters,
    codes: dict[str, int],
    seen: dict[int, int],
) -> pd.DataFrame:
    """Clean and check the rows of one chunk, as `check_reviews` does with each.

    Args:
        chunk: Chunk from `number_rows`.
        reviews: Names of columns and labels.
        split: Whether and where the table has its own splits, and groups of rows.
        codes: Code of each label, by the normalised label.
        seen: Code of the first row with each text so far, by `hash_text` and `hash_words` of the
            text; the texts of this chunk are added.

    """
    _require_columns(chunk, reviews, split)
    labels = to_strings(chunk[reviews.label_column])
    split_names = [NO_SPLIT] * len(chunk)
    if split.method == "column":
        split_names = [normalise_label(name) for name in to_strings(chunk[split.column])]
    groups = [NO_GROUP] * len(chunk)
    if split.group_column:
        groups = [group.strip() for group in to_strings(chunk[split.group_column])]
    checked = pd.DataFrame(
        {
            "row": chunk.index.to_numpy(np.int64),
            "text": [clean_text(text) for text in to_strings(chunk[reviews.text_column])],
            "sentiment": labels,
            "code": np.array([codes.get(normalise_label(label), -1) for label in labels], np.int64),
            "split": split_names,
            "group": groups,
        }
    )
    statuses, reasons = [], []
    row: Any
    for row, malformed in zip(checked.itertuples(index=False), chunk[MALFORMED], strict=True):
        status, reason = ACCEPTED, ""
        if problem := _find_problem(row, malformed, split):
            status, reason = REJECTED, problem
        else:
            keys = hash_text(row.text), hash_words(row.text, row.code)
            codes_before = [seen[key] for key in keys if key in seen]
            if codes_before:
                same = codes_before[0] == row.code
                status, reason = DUPLICATE, SAME_LABEL if same else ANOTHER_LABEL
            else:
                seen.update(dict.fromkeys(keys, row.code))
        statuses.append(status)
        reasons.append(reason)
    strings = dict.fromkeys(("text", "sentiment", "split", "group", "status", "reason"), "str")
    return checked.assign(status=statuses, reason=reasons).astype(strings)


def _require_columns(
    chunk: pd.DataFrame, reviews: ReviewsParameters, split: SplitParameters
) -> None:
    for parameter, column in list_required_columns(reviews, split).items():
        require_column(column, list_columns(chunk), reviews.file, parameter)


def list_required_columns(reviews: ReviewsOptions, split: SplitParameters) -> dict[str, str]:
    """Return the names of the columns that are read, by the parameter that names each."""
    required = {
        "reviews.text_column": reviews.text_column,
        "reviews.label_column": reviews.label_column,
    }
    if split.method == "column":
        required["split.column"] = split.column
    if split.group_column:
        required["split.group_column"] = split.group_column
    return required


def _find_problem(row: Any, malformed: str, split: SplitParameters) -> str:
    """Return the first reason why a row can't be used; empty if it can."""
    label = row.sentiment.strip()
    unknown_split = split.method == "column" and row.split not in SPLITS
    problems = {
        f"malformed line: {malformed}": malformed,
        "no text": not row.text,
        "no label": not label,
        f"{UNKNOWN_LABEL}: {label}": row.code < 0,
        "no split": not row.split,
        f"unknown split: {row.split}": unknown_split,
        "no group": split.group_column and not row.group,
    }
    return next((problem for problem, occurs in problems.items() if occurs), "")


def hash_text(text: str) -> int:
    """Return a 64-bit hash of a text; two different texts hardly ever have the same."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def hash_words(text: str, code: int) -> int:
    """Return a 64-bit hash of the words of a cleaned text and its label.

    Texts that differ only in case, punctuation and white space have the same words: the LSTM can't
    tell them apart. If their labels differ, the difference may be what matters, as in ":)".

    Args:
        text: Cleaned text. If it has no words, it is hashed as it is.
        code: Code of its label.

    """
    return hash_text(f"{code}\0{' '.join(get_rule('auto').split(text)) or text}")


def select_accepted(checked: pd.DataFrame) -> pd.DataFrame:
    """Return the accepted rows of a chunk."""
    return checked[checked["status"] == ACCEPTED]
