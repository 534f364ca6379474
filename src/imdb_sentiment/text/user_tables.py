"""Tables of users: the column of the texts, malformed rows, and cells that fit any file."""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from imdb_sentiment.errors import InputError, list_names, make_printable, require_column
from imdb_sentiment.parameters import AUTO, CustomReviewsParameters
from imdb_sentiment.text.columns import find_text_column
from imdb_sentiment.text.delimiters import DELIMITERS
from imdb_sentiment.text.sample_reviews import SAMPLE_COLUMN, are_samples
from imdb_sentiment.text.tables import (
    CHUNK,
    MALFORMED,
    SURROGATE,
    find_nested,
    is_like_text,
    is_sentence,
    list_columns,
    require_distinct,
    with_text_names,
)

logger = logging.getLogger(__name__)

# Of a table whose first line may be a text.
NO_HEADER = ". If that is a text, begin the file with a line that names the columns"
# Parameters that name a text column, and those that name the delimiter of the same table.
_DELIMITER_OF = {"inference.text_column": "input_delimiter"}
# Not in prose, where a space follows.
_DELIMITER = re.compile(rf"[{re.escape(''.join(DELIMITERS.values()))}](?!\s)")


def require_well_formed(n_malformed: int, rows: int, first: str, file: str, advice: str) -> None:
    """Raise `InputError` if most rows of a table are malformed.

    Args:
        n_malformed: Number of malformed rows.
        rows: Number of all rows.
        first: Description of the first malformed row, from `find_malformed`.
        file: Name of the table, for the message.
        advice: Advice on setting another delimiter, for the message.

    """
    if 2 * n_malformed > rows:
        raise InputError(
            f"{file}: {n_malformed:,} of {rows:,} rows are malformed (the first is {first}). In a "
            "CSV, name all columns in the header, which is the first line, and enclose texts that "
            f"contain the delimiter in quotation marks; {advice}"
        )


def choose_text_column(
    rows: pd.DataFrame, given: str, learnt: str | None, file: str, parameter: str
) -> str:
    """Return the name of the column of texts.

    Args:
        rows: The first rows of a table.
        given: Name of the column; or `auto` for the column that the model has learnt from, or else
            the one that `find_text_column` finds.
        learnt: Name of the column in the training data; None if it is not known.
        file: Name of the table, for messages.
        parameter: Parameter in conf/ that names the column.

    Raises:
        InputError: The column is missing, can't be found without doubt, or has objects or lists; or
            its name seems to be a text.

    """
    names = list_columns(rows)
    if given != AUTO:
        require_column(given, names, file, parameter)
    known = learnt if given == AUTO else given
    if known and known in names:
        require_texts(rows, known, file)
        return known
    mark = _DELIMITER.search(names[0]) if len(names) == 1 and not is_like_text(names[0]) else None
    if given == AUTO and mark:
        setting = _DELIMITER_OF.get(parameter)
        likely = next(name for name, sign in DELIMITERS.items() if sign == mark.group())
        how = f" with --params {setting}={likely}" if setting else ""
        raise InputError(
            f"{file} has only one column, {list_names(names)!r}, which seems to contain several: "
            f"set its delimiter{how}, or, if this is the name of the column, choose it with "
            f"--params {parameter}=NAME",
        )
    found = find_text_column(rows)
    has_name = any(map(str.isidentifier, found.candidates))
    texts = list(filter(is_like_text, found.candidates))
    if texts and not has_name:  # the first text would be lost
        raise InputError(
            f"{file} seems to have no header, as the column name {list_names(texts[:1])!r} looks "
            "like a text: begin it with a line that names the columns, or, if this is the name of "
            f"the column, choose it with --params {parameter}=NAME",
            parameters={parameter: texts[0]} if len(found.candidates) == 1 else {},
        )
    may_lack_header = not has_name and any(map(is_sentence, found.candidates))
    hint = NO_HEADER if may_lack_header else ""
    if found.column is None:
        nested = f"; {explain_nested(found.nested)}"
        is_ready = found.candidates and not may_lack_header
        raise InputError(
            f"{file} has no column {learnt or 'review'!r}, and the texts could be in "
            f"{' or '.join(map(repr, found.candidates)) or 'any column'}. Its columns are: "
            f"{list_names(names)}{nested if found.nested else ''}. Choose one with "
            f"--params {parameter}=NAME{hint}",
            parameters={parameter: found.candidates[0]} if is_ready else {},
        )
    logger.log(
        logging.WARNING if may_lack_header else logging.INFO,
        "The texts of %s are in the column %r; to change this, pass --params %s=NAME%s",
        *(file, make_printable(found.column), parameter, hint),
    )
    return found.column


def require_texts(rows: pd.DataFrame, column: str, file: str) -> None:
    """Raise `InputError` if a column of a table has JSON's objects or lists."""
    if column in rows and find_nested(rows[column]).any():
        raise InputError(f"{file}: {explain_nested([column])}")


def explain_nested(columns: Sequence[str]) -> str:
    """Return that columns have objects or lists, and what to do about it."""
    listed = list_names(columns)
    return f"cells of {listed} are objects or lists (docs/data.md explains how to flatten them)"


def choose_custom_column(rows: pd.DataFrame, custom: CustomReviewsParameters, learnt: str) -> str:
    """Return the name of the column with the texts of the custom reviews.

    Args:
        rows: The first rows of their table.
        custom: Name of the column, or `auto`.
        learnt: Name of that column in the training data.

    Raises:
        InputError: The column is missing, or can't be found without doubt.

    """
    if custom.text_column == AUTO and are_samples(rows):
        return SAMPLE_COLUMN
    return choose_text_column(
        rows.head(CHUNK),
        custom.text_column,
        learnt,
        "the file of custom reviews",
        "custom_reviews.text_column",
    )


def gather_rows(table: pd.DataFrame | Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return a small table as one frame, whatever dataset has read it.

    A row that can't be read stays in its place and is empty; a warning names it.

    Args:
        table: A data frame, or an iterable of data frames, such as a `TableDataset` loads.

    Raises:
        InputError: Two columns have the same name.

    """
    chunks = list(map(with_text_names, [table] if isinstance(table, pd.DataFrame) else table))
    for chunk in chunks:
        require_distinct(chunk.columns, "the file of custom reviews")
    whole = pd.concat(chunks) if chunks else pd.DataFrame()
    if MALFORMED in whole:
        for row, problem in whole.loc[whole[MALFORMED] != "", MALFORMED].items():
            logger.warning("Row %s of the file of custom reviews can't be read: %s", row, problem)
        whole = whole.drop(columns=MALFORMED)
    return replace_surrogates(whole)


def replace_surrogates(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with U+FFFD for each half of a surrogate pair, which no file can have."""
    clean = table.copy(deep=False)
    for name in table:
        if table[name].dtype == object:  # others can't have them
            cells = list(map(_replace_surrogates_in, table[name].tolist()))
            # Not `map`, which guesses a dtype, so that ids beside a missing one become floats.
            clean[name] = pd.Series(cells, table.index, object)
    return clean


def _replace_surrogates_in(cell: Any) -> Any:
    match cell:
        case str():
            return SURROGATE.sub("\ufffd", cell)
        case list():
            return [_replace_surrogates_in(part) for part in cell]
        case dict():
            return {
                _replace_surrogates_in(key): _replace_surrogates_in(part)
                for key, part in cell.items()
            }
    return cell
