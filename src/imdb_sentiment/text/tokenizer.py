"""Tokenising of texts, shared by training and prediction.

The library `tokenizers` keeps the vocabulary and its file, and finds subwords. Whole words are
found in Python (see `words.py`), with the same ids in a sixth of the time.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from imdb_sentiment.text.words import SAME_LETTERS, Rule, Script, character_classes, get_rule

if TYPE_CHECKING:  # a deployment has no pydantic for these
    from imdb_sentiment.parameters import TokenizerParameters

PADDING = "[PAD]"
UNKNOWN = "[UNK]"
UNKNOWN_ID = 1
_SPECIAL: list[str | AddedToken] = [PADDING, UNKNOWN]

# Limits of a batch: an encoding takes far more memory than the ids kept from it.
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
    size = parameters.vocabulary_size
    if parameters.kind == "words":
        rule = get_rule(parameters.script)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(rule.split(text))
        words = sorted(counts, key=lambda word: (-counts[word], word))[:size]
        vocabulary = {word: number for number, word in enumerate([PADDING, UNKNOWN, *words])}
        tokenizer = _make_tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN), rule)
        tokenizer.add_special_tokens(_SPECIAL)
    else:
        # No prefix for the inside of words and no limit on the letters: with either, the library
        # would number tokens, and break ties, in an order that changes from run to run.
        # Subwords are learnt in every script, so letters need not be words of their own.
        tokenizer = _make_tokenizer(models.BPE(unk_token=UNKNOWN), get_rule("spaces"))
        trainer = trainers.BpeTrainer(
            vocab_size=size + len(_SPECIAL), special_tokens=_SPECIAL, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
    tokenizer.enable_padding(direction="left", pad_token=PADDING, length=parameters.sequence_length)
    return tokenizer


def _make_tokenizer(model: models.Model, rule: Rule) -> Tokenizer:
    """Return a tokenizer of the library that cuts and folds texts as the rule does.

    They agree on all texts but those with the rarest characters: here, a whole text is folded, with
    the library's version of Unicode, before it is cut.
    """
    classes = character_classes()
    drop = normalizers.Replace(Regex(f"[{classes['ignored']}]"), "")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [
            drop,
            normalizers.Replace(Regex(f"(?<=[{rule.letters}])\u2019(?=[{rule.letters}])"), "'"),
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
    """From texts to token ids, as Keras's `Tokenizer` and `pad_sequences` do.

    Unknown words are left out, so that more known words fit into the sequence.

    Args:
        tokenizer: Tokenizer from `train_tokenizer`.

    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids = self._split = None
        if isinstance(tokenizer.model, models.WordLevel):
            self._ids, self._split = tokenizer.get_vocab(), find_rule(tokenizer).split
        self._dtype = np.min_scalar_type(tokenizer.get_vocab_size() - 1)

    def encode_whole(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Yield the token ids of each whole text, without cutting or padding.

        Args:
            texts: Cleaned texts.

        Yields:
            Token ids of one text; unknown words are `UNKNOWN_ID`.

        """
        if self._ids is None or self._split is None:
            for batch in _batches(texts):
                for encoding in self._tokenizer.encode_batch_fast(batch):
                    yield [number for number in encoding.ids if number]
            return
        get, split = self._ids.get, self._split
        for text in texts:
            yield [get(word, UNKNOWN_ID) for word in split(text)]

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
        length = get_sequence_length(self._tokenizer)
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
    length = get_sequence_length(tokenizer)
    tokens = _locate_words if isinstance(tokenizer.model, models.WordLevel) else _locate_subwords
    known = [found for found in tokens(tokenizer, text) if found[0] > UNKNOWN_ID][-length:]
    places: dict[int | None, tuple[int, int]] = {}
    for _, word, (start, stop) in known:
        places[word] = (places.get(word, (start, stop))[0], stop)
    numbers = {word: number for number, word in enumerate(places)}
    return (
        np.array([token for token, _, _ in known], np.int32),
        np.array([numbers[word] for _, word, _ in known], np.intp),
        list(places.values()),
    )


_Located = Iterator[
    tuple[int, int | None, tuple[int, int]]
]  # token id, word number, start and stop


def _locate_words(tokenizer: Tokenizer, text: str) -> _Located:
    rule = find_rule(tokenizer)
    for number, word in enumerate(rule.words.finditer(text)):
        yield tokenizer.token_to_id(rule.fold(word[0])) or UNKNOWN_ID, number, word.span()


def _locate_subwords(tokenizer: Tokenizer, text: str) -> _Located:
    encoding = tokenizer.encode(text)
    yield from zip(encoding.ids, encoding.word_ids, encoding.offsets, strict=True)


def get_sequence_length(tokenizer: Tokenizer) -> int:
    """Return the length of the sequences that `TextEncoder.encode` returns.

    Raises:
        ValueError: The tokenizer has none.

    """
    if tokenizer.padding is None:
        raise ValueError("the tokenizer has no sequence length: it was not made by train_tokenizer")
    return int(tokenizer.padding["length"])
