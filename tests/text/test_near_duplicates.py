from typing import Literal

import numpy as np
import pytest

from imdb_sentiment.parameters import TokenizerParameters
from imdb_sentiment.text import batching, near_duplicates
from imdb_sentiment.text.encoded_reviews import EncodedReviews
from imdb_sentiment.text.near_duplicates import find_near_duplicates
from imdb_sentiment.text.tokenizer import TextEncoder, train_tokenizer

LEARNT = [
    "My parcel 4711 has not arrived yet, says Ada.",
    "Where is parcel 4712? It has not arrived yet!",
    "My invoice 99 is wrong, and my parcel is late.",
    "It is late",
    "The invoice is wrong and late.",
]


@pytest.mark.parametrize(
    ("kind", "text", "is_found"),
    [
        ("words", "My parcel 5000 has not arrived yet, says Ada.", True),
        ("bpe", "My parcel 5000 has not arrived yet, says Ada.", True),
        ("words", "My parcel has not arrived yet (Bob 4711/4712)", True),  # Ada occurs only once
        ("words", "has my parcel not arrived yet", True),
        ("words", "My parcel has arrived yet", False),
        ("words", "My my parcel 4711 has not arrived yet", False),
        ("words", "It is late 4711", False),  # too few tokens
    ],
)
def test_reviews_that_differ_in_numbers_and_rare_words_are_found(
    kind: Literal["words", "bpe"], text: str, is_found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "ROWS_AT_A_TIME", 2)
    monkeypatch.setattr(batching, "COUNTED_AT_A_TIME", 2)
    parameters = TokenizerParameters(
        kind=kind, vocabulary_size=300, sequence_length=40, script="auto", head_fraction=0.0
    )
    tokenizer = train_tokenizer(LEARNT, parameters)

    def encode(texts: list[str]) -> EncodedReviews:
        n = len(texts)
        return EncodedReviews(
            TextEncoder(tokenizer).encode(texts),
            np.zeros(n, np.uint8),
            np.arange(n),
            ("no", "yes"),
            tokenizer.get_vocab_size(),
            np.zeros(n, np.uint64),
        )

    others = ["", "Something else entirely."]
    found = find_near_duplicates(
        encode([*others, text]), [encode(LEARNT[:3]), encode(LEARNT[3:]), encode([])], tokenizer
    )
    assert found.tolist() == [False, False, is_found]
