"""Which versions of the drivers are installed, and which are older than what the toolkit is tested with."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from toolkit.core.ailments import Ailment, Severity
from toolkit.diagnosis import Check

WHERE = "this installation"


def libraries() -> Sequence[Check]:
    """One question: what is missing is nobody's fault until it is asked for."""
    return [Check(where=WHERE, name="libraries", ask=_libraries)]


def _libraries() -> Iterator[Ailment]:
    for name, (module, least, version_of) in _WANTED.items():
        try:
            found = version_of(importlib.import_module(module))
        except ImportError:
            continue
        yield from outdated(name, found, least)


def outdated(name: str, found: str, least: str) -> Iterator[Ailment]:
    """A library that is older than `least`."""
    if _numbers(found) < _numbers(least):
        yield Ailment(
            where=f"{WHERE}, {name}",
            what=f"version {found} is older than what the toolkit is tested with",
            next=f"install {name} {least} or newer",
            severity=Severity.RISK,
            evidence={"version": found, "needed": least},
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


_WANTED: dict[str, tuple[str, str, Callable[[Any], str]]] = {
    "psycopg": ("psycopg", "3.2", lambda module: str(module.__version__)),
    "libpq": ("psycopg.pq", "13", lambda module: str(module.version() // 10_000)),
    "PyMySQL": ("pymysql", "1.1", lambda module: str(module.__version__)),
    "librdkafka": ("confluent_kafka", "2.6", lambda module: str(module.libversion()[0])),
    "SQLite": ("sqlite3", "3.35", lambda module: str(module.sqlite_version)),
}
