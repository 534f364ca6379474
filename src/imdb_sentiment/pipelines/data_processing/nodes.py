"""From chunks of a raw table to encoded training, validation and test sets.

Reviews are streams of data frames, one chunk at a time, so that memory does not grow with the file.
A node that produces a stream returns an iterator; its dataset consumes it.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, count
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tokenizers import Tokenizer

from imdb_sentiment.engine.mapping import map_in_two_steps
from imdb_sentiment.errors import MAX_NAMES, InputError, make_printable
from imdb_sentiment.network.language_model import pretrain_lstm
from imdb_sentiment.parameters import (
    LanguageModelParameters,
    ProcessingParameters,
    ReviewsOptions,
    ReviewsParameters,
    SplitParameters,
    TokenizerParameters,
    WordVectorsParameters,
)
from imdb_sentiment.pipelines.data_processing.duplicates import KeyIndex
from imdb_sentiment.pipelines.data_processing.find_settings import find_settings
from imdb_sentiment.pipelines.data_processing.row_checks import (
    ACCEPTED,
    ANOTHER_LABEL,
    DUPLICATE,
    EMPTY_ROW,
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
    read_chunk,
    read_unlabelled_chunk,
    select_accepted,
)
from imdb_sentiment.pipelines.data_processing.splits import SPLITS, assign_splits
from imdb_sentiment.pipelines.data_processing.usable_rows import (
    require_every_label,
    require_usable,
    warn_of_duplicates,
)
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.review_encoder import ReviewEncoder
from imdb_sentiment.text.scripts import count_letters, measure_scripts
from imdb_sentiment.text.tables import list_parts, number_rows
from imdb_sentiment.text.tokenizer import make_word_tokenizer, train_tokenizer
from imdb_sentiment.text.user_tables import require_well_formed
from imdb_sentiment.text.word_numbers import (
    WORDS,
    WordList,
    join_words,
    pack_words,
    unpack_numbers,
)
from imdb_sentiment.text.word_vectors import train_word_vectors
from imdb_sentiment.text.words import Script

logger = logging.getLogger(__name__)

EXAMPLES = 3  # rejected rows that the audit shows
MAX_UNREADABLE = 0.05  # fraction of reviews without a known token above which there is a warning


def find_columns(
    raw_reviews: pd.DataFrame | Iterable[pd.DataFrame],
    reviews: ReviewsOptions,
    split: SplitParameters,
) -> ReviewsParameters:
    """Find out which columns and labels a table has, where conf/ leaves this open.

    Columns are found in the first rows; all rows are read for the labels, since rows are often
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
    require_usable(audit, reviews, split)
    warn_of_duplicates(audit)
    codes, own_splits, groups = _list_accepted(checked_reviews, bool(split.group_column))
    assigned = assign_splits(codes, own_splits, groups, split, reviews)
    require_every_label(assigned, codes, groups, audit=audit, reviews=reviews, split=split)
    return _add_splits(checked_reviews, assigned)


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
        InputError: The text column is missing; raised with the chunk that lacks it. Most of the
            rows are malformed; raised after the last one.

    """
    seen = KeyIndex()
    known = WordList()
    are_new: Counter[bool] = Counter()
    n_malformed, first = 0, ""
    text_column = None

    def select_new(rows: RowKeys) -> Verdicts:
        nonlocal n_malformed, first, text_column
        text_column = text_column or rows.text_column
        if rows.text_column != text_column:  # as in another file of JSON in the same folder
            raise InputError(
                f"unlabelled_file has texts in the column {text_column!r}, but some rows have only "
                f"a column {rows.text_column!r}: give all texts the same column"
            )
        if not len(known):  # read only now: without unlabelled reviews, there is no need
            listed = list(words)
            known.number(pack_words(listed))
            for labelled in clean_reviews:
                numbers, lengths = unpack_numbers(labelled[WORDS])
                parts = np.split(numbers, np.cumsum(lengths))[:-1]  # none of a chunk without rows
                hashes = [
                    hash_text(text, join_words(listed[number] for number in part))
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
        setting = "passes" if has_unlabelled else "passes_without_unlabelled"
        reason = f"{n_reviews:,} reviews are too few for language_model.required_steps"
        if not getattr(language_model, setting):
            there_are = "are" if has_unlabelled else "are no"
            reason = f"there {there_are} unlabelled reviews, and language_model.{setting} is 0"
        logger.info("The LSTM is not pretrained as a language model: %s", reason)
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
