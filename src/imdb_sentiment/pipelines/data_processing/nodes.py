"""From raw CSV chunks to encoded training, validation and test sets.

Reviews flow through as streams of data frames, a chunk at a time, so that memory does not grow
with the file. A node that hands on a stream returns an iterator; its dataset drains it.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, train_test_split
from tokenizers import Tokenizer

from imdb_sentiment.errors import InputError, require_column
from imdb_sentiment.parameters import (
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    WordVectorsParameters,
    normalise_label,
)
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.tokenizer import encode_texts, train_tokenizer
from imdb_sentiment.text.word_vectors import train_word_vectors

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
_SPLIT_NUMBERS = {name: number for number, name in enumerate(SPLITS)}
NO_SPLIT = "none"  # where the CSV has no splits of its own
NO_GROUP = ""  # where it has no groups
ACCEPTED, REJECTED, DUPLICATE = "accepted", "rejected", "duplicate"
SAME_LABEL, ANOTHER_LABEL = "same text and label", "same text under another label"
EXAMPLES = 3


def check_reviews(
    raw_reviews: Iterable[pd.DataFrame], reviews: ReviewsParameters, split: SplitParameters
) -> Iterator[pd.DataFrame]:
    """Clean every row and say whether it can be used.

    Args:
        raw_reviews: Chunks of strings, indexed by row number, with the columns that `reviews` and
            `split` name, and `_malformed`.
        reviews: Names of columns and labels.
        split: Whether and where the CSV has its own splits, and groups of rows.

    Returns:
        Chunks of the same rows with the columns `row` (int64), `text` (cleaned), `sentiment` (as
        found), `code` (int64; -1 where unknown), `split` (`none` unless the CSV has its own),
        `group` (empty unless the CSV has any), `status` (accepted, rejected or duplicate) and
        `reason` (empty if accepted).

    Raises:
        InputError: A column is missing; raised by the first chunk.

    """
    codes = {normalise_label(label): code for code, label in enumerate(reviews.labels)}
    # The code that each distinct text first came with, by a 64-bit hash of the text: all that is
    # kept of a row, so that memory hardly grows with the file.
    seen: dict[int, int] = {}
    return (_check_chunk(chunk, reviews, split, codes, seen) for chunk in raw_reviews)


def _check_chunk(
    chunk: pd.DataFrame,
    reviews: ReviewsParameters,
    split: SplitParameters,
    codes: dict[str, int],
    seen: dict[int, int],
) -> pd.DataFrame:
    _require_columns(chunk, reviews, split)
    texts = [clean_text(text) for text in chunk[reviews.text_column]]
    labels = chunk[reviews.label_column].tolist()
    split_names = (
        [normalise_label(name) for name in chunk[split.column]]
        if split.method == "column"
        else [NO_SPLIT] * len(chunk)
    )
    known_splits = SPLITS if split.method == "column" else (NO_SPLIT,)
    groups = (
        chunk[split.group_column].str.strip() if split.group_column else [NO_GROUP] * len(chunk)
    )
    found_codes = [codes.get(normalise_label(label), -1) for label in labels]
    problems = [
        f"malformed line: {malformed}"
        if malformed
        else _problem(text, label, code, split_name, known_splits)
        or ("no group" if split.group_column and not group else "")
        for malformed, text, label, code, split_name, group in zip(
            chunk["_malformed"], texts, labels, found_codes, split_names, groups, strict=True
        )
    ]
    repeats = [
        "" if problem else _repeat(text, code, seen)
        for problem, text, code in zip(problems, texts, found_codes, strict=True)
    ]
    return pd.DataFrame(
        {
            "row": chunk.index.to_numpy(np.int64),
            "text": texts,
            "sentiment": labels,
            "code": np.array(found_codes, dtype=np.int64),
            "split": split_names,
            "group": list(groups),
            "status": [
                REJECTED if problem else DUPLICATE if repeat else ACCEPTED
                for problem, repeat in zip(problems, repeats, strict=True)
            ],
            "reason": [
                problem or repeat for problem, repeat in zip(problems, repeats, strict=True)
            ],
        }
    ).astype(dict.fromkeys(("text", "sentiment", "split", "group", "status", "reason"), "str"))


def _require_columns(
    chunk: pd.DataFrame, reviews: ReviewsParameters, split: SplitParameters
) -> None:
    wanted = {
        "reviews.text_column": reviews.text_column,
        "reviews.label_column": reviews.label_column,
    }
    if split.method == "column":
        wanted["split.column"] = split.column
    if split.group_column:
        wanted["split.group_column"] = split.group_column
    for parameter, column in wanted.items():
        require_column(column, chunk.columns.drop("_malformed"), reviews.file, parameter)


def _problem(
    text: str, label: str, code: int, split_name: str, known_splits: tuple[str, ...]
) -> str:
    """Return why a well-formed row can't be used, or nothing if it can."""
    if not text:
        return "no text"
    if not label.strip():
        return "no label"
    if code < 0:
        return f"unknown label: {label.strip()}"
    if not split_name:
        return "no split"
    if split_name not in known_splits:
        return f"unknown split: {split_name}"
    return ""


def _repeat(text: str, code: int, seen: dict[int, int]) -> str:
    """Return what an earlier row with the same text was, or remember the text if there is none."""
    key = _hash(text)
    if key not in seen:
        seen[key] = code
        return ""
    return SAME_LABEL if seen[key] == code else ANOTHER_LABEL


def _hash(text: str) -> int:
    """Return 64 bits that hardly two texts share."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def audit_reviews(
    checked_reviews: Iterable[pd.DataFrame], reviews: ReviewsParameters
) -> tuple[dict[str, Any], Iterator[pd.DataFrame]]:
    """Count what became of every row, and single out the refused ones.

    Args:
        checked_reviews: From `check_reviews`; iterated twice.
        reviews: Names of the file and of the labels.

    Returns:
        The audit, in which `accepted` + `rejected` + `duplicates` = `rows_read`, and the refused
        rows in chunks: `row`, `reason`, and the text and label as far as there are any.

    """
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    labels = Counter(dict.fromkeys(reviews.labels, 0))
    splits: Counter[str] = Counter()
    examples: list[str] = []
    conflicts = 0
    words: Counter[int] = Counter()
    for chunk in checked_reviews:
        statuses.update(chunk["status"])
        accepted = _accepted(chunk)
        labels.update(reviews.labels[code] for code in accepted["code"])
        splits.update(accepted["split"])
        words.update(text.count(" ") + 1 for text in accepted["text"])
        rejected = chunk[chunk["status"] == REJECTED]
        reasons.update(reason.split(":")[0] for reason in rejected["reason"])
        for row, reason in zip(rejected["row"], rejected["reason"], strict=True):
            if len(examples) < EXAMPLES:
                examples.append(f"row {row}: {reason[:80]}")
        duplicates = chunk[chunk["status"] == DUPLICATE]
        conflicts += int((duplicates["reason"] == ANOTHER_LABEL).sum())
    audit = {
        "file": reviews.file,
        "rows_read": statuses.total(),
        "accepted": statuses[ACCEPTED],
        "rejected": statuses[REJECTED],
        "duplicates": statuses[DUPLICATE],
        "duplicates_with_another_label": conflicts,
        "rejected_by_reason": dict(reasons.most_common()),
        "rejected_examples": examples,
        "accepted_by_label": dict(labels),
        "accepted_by_own_split": {name: splits[name] for name in SPLITS if splits[name]},
        "words_per_review": _describe_counts(words),
    }
    refused = (
        chunk.loc[chunk["status"] == REJECTED, ["row", "reason", "text", "sentiment"]]
        for chunk in checked_reviews
    )
    return audit, refused


def _describe_counts(counts: Counter[int]) -> dict[str, float]:
    """Return mean, median and maximum of the values counted."""
    if not counts:
        return {}
    values = np.array(sorted(counts))
    weights = np.array([counts[value] for value in values])
    middle = np.searchsorted(np.cumsum(weights), weights.sum() / 2)
    return {
        "mean": round(float(np.average(values, weights=weights)), 1),
        "median": int(values[middle]),
        "max": int(values[-1]),
    }


def split_reviews(
    checked_reviews: Iterable[pd.DataFrame],
    audit: dict[str, Any],
    reviews: ReviewsParameters,
    split: SplitParameters,
) -> Iterator[pd.DataFrame]:
    """Keep the accepted rows and assign each to training, validation or test.

    Random splits are stratified by label, so each holds the labels in the same proportions. Where
    rows have groups, a group is in one of them, whole; they are then as near to the fractions and
    proportions as the groups allow.

    Args:
        checked_reviews: From `check_reviews`; iterated twice.
        audit: From `audit_reviews`.
        reviews: Names of the file and of the labels, and how many rows may be refused.
        split: How to split.

    Returns:
        Chunks with the columns `row` (int64), `text`, `code` (int64) and `split`.

    Raises:
        InputError: Too many rows were refused, or too few are left to split.

    """
    _require_usable(audit, reviews)
    accepted = [
        (
            chunk["code"].to_numpy(np.int16),
            _split_numbers(chunk["split"]),
            np.array([_hash(group) for group in chunk["group"]], np.uint64),
        )
        for chunk in map(_accepted, checked_reviews)
    ]
    codes, own, groups = (np.concatenate(arrays) for arrays in zip(*accepted, strict=True))
    assigned = _assign_splits(codes, own, groups if split.group_column else None, audit, split)
    _require_every_label(assigned, codes, reviews)
    return _with_splits(checked_reviews, assigned)


def _with_splits(
    checked_reviews: Iterable[pd.DataFrame], assigned: npt.NDArray[np.int8]
) -> Iterator[pd.DataFrame]:
    names = np.array(SPLITS, dtype=object)
    start = 0
    for chunk in checked_reviews:
        accepted = _accepted(chunk)[["row", "text", "code"]]
        stop = start + len(accepted)
        yield accepted.assign(split=names[assigned[start:stop]]).reset_index(drop=True)
        start = stop


def _accepted(chunk: pd.DataFrame) -> pd.DataFrame:
    return chunk[chunk["status"] == ACCEPTED]


def _split_numbers(names: pd.Series) -> npt.NDArray[np.int8]:
    return np.array([_SPLIT_NUMBERS.get(name, -1) for name in names], dtype=np.int8)


def _require_usable(audit: dict[str, Any], reviews: ReviewsParameters) -> None:
    rows, rejected = audit["rows_read"], audit["rejected"]
    if rows == 0:
        raise InputError(f"{reviews.file} has a header but no rows: add reviews to it")
    if rejected > reviews.max_rejected_fraction * rows:
        reasons = ", ".join(f"{why}: {n:,}" for why, n in audit["rejected_by_reason"].items())
        raise InputError(
            f"{reviews.file}: {rejected:,} of {rows:,} rows can't be used ({reasons}), more than "
            f"reviews.max_rejected_fraction = {reviews.max_rejected_fraction:g} allows. First: "
            f"{'; '.join(audit['rejected_examples'])}. All are in rejected_reviews.csv: mend them, "
            f"set reviews.labels (now {', '.join(reviews.labels)}), or allow more"
        )
    scarce = {label: n for label, n in audit["accepted_by_label"].items() if n < len(SPLITS)}
    if scarce:
        label, n = next(iter(scarce.items()))
        raise InputError(
            f"{reviews.file}: the label {label!r} occurs in {n} usable row{'s' * (n != 1)}, and "
            f"{len(SPLITS)} are needed, one for each of {', '.join(SPLITS)}: add reviews, or take "
            "it out of reviews.labels"
        )


def _assign_splits(
    codes: npt.NDArray[np.int16],
    own: npt.NDArray[np.int8],
    groups: npt.NDArray[np.uint64] | None,
    audit: dict[str, Any],
    split: SplitParameters,
) -> npt.NDArray[np.int8]:
    """Return the number of each accepted row's split in `SPLITS`."""
    train, validation, test = range(len(SPLITS))
    if split.method == "random":
        assigned = np.full(len(codes), train, dtype=np.int8)
        rows = np.arange(len(codes))
        assigned[_draw(rows, codes, groups, split.test_fraction, split.seed)] = test
    else:
        assigned = own.copy()
        for name, number in (("train", train), ("test", test)):
            if not (assigned == number).any():
                raise InputError(
                    f"{audit['file']}: no usable row has {name!r} in the column {split.column!r}: "
                    "add some, or draw the splits with --params split.method=random"
                )
    if not (assigned == validation).any():
        rows = np.flatnonzero(assigned == train)
        assigned[_draw(rows, codes, groups, split.validation_fraction, split.seed)] = validation
    return assigned


def _draw(
    rows: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int16],
    groups: npt.NDArray[np.uint64] | None,
    fraction: float,
    seed: int,
) -> npt.NDArray[np.int64]:
    """Return a random `fraction` of `rows`, stratified by their codes; whole groups, if any."""
    try:
        if groups is not None:
            return _draw_groups(rows, codes[rows], groups[rows], fraction, seed)
        drawn = train_test_split(rows, test_size=fraction, stratify=codes[rows], random_state=seed)
    except ValueError as error:
        raise InputError(
            f"{len(rows)} rows are too few to hold out {fraction:g} of them with every label in "
            f"both parts ({error}): add reviews, or change the fractions in `split`"
        ) from error
    return np.asarray(drawn[1], dtype=np.int64)


def _draw_groups(
    rows: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int16],
    groups: npt.NDArray[np.uint64],
    fraction: float,
    seed: int,
) -> npt.NDArray[np.int64]:
    """Return the rows of some of many equal parts, which are made of whole groups."""
    share = Fraction(fraction).limit_denominator(20)
    n_groups = len(np.unique(groups))
    if n_groups < share.denominator:
        raise ValueError(f"they are of {n_groups} groups, and {share.denominator} are needed")
    parts = StratifiedGroupKFold(share.denominator, shuffle=True, random_state=seed)
    held_out = [part for _, part in parts.split(rows, codes, groups)]
    # Not the first ones: scikit-learn puts the heaviest group there.
    chosen = np.random.default_rng(seed).permutation(len(held_out))[: share.numerator]
    places: npt.NDArray[np.intp] = np.concatenate([held_out[number] for number in chosen])
    return np.asarray(rows[np.sort(places)])


def _require_every_label(
    assigned: npt.NDArray[np.int8], codes: npt.NDArray[np.int16], reviews: ReviewsParameters
) -> None:
    for number, name in enumerate(SPLITS):
        missing = set(range(len(reviews.labels))) - set(codes[assigned == number].tolist())
        if missing:
            labels = ", ".join(reviews.labels[code] for code in sorted(missing))
            raise InputError(
                f"{reviews.file}: no {name} row has the label {labels}: add reviews of it, or "
                "change the fractions in `split`"
            )


def fit_tokenizer(
    clean_reviews: Iterable[pd.DataFrame], tokenizer: TokenizerParameters
) -> Tokenizer:
    """Learn the vocabulary from the training rows alone.

    Args:
        clean_reviews: From `split_reviews`.
        tokenizer: Size of the vocabulary and length of a sequence.

    Returns:
        The tokenizer; `encode_texts` makes sequences with it.

    """
    return train_tokenizer(
        (text for chunk in clean_reviews for text in chunk.loc[chunk["split"] == "train", "text"]),
        tokenizer,
    )


def clean_unlabelled_reviews(
    unlabelled_reviews: Iterable[pd.DataFrame],
    clean_reviews: Iterable[pd.DataFrame],
    reviews: ReviewsParameters,
) -> Iterator[pd.DataFrame]:
    """Clean reviews without labels, and leave out what is among the labelled ones.

    A text that is held out for validation or test must not come back by this way, and one of the
    training set is known already.

    Args:
        unlabelled_reviews: Chunks of strings with the text column, and `_malformed`; perhaps none.
        clean_reviews: From `split_reviews`.
        reviews: Name of the text column.

    Returns:
        Chunks with the column `text`, in which no text is twice, and none is empty.

    Raises:
        InputError: The text column is missing; raised by the first chunk.

    """
    return _clean_unlabelled(unlabelled_reviews, clean_reviews, reviews)


def _clean_unlabelled(
    unlabelled_reviews: Iterable[pd.DataFrame],
    clean_reviews: Iterable[pd.DataFrame],
    reviews: ReviewsParameters,
) -> Iterator[pd.DataFrame]:
    seen: set[int] = set()
    for number, chunk in enumerate(unlabelled_reviews):
        names = chunk.columns.drop("_malformed")
        require_column(reviews.text_column, names, "unlabelled_file", "reviews.text_column")
        if number == 0:  # most projects have no such file: then nothing is read
            seen.update(_hash(text) for labelled in clean_reviews for text in labelled["text"])
        texts = []
        for text in map(clean_text, chunk.loc[chunk["_malformed"] == "", reviews.text_column]):
            key = _hash(text)
            if text and key not in seen:
                seen.add(key)
                texts.append(text)
        logger.info("%d of %d reviews without a label are new", len(texts), len(chunk))
        yield pd.DataFrame({"text": texts}, dtype="str")


def fit_word_vectors(
    clean_reviews: Iterable[pd.DataFrame],
    clean_unlabelled_reviews: Iterable[pd.DataFrame],
    tokenizer: Tokenizer,
    word_vectors: WordVectorsParameters,
) -> npt.NDArray[np.float32]:
    """Learn vectors of the tokens from the training rows and all reviews without labels.

    Args:
        clean_reviews: From `split_reviews`.
        clean_unlabelled_reviews: Chunks with the column `text`; perhaps none.
        tokenizer: From `fit_tokenizer`.
        word_vectors: Method, size and length of the training.

    Returns:
        Shape (vocabulary, size); (0, size) if there is to be none.

    """

    def open_texts() -> Iterator[str]:
        for chunk in clean_reviews:
            yield from chunk.loc[chunk["split"] == "train", "text"]
        for chunk in clean_unlabelled_reviews:
            yield from chunk["text"]

    return train_word_vectors(open_texts, tokenizer, word_vectors)


def encode_reviews(
    clean_reviews: Iterable[pd.DataFrame], tokenizer: Tokenizer, reviews: ReviewsParameters
) -> tuple[EncodedReviews, EncodedReviews, EncodedReviews]:
    """Turn texts into padded sequences of token ids.

    Args:
        clean_reviews: From `split_reviews`.
        tokenizer: From `fit_tokenizer`.
        reviews: The labels.

    Returns:
        The training, validation and test reviews, each in the order of the file.

    """
    sizes: Counter[str] = Counter()
    for chunk in clean_reviews:
        sizes.update(chunk["split"])
    sets = {name: _empty_set(sizes[name], tokenizer, reviews) for name in SPLITS}
    filled = dict.fromkeys(SPLITS, 0)
    for chunk in clean_reviews:
        sequences = encode_texts(tokenizer, chunk["text"].tolist())
        for name, encoded in sets.items():
            chosen = (chunk["split"] == name).to_numpy()
            place = slice(filled[name], filled[name] + chosen.sum())
            encoded.sequences[place] = sequences[chosen]
            encoded.codes[place] = chunk["code"].to_numpy()[chosen]
            encoded.rows[place] = chunk["row"].to_numpy()[chosen]
            filled[name] = place.stop
    return sets["train"], sets["validation"], sets["test"]


def _empty_set(size: int, tokenizer: Tokenizer, reviews: ReviewsParameters) -> EncodedReviews:
    return EncodedReviews(
        sequences=np.repeat(encode_texts(tokenizer, [""]), size, axis=0),
        codes=np.empty(size, dtype=np.min_scalar_type(len(reviews.labels) - 1)),
        rows=np.empty(size, dtype=np.int64),
        labels=reviews.labels,
        vocabulary_size=tokenizer.get_vocab_size(),
    )
