"""The linear model of word and character n-grams that is averaged with the network.

`imdb_sentiment.network.ngram_regression` fits it. Averaging such a model with a recurrent network
follows Mesnil et al., "Ensemble of Generative and Discriminative Techniques for Sentiment Analysis
of Movie Reviews" (ICLR 2015, workshop).
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from imdb_sentiment.errors import InputError
from imdb_sentiment.evaluation.logits import Logits, count_outputs
from imdb_sentiment.parameters import NgramsParameters
from imdb_sentiment.text.ngrams import Hashes, hash_ngrams, locate_characters
from imdb_sentiment.text.words import Script

logger = logging.getLogger(__name__)

# A `scipy.sparse.csr_array`. SciPy and scikit-learn are imported where they are used.
SparseArray: TypeAlias = Any
Mask = npt.NDArray[np.bool_]
ROWS_AT_A_TIME = 1000  # whose intermediate results are in memory
MAX_ENTRIES = np.iinfo(np.int32).max  # of a matrix that scikit-learn's solver takes
# For the latent semantic analysis: with 20,000 labelled reviews of IMDB, it gains nothing, and more
# unlabelled reviews take longer and add little.
MAX_LATENT_LABELLED = 15_000
MAX_LATENT_UNLABELLED = 10_000


@dataclass(frozen=True)
class NgramModel:
    """A linear model of the n-grams of a text.

    Word and character n-grams have TF-IDF vectors of their own, each with a norm of 1.

    Attributes:
        max_ngram: Length of the longest word n-grams, in words and punctuation marks.
        hashes: Hash of each n-gram that the model knows, sorted, shape (n-grams,), dtype int64.
        idf: Inverse document frequency of each n-gram, shape (n-grams,), dtype float32.
        weights: Weight of each n-gram, its `idf` included, shape (n-grams, outputs), dtype
            float32. With two labels there is one output, for the second label; otherwise one per
            label.
        bias: Intercepts, shape (outputs,), dtype float32.
        script: Rule for cutting texts into words; see `imdb_sentiment.text.words.Rule`.
        character_ngram: Length of the character n-grams; 0 if the model knows none.
        character_weight: Norm of the vectors of character n-grams in the regression; the weights
            include it.
        latent_weight: Mean norm of the latent coordinates in the regression; the weights include
            it, too.
        unlabelled_reviews: Number of unlabelled reviews that the model has learnt from.

    """

    max_ngram: int
    hashes: Hashes
    idf: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    script: Script = "ascii"  # for models that were pickled before there was a choice
    character_ngram: int = 0
    character_weight: float = 0.0
    latent_weight: float = 0.0
    unlabelled_reviews: int = 0

    @classmethod
    def empty(cls, n_labels: int) -> Self:
        """Return a model that knows no n-gram, whose logits are 0."""
        outputs = count_outputs(n_labels)
        zeros = np.zeros((0, outputs), np.float32)
        return cls(0, np.zeros(0, np.int64), zeros[:, 0], zeros, np.zeros(outputs, np.float32))

    def scale(self, factor: float) -> Self:
        """Return a model whose logits are multiplied by a factor."""
        factor32 = np.float32(factor)
        return replace(self, weights=self.weights * factor32, bias=self.bias * factor32)

    def score_texts(self, texts: Iterable[str]) -> Logits:
        """Return the logits of each text.

        Args:
            texts: Cleaned texts.

        Returns:
            Array of shape (texts, outputs), dtype float64; see `score`.

        """
        return self.score(
            [hash_ngrams(text, self.max_ngram, self.script, self.character_ngram) for text in texts]
        )

    def score(self, reviews: Sequence[Hashes]) -> Logits:
        """Return the logits of each review.

        Args:
            reviews: Hashes of the n-grams of each review, from `hash_ngrams`.

        Returns:
            Array of shape (reviews, outputs), dtype float64: the log-odds of the second of two
            labels, or of each label against all others.

        """
        sums = np.zeros((len(reviews), len(self.bias)))
        if len(self.hashes) and len(reviews):
            found = indicate(reviews, self.hashes)
            used = np.unique(found.indices)  # a float64 copy of all weights may be large
            for kind in split_word_and_character_ngrams(self.is_character_ngram):
                columns = used[kind[used]]
                part = found[:, columns]
                scores = part @ self.weights[columns].astype(np.float64)
                norms = np.sqrt(part @ self.idf[columns].astype(np.float64) ** 2)[:, np.newaxis]
                sums += np.divide(scores, norms, out=np.zeros_like(sums), where=norms > 0)
        return sums + self.bias

    @property
    def is_character_ngram(self) -> Mask:
        """Which n-grams are character n-grams, shape (n-grams,), dtype bool."""
        return find_characters(self.hashes, self.character_ngram)


def find_characters(hashes: Hashes, character_ngram: int) -> Mask:
    """Return which of the sorted hashes belong to character n-grams."""
    is_character_ngram = np.zeros(len(hashes), np.bool_)
    if character_ngram:
        is_character_ngram[locate_characters(hashes)] = True
    return is_character_ngram


def split_word_and_character_ngrams(is_character_ngram: Mask) -> list[Mask]:
    """Return a mask of the word n-grams, and if there are any, a mask of the character n-grams.

    Args:
        is_character_ngram: Mask of the character n-grams, shape (n-grams,), dtype bool.

    """
    return [~is_character_ngram, is_character_ngram][: 1 + int(is_character_ngram.any())]


def hash_texts(texts: Iterable[str], parameters: NgramsParameters, script: Script) -> list[Hashes]:
    """Return the hashes of the n-grams of each cleaned text that a model may know."""
    length = parameters.character_ngram
    return [hash_ngrams(text, parameters.max_ngram, script, length) for text in texts]


def hash_labelled(
    chunks: Iterable[pd.DataFrame], parameters: NgramsParameters, script: Script
) -> dict[int, Hashes]:
    """Return the hashes of the n-grams of each review outside of the test set, by its row.

    Args:
        chunks: Chunks with the columns `row`, `text` and `split`.
        parameters: Length of the n-grams.
        script: Rule for cutting texts into words.

    """
    hashes: dict[int, Hashes] = {}
    for chunk in chunks:
        rows = chunk[chunk["split"] != "test"]
        hashes |= dict(zip(rows["row"], hash_texts(rows["text"], parameters, script), strict=True))
    return hashes


def hash_rows(
    chunks: Iterable[pd.DataFrame],
    rows: npt.NDArray[np.int64],
    parameters: NgramsParameters,
    script: Script,
) -> list[Hashes]:
    """Return the hashes of the n-grams of some unlabelled reviews.

    Args:
        chunks: Chunks with the columns `row` and `text`.
        rows: Row numbers of the reviews, in the order of the chunks.
        parameters: Length of the n-grams.
        script: Rule for cutting texts into words.

    """
    hashes: list[Hashes] = []
    for chunk in chunks:
        hashes += hash_texts(chunk.loc[chunk["row"].isin(rows), "text"], parameters, script)
    return hashes


def sample_unlabelled(
    chunks: Iterable[pd.DataFrame],
    n_labelled: int,
    parameters: NgramsParameters,
    script: Script,
    seed: int,
) -> list[Hashes]:
    """Return the n-grams of the unlabelled reviews, or of some of them if there are very many.

    They are drawn at random (algorithm R of Vitter, "Random Sampling with a Reservoir", ACM
    Transactions on Mathematical Software 11, 1985). If they would not help, none are returned.

    Args:
        chunks: Chunks with the column `text`; possibly none.
        n_labelled: Number of labelled reviews.
        parameters: Number of latent dimensions, and the length of the n-grams.
        script: Rule for cutting texts into words.
        seed: Seed by which they are drawn.

    """
    if not parameters.latent_dimensions or n_labelled > MAX_LATENT_LABELLED:
        return []
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    n_seen = 0
    for chunk in chunks:
        for text in chunk["text"]:
            n_seen += 1
            if n_seen <= MAX_LATENT_UNLABELLED:
                texts.append(text)
            elif (place := int(rng.integers(n_seen))) < MAX_LATENT_UNLABELLED:
                texts[place] = text
    if len(texts) < parameters.latent_dimensions:
        return []
    logger.debug("N-grams learn from %d of %d unlabelled reviews", len(texts), n_seen)
    return hash_texts(texts, parameters, script)


def indicate(reviews: Sequence[Hashes], hashes: Hashes) -> SparseArray:
    """Return 1 where a review has an n-gram.

    Args:
        reviews: Hashes of the n-grams of each review.
        hashes: Hash of each n-gram that has a column, sorted.

    Returns:
        Matrix of shape (reviews, n-grams), dtype int8.

    Raises:
        InputError: The matrix is too large for scikit-learn's solver.

    """
    from scipy import sparse

    index = pd.Index(hashes)
    parts, sizes = [], [np.zeros(1, np.int64)]
    for start in range(0, len(reviews), ROWS_AT_A_TIME):
        rows = reviews[start : start + ROWS_AT_A_TIME]
        columns = index.get_indexer(pd.Index(np.concatenate(rows)))
        is_known = columns >= 0
        ends = np.cumsum([0, *map(len, rows)])
        sizes.append(np.diff(np.concatenate([[0], np.cumsum(is_known)])[ends]))
        parts.append(columns[is_known].astype(np.int32))
    indices, pointers = np.concatenate(parts), np.cumsum(np.concatenate(sizes))
    if len(indices) > MAX_ENTRIES:
        raise InputError(
            f"{len(reviews):,} reviews have more than {MAX_ENTRIES:,} n-grams, the most that "
            "scikit-learn's solver takes: use a sample of them, or do without n-grams "
            "(training.ngrams.share=0, pseudo_labels.max_reviews=0)"
        )
    return sparse.csr_array(
        (np.ones(len(indices), np.int8), indices, pointers.astype(indices.dtype)),
        shape=(len(reviews), len(hashes)),
    )
