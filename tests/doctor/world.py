"""A doctor and a database to be examined: which findings come, and from which check."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from adapters.doctor.asking import asking
from toolkit.core.ailments import Ailment, Severity
from toolkit.diagnosis import Diagnosis, Limits, Patient, SampleRead
from toolkit.ports import CapturedTable
from toolkit.questions.doctor import Examined, run

NOW = dt.timedelta()
AT_ONCE = Limits(transaction=NOW, blocked=NOW, waiting=NOW, rows=100, dead=50, retained=0)
"""Everything is told, however young and small."""
TIMEOUT = dt.timedelta(seconds=5)
POLICY = CapturedTable(table="POLMAST", subject="POL_NO")


def examined(doctor: Diagnosis, limits: Limits = AT_ONCE, **patient: Any) -> Examined:
    return run(doctor.checks(Patient(where="here", limits=limits, **patient)))


def found(doctor: Diagnosis, words: str, limits: Limits = AT_ONCE, **patient: Any) -> Ailment:
    """The one finding with these words."""
    all_ = examined(doctor, limits, **patient).findings
    some = [one for one in all_ if words in one.what]
    assert len(some) == 1, all_
    assert some[0].next
    return some[0]


def serious(doctor: Diagnosis, **patient: Any) -> list[Ailment]:
    """All that is more than a hint, with the limits that users have."""
    result = examined(doctor, Limits(), **patient)
    assert not result.unreachable
    return [one for one in result.findings if one.severity is not Severity.HINT]


def read(sql: str, **parameters: object) -> SampleRead:
    given: Mapping[str, object] = parameters
    return SampleRead(capability="portal", sql=sql, parameters=lambda: given, file="portal.read.sql")


def ask_of(url: str) -> Any:
    return asking(create_engine(url, poolclass=NullPool), TIMEOUT)


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """A session of the application that a test holds open."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
            connection.rollback()
    finally:
        engine.dispose()
