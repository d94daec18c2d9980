"""Changes that were read and gave nothing: the usual way in which an anti-corruption layer loses a fact.

A rule that yields no event may mean "this means nothing to us", or may have missed a case. Only a person knows. So such
changes are counted by their shape, and a shape is settled by a rule, by declaring the columns meaningless, or by
somebody who answers for it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from toolkit.core.changes import Change, Op


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaningless:
    """A declaration: updates that touch only these columns of the table mean nothing (without columns: no change does)."""

    table: str
    columns: frozenset[str]
    why: str


class Shape(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """What kind of change it was: the table, what happened, and which columns an update touched."""

    table: str
    op: Op
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As one line: `POLMAST update of LST_UPD_TS, STAT_CD`."""
        return f"{self.table} {self.op}" + (f" of {', '.join(self.columns)}" if self.columns else "")


class Unclassified(msgspec.Struct, frozen=True, kw_only=True):
    """One shape with how often it came (a step that is done again counts again) and its latest example.

    `answered_at`, `owner` and `reason` are there once somebody answered for all that came until then.
    """

    source: str
    shape: Shape
    count: int
    subject: str
    position: str
    first_at: dt.datetime
    last_at: dt.datetime
    owner: str = ""
    reason: str = ""
    answered_at: dt.datetime | None = None

    @property
    def open(self) -> bool:
        """Did it come again since somebody answered for it, or did nobody?"""
        return self.answered_at is None or self.last_at > self.answered_at


def shape_of(change: Change) -> Shape:
    """The shape of a change."""
    before, after = change.before, change.after
    if before is None or after is None:
        return Shape(table=change.table, op=change.op)
    touched = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return Shape(table=change.table, op=change.op, columns=tuple(touched))


def meaningless(shape: Shape, declared: Iterable[Meaningless]) -> bool:
    """Do the declarations say that such a change means nothing? An update that changes no value never means anything."""
    mine = [one for one in declared if one.table == shape.table]
    if any(not one.columns for one in mine) or (shape.op is Op.UPDATE and not shape.columns):
        return True
    known = frozenset[str]().union(*(one.columns for one in mine))
    return shape.op is Op.UPDATE and known.issuperset(shape.columns)


def tally(
    source: str, silent: Sequence[Change], declared: Sequence[Meaningless], now: dt.datetime
) -> list[Unclassified]:
    """Count the changes that gave nothing, by shape, without those that are declared to mean nothing."""
    counted: dict[Shape, Unclassified] = {}
    for change in silent:
        shape = shape_of(change)
        if shape not in counted and meaningless(shape, declared):
            continue
        before = counted.get(shape)
        counted[shape] = Unclassified(
            source=source,
            shape=shape,
            count=before.count + 1 if before else 1,
            subject=change.subject,
            position=change.position,
            first_at=now,
            last_at=now,
        )
    return list(counted.values())
