"""The triggers that capture a PostgreSQL table, as the statements that make them and take them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.legacy.images import Captured, columns_noted, noted
from adapters.legacy.postgresql.tables import literal, statement
from migrations.upgrade import offline_sql

ROWS = "strangler_capture"
TRUNCATION = "strangler_capture_truncate"

_FUNCTIONS = (
    "strangler.joined_subject(json, text[])",
    "strangler.capture()",
    "strangler.capture_statement()",
    "strangler.capture_truncate()",
)
_SOURCES = {
    "joined_subject": "joined",
    "capture": "function",
    "capture_statement": "statement",
    "capture_truncate": "truncate",
}
_REFERENCING = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
}
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
        *(statement(source) for source in _SOURCES.values()),
        # Nobody else may hang these functions on a table of his and write changes that never were.
        f"REVOKE ALL ON FUNCTION {', '.join(_FUNCTIONS)} FROM PUBLIC",
        # The changes hold what row security and column rights may hide in the tables themselves.
        "REVOKE ALL ON ALL TABLES IN SCHEMA strangler FROM PUBLIC",
        "REVOKE ALL ON SCHEMA strangler FROM PUBLIC",
    )


def mended(there: Mapping[str, str]) -> tuple[str, ...]:
    """The statements that make functions, which an older version installed, what they are now. `there`: their bodies."""
    found: list[str] = []
    for function, (name, source) in zip(_FUNCTIONS, _SOURCES.items(), strict=True):
        wanted = statement(source)
        if there.get(name) != wanted.split("$function$")[1]:
            found.append(wanted.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
            found.append(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
    return tuple(found)


def drop_schema() -> tuple[str, ...]:
    """The statements that take them away."""
    return (
        *(f"DROP FUNCTION IF EXISTS {function}" for function in reversed(_FUNCTIONS)),
        *offline_sql("postgresql", "capture", down=True),
    )


def names(table: Captured) -> tuple[str, ...]:
    """The triggers for what is written to its rows."""
    return tuple(f"{ROWS}_{event.lower()}" for event in _events(table)) if table.statement else (ROWS,)


def create(table: Captured) -> tuple[str, ...]:
    """The statements that make a table's triggers."""
    given = [table.table, table.subjects[0]]
    if table.chosen.columns or table.chosen.ignore:
        which = "columns" if table.chosen.columns else "ignore"
        given += [which, _array(table.chosen.columns or table.chosen.ignore)]
    if len(table.subjects) > 1:
        given += [*([] if len(given) > 2 else ["", "{}"]), _array(table.subjects)]
    arguments = ", ".join(literal(one) for one in given)
    made = []
    for name, event in zip(names(table), _events(table) if table.statement else [""], strict=True):
        fires = event or " OR ".join(_events(table))
        by = (
            f"{_REFERENCING[event]} FOR EACH STATEMENT EXECUTE FUNCTION strangler.capture_statement"
            if event
            else "FOR EACH ROW EXECUTE FUNCTION strangler.capture"
        )
        made.append(f"CREATE TRIGGER {name} AFTER {fires} ON {table.relation} {by}({arguments})")
        made.append(_always(table.relation, name))
    for relation in _truncated(table):
        made.append(
            f"CREATE TRIGGER {TRUNCATION} BEFORE TRUNCATE ON {relation}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION strangler.capture_truncate({arguments})"
        )
        made.append(_always(relation, TRUNCATION))
    return tuple(made)


def drop(table: Captured) -> tuple[str, ...]:
    """The statements that take the triggers away; a table that is gone took them with it."""
    return (
        *(_drop(TRUNCATION, relation) for relation in reversed(_truncated(table))),
        *(_drop(name, table.relation) for name in reversed(names(table))),
    )


def register(table: Captured) -> str:
    """The statement that notes what was installed; a table that stays captured keeps the instant since when it is."""
    values = [literal(one) for one in (table.table, table.relation, columns_noted(table.subject))]
    values += [str(table.outbox).lower(), str(table.statement).lower()]
    values += map(literal, noted(table))
    at = table.installed_at
    values.append("clock_timestamp()" if at is None else f"timestamptz {literal(at.isoformat())}")
    return (
        "INSERT INTO strangler.strangler_captured"
        " (table_name, relation, subject, outbox, statement, keys, columns, chosen, shape, installed_at)"
        f" VALUES ({', '.join(values)})"
    )


def unregister(table: Captured) -> str:
    """The statement that forgets it."""
    return f"DELETE FROM strangler.strangler_captured WHERE table_name = {literal(table.table)}"


def _events(table: Captured) -> tuple[str, ...]:
    return ("INSERT",) if table.outbox else ("INSERT", "UPDATE", "DELETE")


def _truncated(table: Captured) -> tuple[str, ...]:
    """TRUNCATE of a partitioned table fires the triggers of its partitions, as that of a partition alone does."""
    return () if table.outbox else table.shape.partitions or (table.relation,)


def _always(relation: str, name: str) -> str:
    # Fires for logical replication and for bulk loads that set session_replication_role, too.
    return f"ALTER TABLE {relation} ENABLE ALWAYS TRIGGER {name}"


def _drop(name: str, relation: str) -> str:
    return f"DROP TRIGGER IF EXISTS {name} ON {relation}"


def _array(values: Sequence[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{one}"' for one in quoted) + "}"
