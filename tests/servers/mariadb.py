"""A private MariaDB server with row-based binary log, with a fresh database for whoever asks."""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.process import (
    ServerProcess,
    ServerUnavailable,
    accepts_connections,
    free_port,
    private_directory,
    run_as,
    unprivileged_user,
)

SYSTEM_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
SETTINGS = {
    "bind-address": "127.0.0.1",
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_unicode_ci",
    "innodb-buffer-pool-size": "64M",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "server-id": "1",
    "max-connections": "100",
    "default-time-zone": "+00:00",
}


def find_binary(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        raise ServerUnavailable(f"{name} was not found (Debian, Ubuntu: apt-get install mariadb-server)")
    return found


class MariaDBServer:
    """Data in a temporary directory, reached by TCP on loopback and by unix socket; root has no password."""

    def __init__(self, **settings: str) -> None:
        self._client = find_binary("mariadb")
        server = find_binary("mariadbd")
        install = find_binary("mariadb-install-db")
        self._owner = unprivileged_user("mysql")
        self.directory = private_directory("maria", self._owner)
        self.port = free_port()
        self._socket = self.directory / "server.sock"
        options = {**SETTINGS, **{name.replace("_", "-"): value for name, value in settings.items()}}
        data = f"--datadir={self.directory / 'data'}"
        self.process = ServerProcess(
            [
                server,
                "--no-defaults",
                data,
                f"--socket={self._socket}",
                f"--port={self.port}",
                f"--pid-file={self.directory / 'server.pid'}",
                # A server that starts removes what others of its kind left in a shared one, and crashes those that live.
                f"--tmpdir={self.directory}",
                "--skip-name-resolve",
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            directory=self.directory,
            ready=self._answers,
            owner=self._owner,
        )
        run_as(
            self._owner,
            [install, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db"],
            cwd=self.directory,
            needs="mariadb-install-db",
        )

    def start(self) -> None:
        self.process.start()

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        """kill -9; `start` recovers."""
        self.process.kill()

    def url(self, database: str = "mysql") -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The SQLAlchemy URL of a fresh database, which is dropped at the end."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            if self.process.running:
                self.sql(f"DROP DATABASE {name}")

    def sql(self, statement: str) -> list[str]:
        """Run one statement with the command-line client; returns the lines of the answer."""
        done = subprocess.run(
            [
                self._client,
                "--no-defaults",
                f"--socket={self._socket}",
                "--user=root",
                "--batch",
                "--skip-column-names",
                f"--execute={statement}",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{statement}\n{done.stderr.strip()}")
        return done.stdout.splitlines()

    def _answers(self) -> bool:
        if not accepts_connections(self.port):
            return False
        try:
            return self.sql("SELECT 1") == ["1"]
        except RuntimeError:
            return False
