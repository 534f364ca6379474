from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from imdb_sentiment.datasets import ChunkedCSVDataset
from imdb_sentiment.errors import InputError, find_input_error


def read(path: Path, content: bytes, **load_args: object) -> list[pd.DataFrame]:
    path.write_bytes(content)
    return list(ChunkedCSVDataset(filepath=str(path), load_args=load_args).load())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reviews.csv"


def test_rows_are_numbered_across_chunks(path: Path) -> None:
    chunks = read(path, b"review,sentiment\n" + b"good,positive\n" * 7, chunksize=3)
    assert [chunk.index.tolist() for chunk in chunks] == [[1, 2], [3, 4, 5], [6, 7]]
    assert all(chunk.columns.tolist() == ["review", "sentiment", "_malformed"] for chunk in chunks)


def test_iterates_more_than_once(path: Path) -> None:
    path.write_bytes(b"review,sentiment\na,positive\n")
    stream = ChunkedCSVDataset(filepath=str(path)).load()
    first, second = (pd.concat(stream) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


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
        (
            b"review,sentiment\na,b\ncaf\xe9,positive\n",
            {},
            r"not utf-8 text \(.* byte 0xe9 .*after row 0",
        ),
        (b"review,sentiment\na,b\n", {"encoding": "utf-16"}, "is not utf-16 text"),
        (b'review,sentiment\na,b\n"never,closed\n', {}, "opened in row 2 is never closed"),
        (b"review,review\na,b\n", {}, "two columns have the same name"),
        (b"review,_malformed\na,b\n", {}, "rename the column '_malformed'"),
    ],
)
def test_unreadable_files_are_explained(
    path: Path, content: bytes, load_args: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(path, content, **load_args)


def test_missing_file_is_named(path: Path) -> None:
    with pytest.raises(Exception, match=r"reviews\.csv does not exist") as caught:
        ChunkedCSVDataset(filepath=str(path)).load()
    assert find_input_error(caught.value) is not None


def test_an_unknown_encoding_is_named(path: Path) -> None:
    with pytest.raises(Exception, match="unknown encoding: utf-99"):
        read(path, b"review,sentiment\na,b\n", encoding="utf-99")


def test_a_folder_is_no_csv(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="does not exist"):
        ChunkedCSVDataset(filepath=str(tmp_path)).load()


def test_empty_columns_of_spreadsheets_are_told_apart(path: Path) -> None:
    (rows,) = read(path, b"review,sentiment,,\na,b,,\n")
    assert rows.columns.tolist()[:4] == ["review", "sentiment", "unnamed_2", "unnamed_3"]


def test_saves_a_stream_as_one_csv(path: Path) -> None:
    dataset = ChunkedCSVDataset(filepath=str(path))
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
        ChunkedCSVDataset(filepath=str(path)).save(frames())
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_preview_shows_the_first_rows(path: Path) -> None:
    path.write_bytes(b"review,sentiment\n" + b"good,positive\n" * 50)
    preview = ChunkedCSVDataset(filepath=str(path)).preview(nrows=3)
    assert preview["columns"] == ["review", "sentiment"]
    assert len(preview["data"]) == 3


def test_without_a_file_the_stream_is_empty() -> None:
    dataset = ChunkedCSVDataset(filepath=None)
    assert dataset.exists()
    assert list(dataset.load()) == []
    assert dataset.preview()["data"] == []
