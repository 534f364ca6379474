import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.word_numbers import (
    WordList,
    join_words,
    number_words,
    pack_numbers,
    pack_words,
    unpack_numbers,
)
from imdb_sentiment.text.words import get_rule

TEXTS = st.lists(st.text(st.sampled_from("ab ',.é’中👍ﷺ"), max_size=12).map(clean_text), max_size=6)


@given(TEXTS)
def test_numbers_stand_for_the_words_of_each_text(texts: list[str]) -> None:
    split = get_rule("auto").split
    numbers, lengths, words = number_words(join_words(split(text)) for text in texts)
    column = pack_numbers(numbers, lengths)
    assert len(set(words)) == len(words)
    for text, cell in zip(texts, column, strict=True):
        found, _ = unpack_numbers([cell])
        assert [words[number] for number in found] == split(text)
    again, again_lengths = unpack_numbers(column)
    assert again.tolist() == numbers.tolist()
    assert again_lengths.tolist() == lengths.tolist()


def test_words_are_numbered_in_the_order_of_their_first_occurrence() -> None:
    numbers, lengths, words = number_words(["b\na\nb", "", "c\na"])
    assert (numbers.tolist(), lengths.tolist()) == ([0, 1, 0, 2, 1], [3, 0, 2])
    assert words == ["b", "a", "c"]


@pytest.mark.parametrize("n_characters", [1, 4, 100])
def test_batches_of_texts_share_the_numbers_of_words(
    n_characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.text.word_numbers.CHARACTERS_AT_A_TIME", n_characters)
    numbers, lengths, words = number_words(["b\na", "", "c", "a\nd\nb"])
    assert numbers.tolist() == [0, 1, 2, 1, 3, 0]
    assert lengths.tolist() == [2, 0, 1, 3]
    assert words == ["b", "a", "c", "d"]


def test_words_keep_their_numbers() -> None:
    words = WordList()
    assert words.number(pack_words(["b", "a"])).tolist() == [0, 1]
    assert words.number(pack_words(["c", "a", "d", "b"])).tolist() == [2, 1, 3, 0]
    assert words.number(pack_words([])).tolist() == []
    assert words.find(pack_words(["d", "e", "a"])).tolist() == [3, -1, 1]
    assert list(words) == ["b", "a", "c", "d"]


@given(st.lists(st.lists(st.text(st.sampled_from("abé中👍ﷺ"), max_size=3).map(clean_text))))
def test_words_are_numbered_as_in_a_dictionary(texts: list[list[str]]) -> None:
    words = WordList()
    expected: dict[str, int] = {}
    for some in texts:
        _, _, part = number_words(map(join_words, map(get_rule("auto").split, some)))
        numbers = [expected.setdefault(word, len(expected)) for word in part]
        assert words.number(pack_words(part)).tolist() == numbers
    assert list(words) == list(expected)
