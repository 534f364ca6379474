import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdb_sentiment.evaluation.examples import choose_diverse


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50), st.floats(0, 1)), max_size=40),
    st.integers(0, 12),
)
def test_labels_take_turns(rows: list[tuple[str, int, float]], n: int) -> None:
    labels, lengths = [row[0] for row in rows], [row[1] for row in rows]
    confidences = [row[2] for row in rows]
    chosen = choose_diverse(labels, lengths, n, confidences)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert len(chosen) == min(n, len(rows))
    found = [labels[place] for place in chosen]
    for label in set(labels):
        # Of each label there are as many as of the others, unless it has no more short ones.
        own = np.array(
            [length for name, length in zip(labels, lengths, strict=True) if name == label]
        )
        available = int((own <= np.quantile(own, 0.9)).sum())
        fair = n // len(set(labels))
        assert found.count(label) >= min(fair, available)


def test_the_first_is_in_the_middle_and_the_next_are_far_from_it() -> None:
    lengths = list(range(1, 101))
    assert choose_diverse(["a"] * 100, lengths, 1).tolist() == [49]
    assert choose_diverse(["a"] * 100, lengths, 3).tolist() == [
        0,
        49,
        89,
    ]  # the longest are left out


def test_the_most_frequent_label_comes_first() -> None:
    assert choose_diverse(["a"] * 3 + ["b"] * 5, [1] * 8, 1).tolist() == [3]


@pytest.mark.parametrize("confident", [0, 1])
def test_further_measures_count(confident: int) -> None:
    """Reviews of one length differ in their confidence alone."""
    confidences = [0.5] * 9 + [0.9 * confident + 0.05]
    assert 9 in choose_diverse(["a"] * 10, [7] * 10, 2, confidences)
