from typing import Literal

import numpy as np
import pandas as pd
import pytest

from helpers import make_reviews, with_words
from imdb_sentiment.parameters import TokenizerParameters
from imdb_sentiment.text.review_encoder import ReviewEncoder
from imdb_sentiment.text.tokenizer import TextEncoder, count_known, train_tokenizer
from imdb_sentiment.text.word_numbers import pack_numbers


@pytest.mark.parametrize("head_length", [0, 2, 5])
@pytest.mark.parametrize("kind", ["words", "bpe"])
def test_token_ids_are_those_of_the_texts(kind: Literal["words", "bpe"], head_length: int) -> None:
    texts = ["", "?!", "L’été — don't, DON'T", *(text for text, _ in make_reviews(60))]
    parameters = TokenizerParameters(
        kind=kind, vocabulary_size=20, sequence_length=5, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer(texts[:40], parameters)
    chunk, words = with_words(pd.DataFrame({"text": texts}))
    encoder = ReviewEncoder(tokenizer, words, head_length)
    expected = TextEncoder(tokenizer, head_length)
    np.testing.assert_array_equal(encoder.encode(chunk), expected.encode(texts))
    ids, lengths = encoder.encode_joined(chunk)
    whole = list(expected.encode_whole(texts))
    assert ids.tolist() == [number for found in whole for number in found]
    assert lengths.tolist() == list(map(len, whole))
    known = [sum(number > 1 for number in found) for found in whole]
    assert count_known(ids, lengths).tolist() == known


def test_words_of_no_labelled_review_are_unknown() -> None:
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=9, sequence_length=3, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer(["a a b"], parameters)
    cells = pack_numbers(np.array([0, 2, 1], np.int32), np.array([2, 1]))
    ids, _ = ReviewEncoder(tokenizer, ["b", "a"]).encode_joined(pd.DataFrame({"words": cells}))
    assert ids.tolist() == [3, 1, 2]
