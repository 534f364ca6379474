"""Checking rows: which are accepted, rejected or duplicates, and why."""

import hashlib
from collections.abc import Iterable, Iterator
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
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
from imdb_sentiment.text.tables import MALFORMED, find_empty, list_columns, to_strings
from imdb_sentiment.text.word_numbers import (
    WORDS,
    Lengths,
    Numbers,
    WordList,
    number_words,
    pack_numbers,
)
from imdb_sentiment.text.words import Script, get_rule

ACCEPTED, REJECTED, DUPLICATE = "accepted", "rejected", "duplicate"  # the status of a row
# The reason of a duplicate.
SAME_LABEL, ANOTHER_LABEL = "same text and label", "same text under another label"
UNKNOWN_LABEL = "unknown label"
EMPTY_ROW = "empty row"  # which no limit of rejected rows counts
NO_SPLIT = "none"  # the split of a row, if the table has no splits of its own
NO_GROUP = ""  # the group of a row, if the table has no groups


class ReadRows(NamedTuple):
    """Rows that have been read, but not compared with earlier ones.

    Attributes:
        rows: The columns of `check_reviews` from `row` to `group`, by name; of unlabelled reviews,
            only `row` and `text`. They are no data frame, since the pickle of one that has come
            from another process differs in a few bytes.
        problems: Reason why a row can't be used; empty if it can.
        hashes: Hash of each text, from `hash_bytes`.
        numbers: Number of each word of all texts, in `words`.
        lengths: How many words each text has.
        words: The distinct words of these texts.

    """

    rows: dict[str, Any]
    problems: list[str]
    hashes: list[int]
    numbers: Numbers
    lengths: Lengths
    words: list[str]


def read_chunk(
    chunk: pd.DataFrame, reviews: ReviewsParameters, split: SplitParameters, script: Script
) -> ReadRows:
    """Clean the rows of a chunk, cut their texts into words, and find problems of single rows.

    Args:
        chunk: Chunk from `number_rows`.
        reviews: Names of columns and labels.
        split: Whether and where the table has its own splits, and groups of rows.
        script: How texts are cut into words.

    """
    _require_columns(chunk, reviews, split)
    labels = to_strings(chunk[reviews.label_column])
    known = {normalise_label(label): code for code, label in enumerate(reviews.labels)}
    codes = {label: known.get(normalise_label(label), -1) for label in set(labels)}
    splits, groups = [NO_SPLIT] * len(chunk), [NO_GROUP] * len(chunk)
    if split.method == "column":
        found = to_strings(chunk[split.column])
        names = {name: normalise_label(name) for name in set(found)}
        splits = [names[name] for name in found]
    if split.group_column:
        groups = [group.strip() for group in to_strings(chunk[split.group_column])]
    rows = {
        "row": chunk.index.to_numpy(np.int64),
        "text": [clean_text(text) for text in to_strings(chunk[reviews.text_column])],
        "sentiment": labels,
        "code": np.array([codes[label] for label in labels], np.int64),
        "split": splits,
        "group": groups,
    }
    malformed = chunk[MALFORMED].reset_index(drop=True)
    problems = _find_problems(make_frame(rows), malformed, find_empty(chunk), split)
    return _cut_texts(rows, problems.tolist(), script)


def read_unlabelled_chunk(chunk: pd.DataFrame, text_column: str, script: Script) -> ReadRows:
    """Clean the texts of a chunk and cut them into words.

    Args:
        chunk: Chunk from `number_rows`.
        text_column: Name of the column of texts.
        script: How texts are cut into words.

    """
    require_column(text_column, list_columns(chunk), "unlabelled_file", "reviews.text_column")
    texts = [clean_text(text) for text in to_strings(chunk[text_column])]
    problems = ["" if text else "no text" for text in texts]
    return _cut_texts({"row": chunk.index.to_numpy(np.int64), "text": texts}, problems, script)


def _cut_texts(rows: dict[str, Any], problems: list[str], script: Script) -> ReadRows:
    hashes = [hash_bytes(text.encode()) for text in rows["text"]]
    return ReadRows(rows, problems, hashes, *number_words(rows["text"], get_rule(script).split))


def make_frame(columns: dict[str, Any]) -> pd.DataFrame:
    """Return columns as a data frame; the dtype of none of them depends on its content."""
    others = {"row": np.int64, "code": np.int64, WORDS: object}
    return pd.DataFrame(columns).astype({name: others.get(name, "str") for name in columns})


class RowJudge:
    """Decides row by row, in the order of the table, which ones are accepted.

    Only this needs to know all earlier rows. It keeps two hashes and the code of each accepted one,
    about 190 bytes, and the distinct words.
    """

    def __init__(self) -> None:
        self._words = WordList()
        self._codes: dict[int, int] = {}  # of the first row with each text or words, by the hash
        self._is_complete = False
        self._has_ended = Event()

    def judge(self, chunks: Iterable[ReadRows]) -> Iterator[pd.DataFrame]:
        """Yield the chunks that `check_reviews` returns; can be called once."""
        try:
            yield from map(self._judge_chunk, chunks)
            self._is_complete = True
        finally:
            self._has_ended.set()

    def list_words(self) -> Iterator[str]:
        """Yield all distinct words in the order of their numbers, after `judge` has ended.

        Both are outputs of one node: Kedro saves them one after the other, or with `--async` in two
        threads, of which this one waits.

        Raises:
            RuntimeError: `judge` has not come to its end.

        """
        self._has_ended.wait()
        if not self._is_complete:
            raise RuntimeError("the words are not complete, since not all rows were read")
        yield from self._words

    def _judge_chunk(self, read: ReadRows) -> pd.DataFrame:
        numbers = self._words.number(read.words)[read.numbers]
        words = pack_numbers(numbers, read.lengths)
        codes = read.rows["code"].tolist()
        statuses, reasons = [], []
        for problem, key, code, cell in zip(read.problems, read.hashes, codes, words, strict=True):
            status, reason = (REJECTED, problem) if problem else self._compare(key, code, cell)
            statuses.append(status)
            reasons.append(reason)
        return make_frame({**read.rows, WORDS: words, "status": statuses, "reason": reasons})

    def _compare(self, key: int, code: int, words: bytes) -> tuple[str, str]:
        """Return the status of a usable row and the reason for it.

        Texts that differ only in case, punctuation and white space have the same words: the LSTM
        can't tell them apart. If their labels differ, the difference may be what matters, as in
        ":)".

        Args:
            key: Hash of the text.
            code: Code of its label.
            words: Numbers of its words; if it has none, only the text is compared.

        """
        keys = [key, hash_bytes(b"%d " % code + words)] if words else [key]
        before = [self._codes[key] for key in keys if key in self._codes]
        if before:
            return DUPLICATE, SAME_LABEL if before[0] == code else ANOTHER_LABEL
        self._codes.update(dict.fromkeys(keys, code))
        return ACCEPTED, ""


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


def _find_problems(
    rows: pd.DataFrame,
    malformed: pd.Series,
    is_empty: npt.NDArray[np.bool_],
    split: SplitParameters,
) -> npt.NDArray[np.object_]:
    """Return the first reason why each row can't be used; empty if it can."""
    labels = rows["sentiment"].str.strip()
    is_unknown_split = (split.method == "column") & ~rows["split"].isin(SPLITS)
    problems = [
        (malformed != "", "malformed line: " + malformed),
        (is_empty, EMPTY_ROW),
        (rows["text"] == "", "no text"),
        (labels == "", "no label"),
        (rows["code"] < 0, f"{UNKNOWN_LABEL}: " + labels),
        (rows["split"] == "", "no split"),
        (is_unknown_split, "unknown split: " + rows["split"]),
        (bool(split.group_column) & (rows["group"] == ""), "no group"),
    ]
    masks, reasons = zip(*problems, strict=True)
    return np.select(masks, reasons, "")


def hash_bytes(data: bytes) -> int:
    """Return a 64-bit hash; two different values hardly ever have the same."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def hash_groups(groups: pd.Series) -> npt.NDArray[np.uint64]:
    """Return the hash of each row's group, shape (rows,)."""
    hashes = {group: hash_bytes(group.encode()) for group in set(groups)}
    return np.array([hashes[group] for group in groups], np.uint64)


def select_accepted(checked: pd.DataFrame) -> pd.DataFrame:
    """Return the accepted rows of a chunk."""
    return checked[checked["status"] == ACCEPTED]
