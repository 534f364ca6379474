import itertools
import random
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer

from imdb_sentiment.parameters import TokenizerParameters, WordVectorsParameters
from imdb_sentiment.text.tokenizer import TextEncoder, train_tokenizer
from imdb_sentiment.text.word_vectors import train_word_vectors

SVD = WordVectorsParameters(method="svd", size=6, window=3, norm=None, seed=3)


def make_texts() -> Iterator[str]:
    """Yield texts in which cat and dog have similar contexts, and so do car and bus."""
    rng = random.Random(0)
    for _ in range(600):
        kind = rng.random() < 0.5
        subject = rng.choice(["cat", "dog"] if kind else ["car", "bus"])
        company = ["fur", "paw", "tail", "purr"] if kind else ["road", "wheel", "petrol", "brake"]
        yield " ".join([*rng.sample(company, 2), subject, *rng.sample(company, 2)])


@pytest.fixture
def tokenizer() -> Tokenizer:
    parameters = TokenizerParameters(
        kind="words", vocabulary_size=13, sequence_length=9, script="auto", head_fraction=0.0
    )
    return train_tokenizer(["absent " * 9999, *make_texts()], parameters)


def train(
    texts: Iterable[str], tokenizer: Tokenizer, parameters: WordVectorsParameters, size: int = 250
) -> npt.NDArray[np.float32]:
    """Learn from the texts in portions of some size."""
    listed = list(texts)
    portions = (listed[place : place + size] for place in range(0, len(listed), size))
    joined = map(TextEncoder(tokenizer).encode_joined, portions)
    return train_word_vectors(joined, tokenizer.get_vocab_size(), parameters)


def cosine(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_words_of_like_company_have_like_vectors(tokenizer: Tokenizer) -> None:
    vectors = train(make_texts(), tokenizer, SVD)
    assert vectors.dtype == np.float32
    assert vectors.shape == (15, 6)
    known = {word: vectors[number] for word, number in tokenizer.get_vocab().items()}
    for one, other, stranger in (("cat", "dog", "bus"), ("car", "bus", "dog")):
        assert cosine(known[one], known[other]) > cosine(known[one], known[stranger]) + 0.2
    assert not vectors[:2].any()  # padding and the unknown token
    assert not known["absent"].any()


def test_the_norm_is_what_is_asked_for(tokenizer: Tokenizer) -> None:
    learnt = train(make_texts(), tokenizer, SVD)
    scaled = train(make_texts(), tokenizer, SVD.model_copy(update={"norm": 4.0}))
    norms = np.linalg.norm(learnt, axis=1)
    assert norms.max() > 1.1 * norms[norms > 0].min()
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), np.where(norms > 0, 4, 0), rtol=1e-5)
    np.testing.assert_allclose(scaled * norms[:, None] / 4, learnt, atol=1e-5)


def test_the_vectors_factorise_the_mutual_information(tokenizer: Tokenizer) -> None:
    """Count the pairs in plain Python, and decompose their matrix with NumPy."""
    texts = list(make_texts())
    ids, window = tokenizer.get_vocab(), SVD.window
    counts = np.zeros((15, 15))
    for words in map(str.split, texts):
        for i, j in itertools.permutations(range(len(words)), 2):
            if abs(i - j) <= window:
                counts[ids[words[i]], ids[words[j]]] += (window + 1 - abs(i - j)) / window
    smoothed = counts.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(counts / counts.sum(axis=1)[:, None] / (smoothed / smoothed.sum()))
    left, values, _ = np.linalg.svd(np.nan_to_num(information, neginf=0).clip(0))
    expected = left[:, : SVD.size] * np.sqrt(values[: SVD.size])
    found = train(texts, tokenizer, SVD)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)


def test_the_same_seed_gives_the_same_vectors(tokenizer: Tokenizer) -> None:
    first, again = (train(make_texts(), tokenizer, SVD) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_portions_make_no_difference(tokenizer: Tokenizer) -> None:
    some, other = (train(make_texts(), tokenizer, SVD, size) for size in (7, 600))
    np.testing.assert_array_equal(some, other)


def test_there_may_be_no_method_and_no_text(tokenizer: Tokenizer) -> None:
    none = SVD.model_copy(update={"method": "none"})
    assert train(make_texts(), tokenizer, none).shape == (0, 6)
    empty = train(["", "unheard of"], tokenizer, SVD)
    assert empty.shape == (15, 6)
    assert not empty.any()
