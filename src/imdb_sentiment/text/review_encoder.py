"""Encoding of chunks of reviews, whose words are numbered, as token ids."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from tokenizers import Tokenizer

from imdb_sentiment.text.tokenizer import (
    UNKNOWN_ID,
    TextEncoder,
    TokenIds,
    find_dtype,
    get_sequence_length,
    has_whole_words,
    pad_sequences,
)
from imdb_sentiment.text.word_numbers import WORDS, unpack_numbers


class ReviewEncoder:
    """Encodes reviews as `TextEncoder` does, without cutting their texts into words again.

    Args:
        tokenizer: Tokenizer from `train_tokenizer`. If its tokens are subwords, the texts are cut.
        words: The distinct words of the reviews, in the order of their numbers. A review may also
            have the number `len(words)`, which stands for any other word.
        head_length: Number of tokens kept from the beginning of a long text; see `TextEncoder`.

    """

    def __init__(self, tokenizer: Tokenizer, words: Sequence[str], head_length: int = 0) -> None:
        self._sequence_length = get_sequence_length(tokenizer)
        self._head_length = head_length
        self._texts = TextEncoder(tokenizer)
        self._ids: TokenIds | None = None
        if has_whole_words(tokenizer):
            get = tokenizer.get_vocab().get
            ids = [*(get(word, UNKNOWN_ID) for word in words), UNKNOWN_ID]
            self._ids = np.array(ids, find_dtype(tokenizer))

    def encode_joined(self, chunk: pd.DataFrame) -> tuple[TokenIds, npt.NDArray[np.int64]]:
        """Return the token ids of all reviews of a chunk, as `TextEncoder.encode_joined` does."""
        if self._ids is None:
            return self._texts.encode_joined(chunk["text"])
        numbers, lengths = unpack_numbers(chunk[WORDS])
        return self._ids[numbers], lengths

    def encode(self, chunk: pd.DataFrame) -> TokenIds:
        """Return the reviews of a chunk as sequences of one length, as `TextEncoder.encode`."""
        return pad_sequences(*self.encode_joined(chunk), self._sequence_length, self._head_length)
