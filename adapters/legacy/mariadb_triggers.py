"""The triggers that capture a table of MariaDB or MySQL, as the statements that make them and take them away."""

from __future__ import annotations

import hashlib
import textwrap

import msgspec

from adapters.legacy.images import Captured, Chosen, columns_noted
from adapters.legacy.mariadb_tables import Table, parts, statement
from adapters.legacy.mariadb_values import image, literal, pieces, quoted, subject
from migrations.upgrade import offline_sql

SQL_MODE = "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"
SESSION = f"SET SESSION sql_mode = '{SQL_MODE}'"
"""The mode that a trigger keeps from its making: it never makes an error of what it cannot convert."""
NOW = "utc_timestamp(6)"
TABLES = ("strangler_captured", "strangler_change", "strangler_capture_version")
_LONGEST_NAME = 64
_FIRST_NUMBER = (
    # Numbers begin at the microseconds of the installation: installed anew, capture never gives a number twice,
    # so that no later event gets the id of an earlier one.
    (
        "SET @strangler_first = CONCAT('ALTER TABLE strangler_change AUTO_INCREMENT = ',"
        " CAST(unix_timestamp(sysdate(6)) * 1000000 AS UNSIGNED))"
    ),
    "PREPARE strangler_first FROM @strangler_first",
    "EXECUTE strangler_first",
    "DEALLOCATE PREPARE strangler_first",
)
# A transaction has the number of the last one that its session wrote to the binary log. One that is not written there
# has none that is its own.
_TRANSACTION = """\
  IF @@log_bin AND @@sql_log_bin THEN
    IF NOT (CAST(@strangler_after AS BINARY) <=> CAST(@@last_gtid AS BINARY)) THEN
      SET @strangler_transaction = uuid_short(), @strangler_after = @@last_gtid;
    END IF;
    SET s_transaction = @strangler_transaction;
  END IF;
"""
# Where some columns are captured, a change of the others alone is none. Compared with their padding and case.
_CHANGED = "ELSEIF NOT CAST(s_old AS BINARY) <=> CAST(s_new AS BINARY) THEN"


def create_tables() -> tuple[str, ...]:
    """The statements that make the tables of capture."""
    return (*offline_sql("mysql", "capture"), *_FIRST_NUMBER)


def drop_tables() -> tuple[str, ...]:
    """The statements that take them away, as far as they are there."""
    return tuple(f"DROP TABLE IF EXISTS {name}" for name in TABLES)


def names(table: Captured) -> dict[str, str]:
    """The triggers a captured table has, by their event."""
    verbs = ("insert",) if table.outbox else ("insert", "update", "delete")
    return {verb: _name(table, verb) for verb in verbs}


def _name(table: Captured, verb: str) -> str:
    bare = parts(table.relation)[1].lower()
    name = f"strangler_{bare}_{verb}"
    if len(name) <= _LONGEST_NAME:
        return name
    short = hashlib.sha256(bare.encode()).hexdigest()[:12]
    return f"strangler_{bare[:30]}_{short}_{verb}"


def bodies(table: Table, home: str, *, transactions: bool) -> dict[str, str]:
    """By name, what the triggers do. `home` is the database with our tables; `transactions`: can they tell theirs?"""
    return {
        name: _body(table, home, verb, transactions=transactions)
        for verb, name in names(table.captured).items()
    }


def create(table: Table, home: str, *, transactions: bool, replace: bool) -> tuple[str, ...]:
    """The statements that make a table's triggers. `replace`: in one step, so that no change passes between."""
    verb_of = {name: verb for verb, name in names(table.captured).items()}
    schema = quoted(parts(table.captured.relation)[0])
    verb = "CREATE OR REPLACE TRIGGER" if replace else "CREATE TRIGGER"
    return tuple(
        f"{verb} {schema}.{quoted(name)} AFTER {verb_of[name].upper()} ON {table.captured.relation} FOR EACH ROW\n{body}"
        for name, body in bodies(table, home, transactions=transactions).items()
    )


def drop(table: Captured) -> tuple[str, ...]:
    """The statements that take the triggers away."""
    schema = quoted(parts(table.relation)[0])
    return tuple(
        f"DROP TRIGGER IF EXISTS {schema}.{quoted(name)}" for name in reversed(names(table).values())
    )


def register(table: Captured, incarnation: str | None) -> str:
    """The statement that notes what was installed; a table that stays captured keeps the instant since when it is."""
    values = [
        literal(table.table),
        literal(table.relation),
        literal(columns_noted(table.subject)),
        str(int(table.outbox)),
    ]
    noted = (table.keys, table.columns, table.chosen, table.shape)
    values += [literal(msgspec.json.encode(value).decode()) for value in noted]
    at = table.installed_at
    values.append(NOW if at is None else literal(f"{at:%Y-%m-%d %H:%M:%S.%f}"))
    values.append("NULL" if incarnation is None else literal(incarnation))
    return (
        "INSERT INTO strangler_captured"
        " (table_name, relation, subject, outbox, `keys`, `columns`, chosen, shape, installed_at, incarnation)"
        f" VALUES ({', '.join(values)})"
    )


def unregister(table: Captured) -> str:
    """The statement that forgets it."""
    return f"DELETE FROM strangler_captured WHERE table_name = {literal(table.table)}"


def _body(table: Table, home: str, verb: str, *, transactions: bool) -> str:
    old, new = verb != "insert", verb != "delete"
    parts_ = ["BEGIN\n"]
    if transactions:
        parts_.append("  DECLARE s_transaction VARCHAR(40) CHARACTER SET utf8mb4;\n")
    for name, used in (("old", old), ("new", new)):
        if used:
            parts_.append(
                f"  DECLARE s_{name} LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n"
                f"  DECLARE s_{name}_subject TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n"
            )
    for name, used in (("old", old), ("new", new)):
        if used:
            parts_.append(textwrap.indent(_image(table, name), "  "))
    given = "s_transaction" if transactions else "NULL"
    record = _Record(table.captured.table, home, given)
    parts_ += [_TRANSACTION] if transactions else []
    if old and new:
        # A row that moves to another subject leaves the one and comes to the other: both must hear of it.
        parts_.append(
            "  IF NOT s_old_subject <=> s_new_subject THEN\n"
            f"  {record.of('delete', 's_old_subject', 's_old', 'NULL')}"
            f"  {record.of('insert', 's_new_subject', 'NULL', 's_new')}"
            f"  {_CHANGED if table.captured.chosen != Chosen() else 'ELSE'}\n"
            f"  {record.of('update', 's_new_subject', 's_old', 's_new')}"
            "  END IF;\n"
        )
    elif new:
        parts_.append(record.of("insert", "s_new_subject", "NULL", "s_new"))
    else:
        parts_.append(record.of("delete", "s_old_subject", "s_old", "NULL"))
    return "".join([*parts_, "END"])


def _image(table: Table, name: str) -> str:
    row, into = name.upper(), f"s_{name}"
    one_by_one = [
        f"    SET s_piece = concat({piece});\n    SET {into} = coalesce(concat({into}, s_piece), {into});"
        for piece in pieces(row, table.columns)
    ]
    text = "\n".join(line for line in statement("image").splitlines() if not line.lstrip().startswith("--"))
    return (
        text.format(
            into=into,
            of=f"{into}_subject",
            image=image(row, table.columns),
            subject=subject(row, table.subjects),
            pieces="\n".join(one_by_one),
        )
        + "\n"
    )


class _Record:
    """Inserts into the change table."""

    def __init__(self, table: str, home: str, transaction: str) -> None:
        self._table, self._home, self._transaction = literal(table), quoted(home), transaction

    def of(self, op: str, subject: str, before: str, after: str) -> str:
        return (
            f"  INSERT INTO {self._home}.strangler_change"
            " (`transaction`, table_name, op, subject, `before`, `after`, captured_at)\n"
            f"    VALUES ({self._transaction}, {self._table}, '{op}', coalesce({subject}, ''), {before}, {after}, {NOW});\n"
        )
