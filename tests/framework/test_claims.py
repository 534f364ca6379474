"""No two runs of a project mix their files."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.claims import FOLDER, Claim, ClaimRegistry

HOLD = """
import sys
from pathlib import Path
from imdb_sentiment.framework.claims import Claim, ClaimRegistry
claimed = ClaimRegistry(Path(sys.argv[1])).make("theirs", Claim((), ("data/a",), "", "theirs"))
print("claimed", flush=True)
sys.stdin.read()
"""


def make_claim(reads: str = "", writes: str = "", *, search: str = "") -> Claim:
    return Claim(tuple(reads), tuple(writes), search, f"the run that writes {writes}")


paths = st.text("abc", max_size=3)
all_claims = st.builds(make_claim, paths, paths, search=st.sampled_from(["", "one", "other"]))


@given(all_claims, all_claims)
def test_runs_conflict_if_one_writes_what_the_other_uses(one: Claim, other: Claim) -> None:
    conflicts = set()
    for path in "abc":
        uses = [
            (path in claim.writes, path in claim.reads or path in claim.writes)
            for claim in (one, other)
        ]
        both_write = all(writes for writes, _ in uses)
        changes_what_is_read = any(
            first.writes.count(path) and second.reads.count(path)
            for first, second in itertools.permutations([one, other])
        )
        if changes_what_is_read or (both_write and not (one.search == other.search != "")):
            conflicts.add(path)
    assert one.find_conflict(other) == other.find_conflict(one) == min(conflicts, default=None)


def test_a_claim_lasts_until_it_is_released(tmp_path: Path) -> None:
    claims = ClaimRegistry(tmp_path)
    claimed = claims.make("one", make_claim(writes="a"))
    with pytest.raises(InputError, match=r"another run is using a \(the run that writes a\)"):
        claims.make("two", make_claim(reads="a"))
    claims.make("three", make_claim(reads="b", writes="c")).release()
    claimed.release()
    claims.make("two", make_claim(reads="a")).release()
    assert {path.name for path in (tmp_path / FOLDER).iterdir()} == {"all.lock"}


def test_the_claim_of_a_killed_process_counts_no_longer(tmp_path: Path) -> None:
    claims = ClaimRegistry(tmp_path)
    claim = Claim(("data/a",), (), "", "mine")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "claimed\n"
        with pytest.raises(InputError, match=r"using data/a \(theirs\)"):
            claims.make("mine", claim)
        process.kill()
        process.wait()
        claims.make("mine", claim).release()
    assert {path.name for path in (tmp_path / FOLDER).iterdir()} == {"all.lock"}
