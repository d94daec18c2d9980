"""Child processes for crash tests: started, listened to, killed at the worst moment."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]


class Child:
    """A running command whose standard output and error are collected line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, text: str, timeout: float = 30) -> str:
        """The first line that contains `text`."""

        def line() -> str | None:
            found = next((line for line in list(self.lines) if text in line), None)
            if found is None and not self.running and not self._reader.is_alive():
                raise AssertionError(f"the child ended without saying {text!r}:\n{self.output}")
            return found

        answer = wait_until(line, timeout, what=f"{text!r} from the child")
        assert answer is not None
        return answer

    def wait(self, timeout: float = 30) -> int:
        """Its exit code, when it ends by itself."""
        code = self._process.wait(timeout)
        self._reader.join(timeout)
        return code

    def terminate(self, timeout: float = 30) -> int:
        """SIGTERM, and its exit code."""
        self._process.terminate()
        return self.wait(timeout)

    def kill(self) -> None:
        """kill -9: nothing of it runs any more, no clean-up, no rollback."""
        self._process.kill()
        self.wait()

    def pause(self) -> None:
        """Freeze it, as a machine that stalls does; it wakes up as a zombie leader."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _collect(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            self.lines.extend(stream)


@contextmanager
def python_child(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Child]:
    """Run this Python with `arguments` ("-m", "toolkit.cli.app", ... or "-c", code); killed at the end if need be."""
    child = Child(
        subprocess.Popen(
            [sys.executable, "-u", *arguments],
            cwd=cwd or REPOSITORY,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )
    try:
        yield child
    finally:
        if child.running:
            child.kill()
