"""A PostgreSQL server of the tests' own."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "a secret: /@?"  # what a URL would have to escape


@dataclass(frozen=True)
class Server:
    """Where it is, and who may enter."""

    url: str
    username: str
    password: str


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`; Debian keeps them out of the PATH."""
    found = shutil.which("pg_ctl")
    if found and Path(found).with_name("initdb").exists():
        return Path(found).parent
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return candidates[-1] if candidates else None


@contextlib.contextmanager
def run_postgres(programs: Path) -> Iterator[Server]:
    """Start a server with an empty database, and stop it."""
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to be root
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    (folder / "password").write_text(PASSWORD)
    if user:
        shutil.chown(folder, user)
        shutil.chown(folder / "password", user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(folder / "data")

    def call(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs / program), "-D", data, *arguments],
            check=True,
            cwd=folder,
            user=user,
            stdout=subprocess.DEVNULL,
        )

    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -k {folder}"
    try:
        call(
            "initdb",
            "--username=tuner",
            f"--pwfile={folder / 'password'}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        )
        call("pg_ctl", "--wait", "-l", str(folder / "log"), "-o", options, "start")
        try:
            url = f"postgresql+psycopg://127.0.0.1:{port}/postgres"
            yield Server(url, "tuner", PASSWORD)
        finally:
            call("pg_ctl", "--wait", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
