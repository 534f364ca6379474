"""The ten custom reviews that come with the project, and whether they suit a table.

They are film reviews in English, labelled negative and positive. A file of the user's own always
suits.
"""

import hashlib
from collections.abc import Sequence

import pandas as pd
from tokenizers import Tokenizer

from imdb_sentiment.text.labels import normalise_label
from imdb_sentiment.text.tables import to_strings
from imdb_sentiment.text.tokenizer import UNKNOWN_ID, TextEncoder
from imdb_sentiment.text.words import get_rule

SAMPLE_LABELS = {"negative", "positive"}
SAMPLE_COLUMN = "review"
SAMPLES_SHA256 = "9267af1f534572f3a85ee2024d23ba92722bac67ccc38bbad706e17afe9d2bd1"
# In a table of the same language, most words of a text are among the most frequent ones.
FREQUENT_TOKENS = 1000
MIN_KNOWN = 0.5


def are_suitable(custom_reviews: pd.DataFrame, labels: Sequence[str], tokenizer: Tokenizer) -> bool:
    """Return whether custom reviews fit the labels and the language of a model.

    Args:
        custom_reviews: The table of custom reviews.
        labels: The labels of the model.
        tokenizer: Tokenizer of the training data.

    Returns:
        False for the reviews that come with the project, if the model has other labels or was
        trained on another language; True otherwise.

    """
    if not are_samples(custom_reviews):
        return True
    if {normalise_label(label) for label in labels} != SAMPLE_LABELS:
        return False
    return _measure_known(to_strings(custom_reviews[SAMPLE_COLUMN]), tokenizer) >= MIN_KNOWN


def are_samples(custom_reviews: pd.DataFrame) -> bool:
    """Return whether these are the custom reviews that come with the project, unchanged."""
    if SAMPLE_COLUMN not in custom_reviews:
        return False
    text = "\n".join(to_strings(custom_reviews[SAMPLE_COLUMN]))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest() == SAMPLES_SHA256


def _measure_known(texts: list[str], tokenizer: Tokenizer) -> float:
    """Return the share of words that are one token each, among the first of the vocabulary."""
    words = [word for text in texts for word in get_rule("auto").split(text)]
    encoded = TextEncoder(tokenizer).encode_whole(words)
    known = [len(ids) == 1 and UNKNOWN_ID < ids[0] < FREQUENT_TOKENS for ids in encoded]
    return sum(known) / len(known)
