"""A command as a process of its own: how long it took, its processor time, and the most memory that it held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command took, the processes that it started and waited for included, and what it printed."""

    seconds: float
    processor: float
    peak_mb: float
    """most resident memory of all of them together, looked at several times a second"""
    code: int
    output: str


def ran(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    until: Callable[[], bool] | None = None,
    patience: float,
) -> Ran:
    """Run this Python with the arguments until it ends; `until`: stop it by SIGTERM as soon as this is so.

    Its memory is looked at from outside: what a process says of its own peak contains that of whoever started it.
    """
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=Path(__file__).parents[1],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
        )
        peak, ended = 0.0, 0.0
        while True:
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, _resident(child.pid))
            if not ended and until is not None and until():
                ended = time.monotonic()
                os.kill(child.pid, signal.SIGTERM)
            if time.monotonic() - began > patience:
                os.kill(child.pid, signal.SIGKILL)
            time.sleep(LOOK_EVERY)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return Ran(
            seconds=(ended or time.monotonic()) - began,
            processor=used.ru_utime + used.ru_stime,
            peak_mb=peak,
            code=child.returncode,
            output=output.read().decode(),
        )


def _resident(pid: int) -> float:
    """The memory of a process and of those it started, in MB; 0 where there is no /proc."""
    try:
        own = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (OSError, IndexError):
        return 0.0
    return int(own) * os.sysconf("SC_PAGE_SIZE") / 2**20 + sum(_resident(int(one)) for one in children)
