"""The database in which Optuna studies live and survive a crash.

Optuna and SQLAlchemy are imported where the database is opened.
"""

import os
import threading
import time
import warnings
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from imdb_sentiment.datasets.base import LoadOnlyDataset, require_local
from imdb_sentiment.errors import InputError
from imdb_sentiment.interrupts import delayed_ctrl_c

if TYPE_CHECKING:
    import sqlalchemy
    from optuna.storages import RDBStorage

# Seconds between signs of life; a trial without one for twice this time counts as dead.
HEARTBEAT_INTERVAL = 60
# Seconds that a process waits while another writes to the SQLite file.
LOCK_TIMEOUT = 60
# Seconds that a connection to PostgreSQL may take; without a limit, minutes.
CONNECT_TIMEOUT = 10
# Attempts, a second apart, to open a database in which another run is creating the tables.
ATTEMPTS = 10

PSYCOPG = {"postgresql", "postgresql+psycopg", "postgresql+psycopg2"}


class OptunaStorageDataset(LoadOnlyDataset["RDBStorage"]):
    """A database of studies: a resource that a node opens, not a value that it returns.

    Every trial is written to it as it ends, so a killed search can continue.

    Args:
        filepath: Local path of a SQLite file, which is created if it does not exist.
        url: SQLAlchemy URL of another database, such as `postgresql+psycopg://HOST/NAME`, instead
            of `filepath`.
        credentials: `username` and `password`, if the URL needs them.
        metadata: Metadata for plugins; ignored by Kedro.

    Raises:
        InputError: If `filepath` is not a local path.
        ValueError: Unless exactly one of `filepath` and `url` is given.

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
        self._filepath = require_local(filepath).absolute() if filepath else None
        self._plain_url = url
        self._credentials = credentials or {}
        self.metadata = metadata

    @property
    def _url(self) -> "sqlalchemy.URL":
        import sqlalchemy

        if self._plain_url is None:
            return sqlalchemy.URL.create("sqlite", database=str(self._filepath))
        return sqlalchemy.make_url(self._plain_url).set(**self._credentials)

    def load(self) -> "RDBStorage":
        """Open the storage.

        Raises:
            InputError: If there is no such database, it refuses the connection, or its tables are
                those of another version of Optuna.

        """
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import ArgumentError, IntegrityError, ProgrammingError, SQLAlchemyError

        try:
            url = self._url
        except (ArgumentError, TypeError, ValueError) as error:
            raise InputError(
                "the url or the credentials of study_storage in the catalog can't be used "
                f"({error}): write url as in postgresql+psycopg://HOST/NAME, and credentials as "
                "username and password"
            ) from error
        arguments: dict[str, Any] = {"pool_pre_ping": True}
        is_set = "connect_timeout" in url.query or "PGCONNECT_TIMEOUT" in os.environ
        if url.drivername in PSYCOPG and not is_set:
            arguments["connect_args"] = {"connect_timeout": CONNECT_TIMEOUT}
        if self._filepath is not None:
            self._filepath.parent.mkdir(parents=True, exist_ok=True)
            arguments = {"connect_args": {"timeout": LOCK_TIMEOUT, "isolation_level": None}}
        problem: BaseException
        for _ in range(ATTEMPTS):
            try:
                return self._open(url, arguments)
            except StorageInternalError as error:
                problem = error.__cause__ or error
                break
            except (ImportError, SQLAlchemyError) as error:
                problem = error
                created_twice = isinstance(error, IntegrityError | ProgrammingError)
                if not created_twice and "already exists" not in str(error):
                    break
                time.sleep(1)
            except RuntimeError as error:  # Optuna's, with what to do about its tables
                raise InputError(
                    f"the study database {url} can't be used ({error}). If it also belongs to "
                    "another application, set filepath, or url and credentials, of study_storage "
                    "in the catalog to a database of its own instead"
                ) from error
        reason = getattr(problem, "orig", problem)
        advice = "check filepath, or url and credentials, of study_storage in the catalog"
        if getattr(reason, "sqlite_errorname", "") in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
            advice = (
                "check filepath of study_storage in the catalog; if it is right, restore the file, "
                "or delete it to search from the beginning"
            )
        raise InputError(
            f"the study database {url} can't be opened ({str(reason).strip()}): {advice}"
        ) from problem

    def check(self) -> None:
        """Open the storage and close it again, unless it is a file that does not exist yet.

        Raises:
            DatasetError: If it can't be opened; see `load` for its cause.

        """
        if self._filepath is None or self._filepath.exists():
            self.load().engine.dispose()

    def _open(self, url: "sqlalchemy.URL", arguments: dict[str, Any]) -> "RDBStorage":
        import optuna
        import sqlalchemy

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            plain = url.render_as_string(hide_password=False)
            storage = optuna.storages.RDBStorage(
                plain.replace("{", "{{").replace("}", "}}"),  # Optuna formats it
                engine_kwargs=arguments,
                heartbeat_interval=HEARTBEAT_INTERVAL,
            )
        if self._filepath is not None:
            sqlalchemy.event.listen(storage.engine, "begin", _lock_file)
            _complete_transactions(storage.scoped_session.session_factory)
        return storage

    def _describe(self) -> dict[str, Any]:
        if self._filepath is not None:
            return {"filepath": str(self._filepath)}
        from sqlalchemy.exc import ArgumentError

        with suppress(ArgumentError, TypeError, ValueError):
            return {"url": str(self._url)}  # SQLAlchemy hides the password
        return {}  # it can't be used, and may contain a password


def _complete_transactions(sessions: "sqlalchemy.orm.sessionmaker[Any]") -> None:
    """Let Ctrl-C wait for the end of a transaction, which takes milliseconds.

    Otherwise, the file could stay locked while the run records how it ends.
    """
    import sqlalchemy

    delayed = ExitStack()

    def begin(_: Any, transaction: "sqlalchemy.orm.SessionTransaction") -> None:
        if transaction.parent is None and _is_main():
            delayed.enter_context(delayed_ctrl_c())

    def end(_: Any, transaction: "sqlalchemy.orm.SessionTransaction") -> None:
        if transaction.parent is None and _is_main():
            delayed.close()

    sqlalchemy.event.listen(sessions, "after_transaction_create", begin)
    sqlalchemy.event.listen(sessions, "after_transaction_end", end)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _lock_file(connection: "sqlalchemy.Connection") -> None:
    """Lock the SQLite file at the beginning of a transaction, not at its first write.

    Otherwise two runs could both read that a trial is waiting, and both take it. The recipe, to
    which the isolation level None belongs, is from SQLAlchemy's documentation of SQLite,
    "Serializable isolation / Savepoints / Transactional DDL".
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")
