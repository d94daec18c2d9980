"""`strangler relay`, killed by itself at one of its steps: python -m tests.races.dying FOLDER WHEN STEP NUMBER.

A step is a call of capture, archive, leases or publisher, whatever these are made of. WHEN is `before`, `after`, `during`,
or `never`: then the steps are counted, and told at the end.
"""

from __future__ import annotations

import inspect
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from functools import wraps
from typing import Any

from tests.support.bank import SOURCE
from toolkit.app import App, open_project
from toolkit.cli.flow import relays
from toolkit.cli.stopping import stop_on_signals

LONGEST = 0.03
"""seconds from the beginning of a step to a death in its midst"""


def die(_after: float = 0.0) -> None:
    time.sleep(_after)
    os.kill(os.getpid(), signal.SIGKILL)


class Steps:
    """Counts the calls of what a process is made of, and ends the process at the one it was made for."""

    def __init__(self, when: str, step: str, number: int) -> None:
        self._when, self._step, self._number = when, step, number
        self._guard = threading.Lock()
        self.seen: Counter[str] = Counter()

    def watch(self, part: Any, called: str = "") -> None:
        """Every public method of what `part` is. The class is changed, not the object: it stays what others take it for."""
        cls = part if isinstance(part, type) else type(part)
        for name, function in inspect.getmembers(cls, inspect.isfunction):
            if not name.startswith("_"):
                setattr(cls, name, self.counted(f"{called or cls.__name__}.{name}", function))

    def counted(self, step: str, function: Any) -> Any:
        """The same function, as a step of this name."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._guard:
                self.seen[step] += 1
                chosen = step == self._step and self.seen[step] == self._number
            if chosen and self._when == "before":
                die()
            if chosen and self._when == "during":
                threading.Thread(target=die, args=(random.random() * LONGEST,)).start()
            answer = function(*args, **kwargs)
            if chosen:
                die()
            return answer

        return call


def watch(app: App, steps: Steps) -> None:
    publisher = app.log.publisher(app.project.topic(SOURCE))
    for part in (app.legacy(SOURCE).capture, app.state.archive, app.state.leases, publisher):
        steps.watch(part)
    publisher.close()


def main(folder: str, when: str, step: str, number: str) -> None:
    steps = Steps(when, step, int(number))
    with open_project(folder) as app, stop_on_signals() as stop:
        watch(app, steps)
        for loop in relays(app, SOURCE).values():
            loop(stop)
    for name, count in steps.seen.items():
        sys.stdout.write(f"step {name} {count}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
