"""The parts of a parent's triggers that record what foreign keys do to its children's rows: looked at before, recorded after."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Sequence

from adapters.legacy.images import Captured
from adapters.legacy.mariadb.cascades import Reach, Task
from adapters.legacy.mariadb.values import image, literal, quoted, subject

CASCADE = "strangler_cascade"
_LOOKED_AT = ("table_name", "old_subject", "new_subject", "`before`", "`after`")


def looking(tasks: Sequence[Task], home: str, parent: Captured, verb: str) -> str:
    """What is done before a row of the parent goes, or gets another key.

    Nothing is recorded yet: the row may stay (IGNORE). A child's column that is gone must not make the application fail.
    """
    counted = _counter(parent, verb)
    looks = "".join(_look(one, home, parent, verb) for one in tasks)
    return (
        "BEGIN\n"
        "  DECLARE CONTINUE HANDLER FOR 1054, 1146 BEGIN END;\n"
        f"  SET {counted} = 0;\n"
        f"  IF @@foreign_key_checks THEN\n{looks}  END IF;\n"
        "END"
    )


def followed(home: str, parent: Captured, verb: str, transaction: str, now: str) -> str:
    """What is done when the row is gone, or has its other key.

    Each place is asked for alone: a range would lock those of others. Row by row and by values: an INSERT of what a SELECT
    gives keeps the lock of the numbers until the application's statement ends, and nobody else could write meanwhile.
    """
    counted, table = _counter(parent, verb), f"{quoted(home)}.{CASCADE}"
    mine = f"connection = connection_id() AND origin = {literal(_origin(parent, verb))} AND place = s_place"

    def record(op: str, of: str, before: str, after: str) -> str:
        return (
            f"INSERT INTO {quoted(home)}.strangler_change"
            " (`transaction`, table_name, op, subject, `before`, `after`, captured_at)\n"
            f"        VALUES ({transaction}, s_table, '{op}', {of}, {before}, {after}, {now});\n"
        )

    return (
        "  BEGIN\n"
        "    DECLARE s_table VARCHAR(128) CHARACTER SET utf8mb4;\n"
        "    DECLARE s_left, s_came TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n"
        "    DECLARE s_before, s_after LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n"
        f"    WHILE s_place <= {counted} DO\n"
        "      SET s_table = NULL;\n"
        "      SELECT table_name, old_subject, new_subject, `before`, `after`"
        f" INTO s_table, s_left, s_came, s_before, s_after FROM {table} WHERE {mine};\n"
        "      IF s_table IS NOT NULL AND NOT s_came <=> s_left THEN\n"
        f"        {record('delete', 's_left', 's_before', 'NULL')}"
        "        IF s_came IS NOT NULL THEN\n"
        f"        {record('insert', 's_came', 'NULL', 's_after')}"
        "        END IF;\n"
        "      ELSEIF s_table IS NOT NULL AND NOT s_before <=> s_after THEN\n"
        f"        {record('update', 's_came', 's_before', 's_after')}"
        "      END IF;\n"
        f"      DELETE FROM {table} WHERE {mine};\n"
        "      SET s_place = s_place + 1;\n"
        "    END WHILE;\n"
        "  END;\n"
        f"  SET {counted} = 0;\n"
    )


def _look(task: Task, home: str, parent: Captured, verb: str) -> str:
    reach, columns = task.reach, task.table.columns
    given = reach.given
    new_subject = "NULL" if given is None else subject("t", task.table.subjects, given)
    after = "NULL" if given is None else f"coalesce({image('t', columns, given)}, '{{}}')"
    tables = [f"{reach.leaf} t"]
    inner = "t"
    for at, key in enumerate(reversed(reach.path[1:])):
        outer = f"m{at}"
        tables.append(f"JOIN {key.parent} {outer} ON {_joined(key.columns, inner, outer)}")
        inner = outer
    counted = _counter(parent, verb)
    # With their table: a child may have columns of the same names.
    again = ", ".join(f"{CASCADE}.{name} = VALUES({CASCADE}.{name})" for name in _LOOKED_AT)
    look = (
        f"INSERT INTO {quoted(home)}.{CASCADE}"
        " (connection, origin, place, table_name, old_subject, new_subject, `before`, `after`)\n"
        f"  SELECT connection_id(), {literal(_origin(parent, verb))}, {counted} := {counted} + 1,"
        f" {literal(task.table.captured.table)}, {subject('t', task.table.subjects)}, {new_subject},\n"
        f"    coalesce({image('t', columns)}, '{{}}'), {after}\n"
        f"  FROM {' '.join(tables)} WHERE {_joined(reach.path[0].columns, inner, 'OLD')} LOCK IN SHARE MODE\n"
        f"  ON DUPLICATE KEY UPDATE {again};\n"
    )
    if moved := _moved(reach):
        look = f"IF {moved} THEN\n{textwrap.indent(look, '  ')}END IF;\n"
    return textwrap.indent(look, "    ")


def _joined(columns: Sequence[tuple[str, str]], child: str, parent: str) -> str:
    return " AND ".join(f"{child}.{quoted(one)} = {parent}.{quoted(to)}" for one, to in columns)


def _moved(reach: Reach) -> str:
    """Condition on the parent's rows before and after: byte by byte, as the engine looks at keys that change."""
    return " AND ".join(
        f"NOT ({' AND '.join(_same(one) for one in group)})" for group in dict.fromkeys(reach.moved)
    )


def _same(column: str) -> str:
    return f"CAST(OLD.{quoted(column)} AS BINARY) <=> CAST(NEW.{quoted(column)} AS BINARY)"


def _origin(parent: Captured, verb: str) -> str:
    return hashlib.sha256(f"{parent.relation}/{verb}".encode()).hexdigest()[:16]


def _counter(parent: Captured, verb: str) -> str:
    """How many rows were looked at. Each table counts for itself: an application's trigger may write to another one between."""
    return f"@strangler_{_origin(parent, verb)}"
