"""A loader of conf/ that combines several presets with each other and with conf/local."""

import copy
import re
from pathlib import Path
from typing import Any, Self

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import KeyValidationError, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from imdb_sentiment.errors import InputError
from imdb_sentiment.framework.lineage import flatten

# Files of conf/base and of another folder, the paths of both, and all files that were read.
Files = tuple[dict[Path, DictConfig], dict[Path, DictConfig], str, str, set[Path]]

# Groups of a `name` and its `arguments`, which do not fit another name.
CLASSES = ("tuning.sampler", "tuning.pruner")


class PresetsConfigLoader(OmegaConfigLoader):
    """Kedro's loader, except that `--env` may name several presets, and never hides conf/local.

    `--env imdb,best` reads conf/base, conf/imdb, conf/best and conf/local. Of two values of one
    parameter, that of the later folder counts; if it names a sampler or pruner, the arguments in
    earlier folders are ignored, and so is a range of another type. Kedro would read conf/base and
    one other folder.

    Each kind of files is read once, since a run needs its parameters a dozen times. In a notebook,
    `%reload_kedro` reads them again.

    Args:
        conf_source: Path of conf/.
        env: What `--env` names.
        runtime_params: Parameters that replace those in conf/.
        loaded: What loaders of the same conf/ have read; it is added to.
        options: Further options of `OmegaConfigLoader`.

    """

    def __init__(
        self,
        conf_source: str | Path,
        env: str | None = None,
        runtime_params: dict[str, Any] | None = None,
        *,
        loaded: dict[tuple[str, str, str], dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        self._loaded = {} if loaded is None else loaded
        self._options = options
        super().__init__(conf_source, env, runtime_params, **options)

    def replace(self, env: str | None, runtime_params: dict[str, Any]) -> Self:
        """Return a loader of the same files for another environment and other parameters."""
        return type(self)(
            self.conf_source, env, runtime_params, loaded=self._loaded, **self._options
        )

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a kind of values by hand; others may refer to them."""
        self._loaded = {}
        super().__setitem__(key, value)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return all files of one kind, merged; see `OmegaConfigLoader`.

        Raises:
            InputError: A file is not valid YAML or not a mapping, an interpolation is wrong, or a
                name, such as that of a label, is a number in one place and text in another, as
                always in `--params`.

        """
        if key in self:  # set by the user's code
            return super().__getitem__(key)
        wanted = (key, self.env or self.default_run_env, repr(self.runtime_params or {}))
        if wanted not in self._loaded:
            # Resolvers belong to the whole process, and Kedro registers this one only once.
            self._register_globals_resolver()
            self._loaded[wanted] = self._load(key)
        return copy.deepcopy(self._loaded[wanted])

    def _load(self, key: str) -> dict[str, Any]:
        try:
            return super().__getitem__(key)
        except KeyValidationError as error:
            name = str(error.full_key).rpartition(".")[2]
            raise InputError(
                f"{error.full_key} is set in two places, and {name} is a number in one of them: "
                f"put it into quotes in conf/, as in '{name}': …"
            ) from error
        except OmegaConfBaseException as error:
            why, *_ = str(error).splitlines()
            raise InputError(
                f"the value of {error.full_key} in conf/ cannot be read: {why} (${{…}} stands for "
                "another value)"
            ) from error
        except TypeError as error:
            if "incompatible container types" not in str(error):
                raise
            raise InputError(
                f"{self._find_conflict(key)} is a list in one place, and a group of names and "
                "values in another: write it as in conf/base"
            ) from error

    def _find_conflict(self, key: str) -> str:
        """Return the dotted name of a value that is a list in one place and a group in another."""
        base, later, *_ = self._read_raw_config(key)
        kinds: dict[str, type] = {}

        def visit(name: str, value: Any) -> str | None:
            kind = dict if isinstance(value, dict) else list if isinstance(value, list) else None
            if kind and kinds.setdefault(name, kind) is not kind:
                return name
            inner = value.items() if kind is dict else ()
            names = (visit(f"{name}.{part}" if name else str(part), x) for part, x in inner)
            return next(filter(None, names), None)

        contents = [*base.values(), *later.values(), OmegaConf.create(self.runtime_params or {})]
        found = (visit("", OmegaConf.to_container(content)) for content in contents)
        return next(filter(None, found), "a value in conf/ or --params")

    def overrides(self, key: str, name: str) -> bool:
        """Return whether a folder other than conf/base sets a value, such as one of `globals`."""
        _, later, *_ = self._read_raw_config(key)
        return any(name in content for content in later.values())

    def ignores(self, dataset: str, parameter: str) -> bool:
        """Return whether an entry of the catalog replaces that of conf/base, but not a parameter.

        Args:
            dataset: Name of the entry.
            parameter: Name of a parameter that the entry of conf/base uses.

        """
        _, later, *_ = self._read_raw_config("catalog")
        contents: list[Any] = [OmegaConf.to_container(content) for content in later.values()]
        entries = [str(content[dataset]) for content in contents if dataset in content]
        return bool(entries) and parameter not in entries[-1]

    def list_base(self, key: str) -> set[str]:
        """Return the names of the values of one kind in conf/base, such as those of its catalog."""
        base, *_ = self._read_raw_config(key)
        return {str(name) for content in base.values() for name in content}

    def _read_raw_config(self, key: str) -> Files:
        """Return the files of conf/base and, in their order, those of all other folders."""
        names = [name.strip() for name in (self.env or self.default_run_env).split(",")]
        folders = [name for name in names if name != self.default_run_env]
        if names != [self.base_env]:
            folders.append(self.default_run_env)  # which comes last
        found: list[Files] = []
        for name in folders:
            try:
                found.append(self._read(key, name))
            except MissingConfigException as error:
                if name != self.default_run_env:  # there need not be a conf/local
                    raise InputError(
                        f"there is no preset {name!r} in conf/, which --env names: {error}"
                    ) from error
        found = found or [self._read(key, self.base_env)]
        base, _, base_path, path, _ = found[-1]
        contents = [files for _, files, *_ in found]
        self._leave_out_arguments([base, *contents])
        _leave_out_ranges([base, *contents])
        later = {file: content for files in contents for file, content in files.items()}
        return base, later, base_path, path, set().union(*(read for *_, read in found))

    def _leave_out_arguments(self, folders: list[dict[Path, DictConfig]]) -> None:
        """Remove the arguments of a class if a later folder names one, or `--params` another."""
        given = OmegaConf.create(self.runtime_params or {})
        for group in CLASSES:
            parts = [
                [part for file in files.values() if (part := _select(file, group))]
                for files in folders
            ]
            names = [part["name"] for found in parts for part in found if "name" in part]
            chosen = _select(given, group)
            name = chosen.get("name") if chosen else None
            is_replaced = bool(name and names and name != names[-1])
            for found in reversed(parts):
                for part in found:
                    if is_replaced and "arguments" in part:
                        part["arguments"] = {}
                is_replaced = is_replaced or any("name" in part for part in found)

    def find_files(self) -> dict[str, Path]:
        """Return the file that sets each parameter, by its dotted name, and is not in conf/base."""
        return {
            parameter: path
            for kind in ("parameters", "globals")
            for path, content in self._read_raw_config(kind)[1].items()
            for parameter, _ in flatten(OmegaConf.to_container(content))
        }

    def _read(self, key: str, env: str | None) -> Files:
        given, self.env = self.env, env
        try:
            return super()._read_raw_config(key)
        except AttributeError as error:  # Kedro asks a list for its names
            if "list" not in str(error).casefold():
                raise
            raise InputError(
                f"a file of conf/{self.base_env} or conf/{env or self.default_run_env} is not a "
                "mapping: write names and values, as in 'name: value'"
            ) from error
        except UnicodeDecodeError as error:
            raise InputError(
                f"a file of conf/{self.base_env} or conf/{env or self.default_run_env} is not in "
                f"UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
            ) from error
        except ValueError as error:
            if not str(error).startswith("Duplicate keys"):  # Kedro's message names the files
                raise
            raise InputError(f"{error}: set each of them in one file only") from error
        except YAMLError as error:
            file = f"a file of conf/{self.base_env} or conf/{env or self.default_run_env}"
            reason: BaseException = error
            # Kedro's own message names the file, but not the reason, and counts lines from 0.
            if found := re.fullmatch("Invalid YAML or JSON file (.+), unable to .+", str(error)):
                file, reason = found[1], error.__cause__ or error
            why = " ".join(str(reason).split())
            if isinstance(reason, MarkedYAMLError) and reason.problem_mark:
                why = f"{reason.problem} in line {reason.problem_mark.line + 1}"
            raise InputError(f"{file} is not valid YAML: {why}") from error
        finally:
            self.env = given


def _select(values: DictConfig, group: str) -> DictConfig | None:
    """Return the class that a group names with its arguments; None if there is none."""
    outer, _, inner = group.partition(".")
    found = values.get(outer)
    part = found.get(inner) if isinstance(found, DictConfig) else None
    return part if isinstance(part, DictConfig) else None


def _leave_out_ranges(folders: list[dict[Path, DictConfig]]) -> None:
    """Remove the range of a hyperparameter from all folders before one with another type."""
    types: dict[str, str] = {}
    earlier: list[DictConfig] = []
    for files in folders:
        found = [item for file in files.values() for item in _list_ranges(file).items()]
        for name, own in found:
            kind = own.get("type") if isinstance(own, dict) else None
            if kind is None or "${" in kind:
                continue
            if types.setdefault(name, kind) != kind:
                types[name] = kind
                for file in earlier:
                    if name in _list_ranges(file):
                        del file["tuning"]["search_space"][name]
        earlier += files.values()


def _list_ranges(file: DictConfig) -> dict[str, Any]:
    """Return what a file has under `tuning.search_space`, without resolving interpolations."""
    values: Any = OmegaConf.to_container(file)
    for name in ("tuning", "search_space"):
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}
