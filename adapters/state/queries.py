"""The named `.sql` files beside this module, and what its neighbours share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, tuple_

from adapters.statements import Statements

query = Statements(__file__).query
CHUNK = 500
"""Values per IN list: far below every engine's limit on parameters, and few statement shapes to compile."""


def chunks(values: Iterable[Any], size: int = CHUNK) -> Iterable[list[Any]]:
    """The values in lists of at most `size`."""
    held = list(values)
    return (held[at : at + size] for at in range(0, len(held), size))


def replace(connection: Connection, table: Table, rows: Sequence[dict[str, object]]) -> None:
    """Put rows in the place of those with the same primary key, on any engine."""
    if not rows:
        return
    remove(connection, table, [tuple(row[column.name] for column in table.primary_key) for row in rows])
    connection.execute(table.insert(), rows)


def remove(connection: Connection, table: Table, keys: Sequence[tuple[object, ...]]) -> None:
    """Delete the rows with these primary keys."""
    columns = tuple_(*table.primary_key)
    for some in chunks(keys):
        connection.execute(delete(table).where(columns.in_(some)))
