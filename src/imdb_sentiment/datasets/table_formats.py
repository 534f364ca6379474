"""The formats of tables: CSV, JSON Lines, JSON and Parquet, read and written in chunks.

Each reader yields data frames whose index counts the rows of the file from 1, with a column
`_malformed`. It says what is wrong with a row that can't be read, which is otherwise empty.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from imdb_sentiment.datasets.csv_format import (
    complete_options,
    complete_save_args,
    read_csv,
    write_csv,
)
from imdb_sentiment.datasets.json_format import read_json, write_json_lines
from imdb_sentiment.datasets.parquet_format import read_parquet, write_parquet
from imdb_sentiment.datasets.table_files import (
    CSV,
    JSON_LINES,
    OTHERS,
    PARQUET,
    TABS,
    FileToRead,
    find_compression,
    find_format,
    find_suffix,
    is_damage,
    open_compressed,
)
from imdb_sentiment.errors import InputError
from imdb_sentiment.text.tables import to_strings


def read_table(file: FileToRead, load_args: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file, in the format that its name tells.

    Args:
        file: The file.
        load_args: Argument `load_args` of `imdb_sentiment.datasets.TableDataset`.

    """
    options = complete_options(load_args, file.prefix)
    readers = {CSV: read_csv, JSON_LINES: read_json, PARQUET: read_parquet}
    chunks = readers[find_format(file.name)](file, options)
    try:
        yield from chunks
    except Exception as error:
        if not find_compression(file.name) or not is_damage(error):
            raise
        raise InputError(
            f"{file.name} is damaged or not complete ({error}): download or export it again"
        ) from error


def write_table(
    chunks: Iterable[pd.DataFrame], path: Path, name: str, save_args: dict[str, Any]
) -> None:
    """Write data frames to one file; the first one names the columns.

    Args:
        chunks: The data frames.
        path: Path on this machine to write to.
        name: Path or URL that the file will have; its suffixes tell format and compression.
        save_args: Arguments of `pandas.DataFrame.to_csv`, for a CSV.

    Raises:
        InputError: The format can't be written, or has no place for the columns of a later chunk;
            or an argument is not known, or the encoding lacks a character.

    """
    suffix = find_suffix(name)
    if suffix in OTHERS:
        raise InputError(
            f"{name}: {OTHERS[suffix]} files can't be written: name a CSV (.csv), JSON "
            "Lines (.jsonl) or Parquet file (.parquet) instead"
        )
    form = find_format(name)
    if save_args and form in (JSON_LINES, PARQUET):
        raise InputError(f"{name}: save_args apply only to CSV files: remove them")
    delimiter = {"sep": "\t"} if suffix in TABS else {}
    options = complete_save_args(delimiter | save_args)
    with open_compressed(path, name) as file:
        if form == JSON_LINES:
            write_json_lines(chunks, file)
        elif form == PARQUET:
            write_parquet(_simplify(chunks, name, _is_mixed), file, name)
        else:
            write_csv(_simplify(chunks, name, _is_object), file, name, options)


def _simplify(
    chunks: Iterable[pd.DataFrame], name: str, needs_strings: Callable[[Any], bool]
) -> Iterator[pd.DataFrame]:
    """Yield chunks that all have the columns of the first, with strings in place of some types."""
    columns: list[str] | None = None
    for chunk in chunks:
        columns = columns or list(chunk.columns)
        if surplus := sorted(set(chunk.columns) - set(columns)):
            raise InputError(
                f"{name} has no column for {surplus[0]!r}, which first occurs in row "
                f"{chunk.index[0]} or later: choose an output file that ends with .jsonl"
            )
        found = [name for name in columns if name in chunk and needs_strings(chunk[name].dtype)]
        plain = chunk.copy(deep=False)
        for column in found:
            plain[column] = _untype(chunk[column])
        yield plain.reindex(columns=columns)


def _is_mixed(dtype: Any) -> bool:
    """Return whether the cells of a column may have different types."""
    return pd.api.types.is_object_dtype(dtype)


def _is_object(dtype: Any) -> bool:
    """Return whether the cells of a column are any objects, also those of Arrow, such as lists."""
    return _is_mixed(dtype) or (isinstance(dtype, pd.ArrowDtype) and dtype.kind == "O")


def _untype(cells: pd.Series) -> pd.Series:
    """Return cells of any types as strings, or None where they are missing."""
    pairs = zip(to_strings(cells), cells.isna(), strict=True)
    strings = [None if is_missing else text for text, is_missing in pairs]
    if _is_mixed(cells.dtype):  # its floats were floats in the file, too
        strings = [
            repr(cell) if text and type(cell) is float else text
            for cell, text in zip(cells.tolist(), strings, strict=True)
        ]
    return pd.Series(strings, index=cells.index, dtype="str")
