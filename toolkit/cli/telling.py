"""What long-running commands say of themselves: a line when something changes, and one now and then that it goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from rich.logging import RichHandler

from toolkit.cli.output import errors

EVERY = 30.0
"""Seconds between two lines about the same loop."""
logger = logging.getLogger("strangler.run")


def log_to_stderr() -> None:
    """Log for people at a terminal; elsewhere a line each, with its time, that no width can break."""
    handler: logging.Handler = (
        RichHandler(console=errors, show_path=False) if errors.is_terminal else logging.StreamHandler()
    )
    plain = "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s"
    formatter = logging.Formatter("%(message)s" if errors.is_terminal else plain, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)


class Standby:
    """Says once that others lead all shards of a source, and again when those are others; who leads one says so itself."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def look(self, source: str, leaders: Iterable[str]) -> None:
        """Who leads the source while this process leads none of it; nobody, when it does or could."""
        by = ", ".join(sorted(set(leaders)))
        if by and by != self._told.get(source):
            logger.info("relay of %s stands by: its shards are led by %s", source, by)
        self._told[source] = by


class Telling:
    """Adds up what the steps of one loop did, and says it now and then; a loop that did nothing says nothing."""

    def __init__(self, name: str, *counts: str) -> None:
        self._name = name
        self._sums = dict.fromkeys(counts, 0)
        self._since = time.monotonic()

    def __call__(self, done: Any) -> None:
        """One more step was done."""
        for count in self._sums:
            self._sums[count] += getattr(done, count)
        now = time.monotonic()
        if now - self._since < EVERY:
            return
        if any(self._sums.values()):
            told = ", ".join(f"{number:,} {count}" for count, number in self._sums.items() if number)
            logger.info("%s: %s in %.0f s", self._name, told, now - self._since)
        self._sums, self._since = dict.fromkeys(self._sums, 0), now
