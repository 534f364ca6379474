"""CSV files: which dialect they have, and how they are read and written in chunks."""

import csv
import io
import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import IO, Any

import pandas as pd
from pandas.errors import EmptyDataError, ParserError, ParserWarning

from imdb_sentiment.datasets.decoding import (
    as_text,
    explain_encoding,
    find_codec,
    find_encoding,
    require_handler,
    require_text,
)
from imdb_sentiment.datasets.json_format import parse_line
from imdb_sentiment.datasets.table_files import (
    TABS,
    FileToRead,
    find_compression,
    find_suffix,
    parse_path,
)
from imdb_sentiment.errors import InputError
from imdb_sentiment.text.delimiters import (
    AUTO,
    DELIMITERS,
    UnclearDelimiterError,
    describe_surplus,
    find_delimiter,
    has_lines_above,
    name_columns,
    recognise_dialect,
)
from imdb_sentiment.text.encodings import SAMPLE
from imdb_sentiment.text.tables import CHUNK, MALFORMED, require_distinct, require_free

# What `load_args` may set of these and of further arguments of `pandas.read_csv`. With others, rows
# would be lost or counted differently.
LOAD_ARGS: dict[str, Any] = {
    "chunksize": CHUNK,
    "encoding": "utf-8",
    "encoding_errors": "strict",
    "sep": AUTO,
}
CSV_ARGS = {"escapechar", "quotechar", "quoting", "skipinitialspace"}
# The header is read as a record: pandas then compares the number of fields of every other record
# with the header's, the first record's too, and never takes a surplus field for an index.
_FIXED_ARGS: dict[str, Any] = {
    "dtype": str,
    "header": None,
    "index_col": False,
    "na_filter": False,
    "on_bad_lines": "warn",
    "skip_blank_lines": False,
}
# All text is quoted: the csv module leaves a lone carriage return unquoted, and readers end a row
# at it.
SAVE_ARGS: dict[str, Any] = {
    "encoding": "utf-8",
    "errors": "strict",
    "index": False,
    "quoting": csv.QUOTE_NONNUMERIC,
}
# Further arguments of `pandas.DataFrame.to_csv` that fit a file that is written in chunks.
CSV_SAVE_ARGS = {
    "columns",
    "date_format",
    "decimal",
    "doublequote",
    "escapechar",
    "float_format",
    "index_label",
    "lineterminator",
    "na_rep",
    "quotechar",
    "sep",
}
_CATCHING = threading.Lock()
_SKIPPED = re.compile(r"Skipping line (\d+): expected (\d+) fields, saw (\d+)")


def complete_options(load_args: dict[str, Any], prefix: str | None) -> dict[str, Any]:
    """Return the options of a table with the defaults of those that are not given.

    Args:
        load_args: Argument `load_args` of `imdb_sentiment.datasets.TableDataset`.
        prefix: Its argument `prefix`, for messages.

    Raises:
        InputError: An option is not known, or its value is no encoding or no delimiter.

    """
    why = ", with which rows could be lost or counted differently"
    _require_known("load_args", load_args, {*LOAD_ARGS, *CSV_ARGS}, why)
    options = LOAD_ARGS | load_args
    if type(options["chunksize"]) is not int or options["chunksize"] < 1:
        raise InputError(
            f"chunksize, in globals.yml or load_args, is {options['chunksize']!r}: it must be a "
            "whole number of at least 1"
        )
    try:
        options["sep"] = find_delimiter(str(options["sep"]))
    except ValueError as error:
        name = f"{prefix}_delimiter" if prefix else "sep in load_args"
        raise InputError(f"{name}: {error}") from None
    name = f"{prefix}_encoding" if prefix else "encoding in load_args"
    options["encoding"] = find_codec(options["encoding"], name)
    require_handler(options["encoding_errors"], "encoding_errors in load_args")
    return options


def _require_known(name: str, given: Iterable[str], known: set[str], why: str = "") -> None:
    if unknown := sorted(set(given) - known):
        raise InputError(
            f"{name} of a TableDataset can't have {', '.join(unknown)}{why}: choose from "
            f"{', '.join(sorted(known))}"
        )


def find_options(file: FileToRead, load_args: dict[str, Any]) -> dict[str, Any]:
    """Return the options for reading a CSV: those given, and those detected from its beginning."""
    return _recognise(file, complete_options(load_args, file.prefix))


def _recognise(file: FileToRead, options: dict[str, Any]) -> dict[str, Any]:
    with file.open() as source:
        sample = source.read(SAMPLE)
    require_text(sample, options["encoding"], file)
    encoding = find_encoding(sample, options["encoding"], file)
    text, given = sample.decode(encoding, errors="replace"), options["sep"]
    if given == AUTO and text.startswith('{"') and not parse_line(1, text.partition("\n")[0])[2]:
        compressed = parse_path(file.name).suffix if find_compression(file.name) else ""
        raise InputError(
            f"{file.name} is not a CSV but JSON Lines: rename it to end with .jsonl{compressed}"
        )
    is_complete, is_tsv = len(sample) < SAMPLE, find_suffix(file.name) in TABS
    try:
        dialect = recognise_dialect(text, given, is_tsv=is_tsv, is_complete=is_complete)
    except UnclearDelimiterError as doubt:
        how = file.describe_setting("delimiter", *doubt.names)
        raise InputError(f"{file.name}: {doubt}: set it with {how}") from None
    is_found = given == AUTO and not dialect.has_delimiter_line
    if is_found and has_lines_above(text, dialect.delimiter, is_complete=is_complete):
        how = file.describe_setting("delimiter", *DELIMITERS)
        raise InputError(
            f"{file.name} does not begin with its header: remove the lines above it. If its first "
            f"line is the header, set the delimiter with {how}"
        )
    lines = list(io.StringIO(text, newline=None))[int(dialect.has_delimiter_line) :]
    if text.strip() and lines and not lines[0].strip(f'{dialect.delimiter}" \t\n'):
        raise InputError(f"{file.name} begins with an empty line: remove it")
    told: dict[str, Any] = {"skiprows": 1} if dialect.has_delimiter_line else {}
    return told | dialect.quoting | options | {"encoding": encoding, "sep": dialect.delimiter}


def read_csv(file: FileToRead, options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV, whose options are those of `complete_options`."""
    yield from read_records(file, _recognise(file, options))


def read_records(
    file: FileToRead, options: dict[str, Any], before: int = 0
) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV.

    Args:
        file: The file, or its header with some of its records.
        options: Options, from `find_options`.
        before: Number of rows of the file before these, as `read_table` counts them.

    """
    header: list[str] | None = None
    next_row = 0  # the header is record 0
    skipped = options.get("skiprows", 0)
    try:
        with file.open() as source, pd.read_csv(source, **_FIXED_ARGS, **options) as reader:
            while True:
                records, problems = _next_records(reader, skipped)
                if records.empty and not problems:
                    return
                if header is None:
                    header = _check_header(records.iloc[0], file.name)
                chunk = _number_records(records, problems, header, next_row)
                rows = chunk if next_row else chunk.iloc[1:]
                next_row += len(chunk)
                yield rows.set_axis(rows.index + before)
    except EmptyDataError:
        raise InputError(f"{file.name} is empty: it must begin with a header") from None
    except UnicodeError as error:
        raise explain_encoding(file, options["encoding"], error) from None
    except ParserError as error:
        opened = re.search(r"EOF inside string starting at row (\d+)", str(error))
        why = str(error)
        if opened:
            why = (
                f"a quotation mark opened in row {before + int(opened[1]) - skipped} is never "
                "closed; close it, or, if such marks are part of the texts, set quoting: 3 in "
                "load_args of its catalog entry"
            )
        raise InputError(f"{file.name} is not a valid CSV: {why}") from None


def _check_header(record: pd.Series, name: str) -> list[str]:
    header = name_columns(record)
    require_distinct(header, name)
    require_free(header, name)
    return header


def _next_records(reader: Any, skipped: int) -> tuple[pd.DataFrame, dict[int, str]]:
    """Return the next well-formed records, and the problem of each malformed one by its number.

    Args:
        reader: Reader of pandas, which counts records from 1.
        skipped: Number of records before the header.

    """
    # Warnings are caught in the whole process, while another thread may read as well.
    with _CATCHING, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ParserWarning)
        records = next(reader, pd.DataFrame())
    problems = {
        int(line) - 1 - skipped: describe_surplus(int(saw), int(expected))
        for warning in caught
        for line, expected, saw in _SKIPPED.findall(str(warning.message))
    }
    return records, problems


def _number_records(
    records: pd.DataFrame, problems: dict[int, str], header: list[str], first: int
) -> pd.DataFrame:
    """Return records and malformed ones in the order of the file, indexed by their number."""
    numbers = pd.RangeIndex(first, first + len(records) + len(problems))
    rows = records.set_axis(numbers.drop(list(problems)))
    rows = rows.reindex(index=numbers, columns=range(len(header)), fill_value="").astype(str)
    rows.columns = [*header]
    return rows.assign(**{MALFORMED: [problems.get(number, "") for number in numbers]})


def complete_save_args(save_args: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of `pandas.DataFrame.to_csv`, with defaults for those that are not given.

    Raises:
        InputError: An argument is not known, or Python does not know the encoding.

    """
    _require_known("save_args", save_args, {*SAVE_ARGS, *CSV_SAVE_ARGS})
    options = SAVE_ARGS | save_args
    options["encoding"] = find_codec(options["encoding"], "encoding in save_args")
    require_handler(options["errors"], "errors in save_args")
    return options


def write_csv(
    chunks: Iterable[pd.DataFrame], file: IO[bytes], name: str, options: dict[str, Any]
) -> None:
    """Write data frames with the options of `complete_save_args`; `name` is for messages."""
    encoding = options["encoding"]
    with as_text(file, encoding, options["errors"]) as text:
        for number, chunk in enumerate(chunks):
            try:
                chunk.to_csv(text, header=number == 0, **options)
            except UnicodeEncodeError as error:
                raise InputError(
                    f"{name} can't contain {error.object[error.start]!r} in {encoding}: set "
                    "another encoding in its save_args, such as utf-8-sig"
                ) from error
