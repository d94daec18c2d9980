"""Column types that mean the same on every engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, LargeBinary, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

BigNumber = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits everywhere; on SQLite spelled INTEGER, so that it may be an auto-incremented key."""

LongText = Text().with_variant(mysql.LONGTEXT(), "mysql")
"""Text of any length: MariaDB's and MySQL's TEXT ends at 64 KiB."""

LongBytes = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")
"""Bytes of any length, likewise."""

MYSQL: Mapping[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
"""What must not depend on the defaults of somebody's database."""


class Instant(TypeDecorator[dt.datetime]):
    """A point in time, aware and in UTC. SQLite keeps it as ISO text of fixed width, so that it sorts;
    MariaDB and MySQL as DATETIME, which no session's time zone can turn.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(32))
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone: the toolkit keeps instants, never local times")
        utc = value.astimezone(dt.UTC)
        if dialect.name == "mysql":
            return utc.replace(tzinfo=None)
        return utc.isoformat(timespec="microseconds") if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, _dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        instant = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
        return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant.astimezone(dt.UTC)
