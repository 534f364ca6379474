"""A temporary PostgreSQL server for tests."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers import find_free_port

PASSWORD = "a secret: /@?"  # characters that a URL must escape


@dataclass(frozen=True)
class Server:
    """Address and credentials of a server."""

    url: str
    username: str
    password: str


def _find_programs() -> Path:
    """Return the folder of `initdb` and `pg_ctl`, which Debian does not add to the PATH."""
    found = shutil.which("pg_ctl")
    if found and Path(found).with_name("initdb").exists():
        return Path(found).parent
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert candidates, "PostgreSQL is not installed; -m 'not postgres' leaves out what needs it"
    return candidates[-1]


@contextlib.contextmanager
def run_postgres() -> Iterator[Server]:
    """Start a server with an empty database; stop it at the end."""
    programs = _find_programs()
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to be root
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    (folder / "password").write_text(PASSWORD)
    if user:
        shutil.chown(folder, user)
        shutil.chown(folder / "password", user)
    port = find_free_port()
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
