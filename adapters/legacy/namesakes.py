"""Looking for namesakes: rows of one table whose keys differ in nothing but blanks at their end, so that they are one subject.

Only engines and types that tell such keys apart have any: not a CHAR, nor a collation that pads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from adapters.legacy.images import Captured
from toolkit.core.changes import Change, Op
from toolkit.ports import Hole

logger = logging.getLogger("strangler.capture")

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


def with_others(
    connection: Connection, searches: Mapping[str, Search], changes: list[Change]
) -> list[Change]:
    """The changes, with the keys of other rows of their subject that are there now.

    Asked for each row that came, and for those with blanks at the end of their key. A table that cannot be read any more
    (dropped, no right to it) must not keep its changes from being offered.
    """
    wanted: dict[str, set[str]] = {}
    for change in changes:
        if change.table in searches and change.subject and _may_have_others(change):
            wanted.setdefault(change.table, set()).add(change.subject)
    if not wanted:
        return changes
    found: dict[tuple[str, str], set[str]] = {}
    try:
        for table, subjects in wanted.items():
            for subject, keys in alike(connection, searches[table], subjects).items():
                found[table, subject] = keys
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        logger.warning("rows with the same subject could not be looked for: %s", error.orig)
    return [_with_others(change, found.get((change.table, change.subject), ())) for change in changes]


def _may_have_others(change: Change) -> bool:
    return change.op is Op.INSERT or (change.op is Op.UPDATE and _own(change) != change.subject)


def _own(change: Change) -> str:
    return str(change.row.get(change.key[0])) if change.key else change.subject


def _with_others(change: Change, keys: Collection[str]) -> Change:
    if not keys or not _may_have_others(change):
        return change
    own = _own(change)
    others = tuple(sorted(key for key in keys if key != own))
    return msgspec.structs.replace(change, beside=others) if others else change


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
