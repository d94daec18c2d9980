"""Tries a read on empty tables, so that a proposed one is known to run before anybody reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool


def trial(tables: Sequence[str], sql: str) -> str:
    """What SQLite says against a read over these tables (CREATE statements), or nothing."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            for statement in tables:
                connection.exec_driver_sql(statement)
            asked = text(sql)
            names = re.findall(r"(?<![:\w\\]):(\w+)", sql)
            connection.execute(asked, dict.fromkeys(names, "1"))
    except SQLAlchemyError as error:
        return str(getattr(error, "orig", None) or error)
    finally:
        engine.dispose()
    return ""
