import dataclasses

import numpy as np
import pytest

from helpers import make_encoded


def test_adding_keeps_every_review_in_order() -> None:
    first, second = make_encoded(5, seed=1), make_encoded(3, seed=2)
    both = first + second
    assert len(both) == 8
    np.testing.assert_array_equal(both.sequences[5:], second.sequences)
    np.testing.assert_array_equal(both.rows[:5], first.rows)


def test_sets_of_other_labels_do_not_add() -> None:
    with pytest.raises(ValueError, match="other labels"):
        make_encoded(5) + make_encoded(5, n_labels=3)


def test_sets_of_other_lengths_do_not_add() -> None:
    with pytest.raises(ValueError, match="dimension"):
        make_encoded(5, length=6) + make_encoded(5, length=7)


def test_the_fingerprint_follows_the_content() -> None:
    encoded = make_encoded(5)
    assert encoded.fingerprint() == make_encoded(5).fingerprint()
    sequences, codes = encoded.sequences.copy(), encoded.codes.copy()
    sequences[2, -2] += 1
    codes[0] = 1
    changed = [
        dataclasses.replace(encoded, sequences=sequences),
        dataclasses.replace(encoded, codes=codes),
        dataclasses.replace(encoded, sequences=encoded.sequences.astype(np.uint16)),
        dataclasses.replace(encoded, labels=("bad", "good")),
        dataclasses.replace(encoded, vocabulary_size=31),
    ]
    assert len({encoded.fingerprint(), *(other.fingerprint() for other in changed)}) == 6


def test_sets_have_the_fingerprint_of_one_set() -> None:
    sets = [make_encoded(n, seed=n) for n in (5, 1, 7)]
    assert sets[0].fingerprint(*sets[1:]) == (sets[0] + sets[1] + sets[2]).fingerprint()
    assert sets[0].fingerprint(*sets[1:]) != sets[0].fingerprint(*sets[:0:-1])
