"""The loader of conf/, with which presets can be combined, with each other and with conf/local."""

from pathlib import Path

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import DictConfig

from imdb_sentiment.errors import InputError

# Files of conf/base and of another folder, the paths of both, and all files that were read.
Files = tuple[dict[Path, DictConfig], dict[Path, DictConfig], str, str, set[Path]]


class PresetsConfigLoader(OmegaConfigLoader):
    """Kedro's loader, except that `--env` may name several presets, and never hides conf/local.

    `--env imdb,best` reads conf/base, conf/imdb, conf/best and conf/local. Of two values of one
    parameter, that of the later folder counts. Kedro would read conf/base and one other folder.
    """

    def _read_raw_config(self, key: str) -> Files:
        """Return the files of conf/base and, in their order, those of all other folders."""
        if self.env in (None, self.base_env, self.default_run_env):
            return self._read(key, self.env)
        presets = [name.strip() for name in self.env.split(",")]
        later: dict[Path, DictConfig] = {}
        try:
            for name in presets:
                base, files, base_path, path, read = self._read(key, name)
                later |= files
        except MissingConfigException as error:
            raise InputError(
                f"there is no preset {name!r} in conf/, which --env names: {error}"
            ) from error
        try:
            base, files, base_path, path, own_read = self._read(key, self.default_run_env)
            later, read = later | files, read | own_read
        except MissingConfigException:  # there need not be a conf/local
            pass
        return base, later, base_path, path, read

    def _read(self, key: str, env: str | None) -> Files:
        given, self.env = self.env, env
        try:
            return super()._read_raw_config(key)
        finally:
            self.env = given
