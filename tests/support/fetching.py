"""A legacy database that is only looked at, on each engine, and a mirror that is kept by what the looks found."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from adapters.legacy.fetching.capture import FetchingCapture
from adapters.legacy.fetching.poll import open_poll
from adapters.legacy.fetching.snapshot import open_snapshot
from adapters.state.store import State, open_state
from migrations.schema.state import metadata
from tests.support.legacy import application
from toolkit.core.changes import Change, Op
from toolkit.inbox import Fetching, Inbox
from toolkit.ports import CapturedTable
from toolkit.settings import LegacySection, PollSection, SnapshotSection

ENGINES = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]
SOURCE = "policy_admin"
POLICY = CapturedTable(table="POLMAST", subject="POL_NO")
HOLD = CapturedTable(table="POLHOLD", subject="POL_NO")
TABLES = [POLICY, HOLD]
MARKS = {"POLMAST": "UPD_AT", "POLHOLD": "UPD_AT"}
NOON = dt.datetime(2026, 3, 1, 12)  # noqa: DTZ001 - as a column without a zone has it
_INSTANT = {"sqlite": "TIMESTAMP", "postgresql": "TIMESTAMP", "mysql": "DATETIME(6)"}


class Mirror:
    """What a reader of the changes knows of the rows. It does not forgive: each change has to follow from those before.

    By subject: between two subjects no order is promised, so a row that moves may come to one before it leaves the other.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, tuple[object, ...]], dict[str, object]] = {}

    def take(self, change: Change) -> None:
        row = change.row
        name = (change.table, change.subject, tuple(row[column] for column in change.key))
        if change.op is Op.DELETE:
            assert self.rows.pop(name) == change.before, change
        elif change.op is Op.UPDATE:
            assert self.rows[name] == change.before, change
            self.rows[name] = dict(row)
        else:
            assert name not in self.rows, change
            self.rows[name] = dict(row)


class Watched:
    """The database as its application uses it, the state database, and the captures that look."""

    def __init__(self, url: str, state: State) -> None:
        self.url, self.state = url, state
        self.engine: Engine = application(url)
        self.inbox: Inbox = state.inbox(SOURCE)
        self.mirror = Mirror()
        self._opened: list[FetchingCapture] = []
        instant = _INSTANT[self.dialect]
        self.run(
            f"CREATE TABLE POLMAST (POL_NO CHAR(8) NOT NULL PRIMARY KEY, STAT_CD CHAR(2), PREM NUMERIC(12,2), UPD_AT {instant})",
            f"CREATE TABLE POLHOLD (HLD_ID INTEGER NOT NULL PRIMARY KEY, POL_NO VARCHAR(12), HLD_TYP CHAR(1), UPD_AT {instant})",
            "CREATE INDEX POLHOLD_POL ON POLHOLD (POL_NO)",
            "CREATE INDEX POLMAST_UPD ON POLMAST (UPD_AT)",
            "CREATE INDEX POLHOLD_UPD ON POLHOLD (UPD_AT)",
        )

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    def run(self, *statements: str, **parameters: object) -> None:
        """One transaction of the application."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement), parameters)

    def table(self, name: str) -> list[dict[str, object]]:
        with self.engine.connect() as connection:
            rows = connection.execute(text(f"SELECT * FROM {name}")).mappings()
            return [{column.upper(): value for column, value in row.items()} for row in rows]

    def fetching(self, inbox: Inbox | None = None, **settings: object) -> Fetching:
        section = LegacySection(url=self.url, context="policies", **settings)  # type: ignore[arg-type]
        return Fetching(source=SOURCE, url=self.url, section=section, inbox=inbox or self.inbox)

    def snapshot(
        self, *, keep: str = "image", inbox: Inbox | None = None, **settings: object
    ) -> FetchingCapture:
        made = SnapshotSection(interval="0s", keep=keep)
        return self._open(open_snapshot(self.fetching(inbox, capture="snapshot", snapshot=made, **settings)))

    def poll(
        self,
        *,
        inbox: Inbox | None = None,
        chunk: int = 1000,
        marks: Mapping[str, str] = MARKS,
        **poll: object,
    ) -> FetchingCapture:
        known: dict[str, object] = {"interval": "0s", "window": "1h", **poll}
        made = PollSection(watermark=dict(marks), **known)  # type: ignore[arg-type]
        return self._open(open_poll(self.fetching(inbox, capture="poll", chunk=chunk, poll=made)))

    def _open(self, capture: FetchingCapture) -> FetchingCapture:
        self._opened.append(capture)
        return capture

    def look(self, capture: FetchingCapture) -> list[Change]:
        """All that was committed until now, as far as this capture sees it: taken by the mirror, and marked."""
        horizon, found = capture.horizon(), list[Change]()
        for _ in range(1000):
            changes = capture.pending(1000, [])
            for change in changes:
                self.mirror.take(change)
            found += changes
            capture.mark([change.number for change in changes])
            if not changes and not capture.behind(horizon):
                return found
        raise AssertionError("the looks come to no end")

    def close(self) -> None:
        for capture in self._opened:
            capture.close()
        self.engine.dispose()


def install(capture: FetchingCapture, tables: list[CapturedTable] | None = None) -> FetchingCapture:
    capture.install(capture.plan(tables or TABLES))
    return capture


def watching(request: pytest.FixtureRequest, tmp_path: Path, engine: str) -> Iterator[Watched]:
    url = (
        f"sqlite:///{tmp_path}/legacy.db"
        if engine == "sqlite"
        else str(request.getfixturevalue(f"{engine}_url"))
    )
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    metadata.create_all(state.engine)
    with contextlib.closing(Watched(url, state)) as made:
        yield made
    state.close()


@pytest.fixture(params=ENGINES)
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    """A database that may not be written to, on each engine."""
    yield from watching(request, tmp_path, request.param)


def policy(number: int, status: str = "A", at: int = 0) -> str:
    return f"INSERT INTO POLMAST VALUES ('P{number:04}   ', '{status}', 100.10, {instant(at)})"


def hold(number: int, of: int, at: int = 0) -> str:
    return f"INSERT INTO POLHOLD VALUES ({number}, 'P{of:04}', 'P', {instant(at)})"


def instant(seconds: int) -> str:
    """So many seconds after noon, as a literal."""
    return f"'{NOON + dt.timedelta(seconds=seconds)}'"


def brief(changes: list[Change]) -> list[tuple[str, str, str]]:
    return [(change.op.value, change.table, change.subject) for change in changes]
