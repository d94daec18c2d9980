"""What waits on the way from a legacy commit to a view, place by place, and what stands in the way there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from toolkit import commands
from toolkit.core.ailments import Ailment
from toolkit.cutover.facts import Around, Attempts, backfilled
from toolkit.cutover.gates import Parked
from toolkit.diagnosis import USUAL, Diagnosis, Patient
from toolkit.ports import Checkpoint, LeaseState, VersionState
from toolkit.questions.leading import leaderless, leaders
from toolkit.questions.stalling import Blocker, silence, stalled

_HOLDS_THE_RELAY = (Blocker.LEGACY, Blocker.CAPTURE, Blocker.BACKFILL, Blocker.PAUSED)
"""Where one of these is told, nothing that is archived is published before it is gone."""


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of the way from a legacy commit to the view: how many things wait there. None: it cannot be said.

    `oldest` is the time of the event that waits for longest, where that is known.
    """

    name: str
    waiting: int | None
    unit: str
    cause: str = ""
    blocker: Blocker | None = None
    next: str = ""
    oldest: dt.datetime | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one serving version."""

    state: VersionState | None
    checkpoints: list[Checkpoint]
    parked: int


class Hops:
    """What waits in each place, and what stands in the way there."""

    def __init__(
        self,
        around: Around,
        source: str,
        topic: str,
        watermark: dt.datetime | None,
        now: dt.datetime | None,
        leases: Sequence[LeaseState],
        attempts: Attempts,
    ) -> None:
        self._around, self._source, self._topic = around, source, topic
        self._watermark, self._now, self._leases = watermark, now, leases
        self._attempts = attempts
        self.last: Mapping[int, int] | None = attempts.get(
            ("archive",), lambda: around.archive.last_sequences(topic), None
        )

    def all_of(
        self, versions: Mapping[str, int], seen: Mapping[str, Seen], parked: Sequence[Parked] | None
    ) -> tuple[Hop, ...]:
        """The whole way, in order."""
        views = (self.projecting(name, version, seen[name]) for name, version in versions.items())
        capturing = self.capturing()
        return (capturing, *self.translating(parked), self.publishing(capturing.blocker), *views)

    def translating(self, parked: Sequence[Parked] | None) -> tuple[Hop, ...]:
        """From what was captured to an event, where no translator could: by source, what the view may lack of it."""
        if parked is None:
            return (Hop(name=f"parked changes of {self._source} -> archived", waiting=None, unit="changes"),)
        return tuple(_untranslated(one) for one in parked)

    def capturing(self) -> Hop:
        """From the legacy commit to the archive."""
        around, source, attempts = self._around, self._source, self._attempts
        name = f"committed in {source} -> archived"
        capture = around.legacy[source].capture
        unknown = partial(Hop, name=name, waiting=None, unit="changes")
        if self._now is None:  # it did not tell its time: each further question would wait for it again
            return unknown(cause=f"{source} does not answer", blocker=Blocker.LEGACY, next=commands.DOCTOR)
        if attempts.get(("capture",), lambda: not capture.installed(), False):
            return unknown(
                cause=f"nothing of {source} is captured",
                blocker=Blocker.CAPTURE,
                next=commands.INSTALL_CAPTURE,
            )
        waiting = attempts.get(("capture",), lambda: capture.behind(capture.horizon()), None)
        cause, blocker, next_step = self._why_nothing_comes()
        return Hop(name=name, waiting=waiting, unit="changes", cause=cause, blocker=blocker, next=next_step)

    def _why_nothing_comes(self) -> tuple[str, Blocker | None, str]:
        around, source, attempts = self._around, self._source, self._attempts
        pauses = around.pauses
        pause = attempts.get(("pauses",), lambda: pauses.of(source) if pauses is not None else None, None)
        if pause is not None:
            cause = f"paused by {pause.who} since {pause.since:%Y-%m-%d %H:%M}Z: {pause.why}"
            return cause, Blocker.PAUSED, commands.RESUME
        nothing: dict[str, bool] = {}
        read = attempts.get(("backfill",), lambda: backfilled(around, source), nothing)
        unread = [tables for tables, done in read.items() if not done]
        if unread:
            cause = f"the history of {'; '.join(unread)} is not read to its end: no watermark promises anything before (a backfill leads the source: stop its relay first)"
            return cause, Blocker.BACKFILL, commands.BACKFILL
        here = around.clock()
        alone = leaderless(around, self._source, self._leases, here)
        cause = silence(self._watermark, self._now, here, self._leases, alone)
        if not cause:
            return "", None, ""
        if (open_ := self._open_transaction()) is not None:
            return f"{cause}; and in {source}: {open_.what}", Blocker.TRANSACTION, open_.next
        return cause, Blocker.RELAY, self._who_comes_next(alone)

    def _who_comes_next(self, alone: Sequence[str]) -> str:
        """A relay, where nobody leads; beside one that leads, another would only stand by."""
        return commands.RELAY if alone else commands.DOCTOR

    def _open_transaction(self) -> Ailment | None:
        """A legacy transaction that has been open for long: what it wrote is in no view, and a way of capture may wait for it."""
        source = self._around.legacy[self._source]
        if not isinstance(source, Diagnosis):
            return None
        patient = Patient(where=f"legacy.{self._source}", limits=USUAL)
        checks = [one for one in source.checks(patient) if one.name == "long transactions"]
        nothing: list[Ailment] = []
        found = self._attempts.get(("legacy",), lambda: [it for one in checks for it in one.ask()], nothing)
        return found[0] if found else None

    def publishing(self, before: Blocker | None) -> Hop:
        """From the archive to the log; `before` is what stands in the way of the changes before them."""
        name, unit = f"archived -> published to {self._topic}", "events"
        archive, topic = self._around.archive, self._topic
        waiting = self._attempts.get(("archive",), lambda: archive.backlog(topic), None)
        if not waiting:
            return Hop(name=name, waiting=waiting, unit=unit)
        oldest = self._attempts.get(("archive",), self._oldest_unpublished, None)
        since = f", the oldest of {oldest:%Y-%m-%d %H:%M:%S}Z" if oldest is not None else ""
        why, next_step = ("", "") if before in _HOLDS_THE_RELAY else self._why_unpublished()
        many = "1 event is" if waiting == 1 else f"{waiting} events are"
        return Hop(
            name=name,
            waiting=waiting,
            unit=unit,
            cause=f"{many} archived and not in the log{since}{why}" if why else "",
            blocker=Blocker.RELAY if why else None,
            next=next_step,
            oldest=oldest,
        )

    def _oldest_unpublished(self) -> dt.datetime | None:
        partitions = self._around.project.settings.log.partitions
        waiting = self._around.archive.unpublished(self._topic, partitions)  # the first of each
        return min((one.envelope.time for one in waiting), default=None)

    def _why_unpublished(self) -> tuple[str, str]:
        """Why they are not, and what to do; nothing while somebody leads who gets on: they are on their way."""
        here = self._around.clock()
        alone = leaderless(self._around, self._source, self._leases, here)
        if alone:
            return f": nobody leads {', '.join(alone)}, so nobody publishes them", self._who_comes_next(alone)
        if not silence(self._watermark, self._now, here, self._leases):
            return "", ""
        leader = leaders(self._leases, here)
        return f", although {leader}: it is busy, or the log does not take them", self._who_comes_next(alone)

    def projecting(self, projection: str, version: int, seen: Seen) -> Hop:
        """From the log to a view."""
        name, log, topic = f"published -> {projection} v{version}", self._around.log, self._topic
        mine = [one for one in seen.checkpoints if one.topic == topic]
        published = self._attempts.get(("archive",), lambda: self._next_published(mine), None)
        # Asked after it: what the log got by then, it has, or has lost.
        bounds = self._attempts.get(("log",), lambda: log.bounds(topic) if log is not None else {}, None)
        if seen.state is None or bounds is None or published is None or self.last is None:
            return Hop(name=name, waiting=None, unit="events")
        waiting = sum(max(0, self.last.get(one.partition, 0) - one.sequence) for one in mine)
        stall = stalled(seen.state, mine, published, bounds, self._watermark)
        if stall is not None:
            return Hop(
                name=name,
                waiting=waiting,
                unit="events",
                cause=stall.cause,
                blocker=stall.blocker,
                next=stall.next,
            )
        if seen.parked:
            return Hop(
                name=name,
                waiting=waiting,
                unit="events",
                cause=self._parked(projection, version),
                blocker=Blocker.PARKED,
                next=commands.PARKED,
            )
        return Hop(name=name, waiting=waiting, unit="events")

    def _next_published(self, checkpoints: Sequence[Checkpoint]) -> Mapping[int, int]:
        """By partition, where the log got the next event that the view waits for, as far as it did."""
        last = self.last or {}
        wanted = {
            one.partition: one.sequence + 1
            for one in checkpoints
            if one.sequence < last.get(one.partition, 0)
        }
        return self._around.archive.offsets(self._topic, wanted) if wanted else {}

    def _parked(self, projection: str, version: int) -> str:
        events = self._around.read_store.parked(projection, version)
        first = next((one for one in events if not one.held), None)
        if first is None:
            return f"{len(events)} events are parked"
        record = first.record
        return (
            f"{len(events)} events are parked, and their rows stand still; the first: {record.envelope.type} of "
            f"{record.envelope.subject} ({record.envelope.id}, {first.topic}[{record.partition}] event "
            f"{record.sequence}): {first.reason}"
        )


def _untranslated(parked: Parked) -> Hop:
    name = f"parked {parked.where} -> archived"
    if not parked.count:
        return Hop(name=name, waiting=0, unit="changes")
    many = "1 change is" if parked.count == 1 else f"{parked.count} changes are"
    behind = f" ({parked.held} of them only held back behind others)" if parked.held else ""
    return Hop(
        name=name,
        waiting=parked.count,
        unit="changes",
        cause=f"{many} parked{behind}: no event tells of them, so the view may lack their effect; the first: {parked.reason}",
        blocker=Blocker.PARKED,
        next=f"{commands.PARKED}; mend the rule, then {parked.next}",
    )
