"""The parameters of a run: those given now, and those that its inputs were made with."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kedro.framework.project import settings

from imdb_sentiment.framework.lineage import Record, flatten

MISSING = object()

# The name of the CSV as a parameter, and as a setting that other parameters follow too.
FILE, FILE_SETTING = "reviews.file", "reviews_file"


@dataclass(frozen=True)
class Parameters:
    """The parameters of a run.

    Attributes:
        values: The parameters, nested as in conf/.
        given: Dotted names of those that came from `--params` or an environment, in this run or in
            the one that made its inputs.
        adopted: Values that this run takes from the one that made its inputs, by dotted name.

    """

    values: dict[str, Any]
    given: frozenset[str]
    adopted: dict[str, Any]

    def get(self, name: str) -> Any:
        """Return the value of a dataset of Kedro, such as `params:split` or `parameters`."""
        value: Any = self.values
        if name != "parameters":
            for part in name.removeprefix("params:").split("."):
                value = value[part]
        return value


class Configuration:
    """The parameters in conf/, with and without what was given for this run.

    Args:
        loader: The loader of the run's configuration.

    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._usual = dict(flatten(self._load(None, {})))
        # Last, as loaders share their resolver of globals.
        self._values = self._load(loader.env, loader.runtime_params or {})

    def adopt(self, sources: Iterable[Record], *, reads_file: bool) -> Parameters:
        """Return the parameters of a run.

        What was given for an earlier run, and neither given nor changed in conf/ since, is taken
        from it: so `kedro run --params reviews_file=mine.csv` can be followed by
        `kedro run --pipelines reporting`.

        Args:
            sources: The records of all datasets that the inputs of the run were made from.
            reads_file: Whether the run reads the CSV, which is then the one of this run.

        """
        given = self._find_given(self._values)
        kept = given | {FILE} if reads_file else given
        earlier: dict[str, Any] = {}
        for record in sorted(sources, key=lambda record: record.time):
            for key, value in flatten(record.parameters):
                if key in record.given and key not in kept:
                    earlier[key] = value
        values = self._values
        if FILE in earlier:
            runtime_params = {**(self._loader.runtime_params or {}), FILE_SETTING: earlier[FILE]}
            values = self._load(self._loader.env, runtime_params)
        values = _merge(values, earlier)
        now = dict(flatten(self._values))
        adopted = {key: value for key, value in flatten(values) if now.get(key, MISSING) != value}
        adopted.pop(FILE_SETTING, None)
        return Parameters(values, frozenset(given | set(earlier) | set(adopted)), adopted)

    def _find_given(self, values: Mapping[str, Any]) -> set[str]:
        """Return the names of parameters that come from `--params` or an environment."""
        now = dict(flatten(values))
        differ = {
            key
            for key in now.keys() | self._usual.keys()
            if now.get(key, MISSING) != self._usual.get(key, MISSING)
        }
        named = {key for key, _ in flatten(self._loader.runtime_params or {})}
        return differ | named | ({FILE} if FILE_SETTING in named else set())

    def _load(self, env: str | None, runtime_params: dict[str, Any]) -> dict[str, Any]:
        fresh = type(self._loader)(
            self._loader.conf_source,
            env=env,
            runtime_params=runtime_params,
            **settings.CONFIG_LOADER_ARGS,
        )
        return dict(fresh["parameters"])


def _merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with changes by dotted names."""
    merged = copy.deepcopy(dict(values))
    for key, value in changes.items():
        *groups, last = key.split(".")
        place = merged
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return merged
