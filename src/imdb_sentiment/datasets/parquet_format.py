"""Parquet files, read and written in chunks."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pandas as pd
import pyarrow as pa

from imdb_sentiment.datasets.table_files import (
    FileToRead,
    find_compression,
    is_damage,
)
from imdb_sentiment.errors import InputError, get_first_line
from imdb_sentiment.text.tables import MALFORMED, require_distinct, require_free

PARQUET_BUFFER = 1 << 20  # number of bytes of a column that are read at once


def read_parquet(file: FileToRead, options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """Yield the rows of a Parquet file, `chunksize` of the options at once."""
    with (
        file.open() as opened,
        _seekable(opened, file.name) as source,
        open_parquet(source, file.name) as table,
    ):
        batches: Iterable[Any] = table.iter_batches(batch_size=options["chunksize"])
        if not table.metadata.num_rows:
            batches = [table.schema_arrow.empty_table()]
        before = 0
        for batch in batches:
            yield make_frame(batch, before)
            before += batch.num_rows


@contextmanager
def _seekable(source: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Yield a file, or a copy of one that is decompressed: to go back, it would begin anew."""
    if source.seekable() and not find_compression(name):
        yield source
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy)
        yield copy


@contextmanager
def open_parquet(source: IO[bytes], name: str, metadata: Any = None) -> Iterator[Any]:
    """Open a Parquet file as pyarrow's `ParquetFile`.

    Args:
        source: The file.
        name: Its name, for messages.
        metadata: Metadata from its footer, if that has been read before.

    Raises:
        InputError: It is not a complete Parquet file, even if this is noticed only in the `with`
            block.

    """
    from pyarrow import parquet

    # A row group may be as large as the file, so it is read bit by bit. On another machine, each
    # bit would be a request of its own.
    is_local = "://" not in name
    reading = {"buffer_size": PARQUET_BUFFER, "pre_buffer": False} if is_local else {}
    try:
        with parquet.ParquetFile(source, metadata=metadata, **reading) as table:
            require_distinct(table.schema_arrow.names, name)
            require_free(table.schema_arrow.names, name)
            yield table
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and not is_damage(error):
            raise
        raise InputError(
            f"{name} is not a valid Parquet file ({get_first_line(error)}): download or export it "
            "again"
        ) from None


def make_frame(found: Any, before: int = 0) -> pd.DataFrame:
    """Return rows of a Parquet file as a data frame.

    Args:
        found: The rows, in a record batch or a table of pyarrow.
        before: Number of rows of the file before these.

    """
    plain = _replace_views(found)
    frame: pd.DataFrame = plain.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    frame = frame.set_axis(pd.RangeIndex(before + 1, before + len(frame) + 1))
    return frame.assign(**{MALFORMED: ""})


def _replace_views(found: Any) -> Any:
    """Return rows with usual types in place of views, with which pandas and pyarrow do little."""
    schema = found.schema
    for place, field in enumerate(schema):
        kind = field.type
        if pa.types.is_string_view(kind):
            usual = pa.large_string()
        elif pa.types.is_binary_view(kind):
            usual = pa.large_binary()
        elif pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
            usual = pa.large_list(kind.value_field)
        else:
            continue
        schema = schema.set(place, field.with_type(usual))
    return found if schema is found.schema else found.cast(schema)


def write_parquet(chunks: Iterable[pd.DataFrame], file: IO[bytes], name: str) -> None:
    """Write chunks whose columns have the types of the first; columns without a type are text."""
    from pyarrow import parquet

    chunks = iter(chunks)
    first = pa.Table.from_pandas(next(chunks, pd.DataFrame()), preserve_index=False)
    schema = first.schema.remove_metadata()
    for place, field in enumerate(schema):
        if pa.types.is_null(field.type):
            schema = schema.set(place, field.with_type(pa.string()))
    with parquet.ParquetWriter(file, schema) as writer:
        writer.write_table(first.cast(schema))
        for chunk in chunks:
            if chunk.empty:
                continue  # the types of its columns say nothing
            try:
                table = pa.Table.from_pandas(chunk, schema, preserve_index=False)
            except pa.ArrowException as error:
                reason = "; ".join(map(str, error.args))
                raise InputError(
                    f"{name} can't have the rows from {chunk.index[0]} on, where a column has "
                    f"values of another type than before ({reason}): choose an output file "
                    "that ends with .jsonl or .csv"
                ) from error
            writer.write_table(table)
