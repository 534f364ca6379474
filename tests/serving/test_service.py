"""The service in its own process, over HTTP."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from click.testing import CliRunner

from helpers import run_server, run_shell, wait_until
from imdb_sentiment.serving import Predictor
from imdb_sentiment.serving.command import serve
from services import EXAMPLES, Service, run_service

CSV = {"Content-Type": "text/csv"}


def post(
    service: Service, path: str, body: Any, headers: dict[str, Any] | None = None
) -> httpx.Response:
    # httpx's `json` would reject half of a surrogate pair.
    given = {"Content-Type": "application/json"} | (headers or {})
    return httpx.post(service.url + path, content=json.dumps(body), headers=given, timeout=60)


def test_predictions_are_the_predictors(service: Service, exported: bytes) -> None:
    texts = ["w1 w2", "", "W3, w4!", "qqq zzz", "caf\u00e9 w1 \U0001f600"]
    answer = post(service, "/predict", {"texts": texts})
    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    for found, expected in zip(predictions, Predictor(exported).predict(texts), strict=True):
        assert found["label"] == expected.label
        assert found["probability"] == pytest.approx(expected.probability)
        assert found["probabilities"] == pytest.approx(expected.probabilities)
    assert [found["reason"] for found in predictions] == [
        None,
        "no text",
        None,
        "no word that the model knows",
        None,
    ]


@pytest.mark.slow  # it needs curl
def test_the_documented_commands_serve_and_ask(model_file: Path, tmp_path: Path) -> None:
    models = tmp_path / "data/06_models"
    models.mkdir(parents=True)
    shutil.copy(model_file, models / "model.onnx")
    free = {"serve": "serve --port PORT"}
    with run_server(tmp_path, "imdb-sentiment serve", free) as server:
        answer = run_shell(
            tmp_path,
            'curl -s 127.0.0.1:8000/predict -H "Content-Type: application/json" '
            """-d '{"texts": ["A gem.", "Zzz"]}'""",
            {"127.0.0.1:8000": server.url},
        )
    predictions = json.loads(answer)["predictions"]
    assert [one["reason"] for one in predictions] == ["no word that the model knows"] * 2


def test_an_explanation_marks_the_words(service: Service) -> None:
    answer = post(service, "/explain", {"text": "w1 &amp; <b>w2</b>"}).json()
    assert "".join(segment["text"] for segment in answer["segments"]) == "w1 & w2"
    marked = [segment["text"] for segment in answer["segments"] if segment["effect"] is not None]
    assert marked == ["w1", "w2"]
    assert answer["prediction"]["label"] in ("negative", "positive")
    assert answer["explained_label"] == answer["prediction"]["label"]
    assert answer["words"] == {"total": 2, "known": 2, "read": 2}
    unheard = post(service, "/explain", {"text": "qqq zzz"}).json()
    assert unheard["explained_label"] is None


def test_a_csv_comes_back_scored(service: Service) -> None:
    body = "id,review\n1,w1\n2,\n3,a,b\n"
    assert httpx.post(f"{service.url}/score", content=body, timeout=60).status_code == 415
    answer = httpx.post(f"{service.url}/score", content=body, headers=CSV, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    header, *rows = answer.text.splitlines()
    assert header.startswith('"id","review","predicted_sentiment","probability"')
    assert rows[1] == '"2","","","","","","no text"'
    assert rows[2] == '"","","","","","","malformed line: 3 fields where the header has 2"'
    answer = httpx.post(
        f"{service.url}/score?text_column=text", content=body, headers=CSV, timeout=60
    )
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "there is no column 'text'; there are: id, review. Name the one with the texts by the "
        "parameter text_column",
    )
    for path in ("/score", "/predict"):
        coded = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        answer = httpx.post(service.url + path, content=b"\x1f\x8b", headers=coded, timeout=60)
        told = "send the body without compression"
        assert (answer.status_code, answer.json()["detail"]) == (415, told)
    answer = httpx.post(f"{service.url}/score?text_colum=id", content=body, headers=CSV, timeout=60)
    told = "unknown parameter 'text_colum': use text_column or delimiter"
    assert (answer.status_code, answer.json()["detail"]) == (422, told)
    answer = httpx.post(f"{service.url}/score?delimiter=dot", content=body, headers=CSV, timeout=60)
    told = "delimiter must be 'auto', 'comma', 'semicolon', 'tab' or 'bar'"
    assert (answer.status_code, answer.json()["detail"]) == (422, told)
    for query, status in (("delimiter=semicolon", 200), ("delimiter=comma", 422)):
        content = "a,b;review\n1,2;w1\n"
        url = f"{service.url}/score?{query}"
        assert httpx.post(url, content=content, headers=CSV, timeout=60).status_code == status
    answer = httpx.post(
        f"{service.url}/score",
        content=body,
        headers={"Content-Type": "Text/CSV; charset=utf-8"},
        timeout=60,
    )
    assert answer.status_code == 200
    for n_rows, place in ((0, ""), (30_000, r", after row 2\d,000")):
        damaged = b"review\n" + b"w1\n" * n_rows + b"\xff\n"
        answer = httpx.post(f"{service.url}/score", content=damaged, headers=CSV, timeout=60)
        assert answer.status_code == 422
        message = rf"the file is not UTF-8 text \(byte 0xff{place}\): save it as UTF-8"
        assert re.fullmatch(message, answer.json()["detail"])


def test_it_tells_how_it_is(service: Service) -> None:
    assert httpx.get(f"{service.url}/health", timeout=60).json() == {"status": "alive"}
    assert httpx.get(f"{service.url}/ready", timeout=60).json() == {"status": "ready"}
    model = httpx.get(f"{service.url}/model", timeout=60).json()
    assert model["labels"] == ["negative", "positive"]
    assert model["examples"] == list(EXAMPLES)
    assert model["facts"]["fact"] == "true"
    assert (model["vocabulary_size"], model["sequence_length"]) == (28, 6)
    assert model["head_length"] == 2
    assert (model["max_ngram"], model["character_ngram"]) == (3, 4)
    assert model["test"] is None  # see test_evaluation_record.py and test_page.py
    for path in ("/", "/docs"):
        policy = httpx.get(service.url + path, timeout=60).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
    for path in ("/", "/docs", "/page/page.js", "/swagger/swagger-ui-bundle.js"):
        found = httpx.get(service.url + path, timeout=60)
        assert found.headers["Cache-Control"] == "no-cache"
        again = httpx.get(
            service.url + path, headers={"If-None-Match": found.headers["ETag"]}, timeout=60
        )
        assert again.status_code == (304 if path.startswith(("/page", "/swagger")) else 200)
    document = httpx.get(f"{service.url}/openapi.json", timeout=60).json()
    assert {"/predict", "/explain", "/score", "/health", "/ready"} <= set(document["paths"])
    schemas = document["components"]["schemas"]
    texts = schemas["PredictRequest"]["properties"]["texts"]
    assert (texts["maxItems"], texts["items"]["maxLength"]) == (64, 20_000)
    assert schemas["ExplainRequest"]["properties"]["text"]["maxLength"] == 20_000


def count(service: Service, name: str) -> float:
    lines = httpx.get(f"{service.url}/metrics", timeout=60).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/ready", "/metrics"])
def test_monitors_may_ask_without_a_body(path: str, service: Service) -> None:
    answer = httpx.head(service.url + path, timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")


def test_metrics_count(service: Service) -> None:
    answered = 'imdb_sentiment_requests_total{path="/predict",status="200"}'
    before = count(service, answered), count(service, "imdb_sentiment_texts_total")
    post(service, "/predict", {"texts": ["w1", "w2", "w3"]})
    after = count(service, answered), count(service, "imdb_sentiment_texts_total")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 3)
    post(service, "/explain", {"text": "w1 w2"})
    assert count(service, "imdb_sentiment_texts_total") - after[1] == 1
    body = "review\nw1\nw2\n"
    assert httpx.post(f"{service.url}/score", content=body, headers=CSV, timeout=60).is_success
    assert count(service, "imdb_sentiment_texts_total") - after[1] == 1 + 2
    httpx.get(f"{service.url}/no/such/path", timeout=60)
    assert "no/such" not in httpx.get(f"{service.url}/metrics", timeout=60).text


def test_requests_are_timed(service: Service) -> None:
    names = [
        f'imdb_sentiment_request_seconds_{part}{{path="/explain"}}' for part in ("count", "sum")
    ]
    before = [count(service, name) for name in names]
    start = time.monotonic()
    post(service, "/explain", {"text": "w1 w2"})
    taken = time.monotonic() - start
    requests, seconds = (
        count(service, name) - old for name, old in zip(names, before, strict=True)
    )
    assert requests == 1
    assert 0 < seconds < taken


def test_the_log_is_json_without_the_texts(service: Service) -> None:
    post(service, "/predict", {"texts": ["w1 SECRET"]})
    post(service, "/predict", {"texts": "SECRET"})
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert any(line.get("path") == "/predict" and line["status"] == 200 for line in lines)
    assert "SECRET" not in service.log.read_text()


@pytest.mark.parametrize("rows", [1, 3000])
def test_a_client_of_http_1_0_gets_a_csv_without_chunks(service: Service, rows: int) -> None:
    csv = b"review\n" + b"w1\n" * rows
    head = b"POST /score HTTP/1.0\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n"
    headers, scored = send_raw(service, head % len(csv) + csv).split(b"\r\n\r\n", 1)
    expected = httpx.post(f"{service.url}/score", content=csv, headers=CSV, timeout=60)
    assert scored == expected.content
    assert len(expected.text.splitlines()) == rows + 1
    assert b"content-length: %d" % len(scored) in headers
    assert b"transfer-encoding" not in headers


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"texts": []}, "there is no text: send at least one"),
        ({"texts": "one"}, "'texts' must be a list of strings"),
        ({"texts": ["w1", 1]}, "text 2 is not a string"),
        (
            {"texts": ["w1"] * 65},
            "there are more than 64 texts: split them across several requests",
        ),
        ({"texts": ["x" * 20_001]}, "text 1 has more than 20,000 characters: shorten it"),
        ({}, "the field 'texts' is missing"),
        ({"text": "w1"}, "text is not a known field; known: texts"),
        ({"texts": ["w1"], "more": 1}, "more is not a known field; known: texts"),
        ({"a{known}{}": 1}, "a{known}{} is not a known field; known: texts"),
        (["w1"], "the body must be a JSON object"),
    ],
)
def test_what_is_wrong_is_told(service: Service, body: Any, problem: str) -> None:
    answer = post(service, "/predict", body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(problem)


def test_json_must_be_named_and_be_json(service: Service) -> None:
    for content, type_, status in (
        (b'{"text": "w1"}', "application/json; charset=utf-8", 200),
        (b'{"text": "w1"}', "text/plain", 415),  # which any page of another site could send
        (b'{"text": "w1"', "application/json", 400),
        (b'{"text": "w1 \\ud800"}', "application/json", 200),
        (b'{"text": "w1 \xed\xa0\x80"}', "application/json", 400),
        (b'{"text": "w1 \\ud800"', "application/json", 400),
        (b'{"text": "caf\xe9"}', "application/json", 400),
        (b"", "application/json", 400),
    ):
        answer = httpx.post(
            f"{service.url}/explain", content=content, headers={"Content-Type": type_}, timeout=60
        )
        assert answer.status_code == status
        if status == 400:
            assert answer.json()["detail"].startswith("the body is not JSON in UTF-8: ")
    answer = post(service, "/explain", {"text": "x" * 20_001})
    assert answer.json()["detail"] == "the text has more than 20,000 characters: shorten it"


def make_hostile(rng: random.Random) -> tuple[str, bytes, dict[str, str]]:
    """Return a path, a body and headers of a malicious request."""
    path = rng.choice(["/predict", "/explain", "/score"])
    headers = {"Content-Type": rng.choice(["application/json", "text/plain", "x", "text/csv"])}
    value: Any = rng.choice([None, 1, -1e308, True, "", "w1", [], {}, [[]], {"a": {}}, "\x00"])
    bodies: list[Callable[[], bytes]] = [
        lambda: json.dumps({rng.choice(["texts", "text", "x"]): value}).encode(),
        lambda: json.dumps({"texts": [value, "w1"]}).encode(),
        lambda: rng.randbytes(rng.randrange(200)),
        lambda: b'{"texts": ["\\ud800"]}',
        lambda: b'{"text": "\\udfff w1"}',
        lambda: b'{"texts": ["\\u0000"]}',
        lambda: b'{"texts": ["' + bytes([rng.randrange(128, 256)]) + b'"]}',
        lambda: b"[" * rng.choice([10, 5000, 100_000]),
        lambda: b'{"texts": [' + b'{"a":' * rng.choice([10, 5000]),
        lambda: '{"texts": ["w1"]}'.encode(rng.choice(["utf-16", "utf-32", "utf-7"])),
        lambda: b'{"texts": ["' + b"w1 " * rng.choice([10, 7000]) + b'"]}',
        lambda: b'{"texts": [NaN, Infinity, 1e999]}',
        lambda: b'review\n"' + rng.randbytes(50),
        lambda: ",".join(["review"] * rng.randrange(5)).encode(),
        lambda: b'{"texts": ["&#' + b"1" * 5000 + b';"]}',
        lambda: b"review\n" + b"," * rng.choice([10, 300_000]),
        lambda: b"review" + b"," * 5000 + b"\n" * 1000,
        lambda: b"",
    ]
    return path, rng.choice(bodies)(), headers


def test_hostile_bodies_are_refused(service: Service) -> None:
    """No response is a server error or takes long, and the service works afterwards."""
    cases = [make_hostile(random.Random(seed)) for seed in range(500)]

    def send(part: list[tuple[str, bytes, dict[str, str]]]) -> set[int]:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            return {
                client.post(path, content=body, headers=headers).status_code
                for path, body, headers in part
            }

    with ThreadPoolExecutor(4) as pool:
        statuses = set().union(*pool.map(send, [cases[place::4] for place in range(4)]))
    assert statuses <= {200, 400, 413, 415, 422}
    assert {200, 400, 422} <= statuses
    assert post(service, "/predict", {"texts": ["w1"]}).status_code == 200


def send_raw(service: Service, data: bytes, *, then: bytes = b"", leave: bool = False) -> bytes:
    """Send bytes, and more after the response; return everything received until the end."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(data)
        if leave:
            return b""
        received = b""
        if then:
            received += connection.recv(65536)
            connection.sendall(then)
        while part := connection.recv(65536):
            received += part
        return received


def send_slowly(service: Service, head: bytes, pause: float) -> bytes:
    """Send a body byte by byte and return the start of the response."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head)
        connection.settimeout(pause)
        for _ in range(100):
            with contextlib.suppress(TimeoutError):
                return connection.recv(100)
            connection.sendall(b" ")
        raise AssertionError("never answered")


HALF = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n{"
)


@pytest.mark.slow
def test_half_a_request_does_not_hang(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, "--timeout", "1") as service:
        start = time.monotonic()
        assert b" 408 " in send_raw(service, HALF).splitlines()[0]
        assert send_raw(service, b"POST /predict HTT") == b""
        health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert b"alive" in send_raw(service, health, then=b"\r\n")
        assert b" 404 " in send_raw(service, HALF.replace(b"/predict", b"/x"), then=b"{")
        assert b" 408 " in send_slowly(service, HALF, 0.2)
        assert send_raw(service, b"") == b""
        assert time.monotonic() - start < 60  # by default, each would take ten seconds
        for _ in range(50):
            send_raw(service, HALF, leave=True)
        assert post(service, "/predict", {"texts": ["w1"]}).status_code == 200


def measure_memory(service: Service) -> int:
    return int(psutil.Process(service.process.pid).memory_info().rss)


REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
BODY = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (REQUEST, b"a:\r\n" * 10_000),
        (REQUEST + b"a: ", b"x" * 50_000),
        (b"GET /", b"x" * 50_000),
        (b"", b"\r\n" * 25_000),
        (BODY, b"a:\r\n" * 10_000),  # trailers
        (BODY + b"a: ", b"x" * 50_000),
        (BODY[:-3] + b"1;", b"x" * 50_000),  # the extension of a chunk
    ],
    ids=["many", "one", "path", "empty lines", "trailers", "one trailer", "extension"],
)
def test_headers_without_end_are_refused(start: bytes, more: bytes, service: Service) -> None:
    before = measure_memory(service)
    host, port = service.url.removeprefix("http://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=60) as connection,
        pytest.raises(ConnectionError),  # it does not wait for the rest
    ):
        flood(connection, start, more)
    assert measure_memory(service) - before < 20e6


def flood(connection: socket.socket, start: bytes, more: bytes) -> None:
    connection.sendall(start)
    for _ in range(400):  # 20 MB
        connection.sendall(more)


@pytest.mark.parametrize("more", [b"a:\r\n" * 80, b"a: " + b"x" * 40_000], ids=["many", "one"])
def test_too_large_headers_are_answered(more: bytes, service: Service) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        for part in (REQUEST, more, more, more):
            connection.sendall(part)
            time.sleep(0.3)  # so that nothing is unread when it closes: the answer would be lost
        while received := connection.recv(1000):
            answer += received
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_a_request_after_another_one_is_no_part_of_its_headers(service: Service) -> None:
    body = json.dumps({"texts": ["w1" + " " * 1000] * 60}).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    health = REQUEST + b"Connection: close\r\n\r\n"
    host, port = service.url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request[:30])
        time.sleep(0.2)
        connection.sendall(request[30:] + health[:20])
        time.sleep(0.2)
        connection.sendall(health[20:])
        while part := connection.recv(65536):
            received += part
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_headers_of_usual_sizes_are_read(service: Service) -> None:
    for size, status in ((60_000, 200), (70_000, 431)):
        headers = {"X-Long": "x" * size}
        answer = httpx.get(f"{service.url}/health", headers=headers, timeout=60)
        assert answer.status_code == status
    with httpx.Client(base_url=service.url, timeout=60) as client:  # one connection
        for _ in range(3):
            assert client.get("/health", headers={"X-Long": "x" * 60_000}).status_code == 200


def test_exactly_as_many_headers_as_documented_are_read(service: Service) -> None:
    for number, status in ((200, b"200 OK"), (201, b"431 Request Header")):
        headers = b"".join(b"x%d: a\r\n" % place for place in range(number - 2))
        request = REQUEST + headers + b"Connection: close\r\n\r\n"
        assert send_raw(service, request).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("size", [1, 1000], ids=["byte by byte", "at once"])
def test_an_upgrade_is_ignored(size: int, service: Service) -> None:
    """Java's client offers HTTP/2 with each request."""
    body = b'{"texts": ["w1"]}'
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAA\r\n"
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    whole = head + upgrade + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    chunked = head + upgrade + b"Transfer-Encoding: chunked\r\n\r\n"
    chunked += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    last = whole.replace(b"Upgrade, ", b"Upgrade, close, ")
    host, port = service.url.removeprefix("http://").split(":")
    for requests, number in (
        (whole + chunked + REQUEST + upgrade + b"\r\n" + last, 4),
        (whole.replace(b"HTTP/1.1", b"HTTP/1.0"), 1),
    ):
        received = b""
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            for start in range(0, len(requests), size):
                connection.sendall(requests[start : start + size])
            while part := connection.recv(65536):
                received += part
        assert received.count(b"HTTP/1.1 200 OK") == received.count(b"HTTP/1.1 ") == number
    tunnel = b"CONNECT / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert b" 405 " in send_raw(service, tunnel).splitlines()[0]
    assert "WebSocket" not in service.log.read_text()


@contextlib.contextmanager
def open_connections(service: Service, number: int, sent: bytes) -> Iterator[None]:
    """Open connections that send something, and then nothing more."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    host, port = service.url.removeprefix("http://").split(":")
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(number):
                connection = socket.create_connection((host, int(port)), timeout=60)
                stack.enter_context(connection)
                connection.sendall(sent)
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def count_connections(service: Service) -> int:
    return len(psutil.Process(service.process.pid).net_connections())


@pytest.mark.parametrize("sent", [b"", REQUEST, HALF], ids=["nothing", "headers", "body"])
def test_connections_without_end_shut_nobody_out(sent: bytes, service: Service) -> None:
    with open_connections(service, 1050, sent):
        for _ in range(20):
            assert httpx.get(f"{service.url}/health", timeout=5).status_code == 200
            assert post(service, "/predict", {"texts": ["w1"]}).status_code == 200
        assert count_connections(service) < 1010
    wait_until(lambda: count_connections(service) < 10)


def test_many_new_connections_end_no_upload(service: Service) -> None:
    head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as upload:
        upload.sendall(head + b"Content-Length: 10\r\n\r\nreview")
        with open_connections(service, 1050, b""):
            upload.sendall(b"\nw1\n")
            assert b"HTTP/1.1 200 OK" in upload.recv(1000)


def measure_work(service: Service) -> float:
    """Return the CPU seconds of the service, which do not depend on other load."""
    times = psutil.Process(service.process.pid).cpu_times()
    return float(times.user + times.system)


def test_a_large_body_full_of_errors_costs_little(service: Service) -> None:
    before = psutil.Process(service.process.pid).memory_info().rss
    headers = {"Content-Type": "application/json"}
    wrong = b'{"texts": [' + b"1," * 5_000_000 + b"1]}"
    many = b'{"texts": [' + b'"",' * 4_000_000 + b'""]}'
    keys = b"{" + b",".join(b'"k%d":1' % number for number in range(500_000)) + b"}"
    for body in (wrong, many, keys):
        start = measure_work(service)
        answer = httpx.post(f"{service.url}/predict", content=body, headers=headers, timeout=60)
        assert answer.status_code == 422
        assert len(answer.content) < 1000
        assert measure_work(service) - start < 1
    assert psutil.Process(service.process.pid).memory_info().rss - before < 50e6


def test_texts_of_combining_marks_cost_little(service: Service) -> None:
    start = measure_work(service)
    answer = post(service, "/predict", {"texts": ["\u0301\u0316" * 10_000] * 64})
    assert answer.status_code == 200
    assert measure_work(service) - start < 5


def test_other_sites_may_ask_only_if_they_are_named(
    service: Service, model_file: Path, tmp_path: Path
) -> None:
    site = "https://example.org"
    asked = {
        "Origin": site,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, x-api-key",
    }
    body = {"texts": ["w1"]}
    answer = post(service, "/predict", body, headers={"Origin": site})
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert httpx.options(f"{service.url}/predict", headers=asked, timeout=60).status_code == 405
    slash = f"{site}/"  # as a browser shows it
    with run_service(model_file, tmp_path, "--allow-origin", slash, api_key="s3cret") as open_to_it:
        asked_first = httpx.options(f"{open_to_it.url}/predict", headers=asked, timeout=60)
        assert asked_first.status_code == 200
        key = {"X-API-Key": "s3cret", "Origin": site}
        answer = post(open_to_it, "/predict", body, headers=key)
        assert answer.headers["access-control-allow-origin"] == site
        other = asked | {"Origin": "https://elsewhere.org"}
        assert (
            httpx.options(f"{open_to_it.url}/predict", headers=other, timeout=60).status_code == 400
        )


def test_only_its_own_names_are_answered(
    service: Service, model_file: Path, tmp_path: Path
) -> None:
    """A page whose name leads to this address would otherwise read the responses."""

    def ask(asked: Service, host: str) -> int:
        return httpx.get(f"{asked.url}/model", headers={"Host": host}, timeout=60).status_code

    own = ("localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]:8000", "10.0.0.7")
    assert {ask(service, host) for host in own} == {200}
    others = ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "[::1", "a b")
    assert {ask(service, host) for host in others} <= {400, 421}
    assert ask(service, "evil.example") == 421
    with run_service(model_file, tmp_path, "--allow-host", "Reviews.example:8443") as named:
        assert ask(named, "reviews.example:443") == 200
        assert ask(named, "evil.example") == 421


@pytest.mark.slow
def test_what_takes_too_long_is_given_up(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, "--upload-timeout", "3") as service:
        body = b"review\n" + b"w1 w2\n" * 2_000_000
        answer = httpx.post(f"{service.url}/score", content=body, headers=CSV, timeout=60)
        assert answer.status_code == 504
        says = "the request took too long: send fewer or shorter texts, or try again later"
        assert answer.json() == {"detail": says}
        assert answer.headers["Connection"] == "close"
        # The job was cancelled too, so the next one can run.
        wait_until(lambda: count(service, "imdb_sentiment_pending") == 0)


BLANK = b"review\n" + b"\n" * 20_000_000  # takes minutes


@pytest.mark.slow
@pytest.mark.parametrize(
    "pipelined", [b"", REQUEST + b"\r\n"], ids=["alone", "with another request"]
)
def test_an_upload_whose_client_has_gone_ends(
    pipelined: bytes, model_file: Path, tmp_path: Path
) -> None:
    head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    upload = head + b"Content-Length: %d\r\n\r\n%b" % (len(BLANK), BLANK)
    with run_service(model_file, tmp_path) as service:
        send_raw(service, upload + pipelined, leave=True)
        wait_until(lambda: '"path": "/score", "status": 499' in service.log.read_text())
        assert count(service, "imdb_sentiment_pending") == 0


@pytest.mark.slow
def test_uploads_are_scored_in_turns(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path) as service, ThreadPoolExecutor(2) as pool:
        url = f"{service.url}/score"
        large = [
            pool.submit(httpx.post, url, content=BLANK, timeout=None, headers=CSV) for _ in range(2)
        ]
        wait_until(lambda: count(service, "imdb_sentiment_pending") == 2)
        answer = httpx.post(url, content="review\nw1\n", timeout=None, headers=CSV)
        assert answer.status_code == 200
        assert count(service, "imdb_sentiment_pending") == 2  # they have not ended before
        find_scorer(service).kill()
        assert [upload.result().status_code for upload in large] == [503, 503]


def test_an_upload_that_arrives_slowly_takes_no_place(service: Service) -> None:
    head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    host, port = service.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(head + b"Content-Length: 1000\r\n\r\nreview\n")
        answer = httpx.post(f"{service.url}/score", content="review\nw1\n", timeout=60, headers=CSV)
        assert answer.status_code == 200


@pytest.mark.slow
def test_a_client_can_not_upload_without_end(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, "--max-upload", "1000") as service:
        head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        host, port = service.url.removeprefix("http://").split(":")
        with contextlib.ExitStack() as stack:
            for _ in range(12):  # more than fit
                connection = stack.enter_context(socket.create_connection((host, int(port))))
                connection.sendall(head + b"Content-Length: 1000\r\n\r\n" + b"x" * 999)
            wait_until(lambda: ask_to_score(service) == 503)
        wait_until(lambda: ask_to_score(service) == 200)


def test_a_client_can_not_take_all_memory(model_file: Path, tmp_path: Path) -> None:
    with run_service(
        model_file, tmp_path, "--max-texts", "1", "--max-characters", "100"
    ) as service:
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        host, port = service.url.removeprefix("http://").split(":")
        body = {"texts": ["w1"]}
        with contextlib.ExitStack() as stack:
            for _ in range(5):  # one more than fits
                connection = stack.enter_context(socket.create_connection((host, int(port))))
                connection.sendall(head + b'Content-Length: 2201\r\n\r\n"' + b"x" * 2199)
            wait_until(lambda: post(service, "/predict", body).status_code == 503)
            other = {"X-Forwarded-For": "203.0.113.1"}
            assert post(service, "/predict", body, headers=other).status_code == 200
        wait_until(lambda: post(service, "/predict", body).status_code == 200)


@pytest.mark.slow
def test_scored_copies_count_as_disk_space(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, "--max-upload", "1000") as service:
        blank = "review\n" + "\n" * 900  # each becomes a row with all columns
        for _ in range(20):
            answer = httpx.post(f"{service.url}/score", content=blank, timeout=60, headers=CSV)
            assert answer.status_code == 422
            assert "more disk space than this client may use at present" in answer.json()["detail"]
            assert ask_to_score(service) == 200


@pytest.mark.slow
def test_scored_copies_that_nobody_reads_give_their_disk_space_back(
    model_file: Path, tmp_path: Path
) -> None:
    with run_service(model_file, tmp_path, "--max-upload", "1000000") as service:
        body = b"review,more\n" + (b"w1," + b"x" * 4000 + b"\n") * 240
        head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        request = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        host, port = service.url.removeprefix("http://").split(":")
        for number in range(1, 13):  # more than fit
            with socket.create_connection((host, int(port)), timeout=60) as connection:
                connection.sendall(request)
                assert b"HTTP/1.1 200 OK" in connection.recv(1000)  # leaves without the rest
            wait_until(partial(has_logged, service, '"path": "/score"', number))


def has_logged(service: Service, words: str, number: int) -> bool:
    return service.log.read_text().count(words) == number


def test_a_bad_request_after_a_good_one_is_no_failure_of_the_service(
    model_file: Path, tmp_path: Path
) -> None:
    body = b'{"texts": ["w1"]}'
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    good = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    with run_service(model_file, tmp_path) as service:
        for pipelined in (good, good + good, good * 3):
            received = send_raw(service, pipelined + b"no request\r\n\r\n")
            # An error would be read as the answer to the good one.
            assert not received or received.startswith(b"HTTP/1.1 200")
        assert b"400 Bad Request" in send_raw(service, b"no request\r\n\r\n")
        assert post(service, "/predict", {"texts": ["w1"]}).status_code == 200
        assert "Traceback" not in service.log.read_text()


def find_scorer(service: Service) -> psutil.Process:
    (scorer,) = psutil.Process(service.process.pid).children()
    return scorer


@pytest.mark.slow
def test_the_scoring_of_a_csv_is_no_work_of_the_process_that_answers(service: Service) -> None:
    body = "review\n" + "w1 w2 w3\n" * 30_000
    before, start = find_scorer(service).cpu_times().user, measure_work(service)
    answer = httpx.post(f"{service.url}/score", content=body, timeout=60, headers=CSV)
    assert answer.text.count("\n") == 30_001
    scoring = find_scorer(service).cpu_times().user - before
    assert measure_work(service) - start < 0.3 * scoring


@pytest.mark.slow
def test_the_end_of_the_scoring_process_is_no_end_of_the_service(
    model_file: Path, tmp_path: Path
) -> None:
    with run_service(model_file, tmp_path) as service, ThreadPoolExecutor(1) as pool:
        url = f"{service.url}/score"
        running = pool.submit(httpx.post, url, content=BLANK, timeout=60, headers=CSV)
        wait_until(lambda: count(service, "imdb_sentiment_pending") == 1)
        find_scorer(service).kill()
        assert running.result().status_code == 503
        assert running.result().headers["Retry-After"] == "1"
        assert ask_to_score(service) == 200
        assert "Traceback" not in service.log.read_text()


@pytest.mark.slow
def test_a_scoring_process_that_does_not_answer_is_replaced(
    model_file: Path, tmp_path: Path
) -> None:
    with run_service(model_file, tmp_path, "--upload-timeout", "2") as service:
        wait_until(lambda: ask_to_score(service) == 200)  # it may start slowly
        scorer = find_scorer(service)
        scorer.suspend()
        start = time.monotonic()
        assert ask_to_score(service) == 504
        assert time.monotonic() - start < 10
        wait_until(lambda: ask_to_score(service) == 200)  # so may another one
        assert not scorer.is_running()
        assert "does not answer: killing it" in service.log.read_text()
        assert "Traceback" not in service.log.read_text()


def test_a_scoring_process_that_does_not_answer_is_ended_with_the_service(
    model_file: Path, tmp_path: Path
) -> None:
    with run_service(model_file, tmp_path) as service:
        scorer = find_scorer(service)
        scorer.suspend()
        service.process.terminate()
        assert service.process.wait(10) in (0, -signal.SIGTERM)
        assert not scorer.is_running()


@pytest.mark.slow
def test_the_scoring_process_ends_with_the_service(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path) as service:
        scorer = find_scorer(service)
        scorer.terminate()  # as some supervisors do to all processes of a service
        # A request that met the old process is answered with 503 and Retry-After.
        assert 200 in (ask_to_score(service), ask_to_score(service))
        successor = find_scorer(service)
        service.process.kill()
        service.process.wait()
        successor.wait(10)


def ask_to_score(service: Service) -> int:
    body = "review\n" + "w1\n" * 10
    return httpx.post(f"{service.url}/score", content=body, timeout=60, headers=CSV).status_code


def test_a_body_too_large_is_refused(model_file: Path, tmp_path: Path) -> None:
    options = ("--max-texts", "1", "--max-characters", "100", "--max-upload", "1000")
    with run_service(model_file, tmp_path, *options) as service:
        for path, size in (("/predict", 5000), ("/score", 1001)):
            answer = httpx.post(service.url + path, content=b"x" * size, headers=CSV, timeout=60)
            assert answer.status_code == 413
            assert "larger than" in answer.json()["detail"]
            assert "shorten it, or split it across" in answer.json()["detail"]


def test_the_answer_to_a_body_far_too_large_is_not_lost(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, "--max-upload", "1000") as service:
        body = b"x" * 30_000_000  # more than fits into the sockets' buffers
        with httpx.Client(timeout=60) as client:
            for _ in range(5):
                answer = client.post(f"{service.url}/score", content=body, headers=CSV)
                assert answer.status_code == 413


@pytest.mark.slow
def test_a_client_that_does_not_read_the_response_is_disconnected(
    model_file: Path, tmp_path: Path
) -> None:
    with run_service(model_file, tmp_path, "--upload-timeout", "20") as service:
        wait_until(lambda: ask_to_score(service) == 200)  # the process that scores has started
        # That request is logged after its response.
        wait_until(lambda: 200 in list_statuses(service, "/score"))
        before = service.log.read_text()
        # It exceeds the buffers, and is scored quickly.
        body = b"review,more\n" + (b"w1," + b"x" * 4000 + b"\n") * 2_000
        head = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        host, port = service.url.removeprefix("http://").split(":")
        with socket.socket() as connection:
            # With a small window, the response has to wait in the service.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((host, int(port)))
            connection.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            wait_until(lambda: "/score" in service.log.read_text().removeprefix(before))
            wait_until(lambda: is_left(service, connection))
        after = service.log.read_text().removeprefix(before)
        (line,) = (line for line in after.splitlines() if "/score" in line)
        assert json.loads(line)["status"] == 200
        assert json.loads(line)["ms"] > 20_000
        assert "Traceback" not in service.log.read_text()
        assert post(service, "/predict", {"texts": ["w1"]}).status_code == 200


def list_statuses(service: Service, path: str) -> list[int]:
    """Return the statuses of the requests to a path that are logged so far."""
    whole = (line for line in service.log.read_text().splitlines(keepends=True) if path in line)
    return [json.loads(line)["status"] for line in whole if line.endswith("\n")]


def is_left(service: Service, connection: socket.socket) -> bool:
    """Return whether the service has closed its end of a connection."""
    theirs = connection.getsockname()
    connections = psutil.Process(service.process.pid).net_connections()
    return not any(found.raddr == theirs for found in connections)


@pytest.mark.slow
def test_a_full_queue_answers_503_and_recovers(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, "--threads", "1", "--queue-size", "1") as service:
        body = {"text": "w1 w2 w3 w4 w5 w6"}
        answers: list[httpx.Response] = []

        def ask() -> None:
            with httpx.Client(timeout=60) as client:
                answers.extend(client.post(f"{service.url}/explain", json=body) for _ in range(50))

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} == {200, 503}
        full = next(answer for answer in answers if answer.status_code == 503)
        assert full.headers["Retry-After"] == "1"
        assert full.json() == {"detail": "the service is busy: try again later"}
        assert post(service, "/explain", body).status_code == 200


def test_the_api_key_is_asked_for(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, api_key="s3cret\n") as service:
        for key in (None, "wrong", "é"):
            headers = {"X-API-Key": key.encode()} if key else {}
            for path, body in (("/predict", {"texts": ["w1"]}), ("/explain", {"text": "w1"})):
                answer = post(service, path, body, headers=headers)
                assert answer.status_code == 401
            assert post(service, "/score", "review", headers=headers).status_code == 401
        # The key is checked before the body is read.
        assert httpx.post(f"{service.url}/predict", content=b"{", timeout=60).status_code == 401
        allowed = {"X-API-Key": "s3cret"}
        assert post(service, "/predict", {"texts": ["w1"]}, headers=allowed).status_code == 200
        assert httpx.get(f"{service.url}/ready", timeout=60).status_code == 200
        assert "s3cret" not in service.log.read_text()


def test_each_owner_has_a_key_and_a_rate(model_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("anna key1\nben key2\n", encoding="utf-8")
    options = ("--api-keys", str(file), "--rate", "0.001", "--burst", "3")
    with run_service(model_file, tmp_path, *options) as service:

        def ask(key: str) -> httpx.Response:
            return post(service, "/predict", {"texts": ["w1", "w2"]}, headers={"X-API-Key": key})

        assert [ask("key1").status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = ask("key1")
        wait = refused.headers["Retry-After"]
        assert refused.json() == {"detail": f"too many requests: try again in {wait} seconds"}
        assert 500 < int(wait) <= 1000
        assert ask("key2").status_code == 200
        assert ask("key3").status_code == 401
        file.write_text("anna key1\nben key2\ncarla key3\n", encoding="utf-8")
        assert ask("key3").status_code == 200
        assert httpx.get(f"{service.url}/health", timeout=60).status_code == 200
        metrics = httpx.get(f"{service.url}/metrics", timeout=60).text
        for owner, texts in (("anna", 6), ("ben", 2), ("carla", 2)):
            assert f'imdb_sentiment_texts_total{{owner="{owner}"}} {texts}.0' in metrics


def test_an_ipv6_network_is_one_client(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, "--rate", "0.001", "--burst", "2") as service:
        statuses = [
            post(service, "/predict", {"texts": ["w1"]}, {"X-Forwarded-For": address}).status_code
            for address in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
        ]
    assert statuses == [200, 200, 429, 200]


def test_a_wrong_file_of_keys_is_an_error_in_one_line(model_file: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        serve, ["--model", str(model_file), "--api-keys", str(tmp_path / "none")]
    )
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert "can't be read" in done.output


def test_the_objects_of_the_libraries_are_not_searched_for_garbage(model_file: Path) -> None:
    program = f"""
import gc, uvicorn
from imdb_sentiment.serving.command import serve

def run(server):
    server.started = True
    print(gc.get_freeze_count())

uvicorn.Server.run = run
serve(["--model", {str(model_file)!r}])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(done.stdout) > 10_000


@pytest.mark.slow
def test_what_was_accepted_is_answered_before_the_end(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, "--threads", "1") as service:
        rows = 20_000
        body = b"review\n" + b"w1 w2 w3 w4\n" * rows
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(
                httpx.post, f"{service.url}/score", content=body, timeout=60, headers=CSV
            )
            while count(service, "imdb_sentiment_pending") == 0:
                assert not answer.done()
            os.kill(service.process.pid, signal.SIGTERM)
            assert len(answer.result().text.splitlines()) == rows + 1
        assert service.process.wait(60) in (0, -signal.SIGTERM)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{service.url}/health", timeout=60)


def test_nobody_else_is_let_in(service: Service) -> None:
    # A service that listens on all networks would answer at this address too.
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.url.replace('127.0.0.1', '127.0.0.2')}/health", timeout=60)
