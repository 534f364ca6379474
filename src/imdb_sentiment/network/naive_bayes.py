"""Naive Bayes log-count ratios of tokens, as additional dimensions of their word vectors."""

import numpy as np
import numpy.typing as npt

from imdb_sentiment.evaluation.logits import count_outputs, list_outputs
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.tokenizer import UNKNOWN_ID

# Maximum number of reviews with which the ratios have their full scale. With tens of thousands, the
# network learns more from the reviews than from the ratios.
FULL_SCALE_ROWS = 2000
# The same for labels: each has a column of ratios, and many columns would outweigh the vectors.
FULL_SCALE_LABELS = 10
ROWS_AT_A_TIME = 10_000  # NumPy makes temporary arrays several times as large as the sequences
ADDED_REVIEWS = 10.0  # pseudo-count of reviews, so that rare tokens have ratios near 0


def compute_log_count_ratios(reviews: EncodedReviews) -> npt.NDArray[np.float32]:
    """Return the naive Bayes log-count ratio of each token and label.

    The ratio compares the share of a label's reviews that have the token with the share of all
    other reviews (Wang and Manning, "Baselines and Bigrams", ACL 2012). A token counts once per
    review. To both shares, the same small share is added, so a token that does not occur has 0.

    Args:
        reviews: Reviews to learn from.

    Returns:
        Array of shape (vocabulary, outputs), dtype float32; the row number is the token id. With
        two labels there is one output, for the second label; otherwise one per label. The padding
        and the unknown word have 0.

    """
    n_labels = len(reviews.labels)
    sizes = np.bincount(reviews.codes, minlength=n_labels)  # (C,)
    # Reviews of each label that have the token, (C, V).
    counts = np.zeros((n_labels, reviews.vocabulary_size), np.int64)
    for start in range(0, len(reviews), ROWS_AT_A_TIME):
        part = slice(start, start + ROWS_AT_A_TIME)
        ordered = np.sort(reviews.sequences[part], axis=1)  # the padding, 0, comes first
        is_first = np.ones(ordered.shape, np.bool_)
        is_first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        for code in range(n_labels):
            rows = reviews.codes[part] == code
            tokens = ordered[rows][is_first[rows]]
            counts[code] += np.bincount(tokens, minlength=reviews.vocabulary_size)
    added = ADDED_REVIEWS / len(reviews)
    ratios = np.zeros((reviews.vocabulary_size, count_outputs(n_labels)), np.float32)
    for output, code in enumerate(list_outputs(n_labels)):
        share = counts[code] / max(sizes[code], 1)
        other_share = (counts.sum(axis=0) - counts[code]) / max(len(reviews) - sizes[code], 1)
        ratios[:, output] = np.log((share + added) / (other_share + added))
    ratios[: UNKNOWN_ID + 1] = 0
    return ratios
