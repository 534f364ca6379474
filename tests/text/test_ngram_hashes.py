import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.ngrams import (
    hash_ngrams,
    hash_parts,
    locate_characters,
    locate_tokens,
    sort_hashes,
    split_tokens,
)
from imdb_sentiment.text.words import get_rule

PIECES = ["good", "Good", "GOOD", "bad", "!", "…", "isn't", "l\u2019été", "10", "_so_", "😀"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join)


def hash_alone(ngram: tuple[str, ...]) -> int:
    """Return the hash of an n-gram: the one that a text of only these tokens has for its length."""
    text = " ".join(ngram)
    shorter = hash_ngrams(text, len(ngram) - 1).tolist() if len(ngram) > 1 else []
    (whole,) = set(hash_ngrams(text, len(ngram)).tolist()) - set(shorter)
    return int(whole)


@given(TEXTS, st.integers(1, 4))
def test_each_ngram_of_a_text_is_hashed_once(text: str, max_ngram: int) -> None:
    tokens = [token.lower() for token in text.split()]
    expected = {
        tuple(tokens[start : start + n])
        for n in range(1, max_ngram + 1)
        for start in range(len(tokens) - n + 1)
    }
    found = hash_ngrams(text, max_ngram)
    assert found.dtype == np.int64
    assert found.tolist() == sorted(map(hash_alone, expected))
    assert len(set(found.tolist())) == len(expected)


@given(TEXTS, st.integers(2, 5))
def test_each_ngram_of_characters_within_a_word_is_hashed_once(text: str, length: int) -> None:
    words = [f" {token.decode()} " for token in split_tokens(text)]
    expected = {
        word[start : start + length]
        for word in words
        for start in range(len(word) - length + 1)
        if len(word) > length
    }
    found = hash_ngrams(text, 3, character_ngram=length)
    of_characters = locate_characters(found)
    assert found.dtype == np.int64
    assert found[of_characters].tolist() == sorted(map(hash_characters, expected))
    assert np.delete(found, of_characters).tolist() == hash_ngrams(text, 3).tolist()


def hash_characters(ngram: str) -> int:
    """Return the hash of an n-gram, computed with Python's integers."""
    number = 0
    for character in ngram:
        number = (number + ord(character)) * 0x9E3779B97F4A7C15 % 2**64
    return (number >> 32) + 1


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Not good, not bad!", ["Not", "good", ",", "not", "bad", "!"]),
        (
            "It isn't; it\u2019s 'so-so'",
            ["It", "isn't", ";", "it\u2019s", "'", "so", "-", "so", "'"],
        ),
        ("the '80s... 10/10", ["the", "'", "80s", ".", ".", ".", "10", "/", "10"]),
        ("rock 'n' roll, y'all'd've", ["rock", "'", "n", "'", "roll", ",", "y'all'd've"]),
        ("a _great_ film :-)", ["a", "_great_", "film", ":", "-", ")"]),
        ("déjà vu — 映画 😀", ["déjà", "vu", "—", "映", "画", "😀"]),
        ("फ़िल्म। ดีมาก", ["फ़िल्म", "।", "ดี", "ม", "า", "ก"]),
        ("👍🏽👍 🇩🇪🇫🇷", ["👍🏽", "👍", "🇩🇪", "🇫🇷"]),
        ("   ", []),
        ("", []),
    ],
)
def test_words_and_marks_are_tokens(text: str, tokens: list[str]) -> None:
    assert [text[start:stop] for start, stop in locate_tokens(text)] == tokens
    assert split_tokens(text) == split_tokens(" ".join(tokens))
    assert len(split_tokens(text)) == len(tokens)


def test_case_is_ignored_and_order_is_not() -> None:
    assert hash_ngrams("GOOD Film", 3).tolist() == hash_ngrams("good film", 3).tolist()
    one, other = (set(hash_ngrams(text, 2).tolist()) for text in ("good film", "film good"))
    assert len(one & other) == 2  # the words, but not the pair
    assert len(one | other) == 4


@given(st.text(max_size=30).map(clean_text))
def test_any_text_has_a_hash_for_each_token(text: str) -> None:
    """Some letters have another length in lower case."""
    places = locate_tokens(text)
    assert len(split_tokens(text)) == len(places)
    assert all(start < stop for start, stop in places)
    covered = {place for start, stop in places for place in range(start, stop)}
    left = {character for place, character in enumerate(text) if place not in covered}
    assert all(character.isspace() or not get_rule("auto").fold(character) for character in left)


@given(st.one_of(st.text("aB'_. ,0"), st.text(st.characters(codec="ascii"))).map(clean_text))
def test_a_token_does_not_depend_on_the_letters_of_others(text: str) -> None:
    assert split_tokens(text) == split_tokens(f"{text} \u00e9")[:-1]


def test_a_text_without_tokens_has_no_ngrams() -> None:
    for text in ("", "  "):
        found = hash_ngrams(text, 3)
        assert found.shape == (0,)
        assert found.dtype == np.int64


def test_a_short_text_has_no_long_ngrams() -> None:
    assert hash_ngrams("good film", 9).tolist() == hash_ngrams("good film", 2).tolist()
    assert hash_ngrams("good", 9).tolist() == hash_ngrams("good", 1).tolist()


def test_the_number_for_padding_is_never_a_hash() -> None:
    assert sort_hashes(np.array([2, 0, 1, 0, 2], np.uint64)).tolist() == [1, 2]
    assert sort_hashes(np.array([0], np.uint64)).tolist() == []


def test_a_part_of_a_text_has_the_ngrams_of_its_tokens_alone() -> None:
    text = "Unforgettable, l\u2019été 👍🏽 so-so films"
    tokens = split_tokens(text)
    parts = [np.arange(len(tokens)) != place for place in range(len(tokens))]
    for place, found in enumerate(hash_parts(tokens, parts, 3, 4)):
        rest = b" ".join(tokens[:place] + tokens[place + 1 :]).decode()
        assert split_tokens(rest) == tokens[:place] + tokens[place + 1 :]
        np.testing.assert_array_equal(found, hash_ngrams(rest, 3, character_ngram=4))
    (whole,) = hash_parts(tokens, [np.ones(len(tokens), np.bool_)], 3, 4)
    np.testing.assert_array_equal(whole, hash_ngrams(text, 3, character_ngram=4))
    one, two = hash_parts(split_tokens("\ufdfa films"), ~np.eye(2, dtype=np.bool_), 3, 4)
    np.testing.assert_array_equal(one, hash_ngrams("films", 3, character_ngram=4))
    np.testing.assert_array_equal(two, hash_ngrams("\ufdfa", 3, character_ngram=4))
    (none,) = hash_parts([], [np.zeros(0, np.bool_)], 3, 4)
    assert none.shape == (0,)


def test_the_hashes_of_exported_models_never_change() -> None:
    found = hash_ngrams("Films été 𝒳abc", 1, character_ngram=4)
    assert found[locate_characters(found)].tolist() == [
        1296899434,
        1543791537,
        1968815479,
        2646331030,
        3131521335,
        3630915531,
        3740670130,
        4152182879,
        4216416924,
    ]
    assert hash_ngrams("Good, isn't it?", 2).tolist() == [
        -7351538705283625147,
        -4158378206490548721,
        -2341014646665152236,
        -815356516970492901,
        -767495939732072254,
        85205362547066521,
        8126900868516394117,
        8251486672642863961,
        8420825133656453237,
    ]
