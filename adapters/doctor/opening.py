"""The diagnosis of a database of ours, by its engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from adapters.doctor.asking import asking
from toolkit.diagnosis import DatabaseDiagnosis


def diagnosis_of(engine: Engine, timeout: dt.timedelta) -> DatabaseDiagnosis | None:
    """Who knows the ailments of the database that this engine reaches; None for an engine that nobody knows."""
    ask = asking(engine, timeout)
    name = engine.dialect.name
    if name == "postgresql":
        from adapters.doctor.postgresql import PostgresDoctor, backend_pids

        return PostgresDoctor(ask, partial(backend_pids, engine))
    if name == "sqlite" and engine.url.database:
        from adapters.doctor.sqlite import SqliteDoctor

        return SqliteDoctor(ask, Path(engine.url.database))
    if name in ("mariadb", "mysql"):
        from adapters.doctor.mariadb import MariaDbDoctor

        return MariaDbDoctor(ask)
    return None


def diagnoses(
    databases: Sequence[tuple[str, Engine | None, tuple[str, ...]]], timeout: dt.timedelta
) -> dict[str, tuple[DatabaseDiagnosis, tuple[str, ...]]]:
    """By a database's name, who knows its ailments, and which of its tables are ours. Two of one name are one."""
    known: dict[str, tuple[Engine | None, tuple[str, ...]]] = {}
    for name, engine, own in databases:
        before = known.get(name, (None, ()))
        known[name] = (engine or before[0], (*before[1], *own))
    opened = {
        name: (diagnosis_of(engine, timeout), own)
        for name, (engine, own) in known.items()
        if engine is not None
    }
    return {name: (one, own) for name, (one, own) in opened.items() if one is not None}
