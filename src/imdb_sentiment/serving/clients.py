"""Clients of the service: API keys with names of owners, and rate limits."""

import hmac
import ipaddress
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path

logger = logging.getLogger(__name__)

ANONYMOUS = "anonymous"
ONLY_KEY = "default"  # owner of the only key, which has no name
RETRY_INTERVAL = 10.0  # seconds between attempts to read a file of keys that can't be read
MAX_KNOWN = 10_000  # maximum number of clients whose requests are remembered


class KeysError(ValueError):
    """The file of the API keys can't be used; the message says why."""


class ApiKeys:
    """API keys and the names of their owners.

    A file of keys is read again when it has changed, so keys can be replaced without a restart. If
    the changed file can't be used, the earlier keys remain.

    Args:
        keys: Keys by the name of their owner.
        file: File with one name and one key per line, divided by spaces; empty lines and lines with
            `#` at their beginning are skipped. None for no file.

    Raises:
        KeysError: The file can't be used.

    """

    def __init__(self, keys: Mapping[str, str], file: Path | None = None) -> None:
        self._given = dict(keys)
        self._keys = self._given
        self._file = file
        self._state = self._look()
        self._retry_at = math.inf
        if file is not None:
            self._keys = self._given | read_keys(file)

    @property
    def are_required(self) -> bool:
        """Whether clients need a key."""
        return bool(self._keys)

    def find_owner(self, given: str) -> str | None:
        """Return the name of the owner of a key, or None if the key is unknown."""
        state, now = self._look(), time.monotonic()
        if state != self._state or now > self._retry_at:
            self._state, self._retry_at = state, math.inf
            try:
                self._keys = self._given | read_keys(self._file or Path())
            except KeysError as error:
                logger.error("the API keys are not reloaded, so the earlier ones remain: %s", error)
                if state and isinstance(error.__cause__, OSError):  # it may be readable later
                    self._retry_at = now + RETRY_INTERVAL
        owners = [
            name
            for name, key in self._keys.items()
            if hmac.compare_digest(given.encode(), key.encode())
        ]
        return next(iter(owners), None)

    def _look(self) -> tuple[int, ...] | None:
        """Return what changes with the content or the permissions of the file."""
        try:
            status = self._file.stat() if self._file else None
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_size) if status else None


def read_keys(file: Path) -> dict[str, str]:
    """Return the keys of a file by the name of their owner; see `ApiKeys`.

    Raises:
        KeysError: There is no such file, it has no key, or a line is not a name and a key, or has a
            name that the service uses itself.

    """
    keys: dict[str, str] = {}
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()  # Notepad writes a BOM
    except (OSError, UnicodeDecodeError) as error:
        raise KeysError(f"{file} can't be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        name, *rest = parts
        if len(rest) != 1 or not rest[0].isascii():
            raise KeysError(
                f"line {number} of {file} is not a name, a space and a key in ASCII: write one "
                "name and one key per line"
            )
        if name in (ANONYMOUS, ONLY_KEY):
            raise KeysError(
                f"line {number} of {file} has the name {name}, which the service uses itself: "
                "choose another one"
            )
        if name in keys or rest[0] in keys.values():
            raise KeysError(
                f"line {number} of {file} has a name or a key of an earlier line: names and keys "
                "must be unique"
            )
        keys[name] = rest[0]
    if not keys:
        raise KeysError(f"{file} contains no keys: add a line with a name and a key")
    return keys


def find_network(address: str) -> str:
    """Return the address that counts as one client: of IPv6, the network of the first 64 bits.

    The owner of an IPv6 connection usually has all addresses with the same 64 bits.

    Args:
        address: An IP address; anything else is returned as it is.

    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(found) >> 64 << 64)}/64"


class RateLimiter:
    """A limit of the requests per second that each client may send, on average ("token bucket").

    Args:
        rate: Requests per second.
        burst: Requests that a client may send at once after a pause.

    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._known: dict[str, tuple[float, float]] = {}  # requests left, and at what time

    def acquire(self, client: str) -> float:
        """Count a request of a client, if it may be sent now.

        Returns:
            0 if the client may send it; otherwise the seconds until it may send one.

        """
        now = time.monotonic()
        left, then = self._known.pop(client, (float(self._burst), now))
        left = min(left + (now - then) * self._rate, self._burst)
        allowed = left >= 1
        self._known[client] = (left - allowed, now)  # last: the first one asked longest ago
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return 0.0 if allowed else (1 - left) / self._rate
