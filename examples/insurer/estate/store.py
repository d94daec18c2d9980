"""Connections to the estate, alike on SQLite and PostgreSQL: one place knows how the engines differ."""

from __future__ import annotations

from importlib import resources
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url

TABLES: dict[str, tuple[str, ...]] = {
    "BRKMAST": ("BRK_CD", "BRK_NM", "BRK_ST"),
    "CUSTMAST": ("CUST_NO", "CUST_NM", "ADDR_LN", "CITY_NM", "POST_CD", "EMAIL_TX", "LST_UPD"),
    "POLMAST": (
        *("POL_NO", "CUST_NO", "BRK_CD", "PROD_CD", "STAT_CD", "PREM_CENTS"),
        *("ISS_DT", "EFF_DT", "EXP_DT", "CAN_DT", "CAN_RSN", "RNW_CNT", "LST_UPD"),
    ),
    "POLEND": ("POL_NO", "END_SEQ", "END_TYP", "EFF_DT", "PREM_DELTA_CENTS", "RSN_CD", "ENT_TS"),
    "POLHOLD": ("POL_NO", "HLD_SEQ", "HLD_TYP", "PLC_DT", "REL_DT", "RSN_CD", "RVW_ST", "LST_UPD"),
    "CLMNTF": ("CLM_NO", "POL_NO", "LOSS_DT", "NTF_DT", "AMT_CENTS", "STAT_CD", "LST_UPD"),
    "BILLNK": ("POL_NO", "ACCT_NO", "PAY_FREQ", "PAY_MTH", "PAID_TO_DT", "LST_UPD"),
    "NUMRNG": ("RNG_CD", "LST_NBR"),
    "OUTBOX": ("id", "aggregatetype", "aggregateid", "type", "payload"),
}
"""Every table with its columns, parents before children."""

PRIMARY_KEYS: dict[str, tuple[str, ...]] = {
    table: columns[:2] if table in ("POLEND", "POLHOLD") else columns[:1] for table, columns in TABLES.items()
}

_AFTER_LOAD = "-- == after load =="


def open_engine(url: str, *, writes: bool = False) -> Engine:
    """An engine for the estate. With `writes`, SQLite takes its write lock when a transaction begins.

    SQLite has no row locks: a transaction that reads first and writes later may find that somebody else wrote
    in between, and cannot be saved by waiting. BEGIN IMMEDIATE is its SELECT ... FOR UPDATE.
    """
    target = make_url(url)
    if target.drivername in ("postgresql", "postgres"):
        target = target.set(drivername="postgresql+psycopg")
    engine = (
        create_engine(target, pool_size=10, max_overflow=10) if is_postgres(target) else create_engine(target)
    )
    if not is_postgres(target):
        _prepare_sqlite(engine, "BEGIN IMMEDIATE" if writes else "BEGIN")
    return engine


def is_postgres(target: Any) -> bool:
    """Whether a URL, an engine or a connection speaks to PostgreSQL; everything else here is SQLite."""
    dialect = getattr(target, "dialect", None)
    name: str = dialect.name if dialect is not None else target.get_backend_name()
    return name == "postgresql"


def _prepare_sqlite(engine: Engine, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # this module says when a transaction begins, not the driver
        for pragma in ("busy_timeout=15000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def is_created(engine: Engine) -> bool:
    """Whether the estate's tables are there."""
    return any(name.upper() == "POLMAST" for name in inspect(engine).get_table_names())


def create_tables(connection: Connection) -> None:
    """Create the tables with their primary keys; `finish_tables` adds what would slow the load down."""
    _run(connection, 0)


def finish_tables(connection: Connection) -> None:
    """Add secondary indexes and, on PostgreSQL, the foreign keys."""
    _run(connection, 1)


def drop_tables(connection: Connection) -> None:
    """Remove the estate, children before parents."""
    for table in reversed(TABLES):
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")


def _run(connection: Connection, part: int) -> None:
    name = f"schema.{'postgresql' if is_postgres(connection) else 'sqlite'}.sql"
    script = resources.files(__package__).joinpath(name).read_text("utf-8").split(_AFTER_LOAD)[part]
    lines = (line for line in script.splitlines() if not line.startswith("--"))
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
