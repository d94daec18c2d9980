"""A private PostgreSQL cluster, with a fresh database for whoever asks."""

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import (
    ServerProcess,
    ServerUnavailable,
    accepts_connections,
    free_port,
    private_directory,
    run_as,
    unprivileged_user,
)

SUPERUSER = "postgres"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "max_prepared_transactions": "20",
    "wal_level": "logical",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "autovacuum_naptime": "10min",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


def find_binaries() -> Path:
    """The directory that holds initdb and postgres."""
    candidates = [
        Path(found).resolve().parent for found in (shutil.which("initdb"), shutil.which("postgres")) if found
    ]
    candidates += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(answer.stdout.strip()))
    for directory in candidates:
        if all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres", "psql")):
            return directory
    raise ServerUnavailable(
        "PostgreSQL's server binaries were not found (Debian, Ubuntu: apt-get install postgresql)"
    )


class PostgresServer:
    """Cluster in a temporary directory, reached by TCP on loopback and by unix socket, trust authentication."""

    def __init__(self, **settings: str) -> None:
        self._binaries = find_binaries()
        self._owner = unprivileged_user("postgres")
        self.directory = private_directory("pg", self._owner)
        self.port = free_port()
        self._data = self.directory / "data"
        options = {
            **SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            **settings,
        }
        self.process = ServerProcess(
            [
                str(self._binaries / "postgres"),
                "-D",
                str(self._data),
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            directory=self.directory,
            ready=self._answers,
            owner=self._owner,
            stop_signal=signal.SIGINT,  # "fast": does not wait for clients
            orphan_signal=signal.SIGQUIT,
        )
        self._initialise()

    @property
    def socket_directory(self) -> Path:
        return self.directory

    def start(self) -> None:
        self.process.start()

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        """kill -9 of the postmaster; `start` recovers from the log."""
        self.process.kill()

    def url(self, database: str = "postgres", *, user: str = SUPERUSER) -> str:
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template1") -> str:
        """A new database under a name of its own; returns the name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name: str) -> None:
        """Drop it whoever is connected. Replication slots and prepared transactions would keep it alive."""
        for slot in self.sql(f"SELECT slot_name FROM pg_replication_slots WHERE database = '{name}'"):
            self.sql(f"SELECT pg_drop_replication_slot('{slot}')")
        for prepared in self.sql(f"SELECT gid FROM pg_prepared_xacts WHERE database = '{name}'"):
            self.sql(f"ROLLBACK PREPARED '{prepared}'", name)
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The SQLAlchemy URL of a fresh database, which is dropped at the end."""
        name = self.create_database(template)
        try:
            yield self.url(name)
        finally:
            if self.process.running:
                self.drop_database(name)

    def sql(self, statement: str, database: str = "postgres") -> list[str]:
        """Run one statement with psql, which needs no Python driver; returns the lines of the answer."""
        done = subprocess.run(
            [
                str(self._binaries / "psql"),
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set=ON_ERROR_STOP=1",
                f"--host={self.directory}",
                f"--port={self.port}",
                f"--username={SUPERUSER}",
                f"--dbname={database}",
                f"--command={statement}",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{statement}\n{done.stderr.strip()}")
        return done.stdout.splitlines()

    def _initialise(self) -> None:
        run_as(
            self._owner,
            [
                str(self._binaries / "initdb"),
                "--no-sync",
                "--no-instructions",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                f"--username={SUPERUSER}",
                f"--pgdata={self._data}",
            ],
            cwd=self.directory,
            needs="initdb",
        )

    def _answers(self) -> bool:
        if not accepts_connections(self.port):
            return False
        try:
            return self.sql("SELECT 1") == ["1"]
        except RuntimeError:
            return False
