import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers import make_encoded
from imdb_sentiment.text.batching import count_tokens, cut_padding, group_by_length

LENGTHS = hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 9))


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 20), st.sampled_from([None, 0, 1]))
def test_each_row_is_in_one_batch_with_others_of_its_length(
    lengths: np.ndarray, batch_size: int, seed: int | None
) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    batches = group_by_length(lengths, batch_size, rng)
    rows = np.concatenate([np.empty(0, int), *batches])
    assert sorted(rows) == list(range(len(lengths)))
    assert sorted(map(len, batches))[1:] == [batch_size] * (len(batches) - 1)
    # The ranges of lengths of two batches do not overlap.
    spans = sorted((lengths[batch].min(), lengths[batch].max()) for batch in batches)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_each_epoch_draws_anew_and_each_seed_the_same() -> None:
    lengths = np.repeat([3, 5], 50)
    rng = np.random.default_rng(7)
    first, second = (group_by_length(lengths, 10, rng) for _ in range(2))
    assert not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    again = group_by_length(lengths, 10, np.random.default_rng(7))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_only_padding_is_cut() -> None:
    sequences = np.array([[0, 0, 0, 4, 5], [0, 0, 6, 7, 8]], np.uint8)
    assert count_tokens(sequences).tolist() == [2, 3]
    assert cut_padding(sequences).tolist() == [[0, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize("rows", [0, 3])
def test_reviews_without_a_known_word_keep_a_column(rows: int) -> None:
    assert cut_padding(np.zeros((rows, 4), np.uint8)).shape == (rows, 1)


def test_lengths_of_encoded_reviews() -> None:
    reviews = make_encoded(30)
    expected = [len([token for token in row if token]) for row in reviews.sequences.tolist()]
    assert reviews.lengths.tolist() == expected
