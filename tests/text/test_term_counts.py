import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer

from imdb_sentiment.text.term_counts import TermCounter
from imdb_sentiment.text.words import get_rule

TEXTS = st.lists(
    st.lists(st.sampled_from(["aa", "bb", "cc", "d", "好"])).map(" ".join), min_size=1, max_size=8
)


def sort_columns(counts: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> list[list[float]]:
    return sorted(counts.T.tolist())


@given(TEXTS, TEXTS, st.integers(1, 4), st.integers(1, 3))
def test_counts_are_those_of_scikit_learn(
    texts: list[str], others: list[str], max_ngram: int, minimum: int
) -> None:
    ours = TermCounter("auto", max_ngram, minimum)
    rule = get_rule("auto")
    n_short = " ".join(texts).split().count("d")
    is_mostly_short = 2 * n_short > len(" ".join(texts).split())
    theirs = CountVectorizer(
        ngram_range=(1, max_ngram),
        min_df=minimum,
        tokenizer=rule.split if is_mostly_short else rule.split_terms,
        token_pattern=None,
        lowercase=False,
    )
    try:
        expected = theirs.fit_transform(texts).toarray()
    except ValueError:
        with pytest.raises(ValueError, match="no term occurs in enough texts"):
            ours.fit(texts)
        return
    found = ours.fit_transform(texts).toarray()
    assert found.dtype == np.float64
    both = np.vstack([found, ours.transform(others).toarray()])
    assert sort_columns(both) == sort_columns(
        np.vstack([expected, theirs.transform(others).toarray()])
    )
    np.testing.assert_array_equal(ours.transform(texts).toarray(), found)


def test_columns_are_those_of_the_attributes() -> None:
    counter = TermCounter(max_ngram=2).fit(["bb aa bb aa", "cc"])
    assert counter.terms_ == ["bb", "aa", "cc"]
    assert [codes.tolist() for codes in counter.ngrams_] == [[1, 3]]  # bb aa, aa bb
    assert counter.transform(["aa bb aa unheard cc"]).toarray().tolist() == [[1, 2, 1, 1, 1]]
    assert clone(counter).get_params() == counter.get_params()


def test_words_of_one_letter_count_if_most_words_are_such() -> None:
    texts = ["C V W T", "C D V 1", "ab C W"]
    counter = TermCounter("auto", 1, 2)
    counts = pd.DataFrame(counter.fit_transform(texts).toarray(), columns=counter.terms_)
    assert counts[["c", "v", "w"]].to_numpy().tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 1]]
    assert counter.transform(["w W x", "ab"]).sum(axis=1).tolist() == [2, 0]
    usual = TermCounter("auto", 1, 1)
    usual.fit(["a good film", "I like a big one"])
    assert sorted(usual.terms_) == ["big", "film", "good", "like", "one"]
