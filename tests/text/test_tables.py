import datetime
from collections.abc import Iterable
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from imdb_sentiment.errors import InputError
from imdb_sentiment.text.tables import (
    CHUNK,
    MALFORMED,
    find_empty,
    list_columns,
    number_rows,
    to_strings,
)


def test_a_whole_table_comes_in_numbered_chunks() -> None:
    table = pd.DataFrame(
        {"text": [str(n) for n in range(CHUNK + 2)], 7: 0}, index=[0] * (CHUNK + 2)
    )
    chunks = list(number_rows(table))
    assert [len(chunk) for chunk in chunks] == [CHUNK, 2]
    assert [chunk.index.tolist()[:1] for chunk in chunks] == [[1], [CHUNK + 1]]
    assert chunks[1]["text"].to_dict() == {CHUNK + 1: str(CHUNK), CHUNK + 2: str(CHUNK + 1)}
    assert list_columns(chunks[0]) == ["text", "7"]
    assert (chunks[0][MALFORMED] == "").all()


def test_rows_of_an_iterator_are_counted_on() -> None:
    tables = (pd.DataFrame({"a": ["x"] * n}) for n in (2, 0, 3))
    assert [chunk.index.tolist() for chunk in number_rows(tables)] == [[1, 2], [], [3, 4, 5]]


def test_two_columns_of_one_name_are_refused() -> None:
    joined = pd.DataFrame([["a", "b"]], columns=["text", "text"])
    with pytest.raises(InputError, match=r"two columns have the same name: 'text'; rename one$"):
        list(number_rows(joined))


def test_numbered_rows_stay_as_they_are() -> None:
    chunk = pd.DataFrame({"a": ["", "x"], MALFORMED: ["3 fields", ""]}, index=[4, 9])
    (found,) = number_rows([chunk])
    pd.testing.assert_frame_equal(found, chunk)


def test_decimal_numbers_are_written_without_an_exponent() -> None:
    cells = [Decimal(number) for number in ("0E-18", "1.50", "1E+3", "-1E-7", "NaN")]
    assert to_strings(pd.Series(cells, dtype=object)) == [
        "0.000000000000000000",
        "1.50",
        "1000",
        "-0.0000001",
        "",
    ]


def test_wholly_empty_rows_are_found() -> None:
    columns = {
        "a": ["", " \t", None, "x", "", float("nan"), [], {"b": 1}],
        "b": [None, "", pd.NaT, "", 0, False, {}, None],
        MALFORMED: ["", "", "", "", "", "", "", ""],
    }
    table = pd.DataFrame(columns, dtype=object)
    assert np.flatnonzero(find_empty(table)).tolist() == [0, 1, 2, 6]
    table.loc[1, MALFORMED] = "3 fields"
    assert np.flatnonzero(find_empty(table)).tolist() == [0, 2, 6]
    assert find_empty(table[:0]).tolist() == []


def test_without_rows_there_are_still_columns() -> None:
    (found,) = number_rows(pd.DataFrame({"a": []}))
    assert found.columns.tolist() == ["a", MALFORMED]
    assert list(number_rows([])) == []


@pytest.mark.parametrize(
    ("cells", "dtype", "strings"),
    [
        (["a", None, ""], "str", ["a", "", ""]),
        ([1, 2], "int64", ["1", "2"]),
        ([1, None, 2.5], "float64", ["1", "", "2.5"]),
        ([1, None], "Int64", ["1", ""]),
        ([1.1, 5.0, None], "float32", ["1.1", "5", ""]),
        ([1.1, 5.0, None], "float[pyarrow]", ["1.1", "5", ""]),
        ([0.1, None], "Float32", ["0.1", ""]),
        (["neg\ud83d", "\ud83d\ude00 ü"], "object", ["neg ", "   ü"]),
        ([{"a": "ü\ud83d"}], "object", ['{"a": "ü "}']),
        ([True, False], "bool", ["True", "False"]),
        ([None, pd.NA, pd.NaT, float("nan")], "object", ["", "", "", ""]),
        ([np.array([1, 2])], "object", ["[1, 2]"]),
        ([{"ü": [1]}, ["x"], b"y"], "object", ['{"ü": [1]}', '["x"]', "y"]),
        ([10**400, float("inf")], "object", [str(10**400), "inf"]),
        ([datetime.datetime(2026, 1, 2)], "datetime64[ns]", ["2026-01-02 00:00:00"]),
    ],
)
def test_cells_become_strings(cells: Iterable[object], dtype: str, strings: list[str]) -> None:
    assert to_strings(pd.Series(list(cells), dtype=dtype)) == strings


def test_cells_of_parquet_become_strings() -> None:
    table = pd.DataFrame({"n": [1, None], "t": ["a", None], "l": [["x"], None]})
    table = table.convert_dtypes(dtype_backend="pyarrow")
    assert [to_strings(table[name]) for name in table] == [["1", ""], ["a", ""], ['["x"]', ""]]
