"""The triggers that capture a table of MariaDB or MySQL, as the statements that make them and take them away."""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterable

from adapters.legacy.images import Captured, Chosen, columns_noted, noted
from adapters.legacy.mariadb.cascades import Cascades
from adapters.legacy.mariadb.following import CASCADE, followed, looking
from adapters.legacy.mariadb.tables import Table, parts, statement
from adapters.legacy.mariadb.values import image, literal, pieces, quoted, subject
from migrations.upgrade import offline_sql

SQL_MODE = "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"
SESSION = f"SET SESSION sql_mode = '{SQL_MODE}'"
"""The mode that a trigger keeps from its making: it never makes an error of what it cannot convert."""
NOW = "utc_timestamp(6)"
TABLES = ("strangler_captured", "strangler_change", "strangler_capture_version")
_LONGEST_NAME = 64
_SIGNED = re.compile(r"BEGIN /\* strangler ([0-9a-f]{16}) \*/")
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
    return tuple(f"DROP TABLE IF EXISTS {name}" for name in (CASCADE, *TABLES))


def names(table: Captured) -> dict[str, str]:
    """The triggers that record what is written to a captured table, by their event."""
    verbs = ("insert",) if table.outbox else ("insert", "update", "delete")
    return {verb: _name(table, verb) for verb in verbs}


def names_before(table: Captured) -> dict[str, str]:
    """The triggers that look at the rows of other tables which foreign keys are about to change, by their event."""
    return {} if table.outbox else {verb: _name(table, f"before_{verb}") for verb in ("update", "delete")}


def _name(table: Captured, verb: str) -> str:
    bare = parts(table.relation)[1].lower()
    name = f"strangler_{bare}_{verb}"
    if len(name) <= _LONGEST_NAME:
        return name
    short = hashlib.sha256(bare.encode()).hexdigest()[:12]
    return f"strangler_{bare[:24]}_{short}_{verb}"


def bodies(table: Table, home: str, cascades: Cascades, *, transactions: bool) -> dict[str, str]:
    """By name, what the triggers do. `home` is the database with our tables; `transactions`: can they tell theirs?"""
    relation, found = table.captured.relation, dict[str, str]()
    for verb, name in names(table.captured).items():
        following = bool(cascades.of(relation, verb))
        found[name] = signed(_body(table, home, verb, following, transactions=transactions))
    for verb, name in names_before(table.captured).items():
        if tasks := cascades.of(relation, verb):
            found[name] = signed(looking(tasks, home, table.captured, verb))
    return found


def create(
    table: Table, home: str, cascades: Cascades, *, transactions: bool, replace: bool
) -> tuple[str, ...]:
    """The statements that make a table's triggers. `replace`: in one step, so that no change passes between."""
    times = {name: f"AFTER {verb}" for verb, name in names(table.captured).items()}
    times |= {name: f"BEFORE {verb}" for verb, name in names_before(table.captured).items()}
    schema = quoted(parts(table.captured.relation)[0])
    verb = "CREATE OR REPLACE TRIGGER" if replace else "CREATE TRIGGER"
    return tuple(
        f"{verb} {schema}.{quoted(name)} {times[name].upper()} ON {table.captured.relation} FOR EACH ROW\n{body}"
        for name, body in bodies(table, home, cascades, transactions=transactions).items()
    )


def drop(table: Captured) -> tuple[str, ...]:
    """The statements that take the triggers away."""
    every = (*names(table).values(), *names_before(table).values())
    return drop_some(table, tuple(reversed(every)))


def drop_some(table: Captured, names_: Iterable[str]) -> tuple[str, ...]:
    """The statements that take some of a table's triggers away."""
    schema = quoted(parts(table.relation)[0])
    return tuple(f"DROP TRIGGER IF EXISTS {schema}.{quoted(name)}" for name in names_)


def signed(body: str) -> str:
    """The body with a mark by which it is known for ours: who puts another one in its place does not make it."""
    return body.replace("BEGIN", f"BEGIN /* strangler {_mark(body)} */", 1)


def ours(body: str) -> bool:
    """Did we make it, in whatever version, for whatever columns?"""
    found = _SIGNED.match(body)
    return found is not None and found[1] == _mark(body.replace(f" /* strangler {found[1]} */", "", 1))


def _mark(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def register(table: Captured, incarnation: str | None) -> str:
    """The statement that notes what was installed; a table that stays captured keeps the instant since when it is."""
    values = [
        literal(table.table),
        literal(table.relation),
        literal(columns_noted(table.subject)),
        str(int(table.outbox)),
        *map(literal, noted(table)),
    ]
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


def _body(table: Table, home: str, verb: str, following: bool, *, transactions: bool) -> str:
    rows = {"insert": ("new",), "update": ("old", "new"), "delete": ("old",)}[verb]
    checked = verb == "update" and table.captured.enforced
    given = "s_transaction" if transactions else "NULL"
    body = ["  DECLARE s_place INT UNSIGNED DEFAULT 1;\n"] if following else []
    body += ["  DECLARE s_happened BOOLEAN DEFAULT TRUE;\n"] if checked else []
    body += ["  DECLARE s_transaction VARCHAR(40) CHARACTER SET utf8mb4;\n"] if transactions else []
    body += [
        f"  DECLARE s_{name} LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n"
        f"  DECLARE s_{name}_subject TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n"
        for name in rows
    ]
    body += [textwrap.indent(_happened(table), "  ")] if checked else []
    body += [textwrap.indent(_image(table, name), "  ") for name in rows]
    body += [_TRANSACTION] if transactions else []
    body += [followed(home, table.captured, verb, given, NOW)] if following else []
    body.append(_recorded(table, verb, _Record(table.captured.table, home, given)))
    body += ["  END IF;\n"] if checked else []
    return "".join(["BEGIN\n", *body, "END"])


def _recorded(table: Table, verb: str, record: _Record) -> str:
    if verb == "insert":
        return record.of("insert", "s_new_subject", "NULL", "s_new")
    if verb == "delete":
        return record.of("delete", "s_old_subject", "s_old", "NULL")
    # A row that moves to another subject leaves the one and comes to the other: both must hear of it.
    return (
        "  IF NOT s_old_subject <=> s_new_subject THEN\n"
        f"  {record.of('delete', 's_old_subject', 's_old', 'NULL')}"
        f"  {record.of('insert', 's_new_subject', 'NULL', 's_new')}"
        f"  {_CHANGED if table.captured.chosen != Chosen() else 'ELSE'}\n"
        f"  {record.of('update', 's_new_subject', 's_old', 's_new')}"
        "  END IF;\n"
    )


def _happened(table: Table) -> str:
    """UPDATE IGNORE fires the trigger for a row, too, that a unique index or a foreign key does not let it change."""
    keys = table.captured.shape.key
    watched = tuple(dict.fromkeys((*keys, *table.refusable)))
    same = " AND ".join(_exactly("OLD", "NEW", name) for name in watched)
    found = " AND ".join(f"t.{quoted(name)} = OLD.{quoted(name)}" for name in keys)
    as_it_was = " AND ".join(_exactly("t", "OLD", name) for name in watched)
    return (
        "BEGIN\n"
        "  DECLARE CONTINUE HANDLER FOR 1054 BEGIN END;\n"
        f"  IF NOT ({same}) THEN\n"
        f"    SET s_happened = NOT EXISTS (SELECT 1 FROM {table.captured.relation} t WHERE {found} AND {as_it_was});\n"
        "  END IF;\n"
        "END;\n"
        "IF s_happened THEN\n"
    )


def _exactly(one: str, other: str, name: str) -> str:
    return f"CAST({one}.{quoted(name)} AS BINARY) <=> CAST({other}.{quoted(name)} AS BINARY)"


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
