"""Tokenising of texts, shared by training and prediction.

The library `tokenizers` keeps the vocabulary and its file, and finds subwords. Whole words are
found in Python, with the same ids in a sixth of the time.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

if TYPE_CHECKING:  # a deployment has no pydantic for these
    from imdb_sentiment.parameters import TokenizerParameters

PADDING = "[PAD]"
UNKNOWN = "[UNK]"
UNKNOWN_ID = 1
_SPECIAL: list[str | AddedToken] = [PADDING, UNKNOWN]

# The punctuation that Keras's Tokenizer filters, which is ASCII's except the apostrophe: for Python
# and, with white space, for the library.
_TO_SPACE = str.maketrans(dict.fromkeys("""!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~""", " "))
_SEPARATORS = Regex(r"""[\s!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~]+""")

# Limits of a batch: an encoding takes far more memory than the ids kept from it.
_BATCH, _BATCH_CHARACTERS = 500, 1_000_000


def train_tokenizer(texts: Iterable[str], parameters: "TokenizerParameters") -> Tokenizer:
    """Learn the vocabulary: the most frequent words of the texts, or subwords.

    Texts are lower-cased and split into words at white space and punctuation, exactly as in Keras's
    `preprocessing.text.Tokenizer`. Words of equal frequency are sorted alphabetically. Id 0 is the
    padding and id 1 any unknown word; the other words have the ids from 2 on, in the order of their
    frequency. With subwords, every letter that occurs is a token, even if this exceeds
    `vocabulary_size`.

    Args:
        texts: Cleaned training texts; iterated once. Memory grows with the distinct words.
        parameters: Kind of the tokens, their number, and the length of the sequences that
            `TextEncoder.encode` returns.

    Returns:
        Tokenizer whose padding, on the left, stores the sequence length.

    """
    size = parameters.vocabulary_size
    if parameters.kind == "words":
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(split_words(text))
        words = sorted(counts, key=lambda word: (-counts[word], word))[:size]
        vocabulary = {word: number for number, word in enumerate([PADDING, UNKNOWN, *words])}
        tokenizer = _make_tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
        tokenizer.add_special_tokens(_SPECIAL)
    else:
        # No prefix for the inside of words and no limit on the letters: with either, the library
        # would number tokens, and break ties, in an order that changes from run to run.
        tokenizer = _make_tokenizer(models.BPE(unk_token=UNKNOWN))
        trainer = trainers.BpeTrainer(
            vocab_size=size + len(_SPECIAL), special_tokens=_SPECIAL, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
    tokenizer.enable_padding(direction="left", pad_token=PADDING, length=parameters.sequence_length)
    return tokenizer


def _make_tokenizer(model: models.Model) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_SEPARATORS, behavior="removed")
    return tokenizer


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, as the tokenizer of whole words splits it.

    Args:
        text: Cleaned text.

    Returns:
        The words in their order, with repetitions.

    """
    # The library converts letter by letter, so a capital sigma is the same inside and at the end.
    return text.replace("\u03a3", "\u03c3").lower().translate(_TO_SPACE).split()


class TextEncoder:
    """From texts to token ids, as Keras's `Tokenizer` and `pad_sequences` do.

    Unknown words are left out, so that more known words fit into the sequence.

    Args:
        tokenizer: Tokenizer from `train_tokenizer`.

    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        is_words = isinstance(tokenizer.model, models.WordLevel)
        self._ids = tokenizer.get_vocab() if is_words else None
        self._dtype = np.min_scalar_type(tokenizer.get_vocab_size() - 1)

    def encode_whole(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Yield the token ids of each whole text, without cutting or padding.

        Args:
            texts: Cleaned texts.

        Yields:
            Token ids of one text; unknown words are `UNKNOWN_ID`.

        """
        if self._ids is None:
            for batch in _batches(texts):
                for encoding in self._tokenizer.encode_batch_fast(batch):
                    yield [number for number in encoding.ids if number]
            return
        get = self._ids.get
        for text in texts:
            yield [get(word, UNKNOWN_ID) for word in split_words(text)]

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.unsignedinteger]:
        """Convert texts to sequences of one length.

        The last tokens of longer texts are kept, and shorter texts are padded with 0 on the left.

        Args:
            texts: Cleaned texts.

        Returns:
            Token ids, shape (texts, sequence length). The dtype is the smallest unsigned integer
            type that holds every id: uint16 for a vocabulary of 5,000 words.

        Raises:
            ValueError: The tokenizer has no sequence length.

        """
        length = _sequence_length(self._tokenizer)
        sequences = np.zeros((len(texts), length), self._dtype)
        for sequence, ids in zip(sequences, self.encode_whole(texts), strict=True):
            known = [number for number in ids if number > UNKNOWN_ID][-length:]
            sequence[length - len(known) :] = known
        return sequences


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
    """Return the tokens that `TextEncoder.encode` keeps, and the positions of their words.

    Args:
        tokenizer: Tokenizer from `train_tokenizer`.
        text: Cleaned text.

    Returns:
        Three results: the token ids, shape (tokens,), dtype int32; for each token, the number of
        the word that it belongs to, shape (tokens,), dtype intp, numbered from 0 without gaps; and
        for each word, the start and the end of its kept tokens in the text, as in a slice.

    Raises:
        ValueError: The tokenizer has no sequence length.

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
        raise ValueError("the tokenizer has no sequence length: it was not made by train_tokenizer")
    return int(tokenizer.padding["length"])
