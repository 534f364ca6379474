"""Word vectors, learnt from texts without labels."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from imdb_sentiment.parameters import WordVectorsParameters
from imdb_sentiment.text.tokenizer import split_into_tokens


def train_word_vectors(
    open_texts: Callable[[], Iterable[str]], tokenizer: Tokenizer, parameters: WordVectorsParameters
) -> npt.NDArray[np.float32]:
    """Learn a vector for each token from its context.

    Args:
        open_texts: Function that returns a new iterable over the cleaned texts. It is called
            before the training, to count the words, and once per epoch.
        tokenizer: Tokenizer from `train_tokenizer`.
        parameters: Method, size of the vectors, and settings of the training.

    Returns:
        Word vectors, shape (vocabulary, size), dtype float32; the row number is the token id. The
        rows of the padding, of the unknown word and of tokens that do not occur are 0. With the
        method `none`, the shape is (0, size).

    """
    if parameters.method == "none":
        return np.zeros((0, parameters.size), np.float32)
    from gensim.models import Word2Vec

    vectors = np.zeros((tokenizer.get_vocab_size(), parameters.size), np.float32)
    sentences = _Sentences(open_texts, tokenizer)
    if not any(sentences):
        return vectors
    model = Word2Vec(
        sentences,
        vector_size=parameters.size,
        window=parameters.window,
        sg=int(parameters.skip_gram),
        epochs=parameters.epochs,
        min_count=1,  # the tokenizer has already selected the words
        seed=parameters.seed,
        workers=1,  # with more, the order of the texts, and so the result, would be random
    )
    for token, number in tokenizer.get_vocab().items():
        if token in model.wv:
            vectors[number] = model.wv[token]
    if parameters.norm:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(parameters.norm * vectors, norms, out=vectors, where=norms > 0)
    return vectors


class _Sentences:
    """Tokens of the texts, as an iterable that gensim can iterate several times."""

    def __init__(self, open_texts: Callable[[], Iterable[str]], tokenizer: Tokenizer) -> None:
        self._open_texts = open_texts
        self._tokenizer = tokenizer

    def __iter__(self) -> Iterator[list[str]]:
        return split_into_tokens(self._tokenizer, self._open_texts())
