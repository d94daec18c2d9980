"""What foreign keys of MariaDB and MySQL do to rows of captured tables, which fires none of these tables' triggers.

The parent's triggers tell it instead: before a row of it goes or gets another key, they look at the rows that will change
with it, and once it is done they record them. The parent's row is locked by then, so that no child can come to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from adapters.legacy.mariadb.tables import Table, parts, query
from adapters.legacy.mariadb.values import quoted

Given = Mapping[str, str | None]
"""Columns that get another value: that of this column of the parent's new row, or NULL."""
_QUIET = ("RESTRICT", "NO ACTION")


class ForeignKey(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key: `columns` of the child, each with the one of the parent that it refers to."""

    name: str
    child: str
    parent: str
    columns: tuple[tuple[str, str], ...]
    on_delete: str
    on_update: str


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a table that change when a row of another one goes, or gets another key. `path`: from that one to them.

    `given` are the columns that change; None: the rows go. `moved`: it happens when of each of these groups of the other
    table's columns at least one changes; from the values alone that cannot be told of what becomes NULL.
    """

    verb: str
    path: tuple[ForeignKey, ...]
    given: dict[str, str | None] | None = None
    moved: tuple[tuple[str, ...], ...] = ()
    circular: bool = False

    @property
    def root(self) -> str:
        """The table whose row it begins with."""
        return self.path[0].parent

    @property
    def leaf(self) -> str:
        """The table whose rows change."""
        return self.path[-1].child

    def said(self) -> str:
        """What happens, for a person."""
        last, begun = self.path[-1], parts(self.root)[1]
        rule = last.on_delete if self.verb == "delete" and self._by_deletion else last.on_update
        done = f"ON {'DELETE' if self._by_deletion else 'UPDATE'} {rule}"
        when = "" if len(self.path) == 1 else f" when a row of {begun} {_HAPPENS[self.verb]}"
        return f"the foreign key {last.name} to {parts(last.parent)[1]} changes its rows by {done}{when}, which fires no trigger"

    @property
    def _by_deletion(self) -> bool:
        return self.verb == "delete" and all(one.on_delete == "CASCADE" for one in self.path[:-1])


_HAPPENS = {"delete": "goes", "update": "gets another key"}


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A reach that a parent's trigger records, with the table whose rows change."""

    reach: Reach
    table: Table


class Untold(msgspec.Struct, frozen=True, kw_only=True):
    """A reach that no trigger records, why, and what to do about it."""

    table: str
    reach: Reach
    why: str
    next: str


class Cascades(msgspec.Struct, frozen=True, kw_only=True):
    """What the triggers of captured tables record of other tables' rows (by relation and verb), and what they do not."""

    tasks: dict[tuple[str, str], tuple[Task, ...]]
    untold: tuple[Untold, ...]

    def of(self, relation: str, verb: str) -> tuple[Task, ...]:
        """What the triggers of one table record besides its own rows."""
        return self.tasks.get((relation, verb), ())


def followers(cascades: Cascades) -> Iterator[tuple[str, str, list[str]]]:
    """Tables whose rows follow another one's to another subject: child, parent, columns of the parent."""
    for (root, verb), tasks in cascades.tasks.items():
        for task in tasks:
            given = task.reach.given or {}
            moving = [to for name in task.table.captured.subjects if (to := given.get(name)) is not None]
            if verb == "update" and moving:
                yield task.table.captured.table, parts(root)[1], moving


def cascades_of(connection: Connection, tables: Iterable[Table]) -> Cascades:
    """What foreign keys do to rows of these captured tables."""
    captured = {one.captured.relation: one for one in tables if not one.captured.outbox}
    keys = [
        key for schema in sorted({parts(one)[0] for one in captured}) for key in _keys(connection, schema)
    ]
    return judged(keys, captured)


def judged(keys: Sequence[ForeignKey], captured: Mapping[str, Table]) -> Cascades:
    """Which of the reaches can be recorded, and which cannot."""
    found = [
        reach
        for root in sorted({key.parent for key in keys})
        for verb in ("delete", "update")
        for reach in _reaches(keys, root, verb)
        if reach.leaf in captured
    ]
    times = Counter((one.root, one.verb, one.leaf) for one in found)
    tasks: dict[tuple[str, str], tuple[Task, ...]] = {}
    untold: list[Untold] = []
    for one in found:
        table = captured[one.leaf]
        why, then = _against(one, table, captured, times[one.root, one.verb, one.leaf])
        if why:
            untold.append(Untold(table=table.captured.table, reach=one, why=why, next=then))
        else:
            place = (one.root, one.verb)
            tasks[place] = (*tasks.get(place, ()), Task(reach=one, table=table))
    return Cascades(tasks=tasks, untold=tuple(untold))


def _against(reach: Reach, table: Table, captured: Mapping[str, Table], times: int) -> tuple[str, str]:
    """Why no trigger can record it, and what to do instead."""
    root, parent = parts(reach.root)[1], parts(reach.path[-1].parent)[1]
    otherwise = f"let the application change them before {parent}, or make the rule RESTRICT"
    if reach.circular:
        return "it leads back to where it came from", otherwise
    if reach.root not in captured:
        return f"{root} is not captured", f"capture {root}, too, or {otherwise}"
    if times > 1:
        return f"a row of {root} reaches it in {times} ways", otherwise
    generated = [one.name for one in table.columns if "generated" in one.extra]
    if reach.given is not None and generated:
        return f"{', '.join(generated)} is computed from what changes, or may be", otherwise
    return "", ""


def _reaches(keys: Sequence[ForeignKey], root: str, verb: str) -> Iterator[Reach]:
    if verb == "delete":
        yield from _deleted(keys, root, ())
        return
    referred = {to: to for key in keys if key.parent == root for _, to in key.columns}
    yield from _updated(keys, root, (), referred, verb)


def _deleted(keys: Sequence[ForeignKey], table: str, path: tuple[ForeignKey, ...]) -> Iterator[Reach]:
    for key in keys:
        if key.parent != table or key.on_delete in _QUIET:
            continue
        longer = (*path, key)
        circular = _circular(longer)
        gone = key.on_delete == "CASCADE"
        given: dict[str, str | None] | None = None if gone else {column: None for column, _ in key.columns}
        yield Reach(verb="delete", path=longer, given=given, circular=circular)
        if circular:
            continue
        if given is None:
            yield from _deleted(keys, key.child, longer)
        else:
            yield from _updated(keys, key.child, longer, given, "delete")


def _updated(
    keys: Sequence[ForeignKey],
    table: str,
    path: tuple[ForeignKey, ...],
    changed: Given,
    verb: str,
    moved: tuple[tuple[str, ...], ...] = (),
) -> Iterator[Reach]:
    for key in keys:
        referred = [changed[to] for _, to in key.columns if to in changed]
        if key.parent != table or key.on_update in _QUIET or not referred:
            continue
        longer, further = (*path, key), moved
        if None not in referred:  # what becomes NULL changes in any case
            further = (*moved, tuple(sorted({one for one in referred if one is not None})))
        if key.on_update == "CASCADE":
            given = {column: changed[to] for column, to in key.columns if to in changed}
        else:
            given = {column: None for column, _ in key.columns}
        circular = _circular(longer)
        yield Reach(verb=verb, path=longer, given=given, moved=further, circular=circular)
        if not circular:
            yield from _updated(keys, key.child, longer, given, verb, further)


def _circular(path: Sequence[ForeignKey]) -> bool:
    """Does it come back to a table that it has been at?"""
    return path[-1].child in {one.parent for one in path}


def _keys(connection: Connection, schema: str) -> list[ForeignKey]:
    made: dict[tuple[str, str], ForeignKey] = {}
    for row in connection.execute(query("foreign_keys"), {"schema": schema}):
        before = made.get((row.child, row.name))
        made[row.child, row.name] = ForeignKey(
            name=row.name,
            child=f"{quoted(row.child_schema)}.{quoted(row.child)}",
            parent=f"{quoted(row.parent_schema)}.{quoted(row.parent)}",
            columns=(*(before.columns if before else ()), (row.column_name, row.referred)),
            on_delete=row.on_delete,
            on_update=row.on_update,
        )
    return list(made.values())
