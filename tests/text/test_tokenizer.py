import json
import random
import sys
import time
import unicodedata
from collections import Counter
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, trainers

from helpers import PROJECT, make_reviews
from imdb_sentiment.parameters import TokenizerParameters
from imdb_sentiment.text.cleaning import clean_text
from imdb_sentiment.text.tokenizer import (
    TextEncoder,
    count_words,
    find_rule,
    locate_known_words,
    train_tokenizer,
)


@pytest.fixture(scope="module")
def sample() -> list[str]:
    frame = pd.read_csv(PROJECT / "data/01_raw/sample_reviews.csv")
    return [clean_text(text) for text in frame["review"]]


@pytest.mark.parametrize(
    ("found", "cleaned"),
    [
        ("Good.<br /><br />Very good.", "Good. Very good."),
        ("<p class='x'>One</p><BR>two", "One two"),
        ("Tom &amp; Jerry &quot;live&quot;", 'Tom & Jerry "live"'),
        ("&lt;br /&gt;double-escaped", "double-escaped"),
        ("cafe\u0301", "caf\u00e9"),
        ("  a\t\tb\r\nc\u00a0d  ", "a b c d"),
        ("a\x00b\x07", "a b"),
        ("\x1f a \t \x7f<br /> \x1c b\r\n ", "a b"),
        ("a\ud800b", "a b"),
        (f"a&#{'1' * 5000};b", f"a&#{'1' * 5000};b"),
        ("I <3 this, 1 < 2 and 3 > 2", "I <3 this, 1 < 2 and 3 > 2"),
        ("I rate <b plus> and more", "I rate <b plus> and more"),
        ("rock&notroll & AT&T", "rock&notroll & AT&T"),
        ('<a href="x">one</a> <img src=y/> &#39;two&#39;', "one 'two'"),
        ("<table><tr><td>one</td><td>two</td></tr></table>", "one two"),
        ("<html><body><pre><code>x</code></pre></body></html>", "x"),
        ("H<sub>2</sub>O <blockquote>a</blockquote><o:p></o:p>", "H 2 O a"),
        ('<p hidden>a</p><input disabled value="x"><br/ ><button>b</button>', "a b"),
        ("a<!-- <p>\n -->b<!DOCTYPE html>c", "a b c"),
        ("a<!-- not closed <!-- b -->c", "a<!-- not closed c"),
        ("a<style type='x'>p {}</style>b<SCRIPT>if (1 < 2) {}\n</script>c", "a b c"),
        ("a<script>not closed", "a not closed"),
        ("<title> by <user>: a <table of contents>", "<title> by <user>: a <table of contents>"),
        (" <br> \u200b", ""),
        ("\u6f22" * 40, "\u6f22" * 40),
        ("a" + "\u0316" * 29 + "\u0301", "\u00e1" + "\u0316" * 29),
        ("q" + "\u0316" * 50 + "b", "q" + "\u0316" * 30 + "b"),
        ("\uff76\uff9e" * 40, "\uff76\uff9e" * 40),
    ],
)
def test_clean_text(found: str, cleaned: str) -> None:
    assert clean_text(found) == cleaned


@pytest.mark.parametrize("part", ["<!--", "<script>", "<style ", "<p hidden", "</script ", "<b x "])
def test_the_time_of_cleaning_grows_only_with_the_length(part: str) -> None:
    start = time.process_time()
    clean_text(f"<script>{part * 50_000}")  # with the square of it, this would take minutes
    assert time.process_time() - start < 10


def becomes_marks(character: str) -> bool:
    forms = [unicodedata.normalize(form, character) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    return any(all(map(unicodedata.combining, form)) for form in forms)


def test_whatever_becomes_a_mark_is_limited_like_marks() -> None:
    """The time of normalisation would otherwise grow with the square of their number."""
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    found = [character for character in characters if becomes_marks(character)]
    assert "\u0f73" in found
    assert {character for character in found if len(clean_text(character * 99)) > 60} == set()


def test_ids_are_smallest_unsigned_and_padded_and_cut_on_the_left() -> None:
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=3, sequence_length=4, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer(["a a a b b c d"], parameters)
    ids = TextEncoder(tokenizer).encode(["a b", "c c c d a b", "unheard a of", ""])
    assert ids.dtype == np.uint8
    assert ids.tolist() == [[0, 0, 2, 3], [4, 4, 2, 3], [0, 0, 0, 2], [0, 0, 0, 0]]


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["a", "b", "c", "zzz"]), max_size=15), st.integers(0, 5))
def test_a_long_text_keeps_its_beginning_and_its_end(words: list[str], head_length: int) -> None:
    for kind in ("words", "bpe"):
        parameters = TokenizerParameters(
            kind=kind,
            vocabulary_size=3,
            sequence_length=5,
            script="auto",
            head_fraction=head_length / 5,
        )
        assert parameters.head_length == head_length
        tokenizer = train_tokenizer(["a a a b b c"], parameters)
        known = [tokenizer.token_to_id(word) for word in words if word != "zzz"]
        kept = known
        while len(kept) > 5:
            del kept[head_length]
        text = " ".join(words)
        encoder = TextEncoder(tokenizer, head_length)
        assert encoder.encode([text]).tolist() == [[0] * (5 - len(kept)) + kept]
        (read,) = encoder.encode_known([text])
        assert read == kept
        ids, _, places = locate_known_words(tokenizer, text, head_length)
        assert ids.tolist() == kept
        assert [tokenizer.token_to_id(text[a:b]) for a, b in places] == kept
        assert count_words(tokenizer, text, head_length).read == len(kept)
        with pytest.raises(ValueError, match="a head of 6 tokens does not fit"):
            TextEncoder(tokenizer, 6)


def test_no_texts_give_an_empty_array() -> None:
    tokenizer = train_tokenizer(
        ["a b"],
        TokenizerParameters(
            kind="words", vocabulary_size=5, sequence_length=7, script="auto", head_fraction=0.0
        ),
    )
    assert TextEncoder(tokenizer).encode([]).shape == (0, 7)


def test_default_vocabulary_takes_two_bytes_an_id() -> None:
    words = [f"word{i}" for i in range(6000)]
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=5000, sequence_length=200, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer(words, parameters)
    ids = TextEncoder(tokenizer).encode(words[:3])
    assert tokenizer.get_vocab_size() == 5002
    assert ids.dtype == np.uint16
    assert ids[0].nbytes == 400


def test_words_and_sequences_are_those_of_keras(
    sample: list[str], tokenizer_parameters: TokenizerParameters
) -> None:
    """In texts in ASCII, which most are."""
    sample = [text for text in sample if text.isascii()]
    assert len(sample) > 1500
    import keras
    import tensorflow as tf

    # Keras numbers words from 1 and keeps those below num_words.
    theirs = tf.keras.preprocessing.text.Tokenizer(
        num_words=tokenizer_parameters.vocabulary_size + 1
    )
    theirs.fit_on_texts(sample)
    tokenizer = train_tokenizer(sample, tokenizer_parameters)
    ours = tokenizer.get_vocab()

    counts = Counter(theirs.word_counts)
    ranked = counts.most_common()
    last_count = ranked[tokenizer_parameters.vocabulary_size - 1][1]
    certain = {word for word, count in ranked if count > last_count}
    possible = {word for word, count in ranked if count >= last_count}
    words = set(ours) - {"[PAD]", "[UNK]"}
    assert certain <= words <= possible
    assert len(words) == tokenizer_parameters.vocabulary_size
    by_id = sorted(words, key=ours.__getitem__)
    assert [counts[word] for word in by_id] == sorted((counts[w] for w in words), reverse=True)

    # Ties are broken differently and our words start at 2: compare sequences with our ids.
    theirs.word_index = {word: ours[word] for word in words}
    theirs.num_words = len(ours)
    sequences = theirs.texts_to_sequences(sample)
    padded = keras.utils.pad_sequences(sequences, maxlen=tokenizer_parameters.sequence_length)
    np.testing.assert_array_equal(TextEncoder(tokenizer).encode(sample), padded)


def test_subwords_are_learnt_from_a_word_of_a_million_letters_in_time() -> None:
    parameters = TokenizerParameters(
        kind="bpe", vocabulary_size=300, sequence_length=10, script="auto", head_fraction=0.0
    )
    hex_dump = "".join(random.Random(0).choices("0123456789abcdef", k=1_000_000))
    start = time.monotonic()
    tokenizer = train_tokenizer([hex_dump], parameters)
    assert time.monotonic() - start < 60  # instead of nine minutes
    assert tokenizer.get_vocab_size() == 302


@pytest.mark.parametrize("kind", ["words", "bpe"])
def test_the_same_texts_give_the_same_tokenizer(kind: Literal["words", "bpe"]) -> None:
    texts = [text for text, _ in make_reviews(500)]
    parameters = TokenizerParameters(
        kind=kind, vocabulary_size=100, sequence_length=10, script="auto", head_fraction=0.0
    )
    first, *others = (json.loads(train_tokenizer(texts, parameters).to_str()) for _ in range(5))
    assert all(other == first for other in others)


def test_parts_of_words_make_up_rare_ones() -> None:
    parameters = TokenizerParameters(
        kind="bpe", vocabulary_size=40, sequence_length=10, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer(["low lower lowest"] * 50 + ["new newer newest"] * 50, parameters)
    assert tokenizer.get_vocab_size() <= 42
    assert {"low", "new"} <= set(tokenizer.get_vocab())
    ids = TextEncoder(tokenizer).encode(["newest", "NEWEST, slow!", "\u6f22"])
    assert (ids[2] == 0).all()  # a letter that is not in the training texts
    words = {number: token for token, number in tokenizer.get_vocab().items()}
    decoded = ["".join(words[i] for i in row if i) for row in ids.tolist()]
    assert decoded == ["newest", "newestslow", ""]
    text = "Slow \u6f22 NEWEST"
    tokens_found, word_numbers, places = locate_known_words(tokenizer, text, 0)
    assert [text[start:stop] for start, stop in places] == ["Slow", "NEWEST"]
    assert len(tokens_found) == len(word_numbers) > 2
    assert sorted(set(word_numbers.tolist())) == [0, 1]


@given(st.text(st.sampled_from("ab ½¼①ﬁ㎞ﷺ_.'\u0301İ")).map(clean_text))
@example("a½b")
def test_no_two_words_of_subwords_have_the_same_place(text: str) -> None:
    """Unicode's compatible form of a half has two words."""
    parameters = TokenizerParameters(
        kind="bpe", vocabulary_size=40, sequence_length=50, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer(["a b ½ ¼ ① fi km ﷺ i\u0307"], parameters)
    tokens, numbers, places = locate_known_words(tokenizer, text, 0)
    ends = [0, *(stop for _, stop in places)]
    assert all(end <= start for end, (start, _) in zip(ends, places, strict=False))
    assert len(tokens) == len(numbers)
    assert sorted(set(numbers.tolist())) == list(range(len(places)))
    assert count_words(tokenizer, text, 0).read == len(places)


def test_tokens_are_not_cut_to_the_length_of_a_sequence() -> None:
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=3, sequence_length=2, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer(["a a a b b c d"], parameters)
    encoded = TextEncoder(tokenizer).encode_whole(["a, b c d A", "d", ""])
    assert list(encoded) == [[2, 3, 4, 1, 2], [1], []]


# No character whose compatible form has several parts that are not letters, such as a fraction:
# the library sees these before it cuts.
LETTERS = st.text("aZ0'_., é\u2019“—™Σς…！Ａжאבָاَـﻃहिन्ดีทำ中。か가👍🏽❤️🇩\u200d\u00ad").map(clean_text)


@given(st.lists(LETTERS, max_size=5), LETTERS, st.sampled_from(["auto", "spaces"]))
@example(["か\u093f\u20190"], "ทำ\u2019a", "auto")  # quotation marks, and no apostrophes
def test_words_and_ids_are_those_of_the_library(
    texts: list[str], other: str, script: Literal["auto", "spaces"]
) -> None:
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=4, sequence_length=3, script=script, head_fraction=0.0
    )
    tokenizer = train_tokenizer(texts, parameters)
    assert find_rule(tokenizer).script == script
    theirs = Tokenizer.from_str(tokenizer.to_str())
    words = trainers.WordLevelTrainer(
        vocab_size=6, special_tokens=["[PAD]", "[UNK]"], show_progress=False
    )
    theirs.train_from_iterator(texts, words)
    assert json.loads(theirs.to_str()) == json.loads(tokenizer.to_str())
    theirs.no_padding()
    found = list(TextEncoder(tokenizer).encode_whole([*texts, other]))
    assert found == [theirs.encode(text).ids for text in [*texts, other]]


@given(st.lists(st.text().map(clean_text), max_size=5), st.text().map(clean_text))
def test_words_are_located_where_they_are_encoded(texts: list[str], other: str) -> None:
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=9, sequence_length=5, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer(texts, parameters)
    for text in [*texts, other]:
        ids, numbers, places = locate_known_words(tokenizer, text, 0)
        encoded = TextEncoder(tokenizer).encode([text])[0]
        assert ids.tolist() == encoded[encoded > 0].tolist()
        assert numbers.tolist() == list(range(len(ids)))
        (alone,) = TextEncoder(tokenizer).encode([" ".join(text[a:b] for a, b in places)])
        assert alone.tolist() == encoded.tolist()


@pytest.mark.parametrize("text", ["\u039f\u03a3 \u03a3\u039f\u03a3", "\u0130I", "don't (stop)"])
def test_lower_case_is_that_of_the_library(text: str) -> None:
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=9, sequence_length=3, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer([text], parameters)
    (ids,) = TextEncoder(tokenizer).encode_whole([text])
    assert sorted(ids) == sorted(number for number in tokenizer.encode(text).ids if number)
    assert 1 not in ids


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["a", "b", "c", "other", "X"]), max_size=12))
def test_the_words_that_are_known_and_read_are_counted(words: list[str]) -> None:
    for kind in ("words", "bpe"):
        parameters = TokenizerParameters(
            kind=kind, vocabulary_size=3, sequence_length=5, script="auto", head_fraction=0.0
        )
        tokenizer = train_tokenizer(["a b c"], parameters)
        known = sum(word in ("a", "b", "c") for word in words)
        counts = count_words(tokenizer, " ".join(words), 0)
        assert counts == (len(words), known, min(known, 5))
