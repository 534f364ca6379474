"""Checking rows: which are accepted, rejected or duplicates, and why."""

import hashlib
import itertools
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.errors import InputError, list_names
from imdb_sentiment.parameters import ReviewsOptions, ReviewsParameters, SplitParameters
from imdb_sentiment.pipelines.data_processing.duplicates import KeyIndex, Keys
from imdb_sentiment.pipelines.data_processing.splits import SPLITS
from imdb_sentiment.text.cleaning import clean_text, is_visible
from imdb_sentiment.text.columns import SPLIT_NAMES
from imdb_sentiment.text.delimiters import DELIMITERS, MALFORMED_LINE
from imdb_sentiment.text.labels import clean_label, find_codes, normalise_labels
from imdb_sentiment.text.tables import (
    MALFORMED,
    find_empty,
    find_nested,
    is_like_text,
    list_columns,
    to_strings,
)
from imdb_sentiment.text.user_tables import require_texts
from imdb_sentiment.text.word_numbers import (
    WORDS,
    Lengths,
    Numbers,
    PackedWords,
    WordList,
    join_words,
    number_words,
    pack_numbers,
    pack_words,
)
from imdb_sentiment.text.words import Script, get_rule

ACCEPTED, REJECTED, DUPLICATE = "accepted", "rejected", "duplicate"  # the status of a row
# The reason of a duplicate.
SAME_LABEL, ANOTHER_LABEL = "same text and label", "same text under another label"
# Status and reason of a row by its verdict; that of a rejected row has a reason of its own.
VERDICTS = ((ACCEPTED, ""), (REJECTED, ""), (DUPLICATE, SAME_LABEL), (DUPLICATE, ANOTHER_LABEL))
UNKNOWN_LABEL, UNKNOWN_SPLIT = "unknown label", "unknown split"
NO_TEXT, NO_LABEL, LACKS_SPLIT, LACKS_GROUP = "no text", "no label", "no split", "no group"
NESTED = "object or list"  # in the column of the texts or of the labels
EMPTY_ROW = "empty row"  # not counted by the limit of rejected rows
NO_SPLIT = "none"  # the split of a row, if the table has no splits of its own
NO_GROUP = ""  # the group of a row, if the table has no groups


T = TypeVar("T")


class ReadRows(NamedTuple):
    """Rows that have been read, but not compared with earlier ones.

    Attributes:
        rows: The columns of `check_reviews` from `row` to `group`, by name; for unlabelled reviews,
            only `row` and `text`. They are not a data frame, since the pickle of a data frame that
            has come from another process differs in a few bytes.
        problems: Reason why a row can't be used; empty if it can.
        numbers: Number of each word of all texts, in the `words` of the `RowKeys`.
        lengths: Number of words per text.

    """

    rows: dict[str, Any]
    problems: list[str]
    numbers: Numbers
    lengths: Lengths


class RowKeys(NamedTuple):
    """The part of the same rows that is needed to compare them with other rows; it has no texts.

    Attributes:
        is_usable: Whether a row has no problem of its own, shape (rows,).
        keys: Two hashes per row, shape (rows, 2): one of the text, and one of its words and its
            label code, if any. If a text has no words, both are the hash of the text.
        codes: Code of each row's label, shape (rows,); 0 for unlabelled reviews.
        words: The distinct words of these texts.
        malformed: Descriptions of malformed rows, from `find_malformed`; only for unlabelled
            reviews.
        text_column: Name of the column of the texts; only for unlabelled reviews.

    """

    is_usable: npt.NDArray[np.bool_]
    keys: Keys
    codes: npt.NDArray[np.int64]
    words: PackedWords
    malformed: Sequence[str]
    text_column: str = ""


class Verdicts(NamedTuple):
    """The decisions on the same rows.

    Attributes:
        verdicts: Index in `VERDICTS` for each row, shape (rows,).
        numbers: Number of each of the `words` of the `RowKeys`, among all words of the table.

    """

    verdicts: npt.NDArray[np.int8]
    numbers: Numbers


def read_chunk(
    chunk: pd.DataFrame, reviews: ReviewsParameters, split: SplitParameters, script: Script
) -> tuple[ReadRows, RowKeys]:
    """Clean the rows of a chunk, cut their texts into words, and find problems of single rows.

    Args:
        chunk: Chunk from `number_rows`.
        reviews: Names of columns and labels.
        split: Whether and where the table has its own splits, and groups of rows.
        script: Rule for cutting texts into words.

    """
    found = _read_cells(chunk, reviews.label_column)
    cleaned = {label: clean_label(label) for label in set(found)}
    labels = [cleaned[label] for label in found]
    codes = find_codes(set(labels), reviews.labels)
    splits, groups = [NO_SPLIT] * len(chunk), [NO_GROUP] * len(chunk)
    if split.method == "column":
        found = normalise_labels(_read_cells(chunk, split.column))
        splits = [SPLIT_NAMES.get(name, name) for name in found]
    if split.group_column:
        groups = normalise_labels(_read_cells(chunk, split.group_column))  # one in any spelling
    rows: dict[str, Any] = {
        "row": chunk.index.to_numpy(np.int64),
        "text": _clean_texts(_read_cells(chunk, reviews.text_column)),
        "sentiment": labels,
        "code": np.array([codes.get(label, -1) for label in labels], np.int64),
        "split": splits,
        "group": groups,
    }
    malformed = chunk[MALFORMED].reset_index(drop=True)
    is_nested = _find_nested(chunk, reviews.text_column) | _find_nested(chunk, reviews.label_column)
    problems = _find_problems(make_frame(rows), malformed, find_empty(chunk), is_nested, split)
    return _cut_texts(rows, problems.tolist(), script, rows["code"])


def read_unlabelled_chunk(
    chunk: pd.DataFrame, text_column: str, script: Script
) -> tuple[ReadRows, RowKeys]:
    """Clean the texts of a chunk and cut them into words.

    Args:
        chunk: Chunk from `number_rows`.
        text_column: Name of the column of texts; if there is only one column, it may have any name.
        script: Rule for cutting texts into words.

    Raises:
        InputError: There is no such column, but several others, or it has objects or lists; or the
            name of a column seems to be a text.

    """
    columns = list_columns(chunk)
    texts = list(filter(is_like_text, columns))  # a first text with commas makes several columns
    if texts and text_column not in columns:
        raise InputError(  # or the first text would be lost
            "unlabelled_file seems to have no header, as its column name "
            f"{list_names(texts[:1])!r} looks like a text: begin it with a line that names its "
            f"columns; or, if this is a name, rename the column of the texts to {text_column!r}, "
            "as in the labelled reviews"
        )
    # An only column with a delimiter in its name consists of several that were not divided.
    if len(columns) == 1 and not any(mark in columns[0] for mark in DELIMITERS.values()):
        (text_column,) = columns
    if text_column not in columns:
        raise InputError(
            f"unlabelled_file has no column {text_column!r}, the text column of the labelled "
            f"reviews. Its columns are: {list_names(columns)}. Rename its text column accordingly"
        )
    require_texts(chunk, text_column, "unlabelled_file")
    texts = _clean_texts(to_strings(chunk[text_column]))
    problems = ["" if text else NO_TEXT for text in texts]
    rows = {"row": chunk.index.to_numpy(np.int64), "text": texts}
    return _cut_texts(
        rows, problems, script, malformed=find_malformed(chunk), text_column=text_column
    )


def find_malformed(chunk: pd.DataFrame) -> list[str]:
    """Return what is wrong with each malformed row of a chunk."""
    found = chunk.loc[chunk[MALFORMED] != "", MALFORMED]
    return [f"row {row}: {problem[:80]}" for row, problem in found.items()]


def _cut_texts(
    rows: dict[str, Any],
    problems: list[str],
    script: Script,
    codes: npt.NDArray[np.int64] | None = None,
    *,
    malformed: Sequence[str] = (),
    text_column: str = "",
) -> tuple[ReadRows, RowKeys]:
    """Cut texts into words, and hash both; the words are hashed with the label's code, if any."""
    split = get_rule(script).split
    joined = [join_words(split(text)) for text in rows["text"]]
    given = itertools.repeat(None) if codes is None else codes.tolist()
    keys = list(map(hash_text, rows["text"], joined, given))
    numbers, lengths, words = number_words(joined)
    is_usable = np.array([not problem for problem in problems], bool)
    return (
        ReadRows(rows, problems, numbers, lengths),
        RowKeys(
            is_usable,
            np.array(keys, np.uint64).reshape(-1, 2),
            np.zeros(len(problems), np.int64) if codes is None else codes,
            pack_words(words),
            malformed,
            text_column,
        ),
    )


def _read_cells(chunk: pd.DataFrame, column: str) -> list[str]:
    """Return the cells of a column; empty ones if it is missing."""
    return to_strings(chunk[column]) if column in chunk else [""] * len(chunk)


def _clean_texts(cells: list[str]) -> list[str]:
    """Return cleaned texts, which are empty if they have only characters that are not seen."""
    return [text if is_visible(text) else "" for text in map(clean_text, cells)]


def _find_nested(chunk: pd.DataFrame, column: str) -> npt.NDArray[np.bool_]:
    """Return which cells of a column are objects or lists; none if it is missing."""
    return find_nested(chunk[column]) if column in chunk else np.zeros(len(chunk), bool)


def hash_text(text: str, joined: str, code: int | None = None) -> tuple[int, int]:
    """Return hashes of a text and of its words with its label; without words, the first twice."""
    key = hash_bytes(text.encode())
    if not joined:
        return key, key
    # No text has the mark that begins the second, so it is the hash of no other text.
    label = "" if code is None else f"{code} "
    return key, hash_bytes(f"\0{label}{joined}".encode())


def make_frame(columns: dict[str, Any]) -> pd.DataFrame:
    """Return columns as a data frame; the dtype of none of them depends on its content."""
    others = {"row": np.int64, "code": np.int64, WORDS: object}
    return pd.DataFrame(columns).astype({name: others.get(name, "str") for name in columns})


def finish_chunk(read: ReadRows, decided: Verdicts) -> pd.DataFrame:
    """Return judged rows as a chunk of `check_reviews`."""
    found = [VERDICTS[verdict] for verdict in decided.verdicts.tolist()]
    return make_frame(
        {
            **read.rows,
            WORDS: pack_numbers(decided.numbers[read.numbers], read.lengths),
            "status": [status for status, _ in found],
            "reason": [
                problem or reason for problem, (_, reason) in zip(read.problems, found, strict=True)
            ],
        }
    )


def finish_unlabelled_chunk(read: ReadRows, decided: Verdicts) -> pd.DataFrame:
    """Return judged rows as a chunk of `clean_unlabelled_reviews`."""
    cells = pack_numbers(decided.numbers[read.numbers], read.lengths)
    rows = make_frame({**read.rows, WORDS: cells})
    is_new: npt.NDArray[np.bool_] = decided.verdicts == 0
    return rows[is_new].reset_index(drop=True)


class RowJudge:
    """Decides row by row, in the order of the table, which ones are accepted.

    Only this class needs to know all earlier rows. It keeps two hashes and the code of each
    accepted row, 20 bytes, and the distinct words.
    """

    def __init__(self) -> None:
        self._words = WordList()
        self._known = KeyIndex()
        self._has_ended = threading.Event()
        self._thread = threading.get_ident()  # of the node, and usually of saving its outputs
        self._error: Exception | None = RuntimeError(
            "the words are not complete, since not all rows were read"
        )

    def judge(self, keys: RowKeys) -> Verdicts:
        """Decide on the next chunk of rows.

        Texts that differ only in case, punctuation and white space have the same words: the LSTM
        can't tell them apart. If their labels differ, the difference may be what matters, as in
        ":)". Texts without words are compared as they are.
        """
        found = self._known.claim(keys.keys, keys.codes, keys.is_usable)
        is_known = [~keys.is_usable, found == keys.codes, found >= 0]
        verdicts = np.select(is_known, [1, 2, 3], 0).astype(np.int8)
        return Verdicts(verdicts, self._words.number(keys.words))

    def follow(self, chunks: Iterable[T]) -> Iterator[T]:
        """Return the chunks of all rows, as a generator that notes how they have ended."""

        def follow() -> Generator[Any]:
            try:
                yield  # so that what is thrown before the first chunk is noted, too
                yield from chunks
                self._error = None
            except Exception as error:
                self._error = error
                raise
            finally:
                self._has_ended.set()

        followed = follow()
        next(followed)
        return followed

    def list_words(self) -> Iterator[str]:
        """Yield all distinct words in the order of their numbers, after `follow` has ended.

        The chunks and the words are outputs of one node: Kedro saves them one after the other, or
        with `--async` in two threads, of which that for the words waits.

        Raises:
            Exception: That with which the chunks have ended.
            RuntimeError: They have not come to their end.

        """
        if threading.get_ident() != self._thread:
            self._has_ended.wait()
        if self._error:
            raise self._error
        yield from self._words


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
    is_nested: npt.NDArray[np.bool_],
    split: SplitParameters,
) -> npt.NDArray[np.object_]:
    """Return the first reason why each row can't be used; empty if it can."""
    labels = rows["sentiment"]
    is_unknown_split = (split.method == "column") & ~rows["split"].isin(SPLITS)
    problems = [
        (malformed != "", f"{MALFORMED_LINE}: " + malformed),
        (is_empty, EMPTY_ROW),
        (is_nested, NESTED),
        (rows["text"] == "", NO_TEXT),
        (labels == "", NO_LABEL),
        (rows["code"] < 0, f"{UNKNOWN_LABEL}: " + labels),
        (rows["split"] == "", LACKS_SPLIT),
        (is_unknown_split, f"{UNKNOWN_SPLIT}: " + rows["split"]),
        (bool(split.group_column) & (rows["group"] == ""), LACKS_GROUP),
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
