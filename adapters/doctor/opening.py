"""The diagnosis of a database of ours, by its engine."""

from __future__ import annotations

import datetime as dt
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
