"""The text files in a tar archive that is downloaded when it is first needed."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imdb_sentiment.datasets.base import MEGABYTE, LoadOnlyDataset, Stream, require_local
from imdb_sentiment.errors import InputError, get_first_line, is_disk_error
from imdb_sentiment.progress import Task


class DownloadedTarDataset(LoadOnlyDataset[Stream[tuple[str, str]]]):
    """A .tar.gz of texts, downloaded or the user's own, read member by member.

    It loads as a stream of (member name, text) of the regular files, in the archive's order. The
    archive is never extracted, so it cannot write anything outside.

    Args:
        filepath: Local path at which the download is kept.
        url: URL of the download.
        sha256: Checksum of the download, as hexadecimal digits.
        own_archive: Path of an archive to read instead, whose checksum is not verified.
        metadata: Metadata for plugins; ignored by Kedro.

    Loading or iterating raises:
        InputError: If the download fails, or the archive is missing or damaged.

    """

    def __init__(
        self,
        *,
        filepath: str,
        url: str,
        sha256: str,
        own_archive: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = require_local(filepath)
        self._url = url
        self._sha256 = sha256
        self._own_archive = Path(own_archive).expanduser() if own_archive else None
        self.metadata = metadata

    def load(self) -> Stream[tuple[str, str]]:
        """Return the stream, after a download if one is needed."""
        archive = self._own_archive or self._downloaded()
        if not archive.is_file():
            raise InputError(f"{archive} does not exist: check --params imdb_archive=PATH")
        return Stream(lambda: _members(archive))

    def _downloaded(self) -> Path:
        """Return the archive's path; pooch renames a download to it once the checksum is right."""
        import pooch
        from requests.exceptions import RequestException

        store = pooch.create(
            path=self._filepath.parent,
            base_url="",
            registry={self._filepath.name: f"sha256:{self._sha256}"},
            urls={self._filepath.name: self._url},
            retry_if_failed=2,
        )
        name = self._filepath.name
        try:
            with Task(f"Downloading {name}", 0, "MB") as task:
                return Path(store.fetch(name, progressbar=_DownloadProgress(task)))
        except (RequestException, OSError, ValueError) as error:
            if is_disk_error(error):
                raise
            raise InputError(
                f"could not fetch {self._url} ({get_first_line(error)}): check the connection and "
                "run again, or download the file by other means and pass it with "
                "--params imdb_archive=PATH"
            ) from error

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._own_archive or self._filepath), "url": self._url}


class _DownloadProgress:
    """The progress bar that pooch updates: it reports to a task."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._bytes = 0

    def _begin(self, total: int) -> None:
        self._bytes = 0
        self._task.total = total / MEGABYTE

    total = property(None, _begin)  # which pooch sets at the beginning of each transfer

    def update(self, more: int) -> None:
        self._bytes += more
        self._task.update(self._bytes / MEGABYTE)

    def reset(self) -> None:
        self._bytes = 0

    def close(self) -> None:
        """Do nothing: the task ends with its block."""


def _members(archive: Path) -> Iterator[tuple[str, str]]:
    try:
        with gzip.open(archive) as content, tarfile.open(fileobj=content, mode="r|") as tar:
            for member in tar:
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps every header
                if member.isreg() and (file := tar.extractfile(member)):
                    yield member.name, file.read().decode("utf-8")
            # The file's checksum is at its very end, and tar stops reading before.
            while content.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise InputError(
            f"{archive} is damaged or not a .tar.gz of texts ({get_first_line(error)}): download "
            "it again"
        ) from error
