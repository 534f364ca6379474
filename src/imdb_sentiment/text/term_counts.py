"""Counts of terms and of sequences of terms in texts, for scikit-learn's pipelines."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin

from imdb_sentiment.text.word_numbers import join_words, number_words
from imdb_sentiment.text.words import Script, get_rule

Integers = npt.NDArray[np.integer]

NONE = -1  # no n-gram
N_FIRST = 1000  # number of texts that tell which words they have


class TermCounter(TransformerMixin, BaseEstimator):
    """Counts terms and n-grams of terms, as scikit-learn's `CountVectorizer`, but much faster.

    N-grams are numbers here. An n-gram occurs in no more texts than the n-gram without its last
    term, so both that n-gram and the last term are known, and their two numbers identify it.

    Args:
        script: Rule for cutting texts into terms; see `imdb_sentiment.text.words.Rule.split_terms`.
            If most words of the first texts are shorter, such as amino acids or digits, all words
            are terms.
        max_ngram: Length of the longest n-grams, in terms.
        min_document_frequency: Minimum number of texts that contain an n-gram that is counted.

    Attributes:
        are_all_words_: Whether all words are terms.
        terms_: The terms, in the order of their columns.
        ngrams_: For each length from 2 on, a code for each n-gram, in the order of their columns,
            which follow those of the shorter ones. The code is c · T + t for T terms, if the n-gram
            without its last term is in column c among those of its length, and the last term in
            column t.

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
        rule = get_rule(self.script)
        if learn:
            texts = list(texts)
            n_terms, n_words = (
                sum(len(cut(text)) for text in texts[:N_FIRST])
                for cut in (rule.split_terms, rule.split)
            )
            self.are_all_words_ = 2 * n_terms < n_words
        cut = rule.split if self.are_all_words_ else rule.split_terms
        numbers, lengths, words = number_words(join_words(cut(text)) for text in texts)
        text_of = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        if learn:
            kept, columns, counts = self._keep_frequent(numbers, text_of, len(lengths), len(words))
            if not len(kept):
                raise ValueError("no term occurs in enough texts")
            self.terms_, self.ngrams_ = [words[number] for number in kept], []
        else:
            known = dict(zip(self.terms_, range(len(self.terms_)), strict=True))
            columns = np.array([known.get(word, NONE) for word in words], np.int32)[numbers]
            counts = _tabulate(columns, text_of, len(lengths), len(known))
        terms = ngrams = columns  # the columns of the term, and of the n-gram, that start there
        tables = [counts]
        for n in range(1, self.max_ngram):
            starts = np.flatnonzero(
                (ngrams[:-n] != NONE) & (terms[n:] != NONE) & (text_of[:-n] == text_of[n:])
            )
            codes = ngrams[starts].astype(np.int64) * len(self.terms_) + terms[starts + n]
            if learn:
                places, distinct = pd.factorize(codes)
                kept, columns, counts = self._keep_frequent(
                    places, text_of[starts], len(lengths), len(distinct)
                )
                self.ngrams_.append(distinct[kept])
            else:
                ngrams_known = pd.Index(self.ngrams_[n - 1])
                columns = ngrams_known.get_indexer(pd.Index(codes))
                counts = _tabulate(columns, text_of[starts], len(lengths), len(ngrams_known))
            ngrams = np.full(len(terms), NONE, np.int32)
            ngrams[starts] = columns
            tables.append(counts)
        return sparse.hstack(tables, format="csr").astype(np.float64)

    def _keep_frequent(
        self, numbers: Integers, text_of: Integers, n_texts: int, n_distinct: int
    ) -> tuple[Integers, Integers, sparse.csr_array]:
        """Choose the n-grams that occur in enough texts, and give each a column.

        Args:
            numbers: Number of the n-gram at each place.
            text_of: Number of the text at each place.
            n_texts: Number of texts.
            n_distinct: Number of distinct n-grams.

        Returns:
            The numbers of the n-grams that are kept, in the order of their columns; the column at
            each place; and the number of occurrences of each kept n-gram in each text.

        """
        # Those with too few occurrences, which are most, are dropped before texts are counted.
        occurrences = np.bincount(numbers, minlength=n_distinct)
        candidates = np.flatnonzero(occurrences >= self.min_document_frequency)
        columns = _number(candidates, n_distinct)[numbers]
        counts = _tabulate(columns, text_of, n_texts, len(candidates))
        frequencies = np.bincount(counts.indices, minlength=len(candidates))
        is_kept = frequencies >= self.min_document_frequency
        kept = candidates[is_kept]
        return kept, _number(kept, n_distinct)[numbers], counts[:, is_kept]


def _number(chosen: Integers, n: int) -> Integers:
    """Return the place of each number below n among the chosen ones, or NONE; shape (n,)."""
    places = np.full(n, NONE, np.int32)
    places[chosen] = np.arange(len(chosen))
    return places


def _tabulate(
    columns: Integers, text_of: Integers, n_texts: int, n_columns: int
) -> sparse.csr_array:
    """Return the number of occurrences of each column in each text."""
    known = np.flatnonzero(columns != NONE)
    pointers = np.searchsorted(text_of[known], np.arange(n_texts + 1, dtype=np.int32))
    places = columns[known]
    if len(known) <= np.iinfo(np.int32).max:  # otherwise SciPy needs int64
        pointers, places = pointers.astype(np.int32), places.astype(np.int32)
    counts = sparse.csr_array(
        (np.ones(len(known), np.int32), places, pointers), (n_texts, n_columns)
    )
    counts.sum_duplicates()
    return counts
