"""The triggers that capture a PostgreSQL table, as the statements that make them and take them away."""

from __future__ import annotations

import msgspec

from adapters.legacy.images import Captured
from adapters.legacy.postgresql_tables import literal, statement
from migrations.upgrade import offline_sql

ROWS = "strangler_capture"
TRUNCATION = "strangler_capture_truncate"

_FIRST_NUMBER = (
    # Numbers begin at the microseconds of the installation: installed anew, capture never gives a number twice,
    # so that no later event gets the id of an earlier one.
    "SELECT setval(pg_get_serial_sequence('strangler.strangler_change', 'number'),"
    " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"
)


def create_schema() -> tuple[str, ...]:
    """The statements that make the tables and functions of capture."""
    return (
        *offline_sql("postgresql", "capture"),
        _FIRST_NUMBER,
        statement("function"),
        statement("truncate"),
        # Nobody else may hang these functions on a table of his and write changes that never were.
        "REVOKE ALL ON FUNCTION strangler.capture(), strangler.capture_truncate() FROM PUBLIC",
    )


def drop_schema() -> tuple[str, ...]:
    """The statements that take them away."""
    return (
        "DROP FUNCTION strangler.capture_truncate()",
        "DROP FUNCTION strangler.capture()",
        *offline_sql("postgresql", "capture", down=True),
    )


def create(table: Captured) -> tuple[str, ...]:
    """The statements that make a table's triggers and note what was installed."""
    events = "INSERT" if table.outbox else "INSERT OR UPDATE OR DELETE"
    arguments = f"{literal(table.table)}, {literal(table.subject)}"
    statements = [
        (
            f"CREATE TRIGGER {ROWS} AFTER {events} ON {table.relation}"
            f" FOR EACH ROW EXECUTE FUNCTION strangler.capture({arguments})"
        ),
        # Fires for logical replication and for bulk loads that set session_replication_role, too.
        f"ALTER TABLE {table.relation} ENABLE ALWAYS TRIGGER {ROWS}",
    ]
    if not table.outbox:
        statements += [
            (
                f"CREATE TRIGGER {TRUNCATION} BEFORE TRUNCATE ON {table.relation}"
                f" FOR EACH STATEMENT EXECUTE FUNCTION strangler.capture_truncate({arguments})"
            ),
            f"ALTER TABLE {table.relation} ENABLE ALWAYS TRIGGER {TRUNCATION}",
        ]
    return (*statements, _register(table))


def drop(table: Captured) -> tuple[str, ...]:
    """The statements that take the triggers away, and forget them."""
    triggers = (ROWS,) if table.outbox else (TRUNCATION, ROWS)
    return (
        f"DELETE FROM strangler.strangler_captured WHERE table_name = {literal(table.table)}",
        *(f"DROP TRIGGER IF EXISTS {trigger} ON {table.relation}" for trigger in triggers),
    )


def _register(table: Captured) -> str:
    values = [
        literal(table.table),
        literal(table.relation),
        literal(table.subject),
        str(table.outbox).lower(),
    ]
    values += [literal(msgspec.json.encode(value).decode()) for value in (table.keys, table.columns)]
    return (
        "INSERT INTO strangler.strangler_captured"
        " (table_name, relation, subject, outbox, keys, columns, installed_at)"
        f" VALUES ({', '.join(values)}, clock_timestamp())"
    )
