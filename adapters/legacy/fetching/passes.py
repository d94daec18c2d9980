"""Passes over the tables, in steps of one chunk: each reads one snapshot and stores what it found with where it came to.

A sweep walks every row by key, then looks for the rows that it knows and has not met. A poll reads the rows whose
watermark is not below the last one's, less the window. Both only find which subjects are not as they were; what became of
them is settled by reading them whole (`looking`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from adapters.legacy.fetching.looking import Difference, Look
from adapters.legacy.fetching.progress import POSITION, Ended, Pass, Progress, told
from adapters.legacy.fetching.reads import Reads
from adapters.legacy.fetching.rows import Row, keep
from adapters.legacy.fetching.sessions import Sessions
from adapters.legacy.fetching.tables import Fetched
from adapters.legacy.fetching.values import packed, unpacked
from adapters.legacy.fetching.watermarks import Window, ahead, instead
from toolkit.core.changes import Change, Op
from toolkit.inbox import Inbox

replace = msgspec.structs.replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one capture looks: the ways of a poll and of a snapshot."""

    kind: str
    chunk: int
    images: bool
    whole_rows: bool
    window: Window


class Passes:
    """Makes steps. `tables` are the captured ones as they are now, `groups` those that share their subjects."""

    def __init__(
        self,
        source: str,
        sessions: Sessions,
        inbox: Inbox,
        manner: Manner,
        tables: Mapping[str, Fetched],
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._source, self._sessions, self._inbox = source, sessions, inbox
        self._manner, self._tables, self._clock = manner, tables, clock
        self.groups: Sequence[Sequence[str]] = ()

    # --- a step of each kind

    def sweep(self, progress: Progress) -> Progress:
        """Begin a sweep, make its next step, or end it. The first one over a table is a sweep of its own."""
        current = progress.sweep
        if current is None:
            fresh = [name for name, table in progress.tables.items() if not table.whole]
            names = tuple(fresh or progress.tables)
            began = Pass(began=self._clock(), tables=names, covers=len(names) == len(progress.tables))
            return self._move(progress, replace(progress, sweep=began))
        if not current.tables:
            ended = Ended(began=current.began, number=self._inbox.last())
            done = replace(progress, sweep=None, swept=ended if current.covers else progress.swept)
            return self._move(progress, done)
        return self._vanish(progress, current) if current.gone else self._walk(progress, current)

    def poll(self, progress: Progress) -> Progress:
        """Begin a poll of the tables that have a watermark, make its next step, or end it."""
        current = progress.poll
        if current is None:
            names = tuple(name for name, one in progress.tables.items() if one.whole and one.watermark)
            began = Pass(began=self._clock(), tables=names, covers=len(names) == len(progress.tables))
            seen = self._sessions.longest_transaction()
            longest = max(progress.longest, seen.total_seconds() if seen else 0.0)
            return self._move(progress, replace(progress, poll=began, longest=longest))
        if not current.tables:
            ended = Ended(began=current.began, number=self._inbox.last())
            done = replace(progress, poll=None, polled=ended if current.covers else progress.polled)
            return self._move(progress, done)
        return self._window(progress, current)

    # --- the parts of a pass

    def _walk(self, progress: Progress, current: Pass) -> Progress:
        name, manner = current.tables[0], self._manner
        table, state = self._tables[name], progress.tables[name]
        whole = manner.whole_rows or not state.whole  # what was never seen can only be met whole
        with self._sessions.reading() as connection:
            at = self._sessions.now(connection)
            reads = self._reads(connection, name)
            after = None if current.after is None else [unpacked(value) for value in current.after]
            if after is None and table.watermark and not state.whole:
                high = reads[name].highest()
                progress = self._begin_at(progress, name, high, at)
            page = reads[name].page(after, manner.chunk, whole=whole)
            look = self._look(reads, progress)
            found = look.changed(name, page)
            differences = look.settle(name, found, {}) if found else []
        blank = sum(1 for row in page if table.watermark and row.watermark is None)
        current = replace(
            current,
            walked=current.walked + len({row.name for row in page}),
            blank=current.blank + blank,
            after=[packed(value) for value in page[-1].key] if page else None,
        )
        if len(page) < manner.chunk:
            current = replace(current, gone=True, after=None)
        else:
            current = replace(current, after=[packed(value) for value in _last(page, manner.chunk).key])
        return self._store(progress, replace(progress, sweep=current), differences, at)

    def _vanish(self, progress: Progress, current: Pass) -> Progress:
        """Look for the rows that are kept. Where all of them were met, none can be gone since the sweep began."""
        name, state = current.tables[0], progress.tables[current.tables[0]]
        if not current.kept_after and not current.lost and current.walked == state.rows:
            return self._next_table(progress, current, [], None)
        seen = self._inbox.seen(name, after=current.kept_after, limit=self._manner.chunk)
        differences: list[Difference] = []
        at = None
        if seen:
            with self._sessions.reading() as connection:
                at = self._sessions.now(connection)
                look = self._look(self._reads(connection, name), progress)
                gone = look.gone(name, seen)
                differences = look.settle(name, [], gone) if gone else []
        if len(seen) < self._manner.chunk:
            return self._next_table(progress, current, differences, at)
        current = replace(current, kept_after=seen[-1].key)
        return self._store(progress, replace(progress, sweep=current), differences, at)

    def _next_table(
        self, progress: Progress, current: Pass, differences: Sequence[Difference], at: dt.datetime | None
    ) -> Progress:
        name = current.tables[0]
        following = Pass(began=current.began, tables=current.tables[1:], covers=current.covers)
        done = replace(progress.with_table(name, whole=True, blank=current.blank), sweep=following)
        return self._store(progress, done, differences, at)

    def _window(self, progress: Progress, current: Pass) -> Progress:
        name, manner = current.tables[0], self._manner
        state = progress.tables[name]
        high = unpacked(state.high)
        low = None if high is None else manner.window.below(high, name)
        with self._sessions.reading() as connection:
            at = self._sessions.now(connection)
            reads = self._reads(connection, name)
            after = None if current.after is None else [unpacked(value) for value in current.after]
            page = reads[name].watermarked(low, after, manner.chunk)
            look = self._look(reads, progress)
            full = len(page) == manner.chunk
            rows = page + reads[name].equals(page[-1]) if full else page
            found = look.changed(name, rows)
            differences = look.settle(name, found, {}) if found else []
        timely = [row.watermark for row in page if not ahead(row.watermark, at)]
        came_to = packed(timely[-1]) if timely else state.next_high
        done = progress.with_table(name, next_high=came_to, ahead=state.ahead or len(timely) < len(page))
        if full:
            place = [packed(value) for value in (page[-1].watermark, *page[-1].key)]
            done = replace(done, poll=replace(current, after=place))
        else:
            reached = state.high if came_to is None else came_to
            done = done.with_table(name, high=reached, next_high=None)
            done = replace(
                done, poll=Pass(began=current.began, tables=current.tables[1:], covers=current.covers)
            )
        return self._store(progress, done, differences, at)

    # --- what they share

    def _begin_at(self, progress: Progress, name: str, high: object, at: dt.datetime) -> Progress:
        late = ahead(high, at)
        begin = instead(high, at) if late else high
        return progress.with_table(name, high=packed(begin), ahead=late)

    def _reads(self, connection: object, name: str) -> dict[str, Reads]:
        group = next((one for one in self.groups if name in one), tuple(self._tables))
        inside = [one for one in group if one in self._tables]
        return {one: Reads(connection, self._tables[one], self._sessions.dialect) for one in inside}  # type: ignore[arg-type]

    def _look(self, reads: Mapping[str, Reads], progress: Progress) -> Look:
        first = [name for name, table in progress.tables.items() if not table.whole]
        return Look(reads, self._inbox, first=first)

    def _move(self, was: Progress, becomes: Progress) -> Progress:
        return self._store(was, becomes, [], None)

    def _store(
        self, was: Progress, becomes: Progress, differences: Sequence[Difference], at: dt.datetime | None
    ) -> Progress:
        becomes = replace(becomes, step=was.step + 1)
        changes, seen, gone = [], [], []
        for place, one in enumerate(differences):
            assert at is not None
            table = self._tables[one.table]
            changes.append(self._change(one, becomes, place, at))
            if one.after is None:
                gone.append((one.table, one.name))
            else:
                key, subjects = table.key_columns, table.subjects
                seen.append(keep(one.after, image=self._manner.images, key_columns=key, subjects=subjects))
        becomes = _counted(becomes, differences)
        self._inbox.put(
            changes, moved={POSITION: (self.stored, position := told(becomes))}, seen=seen, gone=gone
        )
        self.stored = position
        return becomes

    stored: str | None = None
    """the position as the inbox has it"""

    def _change(self, one: Difference, progress: Progress, place: int, at: dt.datetime) -> Change:
        look = f"{self._manner.kind}:{progress.installation}:{progress.step}"
        partial = one.before is not None and one.before.digest != ""
        before = None if one.before is None or (partial and one.op is Op.UPDATE) else one.before.image
        return Change(
            source=self._source,
            table=one.table,
            op=one.op,
            subject=one.subject,
            position=f"{look}:{place}",
            captured_at=at,
            before=before,
            after=one.after.image if one.after is not None else None,
            transaction=look,
            key=self._tables[one.table].key_columns,
            beside=one.beside,
        )


def _last(page: Sequence[Row], chunk: int) -> Row:
    """The last row in the engine's order: behind it come those whose keys it takes for equal to that one's."""
    return page[chunk - 1]


def _counted(progress: Progress, differences: Sequence[Difference]) -> Progress:
    """Rows that came to be kept, or are not any more. A sweep has to know that one it met may be gone again."""
    for one in differences:
        if one.op is Op.UPDATE:
            continue
        rows = progress.tables[one.table].rows + (1 if one.after is not None else -1)
        progress = progress.with_table(one.table, rows=rows)
        sweep = progress.sweep
        if one.after is None and sweep is not None and sweep.tables and sweep.tables[0] == one.table:
            progress = replace(progress, sweep=replace(sweep, lost=sweep.lost + 1))
    return progress
