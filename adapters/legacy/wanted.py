"""What the settings want of a table, against what the engine knows of it: names as they are spelt, or every fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from adapters.legacy.images import Captured, Chosen, Shape, columns_noted
from toolkit.core.errors import UsageError
from toolkit.core.subjects import columns_of, simplest
from toolkit.ports import CapturedTable

NO_KEY = (
    "no primary key and no unique index over columns that are NOT NULL, so that a row found by backfill has no name of "
    "its own; give the table one, name the columns that identify a row ([legacy.NAME.table.T] key), or leave it out"
)

T = TypeVar("T")
W = TypeVar("W")

_LONGEST_SUBJECT = 128
"""As much as is noted where capture is installed."""


def every(tables: Iterable[W], find: Callable[[W], T]) -> list[T]:
    """Find each. Raises UsageError with all that is wrong with any of them, not with the first one alone."""
    found: list[T] = []
    faults: list[str] = []
    for one in tables:
        try:
            found.append(find(one))
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join(faults))
    return found


def spelt(wanted: CapturedTable, where: str, relation: str, shape: Shape) -> Captured:
    """The table with its options as the engine spells them. Raises UsageError with all that is wrong."""
    columns = {name.upper(): name for name in shape.columns}
    faults = [
        f"the columns {', '.join(n for n in shape.columns if n.upper() == twice)} are one to translators: rename one"
        for twice, count in Counter(name.upper() for name in shape.columns).items()
        if count > 1
    ]
    asked = (*wanted.subjects, *wanted.columns, *wanted.ignore, *wanted.key)
    faults += [
        f"there is no column {name}; there are {', '.join(shape.columns)}"
        for name in dict.fromkeys(asked)
        if name.upper() not in columns
    ]
    if not shape.key and not wanted.key:
        faults.append(NO_KEY)
    if faults:
        raise UsageError("\n".join(f"{where}: {fault}" for fault in faults))
    named = [[columns[n.upper()] for n in some] for some in (wanted.columns, wanted.ignore, wanted.key)]
    subject = simplest([columns[name.upper()] for name in wanted.subjects])
    if len(columns_noted(subject)) > _LONGEST_SUBJECT:
        raise UsageError(
            f"{where}: the names of the subject's columns are too long together: name fewer of them"
        )
    keys = _keys(named[2], shape.key, columns_of(subject))
    needed = (*keys, *columns_of(subject))
    if lost := [name for name in named[1] if name in needed]:
        raise UsageError(f"{where}: {', '.join(lost)} is key or subject and cannot be ignored")
    chosen = Chosen(
        columns=tuple(dict.fromkeys((*needed, *named[0]))) if named[0] else (), ignore=tuple(named[1])
    )
    return Captured(
        table=wanted.table.upper(),
        relation=relation,
        subject=subject,
        outbox=wanted.outbox,
        keys=keys,
        columns=chosen.of(shape.columns),
        statement=wanted.statement,
        chosen=chosen,
        shape=shape,
    )


def check_key(connection: Connection, where: str, table: Captured, quoted: Callable[[str], str]) -> None:
    """A key that the database does not enforce has to be one in the rows that are there. Reads the whole table."""
    asked = connection.execution_options(
        no_parameters=True
    )  # a name may hold a sign that the driver looks for
    columns = ", ".join(quoted(name) for name in table.keys)
    twice = f"SELECT 1 FROM {table.relation} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1"
    if asked.exec_driver_sql(twice).scalar() is not None:
        raise UsageError(
            f"{where}: two rows hold the same {', '.join(table.keys)}: name a key that is unique"
        )
    empty = " OR ".join(f"{quoted(name)} IS NULL" for name in table.keys if name not in table.subjects)
    null = f"SELECT 1 FROM {table.relation} WHERE {empty} LIMIT 1"
    if empty and asked.exec_driver_sql(null).scalar() is not None:
        raise UsageError(f"{where}: a row has no {', '.join(table.keys)}: a key must not be NULL")


def _keys(named: Sequence[str], enforced: Sequence[str], subjects: Sequence[str]) -> tuple[str, ...]:
    """A key that nothing enforces names a row of its subject only: two subjects must not share a row's position."""
    if not named:
        return tuple(enforced)
    return (
        tuple(named)
        if set(enforced) and set(enforced) <= set(named)
        else tuple(dict.fromkeys((*named, *subjects)))
    )


def distinct(source: str, tables: Sequence[Captured]) -> None:
    """Raises UsageError when two of the tables are one in the database: its changes would come under one name only."""
    seen: dict[str, str] = {}
    for table in tables:
        if (other := seen.setdefault(table.relation, table.table)) != table.table:
            raise UsageError(
                f"legacy source {source}: {other} and {table.table} are both {table.relation}: name it once"
            )
