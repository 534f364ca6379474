"""The parameters of a run: those given now, and those that its inputs were made with."""

import copy
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro.framework.project import settings

from imdb_sentiment.command_line import quote_value, quote_word, spell_out
from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.lineage import MISSING, Record, flatten

# Read by the catalog with `runtime_params`, so they are not parameters of a node.
CATALOG_PARAMETERS = (
    "imdb_archive",
    "input_delimiter",
    "input_encoding",
    "input_file",
    "output_file",
    "reviews_delimiter",
    "reviews_encoding",
    "reviews_file",
    "unlabelled_delimiter",
    "unlabelled_encoding",
    "unlabelled_file",
)
# Names of the setting that chooses the table, which other parameters follow, and of the parameter.
FILE_SETTING, FILE = "reviews_file", "reviews.file"
RAW_REVIEWS = "raw_reviews"  # the dataset that reads the table


@dataclass(frozen=True)
class RunParameters:
    """The parameters of a run.

    Attributes:
        values: The parameters, nested as in conf/.
        given: Dotted names of the parameters that were passed with `--params`, to this run or to
            the run that made its inputs.
        adopted: Values that this run takes over from the run that made its inputs, by dotted name.
        settings: Values that the catalog reads with `runtime_params`, from either run, by name.
        env: Name of the environment.

    """

    values: dict[str, Any]
    given: frozenset[str]
    adopted: dict[str, Any]
    settings: dict[str, Any]
    env: str

    def get(self, name: str) -> Any:
        """Return the value of `params:split`, of `split`, or of all `parameters`; None if none."""
        value: Any = self.values
        if name != "parameters":
            for part in name.removeprefix("params:").split("."):
                value = value.get(part) if isinstance(value, dict) else None
        return value


class Configuration:
    """The parameters in conf/, with and without those that were given for this run.

    Args:
        loader: The loader of the run's configuration.
        project: The project's folder.

    """

    def __init__(self, loader: Any, project: Path) -> None:
        self._loader = loader
        self._project = project
        self._runtime_params: dict[str, Any] = loader.runtime_params or {}
        self.named = {key for key, _ in flatten(self._runtime_params)}  # in `--params`

    def without_params(self) -> "Configuration":
        """Return the same configuration without the parameters and presets of this run."""
        return Configuration(self._loader.replace(None, {}), self._project)

    def is_set(self, setting: str) -> bool:
        """Return whether `--params`, a preset or conf/local has a setting of globals.yml."""
        return setting in self.named or self._loader.overrides("globals", setting)

    def get_setting(self, name: str, given: Mapping[str, Any]) -> Any:
        """Return a value of globals.yml, as `given` for a run or as it is in conf/."""
        return given[name] if name in given else self._loader["globals"].get(name)

    def adopt(self, sources: Iterable[Record], *, reads_file: bool) -> RunParameters:
        """Return the parameters of a run.

        Parameters that were given for an earlier run, and are not given now, are taken from that
        run, so that `kedro run --params reviews_file=mine.csv` can be followed by
        `kedro run --pipelines reporting`. So are all parameters of its environment.

        Args:
            sources: The records of all datasets that the inputs of the run were made from.
            reads_file: Whether the run reads the table; if so, it keeps its own.

        Raises:
            InputError: The environment of that run is no longer in conf/.

        """
        sources = sorted(sources, key=lambda record: record.time)
        own_env = env = self.env
        if sources and env == self._loader.default_run_env:
            env = sources[-1].env
        kept = self.named | ({FILE} if reads_file or FILE_SETTING in self.named else set())
        earlier: dict[str, Any] = {}
        for record in sources:
            for key, value in flatten(record.parameters):
                # Others may have been given for an earlier run only, perhaps with another table.
                earlier = {name: old for name, old in earlier.items() if not _overlap(name, key)}
                if key in record.given and not any(_overlap(key, name) for name in kept):
                    earlier[key] = value
        chosen = {} if reads_file or not sources else dict(sources[-1].settings)
        chosen |= {
            key: value for key, value in self._runtime_params.items() if key in CATALOG_PARAMETERS
        }
        file = {key: value for key, value in chosen.items() if key == FILE_SETTING}
        try:
            # What follows from the name of the table, as that of the study does, is not given.
            usual = dict(flatten(self._load(env, file)))
        except InputError as error:
            if env == own_env:
                raise
            raise InputError(f"the inputs were made with --env {env}, and {error}") from error
        values = _merge(self._load(env, {**self._runtime_params, **file}), earlier)
        found = dict(flatten(values))
        own = dict(flatten(self._load(own_env, self._runtime_params)))
        adopted = {key: value for key, value in found.items() if own.get(key, MISSING) != value}
        adopted.pop(FILE_SETTING, None)
        differ = {key for key, value in found.items() if usual.get(key, MISSING) != value}
        return RunParameters(values, frozenset(self.named | differ), adopted, chosen, env)

    def format_run(self, selection: str, parameters: RunParameters, more: str = "") -> str:
        """Return the command of a run with these parameters.

        Args:
            selection: Options that choose what it does, each after a space.
            parameters: The parameters.
            more: Further options, each after a space.

        Returns:
            The command; parameters that `--params` can't express, such as lists, follow it.

        """
        values = dict(flatten(parameters.values))
        usual = dict(flatten(self._load(parameters.env, parameters.settings)))
        given = dict(parameters.settings)
        for key in sorted(values):
            is_setting = key in CATALOG_PARAMETERS
            is_given = key in parameters.given and not is_setting
            if values[key] == {} and f"{key.rpartition('.')[0]}.name" in parameters.given:
                continue  # another name does without the arguments
            if is_given and usual.get(key, MISSING) != values[key]:
                given[key] = values[key]
        given = spell_out(given)
        listed = {key: quote_value(value) for key, value in given.items()}
        options = ""
        if self._project / settings.CONF_SOURCE != Path(self._loader.conf_source):
            options += f" --conf-source {quote_word(str(self._loader.conf_source))}"
        if parameters.env != self._loader.default_run_env:
            options += f" --env {quote_word(parameters.env)}"
        if expressed := ",".join(f"{key}={text}" for key, text in listed.items() if text):
            options += f" --params {quote_word(expressed)}"
        rest = [f"{key}: {json.dumps(given[key])}" for key, text in listed.items() if not text]
        in_conf = f" (with {'; '.join(rest)} in conf/)" if rest else ""
        return f"kedro run{selection}{options}{more}{in_conf}"

    def list_other_entries(self, env: str, names: Collection[str]) -> list[str]:
        """Return the entries of the catalog that are not the same in another environment.

        Args:
            env: Name of the environment.
            names: Names of the datasets to compare.

        """
        if env == self.env:
            return []
        other, own = (self._load(name, self._runtime_params, "catalog") for name in (env, self.env))
        return sorted(
            name
            for name in other.keys() | own.keys()
            if (name in names or "{" in name) and other.get(name) != own.get(name)
        )

    @property
    def env(self) -> str:
        """Name of the environment of this run."""
        return str(self._loader.env or self._loader.default_run_env)

    def _load(
        self, env: str | None, runtime_params: dict[str, Any], kind: str = "parameters"
    ) -> dict[str, Any]:
        loaded: dict[str, Any] = self._loader.replace(env, runtime_params)[kind]
        return loaded


def _overlap(name: str, other: str) -> bool:
    """Return whether two dotted names are equal, or one is that of a group with the other."""
    return f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}.")


def _merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with changes by dotted names."""
    merged = copy.deepcopy(dict(values))
    for key, value in changes.items():
        *groups, last = key.split(".")
        place: Any = merged
        for group in groups:
            if isinstance(place, dict) and place.get(group) is None:
                place[group] = {}  # null in conf/, or not there
            place = place[group] if isinstance(place, dict) else None
        if isinstance(place, dict):  # otherwise the group is gone, which a comparison will show
            place[last] = value
    return merged
