"""API keys with owners, and rates."""

import os
import time
from pathlib import Path

import pytest

from imdb_sentiment.serving import clients
from imdb_sentiment.serving.clients import (
    ONLY_KEY,
    ApiKeys,
    KeysError,
    RateLimiter,
    find_network,
    read_keys,
)


def test_a_key_has_an_owner() -> None:
    keys = ApiKeys({ONLY_KEY: "s3cret"})
    assert keys.are_required
    assert keys.find_owner("s3cret") == ONLY_KEY
    assert [keys.find_owner(given) for given in ("", "s3cre", "s3cret ", "\u00e9")] == [None] * 4
    assert not ApiKeys({}).are_required
    assert ApiKeys({}).find_owner("") is None


def change(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    later = file.stat().st_mtime_ns + 10**9  # also if both versions are written in one moment
    os.utime(file, ns=(later, later))


def test_a_file_of_keys_that_can_not_be_read_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    change(file, "anna key1\n")
    keys = ApiKeys({}, file)
    change(file, "anna key2\n")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", raise_permission_error)
        assert keys.find_owner("key1") == "anna"
        assert keys.find_owner("key1") == "anna"
    assert len(caplog.records) == 1  # it is not tried again with each request
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    assert [keys.find_owner(key) for key in ("key1", "key2")] == [None, "anna"]


def raise_permission_error(*_: object, **__: object) -> str:
    raise PermissionError(13, "Permission denied")


def test_a_file_of_keys_may_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys"
    change(file, "# who may ask\n\nanna  key1\nben key2\n")
    keys = ApiKeys({ONLY_KEY: "s3cret"}, file)
    owners = {"key1": "anna", "key2": "ben", "s3cret": ONLY_KEY}
    assert {key: keys.find_owner(key) for key in owners} == owners
    change(file, "anna key3\n")
    assert [keys.find_owner(key) for key in ("key1", "key2", "key3")] == [None, None, "anna"]
    change(file, "anna\n")
    assert keys.find_owner("key3") == "anna"
    file.unlink()
    assert keys.find_owner("key3") == "anna"
    assert [record.message for record in caplog.records] == [
        "the API keys are not reloaded, so the earlier ones remain: "
        f"line 1 of {file} is not a name, a space and a key in ASCII: "
        "write one name and one key per line",
        f"the API keys are not reloaded, so the earlier ones remain: {file} can't be read: "
        f"[Errno 2] No such file or directory: '{file}'",
    ]
    change(file, "anna key4\n")
    assert keys.find_owner("key4") == "anna"


def test_a_byte_order_mark_is_no_part_of_a_file_of_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("#anna key1\nben key2\n", encoding="utf-8-sig")
    assert read_keys(file) == {"ben": "key2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no keys: add a line with a name and a key"),
        ("anna key1 key2", "line 1"),
        ("anna k\u00e9y", "line 1"),
        ("anna key1\nben key1", "line 2 .* of an earlier line: names and keys must be unique"),
        ("anna key1\nanna key2", "line 2 .* of an earlier line"),
        ("anna key1\ndefault key2", "line 2 .* has the name default, which the service uses"),
        ("anonymous key1", "line 1 .* has the name anonymous"),
    ],
)
def test_a_wrong_file_is_refused_at_the_start(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(KeysError, match=message):
        ApiKeys({}, file)
    with pytest.raises(KeysError, match="can't be read"):
        ApiKeys({}, tmp_path / "none")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.1", "203.0.113.1"),
        ("::ffff:203.0.113.1", "203.0.113.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_addresses_of_one_connection_are_one_client(address: str, network: str) -> None:
    assert find_network(address) == network


def test_a_client_may_ask_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    rate = RateLimiter(rate=2, burst=3)
    assert [rate.acquire("a") for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert rate.acquire("b") == 0
    now += 0.75
    assert [rate.acquire("a") for _ in range(2)] == [0, 0.25]
    now += 3600
    assert [rate.acquire("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_clients_without_number_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_KNOWN", 5)
    rate = RateLimiter(rate=1, burst=1)
    for number in range(20):
        assert rate.acquire(str(number)) == 0
    assert rate.acquire("19") > 0
