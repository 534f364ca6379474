"""Claims of running runs to files of a project, so that no two runs mix their files."""

import json
import os
import platform
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from imdb_sentiment.datasets.atomic import atomic_write
from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.locks import hold_lock

FOLDER = Path("data/.runs")


@dataclass(frozen=True)
class Claim:
    """The files that a run reads and writes.

    Attributes:
        reads: Paths of the files that must not change during the run.
        writes: Paths of the files that the run makes.
        search: Digest of the parameters of a search. Runs of the same search may write the same
            files, because they share a study. Empty for any other run.
        description: Description of the run, for messages.

    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    search: str
    description: str

    def find_conflict(self, other: Self) -> str | None:
        """Return a path that both runs can't use at once, or None if there is none."""
        mine, theirs = set(self.writes), set(other.writes)
        paths = (mine & set(other.reads)) | (theirs & set(self.reads))
        if not (self.search and self.search == other.search):
            paths |= mine & theirs
        return min(paths, default=None)


class HeldClaim:
    """Files that a run has claimed; `release` gives them up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path.with_suffix(".lock"), thread_local=False)

    def acquire(self) -> bool:
        """Return whether no other process holds the claim; then this one does."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Give up the files."""
        with suppress(PermissionError):  # on Windows, if another run looks at it just now
            self._path.unlink(missing_ok=True)
        self._lock.release()
        with suppress(PermissionError):
            self._path.with_suffix(".lock").unlink(missing_ok=True)


class ClaimRegistry:
    """The claims of all running runs of a project.

    A run holds a lock on a file of its own as long as its process lives. So the claim of a killed
    run no longer counts.

    Args:
        project: The project's folder.

    """

    def __init__(self, project: Path) -> None:
        self._folder = project / FOLDER

    def make(self, run: str, claim: Claim) -> HeldClaim:
        """Claim files for a run, until they are released or the process ends.

        Args:
            run: Id of the run, which may be part of the name of a file.
            claim: The files.

        Returns:
            The claim, to be released after the run.

        Raises:
            InputError: Another run uses one of them.

        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(self._folder / "all.lock"):
            for other in self._find_others():
                if conflict := claim.find_conflict(other):
                    raise InputError(
                        f"another run is using {conflict} ({other.description}): wait until "
                        "it ends, or use another copy of the project"
                    )
            path = self._folder / f"{run}-{uuid.uuid4().hex[:8]}.json"
            claimed = HeldClaim(path)
            claimed.acquire()
            with atomic_write(path) as partial:
                partial.write_text(json.dumps(asdict(claim)), encoding="utf-8")
        return claimed

    def _find_others(self) -> Iterator[Claim]:
        """Yield the claims of other running runs, and remove those of killed ones."""
        for path in self._folder.glob("[!.]*.json"):
            claimed = HeldClaim(path)
            if claimed.acquire():
                claimed.release()
                continue
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:  # the run has just ended
                continue
            reads, writes = tuple(found["reads"]), tuple(found["writes"])
            yield Claim(reads, writes, found.get("search", ""), found["description"])


def describe_process() -> str:
    """Return the process, the machine and the time, for people."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"process {os.getpid()} on {platform.node()}, since {now}"
