from collections.abc import Iterable, Sequence
from unittest.mock import Mock

import pandas as pd
import pytest

from helpers import make_reviews
from imdb_sentiment.text.columns import (
    LABEL_NAMES,
    MAX_LABELS,
    MAX_UNNAMED,
    TEXT_NAMES,
    ColumnMatch,
    are_measurements,
    find_label_column,
    find_names_of_labels,
    find_text_column,
    list_other_texts,
)
from imdb_sentiment.text.labels import normalise_label

TEXTS = [text for text, _ in make_reviews(60)]
CHINESE = [f"这部电影真的很好看我很喜欢{n}" for n in range(60)]
LABELS = ["no", "yes"] * 30
SCORES = [str(n / 7) for n in range(60)]
TIMES = [f"2024-01-{n % 28 + 1:02} {n % 24:02}:{n:02}:00" for n in range(60)]
DAYS = [f"{n % 28 + 1}. M\u00e4rz {1950 + n}, 10 Uhr" for n in range(60)]
REPEATED = [*TEXTS[:40], *TEXTS[:20]]
NAMES = [f"Anna {chr(65 + n % 26)}. Becker-{'abcdefgh'[n // 8]}" for n in range(60)]
ADDRESSES = [f"Main Street {n}, {10000 + n} Newton on the Hill" for n in range(60)]
SHOPS = [*ADDRESSES[:40], *ADDRESSES[:20]]
PRODUCTS = [f"Coffee machine with a grinder and a jug, number {n % 25}" for n in range(60)]


def find(**columns: Sequence[object]) -> tuple[str | None, str | None]:
    rows = pd.DataFrame({name: list(cells)[:60] for name, cells in columns.items()})
    text = find_text_column(rows).column
    return text, find_label_column(rows, [text] if text else []).column


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        # By their names, the project's own first.
        (
            {"review": TEXTS, "sentiment": LABELS, "text": TEXTS, "label": LABELS},
            "review sentiment",
        ),
        ({"Text": TEXTS, "Label": LABELS}, "Text Label"),
        ({"Review Text": TEXTS, "Star-Rating": LABELS}, "Review Text Star-Rating"),
        ({"text": LABELS, "label": LABELS}, "text label"),  # short texts, but nothing else is one
        ({"title": TEXTS, "body": TEXTS, "class": LABELS, "spam": LABELS}, "body class"),
        (
            {"Review": TEXTS, "review": TEXTS, "Sentiment": LABELS, "sentiment": LABELS},
            "review sentiment",
        ),
        # By their content.
        ({"a": range(60), "b": TEXTS, "c": LABELS, "d": SCORES}, "b c"),
        ({"Kommentar": CHINESE, "Note": [1, 2, 3, 4, 5] * 12}, "Kommentar Note"),
        ({"x": [f"{t} {' '.join(TEXTS[:9])}" for t in TEXTS], "y": TEXTS, "z": LABELS}, "x z"),
        ({"url": [f"example.org/{n:020}" for n in range(60)], "x": TEXTS, "z": LABELS}, "x z"),
        ({"x": TEXTS, "z": [1.0, None, 0.0] * 20, "split": ["train", "test"] * 30}, "x None"),
        ({"x": TEXTS, "z": [1.0, 2.0] * 30, "split": ["train", "test"] * 30}, "x z"),
        ({"x": TEXTS, "airline_sentiment": LABELS, "gold": LABELS}, "x airline_sentiment"),
        ({"x": TEXTS, "score": range(60)}, "x score"),  # as nothing else is one
        ({"x": TEXTS, "sentiment": ["neg"] * 60, "block": LABELS}, "x sentiment"),  # sorted
        ({"x": TEXTS, "rating": LABELS, "category": SCORES}, "x rating"),
        ({"x": REPEATED, "z": LABELS}, "x z"),  # as there is no other
        ({"time": TIMES, "day": DAYS, "x": REPEATED, "z": LABELS}, "x z"),  # dates are no texts
        ({"name": NAMES, "age": range(60), "z": LABELS}, "name z"),  # as there is no other
        (
            {"log": [f'[{t}] "GET /{t} HTTP" 200 23' for t in TIMES], "a": TIMES, "z": LABELS},
            "log z",
        ),
        (
            {
                "x": [
                    f"so \U0001f525\U0001f525 {n} \U0001f525\U0001f525\U0001f525" for n in range(60)
                ],
                "z": LABELS,
            },
            "x z",
        ),
        ({"text": TEXTS, "comment": REPEATED, "z": LABELS}, "text z"),
        ({"premise": [f"{t} {t}" for t in TEXTS[:30]] * 2, "x": TEXTS, "z": LABELS}, "x z"),
        ({"x": [f"{t[:6]} {t[6:]}" for t in CHINESE], "b": PRODUCTS, "z": LABELS}, "x z"),
        ({"x": [f"{text} " * 5 for text in TEXTS], "y": REPEATED, "z": LABELS}, "x z"),
        ({"product": PRODUCTS, "x": [f"{t} {t}" for t in TEXTS], "z": LABELS}, "x z"),
        ({"shop": SHOPS, "x": [f"{text} " * 5 for text in TEXTS], "z": LABELS}, "x z"),
        ({"x": NAMES, "z": LABELS}, "x z"),
        # A name with a content that does not fit is no sign beside one that does.
        ({"review": range(60), "text": TEXTS, "z": LABELS}, "text z"),
        ({"review": [""] * 60, "text": TEXTS, "z": LABELS}, "text z"),
        ({"x": TEXTS, "sentiment": [None] * 60, "label": LABELS}, "x label"),
        # In doubt.
        ({"x": TEXTS, "y": TEXTS, "z": LABELS}, "None z"),
        ({"time": TIMES, "z": LABELS}, "None z"),
        (
            {"time": [f"{n % 28 + 1} May {1950 + n} 10:00 PST" for n in range(60)], "z": LABELS},
            "None z",
        ),
        ({"name": NAMES, "x": REPEATED, "z": LABELS}, "None z"),
        ({"name": NAMES, "comment": REPEATED, "z": LABELS}, "None z"),
        ({"address": ADDRESSES, "x": REPEATED, "z": LABELS}, "None z"),
        ({"address": ADDRESSES, "x": [f"{text} {text}" for text in REPEATED]}, "None None"),
        ({"day": [f"{n % 28 + 1} September {1950 + n}" for n in range(60)], "z": LABELS}, "None z"),
        ({"text": TEXTS, "comment": TEXTS, "z": LABELS}, "None z"),
        ({"text": TEXTS, "y": LABELS, "z": LABELS}, "text None"),
        ({"message": SCORES, "y": TEXTS, "z": LABELS}, "None z"),  # named, but no texts
        ({"text": TEXTS, "category": range(60), "z": LABELS}, "text None"),
        ({"x": SCORES, "y": range(60)}, "None None"),
        ({"x": TEXTS, "Country": LABELS, "Score": SCORES}, "x None"),
        ({"x": TEXTS, "category": LABELS, "score": SCORES}, "x None"),
        ({"x": TEXTS, "category": LABELS, "rating": ["1"] * 60}, "x None"),
        ({"x": TEXTS, "country": LABELS, "opinion": ["bad"] * 60}, "x None"),
        ({"x": TEXTS, "country": LABELS, "meinung": ["bad"] * 59 + ["good"]}, "x None"),
        ({"x": TEXTS, "verified": ["True", "false"] * 30}, "x None"),
        ({"x": TEXTS, "z": [1.0, 0.0] * 30}, "x None"),
        ({"x": TEXTS, "sentiment": SCORES, "z": LABELS}, "x None"),
        ({"x": TEXTS, "sentiment": [""] * 60, "z": LABELS}, "x None"),
        ({"review": range(60), "b": TEXTS, "z": LABELS}, "None z"),
        ({"review": [{"text": text} for text in TEXTS], "b": TEXTS, "z": LABELS}, "None z"),
        ({"review": [{"text": text} for text in TEXTS], "text": TEXTS, "z": LABELS}, "text z"),
        ({"x": TEXTS, "label": [["a"], ["b"]] * 30, "z": LABELS}, "x None"),
        ({"x": [[text] for text in TEXTS]}, "None None"),
    ],
)
def test_columns_are_found_where_there_is_no_doubt(
    columns: dict[str, Sequence[object]], expected: str
) -> None:
    assert " ".join(map(str, find(**columns))) == expected


def test_each_distinct_value_is_normalised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table may have hundreds of columns of answers."""
    normalise = Mock(side_effect=normalise_label)
    monkeypatch.setattr("imdb_sentiment.text.columns.normalise_label", normalise)
    find_label_column(pd.DataFrame({"answer": ["No", "no ", "yes", ""] * 60}))
    assert normalise.call_count == 4


def test_a_whole_table_is_not_sorted_by_a_constant() -> None:
    rows = pd.DataFrame({"language": ["en"] * 60, "z": LABELS})
    assert find_label_column(rows).candidates == ("z", "language")
    assert find_label_column(rows, is_whole=True).column == "z"


def test_candidates_are_told_the_likeliest_first() -> None:
    longer = [f"{text} {text}" for text in TEXTS]
    rows = pd.DataFrame({"n": range(60), "title": TEXTS, "a": longer, "text": TEXTS, "body": TEXTS})
    assert find_text_column(rows).candidates == ("text", "body", "a", "title")
    assert find_text_column(rows[["n"]]).candidates == ()
    named = pd.DataFrame({"name": NAMES, "answer": REPEATED, "time": TIMES})
    assert find_text_column(named).candidates == ("answer", "name")
    numbers = pd.DataFrame({"feedback": [0, 1] * 30, "variation": LABELS, "answer": REPEATED})
    assert find_text_column(numbers).candidates == ("answer", "feedback")  # a number is no text
    short = pd.DataFrame({"comment": ["Great!", "Bad", "ok"] * 20, "product": PRODUCTS})
    assert find_text_column(short).column == "comment"
    half = pd.DataFrame({"x": REPEATED[:20] * 3, "y": REPEATED})
    assert find_text_column(half).candidates == ("y",)


def test_the_own_names_come_first() -> None:
    assert (TEXT_NAMES[0], LABEL_NAMES[0]) == ("review", "sentiment")


def test_many_labels_need_a_name() -> None:
    for n in (MAX_UNNAMED, MAX_UNNAMED + 1, MAX_LABELS, MAX_LABELS + 1):
        columns = {"text": TEXTS[:1] * 3 * n, "z": [f"value {k % n}" for k in range(3 * n)]}
        rows = pd.DataFrame(columns)
        unnamed = find_label_column(rows, ["text"]).column
        assert unnamed == ("z" if n <= MAX_UNNAMED else None)
        # A well-known name beside another column that fits.
        named = rows.assign(topic=rows["z"], z=["a", "b", "c"] * n)
        assert find_label_column(named, ["text"]).column == ("topic" if n <= MAX_LABELS else None)


def test_a_column_is_in_doubt_beside_one_of_many_or_partial_labels() -> None:
    numbers = [n % 25 for n in range(100)]
    words = [f"class {n}" for n in numbers]
    few = ["de", "en", "fr", "it"] * 25
    rare = ["yes", "no"] * 3 + [""] * 94

    def find_label(**columns: Sequence[object]) -> ColumnMatch:
        return find_label_column(pd.DataFrame(columns))

    assert find_label(a=words, b=few).candidates == ("b", "a")
    assert find_label(a=["", *["yes", "no"] * 2] * 20, b=few).candidates == ("b", "a")
    assert find_label(a=rare, b=few).candidates == ("b", "a")
    years, grades = [2020 + n % 3 for n in range(100)], ["low", "high"] * 50
    assert find_label(a=few, b=years, c=grades).candidates == ("c", "a", "b")
    assert find_label(my_rating=numbers, b=few).candidates == ("my_rating", "b")
    # Numbers such as upvotes may be no labels at all.
    assert find_label(score=[n % 11 for n in range(100)], b=words).column == "score"
    assert find_label(score=[n % 12 for n in range(100)], b=words).candidates == ("score", "b")
    upvotes = [n % 30 for n in range(100)]
    assert find_label(score=upvotes, b=words).candidates == ("score", "b")
    assert find_label(score=upvotes, b=["", *["yes", "no"] * 2] * 20).candidates == ("score", "b")
    assert find_label(score=upvotes).column == "score"
    # Letters may be flags, and lists may have the labels.
    assert find_label(a=["t", "f"] * 50).candidates == ("a",)
    assert find_label(a=["t", "f"] * 50).column is None
    lists = [[kind] for kind in ("bill", "other") * 50]
    assert find_label(tags=lists, a=few).candidates == ("a",)
    assert find_label(tags=lists, a=few).column is None
    assert find_label(tags=[[n] for n in range(100)], a=few).column == "a"
    # There is no doubt beside numbers such as ages, dates, a few stray values or many rare ones.
    assert find_label(a=numbers, b=few).column == "b"
    assert find_label(a=[f"{n + 1}. 5. 2024" for n in numbers], b=few).column == "b"
    assert find_label(a=[*rare[:4], *[""] * 96], b=few).column == "b"
    assert find_label(a=range(100), b=few).column == "b"
    # A typical name decides if there is no other sign, or if the values are words or codes.
    assert find_label(my_rating=numbers).column == "my_rating"
    assert find_label(my_rating=numbers, verified=[True, False] * 50).column == "my_rating"
    assert find_label(label=numbers, b=few).column == "label"
    assert find_label(category=words, b=few).column == "category"


def test_numbers_may_have_names_in_another_column() -> None:
    columns = {
        "text": [f"text {n}" for n in range(60)],
        "id": range(60),
        "label": [n % 3 for n in range(60)],
        "more": ["a", "b"] * 30,
        "label_text": ["Bad", "so-so", "good"] * 20,
    }
    rows = pd.DataFrame(columns)
    assert find_names_of_labels(rows, "label") == "label_text"
    assert find_names_of_labels(rows, "label_text") is None  # they are names themselves
    assert find_names_of_labels(rows.drop(columns="label_text"), "label") is None
    assert find_names_of_labels(rows, "label", ["label_text"]) is None
    assert find_names_of_labels(rows.assign(label=0, more="en"), "label") is None
    for changed in ("Bad", ""):  # a second name, or none
        other = rows.assign(label_text=rows["label_text"].where(rows["id"] != 4, changed))
        assert find_names_of_labels(other, "label") is None
    unnamed = rows.assign(label_text=["Bad", "", "good"] * 20)
    assert find_names_of_labels(unnamed, "label") is None
    for flags in (["train", "test"] * 30, [True, False] * 30, [7, 8] * 30):
        other = pd.DataFrame({"label": [0, 1] * 30, "other": flags})
        assert find_names_of_labels(other, "label") is None


def test_texts_may_be_short_where_letters_are_words() -> None:
    comments = [f"{a}{b}很好看" for a in "我你他" for b in map(chr, range(0x4E00, 0x4E14))]
    names = [f"张{chr(0x4E00 + n)}明" for n in range(60)]
    labels = [n % 2 for n in range(60)]
    assert find(x=comments, name=names, label=labels) == ("x", "label")
    assert find(name=names, label=labels)[0] is None
    shops = [f"北京{chr(0x4E00 + n)}科技" for n in range(60)]
    assert find(x=CHINESE, shop=shops, label=labels) == ("x", "label")  # which are longer
    columns: dict[str, Sequence[object]] = {"评论": comments, "标签": labels}
    assert find(**columns) == ("评论", "标签")


@pytest.mark.parametrize(
    "days",
    [
        [f"{n % 6 + 1:02}.03.2024" for n in range(60)],
        [f"2024-01-0{n % 6 + 1}" for n in range(60)],
        [f"{n % 6 + 1} mars 2024" for n in range(60)],
        [f"0{n % 6 + 1}/01/24" for n in range(60)],
        [f"0{n % 6 + 1}-Mar-24" for n in range(60)],
        [f"2024年3月{n % 6 + 1}日" for n in range(60)],
        ["2024_03_01"] * 60,
    ],
    ids=lambda days: days[0],
)
def test_days_are_no_labels(days: list[str]) -> None:
    assert find(Datum=days, Kommentar=TEXTS) == ("Kommentar", None)
    assert find(Datum=days, Kommentar=TEXTS, Note=LABELS) == ("Kommentar", "Note")
    assert find(label=days, text=TEXTS) == ("text", "label")  # its name decides


@pytest.mark.parametrize(
    "values",
    [
        ["4.5", "3.5", "2024"],
        ["7/10", "8/10"],
        ["3.5/10", "4.5/10"],
        ["4 von 10", "8 von 10"],
        ["level 1", "x 2"],
        ["1.5.2", "2.0.1"],
    ],
)
def test_other_numbers_are_labels(values: list[str]) -> None:
    assert find(a=[values[n % len(values)] for n in range(60)], b=TEXTS) == ("b", "a")


def test_columns_that_may_have_labels_are_told_the_likeliest_first() -> None:
    rows = pd.DataFrame(
        {
            "app": [f"app {n % 19}" for n in range(60)],
            "customer": [f"customer {n % 3}" for n in range(60)],
            "average_score": [f"{n % 5}" for n in range(60)],
        }
    )
    assert find_label_column(rows).candidates[0] == "average_score"
    constant = pd.DataFrame({"verdict": LABELS, "target_lang": ["en"] * 60})
    assert find_label_column(constant).candidates == ("verdict", "target_lang")


def test_further_columns_of_texts_are_listed() -> None:
    titles = [" ".join(text.split()[:4]) for text in TEXTS]
    rows = pd.DataFrame(
        {"id": range(60), "title": titles, "name": NAMES, "time": TIMES, "text": TEXTS, "y": LABELS}
    )
    assert list_other_texts(rows, ["text", "y"]) == ["title"]


@pytest.mark.parametrize(
    ("column", "labels", "expected"),
    [
        ("score", [str(n / 10) for n in range(20, 60)], True),
        ("score", [f"{n // 10},{n % 10}" for n in range(20, 60)], True),
        ("score", range(101), True),
        ("my_rating", range(101), True),
        ("label", [*range(77), "9" * 30], False),  # codes
        ("score", range(11), False),
        ("rating", [n / 2 for n in range(21)], False),  # half stars
        ("class", [f"{n // 6}.{n % 6}" for n in range(30)], False),  # sections
        ("polarity", [n / 50 for n in range(30)], True),
        ("y", [f"{n}.5 stars" for n in range(30)], False),
    ],
)
def test_many_numbers_may_be_measurements(
    column: str, labels: Iterable[object], expected: bool
) -> None:
    assert are_measurements(column, map(str, labels)) == expected
