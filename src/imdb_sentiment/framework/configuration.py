"""The parameters of a run: those given now, and those that its inputs were made with."""

import copy
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kedro.framework.project import settings

from imdb_sentiment.framework.lineage import MISSING, Record, flatten

# The name of the CSV as a parameter, and as a setting that other parameters follow too.
FILE, FILE_SETTING = "reviews.file", "reviews_file"


@dataclass(frozen=True)
class Parameters:
    """The parameters of a run.

    Attributes:
        values: The parameters, nested as in conf/.
        given: Dotted names of those that came from `--params`, in this run or in the one that made
            its inputs.
        adopted: Values that this run takes from the one that made its inputs, by dotted name.
        env: Name of the environment.

    """

    values: dict[str, Any]
    given: frozenset[str]
    adopted: dict[str, Any]
    env: str

    def get(self, name: str) -> Any:
        """Return the value of `params:split`, of `split`, or of all `parameters`; None if none."""
        value: Any = self.values
        if name != "parameters":
            for part in name.removeprefix("params:").split("."):
                value = value.get(part) if isinstance(value, dict) else None
        return value


class Configuration:
    """The parameters in conf/, with and without what was given for this run.

    Args:
        loader: The loader of the run's configuration.

    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._runtime_params: dict[str, Any] = loader.runtime_params or {}
        self.named = {key for key, _ in flatten(self._runtime_params)}  # in `--params`

    def adopt(self, sources: Iterable[Record], *, reads_file: bool) -> Parameters:
        """Return the parameters of a run.

        What was given for an earlier run, and is not given now, is taken from it: so
        `kedro run --params reviews_file=mine.csv` can be followed by
        `kedro run --pipelines reporting`. The environment is taken as a whole.

        Args:
            sources: The records of all datasets that the inputs of the run were made from.
            reads_file: Whether the run reads the CSV, which is then the one of this run.

        """
        sources = sorted(sources, key=lambda record: record.time)
        own_env = env = self._loader.env or self._loader.default_run_env
        if sources and env == self._loader.default_run_env:
            env = sources[-1].env
        kept = self.named | ({FILE} if reads_file or FILE_SETTING in self.named else set())
        earlier: dict[str, Any] = {}
        for record in sources:
            for key, value in flatten(record.parameters):
                if key in record.given and key not in kept:
                    earlier[key] = value
        usual = dict(flatten(self._load(env, {})))
        file = {FILE_SETTING: earlier[FILE]} if FILE in earlier else {}
        is_own = env == own_env and not file
        of_inputs = None if is_own else self._load(env, {**self._runtime_params, **file})
        # Last, as loaders share their resolver of globals.
        own = self._load(own_env, self._runtime_params)
        values = _merge(own if of_inputs is None else of_inputs, earlier)
        now = dict(flatten(own))
        found = dict(flatten(values))
        adopted = {key: value for key, value in found.items() if now.get(key, MISSING) != value}
        adopted.pop(FILE_SETTING, None)
        differ = {key for key, value in found.items() if usual.get(key, MISSING) != value}
        return Parameters(values, frozenset(self.named | differ), adopted, env)

    def format_options(self, parameters: Parameters) -> str:
        """Return the options of `kedro run` that give these parameters, each after a space."""
        values = dict(flatten(parameters.values))
        named = dict(flatten(self._runtime_params))
        usual = dict(flatten(self._load(parameters.env, {})))
        file = named.get(FILE_SETTING, values.get(FILE))
        if file == usual.get(FILE):
            changes = {}
        else:  # the names of other things follow it
            changes = {FILE_SETTING: file}
            usual = dict(flatten(self._load(parameters.env, changes)))
        for key in sorted(parameters.given - {FILE_SETTING}):
            value = values.get(key, named.get(key))  # what the catalog reads is no parameter
            if usual.get(key, MISSING) != value:
                changes[key] = value
        is_base = parameters.env == self._loader.default_run_env
        env = "" if is_base else f" --env {parameters.env}"
        listed = ",".join(f"{key}={_format(value)}" for key, value in changes.items())
        return f"{env} --params {shlex.quote(listed)}" if listed else env

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
        place: Any = merged
        for group in groups:
            place = place.setdefault(group, {}) if isinstance(place, dict) else None
        if isinstance(place, dict):  # otherwise the group is gone, which a comparison will show
            place[last] = value
    return merged


def _format(value: Any) -> str:
    """Return a value as `--params` reads it; lists can't be given there, and are left out."""
    if isinstance(value, list | dict):
        return "..."
    return value if isinstance(value, str) else json.dumps(value)
