"""Whether a cluster is one, and does what this process would do."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers import Cluster
from imdb_sentiment.engine.cluster import _require_same_code, count_workers, open_client
from imdb_sentiment.engine.package_digest import PACKAGE_DIGEST
from imdb_sentiment.errors import InputError


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_10.0\r\n" * 10], ids=["none", "SSH"])
def test_something_else_that_listens_is_no_scheduler(
    greeting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imdb_sentiment.engine.cluster.CONNECT_TIMEOUT", 1.0)

    def answer(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connection.sendall(greeting)
            open_connections.append(connection)

    open_connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(InputError, match=r"no Dask scheduler at tcp.* not of its dashboard"),
            open_client(1, address, "processing", "advice"),
        ):
            pass
        server.shutdown(socket.SHUT_RDWR)
    for connection in open_connections:
        connection.close()


def make_client(workers: dict[str, Any], on_scheduler: Callable[..., Any]) -> Any:
    return SimpleNamespace(run=lambda *_, **__: dict(workers), run_on_scheduler=on_scheduler)


def test_a_cluster_with_other_code_is_refused() -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'imdb_sentiment'")

    def find(*_: object, **__: object) -> str:
        return PACKAGE_DIGEST

    same = {"tcp://a": PACKAGE_DIGEST}
    missing = ModuleNotFoundError("No module named 'imdb_sentiment'")
    _require_same_code(make_client(same, find))
    _require_same_code(make_client({}, find))  # workers may join later
    _require_same_code(make_client(same | {"tcp://b": OSError("it has left")}, find))
    for workers, on_scheduler, message in (
        (
            same | {"tcp://b": "other"},
            find,
            "tcp://b has different code from this run: install the sa",
        ),
        (same | {"tcp://b": missing}, find, r"tcp://b can't import the project \(No module named"),
        ({"tcp://b": missing, "tcp://c": "other"}, find, r"tcp://b \(and 1 more\) can't import"),
        (same, fail, "the scheduler can't import the project"),
    ):
        with pytest.raises(InputError, match=message):
            _require_same_code(make_client(workers, on_scheduler))


def test_a_worker_that_is_silent_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    def wait(*_: object, callback_timeout: float, **__: object) -> None:
        raise TimeoutError

    _require_same_code(SimpleNamespace(run=wait))
    assert "was not compared with that of this run" in caplog.text


def test_a_scheduler_that_is_silent_has_no_workers() -> None:
    def sync(*_: object, callback_timeout: float) -> None:
        raise TimeoutError

    assert count_workers(SimpleNamespace(sync=sync, scheduler=SimpleNamespace(ncores=None))) == 0


@pytest.mark.cluster
def test_workers_of_another_checkout_are_told_by_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path / "cluster", workers=2)
    try:
        with open_client(1, cluster.address, "processing", "advice") as client:
            assert count_workers(client) == 2
        monkeypatch.setattr("imdb_sentiment.engine.cluster.PACKAGE_DIGEST", "another one")
        with (
            pytest.raises(InputError, match=r"\(and 1 more\) has different code from this run"),
            open_client(1, cluster.address, "processing", "advice"),
        ):
            pass
    finally:
        cluster.stop()
