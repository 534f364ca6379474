"""Labels in the form in which they are compared."""

import pytest

from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.labels import clean_label, distinguish_label, find_codes, normalise_label


@pytest.mark.parametrize(
    ("label", "same"),
    [
        ("4.50", "4.5"),
        ("\uff12", "2"),
        ("\u22121", "-1"),
        ("5.000", "5"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1.", "1"),
        ("+1", "1"),
        (".5", "0.5"),
        ("-2.50", "-2.5"),
        ("100", "100"),
        ("1" * 40 + ".10", "1" * 40 + ".1"),
        (" Inf", "inf"),
        ("1_0", "1_0"),
        ("1E3", "1e3"),
        ("٣.0", "٣.0"),
        (".", "."),
        ("1.2.0", "1.2.0"),
    ],
)
def test_a_number_is_one_label_however_it_is_written(label: str, same: str) -> None:
    assert normalise_label(label) == same


def test_a_label_has_its_code_in_any_spelling() -> None:
    labels = ("1.1", "1.10", "2", "Good")
    names = ["1.1", "1.10", " 1.10", "1.100", "2.0", "GOOD", "bad", ""]
    assert find_codes(names, labels) == {
        "1.1": 0,
        "1.10": 1,
        " 1.10": 1,
        "1.100": 1,
        "2.0": 2,
        "GOOD": 3,
    }


def test_sections_are_not_numbers() -> None:
    labels = (
        "1.1",
        " 1.1",
        "+1.1",
        "1.10",
        "1.0",
        "1",
        ".5",
        "0.5",
        "\u22120.5",
        "-0.5",
        "A.1",
        "a.1",
    )
    forms = {distinguish_label(label) for label in labels}
    assert forms == {"1.1", "1.10", "1", "0.5", "-0.5", "a.1"}


def test_labels_that_look_the_same_are_one() -> None:
    for label in ("ne\u0301gatif", "N\u00c9gatif\u200b", "\ufeffn\u00e9gatif\x00\ud83d"):
        assert normalise_label(label) == "n\u00e9gatif"
    unseen = "\u00ad \u200c \u200d \u200e \u200f \u202a \u202c \u2060 \u2068 \ufe0f"
    for character in unseen.split():
        for label in (f"{character}Train", f"Tr{character}ain", f"Train {character}"):
            assert normalise_label(label) == "train"
        assert normalise_label(f"5{character}.0") == "5"
    assert normalise_label("\u0130yi") == normalise_label("iyi")
    england, scotland = (
        f"\U0001f3f4\U000e0067\U000e0062{end}" for end in ("\U000e0065", "\U000e0073")
    )
    assert normalise_label(england) != normalise_label(scotland)
    zero_width = {0x200B, 0xFEFF}  # in texts, they separate words
    for code in range(0x10000):
        label = f"a{chr(code)}b c"
        assert clean_label(label) == ("ab c" if code in zero_width else clean_text(label))
    marked = "e" + "\u0301" * 40_000  # whose normalisation would take seconds
    assert clean_label(marked) == clean_text(marked)
