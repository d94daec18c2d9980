"""One server process: started, watched while it comes up, stopped, killed, and never left behind."""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class ServerUnavailable(Exception):
    """This machine cannot run the server: something is not installed or cannot be downloaded."""


class ServerFailed(Exception):
    """The server is installed, and did not come up."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def unprivileged_user(*preferred: str) -> str | None:
    """Who a server runs as: database servers refuse root. None means the current user, who is not root."""
    if os.geteuid() != 0:
        return None
    for name in (*preferred, "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise ServerUnavailable(f"running as root, and none of the users {preferred} or nobody exists")


def private_directory(prefix: str, owner: str | None) -> Path:
    """A new directory directly below the temporary one: the path of a unix socket has to be short."""
    directory = Path(tempfile.mkdtemp(prefix=f"strangler-{prefix}-"))
    if owner is not None:
        shutil.chown(directory, owner)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def run_as(owner: str | None, command: Sequence[str], cwd: Path, needs: str) -> None:
    """Run one preparing command to its end."""
    try:
        subprocess.run(
            command,
            cwd=cwd,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
            user=owner,
            extra_groups=None if owner is None else [],
        )
    except OSError as error:
        raise ServerUnavailable(f"{needs}: {error}") from error
    except subprocess.CalledProcessError as error:
        raise ServerFailed(f"{' '.join(command)}\n{error.stdout}{error.stderr}") from error


def _dies_with_parent(how: signal.Signals) -> list[str]:
    """A prefix by which Linux ends the server when the tests die without saying good-bye."""
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", how.name.removeprefix("SIG"), "--"]


class ServerProcess:
    """A long-running command with a readiness check."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        ready: Callable[[], bool],
        owner: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: signal.Signals = signal.SIGKILL,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [*_dies_with_parent(orphan_signal), *command]
        self._directory = directory
        self._ready = ready
        self._owner = owner
        self._stop_signal = stop_signal
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self.log = directory / "server.log"
        atexit.register(self.stop)

    @property
    def running(self) -> bool:
        return self._alive()

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def start(self, timeout: float = 60) -> None:
        """Start, and return when it answers. A server that was killed may refuse at first, so it is asked again."""
        deadline = time.monotonic() + timeout
        while not self._alive():
            self._launch()
            while self._alive() and time.monotonic() < deadline:
                if self._ready():
                    return
                time.sleep(0.05)
            if time.monotonic() >= deadline:
                self.kill()
                raise ServerFailed(
                    f"{' '.join(self._command)}\ndid not answer within {timeout} s; its log:\n{self._tail()}"
                )
            time.sleep(0.2)

    def stop(self, timeout: float = 30) -> None:
        """Stop in an orderly way; kill it when that takes too long."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """kill -9, as in a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self._owner,
                extra_groups=None if self._owner is None else [],
                env=None if self._env is None else {**os.environ, **self._env},
                start_new_session=True,  # Ctrl-C is for the tests; they stop the server
            )

    def _tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
