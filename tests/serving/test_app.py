"""The service in this process: what a request is refused or counted for."""

import errno
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from fastapi.testclient import TestClient

from imdb_sentiment.serving import Predictor
from imdb_sentiment.serving.command import serve
from imdb_sentiment.serving.job_queue import JobQueue
from imdb_sentiment.serving.service import create_app
from imdb_sentiment.serving.settings import ServiceSettings

URL = "http://localhost"

Start = Callable[..., TestClient]


@pytest.fixture
def start(exported: bytes) -> Iterator[Start]:
    """Yield a function that starts the service with settings."""
    predictor = Predictor(exported, threads=1)
    with ExitStack() as stack:

        def run(**settings: Any) -> TestClient:
            app = create_app(predictor, exported, ServiceSettings(**settings))
            return stack.enter_context(TestClient(app, URL))

        yield run


@pytest.mark.parametrize("key", ["", " \n", "cl\u00e9"])
def test_a_key_that_no_client_can_send_is_refused(key: str) -> None:
    """An empty one would also mean that no key is asked for."""
    done = CliRunner().invoke(serve, ["--model", "none.onnx"], env={"IMDB_SENTIMENT_API_KEY": key})
    assert done.exit_code == 1
    assert done.output.startswith("Error: IMDB_SENTIMENT_API_KEY must be ASCII and not empty")


@pytest.mark.parametrize(("pending", "status"), [(2, 200), (3, 503)])
def test_a_full_service_is_not_ready(
    pending: int, status: int, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(threads=1, queue_size=2)
    monkeypatch.setattr(JobQueue, "pending", pending)
    answer = client.get("/ready")
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 503), (errno.EBADF, 500)])
def test_a_full_disk_is_told(
    number: int, status: int, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "of the temporary file")

    app = start().app
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "write", fail)
    client = TestClient(app, URL, raise_server_exceptions=False)
    headers = {"Content-Type": "text/csv"}
    answer = client.post("/score", content=b"review\nw1\n", headers=headers)
    assert answer.status_code == status
    if status == 503:
        assert answer.json()["detail"].startswith("there is no space left for temporary files")
        assert answer.headers["Retry-After"] == "60"


def test_a_slash_too_much_leads_nowhere(start: Start) -> None:
    """A redirect would have the client send its key and its texts again, without encryption."""
    answer = start().post("/predict/", json={"texts": ["w1"]}, follow_redirects=False)
    assert answer.status_code == 404


def test_those_who_share_the_only_key_do_not_share_its_rate(start: Start) -> None:
    app = start(api_key="s3cret", rate=0.001, burst=1).app
    assert isinstance(app, FastAPI)

    def ask(address: str) -> int:
        client = TestClient(app, URL, client=(address, 1), headers={"X-API-Key": "s3cret"})
        return client.get("/model").status_code

    addresses = ("203.0.113.1", "203.0.113.1", "203.0.113.2")
    assert [ask(address) for address in addresses] == [200, 429, 200]


def test_the_body_of_an_explanation_has_room_for_one_text(start: Start) -> None:
    client = start(max_characters=100, max_texts=64)

    def explain(characters: int) -> int:
        return client.post("/explain", json={"text": "x" * characters}).status_code

    assert (explain(100), explain(101), explain(2300)) == (200, 422, 413)
    # The same body is not too large for 64 texts, although one of them is too long.
    assert client.post("/predict", json={"texts": ["x" * 2300]}).status_code == 422


@pytest.mark.parametrize(("names", "status"), [((), 421), (("*",), 200)])
def test_with_a_star_it_may_be_called_by_any_name(
    names: tuple[str, ...], status: int, start: Start
) -> None:
    client = start(allowed_hosts=names)
    assert client.get("/health", headers={"Host": "evil.example"}).status_code == status


def test_addresses_of_proxies_that_would_be_ignored_are_refused() -> None:
    def start(addresses: str) -> str:
        environment = {"FORWARDED_ALLOW_IPS": addresses}
        return CliRunner().invoke(serve, ["--model", "none.onnx"], env=environment).output

    for wrong in ("172.17.0.1/16", "172.17.0.1 172.17.0.2", "proxy"):
        assert start(wrong).startswith(
            f"Error: FORWARDED_ALLOW_IPS contains '{wrong}', which is not an"
        )
    for ignored in ("10.0.0.0/8,*", "* "):
        assert "contains '*', which is not an IP address" in start(ignored)
    for right in ("", "*", "172.17.0.1, 10.0.0.0/8", "fd00::/8"):
        assert "none.onnx does not exist" in start(right)


def test_without_a_folder_for_temporary_files_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", fail)
    done = CliRunner().invoke(serve, ["--model", "none.onnx"])
    assert done.exit_code == 1
    assert "with docker run --tmpfs /tmp" in done.output


def test_a_burst_without_a_rate_is_refused() -> None:
    done = CliRunner().invoke(serve, ["--model", "none.onnx", "--burst", "5"])
    assert "--burst has no effect without --rate: set both" in done.output
