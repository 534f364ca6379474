import pytest

from imdb_sentiment.text.scripts import count_letters, measure_scripts


@pytest.mark.parametrize(
    ("texts", "shares"),
    [
        (["Plain, 100% ASCII!", "more"], {"Latin": 1}),
        (["été", "abc"], {"Latin": 1}),
        (["好 abc", "ab"], {"Latin": 0.8333, "Han": 0.1667}),
        (["ひどいカ映ー"], {"Hiragana": 0.6, "Katakana": 0.2, "Han": 0.2}),
        (["ＧＯＯＤ"], {"Latin": 1}),
        (["\ufe70abc"], {"Latin": 0.75, "Arabic": 0.25}),  # a form that begins with a space
        (["שלום", "طفلhh"], {"Hebrew": 0.4444, "Arabic": 0.3333, "Latin": 0.2222}),
        (["हिन्दी", "ไทย", "한국어"], {"Devanagari": 0.3333, "Thai": 0.3333, "Hangul": 0.3333}),
        (["a" * 5000 + "ж"], {"Latin": 0.9998}),
        (["123 👍 …", ""], {}),
    ],
)
def test_shares_of_letters(texts: list[str], shares: dict[str, float]) -> None:
    assert measure_scripts(count_letters(texts)) == shares
