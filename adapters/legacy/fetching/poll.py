"""Capture by `poll`: rows are found by a watermark column, and by a sweep what that column does not tell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

from adapters.legacy.fetching.capture import FetchingCapture, Schedule
from adapters.legacy.fetching.passes import Manner
from adapters.legacy.fetching.progress import Ended, Progress, TableState
from adapters.legacy.fetching.tables import Fetched
from adapters.legacy.fetching.watermarks import Window
from toolkit.core.errors import UsageError
from toolkit.inbox import Fetching
from toolkit.ports import CapturedTable, Hole, Plan
from toolkit.settings import PollSection, duration


class PollCapture(FetchingCapture):
    """Reads what the watermark says is new, with a window for what is committed late."""

    @property
    def _poll(self) -> PollSection:
        return self._section.poll

    def _scheduled(self) -> dict[str, Schedule]:
        by_poll = self._poll.promise == "poll"
        return {
            "poll": Schedule(duration(self._poll.interval), at_once=by_poll),
            "sweep": Schedule(duration(self._poll.sweep), at_once=not by_poll),
        }

    def _promised(self, progress: Progress) -> Iterable[Ended | None]:
        """A sweep that compares rows sees all that there is to see; a poll what its column tells."""
        swept = [progress.swept] if self._poll.compare == "rows" else []
        by_poll = self._poll.promise == "poll" and all(one.watermark for one in progress.tables.values())
        return [*swept, progress.polled] if by_poll else swept

    def _watermark(self, table: str) -> str:
        known = {name.upper(): column for name, column in self._poll.watermark.items()}
        return known.get(table.upper(), "")

    def plan(self, tables: Sequence[CapturedTable]) -> Plan:
        """As for any fetching capture; a table at least has to have a watermark column."""
        bare = [one.table for one in tables if not self._watermark(one.table)]
        if bare and self._poll.compare == "keys":
            raise UsageError(
                f"legacy source {self._name}: {', '.join(bare)} without a watermark column: a sweep that looks at keys alone "
                f'sees no update; write one in [legacy.{self._name}.poll], or compare = "rows"'
            )
        if len(bare) == len(tables):
            raise UsageError(
                f"legacy source {self._name}: no table has a watermark column: write "
                f'[legacy.{self._name}.poll] watermark = {{ TABLE = "COLUMN" }}, or capture = "snapshot"'
            )
        return super().plan(tables)

    def _guarantees(self, tables: Sequence[Fetched]) -> dict[str, str]:
        poll = self._poll
        bare = [table.name for table in tables if not table.watermark]
        scans = [
            f"{table.name} ({table.watermark})"
            for table in tables
            if table.watermark and table.watermark not in table.indexed
        ]
        compared = "all rows are compared" if poll.compare == "rows" else "all keys are looked at"
        told = {
            "loss": f"what a transaction longer than {poll.window} (numbers: {poll.window_count}) commits, what does not move the "
            f"watermark, and rows without one are missed by polls; the sweep finds "
            + (
                "them"
                if poll.compare == "rows"
                else 'of these only rows that came or went (compare = "keys")'
            ),
            "deletes": f"found by the sweep, every {poll.sweep}: every row that is kept is asked for by its key, and the engine says "
            "that it is gone. A row that comes back is an insert; one that moves to another subject leaves the former at the sweep",
            "intermediate states": "none: what a row was between two looks is never known",
            "stalls": "nothing in the database. Watermarks follow the polls: "
            + (
                'deletes and what the column does not tell are NOT in what they promise (promise = "sweep" waits for them)'
                if poll.promise == "poll" and not bare
                else "but wait for the sweep, which alone sees everything"
            ),
            "cost": f"every {poll.interval} the rows of the last {poll.window} are read; every {poll.sweep} {compared}, by key",
            **self._said(tables),
        }
        if bare:
            told["without a watermark"] = (
                f"{', '.join(bare)}: their changes are found by the sweep alone, which all promises wait for"
            )
        if scans:
            told["missing indexes"] = (
                f"{', '.join(scans)}: each poll reads and sorts the table; an index that begins with the column cures it"
            )
        return told

    def _holes_of(self, table: Fetched, state: TableState) -> Iterator[Hole]:
        wanted = self._watermark(table.name)
        if wanted.upper() != state.watermark.upper():
            what = f"polls read the watermark {state.watermark or '(none)'}, the settings say {wanted or '(none)'}"
            yield Hole(where=table.name, what=what, next="install capture again")
        if not table.watermark:
            return
        if table.watermark not in table.indexed:
            what = (
                f"no index begins with the watermark {table.watermark}: each poll reads and sorts the table"
            )
            yield Hole(
                where=table.name, what=what, next="index it, or poll less often (interval)", escapes=False
            )
        if state.blank:
            what = f"{state.blank} rows have no {table.watermark}: polls do not see them"
            yield Hole(
                where=table.name,
                what=what,
                next="fill the column; until then the sweep alone finds their changes",
            )
        if state.ahead:
            what = f"rows have a {table.watermark} more than a day in the future: each poll reads them again"
            yield Hole(where=table.name, what=what, next="mend these rows", escapes=False)

    def _more_holes(self, progress: Progress) -> Iterator[Hole]:
        timed = any(one.watermark and not _counts(one.high) for one in progress.tables.values())
        now = self._sessions.longest_transaction()
        longest = dt.timedelta(seconds=max(progress.longest, now.total_seconds() if now else 0.0))
        if timed and longest > self._manner.window.time:
            what = f"a transaction was open for {longest.total_seconds():.0f} s, and the window is {self._poll.window}: what it "
            yield Hole(
                where=self._name,
                what=what + "commits may lie before the window, and is found by the sweep alone",
                next=f"make [legacy.{self._name}.poll] window longer than the longest transaction",
            )


def _counts(high: object) -> bool:
    """Is this (as it is kept) a growing number?"""
    return isinstance(high, int) or (
        isinstance(high, dict) and not high.keys().isdisjoint({"decimal", "bytes"})
    )


def open_poll(fetching: Fetching) -> PollCapture:
    """The factory of the entry point."""
    section = fetching.section
    manner = Manner(
        kind="poll",
        chunk=section.chunk,
        images=section.poll.keep == "image",
        whole_rows=section.poll.compare == "rows",
        window=Window(time=duration(section.poll.window), count=section.poll.window_count),
    )
    return PollCapture(fetching, manner)
