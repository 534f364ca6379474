import json
import logging
import os
import pty
import socket
import subprocess
import sys
from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner

from helpers import find_free_port
from imdb_sentiment.serving.command import choose_address, serve
from imdb_sentiment.serving.server import PlainFormatter, describe_address


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # nobody can open 0.0.0.0
        ("::", "http://[::1]:8000"),
        ("2001:db8::1", "http://[2001:db8::1]:8000"),
    ],
)
def test_the_address_is_one_that_can_be_opened(host: str, url: str) -> None:
    said = describe_address(host, 8000, "The model is new.").splitlines()
    assert said[0].startswith(f"The service is ready: open {url} in a browser.")
    assert said[1:] == ["The model is new.", "Press Ctrl-C to stop it."]


def test_people_read_a_request_in_one_line() -> None:
    record = logging.makeLogRecord({"msg": "request", "created": 0.0})
    vars(record).update(method="POST", path="/predict", status=200, ms=1.25)
    assert PlainFormatter().format(record).split(" ", 1)[1] == "POST /predict: 200, 1.2 ms"
    record = logging.makeLogRecord({"msg": "a %s", "args": ("word",), "created": 0.0})
    assert PlainFormatter().format(record).split(" ", 1)[1] == "a word"


def test_a_port_that_is_taken_is_said_in_a_sentence(model_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(serve, ["--model", str(model_file), "--port", str(port)])
    assert done.exit_code == 1
    assert (
        f"Error: port {port} on 127.0.0.1 is already in use, perhaps by another imdb" in done.output
    )
    done = CliRunner().invoke(serve, ["--model", str(model_file), "--host", "203.0.113.1"])
    assert "Error: the service can't listen on port 8000 of 203.0.113.1 (" in done.output
    done = CliRunner().invoke(serve, ["--model", str(model_file), "--host", ".example"])
    assert done.exit_code == 2
    assert "Invalid value for '--host': .example is not a name or an address." in done.output


def test_an_address_that_the_machine_lacks_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of `localhost` in IPv6, where IPv6 is off."""
    port = find_free_port()
    stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    addresses = ["127.0.0.1"]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: [(*stream, (address, port)) for address in addresses],
    )
    assert choose_address("localhost", port) == "localhost"
    addresses.insert(0, "203.0.113.1")
    assert choose_address("localhost", port) == "127.0.0.1"
    addresses.pop()
    with pytest.raises(click.ClickException, match="can't listen on port"):
        choose_address("localhost", port)


def test_options_that_can_not_be_used_are_said_in_a_sentence(
    model_file: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(serve, ["--model", str(tmp_path)])
    assert done.exit_code == 1
    assert f"Error: {tmp_path} can't be read (Is a directory): pass the path" in done.output
    done = CliRunner().invoke(serve, ["--model", str(tmp_path / "none")])
    assert f"Error: {tmp_path}/none does not exist: train a model" in done.output
    for option, value in (("--timeout", "nan"), ("--upload-timeout", "inf"), ("--rate", "NaN")):
        done = CliRunner().invoke(serve, ["--model", str(model_file), option, value])
        assert done.exit_code == 2
        assert f"Invalid value for '{option}': {value} is not a finite number." in done.output


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        (
            "--allow-host",
            "https://reviews.example",
            "is not a host name such as reviews.example.org",
        ),
        ("--allow-host", "reviews.example/", "leave out the scheme, the path"),
        ("--allow-host", "", "is not a host name"),
        ("--allow-host", "*.example.org", "and wildcards"),
        ("--allow-host", "b\u00fccher.example", "in Punycode (xn--"),
        ("--allow-host", "a,b", "is not a host name"),
        ("--allow-host", "2001:db8::1", "IP addresses are always accepted"),
        ("--allow-origin", "reviews.example", "is not an origin such as https://example.org"),
        ("--allow-origin", "https://reviews.example/page", "leave out the path"),
        ("--allow-origin", "https://*.reviews.example", "and wildcards"),
        ("--allow-origin", "https://me@reviews.example", "is not an origin"),
    ],
)
def test_names_that_no_request_could_have_are_refused(option: str, value: str, says: str) -> None:
    done = CliRunner().invoke(serve, ["--model", "none.onnx", option, value])
    assert done.exit_code == 2
    assert f"Invalid value for '{option}': {value} is not" in done.output
    assert says in " ".join(done.output.split())


@pytest.mark.slow  # a process of its own
def test_the_command_says_that_it_serves_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imdb_sentiment", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "imdb-sentiment serve" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("log", ["auto", "json"])
def test_a_terminal_is_greeted_unless_json_is_asked_for(model_file: Path, log: str) -> None:
    controller, terminal = pty.openpty()
    port = find_free_port()
    options = ["--model", str(model_file), "--port", str(port), "--log", log]
    process = subprocess.Popen(
        [sys.executable, "-m", "imdb_sentiment", "serve", *options],
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    expected = "Ctrl-C to stop it" if log == "auto" else "Uvicorn running"
    said = ""
    while expected not in said:
        said += os.read(controller, 4096).decode()
    assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    while "/health" not in said:
        said += os.read(controller, 4096).decode()
    process.terminate()
    process.wait(60)
    os.close(controller)
    lines = [line for line in said.splitlines() if line]
    if log == "json":
        assert all("message" in json.loads(line) for line in lines)
    else:
        assert lines[0].startswith(f"The service is ready: open http://127.0.0.1:{port} in")
        assert lines[1].startswith("The model is from today, trained on unknown")
        assert "GET /health: 200" in lines[3]
