"""DDL of MariaDB and MySQL commits as it goes: what an installation that fails midway has to put back."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, inspect, text

from adapters.legacy.mariadb.following import CASCADE
from adapters.legacy.mariadb.tables import query
from adapters.legacy.mariadb.triggers import SESSION, TABLES
from adapters.legacy.mariadb.values import quoted


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What of ours is in the database: tables, triggers by their full name, and what is noted as captured."""

    tables: frozenset[str]
    triggers: dict[str, str]
    captured: list[dict[str, object]]


def state_of(connection: Connection) -> State:
    """What is there now."""
    tables = frozenset(name for name in (*TABLES, CASCADE) if inspect(connection).has_table(name))
    captured: list[dict[str, object]] = []
    if "strangler_captured" in tables:
        rows = connection.execute(text("SELECT * FROM strangler_captured")).mappings()
        captured = [dict(row) for row in rows]
    return State(tables=tables, triggers=_triggers(connection), captured=captured)


def restore(connection: Connection, before: State) -> None:
    """Make it as it was: triggers first, then what is noted, then the tables."""
    now = _triggers(connection)
    connection.exec_driver_sql(SESSION)
    for name, made in now.items():
        if before.triggers.get(name) != made:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
    for name, made in before.triggers.items():
        if now.get(name) != made:
            connection.execution_options(no_parameters=True).exec_driver_sql(made)
    if "strangler_captured" in before.tables:
        connection.execute(text("DELETE FROM strangler_captured"))
        for row in before.captured:
            names = ", ".join(quoted(name) for name in row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO strangler_captured ({names}) VALUES ({values})"), row)
    for name in (*TABLES, CASCADE):
        if name not in before.tables:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")


def _triggers(connection: Connection) -> dict[str, str]:
    """Each by the statement that makes it."""
    found = {}
    schemas = connection.scalars(
        text(
            "SELECT DISTINCT TRIGGER_SCHEMA FROM information_schema.TRIGGERS WHERE TRIGGER_NAME LIKE 'strangler!_%' ESCAPE '!'"
        )
    ).all()
    for schema in schemas:
        for row in connection.execute(query("triggers"), {"schema": schema}):
            name = f"{quoted(schema)}.{quoted(row.name)}"
            found[name] = str(connection.exec_driver_sql(f"SHOW CREATE TRIGGER {name}").one()[2])
    return found
