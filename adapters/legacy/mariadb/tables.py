"""What MariaDB and MySQL know of their tables: names as they are spelt, columns and their types, keys, engines."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from adapters.legacy.images import Captured, Shape
from adapters.legacy.mariadb.values import Column, quoted
from adapters.legacy.wanted import check_key, spelt
from adapters.statements import Statements
from toolkit.core.errors import Refused, UsageError
from toolkit.ports import CapturedTable

_SQL = Statements(__file__)
statement, query = _SQL.statement, _SQL.query
_PASSED_BY = (1205, 1213, 1684)
"""Lock wait timeout, deadlock, ER_WARN_I_S_SKIPPED_TABLE: warnings of a question that leaves out what it could not open."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table with the types of its columns, which the triggers' text depends on.

    `refusable` are columns by which the engine may refuse an UPDATE: of unique indexes and foreign keys.
    """

    captured: Captured
    columns: tuple[Column, ...]
    refusable: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[Column, ...]:
        """The columns that hold the subject."""
        known = {one.name: one for one in self.columns}
        return tuple(known[name] for name in self.captured.subjects)


def find_table(connection: Connection, source: str, wanted: CapturedTable) -> Table:
    """The table as the engine spells it. Raises UsageError when it cannot be captured, or not as it is wanted."""
    where = f"legacy source {source}, table {wanted.table}"
    schema, name = _place(connection, where, wanted.table)
    rows = connection.execute(query("columns"), {"schema": schema, "name": name}).all()
    if not rows:
        _not_altered(connection, where)
    found = sorted({str(row.table_name) for row in rows})
    if len(found) > 1:
        raise UsageError(f"{where}: the name fits {', '.join(found)}: rename one of them")
    if not rows or rows[0].table_type not in ("BASE TABLE", "SYSTEM VERSIONED"):
        raise UsageError(
            f"{where}: there is no such table in the database {schema} (views cannot be captured); write "
            "database.table if it is elsewhere"
        )
    if rows[0].engine.upper() != "INNODB":
        raise UsageError(
            f"{where}: its engine {rows[0].engine} has no transactions, so that a change could be recorded and not "
            "happen, or happen and not be recorded; ALTER TABLE ... ENGINE = InnoDB, or leave it out"
        )
    if wanted.statement:
        raise UsageError(
            f"{where}: statement = true is not possible: MariaDB and MySQL have row triggers only; leave it out"
        )
    columns = tuple(_column(row) for row in rows)
    captured = spelt(
        wanted, where, f"{quoted(schema)}.{quoted(found[0])}", _shape(connection, schema, found[0], columns)
    )
    if not captured.enforced:
        check_key(connection, where, captured, quoted)
    return table_of(connection, captured, columns)


def _not_altered(connection: Connection, where: str) -> None:
    """Raises Refused when the last question passed a table by, because somebody alters it: to MariaDB that is a warning."""
    warnings = connection.exec_driver_sql("SHOW WARNINGS").all()
    if any(int(code) in _PASSED_BY for _, code, _ in warnings):
        raise Refused(
            f"{where}: another session alters it just now (it may be installing capture, too): look again when that is done"
        )


def table_of(connection: Connection, captured: Captured, columns: Iterable[Column]) -> Table:
    """A captured table with those of these columns that are captured."""
    schema, name = parts(captured.relation)
    refusable = connection.scalars(query("refusable"), {"schema": schema, "name": name})
    return Table(
        captured=captured,
        columns=tuple(one for one in columns if one.name in captured.columns),
        refusable=tuple(str(one) for one in refusable),
    )


def shape_of(connection: Connection, captured: Captured) -> Shape:
    """What a captured table is like now; without columns when it is gone."""
    schema, name = parts(captured.relation)
    return _shape(connection, schema, name, columns_of(connection, captured))


def _shape(connection: Connection, schema: str, name: str, columns: tuple[Column, ...]) -> Shape:
    sql = (
        "SELECT PARTITION_NAME FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = :schema AND TABLE_NAME = :name"
        " AND PARTITION_NAME IS NOT NULL ORDER BY PARTITION_ORDINAL_POSITION"
    )
    partitions = connection.scalars(text(sql), {"schema": schema, "name": name}).all()
    return Shape(
        columns={one.name: one.type for one in columns},
        key=_keys(connection, schema, name),
        partitions=tuple(dict.fromkeys(partitions)),
    )


def columns_of(connection: Connection, captured: Captured) -> tuple[Column, ...]:
    """The columns that a captured table has now; none when it is gone."""
    schema, name = parts(captured.relation)
    rows = connection.execute(query("columns"), {"schema": schema, "name": name})
    return tuple(_column(row) for row in rows if row.table_name == name)


def parts(relation: str) -> tuple[str, str]:
    """Database and name of a relation as we quote it."""
    schema, name = relation[1:-1].split("`.`")
    return schema.replace("``", "`"), name.replace("``", "`")


def incarnation(connection: Connection, captured: Captured) -> str | None:
    """Which file of InnoDB the table is, and when it was defined: TRUNCATE changes the first and not the second.

    None where we may not know (it takes the privilege PROCESS), and of a table that was defined just now: the engine notes
    whole seconds.
    """
    schema, name = parts(captured.relation)
    view = "INNODB_SYS_TABLES" if is_mariadb(connection) else "INNODB_TABLES"
    sql = (
        f"SELECT concat(i.TABLE_ID, '@', t.CREATE_TIME) FROM information_schema.{view} i"
        " JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = :schema AND t.TABLE_NAME = :name"
        " WHERE i.NAME = concat(:schema, '/', :name) AND t.CREATE_TIME < sysdate() - INTERVAL 1 SECOND"
    )
    try:
        found = connection.scalar(text(sql), {"schema": schema, "name": name})
    except DBAPIError:  # no privilege
        return None
    return None if found is None else str(found)


def is_mariadb(connection: Connection) -> bool:
    """MariaDB, or MySQL?"""
    return bool(getattr(connection.dialect, "is_mariadb", False))


def triggers_of(connection: Connection, captured: Captured) -> dict[str, str]:
    """The triggers of ours on a table: what they do, by name."""
    schema, name = parts(captured.relation)
    rows = connection.execute(query("triggers"), {"schema": schema})
    return {row.name: row.body for row in rows if row.table_name == name}


def may_see_triggers(connection: Connection) -> bool:
    """Only the privilege TRIGGER shows a table's triggers; without it they seem to be gone."""
    views = ("USER_PRIVILEGES", "SCHEMA_PRIVILEGES", "TABLE_PRIVILEGES")
    each = [f"SELECT 1 FROM information_schema.{view} WHERE PRIVILEGE_TYPE = 'TRIGGER'" for view in views]
    return connection.execute(text(" UNION ALL ".join(each))).first() is not None


def knows_transactions(connection: Connection) -> bool:
    """Can a trigger tell its transaction? By MariaDB's @@last_gtid it can, if every transaction goes to the binary log."""
    if not is_mariadb(connection):
        return False
    logged, galera = connection.execute(text("SELECT @@log_bin, @@wsrep_on")).one()
    if not logged or galera:
        return False
    try:
        status = connection.execute(text("SHOW MASTER STATUS")).mappings().first()
    except DBAPIError:  # no privilege to see which databases the log leaves out
        return False
    return status is not None and not status["Binlog_Do_DB"] and not status["Binlog_Ignore_DB"]


def _place(connection: Connection, where: str, table: str) -> tuple[str, str]:
    schema, dot, name = table.rpartition(".")
    if not dot:
        current = connection.scalar(text("SELECT database()"))
        if current is None:
            raise UsageError(f"{where}: the URL names no database; end it with /DATABASE")
        return str(current), table
    sql = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE lower(SCHEMA_NAME) = lower(:name)"
    found = connection.scalar(text(sql), {"name": schema})
    if found is None:
        raise UsageError(f"{where}: there is no database {schema}")
    return str(found), name


def _column(row: object) -> Column:
    names = ("name", "kind", "type", "extra", "charset", "collation", "fraction", "scale")
    values = {name: getattr(row, name) for name in names}
    return Column(**values)


def _keys(connection: Connection, schema: str, name: str) -> tuple[str, ...]:
    rows = connection.execute(query("keys"), {"schema": schema, "name": name}).all()
    return tuple(str(row.name) for row in rows if row.index_name == rows[0].index_name)
