from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from imdb_sentiment.pipelines.data_processing.duplicates import KeyIndex

ROW = st.tuples(
    st.integers(0, 40), st.integers(0, 40), st.integers(0, 32767), st.booleans()
)  # two keys, code, whether it is usable


def claim_one_by_one(rows: Sequence[tuple[int, int, int, bool]]) -> list[int]:
    """Return what `KeyIndex.claim` returns, by its definition."""
    codes: dict[int, int] = {}
    found = []
    for one, other, code, is_usable in rows:
        before = [codes[key] for key in (one, other) if is_usable and key in codes]
        found.append(before[0] if before else -1)
        if is_usable and not before:
            codes |= {one: code, other: code}
    return found


@given(chunks=st.lists(st.lists(ROW, max_size=12), max_size=8))
def test_rows_are_found_as_one_by_one(chunks: list[list[tuple[int, int, int, bool]]]) -> None:
    index = KeyIndex()
    found: list[int] = []
    for chunk in chunks:
        table = np.array(chunk, np.int64).reshape(-1, 4)
        keys, codes, is_usable = np.split(table, [2, 3], axis=1)
        found += index.claim(
            keys.astype(np.uint64), codes.ravel(), is_usable.ravel().astype(bool)
        ).tolist()
    assert found == claim_one_by_one([row for chunk in chunks for row in chunk])


def test_keys_of_all_64_bits_are_told_apart() -> None:
    index = KeyIndex()
    keys = np.array([[2**64 - 1], [2**63], [2**63 - 1], [0]], np.uint64)
    assert index.claim(keys).tolist() == [-1] * 4
    assert index.claim(keys).tolist() == [0] * 4
    assert index.claim(keys - np.uint64(1)).tolist() == [-1, 0, -1, 0]
