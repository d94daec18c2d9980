"""Looking for namesakes: rows of one table whose keys differ in nothing but blanks at their end, so that they are one subject.

Only engines and types that tell such keys apart have any: not a CHAR, nor a collation that pads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from adapters.legacy.images import Captured
from toolkit.core.changes import Change, Op
from toolkit.ports import Hole

PLANNED, WATCHED = 1_000_000, 10_000
"""So many keys are looked through before capture is installed, and each time that its holes are asked for."""
_SHOWN = 100
_AT_ONCE = 200
_NEXT = "give one of the rows another key, or delete it: which of them is the subject, nobody can tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How an engine finds rows of one table by the text of their key, which an index has.

    `padded` gives at most :most keys that end in blanks, of the :rows highest ones. `near` gives a SELECT, and its
    parameters, for the keys that may be one of these subjects with blanks behind it.
    """

    padded: str
    near: Callable[[Sequence[str]], tuple[str, Mapping[str, object]]]


class Unlooked(Exception):
    """Rows of this table could not be looked for: what is offered all the same would pass for looked at."""

    def __init__(self, table: str, cause: DBAPIError) -> None:
        super().__init__(f"{table}: other rows with the same subject cannot be looked for: {cause.orig}")
        self.table = table


def keyed(table: Captured) -> bool:
    """Is a row known by its subject alone? Else several of one subject mean no harm."""
    return not table.outbox and len(table.subjects) == 1 and table.keys == table.subjects


def alike(connection: Connection, search: Search, subjects: Iterable[str]) -> dict[str, set[str]]:
    """The keys of the rows that are there, by subject."""
    found: dict[str, set[str]] = {}
    wanted = sorted(set(subjects))
    for at in range(0, len(wanted), _AT_ONCE):
        sql, given = search.near(wanted[at : at + _AT_ONCE])
        for key in connection.scalars(text(sql), given):
            found.setdefault(str(key).rstrip(" "), set()).add(str(key))
    return found


Later = Callable[[str, AbstractSet[str], AbstractSet[str]], Iterable[Change] | None]
"""Changes of a table's subjects that wait behind those that are offered, by number; None where they are not known yet.

The second ones are those of them that are there under a key that the changes do not tell. Of the others, what waits matters
only if more than new rows does: nothing else shows that another row was there.
"""
_Place = tuple[str, str]
"""Table and subject."""


def without_unlooked(changes: list[Change], table: Callable[[str], bool]) -> list[Change]:
    """The changes without subjects that have one to be compared with the rows of such a table: their order stays true."""
    left = {one.subject for one in changes if one.subject and _may_have_others(one) and table(one.table)}
    return [one for one in changes if one.subject not in left] if left else changes


def with_others(
    connection: Connection, searches: Mapping[str, Search], changes: list[Change], later: Later
) -> list[Change]:
    """The changes, with the keys of other rows of their subject that were there all the while, and are in none of them.

    Asked for each row that came or went, and for those with blanks at the end of their key. What is there now tells it,
    with what waits: that has happened since. Only where more is there than the changes say, what waits is looked up. As
    long as that is not known, nothing of these subjects is offered.
    """
    wanted: dict[str, set[str]] = {}
    for change in changes:
        if change.table in searches and change.subject and _may_have_others(change):
            wanted.setdefault(change.table, set()).add(change.subject)
    if not wanted:
        return changes
    told: dict[_Place, dict[str, bool]] = {}
    for change in changes:
        if change.subject in wanted.get(change.table, ()):
            there = told.setdefault((change.table, change.subject), {})
            there.update((key, after) for key, _, after in _keys(change))
    others: dict[_Place, tuple[str, ...]] = {}
    unknown: set[str] = set()
    for table, subjects in wanted.items():
        try:
            found = alike(connection, searches[table], subjects)
        except DBAPIError as error:
            raise Unlooked(table, error) from error
        odd = {one: keys for one, keys in found.items() if any(not told[table, one].get(key) for key in keys)}
        respelt = {one for one, keys in odd.items() if keys - told[table, one].keys()}
        waiting = later(table, odd.keys(), respelt) if odd else ()
        if waiting is None:
            unknown |= odd.keys()
        else:
            others.update(_others(table, odd, waiting, told))
    if not others and not unknown:
        return changes
    return [
        msgspec.structs.replace(change, beside=others.get((change.table, change.subject), ()))
        for change in changes
        if change.subject not in unknown
    ]


def _may_have_others(change: Change) -> bool:
    if change.op is Op.UPDATE:
        return bool(change.key) and str(change.row.get(change.key[0])) != change.subject
    return change.op in (Op.INSERT, Op.DELETE)


def _keys(change: Change) -> Iterator[tuple[str, bool, bool]]:
    """The keys that a change is about, and whether a row had each before and after it."""
    if not change.key:
        return
    now = str(change.row.get(change.key[0]))
    if change.op is not Op.UPDATE:
        yield now, change.op is Op.DELETE, change.op is not Op.DELETE
        return
    was = now if change.before is None else str(change.before.get(change.key[0], now))
    if was != now:
        yield was, True, False
    yield now, was == now, True


def _others(
    table: str,
    now: Mapping[str, Collection[str]],
    later: Iterable[Change],
    told: Mapping[_Place, Mapping[str, bool]],
) -> Iterator[tuple[_Place, tuple[str, ...]]]:
    """By subject, the keys that were there before what came later, but for those that the changes tell of themselves."""
    firsts: dict[str, dict[str, bool]] = {subject: {} for subject in now}
    for change in later:
        for key, before, _ in _keys(change):
            firsts[change.subject].setdefault(key, before)
    for subject, keys in now.items():
        first = firsts[subject]
        there = {key for key in keys if first.get(key, True)} | {
            key for key, before in first.items() if before
        }
        if others := there - told[table, subject].keys():
            yield (table, subject), tuple(sorted(others))


def namesakes(connection: Connection, table: Captured, search: Search, rows: int) -> Iterator[Hole]:
    """What is there already: looked for among so many keys, by those that end in blanks."""
    asked = {"rows": rows, "most": _SHOWN}
    ends = {str(key).rstrip(" ") for key in connection.scalars(text(search.padded), asked)}
    found = [sorted(keys) for keys in alike(connection, search, ends - {""}).values() if len(keys) > 1]
    if found:
        spelt = " and ".join(repr(key) for key in found[0])
        more = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
        what = (
            f"the keys {spelt} are one subject{more}: they differ in nothing but blanks at their end, and the state of one row "
            "overwrites the other's, or both are parked"
        )
        yield Hole(where=table.table, what=what, next=_NEXT)
