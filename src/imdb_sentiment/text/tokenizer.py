"""Tokenising of texts, shared by training and prediction.

The library `tokenizers` keeps the vocabulary and its file, and finds subwords. Whole words are
found in Python (see `words.py`), with the same ids in a sixth of the time.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from imdb_sentiment.text.words import SAME_LETTERS, Rule, Script, character_classes, get_rule

if TYPE_CHECKING:  # a deployment has no pydantic for these
    from imdb_sentiment.parameters import TokenizerParameters

PADDING = "[PAD]"
UNKNOWN = "[UNK]"
UNKNOWN_ID = 1

TokenIds = npt.NDArray[np.unsignedinteger]
Token = TypeVar("Token")  # the id of a token, or a tuple with it or with its place

_SPECIAL: list[str | AddedToken] = [PADDING, UNKNOWN]
N_SPECIAL = len(_SPECIAL)

# Limits of a batch: an encoding takes far more memory than the ids kept from it.
_LONG = re.compile(r"\S{1000}")  # of a text without spaces, such as a hex dump
_BATCH, _BATCH_CHARACTERS = 500, 1_000_000


def train_tokenizer(texts: Iterable[str], parameters: "TokenizerParameters") -> Tokenizer:
    """Learn the vocabulary: the most frequent words of the texts, or subwords.

    Texts are lower-cased and split into words at white space and punctuation: those in ASCII
    exactly as in Keras's `preprocessing.text.Tokenizer`, others as `Rule` says. Words of equal
    frequency are sorted alphabetically. Id 0 is the padding and id 1 any unknown word; the other
    words have the ids from 2 on, in the order of their frequency. With subwords, every letter that
    occurs is a token, even if this exceeds `vocabulary_size`.

    Args:
        texts: Cleaned training texts; iterated once. Memory grows with the distinct words.
        parameters: Kind of the tokens, their number, how texts are cut into words, and the length
            of the sequences that `TextEncoder.encode` returns.

    Returns:
        Tokenizer whose padding, on the left, stores the sequence length.

    """
    if parameters.kind == "words":
        rule = get_rule(parameters.script)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(rule.split(text))
        return make_word_tokenizer([*counts], np.array([*counts.values()], np.int64), parameters)
    # No prefix for the inside of words and no limit on the letters: with either, the library would
    # number tokens, and break ties, in an order that changes from run to run.
    # Subwords are learnt in every script, so letters need not be words of their own.
    tokenizer = _make_tokenizer(models.BPE(unk_token=UNKNOWN), get_rule("spaces"), parameters)
    trainer = trainers.BpeTrainer(
        vocab_size=parameters.vocabulary_size + N_SPECIAL,
        special_tokens=_SPECIAL,
        show_progress=False,
    )
    # The time of the training grows with the square of the length of a word.
    parts = (_LONG.sub(r"\g<0> ", text) for text in texts)
    tokenizer.train_from_iterator(parts, trainer)
    return tokenizer


def make_word_tokenizer(
    words: Sequence[str], counts: npt.NDArray[np.int64], parameters: "TokenizerParameters"
) -> Tokenizer:
    """Return the tokenizer of whole words that `train_tokenizer` learns.

    Args:
        words: Distinct words.
        counts: Number of occurrences of each word, shape (words,).
        parameters: Number of the words, script, and sequence length; see `train_tokenizer`.

    """
    size = parameters.vocabulary_size
    fewest = np.partition(counts, -size)[-size] if len(counts) > size else 0
    frequent = np.flatnonzero(counts >= max(1, fewest)).tolist()
    frequent.sort(key=lambda number: (-counts[number], words[number]))
    chosen = [PADDING, UNKNOWN, *(words[number] for number in frequent[:size])]
    vocabulary = {word: number for number, word in enumerate(chosen)}
    model = models.WordLevel(vocabulary, unk_token=UNKNOWN)
    tokenizer = _make_tokenizer(model, get_rule(parameters.script), parameters)
    tokenizer.add_special_tokens(_SPECIAL)
    return tokenizer


def _make_tokenizer(
    model: models.Model, rule: Rule, parameters: "TokenizerParameters"
) -> Tokenizer:
    """Return a tokenizer of the library that cuts and folds texts as the rule does.

    Both agree on all texts except those with the rarest characters: the library folds a whole text,
    with its own version of Unicode, before it cuts it.
    """
    classes = character_classes()
    before = f"(?<=[{rule.letters}])(?<!{rule.single.pattern})"  # both may end with a mark
    drop = normalizers.Replace(Regex(f"[{classes['ignored']}]"), "")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [
            drop,
            normalizers.Replace(Regex(f"{before}\u2019(?=[{rule.letters}])"), "'"),
            normalizers.Replace(Regex(f"[{classes['symbol']}&&[^']]"), " "),
            normalizers.NFKC(),
            normalizers.Lowercase(),
            drop,  # again, since compatible forms may have some
            *(normalizers.Replace(found, same) for found, same in SAME_LETTERS),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(rule.words.pattern), behavior="removed", invert=True
    )
    tokenizer.enable_padding(direction="left", pad_token=PADDING, length=parameters.sequence_length)
    return tokenizer


def find_rule(tokenizer: Tokenizer) -> Rule:
    """Return the rule by which a tokenizer of whole words cuts texts.

    Raises:
        ValueError: It is none of those of this version.

    """
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str("a\u2014\ud55c\uad6d")
    scripts: dict[int, Script] = {1: "ascii", 2: "spaces", 3: "auto"}
    if len(pieces) not in scripts:
        raise ValueError("its tokenizer cuts texts in another way")
    return get_rule(scripts[len(pieces)])


class TextEncoder:
    """Encodes texts like Keras's `Tokenizer` and, if `head_length` is 0, `pad_sequences`.

    Unknown words are left out, so that more known words fit into the sequence.

    Args:
        tokenizer: Tokenizer from `train_tokenizer`.
        head_length: Number of tokens kept from the beginning of a text that has more known tokens
            than the sequence length; the others are kept from its end. 0 to the sequence length.

    Raises:
        ValueError: The head is longer than a sequence.

    """

    def __init__(self, tokenizer: Tokenizer, head_length: int = 0) -> None:
        self._tokenizer = tokenizer
        self._head_length = head_length
        if head_length and not 0 < head_length <= get_sequence_length(tokenizer):
            raise ValueError(f"a head of {head_length} tokens does not fit into its sequences")
        self._ids = self._split = None
        if has_whole_words(tokenizer):
            self._ids, self._split = tokenizer.get_vocab(), find_rule(tokenizer).split
            self._known = {
                word: number for word, number in self._ids.items() if number > UNKNOWN_ID
            }
        self._dtype = find_dtype(tokenizer)

    def encode_whole(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Yield the token ids of each whole text, without cutting or padding.

        Args:
            texts: Cleaned texts.

        Yields:
            Token ids of one text; unknown words are `UNKNOWN_ID`.

        """
        if self._ids is None or self._split is None:
            for batch in divide_texts(texts, _BATCH_CHARACTERS, _BATCH):
                for encoding in self._tokenizer.encode_batch_fast(batch):
                    yield [number for number in encoding.ids if number]
            return
        get, split = self._ids.get, self._split
        for text in texts:
            yield [get(word, UNKNOWN_ID) for word in split(text)]

    def encode_joined(self, texts: Iterable[str]) -> tuple[TokenIds, npt.NDArray[np.int64]]:
        """Convert texts to the token ids of all of them, one after the other.

        Args:
            texts: Cleaned texts, R in number.

        Returns:
            The token ids of the whole texts, shape (tokens,), unknown words being `UNKNOWN_ID`, in
            the smallest unsigned integer type that holds every id; and the number of token ids per
            text, shape (R,).

        """
        encoded = list(self.encode_whole(texts))
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        ids = np.fromiter(chain.from_iterable(encoded), self._dtype, lengths.sum())
        return ids, lengths

    def encode_known(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Yield the token ids that the network reads of each text: known ones, without padding.

        Args:
            texts: Cleaned texts.

        Yields:
            Token ids of one text, at most as many as the sequence length.

        Raises:
            ValueError: The tokenizer has no sequence length.

        """
        length, head = get_sequence_length(self._tokenizer), self._head_length
        if self._split is None:
            for ids in self.encode_whole(texts):
                yield cut_tokens([number for number in ids if number > UNKNOWN_ID], length, head)
            return
        get, split = self._known.get, self._split
        for text in texts:
            yield cut_tokens(list(filter(None, map(get, split(text)))), length, head)

    def encode(self, texts: Sequence[str]) -> TokenIds:
        """Convert texts to sequences of one length.

        Longer texts lose known tokens between their beginning and their end; shorter ones are
        padded with 0 on the left.

        Args:
            texts: Cleaned texts.

        Returns:
            Token ids, shape (texts, sequence length). The dtype is the smallest unsigned integer
            type that holds every id: uint16 for a vocabulary of 5,000 words.

        Raises:
            ValueError: The tokenizer has no sequence length.

        """
        length = get_sequence_length(self._tokenizer)
        sequences = np.zeros((len(texts), length), self._dtype)
        for sequence, ids in zip(sequences, self.encode_known(texts), strict=True):
            sequence[length - len(ids) :] = ids
        return sequences


def cut_tokens(tokens: list[Token], length: int, head_length: int) -> list[Token]:
    """Return the tokens; if more than `length`, only the first `head_length` and the last ones."""
    n_left_out = len(tokens) - length
    if n_left_out <= 0:
        return tokens
    return tokens[:head_length] + tokens[head_length + n_left_out :]


def pad_sequences(
    ids: TokenIds,
    lengths: npt.NDArray[np.int64],
    sequence_length: int,
    head_length: int,
) -> TokenIds:
    """Return sequences of one length, as `TextEncoder.encode` does.

    Args:
        ids: Token ids of texts, one after the other, shape (tokens,).
        lengths: Number of token ids per text, shape (texts,).
        sequence_length: Length of the sequences.
        head_length: Number of tokens kept from the beginning of a long text; see `TextEncoder`.

    Returns:
        Array of shape (texts, sequence length), padded with 0 on the left, of the dtype of `ids`.

    """
    sequences = np.zeros((len(lengths), sequence_length), ids.dtype)
    known, counts = ids[ids > UNKNOWN_ID], count_known(ids, lengths)
    tail_length = sequence_length - head_length
    for sequence, end, n in zip(
        sequences, np.cumsum(counts).tolist(), counts.tolist(), strict=True
    ):
        if n > sequence_length:
            sequence[:head_length] = known[end - n : end - n + head_length]
            sequence[head_length:] = known[end - tail_length : end]
        else:
            sequence[sequence_length - n :] = known[end - n : end]
    return sequences


def count_known(ids: TokenIds, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the number of known tokens per text; see `pad_sequences` for the arguments."""
    known_before = np.concatenate([[0], np.cumsum(ids > UNKNOWN_ID)])
    counts: npt.NDArray[np.int64] = np.diff(known_before[np.cumsum([0, *lengths])])
    return counts


def has_whole_words(tokenizer: Tokenizer) -> bool:
    """Return whether the tokens of a tokenizer are words, not subwords."""
    return isinstance(tokenizer.model, models.WordLevel)


def find_dtype(tokenizer: Tokenizer) -> np.dtype[np.unsignedinteger]:
    """Return the smallest unsigned integer type that holds every token id."""
    return np.min_scalar_type(tokenizer.get_vocab_size() - 1)


def divide_texts(
    texts: Iterable[str], max_characters: int, max_texts: int | None = None
) -> Iterator[list[str]]:
    """Yield texts in batches, each of which ends with the text that reaches one of the limits."""
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) == max_texts or characters >= max_characters:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def locate_known_words(
    tokenizer: Tokenizer, text: str, head_length: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.intp], list[tuple[int, int]]]:
    """Return the tokens that `TextEncoder.encode` keeps, and the positions of their words.

    Args:
        tokenizer: Tokenizer from `train_tokenizer`.
        text: Cleaned text.
        head_length: Number of tokens kept from the beginning of a long text; see `TextEncoder`.

    Returns:
        Three results: the token ids, shape (tokens,), dtype int32; for each token, the number of
        the word that it belongs to, shape (tokens,), dtype intp, numbered from 0 without gaps; and
        for each word, the start and the end of its kept tokens in the text, as in a slice.

    Raises:
        ValueError: The tokenizer has no sequence length.

    """
    length = get_sequence_length(tokenizer)
    known = [found for found in _locate(tokenizer, text) if found[0] > UNKNOWN_ID]
    known = cut_tokens(known, length, head_length)
    places: dict[int | None, tuple[int, int]] = {}
    for _, word, (start, stop) in known:
        places[word] = (places.get(word, (start, stop))[0], stop)
    numbers = {word: number for number, word in enumerate(places)}
    return (
        np.array([token for token, _, _ in known], np.int32),
        np.array([numbers[word] for _, word, _ in known], np.intp),
        list(places.values()),
    )


class WordCounts(NamedTuple):
    """Numbers of words of a text, of those that the network knows, and of those that it reads.

    Attributes:
        total: Number of words of the text.
        known: Number of words in the vocabulary. With subwords, a word counts if one of its tokens
            is known.
        read: Number of words that the network reads, all of them known.

    """

    total: int
    known: int
    read: int


def count_words(tokenizer: Tokenizer, text: str, head_length: int) -> WordCounts:
    """Count the words of a text.

    Args:
        tokenizer: Tokenizer from `train_tokenizer`.
        text: Cleaned text.
        head_length: Number of tokens kept from the beginning of a long text; see `TextEncoder`.

    """
    is_known: dict[int | None, bool] = {}
    for number, word, _ in _locate(tokenizer, text):
        is_known[word] = is_known.get(word, False) or number > UNKNOWN_ID
    read = len(locate_known_words(tokenizer, text, head_length)[2])
    return WordCounts(len(is_known), sum(is_known.values()), read)


_Located = Iterator[
    tuple[int, int | None, tuple[int, int]]
]  # token id, word number, start and stop


def _locate(tokenizer: Tokenizer, text: str) -> _Located:
    locate = _locate_words if has_whole_words(tokenizer) else _locate_subwords
    return locate(tokenizer, text)


def _locate_words(tokenizer: Tokenizer, text: str) -> _Located:
    rule = find_rule(tokenizer)
    for number, word in enumerate(rule.words.finditer(text)):
        yield tokenizer.token_to_id(rule.fold(word[0])) or UNKNOWN_ID, number, word.span()


def _locate_subwords(tokenizer: Tokenizer, text: str) -> _Located:
    encoding = tokenizer.encode(text)
    word, end = -1, 0
    before: int | None = None
    for token, number, place in zip(encoding.ids, encoding.word_ids, encoding.offsets, strict=True):
        if not token:  # padding
            continue
        # NFKC makes two words of one character such as a half; here they are one.
        if number != before and place[0] >= end:
            word += 1
        before, end = number, max(end, place[1])
        yield token, word, place


def get_sequence_length(tokenizer: Tokenizer) -> int:
    """Return the maximum number of tokens of a text that the network reads.

    Raises:
        ValueError: The tokenizer has no sequence length.

    """
    if tokenizer.padding is None:
        raise ValueError("the tokenizer has no sequence length: it was not made by train_tokenizer")
    return int(tokenizer.padding["length"])
