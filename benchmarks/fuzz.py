r"""Thousands of malformed requests from a grammar, and their effect on the service.

    .venv/bin/python benchmarks/fuzz.py --connections 10000

Requires a finished run, because it uses data/06_models/model.onnx (or another one by --model). Each
connection has a number, and sends what the grammar and the seed give for it: requests of which any
part may be wrong, with bytes dropped, doubled or changed, in pieces. Meanwhile, a client sends
honest requests. It ends with 1 if one of these failed, if the service answered with a 5xx other
than 503, wrote a traceback, kept an open file, or needs more than 1.2 times the memory of before.
`--only NUMBER` sends what a single connection sends, and prints it.
"""

import argparse
import collections
import contextlib
import itertools
import multiprocessing
import os
import random
import re
import socket
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from hostile import PRIORITY, RATE, Honest, print_line, warm_up
from project import ROOT, describe_machine
from service import Service, run_service

SENDERS = 8
PATIENCE = 0.05  # seconds to wait for a response, at least; longer where responses are slow
MEMORY = 1.2  # maximum ratio of the memory to that before
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
ALLOWED = 503
SERVER_ERRORS = 500

VALID = 0.85  # probability of the first alternative of each

WIDE = ("utf-16", "utf-16-be", "utf-32")  # encodings of JSON that Python reads and others do not

# The first alternatives are valid.
GRAMMAR: dict[bytes, tuple[bytes, ...]] = {
    b"method": (b"POST", b"GET", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"PRI", b"post", b"\x00"),
    b"path": (
        *(b"/predict", b"/explain", b"/score", b"/model", b"/health", b"/metrics", b"/page/", b"/"),
        *(b"*", b"//", b"/%", b"/%ff%00", b"/page/../service.py", b"/page/%2e%2e/service.py"),
        *(b"http://evil.example/predict", b"/score?text_column=<junk>", b"/?" + b"a=b&" * 2000),
        *(b"/" + b"x" * 70_000, b"", b"\xff\xfe", b"/<junk>"),
    ),
    b"version": (
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"HTTP/0.9",
        b"HTTP/1.1 ",
        b"http/1.1",
        b"",
    ),
    b"end": (b"\r\n", b"\n", b"\r", b"\r\n ", b"\r\n\r\n", b""),
    b"host": (
        b"Host: localhost",
        b"Host: evil.example",
        b"Host:",
        b"Host: a\r\nHost: b",
        b"Host: [",
    ),
    b"type": (
        *(b"Content-Type: application/json", b"Content-Type: text/csv", b"Content-Type: <junk>"),
        *(b"Content-Type: multipart/form-data; boundary=x", b"Content-Type: application/json;;="),
    ),
    b"header": (
        *(b"Accept: */*", b"X-API-Key: <junk>", b"Expect: 100-continue", b"Connection: <junk>"),
        *(b"Upgrade: websocket\r\nConnection: upgrade", b"Connection: close", b"<junk>", b": "),
        *(b"Transfer-Encoding: gzip", b"Origin: <junk>", b"X-Forwarded-For: <junk>", b"a" * 70_000),
        *(
            b"a:\r\n" * 300,
            b"Content-Encoding: gzip",
            b"Range: bytes=0-1,5-",
            b"Cookie: " + b"=;" * 99,
        ),
    ),
    b"body": (
        *(b'{"texts": ["<text>"]}', b'{"text": "<text>"}', b"review\n<text>\n", b"<junk>", b""),
        *(b'{"texts": <value>}', b'{"text": <value>}', b"<value>", b'{"<junk>": 1}', b"[" * 5000),
        *('{"texts": ["A gem"]}'.encode(wide) for wide in WIDE),
        *(('{"texts": ["\u2200"' + ", []" * 9000 + "]}").encode(wide) for wide in WIDE),
        *(b"review\n" + b"\n" * 3000, b"," * 3000, b'review\n"<text>', b"\xef\xbb\xbfreview\n\xff"),
    ),
    b"value": (
        b'"<text>"',
        b"1e999",
        b"-",
        b"NaN",
        b"null",
        b"[<value>,<value>]",
        b"{}",
        b'["\\ud800"]',
    ),
    b"text": (b"A gem", b"<junk>", b"\\u0000", b"\xf0\x9f\x98\x80", b"\xc3", b"a" * 30_000, b"\\"),
    b"junk": (
        b"x",
        b"\x00",
        b"\xff\xfe",
        b"%s%n",
        b"\r\n",
        b"'\"<>",
        b"9" * 400,
        b"\x1b[2J",
        b"../" * 9,
    ),
}
NAME = re.compile(rb"<([a-z]+)>")


def expand(name: bytes, rng: random.Random) -> bytes:
    """Return an alternative of the grammar, with what it names expanded."""
    valid, *others = GRAMMAR[name]
    chosen = valid if rng.random() < VALID else rng.choice(others)
    return NAME.sub(
        lambda found: expand(found[1], rng) if found[1] in GRAMMAR else found[0], chosen
    )


def frame(body: bytes, rng: random.Random) -> tuple[bytes, bytes]:
    """Return a header that says how long a body is, truly or not, and the body as it is sent."""
    size = len(body)
    ends = [b"0\r\n\r\n", b"0\r\na: b\r\n\r\n", b"0\r\n" + b"a: b\r\n" * 300, b"", b"zz"]
    match rng.choice(["length", "length", "length", "chunks", "wrong length", "both"]):
        case "chunks":
            said = size + rng.choice([0, 0, 1, 2**70])
            chunk = b"%x;a=b\r\n%b\r\n" % (said, body)
            return b"Transfer-Encoding: chunked", chunk + rng.choice(ends)
        case "wrong length":
            wrong = [b"%d" % (size + 9), b"%d" % (size // 2), b"-1", b"+1", b"1, 2", b"1e3"]
            return b"Content-Length: " + rng.choice(wrong), body
        case "both":
            return b"Content-Length: %d\r\nTransfer-Encoding: chunked" % size, body
    return b"Content-Length: %d" % size, body


def make_request(rng: random.Random) -> bytes:
    """Return a request that may be wrong in any part."""
    line = b" ".join(expand(name, rng) for name in (b"method", b"path", b"version"))
    length, body = frame(expand(b"body", rng), rng)
    extra = [expand(b"header", rng) for _ in range(rng.choice([0, 0, 1, 5]))]
    headers = [expand(b"host", rng), expand(b"type", rng), length, *extra]
    if rng.random() < 1 / 4:
        rng.shuffle(headers)
    lines = [header + rng.choice([b"\r\n"] * 20 + [expand(b"end", rng)]) for header in headers]
    return line + b"\r\n" + b"".join(lines) + b"\r\n" + body


def damage(data: bytes, rng: random.Random) -> bytes:
    """Return data with some bytes dropped, doubled or changed."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        stop = min(len(data), start + rng.choice([1, 1, 4, 100]))
        middle = rng.choice([b"", data[start:stop] * 2, rng.randbytes(stop - start)])
        data = data[:start] + middle + data[stop:]
    return data


def make_connection(seed: int, number: int) -> list[bytes]:
    """Return the pieces that a connection sends."""
    rng = random.Random(f"{seed} {number}")
    data = b"".join(make_request(rng) for _ in range(rng.choice([1, 1, 1, 2, 5])))
    if rng.random() < 1 / 4:
        data = damage(data, rng)
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice([0, 0, 1, 3])))
    edges = [0, *cuts, len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


def send(port: int, seed: int, patience: float, number: int) -> list[int]:
    """Send what a connection sends, and return the statuses of the responses."""
    received = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=5) as connection,
    ):
        for piece in make_connection(seed, number):
            connection.sendall(piece)
        connection.settimeout(patience)
        while part := connection.recv(65536):
            received += part
    return [int(status) for status in STATUS.findall(received)]


def fuzz(
    service: Service, connections: int, seed: int, patience: float
) -> tuple[Honest, dict[int, int]]:
    """Send all connections; return the honest client, and the number of responses by status."""
    honest = Honest("127.0.0.1", service.port)
    statuses: collections.Counter[int] = collections.Counter()
    with multiprocessing.Pool(SENDERS, os.nice, (PRIORITY,)) as pool:
        sent = pool.imap_unordered(
            partial(send, service.port, seed, patience), range(connections), chunksize=10
        )
        asked = time.monotonic()
        for found in sent:
            statuses.update(found)
            if time.monotonic() - asked > 1 / RATE:
                honest.ask(is_new=len(honest.seconds) % 2 == 0)
                asked = time.monotonic()
    return honest, statuses


def main() -> None:
    """Fuzz a service and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="a single connection")
    parser.add_argument("--model", type=Path, default=ROOT / "data/06_models/model.onnx")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        with run_service(model=arguments.model, log=log) as service:
            if arguments.only is not None:
                print(make_connection(arguments.seed, arguments.only))
                print(send(service.port, arguments.seed, PATIENCE, arguments.only), log.read_text())
                return
            problems = _fuzz_and_compare(service, arguments.connections, arguments.seed)
        if "Traceback" in log.read_text():
            found = log.read_text().partition("Traceback")[2].partition("\n")[0]
            problems.append(f"a traceback in the log: … {found[-1500:]}")
    if problems:
        sys.exit("\n".join(problems))


def _fuzz_and_compare(service: Service, connections: int, seed: int) -> list[str]:
    warm_up(service)
    print(describe_machine())
    print("| connections | p50 ms | p99 ms | failed | of | resident MiB | open files |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    before = Honest("127.0.0.1", service.port)
    for _ in range(50):
        before.ask(is_new=False)
    print_line(0, before, service)
    before.close()
    memory, files = service.resident_mib(), service.process.num_fds()
    patience = max(PATIENCE, 50 * statistics.median(before.seconds))
    honest, statuses = fuzz(service, connections, seed, patience)
    print_line(connections, honest, service)
    honest.close()
    left, grown = service.wait_for_files(files), service.resident_mib()
    print("Responses:", ", ".join(f"{status}: {n}" for status, n in sorted(statuses.items())))
    print(f"Afterwards: {grown:.0f} MiB, {left} open files")
    problems = [f"an honest request failed: {failure}" for failure in honest.failures]
    errors = [status for status in statuses if status >= SERVER_ERRORS and status != ALLOWED]
    problems += [f"a response with the status {status}" for status in errors]
    if grown > MEMORY * memory:
        problems.append(f"memory has grown from {memory:.0f} to {grown:.0f} MiB")
    if left > files:
        problems.append(f"open files have become {left} instead of {files}")
    return problems


if __name__ == "__main__":
    main()
