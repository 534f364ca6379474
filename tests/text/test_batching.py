import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers import make_encoded
from imdb_sentiment.text.batching import count_tokens, group_by_length, pad_right, shorten
from imdb_sentiment.text.tokenizer import UNKNOWN_ID

LENGTHS = hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 9))


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


def test_padding_moves_to_the_right_and_is_cut() -> None:
    sequences = np.array([[0, 0, 0, 4, 5], [0, 0, 6, 7, 8]], np.uint8)
    assert count_tokens(sequences).tolist() == [2, 3]
    padded = pad_right(sequences)
    assert padded.tolist() == [[4, 5, 0], [6, 7, 8]]
    assert padded.dtype == np.uint8


@given(hnp.arrays(np.int64, st.integers(1, 9), elements=st.integers(1, 7)))
def test_tokens_keep_their_order(lengths: np.ndarray) -> None:
    rows = [list(range(2, 2 + n)) for n in lengths]
    left = np.array([[0] * (7 - len(row)) + row for row in rows])
    right = pad_right(left)
    assert right.shape == (len(rows), lengths.max())
    assert [row[:n].tolist() for row, n in zip(right, lengths, strict=True)] == rows
    assert count_tokens(right).tolist() == lengths.tolist()


def test_a_review_without_a_known_word_has_the_unknown_one() -> None:
    assert pad_right(np.zeros((3, 4), np.uint8)).tolist() == [[UNKNOWN_ID]] * 3
    assert pad_right(np.zeros((0, 4), np.uint8)).shape == (0, 1)
    assert pad_right(np.array([[0, 0], [4, 5]])).tolist() == [[UNKNOWN_ID, 0], [4, 5]]


def test_lengths_of_encoded_reviews() -> None:
    reviews = make_encoded(30)
    expected = [len([token for token in row if token]) for row in reviews.sequences.tolist()]
    assert reviews.lengths.tolist() == expected


@given(hnp.arrays(np.int64, st.integers(0, 9), elements=st.integers(0, 9)), st.integers(1, 9))
def test_longer_reviews_lack_their_middle(lengths: np.ndarray, length: int) -> None:
    rows = [list(range(2, 2 + n)) for n in lengths.tolist()]
    left = np.array([[0] * (9 - len(row)) + row for row in rows], np.uint16).reshape(-1, 9)
    head = round(length / 4)
    expected = [
        [0] * (length - len(row)) + row
        if len(row) <= length
        else row[:head] + row[len(row) - length + head :]
        for row in rows
    ]
    found = shorten(left, length)
    assert found.shape == (len(rows), length)
    assert found.dtype == np.uint16
    assert found.tolist() == expected
