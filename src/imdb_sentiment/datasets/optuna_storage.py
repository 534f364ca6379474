"""The database in which Optuna studies live and survive a crash."""

import warnings
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from kedro.io import AbstractDataset

from imdb_sentiment.errors import InputError

# Seconds. A trial whose machine has died counts as dead after twice this time.
HEARTBEAT_INTERVAL = 60
# Seconds that a process waits while another one writes to the SQLite file.
LOCK_TIMEOUT = 60


class OptunaStorageDataset(AbstractDataset[None, optuna.storages.RDBStorage]):
    """A database that keeps studies: a resource that a node opens, not a value that it makes.

    Every trial is written to it as it ends, which is what lets a killed search go on.

    Args:
        filepath: A SQLite file; made when it does not exist.
        url: SQLAlchemy's URL of another database, in place of `filepath`, such as
            `postgresql+psycopg://HOST/NAME`.
        credentials: `username` and `password`, if the URL needs them.
        metadata: For plugins; Kedro ignores it.

    """

    def __init__(
        self,
        *,
        filepath: str | None = None,
        url: str | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if (filepath is None) == (url is None):
            raise ValueError("give either filepath or url")
        self._filepath = Path(filepath).absolute() if filepath else None
        self._url = sqlalchemy.make_url(url or f"sqlite:///{self._filepath}")
        if credentials:
            self._url = self._url.set(**credentials)
        self.metadata = metadata

    def load(self) -> optuna.storages.RDBStorage:
        """Open the storage.

        Raises:
            InputError: There is no such database, or it lets nobody in.

        """
        arguments: dict[str, Any] = {}
        if self._filepath is not None:
            self._filepath.parent.mkdir(parents=True, exist_ok=True)
            arguments = {"connect_args": {"timeout": LOCK_TIMEOUT}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            try:
                return optuna.storages.RDBStorage(
                    self._url.render_as_string(hide_password=False),
                    engine_kwargs=arguments,
                    heartbeat_interval=HEARTBEAT_INTERVAL,
                )
            except (ImportError, sqlalchemy.exc.OperationalError) as error:
                raise InputError(
                    f"the database of studies, {self._url}, can't be opened: "
                    f"{getattr(error, 'orig', error)}"
                ) from error

    def save(self, data: None) -> None:
        """Refuse: studies write to the storage themselves."""
        raise NotImplementedError("a storage is written through its studies")

    def _exists(self) -> bool:
        return True  # made when it is needed

    def _describe(self) -> dict[str, Any]:
        return {"url": str(self._url)}  # SQLAlchemy hides the password
