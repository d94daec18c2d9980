"""Tries a read on empty tables, so that a proposed one is known to run before anybody reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool


class SqliteTrial:
    """Implements `toolkit.starting.reads.Trial` in memory."""

    def fault(self, tables: Sequence[str], sql: str, /) -> str:
        """What SQLite says against a read over these tables (CREATE statements), or nothing."""
        try:
            with _over(tables) as connection:
                names = re.findall(r"(?<![:\w\\]):(\w+)", sql)
                connection.execute(text(sql), dict.fromkeys(names, "1"))
        except SQLAlchemyError as error:
            return str(getattr(error, "orig", None) or error)
        return ""

    def typed(self, tables: Sequence[str], sql: str, column: str, /) -> bool:
        """Has this column of the read the affinity of a table's column? A table made from it says so."""
        try:
            with _over(tables) as connection:
                connection.execute(text(f"CREATE TABLE read_as_table AS\n{sql}"))
                told = connection.exec_driver_sql("PRAGMA table_info(read_as_table)").mappings()
                return any(one["type"] for one in told if one["name"].lower() == column.lower())
        except SQLAlchemyError:
            return False  # it does not run: the fault of it is told


@contextmanager
def _over(tables: Sequence[str]) -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            for statement in tables:
                connection.exec_driver_sql(statement)
            yield connection
    finally:
        engine.dispose()
