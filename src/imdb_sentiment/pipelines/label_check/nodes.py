"""Detection of labels that are probably wrong, and choice of unlabelled reviews to label next.

Both use the linear model of n-grams alone, which is fitted in seconds. The results are for people
to look at: nothing here changes what the models learn from.
"""

import hashlib
import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.folds import draw_folds
from imdb_sentiment.evaluation.logits import count_outputs, to_probabilities
from imdb_sentiment.evaluation.stacking import HeldOutLogits, fit_factor
from imdb_sentiment.network.ngram_regression import fit_ngram_model
from imdb_sentiment.network.ngrams import NgramModel, hash_texts
from imdb_sentiment.parameters import (
    LabelCheckParameters,
    NgramsParameters,
    ReviewsParameters,
    SplitParameters,
    TrainingParameters,
)
from imdb_sentiment.progress import track
from imdb_sentiment.text.ngrams import Hashes, hash_ngrams, hash_parts, split_tokens
from imdb_sentiment.text.words import Script, get_rule

logger = logging.getLogger(__name__)

MAX_SHOWN = 50  # doubtful labels that the report may show
CANDIDATES = 10  # rows that are compared at first, for each one that is chosen
NEAR_DUPLICATE = 0.5  # minimum Jaccard similarity of the n-grams of near-duplicate texts


def score_held_out(
    clean_reviews: Iterable[pd.DataFrame],
    reviews: ReviewsParameters,
    split: SplitParameters,
    label_check: LabelCheckParameters,
    training: TrainingParameters,
    *,
    script: Script,
) -> HeldOutLogits:
    """Score each labelled row with a model that has not learnt from it.

    Args:
        clean_reviews: Chunks with the columns `row`, `text`, `code` and `group`, of all splits.
        reviews: The labels.
        split: Says whether rows have groups; a group is never divided.
        label_check: Number of folds, and the seed of their division.
        training: Describes the linear model.
        script: Rule for cutting texts into words.

    Returns:
        Logits of all rows, calibrated on them, in the order of the file.

    Raises:
        InputError: A label has too few rows or groups for the folds, or no word n-gram occurs in
            enough reviews.

    """
    rows, codes, groups, hashes = _hash_reviews(clean_reviews, training.ngrams, script)
    n_labels = len(reviews.labels)
    logits = np.zeros((len(rows), count_outputs(n_labels)))
    folds = _divide(codes, groups if split.group_column else None, label_check)
    for learnt, held_out in track(folds, "Label check", "folds"):
        if absent := set(range(n_labels)) - set(codes[learnt].tolist()):
            raise _explain_absence(reviews.labels[min(absent)], groups[codes == min(absent)])
        model = fit_ngram_model(
            [hashes[place] for place in learnt],
            codes[learnt],
            n_labels,
            training.ngrams,
            script=script,
        )
        logits[held_out] = model.score([hashes[place] for place in held_out])
    # The logits of a regularised linear model are too small, or too large where texts repeat.
    factor = fit_factor(logits, codes)
    return HeldOutLogits(rows, factor * logits, factor=factor)


def _explain_absence(label: str, groups: npt.NDArray[np.int64]) -> InputError:
    """Return the error of a label whose rows would all be held out at once."""
    way = "set label_check.folds to another number"
    if len(np.unique(groups)) == 1:
        way = "add rows of other groups with it, or leave it out of reviews.labels"
    return InputError(
        f"in a fold of label_check, all rows with the label {label!r} would be held out: {way}"
    )


def _divide(
    codes: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64] | None,
    label_check: LabelCheckParameters,
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Return the places that are learnt from and those that are held out, for each fold."""
    try:
        return draw_folds(codes, groups, label_check.folds, label_check.seed)
    except ValueError as error:
        raise InputError(
            f"the rows can't be divided into label_check.folds = {label_check.folds} ({error}): "
            "set it to a smaller number"
        ) from error


def find_doubtful_labels(
    clean_reviews: Iterable[pd.DataFrame], held_out: HeldOutLogits, reviews: ReviewsParameters
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Find labels that are probably wrong, by confident learning.

    After Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset
    Labels" (Journal of Artificial Intelligence Research 70, 2021), as in cleanlab: the number of
    rows of each label that belong to each other label is estimated, and as many are listed.

    Args:
        clean_reviews: Chunks with the columns `row`, `text` and `code`.
        held_out: Logits from `score_held_out`.
        reviews: The labels.

    Returns:
        A table with one row per doubtful label, the most doubtful first: `row`, `text`,
        `given_label`, `likely_label`, the `probability` of the likely label, and the `score` of the
        given one, its probability; and JSON values for the report: `reviews_sha256`, see
        `fingerprint_reviews`, the number of labels `checked` and of those `doubtful`, and the
        `first` rows of the table.

    """
    from cleanlab.filter import find_label_issues  # takes a second

    table = pd.concat([chunk[["row", "text", "code"]] for chunk in clean_reviews])
    codes = table["code"].to_numpy(np.intp)
    probabilities = to_probabilities(held_out.logits)
    found = find_label_issues(
        codes, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
    ).astype(np.intp)
    likely = probabilities[found].argmax(axis=1)
    labels = np.array(reviews.labels, dtype=object)
    doubtful = pd.DataFrame(
        {
            "row": table["row"].to_numpy()[found],
            "text": table["text"].to_numpy()[found],
            "given_label": labels[codes[found]],
            "likely_label": labels[likely],
            "probability": probabilities[found, likely],
            "score": probabilities[found, codes[found]],
        }
    )
    logger.info(
        "%s of %s labels are doubtful: see data/08_reporting/doubtful_labels.csv, the most "
        "doubtful first",
        f"{len(doubtful):,}",
        f"{len(table):,}",
    )
    return doubtful, {
        "reviews_sha256": fingerprint_reviews(clean_reviews, reviews),
        "checked": len(table),
        "doubtful": len(doubtful),
        "first": doubtful.head(MAX_SHOWN).to_dict("records"),
    }


def fingerprint_reviews(clean_reviews: Iterable[pd.DataFrame], reviews: ReviewsParameters) -> str:
    """Return the SHA-256 of the row number, text and label of all reviews.

    Args:
        clean_reviews: Chunks with the columns `row`, `text` and `code`.
        reviews: The labels, whose names may differ in another table with the same codes.

    """
    digest = hashlib.sha256()
    for chunk in clean_reviews:
        for row, text, code in zip(chunk["row"], chunk["text"], chunk["code"], strict=True):
            digest.update(f"{row}\0{reviews.labels[code]}\0{text}\n".encode())
    return digest.hexdigest()


def choose_rows_to_label(
    clean_unlabelled_reviews: Iterable[pd.DataFrame],
    clean_reviews: Iterable[pd.DataFrame],
    reviews: ReviewsParameters,
    label_check: LabelCheckParameters,
    training: TrainingParameters,
    *,
    script: Script,
) -> pd.DataFrame:
    """Choose unlabelled rows to label next: the most uncertain ones, but no two alike.

    The uncertainty is the margin between the two most probable labels (Scheffer, Decomain and
    Wrobel, "Active Hidden Markov Models for Information Extraction", IDA 2001). A row is skipped if
    at least half of all word n-grams that occur in it or in a row chosen before occur in both, or
    if it has no word that the model knows: the model is uncertain of it, but its label would hardly
    help.

    Args:
        clean_unlabelled_reviews: Chunks with the columns `row` and `text`; possibly none.
        clean_reviews: Chunks with the columns `row`, `text`, `code`, `group` and `split`; all rows
            but those of the test set are learnt from.
        reviews: The labels.
        label_check: Number of rows to choose.
        training: Describes the linear model.
        script: Rule for cutting texts into words.

    Returns:
        The unlabelled reviews proposed for labelling, the most uncertain first: `row`, `text`,
        `likely_label`, and `margin` between the probabilities, 0 to 1, which are not calibrated.

    """
    n = label_check.rows_to_label
    chosen = pd.DataFrame(columns=["row", "text", "likely_label", "margin"])
    if not n:
        return chosen
    model: NgramModel | None = None
    labels = np.array(reviews.labels, dtype=object)
    scores: list[pd.DataFrame] = []
    for chunk in clean_unlabelled_reviews:
        if model is None:  # learnt only now: without unlabelled reviews, there is no need
            # Rows that are chosen by test labels would make the test set no longer independent.
            learnt = (rows[rows["split"] != "test"] for rows in clean_reviews)
            _, codes, _, hashes = _hash_reviews(learnt, training.ngrams, script)
            model = fit_ngram_model(hashes, codes, len(labels), training.ngrams, script=script)
        probabilities = to_probabilities(model.score_texts(chunk["text"]))
        ordered = np.sort(probabilities, axis=1)
        scored = chunk[["row"]].assign(
            code=probabilities.argmax(axis=1), margin=ordered[:, -1] - ordered[:, -2]
        )
        scores.append(scored[_has_known_word(chunk["text"], model, script)])
    if not scores:
        return chosen
    ranked = pd.concat(scores).sort_values("margin", kind="stable")
    # In ever larger parts, as there may be any number of near-duplicates among the first rows.
    size = CANDIDATES * n
    while len(ranked) and len(chosen) < n:
        part, ranked = ranked[:size], ranked[size:]
        size *= 2
        texts = pd.concat(
            chunk.loc[chunk["row"].isin(part["row"]), ["row", "text"]]
            for chunk in clean_unlabelled_reviews
        )
        part = part.merge(texts, on="row").assign(likely_label=lambda rows: labels[rows["code"]])
        found = pd.concat([chosen.astype(part.dtypes[chosen.columns]), part[chosen.columns]])
        # Word n-grams alone: texts that are not alike share character n-grams, too.
        hashes = [hash_ngrams(text, training.ngrams.max_ngram, script) for text in found["text"]]
        chosen = found.iloc[_skip_near_duplicates(hashes, n)]
    return chosen.reset_index(drop=True)


def _has_known_word(
    texts: Iterable[str], model: NgramModel, script: Script
) -> npt.NDArray[np.bool_]:
    """Return whether the model knows a word of each text; punctuation marks are none."""
    rule = get_rule(script)
    words: list[Hashes] = []
    for text in texts:
        tokens = split_tokens(text, script)
        is_word = np.array([rule.has_word(token.decode()) for token in tokens], np.bool_)
        words += hash_parts(tokens, [is_word], 1, 0)
    owners = np.repeat(np.arange(len(words)), [len(hashes) for hashes in words])
    # All at once, since each lookup sorts all n-grams of the model.
    is_known = np.isin(np.concatenate([*words, np.zeros(0, np.int64)]), model.hashes)
    return np.bincount(owners, is_known, len(words)) > 0


def _hash_reviews(
    clean_reviews: Iterable[pd.DataFrame], ngrams: NgramsParameters, script: Script
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], list[Hashes]]:
    """Return the row, the code, the number of the group and the n-grams of each review."""
    rows, codes, groups = [], [], []
    hashes: list[Hashes] = []
    for chunk in clean_reviews:
        rows.append(chunk["row"].to_numpy(np.int64))
        codes.append(chunk["code"].to_numpy(np.int64))
        groups.append(chunk["group"].to_numpy())
        hashes += hash_texts(chunk["text"], ngrams, script)
    numbers = pd.factorize(np.concatenate(groups))[0]
    return np.concatenate(rows), np.concatenate(codes), numbers.astype(np.int64), hashes


def _skip_near_duplicates(texts: list[Hashes], n: int) -> list[int]:
    """Return the places of the first `n` texts that are not nearly the same as one before them.

    Args:
        texts: Hashes of the n-grams of each text.
        n: Number of texts to choose.

    """
    from scipy import sparse

    if not texts:
        return []
    columns = pd.factorize(np.concatenate(texts))[0]
    sizes = np.array([len(hashes) for hashes in texts])
    pointers = np.concatenate([[0], np.cumsum(sizes)])
    shape = (len(texts), columns.max(initial=-1) + 1)  # (texts, n-grams)
    has = sparse.csr_array((np.ones(len(columns)), columns, pointers), shape)
    is_open = np.ones(len(texts), bool)
    chosen: list[int] = []
    for place in range(len(texts)):
        if len(chosen) == n:
            break
        if is_open[place]:
            chosen.append(place)
            common = has @ has[[place]].toarray()[0]
            is_open &= common < NEAR_DUPLICATE * (sizes + sizes[place] - common)
    return chosen
