"""Tokenising, the same for training and for use."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

if TYPE_CHECKING:  # the light runtime has no pydantic
    from imdb_sentiment.parameters import TokenizerParameters

PADDING = "[PAD]"
UNKNOWN = "[UNK]"
UNKNOWN_ID = 1
_SPECIAL: list[str | AddedToken] = [PADDING, UNKNOWN]

# White space and the punctuation that Keras's Tokenizer filters: all of ASCII's but the apostrophe.
_SEPARATORS = Regex(r"""[\s!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~]+""")

# Texts and characters encoded at a time: an encoding takes far more memory than the ids kept of it.
_BATCH, _BATCH_CHARACTERS = 500, 1_000_000


def train_tokenizer(texts: Iterable[str], parameters: "TokenizerParameters") -> Tokenizer:
    """Learn the most frequent words of `texts`, or parts of words.

    Words are lower-cased and cut at white space and punctuation, as Keras's
    `preprocessing.text.Tokenizer` does it, so the words are the same; ties in frequency are broken
    by the alphabet. Id 0 is padding and 1 any unknown word; words follow from 2, the most frequent
    first. Of parts of words, every letter that occurs is one, even if there are more than
    `vocabulary_size`.

    Args:
        texts: Cleaned training texts; read once, at the memory of the distinct words.
        parameters: Kind and number of the tokens, and the length that `encode_texts` brings texts
            to.

    Returns:
        A `tokenizers.Tokenizer` that pads on the left to the sequence length, and so keeps it.

    """
    model, trainer = _make_model(parameters)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_SEPARATORS, behavior="removed")
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.enable_padding(direction="left", pad_token=PADDING, length=parameters.sequence_length)
    return tokenizer


def _make_model(
    parameters: "TokenizerParameters",
) -> tuple[models.WordLevel, trainers.WordLevelTrainer] | tuple[models.BPE, trainers.BpeTrainer]:
    size = parameters.vocabulary_size + len(_SPECIAL)
    if parameters.kind == "words":
        return models.WordLevel(unk_token=UNKNOWN), trainers.WordLevelTrainer(
            vocab_size=size, special_tokens=_SPECIAL, show_progress=False
        )
    # No prefix for what is inside a word, and no limit to the letters: the library would then
    # number tokens, and break ties, by an order that changes from run to run.
    return models.BPE(unk_token=UNKNOWN), trainers.BpeTrainer(
        vocab_size=size, special_tokens=_SPECIAL, show_progress=False
    )


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> npt.NDArray[np.unsignedinteger]:
    """Return token ids, one row a text, as Keras's `Tokenizer` and `pad_sequences` would.

    Unknown words are left out, so that more of the known ones find room; of what is left the last
    words are kept, and padding with 0 comes first.

    Args:
        tokenizer: From `train_tokenizer`.
        texts: Cleaned texts.

    Returns:
        Array of shape (number of texts, sequence length) of the smallest unsigned type that holds
        every id: uint16 for a vocabulary of 5,000 words.

    """
    length = _sequence_length(tokenizer)
    dtype = np.min_scalar_type(tokenizer.get_vocab_size() - 1)
    sequences = np.zeros((len(texts), length), dtype)
    start = 0
    for batch in _batches(texts):
        for row, encoding in enumerate(tokenizer.encode_batch_fast(batch), start):
            known = [token for token in encoding.ids if token > UNKNOWN_ID][-length:]
            sequences[row, length - len(known) :] = known
        start += len(batch)
    return sequences


def encode_whole(
    tokenizer: Tokenizer, texts: Iterable[str]
) -> Iterator[npt.NDArray[np.unsignedinteger]]:
    """Yield the token ids of each text, without padding, unknown words as `UNKNOWN_ID`.

    Args:
        tokenizer: From `train_tokenizer`.
        texts: Cleaned texts.

    Yields:
        Array of shape (tokens,), none left out for the length of the text.

    """
    for batch in _batches(texts):
        for encoding in tokenizer.encode_batch_fast(batch):
            ids = np.array(encoding.ids, np.uint32)
            yield ids[ids > 0]


def split_into_tokens(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the known tokens of each text, none left out for its length.

    Args:
        tokenizer: From `train_tokenizer`.
        texts: Cleaned texts.

    """
    for batch in _batches(texts):
        for encoding in tokenizer.encode_batch(batch):
            yield [
                token
                for number, token in zip(encoding.ids, encoding.tokens, strict=True)
                if number > UNKNOWN_ID
            ]


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) == _BATCH or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def locate_known_words(
    tokenizer: Tokenizer, text: str
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.intp], list[tuple[int, int]]]:
    """Return the tokens that `encode_texts` keeps of a text, and where their words are in it.

    Args:
        tokenizer: From `train_tokenizer`.
        text: A cleaned text.

    Returns:
        Token ids, shape (tokens,); the number of the word that each is or is part of, shape
        (tokens,), from 0 without gaps; and the first and the past-the-last character of each word,
        as far as its tokens are kept.

    """
    length = _sequence_length(tokenizer)
    encoding = tokenizer.encode(text)
    known = [
        (token, word, place)
        for token, word, place in zip(
            encoding.ids, encoding.word_ids, encoding.offsets, strict=True
        )
        if token > UNKNOWN_ID
    ][-length:]
    places: dict[int | None, tuple[int, int]] = {}
    for _, word, (start, stop) in known:
        places[word] = (places.get(word, (start, stop))[0], stop)
    numbers = {word: number for number, word in enumerate(places)}
    return (
        np.array([token for token, _, _ in known], np.int32),
        np.array([numbers[word] for _, word, _ in known], np.intp),
        list(places.values()),
    )


def _sequence_length(tokenizer: Tokenizer) -> int:
    if tokenizer.padding is None:
        raise ValueError("the tokenizer has no length to bring texts to")
    return int(tokenizer.padding["length"])
