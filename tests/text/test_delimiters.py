import csv

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdb_sentiment.text.delimiters import recognise_delimiter, recognise_dialect


@pytest.mark.parametrize(
    ("sample", "delimiter"),
    [
        ("review", ","),
        ("review\na; b\nc; d; e\n", ","),
        ("a;b\n1,5;2,5\n3,5;4\n", ";"),
        ("a,b\nx;y,z\nv;w,u\n", ","),
        ("id;text, long;label\n" + "a;b;c\n" * 9, ";"),
        ('"a;b",c\n"1;2",3\n', ","),
        ("", ","),
        ("a\tb\n1\t2\n", "\t"),
    ],
)
def test_the_comma_is_the_delimiter_unless_another_clearly_fits(
    sample: str, delimiter: str
) -> None:
    assert recognise_delimiter(sample) == delimiter


@given(
    st.lists(
        st.tuples(*[st.text(st.sampled_from('ab ;,|\t"\n'), max_size=9)] * 3),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from(",;|\t"),
)
def test_a_quoted_csv_is_read_back_with_any_delimiter(
    rows: list[tuple[str, ...]], delimiter: str
) -> None:
    frame = pd.DataFrame(rows, columns=["text", "label", "note"])
    content = frame.to_csv(index=False, sep=delimiter, quoting=1)
    assert recognise_delimiter(content) == delimiter


@pytest.mark.parametrize("line", ['sep=""', "sep=a", "sep= ", "sep=;;"])
def test_only_a_mark_can_be_told_as_the_delimiter(line: str) -> None:
    dialect = recognise_dialect(f"{line}\na;b\n1;2\n")
    assert not dialect.has_delimiter_line


@pytest.mark.parametrize(
    ("lines", "is_escaped"),
    [
        (['"She said \\"no, never\\", and left",negative'], True),
        (['"A gem",positive', '"\\"Dune\\", again",positive', '"A ""cut"", fine",negative'], True),
        (['"Saved in C:\\",positive', '"Fine, really",positive'], False),
        (['"Saved in C:\\",positive', '"\\"Dune\\", again",positive'], False),  # in doubt, as usual
        (['"\\"Dune\\" again",positive'], True),  # as many fields as the header either way
        (["a,b,c", '"a \\" b",positive'], False),
        (['"a \\"b\\", c",positive'] * 20 + ["so, so,negative"], True),  # a malformed record
    ],
)
@pytest.mark.parametrize("is_complete", [True, False])
def test_backslashes_escape_quotation_marks_if_only_then_all_fields_are_quoted(
    lines: list[str], is_escaped: bool, is_complete: bool
) -> None:
    rest = [] if is_complete else ['"cut, \\"']
    sample = "\n".join(["review,sentiment", *lines * 200, *rest])
    dialect = recognise_dialect(sample, is_complete=is_complete)
    assert dialect.delimiter == ","
    assert dialect.quoting == ({"escapechar": "\\"} if is_escaped else {})


def test_a_backslash_at_the_end_of_a_text_escapes_nothing_beside_a_malformed_row() -> None:
    rows = ["so,so,negative", *["fine,positive"] * 99, '"Saved, in C:\\",positive', "fine,positive"]
    sample = "\n".join(["review,sentiment", *rows, ""])
    assert recognise_dialect(sample, is_complete=False).quoting == {}


def test_escaped_quotation_marks_are_recognised_in_a_table_with_tabs() -> None:
    sample = "review\tsentiment\n" + '"a \\"b\\" c"\tpositive\n' * 20
    assert recognise_dialect(sample, is_tsv=True).quoting == {"escapechar": "\\"}
    literal = "review\tsentiment\n" + 'a "b" \\"c\tpositive\n' * 20
    assert recognise_dialect(literal, is_tsv=True).quoting == {"quoting": csv.QUOTE_NONE}


@pytest.mark.parametrize(
    ("lines", "is_spaced"),
    [
        (['"text", "label"', '"good", "pos"', '"bad", "neg"'], True),
        (["id, text, label", '7, "good, ok", "pos"', '8, "bad", "neg"'], True),
        (["id, text, label", '7, "good", "pos"', '8, "bad", "neg"'], True),
        (["text, label", "good, pos", "bad, neg"], False),
        (["text,label", '"good, ""ok""",pos', "bad,neg"], False),
        (["text,label", 'so, "so",pos', "fine,pos", "bad,neg"], False),  # a malformed record
        (["text,label", 'the, "thing" of it,pos'], False),
    ],
)
@pytest.mark.parametrize("is_complete", [True, False])
def test_spaces_before_quoted_fields_are_no_part_of_them(
    lines: list[str], is_spaced: bool, is_complete: bool
) -> None:
    header, *rows = lines
    sample = "\n".join([header, *rows * 50, *([] if is_complete else ['"cut, '])])
    quoting = recognise_dialect(sample, is_complete=is_complete).quoting
    assert quoting == ({"skipinitialspace": True} if is_spaced else {})


@pytest.mark.parametrize(
    "row", ['"He said ""wow"""\tpositive\n', 'a film\t"positive"\n', '"a film"\t"positive"\n']
)
def test_a_stray_mark_in_a_quoted_tsv_leaves_the_others_what_they_are(row: str) -> None:
    sample = "review\tsentiment\n" + 50 * row + '7" tv\tpositive\n' + "short\n"
    assert recognise_dialect(sample, is_tsv=True).quoting == {}
