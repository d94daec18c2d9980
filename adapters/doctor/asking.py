"""How a diagnosis asks: the named SQL of an engine, in sessions that cannot write and are limited in time."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import StatementError

from adapters.engines import reading
from adapters.statements import Statements
from toolkit.core.ailments import Ailment, Figure, Severity
from toolkit.core.errors import UsageError
from toolkit.diagnosis import Ask, Check, Patient, SampleRead

_SQL = Statements(__file__)
Row = Mapping[str, Any]


def sql_of(name: str, engine: str) -> str:
    """The statement in `sql/<name>.<engine>.sql`."""
    return _SQL.statement(f"{name}.{engine}")


def checks_of(
    patient: Patient,
    own: Iterable[tuple[str, Callable[[Patient], Iterable[Ailment]], str]],
    explained: Callable[[Patient, SampleRead], Iterable[Ailment]],
    needs: str,
) -> list[Check]:
    """An engine's own questions (name, question, the right that it needs), and the plan of each read."""
    found = [
        Check(where=patient.where, name=name, ask=partial(ask, patient), needs=right)
        for name, ask, right in own
    ]
    return found + [
        Check(
            where=f"{patient.where}, {read.capability}",
            name="plan of the read",
            ask=partial(_explained, explained, patient, read),
            needs=needs,
        )
        for read in patient.reads
    ]


_DENIED = frozenset({1044, 1045, 1142, 1143, 1227, 1345, 1356, 1370, "42501"})
_MISSING = frozenset({1146, "42P01"})


def _explained(
    explained: Callable[[Patient, SampleRead], Iterable[Ailment]], patient: Patient, read: SampleRead
) -> Iterator[Ailment]:
    """The plan of a read. A statement that the engine refuses is an ailment of the project; only a right is one of the server."""
    try:
        yield from explained(patient, read)
    except UsageError as error:
        cause = getattr(error.__cause__, "orig", None)
        codes = {getattr(cause, "sqlstate", None), *getattr(cause, "args", ())[:1]}
        if cause is None or codes & _DENIED:
            raise
        said = str(cause).strip()
        missing = bool(codes & _MISSING) or said.startswith("no such table")
        yield Ailment(
            where=f"{patient.where}, {read.capability}",
            what=f"{read.file} cannot be run: {said}",
            next=f"mend {read.file}" + (", or make the table that it asks" if missing else ""),
            severity=Severity.RISK if missing else Severity.BROKEN,
            evidence={"check": "plan of the read"},
        )


def asking(engine: Engine, timeout: dt.timedelta) -> Ask:
    """Ask through an engine of ours as guarded as a legacy source asks."""

    def ask(sql: str, parameters: Mapping[str, object]) -> list[dict[str, object]]:
        with reading(engine) as connection, _refusals(engine), guarded(connection, timeout):
            rows = connection.execute(text(sql), dict(parameters)).mappings()
            return [{name.lower(): value for name, value in row.items()} for row in rows]

    return ask


@contextmanager
def _refusals(engine: Engine) -> Iterator[None]:
    try:
        yield
    except StatementError as error:
        where = engine.url.render_as_string(hide_password=True)
        raise UsageError(f"{where} refuses: {str(getattr(error, 'orig', None) or error).strip()}") from error


@contextmanager
def guarded(connection: Connection, timeout: dt.timedelta) -> Iterator[None]:
    """Nothing within writes, and nothing takes longer."""
    milliseconds = max(1, int(timeout.total_seconds() * 1000))
    name = connection.dialect.name
    if name == "postgresql":
        limits = "SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', :t, true)"
        connection.execute(text(limits), {"t": str(milliseconds)})
        yield
    elif name == "sqlite":
        driver: Any = connection.connection.driver_connection
        deadline = time.monotonic() + timeout.total_seconds()
        driver.set_progress_handler(lambda: time.monotonic() > deadline, 2000)
        connection.exec_driver_sql("PRAGMA query_only = on")
        try:
            yield
        finally:
            connection.exec_driver_sql("PRAGMA query_only = off")
            driver.set_progress_handler(None, 0)
    else:
        yield from _mysql(connection, milliseconds)


def _mysql(connection: Connection, milliseconds: int) -> Iterator[None]:
    mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    limit = ("max_statement_time", milliseconds / 1000) if mariadb else ("max_execution_time", milliseconds)
    connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
    connection.exec_driver_sql(f"SET SESSION {limit[0]} = {limit[1]}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"SET SESSION {limit[0]} = DEFAULT")
        connection.exec_driver_sql("SET SESSION TRANSACTION READ WRITE")


def figures(row: Row, *names: str) -> dict[str, Figure]:
    """Some values of a row as evidence: numbers of one decimal, and nothing that is empty."""
    return {name: _figure(row[name]) for name in names if row[name] not in (None, "")}


def _figure(value: Any) -> Figure:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | str):
        return value
    return round(float(value), 1)


def span(seconds: float) -> str:
    """A length of time for a sentence."""
    for limit, unit, divisor in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def size(count: float) -> str:
    """A number of bytes for a sentence."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
