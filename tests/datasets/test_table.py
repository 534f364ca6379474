import bz2
import contextlib
import datetime
import errno
import gzip
import io
import json
import lzma
import os
import pickle
import random
import re
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import zstandard
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st
from kedro.io.core import DatasetError, Version
from pyarrow import parquet

from imdb_sentiment import progress
from imdb_sentiment.datasets import PickleStreamDataset, TableDataset
from imdb_sentiment.datasets.parquet_parts import MAX_PARTS_PER_GROUP
from imdb_sentiment.datasets.table_files import FileToRead, open_decompressed
from imdb_sentiment.datasets.table_formats import read_table
from imdb_sentiment.errors import InputError, find_input_error
from imdb_sentiment.progress import get_progress
from imdb_sentiment.text.tables import MALFORMED, list_parts
from imdb_sentiment.text.user_tables import replace_surrogates

ROWS = [("good, really", "1"), ("bad\nfilm", "0"), ("“quoted” 电影", "1")]


def read(path: Path, content: bytes, **load_args: object) -> list[pd.DataFrame]:
    path.write_bytes(content)
    return list(TableDataset(filepath=str(path), load_args=load_args).load())


def as_csv(delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    frame = pd.DataFrame(ROWS, columns=["text", "label"])
    return frame.to_csv(index=False, sep=delimiter).encode(encoding)


def make_tar() -> bytes:
    """Return an archive of one CSV."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as members:
        member = tarfile.TarInfo("a.csv")
        member.size = len(as_csv())
        members.addfile(member, io.BytesIO(as_csv()))
    return archive.getvalue()


def as_json_lines() -> bytes:
    return b"".join(json.dumps({"text": t, "label": int(n)}).encode() + b"\n" for t, n in ROWS)


def save(path: Path, *frames: pd.DataFrame) -> None:
    TableDataset(filepath=str(path)).save(iter(frames))


# What compresses nothing, by suffix.
EMPTY = {
    "csv.gz": gzip.compress(b""),
    "csv.bz2": bz2.compress(b""),
    "jsonl.zst": zstandard.compress(b""),
}


def as_zip(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reviews.csv"


def test_rows_are_numbered_across_chunks(path: Path) -> None:
    chunks = read(path, b"review,sentiment\n" + b"good,positive\n" * 7, chunksize=3)
    assert [chunk.index.tolist() for chunk in chunks] == [[1, 2, 3], [4, 5, 6], [7]]
    assert all(chunk.columns.tolist() == ["review", "sentiment", "_malformed"] for chunk in chunks)


# Of valid fields, from which records can be told by their bytes, and of any others.
QUOTED = st.lists(st.sampled_from(["a", "é", ",", "\n", "\r\n", "\r", '""', ";"]), max_size=5)
FIELD = st.one_of(
    st.sampled_from(["", "a", "é b"]), QUOTED.map(lambda cells: f'"{"".join(cells)}"')
)
ANY_FIELD = st.one_of(FIELD, st.text('a",\n\r \0', max_size=3))


@given(
    records=st.sampled_from([FIELD, ANY_FIELD]).flatmap(
        lambda field: st.lists(st.lists(field, min_size=1, max_size=3), max_size=12)
    ),
    header=st.sampled_from(["x,y", '"x","y"', "\ufeffx,y", '\ufeff"x",y', '"sep=,"\nx,y']),
    end=st.sampled_from(["\n", "\r\n"]),
    last_end=st.sampled_from(["", "\n", "\r\n", "\n\n"]),
    block=st.sampled_from([1, 2, 5, 1 << 20]),
    size=st.integers(1, 4),
)
def test_parts_are_read_like_the_whole(
    *,
    records: list[list[str]],
    header: str,
    end: str,
    last_end: str,
    block: int,
    size: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("parts") / "table.csv"
    path.write_bytes((end.join([header, *map(",".join, records)]) + last_end).encode())
    load_args = {"chunksize": size, "sep": ","}

    def collect(chunks: Callable[[], Iterable[pd.DataFrame]]) -> object:
        try:
            return pd.concat(chunks()).reset_index().to_dict("list")
        except InputError:
            return InputError

    whole = FileToRead(str(path), lambda: path.open("rb"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imdb_sentiment.datasets.csv_parts.BLOCK", block)
        found = collect(TableDataset(filepath=str(path), load_args=load_args).load)
    assert found == collect(lambda: read_table(whole, load_args))


def test_other_processes_can_read_parts(path: Path) -> None:
    path.write_bytes(b"review,sentiment\n" + b'"good, or\nnot",positive\n' * 7)
    dataset = TableDataset(filepath=str(path), load_args={"chunksize": 3})
    parts = pickle.loads(pickle.dumps(list(list_parts(dataset.load()))))
    assert all(map(callable, parts))
    assert [part().index.tolist() for part in parts] == [[1, 2, 3], [4, 5, 6], [7]]


def test_parts_can_be_read_in_several_threads(path: Path) -> None:
    """Each has its own malformed row, of which pandas only tells the whole process."""
    path.write_bytes(b"review,sentiment\n" + (b"good,positive\n" * 4 + b"a,b,c\n") * 300)
    dataset = TableDataset(filepath=str(path), load_args={"chunksize": 5})
    parts = list(list_parts(dataset.load()))
    with ThreadPoolExecutor(8) as pool:
        frames = list(pool.map(lambda part: part() if callable(part) else part, parts))
    assert len(frames) == 300
    for frame in frames:
        assert (frame[MALFORMED] != "").tolist() == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("content", "load_args"),
    [
        (b'review,sentiment\na 5" screen,positive\n', {}),
        (b"review,sentiment\rgood,positive\r", {}),
        ("review,sentiment\ngood,positive\n".encode("utf-16"), {}),
        (b"review,sentiment\ngood,positive\n", {"quotechar": "'"}),
        (b'review,sentiment\n"\\"No, never\\"",positive\n', {}),
    ],
)
def test_the_run_reads_what_it_cannot_divide(
    content: bytes, load_args: dict[str, object], path: Path
) -> None:
    path.write_bytes(content)
    stream = TableDataset(filepath=str(path), load_args=load_args).load()
    (part,) = (part for part in list_parts(stream) if callable(part) or len(part))
    assert isinstance(part, pd.DataFrame)
    assert part["sentiment"].tolist() == ["positive"]


def test_iterates_more_than_once(path: Path) -> None:
    path.write_bytes(b"review,sentiment\na,positive\n")
    stream = TableDataset(filepath=str(path)).load()
    first, second = (pd.concat(stream) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    "dataset", [partial(TableDataset, load_args={"chunksize": 500}), PickleStreamDataset]
)
@pytest.mark.parametrize("name", ["reviews.csv", "reviews.csv.gz"])
def test_reading_tells_how_much_of_the_file_has_been_read(
    dataset: Any,
    name: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "PAUSE", 0)
    caplog.set_level("DEBUG", "imdb_sentiment")
    rng = random.Random(0)
    frame = pd.DataFrame({"text": [rng.randbytes(100).hex() for _ in range(5000)]})
    path = tmp_path / name
    dataset(filepath=str(path)).save([frame[place : place + 500] for place in range(0, 5000, 500)])
    for _ in dataset(filepath=str(path)).load():
        pass
    told = [found for record in caplog.records if (found := get_progress(record))]
    size = path.stat().st_size / 1e6
    assert {(found["task"], found["total"]) for found in told} == {(f"Reading {name}", size)}
    shares = [found["done"] / size for found in told]
    assert shares == sorted(shares)
    assert shares[1] < 0.6
    assert shares[-1] > 0.8
    assert [found["ended"] for found in told] == [False] * (len(told) - 1) + [True]


@pytest.mark.parametrize("chunksize", [1, 2, 3, 100])
def test_malformed_records_keep_their_place(path: Path, chunksize: int) -> None:
    content = b'review,sentiment\na,b,c\nok,positive\n"two\nlines",negative\n1,2,3,4\n1,2,3\n'
    rows = pd.concat(read(path, content, chunksize=chunksize))
    assert rows.index.tolist() == [1, 2, 3, 4, 5]
    assert rows["_malformed"].tolist() == [
        "3 fields where the header has 2",
        "",
        "",
        "4 fields where the header has 2",
        "3 fields where the header has 2",
    ]
    assert rows.loc[3, "review"] == "two\nlines"


def test_short_and_blank_records_are_rows_too(path: Path) -> None:
    (rows,) = read(path, b"review,sentiment\nalone\n\nNA,null\n")
    assert rows[["review", "sentiment"]].to_numpy().tolist() == [
        ["alone", ""],
        ["", ""],
        ["NA", "null"],
    ]


def test_header_alone_gives_the_columns(path: Path) -> None:
    (rows,) = read(path, b"review,sentiment\n")
    assert rows.empty
    assert "review" in rows


def test_byte_order_mark_and_spaces_are_no_part_of_a_column(path: Path) -> None:
    (rows,) = read(path, b"\xef\xbb\xbfreview, sentiment\na,b\n")
    assert {"review", "sentiment"} < set(rows.columns)


@pytest.mark.parametrize("character", ["\x0c", "\x0b", "\x85", "\u2028"])
def test_not_every_separator_ends_a_line(path: Path, character: str) -> None:
    (rows,) = read(path, f"{character}review,sentiment\nfine,positive\n".encode())
    assert rows.columns.tolist() == ["review", "sentiment", MALFORMED]


def test_reads_other_encodings_and_separators(path: Path) -> None:
    (rows,) = read(
        path, "review;sentiment\ncafé;positive\n".encode("cp1252"), encoding="cp1252", sep=";"
    )
    assert rows.loc[1, "review"] == "café"


@pytest.mark.parametrize(
    ("content", "load_args", "message"),
    [
        (b"", {}, "is empty"),
        (b"\n\n", {}, "is empty"),
        (b"\nreview,sentiment\na,b\n", {}, "begins with an empty line: remove it"),
        (b" \nreview,sentiment\na,b\n", {}, "begins with an empty line: remove it"),
        (b",,\nreview,sentiment,\na,b,\n", {}, "begins with an empty line: remove it"),
        (b"sep=;\n;\nreview;sentiment\na;b\n", {}, "begins with an empty line: remove it"),
        (
            b"review,sentiment\na,b\ncaf\xe9,positive\n",
            {},
            r"not utf-8 text \(byte 0xe9 in line 3\)",
        ),
        (b"review,sentiment\na,b\n", {"encoding": "utf-16"}, "is not utf-16 text"),
        (
            b'review,sentiment\na,b\n"never,closed\n',
            {},
            "opened in row 2 is never closed; close it, or, .* part of the texts, set quoting: 3",
        ),
        (b"review,review\na,b\n", {}, "two columns have the same name"),
        (
            b"1,1,fine\n0,2,bad\n",
            {},
            "same name: '1'; rename one, or if this is the first row, add",
        ),
        (b"x,x,it is a text of more words than a name has\n", {}, "rename one, or if this is the"),
        (b"review,_malformed\na,b\n", {}, "rename the column '_malformed'"),
    ],
)
def test_unreadable_files_are_explained(
    path: Path, content: bytes, load_args: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(path, content, **load_args)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "a.jsonl is empty"),
        ("a.jsonl", b"review,sentiment\na,b\n", "not JSON Lines.* row 1 is not JSON"),
        ("a.json", b'{\n"rows": [{"text": "a"}]}\n', "row 1 is not JSON.* an object with a list"),
        ("a.jsonl", b'[\n{"text": "a"}\n]\n', "a.jsonl is a JSON array.* end with .json$"),
        (
            "a.jsonl",
            b'["text", "label"]\n["a", "b"]\n',
            "not JSON Lines.* row 1 is not a JSON object",
        ),
        ("a.json", b'{"text":{"0":"a","1":"b"},"y":{"0":1,"1":2}}', "one object for each column"),
        ("a.jsonl", b'{"text": "caf\xe9"}\n', "not utf-8 text"),
        ("a.jsonl", b'{"_malformed": 1}\n', "rename the column '_malformed'"),
        ("a.json", b'[{"text": "a"}, {"te', r"a.json is not a valid JSON array \(.*\): d"),
        ("a.parquet", b"review,sentiment\n", r"a.parquet is not a valid Parquet .*\): d"),
        ("a.csv", b"PAR1....", r"a.csv is not text: it begins .* end with .parquet$"),
        ("a.csv", bytes(range(256)) * 99, "a.csv is not text: it has null bytes"),
        ("a.tar.gz", gzip.compress(make_tar(), mtime=0), "a.tar.gz is a tar archive: unpack it"),
        ("a.csv", ("a,b\n1,2\n" * 999).encode("utf-16-le"), "set the encoding with .*: utf-16-le"),
        ("a.csv", "text\nfine\n".encode("utf-16-le"), "set the encoding with .*: utf-16-le"),
        ("a.jsonl", '{"text": "fine"}'.encode("utf-16-be"), "set the encoding with .*: utf-16-be"),
        (
            "a.jsonl",
            gzip.compress(b"{}", mtime=0),
            r"a.jsonl is not text: .* end with .gz, such as .jsonl.gz",
        ),
        (
            "a.csv",
            b'{"text": "a, b"}\n{"text": "c"}\n',
            r"not a CSV but JSON Lines: rename it to end with .jsonl$",
        ),
        ("a.csv.gz", b"review,sentiment\n", r"a.csv.gz is damaged or not complete \(.*\): down"),
        (
            "a.csv.gz",
            gzip.compress(b"review\n" + b"a" * 9999, mtime=0)[:-9],
            "damaged or not complete",
        ),
        ("a.csv.zst", b"review,sentiment\n", "a.csv.zst is damaged or not complete"),
        (
            "a.csv.zst",
            zstandard.compress("".join(f"{i},é{i * i}\n" for i in range(9999)).encode())[:-99],
            "a.csv.zst is damaged or not complete",
        ),
        ("a.json", b'[{"text": ' + b"9" * 9999 + b"}]", "is not a valid JSON array"),
        ("a.json", b'[{"text": ' + b"[" * 99_999, "is not a valid JSON array"),
        (
            "a.csv.zip",
            as_zip(**{"a.csv": b'{"text": "a"}\n'}),
            r"rename it to end with \.jsonl\.zip$",
        ),
        ("a.csv.zip", b"review,sentiment\n", "a.csv.zip is damaged or not complete"),
        ("a.xlsx", b"PK", "Excel files are not supported: save the table as CSV UTF-8"),
    ],
)
def test_unreadable_files_of_other_formats_are_explained(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / name, content)


def test_a_format_that_can_not_be_written_is_explained(tmp_path: Path) -> None:
    dataset = TableDataset(filepath=str(tmp_path / "a.xlsx"))
    with pytest.raises(DatasetError, match=r"Excel files can't be written: name a CSV \(\.csv\)"):
        dataset.save([pd.DataFrame({"text": ["good"]})])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_a_file_of_several_compressed_streams_is_read_to_its_end(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    lines = [b"text,label\n", *(b"%d,0\n" % n * 50_000 for n in range(3))]
    first, *others = map(compress, lines)
    for between in (b"", bytes(4), bytes(1 << 17)):
        content = between.join([first, *others, b""])
        rows = pd.concat(read(tmp_path / f"a.csv.{suffix}", content))
        assert rows["text"].value_counts().to_dict() == {"0": 50_000, "1": 50_000, "2": 50_000}
    for damaged in (b"x" + others[1][1:], others[1][:8], others[1][:2], b"trailing"):
        content = first + others[0] + damaged
        with pytest.raises(InputError, match="is damaged or not complete"):
            read(tmp_path / f"a.csv.{suffix}", content)


def test_padding_of_xz_has_a_multiple_of_four_bytes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not complete \(zero bytes after"):
        read(tmp_path / "a.csv.xz", lzma.compress(as_csv()) + bytes(6))
    read(tmp_path / "a.csv.bz2", bz2.compress(as_csv()) + bytes(6))


@pytest.mark.parametrize(
    "suffix", ["csv.gz", "csv.bz2", "csv.xz", "csv.zip", "csv.zst", "parquet.gz"]
)
def test_a_compressed_file_that_is_not_there_is_not_called_damaged(suffix: str) -> None:
    """A file of the web is opened before anybody knows whether it is there."""
    filesystem = fsspec.filesystem("memory")
    name = f"memory://bucket/a.{suffix}"
    file = FileToRead(name, partial(open_decompressed, filesystem, f"/bucket/a.{suffix}", name))
    with pytest.raises(FileNotFoundError):
        list(read_table(file, {}))


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.ENOSPC, "No space left on device"),
        ConnectionRefusedError("503"),
    ],
)
def test_another_reason_why_a_compressed_file_cannot_be_read_is_told(error: Exception) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise error

    with pytest.raises(type(error), match=re.escape(str(error))):
        list(read_table(FileToRead("a.csv.gz", Broken), {}))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", as_csv()),
        ("a.csv", as_csv(";")),
        ("a.txt", as_csv("\t")),
        ("a.csv", as_csv("|")),
        ("a.csv", as_csv(";", "utf-8-sig")),
        ("a.csv", as_csv(";", "utf-16")),
        ("a.tsv", as_csv("\t")),
        ("a.csv.gz", gzip.compress(as_csv(";"), mtime=0)),
        ("a.csv.bz2", bz2.compress(as_csv())),
        ("a.CSV.XZ", lzma.compress(as_csv())),
        ("a.tsv.zst", zstandard.compress(as_csv("\t"))),
        ("a.jsonl", as_json_lines()),
        ("a.ndjson.gz", gzip.compress(as_json_lines(), mtime=0)),
        ("a.json", as_json_lines()),
        ("a.json", b"\n[" + b",".join(as_json_lines().splitlines()) + b"]"),
    ],
)
def test_the_format_is_told_by_the_name_and_the_content(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (rows,) = read(tmp_path / name, content)
    assert [(text, str(label)) for text, label in rows[["text", "label"]].to_numpy()] == ROWS
    assert rows.index.tolist() == [1, 2, 3]
    assert (rows[MALFORMED] == "").all()


def test_a_zip_is_read(tmp_path: Path) -> None:
    beside = {"folder/": b"", "__MACOSX/folder/._reviews.csv": b"x", "folder/.DS_Store": b"x"}
    content = as_zip(**beside, **{"folder/reviews.csv": as_csv()})
    (rows,) = read(tmp_path / "reviews.csv.zip", content)
    assert rows["text"].tolist() == [text for text, _ in ROWS]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (("train.csv", "test.csv"), "a.zip must contain one file, and has train.csv, test.csv:"),
        ((".hidden",), "a.zip must contain one file, and has none:"),
    ],
)
def test_a_zip_of_several_files_is_not_read(
    tmp_path: Path, members: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.zip", as_zip(**dict.fromkeys(members, as_csv())))


def test_a_zip_names_its_file(tmp_path: Path) -> None:
    save(tmp_path / "out.csv.zip", pd.DataFrame(ROWS, columns=["text", "label"]))
    with zipfile.ZipFile(tmp_path / "out.csv.zip") as archive:
        assert archive.namelist() == ["out.csv"]
    (rows,) = TableDataset(filepath=str(tmp_path / "out.csv.zip")).load()
    assert rows["text"].tolist() == [text for text, _ in ROWS]


@pytest.mark.parametrize("name", ["scored.csv", "scored.csv.gz", "scored.csv.zip", "scored.jsonl"])
def test_a_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "Jürgens Projekt #1 100% [neu]"
    target = folder / f"meine {name}"
    save(target, pd.DataFrame(ROWS, columns=["text", "label"]))
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert [path.name for path in folder.iterdir()] == [target.name]
    (rows,) = TableDataset(filepath=str(target)).load()
    assert rows["text"].tolist() == [text for text, _ in ROWS]


@pytest.mark.parametrize("above", ["Export of reviews\n", "\nReviews\nMay\n\n"])
def test_lines_above_the_header_are_noticed(path: Path, above: str) -> None:
    content = f"{above}id;text;label\n" + "1;Good, really;5\n" * 30
    with pytest.raises(InputError, match="does not begin with its header: remove the lines"):
        read(path, content.encode())


@pytest.mark.parametrize("text", ["User: film 1 | Bot: indeed", "Film 1; great fun"])
def test_a_single_column_may_have_delimiters_in_its_texts(path: Path, text: str) -> None:
    (rows,) = read(path, f"review\n{text}\n".encode() + f"{text}\n".encode() * 40)
    assert rows.columns.tolist() == ["review", MALFORMED]
    (rows,) = read(path, b"a:b\n" + b"Good;1:2\n" * 9, sep=":")
    assert rows["a"].tolist() == ["Good;1"] * 9


def test_a_csv_that_changes_while_it_is_read_is_refused(path: Path) -> None:
    path.write_bytes(as_csv())
    dataset = TableDataset(filepath=str(path), load_args={"chunksize": 1})
    first, second, *_ = list_parts(dataset.load())
    assert callable(first)
    assert callable(second)
    first()
    path.write_bytes(as_csv() + b"more,1\n")
    with pytest.raises(InputError, match="has changed while it was read"):
        second()


def test_two_delimiters_that_fit_are_in_doubt(path: Path) -> None:
    content = b"Text, Kommentar;Note\n" + b"Gut, sehr gut;5\n" * 9
    with pytest.raises(InputError, match=r"reviews.csv: .* a comma or a semicolon: set it"):
        read(path, content)
    for name, columns in (("semicolon", "Text, Kommentar|Note"), ("comma", "Text|Kommentar;Note")):
        (rows,) = read(path, content, sep=name)
        assert rows.columns.tolist() == [*columns.split("|"), MALFORMED]


def test_a_record_that_is_cut_is_not_counted(path: Path) -> None:
    long = "价" * 20_000  # three bytes each: the sample has one record and a part of the next
    (rows,) = read(path, f"text;label\n{long};1\n{long};0\n".encode())
    assert rows["label"].tolist() == ["1", "0"]


@pytest.mark.parametrize("name", ["a.tsv", "a.txt"])
@pytest.mark.parametrize("n", [3, 9999])  # the sample is the whole file, or a part of it
@pytest.mark.parametrize(
    "lines",
    [
        ['"Great" film', '"never closed', '5" screen'],
        ['"joins this line', 'and this" one', "fine"],
        ['"joins fields', "fine", "fine"],
    ],
)
def test_stray_quotation_marks_of_a_tsv_lose_no_rows(
    tmp_path: Path, lines: list[str], n: int, name: str
) -> None:
    texts = (lines * n)[:n]
    content = "\n".join(["text\tlabel", *(f"{text}\t1" for text in texts)])
    rows = pd.concat(read(tmp_path / name, content.encode()))
    assert rows["text"].tolist() == texts
    assert set(rows["label"]) == {"1"}


def test_a_stray_quotation_mark_far_below_loses_no_rows(tmp_path: Path) -> None:
    """The first lines tell that nothing is quoted, although no field begins with a mark."""
    texts = ['a 5" screen', "plain"] * 9999 + ['"Great" film', '"never closed', "the last"]
    content = "\n".join(["text\tlabel", *(f"{text}\t1" for text in texts)])
    rows = pd.concat(read(tmp_path / "a.tsv", content.encode()))
    assert rows["text"].tolist() == texts


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_a_short_row_makes_no_rows_of_a_tsv_join(tmp_path: Path, name: str) -> None:
    texts = ['"Great" film', '"never closed', "fine"] * 99
    content = "\n".join(["text\tlabel", "no label", *(f"{text}\t1" for text in texts)]).encode()
    content = gzip.compress(content) if name.endswith(".gz") else content
    rows = pd.concat(read(tmp_path / name, content))
    assert rows["text"].tolist() == ["no label", *texts]


@pytest.mark.parametrize("n", [1000, 30_000])  # rows in the first block, and in several parts
def test_the_first_stray_marks_of_a_tsv_far_below_lose_no_rows(
    tmp_path: Path, n: int, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [*["a film of no great length and with no mark whatsoever at all, or so"] * n]
    texts += ['"Great" film', '"never closed', "fine", *["another film"] * 99] * 9
    content = "\n".join(["text\tlabel", *(f"{text}\t1" for text in texts)])
    rows = pd.concat(read(tmp_path / "a.tsv", content.encode()))
    assert rows["text"].tolist() == texts
    assert rows.index.tolist() == list(range(1, len(texts) + 1))
    assert "quotation marks" not in caplog.text


def test_quoted_lines_of_a_tsv_stay_together_whatever_other_marks_it_has(tmp_path: Path) -> None:
    texts = ["fine"] * 50 + ["two\nlines", "Great film"]
    lines = ["text\tlabel", *["fine\t1"] * 50, '"two\nlines"\t1', '"Great" film\t1']
    rows = pd.concat(read(tmp_path / "a.tsv", "\n".join(lines).encode()))
    assert rows["text"].tolist() == texts


def test_stray_marks_of_a_csv_are_warned_about(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["text,label", *["fine,1"] * 40_000, 'a 5" screen,1', "fine,1"]
    rows = pd.concat(read(path, "\n".join(lines).encode()))
    assert rows["text"].tolist()[-3:] == ["fine", 'a 5" screen', "fine"]
    assert "quotation marks" not in caplog.text  # within a field without quotes, they do no harm
    lines += ['"Great" film,1', "fine,1"]
    list(read(path, "\n".join(lines).encode()))
    (row,) = re.findall(r"reviews.csv has quotation marks from row (\d+) on", caplog.text)
    assert int(row) == 40_003

    caplog.clear()
    rows = pd.concat(read(path.with_suffix(".csv.gz"), gzip.compress("\n".join(lines).encode())))
    assert "reviews.csv.gz has quotation marks from row 40003 on" in caplog.text


class PlainHandler(BaseHTTPRequestHandler):
    """Serves files as a simple server does: whole, and without telling their size."""

    files: ClassVar[dict[str, bytes]] = {}
    n_sent: ClassVar[int] = 0

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        type(self).n_sent += 1
        self.do_HEAD()
        with contextlib.suppress(ConnectionError):  # of a client that only looks at the headers
            self.wfile.write(self.files[self.path])

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.zip", "a.parquet"])
def test_a_table_at_a_url_is_downloaded_once_as_a_whole(name: str, tmp_path: Path) -> None:
    saved = tmp_path / name
    frame = pd.DataFrame(
        {"text": [f"text {n}" for n in range(9000)], "label": ["a", "b", "c"] * 3000}
    )
    save(saved, frame)
    PlainHandler.files = {f"/{name}": saved.read_bytes()}
    PlainHandler.n_sent = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), PlainHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        dataset = TableDataset(filepath=f"http://127.0.0.1:{server.server_port}/{name}")
        for _ in range(3):
            rows = pd.concat(dataset.load())
            assert rows["text"].tolist() == frame["text"].tolist()
        assert PlainHandler.n_sent == 1
        server.shutdown()


def test_a_download_that_breaks_off_is_no_table() -> None:
    class Interrupted(PlainHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"text,label\n" + b"a,b\n" * 9000)

    with ThreadingHTTPServer(("127.0.0.1", 0), Interrupted) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        dataset = TableDataset(filepath=f"http://127.0.0.1:{server.server_port}/a.csv")
        for _ in range(2):
            with pytest.raises(InputError, match="can't be reached"):
                list(dataset.load())
        server.shutdown()


@pytest.mark.parametrize("content", [None, b"\0\1\2 is no text \0"])
def test_messages_about_a_url_have_no_secrets(content: bytes | None) -> None:
    """They are logged."""

    class Refusing(PlainHandler):
        def do_GET(self) -> None:
            self.send_response(403 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        dataset = TableDataset(filepath=f"http://me:secret@{host}/a.csv?key=secret")
        with pytest.raises(InputError, match=rf"^http://{host}/a\.csv ") as caught:
            list(dataset.load())
        assert "secret" not in str(caught.value)
        assert "secret" not in str(dataset)
        server.shutdown()


@pytest.mark.parametrize("encoding", ["utf-16", "gbk"])
def test_stray_marks_of_a_csv_in_another_encoding_are_warned_about(
    encoding: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its records can't be located without decoding it."""
    lines = ["text,label", *["fine,1"] * 9, 'a 5" screen,1', '"Great", really,1', "fine,1"]
    for name, marked in (
        ("a.csv", [*lines[:-2], "fine,1"]),
        ("b.csv", [*lines, '"Great" film,1', "fine,1"]),
    ):
        path = tmp_path / name
        dataset = TableDataset(filepath=str(path), load_args={"encoding": encoding})
        path.write_text("\n".join(marked), encoding)
        for _ in range(2):
            list(dataset.load())
        found = re.findall(r"(\w).csv has quotation marks from row (\d+) on", caplog.text)
        assert found == ([] if name == "a.csv" else [("b", "13")])


def test_spaces_before_quoted_fields_are_skipped(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ['"text", "label"', *['"good, ok", "positive"', '"bad", "negative"'] * 20_000]
    rows = pd.concat(read(path, "\n".join(lines).encode()))
    assert rows.columns.tolist()[:2] == ["text", "label"]
    assert set(rows["text"]) == {"good, ok", "bad"}
    assert set(rows["label"]) == {"positive", "negative"}
    assert not rows[MALFORMED].any()
    assert "quotation marks" not in caplog.text


@pytest.mark.parametrize("content", [b'"text","label"', b'"text","label"\r"a","b"\r"c","d"'])
def test_unusual_line_ends_are_no_stray_marks(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    read(path, content)
    assert "quotation marks" not in caplog.text


def test_backslashes_that_escape_marks_only_far_below_are_recognised(path: Path) -> None:
    texts = ["fine"] * 30_000 + ['a 5" screen', 'He said "no", and "yes"', "fine"]
    lines = ["text,label", *('"{}","1"'.format(text.replace('"', '\\"')) for text in texts)]
    rows = pd.concat(read(path, "\n".join(lines).encode()))
    assert rows["text"].tolist() == texts
    assert set(rows["label"]) == {"1"}


def test_one_stray_mark_in_a_quoted_tsv_changes_no_other_row(tmp_path: Path) -> None:
    lines = ['"text"\t"label"', '"Great, film"\t"1"', 'A 5" disk\t"0"', '"Fine"\t"1"']
    rows = pd.concat(read(tmp_path / "a.tsv", "\n".join(lines).encode()))
    assert rows["text"].tolist() == ["Great, film", 'A 5" disk', "Fine"]
    assert rows["label"].tolist() == ["1", "0", "1"]


def test_quoted_fields_of_a_tsv_are_read(tmp_path: Path) -> None:
    for text in ("two\nlines", "a\ttab", 'a "word"', '"'):
        for n in (1, 9999):
            frame = pd.DataFrame({"text": [text] * n, "label": ["1"] * n})
            content = frame.to_csv(index=False, sep="\t", quoting=1).encode()
            rows = pd.concat(read(tmp_path / "a.tsv", content))
            assert rows["text"].tolist() == [text] * n
    (rows,) = read(tmp_path / "a.tsv", b'text\n"two\nlines"\n')  # one column
    assert rows["text"].tolist() == ["two\nlines"]


@pytest.mark.parametrize("first", ["sep=;\n", "SEP=;\r\n", '"sep=;"\n', "sep=;\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("chunksize", [1, 100])
def test_the_line_that_tells_excel_the_delimiter_is_no_row(
    path: Path, first: str, encoding: str, chunksize: int
) -> None:
    content = f"{first}text, or not;label\na, b;1\na;b;c\nc, d;0\n".encode(encoding)
    rows = pd.concat(read(path, content, chunksize=chunksize))
    assert rows.columns.tolist() == ["text, or not", "label", MALFORMED]
    assert rows.index.tolist() == [1, 2, 3]
    assert rows["label"].tolist() == ["1", "", "0"]
    assert rows[MALFORMED].tolist() == ["", "3 fields where the header has 2", ""]


def test_rows_after_that_line_are_counted_in_messages(path: Path) -> None:
    for first in ("", "sep=,\n"):
        with pytest.raises(InputError, match="opened in row 2 is never closed"):
            read(path, f'{first}text,label\na,1\n"b,0\n'.encode())
    for content in (b"sep=;", b"sep=;\n"):
        with pytest.raises(InputError, match="is empty"):
            read(path, content)
    (rows,) = read(path, b"sep=;\na|b\nx|y\n", sep="|")
    assert rows.columns.tolist() == ["a", "b", MALFORMED]


def test_a_named_delimiter_is_taken(path: Path) -> None:
    (rows,) = read(path, rb"a\tb;c" + b"\nx;y\n", sep=";")
    assert rows.to_dict("list") == {r"a\tb": ["x"], "c": ["y"], MALFORMED: [""]}
    (rows,) = read(path, b"a;b\tc\nx;y\tz\n", sep=r"\t")
    assert rows.columns.tolist() == ["a;b", "c", MALFORMED]


@pytest.mark.parametrize("sep", ["::", "", "\n", '"', "\u3001", "colon"])
def test_a_delimiter_is_a_known_name_or_one_character(path: Path, sep: str) -> None:
    with pytest.raises(
        InputError, match=r"it must be auto, comma, semicolon, tab, bar, or another"
    ):
        read(path, b"a::b\nx::y\n", sep=sep)
    (rows,) = read(path, b"a|b\nx|y\n", sep="pipe")
    assert rows.columns.tolist() == ["a", "b", MALFORMED]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("option", ["names", "skiprows", "nrows", "engine", "comment", "lines"])
def test_options_that_could_lose_rows_are_refused(tmp_path: Path, option: str, name: str) -> None:
    with pytest.raises(
        InputError, match=f"can't have {option}, .*: choose from chunksize, encoding"
    ):
        read(tmp_path / name, b"text,label\na,1\n", **{option: 1})


def test_quotation_marks_that_are_escaped_by_backslashes_are_recognised(path: Path) -> None:
    (rows,) = read(path, b'review,sentiment\n"\\"No, never\\"\n again",1\n"a ""b""",0\n')
    assert rows["review"].tolist() == ['"No, never"\n again', 'a "b"']
    assert set(rows[MALFORMED]) == {""}


def test_options_that_tell_how_a_csv_is_quoted_are_taken(path: Path) -> None:
    content = b"text, label\n'a, \\'b\\'', 1\n'x', 2, 3\n"
    (rows,) = read(path, content, quotechar="'", escapechar="\\", skipinitialspace=True)
    assert rows.drop(columns=MALFORMED).to_numpy().tolist() == [["a, 'b'", "1"], ["", ""]]
    assert rows[MALFORMED].tolist() == ["", "3 fields where the header has 2"]


@pytest.mark.parametrize(
    ("text", "encoding", "likely"),
    [
        ("Schöner Film; großartig gespielt; völlig überzeugend", "cp1252", "cp1252"),
        ("Очень хороший фильм; прекрасная игра актёров", "cp1251", "cp1251"),
        ("\u201cDon\u2019t\u201d: a café; Geneviève; £5", "cp1252", "cp1252"),
        ("\u201cDon\u2019t\u201d: a café; Geneviève; £5", "mac_roman", "mac_roman"),
        ("Schöner Film; großartig gespielt; völlig überzeugend", "cp437", "cp850"),
        ("Skådespelarna är underbara; barnen älskade den", "cp850", "cp850"),
        ("Żałuję; że go obejrzałem; źle zagrany; późno", "cp852", "cp852"),
        ("Żałuję; że go obejrzałem; źle zagrany; późno", "cp1250", "cp1250"),
        ("Żałuję; że go obejrzałem; źle zagrany; późno", "iso8859-2", "iso8859-2"),
        ("Çok güzel bir film; ağlad\u0131m; şahane", "cp1254", "cp1254"),
        ("فيلم رائع جدا أحببته", "cp1256", "cp1256"),
        ("قصة جميلة ،لكن الإخراج ضعيف والتمثيل سيئ", "iso8859-6", "iso8859_6"),
        ("Άριστη ταινία; Άψογη σκηνοθεσία; Άθλιο τέλος", "iso8859-7", "iso8859_7"),
        ("Άριστη ταινία; Άψογη σκηνοθεσία; Άθλιο τέλος", "cp1253", "cp1253"),
        ("这部电影非常好看。演员演得很好。推荐大家去看", "gb18030", "gb18030"),
        ("とても面白い映画でした。俳優の演技が素晴らしい。時間の無駄です。", "shift_jis", "cp932"),
    ],
)
def test_the_likely_encoding_is_named(path: Path, text: str, encoding: str, likely: str) -> None:
    content = f"text,label\n{text},1\n{text},0\n".encode(encoding)
    with pytest.raises(InputError, match=f"encoding: {likely}}}") as error:
        read(path, content)
    assert error.value.parameters == {}  # the dataset has no parameters
    (rows,) = read(path, content, encoding=likely)
    assert rows["text"].tolist() == [text, text]


def test_the_likely_encoding_of_a_short_header_is_that_of_the_rows(path: Path) -> None:
    rows = "".join(f"这部电影很好看 {i},好\n太难看了 {i},坏\n" for i in range(99))
    with pytest.raises(InputError, match=r"byte 0xc6 in line 1\).*encoding: gb18030}"):
        read(path, f"评论,标签\n{rows}".encode("gbk"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("s\u0131k\u0131c\u0131 a\u011f\u0131r", "cp1252 or cp1254"),
        ("my caffè", "cp1252 or cp1250 or cp1257"),
    ],
)
def test_no_command_names_one_of_several_likely_encodings(
    path: Path, text: str, names: str
) -> None:
    encoded = next(word for word in text.split() if not word.isascii()).encode("cp1254")
    words = " or ".join(repr(encoded.decode(name)) for name in names.split(" or "))
    path.write_bytes(f"text\n{text}\n".encode("cp1254"))
    options = " or ".join(f"reviews_encoding={name}" for name in names.split(" or "))
    with pytest.raises(InputError, match=f"--params {options}, whichever shows") as error:
        list(TableDataset(filepath=str(path), prefix="reviews").load())
    assert str(error.value).endswith(f"as they should be: {words}")
    assert error.value.parameters == {}


def test_loanwords_alone_do_not_show_an_encoding_of_dos(path: Path) -> None:
    content = ("text\n" + "a scene in a long film\n" * 20 + "a caf\xe9\n") * 9
    path.write_bytes(content.encode("cp850"))
    with pytest.raises(InputError, match="reviews_encoding=cp850 or ") as error:
        list(TableDataset(filepath=str(path), prefix="reviews").load())
    assert error.value.parameters == {}


@pytest.mark.parametrize(
    ("name", "end"), [("a.csv", "\n"), ("a.csv", "\r"), ("a.csv", "\r\n"), ("a.jsonl", "\n")]
)
def test_the_line_of_a_damaged_character_counts_from_the_beginning(
    tmp_path: Path, name: str, end: str
) -> None:
    row = '{"text": "café x"}' if name == "a.jsonl" else "café x"
    lines = [*["text"] * (name == "a.csv"), *[row] * 9_999]
    content = [line.encode() for line in lines]
    content[9_000] = content[9_000].replace(b"x", b"\xff")
    with pytest.raises(InputError, match="character in line 9001, after"):
        read(tmp_path / name, end.encode().join(content), chunksize=100)


@pytest.mark.parametrize(
    ("named", "encoding"), [("latin1", "cp1252"), ("iso-8859-1", "cp1252"), ("latin5", "cp1254")]
)
def test_punctuation_of_windows_in_latin_1_is_told(
    path: Path, named: str, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    content = "text,label\nI don\u2019t know; a caf\u00e9,1\n".encode(encoding)
    for _ in range(2):
        assert len(read(path, content, encoding=named)) == 1
    assert caplog.text.count(f"{{encoding: {encoding}}}") == 1
    caplog.clear()
    assert len(read(path, "text,label\ncaf\u00e9,1\n".encode(named), encoding=named)) == 1
    assert len(read(path, b"text,label\ncaf\x81 \x92,1\n", encoding="latin-1")) == 1  # no cp1252
    assert "control characters" not in caplog.text


@pytest.mark.parametrize(
    ("content", "failed", "likely"),
    [
        (b"text,label\n\x81caf\xe9,1\n", "utf-8", None),  # neither cp1252 nor cp1250
        (b"text,label\ncaf\x81,1\n", "cp1252", "cp850"),
        ("text,label\ncaf\xe9,1\n".encode(), "ascii", "utf-8"),
        (b"text,label\na,1\n", "utf-16", "utf-8"),
        (b"text,label\n" + b"a,1\n" * 99_999 + b"caf\xe9,1\n", "utf-8", "cp1252"),
    ],
)
def test_an_encoding_that_is_named_decodes_the_beginning(
    path: Path, content: bytes, failed: str, likely: str | None
) -> None:
    path.write_bytes(content)

    def load(encoding: str) -> None:
        options = {"encoding": encoding}
        list(TableDataset(filepath=str(path), load_args=options, prefix="input").load())

    with pytest.raises(InputError, match="--params input_encoding=") as error:
        load(failed)
    named = error.value.parameters.get("input_encoding")
    assert named == likely
    for name in re.findall(r"input_encoding=([\w-]+)", str(error.value)):
        load(name)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("before", ["d\xe9j\xe0 vu", "\u7535\u5f71" * 99_999])
def test_damaged_utf8_is_no_other_encoding(tmp_path: Path, name: str, before: str) -> None:
    lines = ["text,label", f"{before},1", "x?,0"]
    if name == "a.jsonl":
        lines = [json.dumps({"text": text}, ensure_ascii=False) for text in (before, "x?")]
    content = "\n".join(lines).encode().replace(b"x?", b"x\xc3")
    with pytest.raises(InputError, match=r"UTF-8 text with a damaged character .* after") as error:
        read(tmp_path / name, content)
    assert error.value.parameters == {}
    (rows,) = read(tmp_path / name, content, encoding_errors="replace")
    assert rows["text"].tolist() == [before, "x\ufffd"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize(
    ("encoding", "damage"),
    [
        ("utf-16-le", b"\x00\xd8"),
        ("utf-16-be", b"\xd8\x00"),
        ("utf-32-be", b"\xff" * 4),
        ("utf-8", b"\xff"),
    ],
)
def test_damaged_text_with_a_mark_is_in_no_other_encoding(
    tmp_path: Path, name: str, encoding: str, damage: bytes
) -> None:
    row = '{"text": "sch\xf6n"}\n' if name == "a.jsonl" else "sch\xf6n\n"
    start, end = "\ufefftext\n" if name == "a.csv" else "\ufeff", "\xf6n".encode(encoding)
    content = (start + row * 9999).encode(encoding)
    kind, line = encoding[:6].rstrip("-").upper(), 9999 + (name == "a.csv")
    damaged = damage.join(content.rsplit(end, 1))
    told = f"is {kind} text with a damaged character in line {line}, after '.*sch'"
    with pytest.raises(InputError, match=f"{told}: repair it, or add") as error:
        read(tmp_path / name, damaged)
    assert error.value.parameters == {}
    rows = pd.concat(read(tmp_path / name, damaged, encoding_errors="replace"))
    assert len(rows) == 9999


def test_text_in_utf_16_that_is_cut_is_in_no_other_encoding(path: Path) -> None:
    content = ("text\n" + "sch\xf6n\n" * 99).encode("utf-16")[:-1]
    with pytest.raises(InputError, match=r"is UTF-16 text with a damaged .* add encoding_errors"):
        read(path, content)
    (rows,) = read(path, content, encoding_errors="replace")
    assert len(rows) == 99


def test_utf_16_without_a_mark_is_read_if_it_is_named(path: Path) -> None:
    content = ("text,label\n" + "caf\xe9,1\n" * 999).encode("utf-16-le")
    path.write_bytes(content)
    stream = TableDataset(filepath=str(path), prefix="reviews").load()
    with pytest.raises(InputError, match="reviews_encoding=utf-16-le"):
        list(stream)
    (rows,) = read(path, content, encoding="utf-16-le")
    assert rows["text"].tolist() == ["caf\xe9"] * 999


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("named", ["cp1252", "gb18030", "utf-16-le"])
def test_a_byte_order_mark_is_surer_than_a_setting(path: Path, encoding: str, named: str) -> None:
    (rows,) = read(path, "text,label\ncafé,1\n".encode(encoding), encoding=named)
    assert rows[["text", "label"]].to_numpy().tolist() == [["café", "1"]]


@pytest.mark.parametrize("named", ["cp1252", "latin-1", "koi8-r", "mac-roman"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_utf8_is_not_taken_for_an_encoding_of_one_byte(
    tmp_path: Path, name: str, named: str
) -> None:
    content = '{"text": "é", "label": 1}\n' if name == "a.jsonl" else "text,label\né,1\n"
    for text in (content, content * 9999 + "x"):  # which cuts the sample in a character or not
        with pytest.raises(InputError, match=f"is UTF-8 text, not {named}: set the enc"):
            read(tmp_path / name, text.encode(), encoding=named)
    if named == "cp1252":  # ASCII is both, and what is no UTF-8 may be anything
        assert len(read(tmp_path / name, content.replace("é", "e").encode(), encoding=named)) == 1
        assert len(read(tmp_path / name, content.encode(named), encoding=named)) == 1


@pytest.mark.parametrize("chunksize", [1, 2, 100])
def test_bad_lines_of_json_keep_their_place(tmp_path: Path, chunksize: int) -> None:
    content = b'{"text": "a", "n": 1}\n{"text": \n\n[1]\n{"text": null, "new": true}\n'
    chunks = read(tmp_path / "a.jsonl", content, chunksize=chunksize)
    rows = pd.concat(chunks)
    assert rows.index.tolist() == [1, 2, 4, 5]  # the numbers of the lines
    assert [bool(problem) for problem in rows[MALFORMED]] == [False, True, True, False]
    assert rows.loc[4, MALFORMED] == "not a JSON object but [1]"
    assert rows.loc[1, "n"] == 1
    assert rows.loc[5, "text"] is None
    assert rows.loc[5, "new"] is True


def test_keys_of_json_are_kept_no_longer_than_their_rows(tmp_path: Path) -> None:
    """A log may have another key in every row."""
    rows = [{"text": "a", "label": 1}, *({"text": "b", f"id {n}": n} for n in range(3)), {"c": 1}]
    content = "\n".join(map(json.dumps, rows)).encode()
    chunks = [*read(tmp_path / "a.jsonl", content, chunksize=1)]
    chunks = [chunk.drop(columns=MALFORMED) for chunk in chunks]
    found = [chunk.columns.tolist() for chunk in chunks]
    own = [[], ["id 0"], ["id 1"], ["id 2"], ["c"]]
    assert found == [["text", "label", *names] for names in own]
    save(tmp_path / "out.jsonl", *chunks)
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert lines[0] == '{"text":"a","label":1}'
    assert lines[2] == '{"text":"b","label":null,"id 1":1}'
    assert lines[4] == '{"text":null,"label":null,"c":1}'


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_half_a_surrogate_pair_in_a_key_is_no_error(tmp_path: Path, name: str) -> None:
    content = json.dumps([{"text": "a", "note": 1}, {"text": "b", "note\ud83d": 2}])
    if name == "a.jsonl":
        content = content[1:-1].replace("}, {", "}\n{")
    (rows,) = read(tmp_path / name, content.encode())
    assert rows["text"].tolist() == ["a", "b"]
    assert rows["note\ufffd"].tolist()[1] == 2


@pytest.mark.parametrize("chunksize", [2, 100])
def test_parquet_keeps_its_types(tmp_path: Path, chunksize: int) -> None:
    table = pa.table({"text": ["a", None, "c"], "n": [1, None, 3], "tags": [["x"], [], None]})
    parquet.write_table(table, tmp_path / "a.parquet")
    dataset = TableDataset(filepath=str(tmp_path / "a.parquet"), load_args={"chunksize": chunksize})
    chunks = [chunk for chunk in dataset.load() if len(chunk)]
    assert [len(chunk) for chunk in chunks] == ([2, 1] if chunksize == 2 else [3])
    assert pd.concat(chunks).index.tolist() == [1, 2, 3]
    save(tmp_path / "b.parquet", *(chunk.drop(columns=MALFORMED) for chunk in dataset.load()))
    assert parquet.read_table(tmp_path / "b.parquet").equals(table)


@given(sizes=st.lists(st.integers(0, 9), max_size=5), rows=st.integers(1, 4))
def test_parts_of_a_parquet_file_are_read_like_the_whole(
    *, sizes: list[int], rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("parts") / "table.parquet"
    texts = [f"text {number}" for number in range(sum(sizes))]
    table = pa.table({"text": pa.array(texts, pa.string())})
    with parquet.ParquetWriter(path, table.schema) as writer:
        for start, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
            writer.write_table(table.slice(start, size), row_group_size=max(size, 1))
    stream = TableDataset(filepath=str(path), load_args={"chunksize": rows}).load()
    parts = pickle.loads(pickle.dumps(list(list_parts(stream))))
    are_divided = 0 < max(sizes, default=0) <= MAX_PARTS_PER_GROUP * rows
    assert [callable(part) for part in parts] == [are_divided] * len(parts)
    for frames in ([part() for part in parts] if are_divided else parts), list(stream):
        whole = pd.concat(frames)
        assert whole["text"].tolist() == texts
        assert whole.index.tolist() == list(range(1, len(texts) + 1))
        assert all((len(frame) > 0 or not texts) and len(frame) <= rows for frame in frames)


def test_a_parquet_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    for numbers in ([1, 2], [1, 2, 3]):
        table = pa.table({"n": numbers})
        parquet.write_table(table, tmp_path / f"{len(numbers)}.parquet")
    stream = TableDataset(filepath=str(tmp_path / "2.parquet"), load_args={"chunksize": 1}).load()
    first, second = list_parts(stream)
    assert callable(first)
    assert callable(second)
    first()
    (tmp_path / "3.parquet").replace(tmp_path / "2.parquet")
    with pytest.raises(InputError, match="has changed while it was read"):
        second()


def test_a_damaged_row_group_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["good " * 99, "bad " * 99]}), path, compression="gzip")
    content = bytearray(path.read_bytes())
    content[10:60] = b"?" * 50
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet is not a valid Parquet file"):
        list(TableDataset(filepath=str(path)).load())


def test_a_large_row_group_is_not_read_at_once() -> None:
    class Counted(io.BytesIO):
        n_read = 0

        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            self.n_read += len(found)
            return found

    source = Counted()
    rng = random.Random(0)
    texts = [rng.randbytes(5000).hex() for _ in range(1000)]  # of 10 MB
    pages = {"write_batch_size": 10, "data_page_size": 100_000}  # which are read as a whole
    parquet.write_table(pa.table({"text": texts}), source, use_dictionary=False, **pages)
    chunks = read_table(FileToRead("a.parquet", lambda: source), {"chunksize": 10})
    assert next(chunks)["text"].tolist() == texts[:10]
    assert 100_000 < source.n_read < 4_000_000
    assert sum(map(len, chunks)) == 990


def test_two_columns_of_one_name_are_refused_in_parquet(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="two columns have the same name: 'text'"):
        list(TableDataset(filepath=str(tmp_path / "a.parquet")).load())


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    (rows,) = TableDataset(filepath=str(tmp_path / "a.parquet")).load()
    assert rows.columns.tolist() == ["text", MALFORMED]


@pytest.mark.parametrize("place", ["parts", "parts/*.csv", "parts/**/*.csv", "*/*.csv"])
def test_a_folder_is_one_table(tmp_path: Path, place: str) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/2.csv").write_text("label,text\n0,c\n1,d\n")
    (tmp_path / "parts/1.csv").write_text("text;label\na;0\nb;1\n")
    (tmp_path / "parts/_SUCCESS").touch()
    (tmp_path / "parts/.hidden.csv").write_text("nothing")
    for folder in (".ipynb_checkpoints", "_temporary/0"):
        (tmp_path / "parts" / folder).mkdir(parents=True)
        (tmp_path / "parts" / folder / "1.csv").write_text("text;label\nz;0\n")
    rows = pd.concat(TableDataset(filepath=str(tmp_path / place)).load())
    assert rows["text"].to_dict() == {1: "a", 2: "b", 3: "c", 4: "d"}
    assert rows["label"].tolist() == ["0", "1", "0", "1"]


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet", "csv.gz", "csv.bz2", "jsonl.zst"])
def test_empty_files_in_a_folder_are_left_out(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "imdb_sentiment")
    for name in "13":
        # As Spark writes a partition without rows.
        (tmp_path / f"{name}.{suffix}").write_bytes(EMPTY.get(suffix, b""))
    with pytest.raises(InputError, match=r"1\..* is (empty|not a valid Parquet)"):
        list(TableDataset(filepath=str(tmp_path)).load())
    save(tmp_path / f"2.{suffix}", pd.DataFrame({"text": ["a"]}))
    for _ in range(2):
        (rows,) = TableDataset(filepath=str(tmp_path)).load()
        assert rows["text"].tolist() == ["a"]
    assert caplog.text.count(f"Empty files are left out (2): 1.{suffix}, 3.{suffix}") == 1
    (tmp_path / "4.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match=r"4\.csv\.gz is damaged"):
        list(TableDataset(filepath=str(tmp_path)).load())


def test_small_files_are_read_together(tmp_path: Path) -> None:
    first = 0
    for number, size in enumerate([2, 2, 2, 7, 1, 0, 3]):
        rows = pd.DataFrame({"text": map(str, range(first, first + size)), "label": str(number)})
        names = ["text", "label"] if number % 2 else ["label", "text"]
        rows[names].to_csv(tmp_path / f"{number}.csv", index=False)
        first += size
    table = TableDataset(filepath=str(tmp_path), load_args={"chunksize": 5}).load()
    parts = [pickle.loads(pickle.dumps(part))() for part in list_parts(table)]  # as for a worker
    for chunks in (list(table), parts):
        assert [len(chunk) for chunk in chunks] == [4, 2, 5, 3, 3]
        whole = pd.concat(chunks)
        assert whole.index.tolist() == list(range(1, 18))
        assert whole["text"].tolist() == list(map(str, range(17)))
        assert whole["label"].tolist() == list("00112233333334666")
        assert set(whole.dtypes) == {pd.StringDtype(na_value=np.nan)}


@pytest.mark.parametrize("place", ["parts", "parts/**/*.csv"])
def test_links_of_a_folder_are_followed(tmp_path: Path, place: str) -> None:
    for name in ("parts/1.csv", "other/2.csv", "other/3.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"text,label\n{name},0\n")
    (tmp_path / "parts/more").symlink_to(tmp_path / "other")
    (tmp_path / "parts/4.csv").symlink_to(tmp_path / "other/3.csv")
    (tmp_path / "parts/.#1.csv").symlink_to("user@host")  # as Emacs locks a file
    rows = pd.concat(TableDataset(filepath=str(tmp_path / place)).load())
    assert rows["text"].tolist() == ["parts/1.csv", "other/3.csv", "other/2.csv", "other/3.csv"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("nothing"), "2.csv is a link to a file that does not exist:"),
        (lambda path: path.symlink_to("."), r"the link /.*/2\.csv leads back to itself or "),
        (lambda path: path.symlink_to(path), r"the link /.*/2\.csv leads back to itself or "),
        (os.mkfifo, "2.csv is neither a file nor a folder: remove it"),
    ],
)
def test_what_cannot_be_read_in_a_folder_is_named(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    (tmp_path / "1.csv").write_text("text,label\na,0\n")
    make(tmp_path / "2.csv")
    with pytest.raises(DatasetError, match=message) as caught:
        TableDataset(filepath=str(tmp_path)).load()
    assert find_input_error(caught.value)
    assert len(list(TableDataset(filepath=str(tmp_path / "1*")).load())) == 1
    (tmp_path / "team").mkdir()
    (tmp_path / "1.csv").rename(tmp_path / "team/1.csv")
    for pattern in ("t*/1.csv", "t*/**", "t*/**/1*"):  # none of them leads to it
        assert len(list(TableDataset(filepath=str(tmp_path / pattern)).load())) == 1, pattern


@pytest.mark.parametrize("method", ["ls", "info"])
def test_no_file_of_a_folder_is_left_out_because_of_an_error(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filesystem = fsspec.filesystem("memory")
    for name in "123":
        filesystem.pipe(f"/unreliable/{name}/a.csv", b"text,label\na,0\n")
    real = getattr(MemoryFileSystem, method)

    def fail(self: Any, path: str, **options: Any) -> Any:
        if path.startswith("/unreliable/2"):
            raise ConnectionResetError("reset")
        return real(self, path, **options)

    monkeypatch.setattr(MemoryFileSystem, "isfile", AbstractFileSystem.isfile)  # as that of clouds
    monkeypatch.setattr(MemoryFileSystem, method, fail)
    with pytest.raises((InputError, DatasetError), match=r"can't be reached \(reset\)"):
        list(TableDataset(filepath="memory://unreliable").load())


def test_a_folder_without_a_name_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 lists it under the name of the folder above it."""

    class Objects(MemoryFileSystem):
        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]

        def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
            nameless = {"name": f"{path}/", "type": "directory", "size": 0}
            return [nameless, *super().ls(path, detail=True, **options)]

        def find(self, path: str, **options: Any) -> Any:
            return list(self.store)

    monkeypatch.setattr("fsspec.filesystem", lambda *_, **options: Objects())
    Objects().pipe("/parts/1.csv", as_csv())
    assert len(pd.concat(TableDataset(filepath="s3://parts").load())) == 3
    Objects.store["/parts//2.csv"] = Objects.store["/parts/1.csv"]
    with pytest.raises(DatasetError, match="parts// can't be listed: rename the files"):
        TableDataset(filepath="s3://parts").load()
    assert len(pd.concat(TableDataset(filepath="s3://parts/*.csv").load())) == 3


def test_files_with_different_headers_are_not_one_table(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("text,label\na,0\n")
    (tmp_path / "2.csv").write_text("text,stars\na,0\n")
    message = r"2.csv does not have the same columns as .*1.csv; missing: label; additional: stars"
    with pytest.raises(InputError, match=message) as error:
        list(TableDataset(filepath=str(tmp_path)).load())
    assert "is one text" not in str(error.value)
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).rename((tmp_path / name).with_suffix(".txt"))
    with pytest.raises(InputError, match="if each file is one text, put them into one table"):
        list(TableDataset(filepath=str(tmp_path)).load())


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("out.csv", pd.read_csv),
        ("out.tsv", lambda path: pd.read_csv(path, sep="\t")),
        ("out.csv.gz", lambda path: pd.read_csv(path, compression="gzip")),
        ("out.csv.zst", pd.read_csv),
        ("out.csv.zip", pd.read_csv),
        ("out.jsonl", lambda path: pd.read_json(path, lines=True)),
        ("out.jsonl.gz", lambda path: pd.read_json(path, lines=True)),
        ("out.parquet", pd.read_parquet),
    ],
)
def test_the_name_tells_how_a_table_is_written(
    tmp_path: Path, name: str, load: Callable[[Path], pd.DataFrame]
) -> None:
    frames = [
        pd.DataFrame({"text": ["a\r", None], "p": [float("nan"), 1 / 3]}),
        pd.DataFrame({"text": ["电影", '"'], "p": [0.5, 1e-17]}),
    ]
    save(tmp_path / name, *frames)
    found = load(tmp_path / name)
    assert [text or None for text in found["text"].fillna("")] == ["a\r", None, "电影", '"']
    assert found["p"].tolist() == pytest.approx([float("nan"), 1 / 3, 0.5, 1e-17], nan_ok=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_empty_text_of_json_is_not_missing_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    cells = pd.Series(["", None, "a", 2], dtype=object)
    TableDataset(filepath=str(path)).save(iter([pd.DataFrame({"text": cells})]))
    assert parquet.read_table(path)["text"].to_pylist() == ["", None, "a", "2"]


def test_arguments_of_a_csv_that_is_written_are_heeded_or_refused(tmp_path: Path) -> None:
    def save_as(**save_args: Any) -> bytes:
        dataset = TableDataset(filepath=str(tmp_path / "out.csv"), save_args=save_args)
        dataset.save(iter([pd.DataFrame({"text": ["\xe9"]}), pd.DataFrame({"text": ["\u2192"]})]))
        return (tmp_path / "out.csv").read_bytes()

    assert save_as(encoding="utf-8-sig") == '\ufeff"text"\n"\xe9"\n"\u2192"\n'.encode()
    assert save_as(encoding=1252, errors="replace", sep=";", quoting=0) == b"text\n\xe9\n?\n"
    with pytest.raises(DatasetError, match=r"out.csv can't contain '\u2192' in cp1252: set an"):
        save_as(encoding="cp1252")
    with pytest.raises(DatasetError, match="unknown encoding: utf-9: use an encoding that Python"):
        save_as(encoding="utf-9")
    for name in ("header", "mode", "compression"):
        with pytest.raises(DatasetError, match=f"save_args of a TableDataset can't have {name}: "):
            save_as(**{name: False})
    with pytest.raises(DatasetError, match="errors in save_args is 'nope': set it to strict, re"):
        save_as(errors="nope")
    lines = TableDataset(filepath=str(tmp_path / "out.jsonl"), save_args={"sep": ";"})
    with pytest.raises(DatasetError, match=r"out.jsonl: save_args apply only to CSV files"):
        lines.save(iter([pd.DataFrame({"text": ["a"]})]))


@pytest.mark.parametrize(
    ("load_args", "says"),
    [
        ({"sep": "foo"}, "unlabelled_delimiter: 'foo' is not a delimiter"),
        ({"encoding": "utf-9"}, "unlabelled_encoding: unknown encoding: utf-9"),
        ({"encoding_errors": "nope"}, "encoding_errors in load_args is 'nope': set it to strict"),
        (
            {"chunksize": 0},
            "in globals.yml or load_args, is 0: it must be a whole number of at least 1",
        ),
        (
            {"chunksize": None},
            "in globals.yml or load_args, is None: it must be a whole number",
        ),
    ],
)
def test_a_value_that_can_not_be_used_is_refused_with_its_name(
    load_args: dict[str, Any], says: str, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("text\na\n", encoding="utf-8")
    path = str(tmp_path / "in.csv")
    dataset = TableDataset(filepath=path, load_args=load_args, prefix="unlabelled")
    with pytest.raises(InputError, match=says):
        list(dataset.load())


def test_nested_cells_are_json_where_a_format_has_no_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [{"b": "ü"}, [1]]}, dtype=object)
    save(tmp_path / "out.csv", frame)
    assert pd.read_csv(tmp_path / "out.csv")["a"].tolist() == ['{"b": "ü"}', "[1]"]
    save(tmp_path / "out.jsonl", frame)
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"a": {"b": "ü"}}, {"a": [1]}]


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_cells_of_json_are_kept_whatever_stands_beside_them(tmp_path: Path, name: str) -> None:
    rows = [
        {"self": 1234567890123456789, "n": 5, "b": True},
        {"n": None},
        {"self": 2, "n": 2.5, "b": "x"},
        {"self": None, "n": "many"},
        {"n": 5.0, "b": 1e22},
    ]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    chunks = TableDataset(filepath=str(source), load_args={"chunksize": 1}).load()
    save(tmp_path / name, *(replace_surrogates(c.drop(columns=MALFORMED)) for c in chunks))
    is_csv = name.endswith(".csv")
    found = pd.read_csv(tmp_path / name, dtype=str) if is_csv else pd.read_parquet(tmp_path / name)
    records = found.fillna("").to_dict("records")
    texts = [
        ["1234567890123456789", "5", "True"],
        ["", "", ""],
        ["2", "2.5", "x"],
        ["", "many", ""],
        ["", "5.0", "1e+22"],
    ]
    assert [list(row.values()) for row in records] == texts


def test_cells_of_parquet_are_kept_in_other_formats(tmp_path: Path) -> None:
    time = pd.Timestamp("2020-01-01 12:34:56.789123456")
    columns = {
        "list": pa.array([[*map(float, range(1500))], None]),
        "object": pa.array([{"a": [b"\xff"]}, None]),
        "bytes": pa.array([b"caf\xc3\xa9", None]),
        "day": pa.array([datetime.date(2020, 1, 1), None]),
        "time": pa.array([time, None], pa.timestamp("ns")),
        "second": pa.array([datetime.datetime(2020, 1, 1), None]),
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    frames = [
        frame.drop(columns=MALFORMED)
        for frame in TableDataset(filepath=str(tmp_path / "a.parquet")).load()
    ]
    save(tmp_path / "out.csv", *frames)
    row, empty = pd.read_csv(tmp_path / "out.csv", keep_default_na=False).to_dict("records")
    assert json.loads(row["list"]) == [*range(1500)]
    assert row["object"].startswith('{"a": [')
    assert row["bytes"] == "caf\xe9"
    assert row["time"] == "2020-01-01 12:34:56.789123456"
    assert set(empty.values()) == {""}
    save(tmp_path / "out.jsonl", *frames)
    row, empty = map(json.loads, (tmp_path / "out.jsonl").read_text("utf-8").splitlines())
    assert row == {
        "list": [*range(1500)],
        "object": {"a": ["\ufffd"]},
        "bytes": "caf\xe9",
        "day": "2020-01-01",
        "time": "2020-01-01T12:34:56.789123456",
        "second": "2020-01-01T00:00:00",
    }
    assert set(empty.values()) == {None}


def test_cells_of_any_type_are_json(tmp_path: Path) -> None:
    uuid = UUID("12345678-1234-5678-1234-567812345678")
    cells = [
        *(uuid, Decimal("12345678901234567890.10"), Decimal("Infinity"), datetime.time(1, 2)),
        *(datetime.timedelta(1), np.datetime64("2020-01-01", "ns"), np.array([1.5, np.inf])),
        *(np.longdouble(0.5), np.timedelta64(1, "D"), np.array(7)),
        *(pd.NaT, pd.NA, (1, float("nan")), "a/é"),
    ]
    frame = pd.DataFrame(
        {
            "any": pd.Series(cells, dtype=object),
            "small": 1.23456789e-12,
            "short": np.float32(0.1),
            "large": 2**62 + 1,
            "wait": pd.Timedelta("1 days"),
        }
    )
    save(tmp_path / "out.jsonl", frame[:0], frame)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    texts = [
        *(str(uuid), "12345678901234567890.10", "Infinity", "01:02:00"),
        *("P1DT0H0M0S", "2020-01-01T00:00:00", [1.5, None], 0.5, "P1DT0H0M0S", [7]),
        *(None, None, [1, None], "a/é"),
    ]
    assert [row.pop("any") for row in rows] == texts
    others = {"small": 1.23456789e-12, "short": 0.1, "large": 2**62 + 1, "wait": "P1DT0H0M0S"}
    assert rows == [others] * len(cells)


@pytest.mark.parametrize("name", ["a.parquet.zst", "a.parquet.gz"])
def test_a_compressed_parquet_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "n": [1, 2]})
    save(tmp_path / name, frame)
    (rows,) = TableDataset(filepath=str(tmp_path / name)).load()
    assert rows["text"].tolist() == ["a", "b"]


def test_a_compressed_parquet_is_decompressed_once() -> None:
    class Forwards(io.BytesIO):
        def seek(self, *_: int) -> int:
            raise AssertionError("it is decompressed from its beginning again")

    content = io.BytesIO()
    parquet.write_table(pa.table({"text": ["a", "b"]}), content)
    file = FileToRead("a.parquet.gz", lambda: Forwards(content.getvalue()))
    (rows,) = read_table(file, {})
    assert rows["text"].tolist() == ["a", "b"]


def test_views_of_arrow_are_read(tmp_path: Path) -> None:
    columns = {
        "text": pa.array(["a", None], pa.string_view()),
        "bytes": pa.array([b"b", None], pa.binary_view()),
        "list": pa.array([[1], None], pa.list_view(pa.int64())),
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    (rows,) = TableDataset(filepath=str(tmp_path / "a.parquet")).load()
    assert rows[:1]["text"].tolist() == ["a"]
    save(tmp_path / "out.csv", rows.drop(columns=MALFORMED))
    assert (tmp_path / "out.csv").read_text() == '"text","bytes","list"\n"a","b","[1]"\n"","",""\n'


def test_a_column_without_types_at_first_is_text_in_parquet(tmp_path: Path) -> None:
    frames = [pd.DataFrame({"a": [None]}), pd.DataFrame({"a": ["x"]})]
    save(tmp_path / "out.parquet", *(frame.astype(object) for frame in frames))
    assert pd.read_parquet(tmp_path / "out.parquet")["a"].fillna("").tolist() == ["", "x"]


@pytest.mark.parametrize("later", [1.5, 2**70, "A1"])
def test_types_that_change_fit_no_parquet(tmp_path: Path, later: Any) -> None:
    frames = [pd.DataFrame({"a": rows}, [*range(1, 1 + len(rows))]) for rows in ([1], [])]
    frames.append(pd.DataFrame({"a": [later]}, [2]))
    frames = [frame.convert_dtypes() for frame in frames]
    with pytest.raises(DatasetError, match=r"rows from 2 on.*column a .* ends with \.jsonl"):
        save(tmp_path / "out.parquet", *frames)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_no_later_field_is_lost(tmp_path: Path, name: str) -> None:
    frames = [pd.DataFrame({"a": ["1"]}, index=[1]), pd.DataFrame({"a": ["2"], "b": ["3"]}, [2])]
    with pytest.raises(Exception, match=r"no column for 'b'.*row 2 .*ends with \.jsonl"):
        save(tmp_path / name, *frames)
    assert list(tmp_path.iterdir()) == []
    save(tmp_path / "out.jsonl", *frames)
    assert (tmp_path / "out.jsonl").read_text() == '{"a":"1"}\n{"a":"2","b":"3"}\n'


def test_versions_are_kept_apart(tmp_path: Path) -> None:
    def make(version: str) -> TableDataset:
        return TableDataset(filepath=str(tmp_path / "a.csv"), version=Version(version, version))

    for version in ("1", "2"):
        make(version).save([pd.DataFrame({"a": [version]})])
    assert [next(iter(make(version).load()))["a"].tolist() for version in "12"] == [["1"], ["2"]]


def test_missing_file_is_named(path: Path) -> None:
    with pytest.raises(Exception, match=r"reviews\.csv does not exist") as caught:
        TableDataset(filepath=str(path)).load()
    assert find_input_error(caught.value) is not None


def test_an_encoding_that_yaml_reads_as_a_number_is_understood(path: Path) -> None:
    encoding: Any = 1252
    (rows,) = read(path, "review,sentiment\ncafé,positive\n".encode("cp1252"), encoding=encoding)
    assert rows.loc[1, "review"] == "café"


def test_an_unknown_encoding_is_named(path: Path) -> None:
    with pytest.raises(Exception, match="unknown encoding: utf-99"):
        read(path, b"review,sentiment\na,b\n", encoding="utf-99")


def test_an_empty_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="does not exist"):
        TableDataset(filepath=str(tmp_path)).load()


def test_empty_columns_of_spreadsheets_are_told_apart(path: Path) -> None:
    (rows,) = read(path, b"review,sentiment,,\na,b,,\n")
    assert rows.columns.tolist()[:4] == ["review", "sentiment", "unnamed_2", "unnamed_3"]


def test_saves_a_stream_as_one_csv(path: Path) -> None:
    dataset = TableDataset(filepath=str(path))
    frames = [pd.DataFrame({"a": [1, 2], "b": ["x", 'y"z']}), pd.DataFrame({"a": [3], "b": ["\r"]})]
    dataset.save(iter(frames))
    pd.testing.assert_frame_equal(
        pd.read_csv(path, dtype={"b": str}), pd.concat(frames, ignore_index=True)
    )


def test_a_stream_that_fails_leaves_the_old_file(path: Path) -> None:
    path.write_text("old")

    def frames() -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"a": [1]})
        raise RuntimeError("half-way")

    with pytest.raises(Exception, match="half-way"):
        TableDataset(filepath=str(path)).save(frames())
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_place_for_no_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "file.csv").touch()
    rows = [pd.DataFrame({"review": ["a"], MALFORMED: [""]})]
    with pytest.raises(DatasetError, match="is a folder: add the name of a file"):
        TableDataset(filepath=str(tmp_path)).save(rows)
    with pytest.raises(DatasetError, match=r"file\.csv is a file, so .*out\.csv can't be in it"):
        TableDataset(filepath=str(tmp_path / "file.csv" / "new" / "out.csv")).save(rows)
    assert [path.name for path in tmp_path.iterdir()] == ["file.csv"]


def test_preview_shows_the_first_rows(path: Path) -> None:
    path.write_bytes(b"review,sentiment\n" + b"good,positive\n" * 50)
    preview = TableDataset(filepath=str(path)).preview(nrows=3)
    assert preview["columns"] == ["review", "sentiment"]
    assert len(preview["data"]) == 3


def test_without_a_file_the_stream_is_empty() -> None:
    dataset = TableDataset(filepath=None)
    assert dataset.exists()
    assert list(dataset.load()) == []
    assert dataset.preview()["data"] == []
