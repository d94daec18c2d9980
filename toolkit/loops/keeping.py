"""Keep one version up to date with what it is given: fold deliveries into rows, and commit them with the checkpoint.

Folding needs no transaction and writing needs no fold, so that one batch is folded while the one before is written.
Batches are committed in their order, and what one changes is seen by the next, because `known` has it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from toolkit import commands
from toolkit.core.errors import Fenced, OffsetLost, Refused, StranglerError, UsageError
from toolkit.core.events import Catalogue
from toolkit.core.projections import Definition
from toolkit.core.records import Delivery, Record
from toolkit.loops import folding
from toolkit.loops.folding import Held, Place, Step
from toolkit.loops.known import KnownRows, Row, known_rows, weight
from toolkit.ports import Batch, Checkpoint, Clock, ParkedEvent, ReadStore, Shareable, VersionState

logger = logging.getLogger("strangler.project")


NO_TIME = dt.timedelta()
SPEAK_EVERY = dt.timedelta(seconds=1)
"""How often one of several says how all of them are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a projector spends its time: batch sizes in deliveries, times in seconds."""

    smallest: int = 200
    largest: int = 20_000
    most_bytes: int = 16_000_000
    """of event data in a batch: large events come in smaller ones"""
    patience: float = 0.5
    """how long a poll waits for the log"""
    longest_commit: float = 2.0
    """a batch that took longer is halved the next time"""
    longest_pause: float = 30.0
    park_limit: int = 10_000
    """more parked events than that are no exception any more: the projection has failed"""
    known_rows: int = 100_000
    """rows written last that are kept in memory, so that they are not read again"""
    known_bytes: int = 96_000_000
    """of memory that they take: large rows are fewer"""


class Advanced(msgspec.Struct, frozen=True, kw_only=True):
    """What one step did. `missing` says per `topic[partition]` which event has not come although later ones have."""

    deliveries: int = 0
    applied: int = 0
    parked: int = 0
    duplicates: int = 0
    early: int = 0
    malformed: int = 0
    missing: dict[str, int] = {}


@dataclass(slots=True)
class Standing:
    """Where a version stands."""

    checkpoints: dict[Place, Checkpoint] = field(default_factory=dict)
    seen: dict[Place, int] = field(default_factory=dict)
    held: Held = field(default_factory=Held)
    parked: int = 0

    @property
    def missing(self) -> dict[str, int]:
        """Per `topic[partition]`, the event that has not come although later ones have."""
        return {
            f"{topic}[{partition}]": at.sequence + 1
            for (topic, partition), at in self.checkpoints.items()
            if self.seen.get((topic, partition), 0) > at.sequence
        }


@dataclass(slots=True)
class Work:
    """What one transaction is to write, and where the version stands after it."""

    before: dict[Place, Checkpoint]
    after: Standing
    epoch: int
    claims: Mapping[Place, int] = field(default_factory=dict)
    changed: dict[object, Row | None] = field(default_factory=dict)
    absent: set[object] = field(default_factory=set)
    """of the changed keys, those whose rows the table does not have"""
    parked: list[ParkedEvent] = field(default_factory=list)
    deliveries: int = 0
    applied: int = 0
    duplicates: int = 0
    early: int = 0
    malformed: int = 0
    took: dt.timedelta = dt.timedelta()

    def add(self, arranged: folding.Arranged, folded: folding.Folded) -> None:
        """What another fold came to."""
        before, changed = self.changed, folded.changed
        self.absent.update([key for key in folded.new if key in changed and key not in before])
        if before:
            before.update(changed)
        else:
            self.changed = changed
        self.parked += folded.parked
        self.applied += folded.applied
        self.duplicates += arranged.duplicates
        self.early += arranged.early
        self.malformed += arranged.malformed

    @property
    def batch(self) -> Batch:
        """For the store."""
        changed, absent = self.changed, self.absent
        moved = [one for place, one in self.after.checkpoints.items() if one != self.before[place]]
        claims = self.claims
        return Batch(
            upserts=[row for key, row in changed.items() if row is not None and key not in absent],
            inserts=[row for key, row in changed.items() if row is not None and key in absent],
            deletes=[key for key, row in changed.items() if row is None and key not in absent],
            checkpoints=moved,
            parked=self.parked,
            claims={at: claims[at] for one in moved if (at := (one.topic, one.partition)) in claims},
            awaited=self.after.seen if claims else {},
        )

    @property
    def advanced(self) -> Advanced:
        """What it does, for people."""
        return Advanced(
            deliveries=self.deliveries,
            applied=self.applied,
            parked=len(self.parked),
            duplicates=self.duplicates,
            early=self.early,
            malformed=self.malformed,
            missing=self.after.missing,
        )


Look = Callable[[list[Step]], None]
"""Look at what was read before it is folded; raise to stop."""


class Keeper:
    """The owner of one version. `take_over` first; then for each batch `fold`, `write` and `written`, in this order.

    `write` may run on another thread while the next batch is folded. After any failure, only `take_over` tells
    where the version stands.
    """

    def __init__(
        self,
        definition: Definition,
        catalogue: Catalogue,
        store: ReadStore,
        clock: Clock,
        pace: Pace,
        *,
        topics: Mapping[str, int] | None = None,
        look: Look = lambda _steps: None,
        too_much: Callable[[int], str] | None = None,
    ) -> None:
        self.definition = definition
        self._catalogue, self._store, self._clock, self._pace = catalogue, store, clock, pace
        self._topics = topics
        self._look, self._too_much = look, too_much or self._parked_too_much
        self._known = KnownRows()
        self.ahead = self.at = Standing()
        """How far it is folded, and how far it is committed."""
        self._bytes = self._row_bytes = 0.0
        self._told = ("", "")
        self._built = False
        self._claims: dict[Place, int] = {}
        self._spoke: dt.datetime | None = None
        self.epoch: int | None = None
        self.ready = False
        """Does it know where the version stands?"""

    def take_over(self) -> None:
        """Become the only writer, whatever of ours or of others is still under way, and see where the version stands.

        With `topics`, a version that is not there is created.
        """
        self.ready = False
        name, version = self.definition.name, self.definition.version
        if self.epoch is None and self._topics is not None:
            self._store.create(self.definition, self._topics, self._clock())
        if self.epoch is not None and (epoch := self._state().epoch) != self.epoch:
            raise Fenced(
                f"{self.definition.identity}: another process has taken over since epoch {self.epoch}: {epoch}"
            )
        # Also when it is ours: a commit whose outcome we do not know ends before this does, or is refused after it.
        self.epoch = self._store.seize(name, version)
        state = self._state()
        self._told, self._built = (state.state, state.detail), state.built_at is not None
        self._claims = {}
        self._stand(folding.places(self._store.checkpoints(name, version)), {})
        self.ready = True

    def _stand(self, checkpoints: dict[Place, Checkpoint], seen: dict[Place, int]) -> None:
        """Be where the store says. What was known of rows is forgotten: others may have written them since."""
        name, version = self.definition.name, self.definition.version
        parked = self._store.parked(name, version)
        held = Held.by(parked, self._store.skipped(name, version))
        self._known = known_rows(self.definition, whole=not self._store.rows(self.definition, None, 1))
        self.at = Standing(checkpoints=checkpoints, seen=seen, held=held, parked=len(parked))
        self.ahead = self.at

    # --- with others, each the partitions that it claimed

    def join(self) -> None:
        """Become one of those who write it together, of no partition yet; a version that is not there is created."""
        name, version = self.definition.name, self.definition.version
        if self._topics is not None:
            self._store.create(self.definition, self._topics, self._clock())
        self.epoch = self._shareable.join(name, version)
        self._claims, self.at, self.ahead = {}, Standing(), Standing()
        self.ready = True

    @property
    def _shareable(self) -> Shareable:
        if isinstance(self._store, Shareable):
            return self._store
        raise UsageError(
            f"{self.definition.name} is in read_store.shared, but this read store ({type(self._store).__name__}) cannot be "
            "written by several processes at once: take it out there"
        )

    @property
    def shared(self) -> bool:
        """Does it write with others?"""
        return bool(self._claims)

    def claim(self, places: Collection[Place]) -> None:
        """Become the writer of these partitions, too, while nothing is under way. Raises Fenced, UsageError."""
        if not places:
            return
        name, version = self.definition.name, self.definition.version
        claimed = self._shareable.claim(name, version, sorted(places), epoch=self.epoch or 0)
        new = folding.places(one.checkpoint for one in claimed)
        self._claims |= {place: one.epoch for place, one in zip(new, claimed, strict=True)}
        state = self._state()
        self._told, self._built = (state.state, state.detail), state.built_at is not None
        self._stand({**self.at.checkpoints, **new}, self.at.seen)

    def give_up(self, places: Collection[Place]) -> None:
        """Write these partitions no more, while nothing is under way."""
        at = self.at
        self._claims = {place: epoch for place, epoch in self._claims.items() if place not in places}
        self.at = self.ahead = Standing(
            checkpoints={place: one for place, one in at.checkpoints.items() if place in self._claims},
            seen={place: one for place, one in at.seen.items() if place in self._claims},
            held=at.held,
            parked=at.parked,
        )

    def _state(self) -> VersionState:
        for one in self._store.versions(self.definition.name):
            if one.version == self.definition.version:
                return one
        raise Fenced(f"{self.definition.identity}: somebody has dropped it")

    # --- a batch

    def fold(self, deliveries: Sequence[Delivery], work: Work | None = None) -> Work:
        """What they change, added to work that is not written yet, or new. Raises Refused when too much is parked."""
        ahead = self.ahead
        work = work or Work(ahead.checkpoints, ahead, self.epoch or 0, dict(self._claims))
        arranged = folding.arrange(ahead.checkpoints, ahead.seen, deliveries)
        steps = folding.read(self.definition, self._catalogue, arranged.due)
        self._look(steps)
        known = self._known
        known.look_up(self.definition, steps, self._store)
        folded = folding.fold(self.definition, steps, known.rows, ahead.held, self._clock(), known.under)
        parked = self._parked_with(folded.parked)
        if folded.parked and parked > self._pace.park_limit:
            raise Refused(self._too_much(parked), [folded.parked[-1].reason])
        work.add(arranged, folded)
        work.deliveries += len(deliveries)
        held = ahead.held | Held.by(folded.parked) if folded.parked else ahead.held
        self.ahead = work.after = Standing(arranged.checkpoints, arranged.seen, held, parked)
        known.learn(folded.changed)
        self._weigh(arranged.due, folded.changed)
        return work

    def _parked_with(self, parked: Sequence[ParkedEvent]) -> int:
        """How many events are parked with these: of the version, whoever parked them."""
        known = self.ahead.parked
        if parked and self._claims:
            known = max(known, self._shareable.parked_count(self.definition.name, self.definition.version))
        return known + len(parked)

    def write(self, work: Work) -> None:
        """Commit it. Raises Fenced, Infrastructure."""
        began = self._clock()
        batch = work.batch
        if batch.checkpoints:
            self._store.commit(self.definition, batch, epoch=work.epoch, now=began)
        work.took = self._clock() - began

    def written(self, work: Work, after: Work | None = None) -> Advanced:
        """It is committed, and what comes after it is not."""
        self.at = work.after
        self._known.keep(self.room, after.changed if after else ())
        return work.advanced

    def advance(self, deliveries: Sequence[Delivery]) -> Advanced:
        """All of it, one after the other."""
        work = self.fold(deliveries)
        self.write(work)
        done = self.written(work)
        self.tell_standing()
        return done

    # --- how much at once

    def _weigh(self, due: Sequence[tuple[str, Record]], changed: Mapping[object, Row | None]) -> None:
        """How large are events, and rows? A few of them tell."""
        some = due[:: max(1, len(due) // 32)]
        if some:
            here = sum(len(record.data) for _, record in some) / len(some)
            self._bytes = max(here, (self._bytes + here) / 2)
        rows = [
            row for row in islice(changed.values(), 0, None, max(1, len(changed) // 16)) if row is not None
        ]
        if rows:
            here = sum(map(weight, rows)) / len(rows)
            self._row_bytes = max(here, (self._row_bytes + here) / 2)

    @property
    def most(self) -> int:
        """Deliveries that a batch may have."""
        pace = self._pace
        fitting = int(pace.most_bytes / self._bytes) if self._bytes else pace.largest
        return max(pace.smallest, min(pace.largest, fitting))

    @property
    def room(self) -> int:
        """Rows that may be known, and changed by one transaction."""
        pace = self._pace
        fitting = int(pace.known_bytes / self._row_bytes) if self._row_bytes else pace.known_rows
        return min(pace.known_rows, fitting)

    def next_size(self, size: int, got: int, took: dt.timedelta) -> int:
        """Small batches while little comes, for latency; large ones to catch up, as long as commits stay short."""
        if took.total_seconds() > self._pace.longest_commit:
            return max(self._pace.smallest, size // 2)
        return min(self.most, size * 2) if got >= size else max(self._pace.smallest, size // 2)

    # --- saying how it is

    def _parked_too_much(self, parked: int) -> str:
        return (
            f"{self.definition.identity}: {parked} events are parked, more than {self._pace.park_limit} (read_store.park_limit): "
            f"mend the rule, then run `{commands.replay_events(self.definition.name)}`"
        )

    def lost(self, error: OffsetLost) -> OffsetLost:
        """The log went on without this version: which one has to be rebuilt."""
        name, version = self.definition.name, self.definition.version
        advice = (
            f"It serves reads: raise version= in the code and run `{commands.rebuild(name, version + 1)}`"
            if self._state().serving
            else f"Run `{commands.rebuild(name, version)}`: it goes on from the archive"
        )
        return OffsetLost(*error.place, advice, self.definition.identity)

    def tell_standing(self) -> None:
        """Say that it runs, is being built, or waits for events that are missing."""
        if self._claims:
            self._tell_for_all()
            return
        checkpoints = self.at.checkpoints.values()
        self._built = self._built or all(one.as_of is not None for one in checkpoints)
        self.tell(*_told(self.at.missing, built=self._built))

    def _tell_for_all(self) -> None:
        """The same of all who write it together: each has told of its own partitions beside where they stand.

        Who failed has the word, until others have gone on with all partitions: with what it left, too.
        """
        now = self._clock()
        if self._spoke is not None and NO_TIME <= now - self._spoke < SPEAK_EVERY:  # our clock may be set
            return
        self._spoke = now
        name, version = self.definition.name, self.definition.version
        state = self._state()
        missing = {f"{at[0]}[{at[1]}]": first for at, first in self._shareable.awaited(name, version).items()}
        built = state.built_at is not None or all(
            one.as_of is not None for one in self._store.checkpoints(name, version)
        )
        told = _told(missing, built=built)
        if told != (state.state, state.detail):
            self._shareable.tell(name, version, *told, epoch=self.epoch or 0, now=now)

    def tell(self, state: str, detail: str) -> None:
        """Write the state down when it changes."""
        if (state, detail) == self._told:
            return
        name, version = self.definition.name, self.definition.version
        self._store.set_state(name, version, state, detail, epoch=self.epoch or 0, now=self._clock())
        self._told = (state, detail)

    def failed(self, error: Exception) -> None:
        """Leave the reason where status looks for it; the error itself is raised anyway."""
        said = str(error) if isinstance(error, StranglerError) else f"{type(error).__name__}: {error}"
        try:
            if self.epoch is not None:
                self._told = ("", "")  # it may have failed so before, and others have gone on since
                self.tell("failed", said)
        except StranglerError as other:
            logger.warning("%s: could not note its failure: %s", self.definition.identity, other)


def _told(missing: Mapping[str, int], *, built: bool) -> tuple[str, str]:
    """State and detail of a version that goes on."""
    if not missing:
        return ("running" if built else "building"), ""
    lacks = ", ".join(f"event {sequence} of {place}" for place, sequence in missing.items())
    return "waiting", f"{lacks} has not come, although later ones have: does the relay run?"
