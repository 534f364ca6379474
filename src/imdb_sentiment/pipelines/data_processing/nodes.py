"""From chunks of a raw table to encoded training, validation and test sets.

Reviews are streams of data frames, one chunk at a time, so that memory does not grow with the file.
A node that produces a stream returns an iterator; its dataset consumes it.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, count
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tokenizers import Tokenizer

from imdb_sentiment.engine.mapping import map_in_two_steps
from imdb_sentiment.errors import (
    MAX_NAMES,
    InputError,
    join_alternatives,
    list_names,
    make_printable,
)
from imdb_sentiment.network.language_model import pretrain_lstm
from imdb_sentiment.parameters import (
    LanguageModelParameters,
    ProcessingParameters,
    ReviewsOptions,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    WordVectorsParameters,
    normalise_label,
)
from imdb_sentiment.pipelines.data_processing.duplicates import KeyIndex
from imdb_sentiment.pipelines.data_processing.find_settings import (
    MAIN_SPLITS,
    find_allowance,
    find_settings,
    format_allowance,
    format_others,
    format_settings,
)
from imdb_sentiment.pipelines.data_processing.row_checks import (
    ACCEPTED,
    ANOTHER_LABEL,
    DUPLICATE,
    EMPTY_ROW,
    LACKS_GROUP,
    LACKS_SPLIT,
    NO_LABEL,
    NO_TEXT,
    REJECTED,
    UNKNOWN_LABEL,
    UNKNOWN_SPLIT,
    RowJudge,
    RowKeys,
    Verdicts,
    finish_chunk,
    finish_unlabelled_chunk,
    hash_groups,
    hash_text,
    list_required_columns,
    read_chunk,
    read_unlabelled_chunk,
    select_accepted,
)
from imdb_sentiment.pipelines.data_processing.splits import SPLITS, assign_splits
from imdb_sentiment.text.columns import Labels, find_labels, order_labels
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.review_encoder import ReviewEncoder
from imdb_sentiment.text.scripts import count_letters, measure_scripts
from imdb_sentiment.text.tables import list_parts, number_rows
from imdb_sentiment.text.tokenizer import make_word_tokenizer, train_tokenizer
from imdb_sentiment.text.user_tables import require_well_formed
from imdb_sentiment.text.word_numbers import WORDS, WordList, pack_words, unpack_numbers
from imdb_sentiment.text.word_vectors import train_word_vectors
from imdb_sentiment.text.words import Script

logger = logging.getLogger(__name__)

MANY_DUPLICATES = 0.2  # share of rows above which there is a warning
EXAMPLES = 3  # rejected rows that messages show
MOST = 0.9  # share of rows above which a problem is attributed to the settings, not to single rows
# For each reason of rejection, the parameter that may name the wrong column.
COLUMNS = {
    NO_TEXT: "reviews.text_column",
    NO_LABEL: "reviews.label_column",
    UNKNOWN_LABEL: "reviews.label_column",
    LACKS_SPLIT: "split.column",
    UNKNOWN_SPLIT: "split.column",
    LACKS_GROUP: "split.group_column",
}
MANY_UNLABELLED = 0.1  # share of rows from which they are worth being used without labels
MAX_UNREADABLE = 0.05  # fraction of reviews without a known token above which there is a warning


def find_columns(
    raw_reviews: pd.DataFrame | Iterable[pd.DataFrame],
    reviews: ReviewsOptions,
    split: SplitParameters,
) -> ReviewsParameters:
    """Find out which columns and labels a table has, where conf/ leaves this open.

    Columns are found in the first chunk; all rows are read for the labels, since rows are often
    sorted by them.

    Args:
        raw_reviews: A table, whole or in chunks; see `number_rows`.
        reviews: Names of columns and labels, or `auto`.
        split: Whether and where the table has its own splits, and groups of rows.

    Returns:
        The names of columns and labels.

    Raises:
        InputError: A column is missing, or there is doubt. The message names everything that is
            wrong, and ends with lines for conf/local/parameters.yml.

    """
    return find_settings(number_rows(raw_reviews), reviews, split)


def check_reviews(
    raw_reviews: pd.DataFrame | Iterable[pd.DataFrame],
    reviews: ReviewsParameters,
    split: SplitParameters,
    script: Script,
    processing: ProcessingParameters,
) -> tuple[Iterator[pd.DataFrame], Iterator[str]]:
    """Clean every row, cut its text into words, and decide whether it can be used.

    Args:
        raw_reviews: A table with the columns that `reviews` and `split` name, whole or in chunks;
            see `number_rows`.
        reviews: Names of columns and labels.
        split: Whether and where the table has its own splits, and groups of rows.
        script: Rule for cutting texts into words.
        processing: Processes that clean and cut the texts; the result does not depend on them.

    Returns:
        Chunks of the same rows with the columns `row` (int64), `text` (cleaned), `sentiment` (the
        cleaned label), `code` (int64; -1 for an unknown label), `split` (`none` unless the
        table has its own), `group` (empty unless it has groups), `words` (the numbers of the words;
        see `imdb_sentiment.text.word_numbers`), `status` (accepted, rejected or duplicate) and
        `reason` (empty if accepted), each as a `PickledResult` if other processes have made it;
        and all distinct words in the order of their numbers, which are known when the chunks have
        been read.

    Raises:
        InputError: A column is missing; raised with the first chunk.

    """
    judge = RowJudge()
    chunks = map_in_two_steps(
        partial(read_chunk, reviews=reviews, split=split, script=script),
        judge.judge,
        finish_chunk,
        list_parts(raw_reviews),
        **processing.model_dump(),
    )
    return judge.follow(chunks), judge.list_words()


def audit_reviews(
    checked_reviews: Iterable[pd.DataFrame], reviews: ReviewsParameters
) -> tuple[dict[str, Any], Iterator[pd.DataFrame]]:
    """Count the accepted, rejected and duplicate rows, and select the rejected ones.

    Args:
        checked_reviews: Chunks from `check_reviews`; iterated twice.
        reviews: Names of the file and of the labels.

    Returns:
        The audit, in which `accepted` + `rejected` + `duplicates` = `rows_read`, and chunks of the
        rejected rows with the columns `row` (int64), `reason`, and those of the cleaned text and of
        the label, named as in the table.

    """
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    labels = Counter(dict.fromkeys(reviews.labels, 0))
    splits: Counter[str] = Counter()
    examples: list[str] = []
    unknown: dict[str, Counter[str]] = {UNKNOWN_LABEL: Counter(), UNKNOWN_SPLIT: Counter()}
    conflicts = 0
    words: Counter[int] = Counter()
    letters: Counter[str] = Counter()
    for chunk in checked_reviews:
        statuses.update(chunk["status"])
        accepted = select_accepted(chunk)
        labels.update(reviews.labels[code] for code in accepted["code"])
        splits.update(accepted["split"])
        words.update(unpack_numbers(accepted[WORDS])[1].tolist())
        letters += count_letters(accepted["text"])
        rejected = chunk[chunk["status"] == REJECTED]
        reasons.update(reason.split(":")[0] for reason in rejected["reason"])
        for why, column in ((UNKNOWN_LABEL, "sentiment"), (UNKNOWN_SPLIT, "split")):
            unknown[why].update(rejected.loc[rejected["reason"].str.startswith(why), column])
        for row, reason in zip(rejected["row"], rejected["reason"], strict=True):
            if len(examples) < EXAMPLES and reason != EMPTY_ROW:
                examples.append(f"row {row}: {reason[:80]}")
        conflicts += int((chunk["reason"] == ANOTHER_LABEL).sum())
    audit: dict[str, Any] = {
        "file": reviews.file,
        "rows_read": statuses.total(),
        "accepted": statuses[ACCEPTED],
        "rejected": statuses[REJECTED],
        "duplicates": statuses[DUPLICATE],
        "duplicates_with_another_label": conflicts,
        "rejected_by_reason": dict(reasons.most_common()),
        "empty_rows": reasons[EMPTY_ROW],
        "rejected_examples": examples,
        "unknown_labels": dict(unknown[UNKNOWN_LABEL].most_common(MAX_NAMES)),
        "unknown_splits": dict(unknown[UNKNOWN_SPLIT].most_common(MAX_NAMES)),
        "accepted_by_label": dict(labels),
        "accepted_by_own_split": {name: splits[name] for name in SPLITS if splits[name]},
        "words_per_review": _describe_counts(words),
        "scripts": measure_scripts(letters),
    }
    names = {"text": reviews.text_column, "sentiment": reviews.label_column}
    if not {"row", "reason"}.isdisjoint(names.values()):
        names = {}
    rejected_reviews = (
        chunk.loc[chunk["status"] == REJECTED, ["row", "reason", "text", "sentiment"]].rename(
            columns=names
        )
        for chunk in checked_reviews
    )
    return audit, rejected_reviews


def _describe_counts(counts: Counter[int]) -> dict[str, float]:
    """Return the mean, median and maximum of values, given how often each occurs."""
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

    Random splits are stratified: each has the labels in the same proportions. If rows have groups,
    no group is divided; the fractions and proportions are then met as closely as the groups allow.

    Args:
        checked_reviews: Chunks from `check_reviews`; iterated twice.
        audit: Audit from `audit_reviews`.
        reviews: Names of the file and of the labels, and how many rows may be rejected.
        split: Settings of the division.

    Returns:
        Chunks with the columns `row` (int64), `text`, `code` (int64), `group` (empty unless the
        table has groups), `words` and `split`.

    Raises:
        InputError: Too many rows were rejected, or too few are left to split.

    """
    _require_usable(audit, reviews, split)
    _warn_of_duplicates(audit)
    codes, own_splits, groups = _list_accepted(checked_reviews, bool(split.group_column))
    assigned = assign_splits(codes, own_splits, groups, split, reviews)
    _require_every_label(assigned, codes, audit, reviews, split)
    return _add_splits(checked_reviews, assigned)


def _warn_of_duplicates(audit: dict[str, Any]) -> None:
    """Warn if many rows are left out, as with short reviews, of which many are the same."""
    if audit["duplicates"] > MANY_DUPLICATES * audit["rows_read"]:
        logger.warning(
            "%s of %s rows are duplicates, %s of them with another label: of rows with the same "
            "text, only the first one is used. If many texts stand for a missing one, such as "
            "'no comment', delete these rows.",
            f"{audit['duplicates']:,}",
            f"{audit['rows_read']:,}",
            f"{audit['duplicates_with_another_label']:,}",
        )


def _list_accepted(
    checked_reviews: Iterable[pd.DataFrame], has_groups: bool
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int8], npt.NDArray[np.uint64] | None]:
    """Return the codes, the splits of their own and the groups, if any, of all accepted rows."""
    numbers = {name: number for number, name in enumerate(SPLITS)}
    codes, splits, groups = [], [], []
    for chunk in map(select_accepted, checked_reviews):
        codes.append(chunk["code"].to_numpy(np.int16))
        splits.append(np.array([numbers.get(name, -1) for name in chunk["split"]], np.int8))
        if has_groups:  # else 8 bytes per row for nothing
            groups.append(hash_groups(chunk["group"]))
    return (
        np.concatenate(codes),
        np.concatenate(splits),
        np.concatenate(groups) if has_groups else None,
    )


def _add_splits(
    checked_reviews: Iterable[pd.DataFrame], assigned: npt.NDArray[np.int8]
) -> Iterator[pd.DataFrame]:
    names = np.array(SPLITS, dtype=object)
    for chunk in checked_reviews:
        accepted = select_accepted(chunk)[["row", "text", "code", "group", WORDS]]
        numbers, assigned = np.split(assigned, [len(accepted)])
        yield accepted.assign(split=names[numbers]).reset_index(drop=True)


def _require_usable(
    audit: dict[str, Any], reviews: ReviewsParameters, split: SplitParameters
) -> None:
    rows, rejected = _count_filled(audit)
    if rows == 0:
        raise InputError(f"{reviews.file} has a header but no rows: add reviews to it")
    if rejected / rows > reviews.max_rejected_fraction:
        counts = {why: n for why, n in audit["rejected_by_reason"].items() if why != EMPTY_ROW}
        reasons = ", ".join(f"{why}: {n:,}" for why, n in counts.items())
        labels = _find_more_labels(audit, reviews)
        more = [n for n in labels.counts if n not in (*reviews.labels, *labels.placeholders)]
        why = next(iter(counts))  # the most frequent one
        ways = _list_ways(why, audit, reviews, split) if counts[why] >= MOST * rejected else []
        ways = ["fix them", *([] if more and why == UNKNOWN_LABEL else ways)]
        if more:
            ways.append(f"set reviews.labels (now {', '.join(reviews.labels)})")
        lacks_split = split.method == "column" and not (
            audit["accepted_by_own_split"].keys() >= MAIN_SPLITS
        )
        if can_allow := rejected <= MOST * rows and not lacks_split:
            has_unlabelled = counts.get(NO_LABEL, 0) >= MANY_UNLABELLED * rows
            ways.append(
                "raise reviews.max_rejected_fraction"
                + (
                    " (--params unlabelled_file=FILE with the same file learns from the rows "
                    "without a label)"
                    if has_unlabelled
                    else ""
                )
            )
        block = _propose_settings(audit, reviews, labels, more) if more or can_allow else ""
        allowed = find_allowance(rejected, rows, reviews) if can_allow and not more else None
        raise InputError(
            f"{reviews.file}: {rejected:,} of {rows:,} rows can't be used ({reasons}), more than "
            f"reviews.max_rejected_fraction = {reviews.max_rejected_fraction:g} allows. First: "
            f"{'; '.join(audit['rejected_examples'])}. All are in "
            f"data/02_intermediate/rejected_reviews.csv: {join_alternatives(ways)}"
            + (". In conf/local/parameters.yml:" if block else ""),
            block,
            {"reviews.max_rejected_fraction": allowed} if allowed else {},
        )
    scarce = [label for label, n in audit["accepted_by_label"].items() if n < len(SPLITS)]
    if scarce:
        n = audit["accepted_by_label"][scarce[0]]
        raise _explain_missing(
            f"the label {scarce[0]!r} occurs in {n} usable row{'s' * (n != 1)}, and {len(SPLITS)} "
            f"are needed, one for each of {', '.join(SPLITS)}",
            ["add reviews", *_doubt_texts(audit, reviews)],
            scarce,
            audit,
            reviews,
        )


def _doubt_texts(audit: dict[str, Any], reviews: ReviewsParameters) -> list[str]:
    """Return the advice to name another column if most texts are duplicates; else nothing."""
    n, rows = audit["duplicates"], audit["accepted"] + audit["duplicates"]
    if not n or 2 * n < rows:
        return []
    return [
        f"name the column of the texts with reviews.text_column, if it is not "
        f"{reviews.text_column!r}, where {n:,} of {rows:,} texts repeat an earlier one"
    ]


def _list_ways(
    reason: str, audit: dict[str, Any], reviews: ReviewsParameters, split: SplitParameters
) -> list[str]:
    """Return ways to avoid the rejection of rows for a reason, other than mending each row."""
    if reason in (LACKS_SPLIT, UNKNOWN_SPLIT):
        now = list_names([*map(repr, audit["unknown_splits"])])
        return [
            f"write train, validation or test into the column {split.column!r}"
            + (f" instead of {now}" if now else ""),
            "split at random with --params split.method=random",
        ]
    rows, _ = _count_filled(audit)
    if audit["rejected_by_reason"][reason] < MOST * rows or reason not in COLUMNS:
        return []
    column = list_required_columns(reviews, split)[COLUMNS[reason]]
    return [f"name another column in {COLUMNS[reason]} (now {column!r})"]


def _count_filled(audit: dict[str, Any]) -> tuple[int, int]:
    """Return the number of rows that are not empty, and how many of them are rejected."""
    return audit["rows_read"] - audit["empty_rows"], audit["rejected"] - audit["empty_rows"]


def _find_more_labels(audit: dict[str, Any], reviews: ReviewsParameters) -> Labels:
    """Return the present labels in their order, then further ones that the table has.

    If the labels are ordinal, the further ones are inserted where they belong.
    """
    found = find_labels({**audit["accepted_by_label"], **audit["unknown_labels"]})
    spelt = {normalise_label(label): label for label in reviews.labels}  # such as 1.0, found as 1
    usable = {spelt.get(normalise_label(label), label): n for label, n in found.counts.items()}
    counts = {
        label: n
        for label, n in audit["accepted_by_label"].items()
        if label in usable or label in found.misspellings
    } | usable
    if reviews.ordered:
        graded = [n for n in counts if n in reviews.labels or order_labels([*reviews.labels, n])[1]]
        order, _ = order_labels(graded)
        present = [label for label in counts if label in reviews.labels]
        for way in (order, order[::-1]):  # the user may have chosen either
            if [label for label in way if label in reviews.labels] == present:
                counts = {label: counts[label] for label in way} | counts
                break
    others = {value: n for value, n in found.others.items() if value not in reviews.labels}
    return Labels(counts, others, misspellings=found.misspellings)


def _propose_settings(
    audit: dict[str, Any], reviews: ReviewsParameters, labels: Labels, more: list[str]
) -> str:
    """Return lines for conf/local/parameters.yml with which the run continues.

    Args:
        audit: Audit from `audit_reviews`.
        reviews: The present settings.
        labels: Labels from `_find_more_labels`.
        more: The labels to add. A comment then has the fraction of rejected rows that would have to
            be allowed without them.

    """
    rows, rejected = _count_filled(audit)
    allowance = format_allowance(rejected, rows, reviews)
    if not more:
        return "\n".join(["reviews:", *allowance, *format_others(labels)])
    left = rejected - sum(labels.counts[label] or 0 for label in more)
    return "\n".join(
        [
            format_settings([reviews.text_column], [reviews.label_column], labels, reviews),
            *format_allowance(left, rows, reviews),
            *(f"  # or without the further labels: {line.strip()}" for line in allowance),
        ]
    )


def _explain_missing(
    problem: str,
    ways: Sequence[str],
    labels: Collection[str],
    audit: dict[str, Any],
    reviews: ReviewsParameters,
) -> InputError:
    """Return the error of labels with too few rows; a further way is to leave these labels out."""
    counts = audit["accepted_by_label"]
    kept = {label: n for label, n in counts.items() if label not in labels}
    if len(kept) < 2:  # noqa: PLR2004
        return InputError(f"{reviews.file}: {problem}: {join_alternatives(ways)}")
    rows, rejected = _count_filled(audit)
    rejected += sum(counts[label] for label in labels)
    alternatives = join_alternatives([*ways, "leave it out of reviews.labels"])
    return InputError(
        f"{reviews.file}: {problem}: {alternatives}. In conf/local/parameters.yml:",
        "\n".join(
            [
                format_settings(
                    [reviews.text_column], [reviews.label_column], Labels(kept), reviews
                ),
                *format_allowance(rejected, rows, reviews),
            ]
        ),
    )


def _require_every_label(
    assigned: npt.NDArray[np.int8],
    codes: npt.NDArray[np.int16],
    audit: dict[str, Any],
    reviews: ReviewsParameters,
    split: SplitParameters,
) -> None:
    for number, name in enumerate(SPLITS):
        absent = set(range(len(reviews.labels))) - set(codes[assigned == number].tolist())
        if absent:
            labels = [reviews.labels[code] for code in sorted(absent)]
            way = "change the fractions in `split`"
            if split.method == "column":
                way = f"mark more rows as {name} in the column {split.column!r}"
            raise _explain_missing(
                f"no {name} row has the label {', '.join(labels)}",
                ["add reviews with it", way],
                labels,
                audit,
                reviews,
            )


def fit_tokenizer(
    clean_reviews: Iterable[pd.DataFrame], words: Sequence[str], tokenization: TokenizerParameters
) -> Tokenizer:
    """Learn the vocabulary from the training rows only.

    Args:
        clean_reviews: Chunks from `split_reviews`.
        words: Distinct words, from `check_reviews`.
        tokenization: Kind of the tokens, size of the vocabulary and length of a sequence.

    Returns:
        The tokenizer, to be used with `ReviewEncoder` and `TextEncoder`.

    """
    train = (chunk[chunk["split"] == "train"] for chunk in clean_reviews)
    if tokenization.kind == "bpe":
        return train_tokenizer((text for chunk in train for text in chunk["text"]), tokenization)
    counts = np.zeros(len(words), np.int64)
    for chunk in train:
        counts += np.bincount(unpack_numbers(chunk[WORDS])[0], minlength=len(words))
    return make_word_tokenizer(words, counts, tokenization)


def clean_unlabelled_reviews(
    *,
    unlabelled_reviews: pd.DataFrame | Iterable[pd.DataFrame],
    clean_reviews: Iterable[pd.DataFrame],
    words: Sequence[str],
    reviews: ReviewsParameters,
    script: Script,
    processing: ProcessingParameters,
) -> Iterator[pd.DataFrame]:
    """Clean unlabelled reviews and remove those that are among the labelled ones.

    Held-out reviews must not become training data this way, and the training reviews are already
    known. Texts with the same words are the same, as in `RowJudge.judge`.

    Args:
        unlabelled_reviews: A table with the text column or with only one column, whole or in
            chunks; possibly no chunk.
        clean_reviews: Chunks from `split_reviews`.
        words: Distinct words, from `check_reviews`.
        reviews: Name of the text column.
        script: Rule for cutting texts into words.
        processing: Processes that clean and cut them; the result does not depend on these.

    Returns:
        Chunks with the columns `row` (int64), `text`, and `words`: texts of distinct words, none of
        them empty. A word that no labelled review has gets the number `len(words)`. Chunks that
        other processes have made are each a `PickledResult`.

    Raises:
        InputError: The text column is missing; raised with the first chunk. Most of the rows are
            malformed; raised after the last one.

    """
    seen = KeyIndex()
    known = WordList()
    are_new: Counter[bool] = Counter()
    n_malformed, first = 0, ""

    def select_new(rows: RowKeys) -> Verdicts:
        nonlocal n_malformed, first
        if not len(known):  # read only now: without unlabelled reviews, there is no need
            listed = list(words)
            known.number(pack_words(listed))
            for labelled in clean_reviews:
                numbers, lengths = unpack_numbers(labelled[WORDS])
                parts = np.split(numbers, np.cumsum(lengths))[:-1]  # none of a chunk without rows
                hashes = [
                    hash_text(text, [listed[number] for number in part])
                    for text, part in zip(labelled["text"], parts, strict=True)
                ]
                seen.claim(np.array(hashes, np.uint64).reshape(-1, 2))
        is_new = rows.is_usable & (seen.claim(rows.keys, rows.codes, rows.is_usable) < 0)
        are_new.update(is_new.tolist())
        n_malformed += len(rows.malformed)
        first = first or next(iter(rows.malformed), "")
        numbers = known.find(rows.words)
        return Verdicts(
            (~is_new).astype(np.int8), np.where(numbers < 0, np.int32(len(words)), numbers)
        )

    def report(chunks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        yield from chunks
        if not (rows := are_new.total()):
            return
        advice = (
            "if each line is one text, set a delimiter that occurs in none of them, such as "
            "--params unlabelled_delimiter=tab"
        )
        require_well_formed(n_malformed, rows, first, "unlabelled_file", advice)
        if n_malformed:
            logger.warning(
                "%s of %s rows of unlabelled_file are malformed, and left out (the first is %s)",
                *(f"{n_malformed:,}", f"{rows:,}", make_printable(first)),
            )
        logger.info(
            "%s of %s unlabelled reviews are used (others are empty or duplicates)",
            f"{are_new[True]:,}",
            f"{rows:,}",
        )

    chunks = map_in_two_steps(
        partial(read_unlabelled_chunk, text_column=reviews.text_column, script=script),
        select_new,
        finish_unlabelled_chunk,
        list_parts(unlabelled_reviews),
        **processing.model_dump(),
    )
    return report(chunks)


def fit_word_vectors(
    clean_reviews: Iterable[pd.DataFrame],
    clean_unlabelled_reviews: Iterable[pd.DataFrame],
    tokenizer: Tokenizer,
    words: Sequence[str],
    word_vectors: WordVectorsParameters,
) -> npt.NDArray[np.float32]:
    """Pretrain word vectors on the training rows and all unlabelled reviews.

    Args:
        clean_reviews: Chunks from `split_reviews`.
        clean_unlabelled_reviews: Chunks from `clean_unlabelled_reviews`; possibly no chunk.
        tokenizer: Tokenizer from `fit_tokenizer`.
        words: Distinct words, from `check_reviews`.
        word_vectors: Method, and size of the vectors and the context.

    Returns:
        Vectors, shape (vocabulary, size); (0, size) with the method `none`.

    """
    train = (chunk[chunk["split"] == "train"] for chunk in clean_reviews)
    encoder = ReviewEncoder(tokenizer, words)
    texts = map(encoder.encode_joined, chain(train, clean_unlabelled_reviews))
    return train_word_vectors(texts, tokenizer.get_vocab_size(), word_vectors)


def pretrain_network(
    *,
    train: EncodedReviews,
    clean_unlabelled_reviews: Iterable[pd.DataFrame],
    tokenizer: Tokenizer,
    words: Sequence[str],
    word_vectors: npt.NDArray[np.float32],
    tokenization: TokenizerParameters,
    language_model: LanguageModelParameters,
    pretrained_embedding: bool,
    units: int,
    bidirectional: bool,
    chrono_initialization: int,
) -> tuple[npt.NDArray[np.float32], ...]:
    """Pretrain the embedding and the LSTM.

    Args:
        train: Training set from `encode_reviews`: further texts, whose labels are not used.
        clean_unlabelled_reviews: Chunks from `clean_unlabelled_reviews`; possibly no chunk.
        tokenizer: Tokenizer from `fit_tokenizer`.
        words: Distinct words, from `check_reviews`.
        word_vectors: Vectors from `fit_word_vectors`, shape (vocabulary, size).
        tokenization: Number of tokens kept from the beginning of a long review.
        language_model: Numbers of epochs and of required steps, batch size, learning rate and seed.
        pretrained_embedding: Whether the network starts from pretrained weights at all.
        units: Size of the LSTM's state, in each direction.
        bidirectional: Whether a second LSTM reads the texts backwards.
        chrono_initialization: Longest dependency for the initial biases; see `Hyperparameters`.

    Returns:
        Weights of the embedding and the LSTM, from `pretrain_lstm`; empty if there are no
        epochs, too few reviews, or if the embedding is not to be pretrained.

    Raises:
        InputError: There are no word vectors to start from, or the training has diverged.

    """
    if not language_model.is_wanted or not pretrained_embedding:
        return ()
    encoder = ReviewEncoder(tokenizer, words, tokenization.head_length)
    unlabelled = list(map(encoder.encode, clean_unlabelled_reviews))
    n_reviews = len(train) + sum(map(len, unlabelled))
    has_unlabelled = n_reviews > len(train)
    passes = language_model.count_passes(n_reviews, has_unlabelled=has_unlabelled)
    if not passes:
        if has_unlabelled or language_model.passes_without_unlabelled:
            logger.info(
                "The LSTM is not pretrained as a language model: %s reviews are too few for "
                "language_model.required_steps",
                f"{n_reviews:,}",
            )
        return ()
    return pretrain_lstm(
        np.concatenate([train.sequences, *unlabelled]),
        word_vectors,
        language_model,
        passes=passes,
        units=units,
        bidirectional=bidirectional,
        chrono_initialization=chrono_initialization,
    )


def encode_reviews(
    clean_reviews: Iterable[pd.DataFrame],
    tokenizer: Tokenizer,
    words: Sequence[str],
    reviews: ReviewsParameters,
    tokenization: TokenizerParameters,
) -> tuple[Iterator[EncodedReviews], Iterator[EncodedReviews], Iterator[EncodedReviews]]:
    """Encode texts as padded sequences of token ids; warn if many have no known token.

    Args:
        clean_reviews: Chunks from `split_reviews`; iterated three times.
        tokenizer: Tokenizer from `fit_tokenizer`.
        words: Distinct words, from `check_reviews`.
        reviews: Labels, in the order of their codes.
        tokenization: Number of tokens kept from the beginning of a long review, and the settings of
            the tokenizer, for a warning.

    Returns:
        The training, validation and test set, each in portions and in the order of the table.

    """
    encoder = ReviewEncoder(tokenizer, words, tokenization.head_length)
    code_type = np.min_scalar_type(len(reviews.labels) - 1)
    sizes: Counter[str] = Counter()
    unreadable: Counter[str] = Counter()  # reviews without a known token
    ended = count(1)  # number of complete sets; `next` is atomic, and `--async` uses threads

    def encode(name: str) -> Iterator[EncodedReviews]:
        for chunk in clean_reviews:
            part = chunk[chunk["split"] == name]
            encoded = EncodedReviews(
                sequences=encoder.encode(part),
                codes=part["code"].to_numpy(code_type),
                rows=part["row"].to_numpy(np.int64),
                labels=reviews.labels,
                vocabulary_size=tokenizer.get_vocab_size(),
                groups=hash_groups(part["group"]),
            )
            sizes[name] += len(encoded)
            unreadable[name] += int((encoded.lengths == 0).sum())
            yield encoded
        if next(ended) == len(SPLITS):
            logger.info(
                "%s reviews for training, %s for validation, %s for the test",
                *(f"{sizes[split]:,}" for split in SPLITS),
            )
            _warn_of_unreadable(unreadable.total(), sizes.total(), tokenization)

    return encode("train"), encode("validation"), encode("test")


def _warn_of_unreadable(unreadable: int, rows: int, tokenization: TokenizerParameters) -> None:
    if unreadable <= MAX_UNREADABLE * rows:
        return
    advice = "raise tokenizer.vocabulary_size"
    if tokenization.kind == "words":
        advice = f"set tokenizer.kind to bpe, or {advice}"
        if tokenization.script == "spaces":
            advice = f"set tokenizer.script to auto; or {advice}"
    logger.warning(
        "%d of %d reviews (%.0f%%) have no word that the LSTM knows, so it can't read them: %s",
        *(unreadable, rows, 100 * unreadable / rows, advice),
    )
