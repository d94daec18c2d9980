"""Run loops side by side until they are told to stop; the first one that breaks stops the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

Loop = Callable[[threading.Event], None]


def run_together(loops: Mapping[str, Loop], stop: threading.Event) -> None:
    """Run each loop in a thread of its own. Returns when all have ended; raises what the first one broke with."""
    broken: list[BaseException] = []

    def guarded(loop: Loop) -> None:
        try:
            loop(stop)
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            broken.append(error)
            stop.set()

    threads = [
        threading.Thread(target=guarded, args=(loop,), name=name, daemon=True) for name, loop in loops.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            # Short joins, so that a signal's handler gets its turn in the main thread.
            thread.join(timeout=0.2)
    if broken:
        raise broken[0]
