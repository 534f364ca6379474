"""The database that keeps Optuna studies, so that they survive a crash."""

import time
import warnings
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from kedro.io import AbstractDataset

from imdb_sentiment.errors import InputError

# Seconds between two heartbeats; a trial is dead after twice this time without one.
HEARTBEAT_INTERVAL = 60
# Seconds for which a process waits while another one writes to the SQLite file.
LOCK_TIMEOUT = 60
# Attempts, one per second, to open a database whose tables another run is creating.
ATTEMPTS = 10


class OptunaStorageDataset(AbstractDataset[None, optuna.storages.RDBStorage]):
    """A database that keeps studies: a resource that a node opens, not a value that it returns.

    Every trial is written to it when it ends, so a killed search can continue.

    Args:
        filepath: Path of a SQLite file, which is created if it does not exist.
        url: SQLAlchemy URL of another database, instead of `filepath`, such as
            `postgresql+psycopg://HOST/NAME`.
        credentials: `username` and `password`, if the database requires them.
        metadata: Arbitrary metadata for plugins; Kedro ignores it.

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
            InputError: The database does not exist, or refuses the connection.

        """
        arguments: dict[str, Any] = {"pool_pre_ping": True}
        if self._filepath is not None:
            self._filepath.parent.mkdir(parents=True, exist_ok=True)
            arguments = {"connect_args": {"timeout": LOCK_TIMEOUT}}
        for _ in range(ATTEMPTS):
            try:
                return self._open(arguments)
            except (ImportError, sqlalchemy.exc.SQLAlchemyError) as error:
                problem = error
                created_twice = isinstance(
                    error, (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError)
                )
                if not created_twice and "already exists" not in str(error):
                    break
                time.sleep(1)  # another run is creating the tables
        raise InputError(
            f"the database of studies, {self._url}, can't be opened: "
            f"{getattr(problem, 'orig', problem)}"
        ) from problem

    def _open(self, arguments: dict[str, Any]) -> optuna.storages.RDBStorage:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.RDBStorage(
                self._url.render_as_string(hide_password=False),
                engine_kwargs=arguments,
                heartbeat_interval=HEARTBEAT_INTERVAL,
            )
        if self._filepath is not None:
            _lock_in_transactions(storage.engine)
        return storage

    def save(self, data: None) -> None:
        """Refuse to save: studies write to the storage themselves."""
        raise NotImplementedError("only studies write to their storage")

    def _exists(self) -> bool:
        return True  # created when it is needed

    def _describe(self) -> dict[str, Any]:
        return {"url": str(self._url)}  # SQLAlchemy hides the password


def _lock_in_transactions(engine: sqlalchemy.Engine) -> None:
    """Let SQLite lock the file at the beginning of a transaction, not at its first write.

    Otherwise two runs could both read that a trial is queued, and both claim it. This is how
    SQLAlchemy's documentation of the SQLite dialect does it ("Serializable isolation / Savepoints /
    Transactional DDL").
    """

    def leave_transactions_to_us(connection: Any, record: object) -> None:
        connection.isolation_level = None

    def begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    sqlalchemy.event.listen(engine, "connect", leave_transactions_to_us)
    sqlalchemy.event.listen(engine, "begin", begin)
    engine.dispose()  # so that the existing connections are opened anew
