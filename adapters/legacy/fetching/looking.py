"""One look: the subjects that are not as they were are read whole, in one snapshot, and compared with what was kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from adapters.legacy.fetching.reads import Reads
from adapters.legacy.fetching.rows import Kept, Row, kept, name_of, prefix, same
from toolkit.core.changes import Op
from toolkit.inbox import Inbox, Seen

_ROUNDS = 2
"""A row may have moved to a subject that nobody asked for: that one is read, too, and no further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A row that is not as it was: new (no `before`), gone (no `after`), or changed.

    `beside` are the keys of other rows that have its subject, where a row is known by that alone.
    """

    op: Op
    table: str
    subject: str
    name: str
    before: Kept | None = None
    after: Row | None = None
    beside: tuple[str, ...] = ()


@dataclass(slots=True)
class _Settling:
    """What is known so far of the subjects of one look."""

    subjects: set[str] = field(default_factory=set)
    before: dict[tuple[str, str], Kept] = field(default_factory=dict)
    now: dict[tuple[str, str], Row] = field(default_factory=dict)


class Look:
    """Looks at tables that share their subjects, over one connection. `reads` are in the order of the aggregate's tables.

    `first` are the tables whose first pass has not ended: what is found in them was there, and is not news.
    """

    def __init__(self, reads: Mapping[str, Reads], inbox: Inbox, *, first: Iterable[str]) -> None:
        self._reads, self._inbox, self._first = reads, inbox, frozenset(first)

    def changed(self, table: str, rows: Sequence[Row]) -> list[Row]:
        """Those of the rows (of their keys) that are not as they were kept, whole."""
        known = {one.key: one for one in self._inbox.find(table, [row.name for row in rows])}
        found = [
            row
            for row in rows
            if row.name not in known or (row.whole and not same(row, kept(known[row.name])))
        ]
        lean = {row.name: row.key for row in found if not row.whole}
        if not lean:
            return found
        return [row for row in self._reads[table].by_keys(lean.values()) if row.name in lean]

    def gone(self, table: str, seen: Sequence[Seen]) -> dict[str, Kept]:
        """Those of the kept rows that the database does not have any more, by name."""
        known = {one.key: kept(one) for one in seen}
        there = self._reads[table].by_keys([one.values for one in known.values()], whole=False)
        names = {row.name for row in there}
        return {name: one for name, one in known.items() if name not in names}

    def settle(self, table: str, rows: Sequence[Row], gone: Mapping[str, Kept]) -> list[Difference]:
        """What became of the subjects of these rows: all their rows in all tables, as they are at this instant.

        Subjects come one after the other. In each, rows that are gone come first, so that a row that took the place of
        another is there in the end; then the others, tables in their order, parents before children.
        """
        known = _Settling(
            before={(table, name): one for name, one in gone.items() if not one.subject},
            now={(table, row.name): row for row in rows},
        )
        blank = [row.name for row in rows if not row.subject]
        for one in self._inbox.find(table, blank):
            known.before[table, one.key] = kept(one)
        asked = [row.subject for row in rows] + [one.subject for one in gone.values()]
        fresh = {subject for subject in asked if subject}
        for _ in range(_ROUNDS):
            if fresh:
                fresh = self._gather(known, fresh)
        order = {subject: at for at, subject in enumerate(dict.fromkeys(asked))}
        return sorted(self._differences(known), key=lambda one: order.get(one.subject, len(order)))

    def _gather(self, known: _Settling, fresh: set[str]) -> set[str]:
        """Read these subjects; returns those to which rows of theirs have moved."""
        known.subjects |= fresh
        beyond: set[str] = set()
        for table, reads in self._reads.items():
            before = {
                one.key: kept(one) for one in self._inbox.under(table, [prefix(one) for one in sorted(fresh)])
            }
            known.before.update({(table, name): one for name, one in before.items()})
            held = {row.subject for (of, _), row in known.now.items() if of == table}
            found = reads.by_keys([one.values for one in before.values()])
            moved = {row.subject for row in found if name_of(row.subject, row.key) not in before}
            beyond |= moved - known.subjects - {""}
            found += reads.by_subjects(sorted(fresh), held=held)
            known.now.update({(table, row.name): row for row in found if row.subject})
        return beyond

    def _differences(self, known: _Settling) -> list[Difference]:
        rank = {table: at for at, table in enumerate(self._reads)}
        lost = sorted(known.before.keys() - known.now.keys(), key=lambda one: (-rank[one[0]], one[1]))
        found = [
            Difference(
                op=Op.DELETE,
                table=table,
                subject=known.before[table, name].subject,
                name=name,
                before=known.before[table, name],
            )
            for table, name in lost
        ]
        alike = self._alike(known)
        for (table, name), row in sorted(known.now.items(), key=lambda one: (rank[one[0][0]], one[0][1])):
            if row.subject and row.subject not in known.subjects:
                continue
            before = known.before.get((table, name))
            if before is not None and same(row, before):
                continue
            op = Op.UPDATE if before is not None else Op.SNAPSHOT if table in self._first else Op.INSERT
            others = tuple(sorted(alike.get((table, row.subject), set()) - {self._reads[table].spelt(row)}))
            found.append(
                Difference(
                    op=op,
                    table=table,
                    subject=row.subject,
                    name=name,
                    before=before,
                    after=row,
                    beside=others,
                )
            )
        return found

    def _alike(self, known: _Settling) -> dict[tuple[str, str], set[str]]:
        """By table and subject, the keys of the rows that are there now."""
        found: dict[tuple[str, str], set[str]] = {}
        for (table, _), row in known.now.items():
            if self._reads[table].one_each:
                found.setdefault((table, row.subject), set()).add(self._reads[table].spelt(row))
        return found
