"""How often terms and sequences of terms occur in texts, for scikit-learn's pipelines."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin

from imdb_sentiment.text.word_numbers import number_words
from imdb_sentiment.text.words import Script, get_rule

Codes = npt.NDArray[np.int64]

NONE = -1  # no n-gram


class TermCounter(TransformerMixin, BaseEstimator):
    """Counts terms and n-grams of terms, as scikit-learn's `CountVectorizer`, but much faster.

    N-grams are numbers here. An n-gram occurs in no more texts than the one without its last term,
    so both this one and the last term are known, and two numbers identify it.

    Args:
        script: How texts are cut into terms; see `imdb_sentiment.text.words.Rule.split_terms`.
        max_ngram: Length of the longest n-grams, in terms.
        min_document_frequency: In how many texts an n-gram must occur to be counted.

    Attributes:
        terms_: The terms, in the order of their columns.
        ngrams_: For each length from 2 on, a code for each n-gram, sorted; their columns follow
            those of the shorter ones. The code is c · T + t for T terms, if the one without its
            last term is in column c among those of its length, and the last term in column t.

    """

    def __init__(
        self, script: Script = "auto", max_ngram: int = 1, min_document_frequency: int = 1
    ) -> None:
        self.script = script
        self.max_ngram = max_ngram
        self.min_document_frequency = min_document_frequency

    def fit(self, texts: Iterable[str], y: Any = None) -> Self:
        """Learn which n-grams to count."""
        self.fit_transform(texts)
        return self

    def fit_transform(self, texts: Iterable[str], y: Any = None) -> sparse.csr_array:
        """Learn which n-grams to count, and count them in the same texts.

        Args:
            texts: Cleaned texts.
            y: Ignored.

        Returns:
            Counts, shape (texts, n-grams), dtype float64.

        Raises:
            ValueError: No term occurs in enough texts.

        """
        return self._count(texts, learn=True)

    def transform(self, texts: Iterable[str]) -> sparse.csr_array:
        """Count the n-grams of texts, as `fit_transform`."""
        return self._count(texts, learn=False)

    def _count(self, texts: Iterable[str], *, learn: bool) -> sparse.csr_array:
        numbers, lengths, found = number_words(texts, get_rule(self.script).split_terms)
        n_texts = len(lengths)
        text_of = np.repeat(np.arange(n_texts), lengths)
        if learn:
            kept = _find_frequent(
                numbers.astype(np.int64), text_of, n_texts, self.min_document_frequency
            )
            if not len(kept):
                raise ValueError("no term occurs in enough texts")
            self.terms_, self.ngrams_ = [found[number] for number in kept], []
        columns = dict(zip(self.terms_, range(len(self.terms_)), strict=True))
        terms = np.array([columns.get(term, NONE) for term in found], np.int64)[numbers]
        counts = [_tabulate(terms, text_of, (n_texts, len(columns)))]
        ngrams = terms  # the column of the n-gram that starts with each term
        for n in range(1, self.max_ngram):
            starts = np.flatnonzero(
                (ngrams[:-n] != NONE) & (terms[n:] != NONE) & (text_of[:-n] == text_of[n:])
            )
            codes = ngrams[starts] * len(columns) + terms[starts + n]
            if learn:
                self.ngrams_.append(
                    _find_frequent(codes, text_of[starts], n_texts, self.min_document_frequency)
                )
            kept = self.ngrams_[n - 1]
            ngrams = np.full(len(terms), NONE)
            ngrams[starts] = pd.Index(kept).get_indexer(pd.Index(codes))
            counts.append(_tabulate(ngrams, text_of, (n_texts, len(kept))))
        return sparse.hstack(counts, format="csr")


def _find_frequent(codes: Codes, text_of: Codes, n_texts: int, minimum: int) -> Codes:
    """Return the codes that occur in a minimum of texts, sorted."""
    pairs, _ = _count_equal(np.sort(codes * np.int64(n_texts) + text_of))
    distinct, frequencies = _count_equal(pairs // n_texts)
    return distinct[frequencies >= minimum]


def _tabulate(columns: Codes, text_of: Codes, shape: tuple[int, int]) -> sparse.csr_array:
    """Return how often each column is named in each text."""
    is_known = columns != NONE
    pairs, counts = _count_equal(np.sort(text_of[is_known] * shape[1] + columns[is_known]))
    rows, places = np.divmod(pairs, shape[1])
    pointers = np.searchsorted(rows, np.arange(shape[0] + 1)).astype(np.int32)
    return sparse.csr_array((counts.astype(np.float64), places.astype(np.int32), pointers), shape)


def _count_equal(values: Codes) -> tuple[Codes, Codes]:
    """Return the distinct ones of sorted values, and how often each occurs."""
    ends = np.flatnonzero(np.diff(values, append=np.iinfo(np.int64).max))
    return values[ends], np.diff(ends, prepend=-1)
