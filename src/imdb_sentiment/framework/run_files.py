"""The files of the datasets that a run reads and writes."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from kedro.io import AbstractVersionedDataset, DataCatalog, DatasetError

from imdb_sentiment.datasets import OptionalJSONDataset
from imdb_sentiment.datasets.base import LoadOnlyDataset
from imdb_sentiment.datasets.csv_format import LOAD_ARGS
from imdb_sentiment.framework.lineage import Lineage, digest_value
from imdb_sentiment.pipeline_registry import create_pipelines


class RunFiles:
    """The files of the datasets in a catalog.

    Args:
        catalog: The catalog of the run.
        lineage: Names paths as the records do.

    """

    def __init__(self, catalog: DataCatalog, lineage: Lineage) -> None:
        self.catalog = catalog
        self._lineage = lineage

    def find_path(self, name: str) -> str | None:
        """Return the path of a dataset's file as in the records; None if it has none."""
        entry = self._find_entry(name)
        path = entry.get("filepath") or entry.get("path")
        return self._lineage.name_path(path) if path else None

    def find_version(self, name: str, *, is_saved: bool = False) -> str:
        """Return the version of a dataset's file that a run loads, or has saved; empty if none."""
        dataset = self.get(name if name in self.catalog else f"{name}@one")
        if not isinstance(dataset, AbstractVersionedDataset):
            return ""
        try:
            found = dataset.resolve_save_version() if is_saved else dataset.resolve_load_version()
        except DatasetError:  # there is none
            return ""
        return found or ""

    def list_paths(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the sorted paths of the files of several datasets, without `is_resource`."""
        names = (name for name in names if not is_parameter(name) and not self.is_resource(name))
        return tuple(
            sorted({path for name in strip_names(names) if (path := self.find_path(name))})
        )

    def has_no_file(self, name: str) -> bool:
        """Return whether a dataset is only kept in memory, or in a database."""
        return self.find_path(name) is None

    def is_raw(self, name: str) -> bool:
        """Return whether a dataset is a file of the user, which no node makes."""
        metadata = self._find_entry(name).get("metadata") or {}
        is_marked = metadata.get("kedro-viz", {}).get("layer") == "01_raw"
        return is_marked or name not in list_outputs()

    def describe_options(self, name: str) -> str:
        """Return the digest of a dataset's entry in the catalog, except for its file.

        The number of rows that are read at a time is left out: the rows are the same.
        """
        entry = self._find_entry(name) or self.catalog.config_resolver.resolve_pattern(name)
        if "chunksize" in (load_args := entry.get("load_args") or {}):
            entry = entry | {"load_args": load_args | {"chunksize": LOAD_ARGS["chunksize"]}}
        skipped = ("filepath", "path", "metadata", "credentials", "prefix")
        return digest_value(
            {key: repr(value) for key, value in entry.items() if key not in skipped}
        )

    def is_resource(self, name: str) -> bool:
        """Return whether a dataset has no content of its own, such as the time of the run.

        Such a dataset can only be loaded, but so can a file that another pipeline may have made.
        """
        dataset = self.get(name)
        return isinstance(dataset, LoadOnlyDataset) and not isinstance(dataset, OptionalJSONDataset)

    def exists(self, name: str) -> bool:
        """Return whether the file of a dataset exists, though it may be hidden from the runner."""
        names = (full for full in (name, f"{name}@one") if full in self.catalog)
        datasets = map(self.get, names)
        return any(type(dataset).exists(dataset) for dataset in datasets)

    def hide(self, names: Iterable[str]) -> None:
        """Make the runner treat datasets as missing."""
        for name in names:
            self.get(name).exists = lambda: False

    def get(self, name: str) -> Any:
        """Return a dataset."""
        return self.catalog.get(name, fallback_to_runtime_pattern=True)

    def _find_entry(self, name: str) -> dict[str, Any]:
        """Return the catalog's entry of a dataset that has a file."""
        resolve = self.catalog.config_resolver.resolve_pattern
        entries = (resolve(full) for full in (name, f"{name}@one"))
        return next((entry for entry in entries if {"filepath", "path"} & entry.keys()), {})


def is_parameter(name: str) -> bool:
    """Return whether an input of a node is a parameter, not a dataset."""
    return name == "parameters" or name.startswith("params:")


def strip_names(names: Iterable[str]) -> set[str]:
    """Return the names of datasets, without parameters and without the `@…` of transcoding."""
    return {name.partition("@")[0] for name in names if not is_parameter(name)}


@cache
def list_outputs() -> frozenset[str]:
    """Return the names of all datasets that nodes make."""
    outputs = (strip_names(pipeline.all_outputs()) for _, pipeline in create_pipelines())
    return frozenset().union(*outputs)
