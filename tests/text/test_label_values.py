import itertools
import random

import pytest

from imdb_sentiment.text.label_values import ORDERS, find_combination, find_labels, order_labels


@pytest.mark.parametrize("order", ORDERS)
def test_known_scales_are_in_their_order(order: tuple[str, ...]) -> None:
    rng = random.Random(0)
    for size in range(2, len(order) + 1):
        for chosen in itertools.combinations(order, size):
            shuffled = [label.title() for label in rng.sample(chosen, size)]
            assert order_labels(shuffled) == ([label.title() for label in chosen], True)


@pytest.mark.parametrize(
    ("labels", "ordered", "is_known"),
    [
        (["10", "9", "-1"], ["-1", "9", "10"], True),
        (["2.5", "1", "2"], ["1", "2", "2.5"], True),
        (["5 stars", "10 Stars", "1 star"], ["1 star", "5 stars", "10 Stars"], True),
        (["10,0", "2,5", "1,5"], ["1,5", "2,5", "10,0"], True),
        (["10/10", "2 / 10", "4.5/10"], ["2 / 10", "4.5/10", "10/10"], True),
        (["10/10", "2/5", "3"], ["10/10", "2/5", "3"], False),
        (["10 von 10", "2 von 10", "3 von 10"], ["2 von 10", "3 von 10", "10 von 10"], True),
        (["4 Sterne", "1 Stern", "5 Sterne"], ["1 Stern", "4 Sterne", "5 Sterne"], True),
        (["1 star", "2", "10 stars", "9"], ["1 star", "2", "9", "10 stars"], True),
        (["★★★", "★☆☆", "★★☆"], ["★☆☆", "★★☆", "★★★"], True),
        (["⭐⭐⭐️", "⭐"], ["⭐", "⭐⭐⭐️"], True),
        (["500", "1,000"], ["1,000", "500"], False),  # a thousand, or one
        (["500 Euro", "1.000 Euro"], ["1.000 Euro", "500 Euro"], False),
        (["1.125", "0.5"], ["0.5", "1.125"], True),
        (["18-24", "25-34", "9-17"], ["18-24", "25-34", "9-17"], False),
        (["1 year", "3 months"], ["1 year", "3 months"], False),
        (["2 / 10", "1/100"], ["1/100", "2 / 10"], False),
        (["True", "False"], ["False", "True"], True),
        (["pos", "neutral", "neg"], ["neg", "neutral", "pos"], True),
        (["POS", "neu", "Neg"], ["Neg", "neu", "POS"], True),
        (["very_pos", "neg", "very_negative"], ["very_negative", "neg", "very_pos"], True),
        (["Strongly-Agree", "agree", "Disagree"], ["Disagree", "agree", "Strongly-Agree"], True),
        (["good", "Okay", "bad"], ["bad", "Okay", "good"], True),
        (["👍", "👎"], ["👎", "👍"], True),
        (["positive", "positively"], ["positive", "positively"], False),
        (["inf", "2", "10"], ["10", "2", "inf"], False),  # no numbers
        (["1_0", "2"], ["1_0", "2"], False),
        (["world", "Sports", "business"], ["business", "Sports", "world"], False),
        (["schlecht", "gut"], ["gut", "schlecht"], False),
        (["positive", "negative", "unclear"], ["negative", "positive", "unclear"], False),
        (["positive", "pos", "very negative"], ["pos", "positive", "very negative"], False),
    ],
)
def test_other_labels_are_in_the_order_of_numbers_or_letters(
    labels: list[str], ordered: list[str], is_known: bool
) -> None:
    assert order_labels(labels) == (ordered, is_known)


def test_spellings_of_a_label_are_one() -> None:
    found = find_labels({"Good": 5, " good": 9, "GOOD": 1, "bad": 3, "": 7, "  ": 1, "goood": 2})
    assert found.counts == {"bad": 3, "good": 15}
    assert found.others == {"goood": 2}
    assert found.unlabelled == 8
    unseen = find_labels(
        {"\u202agood\u202c": 9, "good": 5, "\u200e": 9, "\u2764\ufe0f": 4, "\u2764": 3}
    )
    assert unseen.counts == {"good": 14, "\u2764\ufe0f": 7}
    assert find_labels({"a\u200bb": 5, "ab": 9, "a\ufeffb": 1, "c": 4}).counts == {"ab": 15, "c": 4}
    joined = find_labels({"\u0628\u06cc\u200c\u0637\u0631\u0641": 9, "b": 3})
    assert "\u0628\u06cc\u200c\u0637\u0631\u0641" in joined.counts
    numbers = find_labels({"1.0": 4, "1": 1, "2.0": 3, "2.5": 3, "2.50": 2, "10": 3})
    assert numbers.counts == {"1": 5, "2": 3, "2.5": 3, "10": 3}
    assert numbers.alike == [["2.5", "2.50"]]  # of one number, or of two sections
    codes = find_labels({"01": 4, "02": 3, "2": 1, "10": 5, "0.50": 3})
    assert codes.counts == {"0.5": 3, "01": 4, "02": 4, "10": 5}
    assert codes.alike == codes.scales == []


def test_what_may_be_no_label_is_told() -> None:
    for value in ("N/A", "#N/A", "<NA>", "\\N", "(blank)", "n.a.", "--"):
        assert find_labels({"yes": 3, value: 4, "no": 3}).placeholders == [value]


@pytest.mark.parametrize(
    ("labels", "scales"),
    [
        ("0 1 negative positive", [["0", "1"], ["negative", "positive"]]),
        ("1 2 3 Pos neg", [["1", "2"], ["neg", "Pos"]]),
        ("neg Negative Pos positive", [["Negative", "positive"], ["neg", "Pos"]]),
        ("negative neutral positive mixed bad", []),
        ("yes no 2", []),
        ("-1 0 1", []),
    ],
)
def test_scales_that_may_mean_the_same_are_told(labels: str, scales: list[list[str]]) -> None:
    assert find_labels(dict.fromkeys(labels.split(), 3)).scales == scales


@pytest.mark.parametrize(
    ("labels", "alike"),
    [
        ("neg negative positive", [["neg", "negative"]]),
        ("Y yes. Yes N No maybe", [["N", "No"], ["Y", "Yes", "yes."]]),
        ("neg. negative positive", [["neg.", "negative"]]),
        ("neg. neg positive", [["neg", "neg."]]),
        ("1.1 1.2 1.10", [["1.1", "1.10"]]),
        ("yes no 2 true", []),
        ("1 2", []),
    ],
)
def test_spellings_that_may_be_of_one_label_are_told(labels: str, alike: list[list[str]]) -> None:
    found = find_labels(dict.fromkeys(labels.split(), 3)).alike
    assert [sorted(group) for group in found] == alike


@pytest.mark.parametrize("order", ORDERS)
def test_one_scale_is_not_mixed(order: tuple[str, ...]) -> None:
    found = find_labels(dict.fromkeys(order, 3))
    assert found.scales == found.alike == []


def test_a_likely_label_is_none_misspelt() -> None:
    found = find_labels({"Zambia": 1000, "Gambia": 12, "Germany": 300, "Germny": 9})
    assert list(found.counts) == ["Gambia", "Germany", "Zambia"]
    assert found.others == {"Germny": 9}
    assert found.misspellings == {"Gambia": "Zambia", "Germny": "Germany"}


@pytest.mark.parametrize(
    ("label", "opposite"),
    [
        ("happy", "unhappy"),
        ("VerySatisfied", "VeryDissatisfied"),
        ("很满意", "很不满意"),  # Chinese
        ("매우만족", "매우불만족"),  # Korean
    ],
)
def test_a_word_with_a_negation_is_none_misspelt(label: str, opposite: str) -> None:
    found = find_labels({label: 600, opposite: 8, "other": 400})
    assert found.misspellings == {}
    assert found.counts.keys() >= {label, opposite}


def test_an_additional_letter_is_a_misspelling() -> None:
    for value in ("possitive", "positve", "psoitive", "positivee", "posive", "posititive"):
        assert find_labels({"positive": 600, value: 8, "negative": 500}).others == {value: 8}


@pytest.mark.parametrize(
    ("labels", "example"),
    [
        (["anger", "anger|fear", "anger|love", "fear", "fear|love"], "anger|fear"),
        (["['a', 'b']", "['a']", "['b', 'c']", "['a', 'c']"], "['a', 'b']"),
        (["anger", "fear", "love"], None),
        (["yes, of course", "no, thanks", "maybe"], None),
        (["yes, probably", "yes, surely", "no, surely", "no, probably"], None),
        (["1", "1,5", "2", "2,5", "3"], None),
        (["very good", "very good, cheap", "cheap"], "very good, cheap"),
        (["joy", "joy/fear", "fear"], "joy/fear"),
        (["bad", "bad,film", "good", "good,film"], "bad,film"),
        (["1", "2", "1,000", "2,000"], None),
        (["a very good one", "a bad one"], None),
    ],
)
def test_labels_that_combine_others_are_told(labels: list[str], example: str | None) -> None:
    assert find_combination(labels) == example
