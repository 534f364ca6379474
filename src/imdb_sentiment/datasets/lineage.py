"""Digests of the files that data/ was made from, for the report; hooks keep these records."""

import json
from pathlib import Path, PurePath
from typing import Any

from imdb_sentiment.datasets.base import LoadOnlyDataset, require_local


class LineageDataset(LoadOnlyDataset[dict[str, dict[str, str]]]):
    """Loads the digest of each dataset that has been saved, and of the files that were read.

    Args:
        filepath: Local path of the records.
        metadata: Metadata for plugins; ignored by Kedro.

    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = require_local(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, dict[str, str]]:
        """Return `file`, `sha256` and `made` by the name of the dataset; nothing without records.

        `file` is a name without its folder. `made` is a time, or empty for files that no node has
        made. Files on other machines are left out, because their content is not read.
        """
        path = Path(self._filepath)
        if not path.is_file():
            return {}
        found: dict[str, dict[str, str]] = {}
        for name, record in json.loads(path.read_text(encoding="utf-8"))["records"].items():
            for source, read in record["inputs"].items():
                found.setdefault(source, _describe(read, made=""))
            found[name] = _describe(record, made=f"{record['time'][:16].replace('T', ' ')} UTC")
        return {name: entry for name, entry in found.items() if entry["sha256"]}

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _describe(entry: dict[str, Any], made: str) -> dict[str, str]:
    path = entry["path"] or ""
    is_known = path and "://" not in path
    return {
        "file": PurePath(path).name,
        "sha256": entry["digest"] if is_known else "",
        "made": made,
    }
