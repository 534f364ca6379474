"""Vectors of words, learnt from text without labels."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from imdb_sentiment.parameters import WordVectorsParameters
from imdb_sentiment.text.tokenizer import split_into_tokens


def train_word_vectors(
    open_texts: Callable[[], Iterable[str]], tokenizer: Tokenizer, parameters: WordVectorsParameters
) -> npt.NDArray[np.float32]:
    """Learn a vector for each token from the tokens around it.

    Args:
        open_texts: Returns the cleaned texts anew each time: they are read once an epoch, and
            before that to count the words.
        tokenizer: From `train_tokenizer`.
        parameters: Method, size and length of the training.

    Returns:
        Shape (vocabulary, size), the row of a token at its id: 0 for padding, for the unknown
        word, and for tokens that do not occur. Without a method, shape (0, size).

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
        min_count=1,  # the tokenizer has chosen
        seed=parameters.seed,
        workers=1,  # with more, the order of the texts, and so the result, is left to chance
    )
    for token, number in tokenizer.get_vocab().items():
        if token in model.wv:
            vectors[number] = model.wv[token]
    if parameters.norm:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(parameters.norm * vectors, norms, out=vectors, where=norms > 0)
    return vectors


class _Sentences:
    """Tokens of the texts, read anew at each iteration: gensim reads its input several times."""

    def __init__(self, open_texts: Callable[[], Iterable[str]], tokenizer: Tokenizer) -> None:
        self._open_texts = open_texts
        self._tokenizer = tokenizer

    def __iter__(self) -> Iterator[list[str]]:
        return split_into_tokens(self._tokenizer, self._open_texts())
