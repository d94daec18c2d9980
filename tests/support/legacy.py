"""A small legacy database with the habits of old ones, on each engine: padded keys, two tables of one aggregate, an outbox."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text

from adapters.legacy import open_legacy
from toolkit.ports import CapturedTable, Cursor, LegacySource
from toolkit.settings import LegacySection

ENGINES = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]
SOURCE = "policy_admin"
POLICY = CapturedTable(table="POLMAST", subject="POL_NO")
HOLD = CapturedTable(table="POLHOLD", subject="POL_NO")
OUTBOX = CapturedTable(table="OUTBOX", subject="AGGREGATEID", outbox=True)
TABLES = [POLICY, HOLD, OUTBOX]
NAMES = ("POLMAST", "POLHOLD", "OUTBOX")
START = Cursor(tables=NAMES)

_SCHEMA = """
CREATE TABLE POLMAST (
  POL_NO CHAR(8) NOT NULL PRIMARY KEY, STAT_CD CHAR(2), PREM NUMERIC(12,2), NOTE VARCHAR(200));
CREATE TABLE POLHOLD (
  HLD_ID INTEGER NOT NULL PRIMARY KEY, POL_NO VARCHAR(12), HLD_TYP CHAR(1));
CREATE INDEX POLHOLD_POL ON POLHOLD (POL_NO);
CREATE TABLE OUTBOX (
  ID VARCHAR(36) NOT NULL PRIMARY KEY, AGGREGATETYPE VARCHAR(60), AGGREGATEID VARCHAR(60), TYPE VARCHAR(60),
  PAYLOAD VARCHAR(2000));
"""


class Legacy:
    """The database as its application uses it (`engine`), and as the toolkit does (`source`)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = application(url)
        with self.engine.begin() as connection:
            if self.mariadb:  # what the others do by themselves: text is equal where its bytes are
                database = connection.scalar(text("SELECT database()"))
                connection.exec_driver_sql(f"ALTER DATABASE {database} COLLATE utf8mb4_bin")
            for statement in _SCHEMA.split(";"):
                if statement.strip():
                    connection.exec_driver_sql(statement)
        self.source = self.open()

    @property
    def sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def postgres(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    @property
    def mariadb(self) -> bool:
        return self.engine.dialect.name == "mysql"

    def padded(self, value: str) -> str:
        """What the engine gives of a CHAR: MariaDB takes its padding away."""
        return value.rstrip() if self.mariadb else value

    def open(self, **limits: object) -> LegacySource:
        section = LegacySection(url=self.url, context="policies", **limits)  # type: ignore[arg-type]
        return open_legacy(SOURCE, self.url, section)

    def install(self, tables: list[CapturedTable] | None = None) -> None:
        self.source.capture.install(self.source.capture.plan(tables or TABLES))

    def run(self, *statements: str) -> None:
        """One transaction of the application."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def close(self) -> None:
        self.source.close()
        self.engine.dispose()


def application(url: str) -> Engine:
    """The application's own connections; SQLite in WAL mode, its write lock taken when a transaction begins."""
    engine = create_engine(url)
    if engine.dialect.name == "mysql":

        @event.listens_for(engine, "connect")
        def quote(connection: object, _record: object) -> None:
            with connection.cursor() as cursor:  # type: ignore[attr-defined]
                cursor.execute("SET sql_mode = concat(@@sql_mode, ',ANSI_QUOTES')")

    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def connect(connection: object, _record: object) -> None:
            connection.isolation_level = None  # type: ignore[attr-defined]
            for pragma in ("journal_mode=WAL", "busy_timeout=20000", "synchronous=OFF"):
                connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@pytest.fixture(params=ENGINES)
def legacy_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    if request.param == "mariadb":
        return str(request.getfixturevalue("mariadb_url"))
    return f"sqlite:///{tmp_path}/legacy.db"


@pytest.fixture
def legacy(legacy_url: str) -> Iterator[Legacy]:
    """The database, not captured yet."""
    with contextlib.closing(Legacy(legacy_url)) as made:
        yield made


@pytest.fixture
def captured(legacy: Legacy) -> Legacy:
    """The database with all three tables captured."""
    legacy.install()
    return legacy


def policy(number: int, status: str = "A", premium: str = "100.00") -> str:
    return f"INSERT INTO POLMAST VALUES ('P{number:04}   ', '{status} ', {premium}, NULL)"


def hold(number: int, of: int, kind: str = "P") -> str:
    return f"INSERT INTO POLHOLD VALUES ({number}, 'P{of:04}', '{kind}')"


def outbox(number: int, of: int, kind: str = "HoldReleaseConfirmed") -> str:
    return f"INSERT INTO OUTBOX VALUES ('{number}', 'policy', 'P{of:04}', '{kind}', '{{\"hold\": {number}}}')"
