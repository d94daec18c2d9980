"""Leaving out what waits for a table whose rows cannot be looked for, so that all else is offered however much that is."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import Table

from toolkit.core.changes import Op

Condition = tuple[str, dict[str, object]]
"""Condition on captured changes (alias `c`), and its parameters."""

# Neither a guess of the planner's nor the type of the column may make it look through all changes for each of them:
# PostgreSQL hashes an array whose length it does not know, MariaDB keeps no list of texts without a length.
_NOT_AMONG = {
    "postgresql": "c.subject NOT IN (SELECT unnest(ARRAY({subjects})))",
    "mysql": "MD5(c.subject) NOT IN ({subjects})",
    "sqlite": "c.subject NOT IN ({subjects})",
}


def held_back(dialect: str, change: Table, tables: Collection[str]) -> Iterator[Condition]:
    """What is to be put behind a condition: it leaves out whole subjects that have changes to such tables, so in order.

    The first one leaves out those with rows that came or went. An update asks for a look only if its key is padded, which
    SQL does not see: where that leaves nothing of what is read, the second leaves out any change to the tables.
    """
    if not tables:
        yield "", {}
        return
    given: dict[str, object] = {f"blocked{at}": table for at, table in enumerate(sorted(tables))}
    names = ", ".join(f":{name}" for name in given)
    of_them = f"SELECT DISTINCT b.subject FROM {change.fullname} b WHERE b.table_name IN ({names})"
    if dialect == "mysql":
        of_them = of_them.replace("b.subject", "MD5(b.subject)", 1)
    for which in (f" AND b.op <> '{Op.UPDATE.value}'", ""):
        yield " AND " + _NOT_AMONG[dialect].format(subjects=of_them + which), dict(given)
