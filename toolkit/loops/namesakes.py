"""Namesakes: rows of one table whose keys differ in nothing but blanks at their end, so that they are one subject. Pure.

A subject is told without padding: a CHAR has it by itself, and a VARCHAR that refers to one may carry it. Where the engine
tells 'A' from 'A ', each of two rows would overwrite the state of the other in silence. So they are parked, until one of them
is gone or has another key; what the other one did then never was of the subject, unless the subject was its own before the
one that stays came: then its end comes before that one's beginning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from toolkit.core.changes import Change, Op
from toolkit.core.subjects import columns_of, joined
from toolkit.core.translators import Translators
from toolkit.loops.unit import Unit

Place = tuple[str, str]
"""Table and subject."""
_UNTOLD = (
    "Only one is there by now, but which of them was told last is not known: change the row that stays (an UPDATE that "
    "writes a value anew will do), so that it is told whole"
)


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
        self._former: set[int] = set()
        self._settled: dict[int, Change] = {}
        self._handed: set[str] = set()
        suspects = self._suspects(changes)
        told: dict[Place, list[Change]] = {}
        for change in changes if suspects else ():
            if (change.table, change.subject) in suspects:
                told.setdefault((change.table, change.subject), []).append(change)
        for some in told.values():
            self._judge(some)

    def clash(self, change: Change) -> str:
        """Why a change of `own` cannot be translated; empty where it can."""
        return self._clashes.get(id(change), "") if self._clashes else ""

    def own(self, unit: Unit) -> Unit:
        """Without those of a row that had the subject for a while beside the one whose it is; that one's whole where need be.

        This is what is parked, too: where one row is left, none of what it did speaks of rows beside it, since those are
        gone; and where more are, the change at which they met names them.
        """
        if not self._others and not self._settled:
            return unit
        changes = (self._settled.get(id(one), one) for one in unit.changes if id(one) not in self._others)
        return Unit(subject=unit.subject, changes=tuple(changes))

    def in_order(self, units: Sequence[Unit]) -> Sequence[Unit]:
        """The units, with what a subject's former row did before what the row did that has it now."""
        if not self._handed:
            return units
        mine = {subject: [one for one in units if one.subject == subject] for subject in self._handed}
        made: list[Unit] = []
        for unit in units:
            if unit.subject not in mine:
                made.append(unit)
            elif some := mine[unit.subject]:
                made += self._parts(some, former=True) + self._parts(some, former=False)
                mine[unit.subject] = []
        return made

    def _parts(self, units: Sequence[Unit], *, former: bool) -> list[Unit]:
        parts = (
            tuple(change for change in one.changes if (id(change) in self._former) is former) for one in units
        )
        return [Unit(subject=one[0].subject, changes=one) for one in parts if one]

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
            was = change.before if change.op is Op.UPDATE and change.before is not None else row
            key = row.get(names[0]) if len(names) == 1 else None
            place = (change.table, change.subject)
            if (
                (key == change.subject or type(key) is int)
                and was.get(names[0], key) == key
                and not change.beside
            ):
                bare.add(place)
                continue
            spelt = self._key(change, row)
            if spelt is None:
                continue
            if change.beside or padded.setdefault(place, spelt) != spelt or self._key(change, was) != spelt:
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
        traced = self._traced(changes)
        before = _there_before(traced)
        alive = set(before)
        clash: _Clash | None = None
        for one in traced:
            alive |= one.beside
            alive.discard(one.gone)
            if one.change.op is not Op.DELETE:
                alive.add(one.row)
            if len(alive) > 1 and clash is None:
                others = tuple(one.keys(alive - {one.row}))
                clash = _Clash(one.change, others, _why(one.change, one.keys(alive)))
            if one.change.op is Op.DELETE:
                alive.discard(one.row)
        if clash is None:
            return
        if len(alive) > 1:
            self._clashed(clash)
            return
        left = next(iter(alive), min(before, default=0))
        if before and not any(one.row == left for one in traced):
            self._clashed(clash._replace(why=f"{clash.why}. {_UNTOLD}"))
            return
        self._hand_over(traced, before, left, stays=bool(alive))

    def _clashed(self, clash: _Clash) -> None:
        """It is parked with the word which rows were there: what told of them may have gone through."""
        parked = replace(clash.change, beside=clash.others)
        self._settled[id(clash.change)] = parked
        self._clashes[id(parked)] = clash.why

    def _hand_over(self, traced: Sequence[_Traced], before: Sequence[int], left: int, *, stays: bool) -> None:
        """The subject is the row's that is left; until that came, it was the row's that was there before.

        Where both were there before, which of them was told last is not known: the other one's end comes first, and then
        this one whole, as if it had come.
        """
        former = next((row for row in before if row != left), None) if stays else None
        for one in traced:
            if one.change.beside:
                self._settled[id(one.change)] = replace(one.change, beside=())
            if one.row == former:
                self._former.add(id(one.change))
                self._handed.add(one.change.subject)
            elif one.row != left:
                self._others.add(id(one.change))
        if former is not None and left in before:
            self._tell_whole([one.change for one in traced if one.row == left])

    def _tell_whole(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.op is not Op.DELETE:
                self._settled[id(change)] = replace(change, op=Op.INSERT, before=None, beside=())
                return
            self._others.add(id(change))

    def _traced(self, changes: Sequence[Change]) -> list[_Traced]:
        """Which row each is of, by the key that it had or has."""
        rows, found = _Rows(), []
        for change in changes:
            beside = frozenset(rows.at(other) for other in change.beside)
            now = self._key(change, change.row) or ""
            was = (self._key(change, change.before) if change.before is not None else None) or now
            row, gone = rows.at(was), -1
            if change.op is not Op.DELETE and was != now:
                gone = rows.move(was, now)
            found.append(_Traced(change, row, beside, gone, rows.spelt()))
        return found


class _Clash(NamedTuple):
    """The change at which a row was first there beside others, their keys, and what is wrong with that."""

    change: Change
    others: tuple[str, ...]
    why: str


class _Traced(NamedTuple):
    """A change, its row, others that were seen beside it, one that turned out to be it, and the key of each by now."""

    change: Change
    row: int
    beside: frozenset[int]
    gone: int
    spelt: Mapping[int, str]

    def keys(self, rows: Collection[int]) -> list[str]:
        """The keys of these rows."""
        return sorted(key for row, key in self.spelt.items() if row in rows)


def _there_before(traced: Sequence[_Traced]) -> list[int]:
    """The rows whose first change is not that they came."""
    firsts: dict[int, Change] = {}
    for one in traced:
        firsts.setdefault(one.row, one.change)
    return [row for row, change in firsts.items() if change.op not in (Op.INSERT, Op.SNAPSHOT)]


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

    def spelt(self) -> dict[int, str]:
        """The key of each row."""
        return {row: key for key, row in self._known.items()}


def _why(change: Change, keys: Sequence[str]) -> str:
    spelt = " and ".join(repr(key) for key in keys)
    return (
        f"{change.table}: the keys {spelt} differ in nothing but blanks at their end, so that these rows are one subject, and "
        "one's state would overwrite the other's; in the legacy database, give one of them another key, or delete it"
    )
