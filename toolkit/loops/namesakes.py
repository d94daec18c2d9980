"""Namesakes: rows of one table whose keys differ in nothing but blanks at their end, so that they are one subject. Pure.

A subject is told without padding: a CHAR has it by itself, and a VARCHAR that refers to one may carry it. Where the engine
tells 'A' from 'A ', each of two rows would overwrite the state of the other in silence. So they are parked, until one of them
is gone or has another key; what the other one did then never was of the subject.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from toolkit.core.changes import Change, Op
from toolkit.core.subjects import columns_of, joined
from toolkit.core.translators import Translators

Place = tuple[str, str]
"""Table and subject."""


class Namesakes:
    """What a sequence of changes tells of rows that share a subject. Their order is that in which they are translated."""

    def __init__(self, changes: Collection[Change], translators: Translators) -> None:
        self._columns = {
            table: columns_of(subject)
            for one in translators.aggregates
            for table, subject in one.tables.items()
        }
        self._keyed: dict[str, tuple[str, ...]] = {}
        self._clashes: dict[int, str] = {}
        self._others: set[int] = set()
        suspects = self._suspects(changes)
        told: dict[Place, list[Change]] = {}
        for change in changes if suspects else ():
            if (change.table, change.subject) in suspects:
                told.setdefault((change.table, change.subject), []).append(change)
        for some in told.values():
            self._judge(some)

    def clash(self, change: Change) -> str:
        """Why the change cannot be translated; empty where it can."""
        return self._clashes.get(id(change), "") if self._clashes else ""

    def own(self, changes: Sequence[Change]) -> Sequence[Change]:
        """Without those of a row that had the subject for a while beside the one whose it is."""
        if not self._others:
            return changes
        return [change for change in changes if id(change) not in self._others]

    def _suspects(self, changes: Iterable[Change]) -> set[Place]:
        """Where keys of more than one spelling are met: seldom any, and asked of every change."""
        padded: dict[Place, str] = {}
        bare: set[Place] = set()
        found: set[Place] = set()
        for change in changes:
            names = self._keyed.get(change.table)
            if names is None:
                names = self._names(change)
            if not names:
                continue
            row = change.after if change.after is not None else change.row
            key = row.get(names[0]) if len(names) == 1 else None
            place = (change.table, change.subject)
            if (key == change.subject or type(key) is int) and not change.beside:
                bare.add(place)
                continue
            spelt = self._key(change, row)
            if spelt is not None and (change.beside or padded.setdefault(place, spelt) != spelt):
                found.add(place)
        return found | (padded.keys() & bare)

    def _names(self, change: Change) -> tuple[str, ...]:
        """The columns of the subject, where they are those by which a row of the table is known; else none."""
        names = self._columns.get(change.table, ())
        if not change.key or not set(change.key) <= set(names):
            names = ()
        self._keyed[change.table] = names
        return names

    def _key(self, change: Change, row: Mapping[str, object]) -> str | None:
        """The subject with its padding, where the row tells it."""
        names = self._keyed[change.table]
        if any(name not in row for name in names):
            return None
        return str(row[names[0]]) if len(names) == 1 else joined([row[name] for name in names])

    def _judge(self, changes: Sequence[Change]) -> None:
        """Follow the rows of one subject: which are there at the same time, and which one is left."""
        rows, alive = _Rows(), set[int]()
        clash: tuple[Change, str] | None = None
        whose: list[tuple[Change, int]] = []
        for change in changes:
            for other in change.beside:
                alive.add(rows.at(other))
            row = self._follow(change, rows, alive)
            whose.append((change, row))
            if len(alive) > 1 and clash is None:
                clash = (change, _why(change, rows.keys(alive)))
        if clash is None:
            return
        if len(alive) > 1:
            self._clashes[id(clash[0])] = clash[1]
            return
        left = next(iter(alive), 0)
        self._others.update(id(change) for change, row in whose if row != left)

    def _follow(self, change: Change, rows: _Rows, alive: set[int]) -> int:
        """Which row it is of, by the key that it had or has."""
        now = self._key(change, change.row) or ""
        was = (self._key(change, change.before) if change.before is not None else None) or now
        row = rows.at(was)
        if change.op is Op.DELETE:
            alive.discard(row)
            return row
        if was != now:
            alive.discard(rows.move(was, now))
        alive.add(row)
        return row


class _Rows:
    """Rows by the key that they have: one that gets another key stays the same row."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._count = 0

    def at(self, key: str) -> int:
        """The row with this key, which may be a new one."""
        if key not in self._known:
            self._known[key] = self._count
            self._count += 1
        return self._known[key]

    def move(self, was: str, now: str) -> int:
        """It has this key from now on. Returns the row whose key that was: it is not there, or was this one, seen too early."""
        former = self._known.get(now, -1)
        self._known[now] = self._known.pop(was)
        return former

    def keys(self, rows: Collection[int]) -> list[str]:
        """The keys of these rows."""
        return sorted(key for key, row in self._known.items() if row in rows)


def _why(change: Change, keys: Sequence[str]) -> str:
    spelt = " and ".join(repr(key) for key in keys)
    return (
        f"{change.table}: the keys {spelt} differ in nothing but blanks at their end, so that these rows are one subject, and "
        "one's state would overwrite the other's; in the legacy database, give one of them another key, or delete it"
    )
