"""What the reviews are like, before any model."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tokenizers import Tokenizer

from imdb_sentiment.parameters import ReportParameters, ReviewsParameters, TokenizerParameters
from imdb_sentiment.pipelines.data_processing.splits import SPLITS
from imdb_sentiment.text.tokenizer import UNKNOWN_ID, encode_whole

PRIOR_TOKENS = 1000  # what the whole corpus counts as where two labels are compared
LENGTH_BINS = 40


def describe_data(
    clean_reviews: Iterable[pd.DataFrame],
    tokenizer: Tokenizer,
    reviews: ReviewsParameters,
    limits: TokenizerParameters,
    report: ReportParameters,
) -> dict[str, Any]:
    """Count labels, lengths, unknown words, and what words the labels differ in.

    Args:
        clean_reviews: Chunks with `text`, `code` and `split`; iterated once.
        tokenizer: That of the training.
        reviews: The labels.
        limits: Has the length that reviews are cut to.
        report: Has the number of words to show.

    Returns:
        Plain JSON values: `labels`; `sequence_length`; under `splits`, for each: `reviews`,
        `by_label`, `median_tokens`, `share_cut` (reviews with more known tokens than the limit) and
        `share_unknown` (tokens that the vocabulary lacks); `lengths`, a histogram of the known
        tokens a review for each split, the last bin with all that is longer; `distinctive_words`
        of the training reviews, for each label, most distinctive first.

    """
    lengths: dict[str, list[int]] = {name: [] for name in SPLITS}
    codes: dict[str, list[int]] = {name: [] for name in SPLITS}
    unknown = dict.fromkeys(SPLITS, 0)
    counts = np.zeros((len(reviews.labels), tokenizer.get_vocab_size()), np.int64)
    for chunk in clean_reviews:
        for ids, code, split in zip(
            encode_whole(tokenizer, chunk["text"]), chunk["code"], chunk["split"], strict=True
        ):
            known = ids[ids > UNKNOWN_ID]
            lengths[split].append(len(known))
            codes[split].append(code)
            unknown[split] += int((ids == UNKNOWN_ID).sum())
            if split == "train":
                np.add.at(counts[code], known, 1)
    limit = limits.sequence_length
    known_lengths = {name: np.array(values, np.int64) for name, values in lengths.items()}
    return {
        "labels": list(reviews.labels),
        "sequence_length": limit,
        "splits": {
            name: {
                "reviews": len(found),
                "by_label": {
                    label: codes[name].count(code) for code, label in enumerate(reviews.labels)
                },
                "median_tokens": float(np.median(found)),
                "share_cut": float((found > limit).mean()),
                "share_unknown": unknown[name] / max(1, unknown[name] + int(found.sum())),
            }
            for name, found in known_lengths.items()
        },
        "lengths": _count_lengths(known_lengths),
        "distinctive_words": {
            label: [
                {
                    "word": tokenizer.id_to_token(number),
                    "z": round(float(z[number]), 2),
                    "count": int(counts[code, number]),
                    "elsewhere": int(counts[:, number].sum() - counts[code, number]),
                }
                for number in np.argsort(-z, kind="stable")[: report.words]
                if z[number] > 0
            ]
            for code, label in enumerate(reviews.labels)
            for z in [compare_words(counts[code], counts.sum(axis=0) - counts[code])]
        },
    }


def compare_words(
    here: npt.NDArray[np.int64], elsewhere: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return how much more a word is used in one body of text than in another.

    It is the log-odds ratio with an informative Dirichlet prior, in standard deviations, of Monroe,
    Colaresi and Quinn, "Fightin' Words", Political Analysis 16 (2008), equation 22: words that are
    merely frequent, or merely rare, stay near 0.

    Args:
        here: Occurrences of each word, shape (words,).
        elsewhere: The same in the other text.

    Returns:
        Shape (words,); 0 for a word that does not occur.

    """
    total = here + elsewhere
    prior = PRIOR_TOKENS * total / max(1, total.sum())
    occurs = total > 0
    scores = np.zeros(len(total))
    one, other, share = here[occurs], elsewhere[occurs], prior[occurs]
    log_odds = [
        np.log((count + share) / (count.sum() + prior.sum() - count - share))
        for count in (one, other)
    ]
    variance = 1 / (one + share) + 1 / (other + share)
    scores[occurs] = (log_odds[0] - log_odds[1]) / np.sqrt(variance)
    return scores


def _count_lengths(lengths: dict[str, npt.NDArray[np.int64]]) -> dict[str, Any]:
    """Return a histogram whose last bin takes the longest hundredth of the reviews."""
    longest = float(np.quantile(np.concatenate(list(lengths.values())), 0.99))
    edges = np.linspace(0, max(1.0, longest), LENGTH_BINS + 1)
    return {
        "edges": [round(float(edge), 2) for edge in edges],
        "counts": {
            name: np.histogram(values.clip(max=edges[-1]), edges)[0].tolist()
            for name, values in lengths.items()
        },
    }
