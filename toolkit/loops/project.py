"""Project: read the log, fold its events into the rows of one version of a projection, and commit both together.

Where it stands is in the read store, in the transaction of the rows (R4): never in the log's consumer groups.
Who took over a version last owns it; a zombie's next commit is refused.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from toolkit import commands
from toolkit.core.errors import Fenced, Infrastructure, OffsetLost, Refused, StranglerError
from toolkit.core.events import Catalogue
from toolkit.core.projections import Definition
from toolkit.loops import folding
from toolkit.loops.folding import Held, Place
from toolkit.ports import Batch, Checkpoint, Clock, Consumer, Log, ReadStore

logger = logging.getLogger("strangler.project")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a projector spends its time: batch sizes in deliveries, times in seconds."""

    smallest: int = 200
    largest: int = 5000
    patience: float = 0.5
    """how long a poll waits for the log"""
    longest_commit: float = 2.0
    """a batch that took longer is halved the next time"""
    longest_pause: float = 30.0
    park_limit: int = 10_000
    """more parked events than that are no exception any more: the projection has failed"""


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
class _Standing:
    """Where the projector stands, as its last commit left it."""

    checkpoints: dict[Place, Checkpoint] = field(default_factory=dict)
    seen: dict[Place, int] = field(default_factory=dict)
    held: Held = field(default_factory=Held)
    parked: int = 0


class Projector:
    """Runs one version of a projection. `start` first; then `advance`, or `run` until it is told to stop."""

    def __init__(
        self,
        definition: Definition,
        catalogue: Catalogue,
        store: ReadStore,
        log: Log,
        topics: Mapping[str, int],
        clock: Clock,
        pace: Pace | None = None,
    ) -> None:
        self.definition = definition
        self._catalogue, self._store, self._log = catalogue, store, log
        self._topics, self._clock = topics, clock
        self._pace = pace or Pace()
        self._consumer: Consumer | None = None
        self._at = _Standing()
        self._told = ("", "")
        self._built = False
        self.epoch: int | None = None

    # --- beginning

    def start(self) -> None:
        """Create the version if it is not there, take it over, and go to where its last commit left it."""
        name, version = self.definition.name, self.definition.version
        if self.epoch is None:
            self._store.create(self.definition, self._topics, self._clock())
            self.epoch = self._store.seize(name, version)
        states = {one.version: one for one in self._store.versions(name)}
        self._told = (states[version].state, states[version].detail)
        self._built = states[version].built_at is not None
        checkpoints = folding.places(self._store.checkpoints(name, version))
        parked = self._store.parked(name, version)
        held = Held.by(parked, self._store.skipped(name, version))
        self._at = _Standing(checkpoints=checkpoints, held=held, parked=len(parked))
        try:
            self._assign()
        except OffsetLost as error:
            raise self._lost(error) from error

    def _assign(self) -> None:
        if self._consumer is None:
            self._consumer = self._log.consumer()
        self._consumer.assign(
            {
                (topic, partition): self._at.checkpoints[topic, partition].next_offset
                for topic, partitions in self._topics.items()
                for partition in range(partitions)
            }
        )

    # --- one step

    def advance(self, limit: int | None = None) -> Advanced:
        """Poll once and commit what came. Raises Fenced, Infrastructure, Refused (too much is parked)."""
        if self._consumer is None or self.epoch is None:
            raise RuntimeError("start the projector first")
        patience = dt.timedelta(seconds=self._pace.patience)
        try:
            deliveries = self._consumer.poll(limit or self._pace.largest, patience)
        except OffsetLost as error:
            raise self._lost(error) from error
        if not deliveries:
            return Advanced(missing=self._missing())
        arranged = folding.arrange(self._at.checkpoints, self._at.seen, deliveries)
        steps = folding.read(self.definition, self._catalogue, arranged.due)
        rows = self._store.load(self.definition, folding.keys(steps))
        folded = folding.fold(self.definition, steps, rows, self._at.held, self._clock())
        parked = self._at.parked + len(folded.parked)
        if folded.parked and parked > self._pace.park_limit:
            raise Refused(self._too_much(parked), [folded.parked[-1].reason])
        self._commit(arranged, folded)
        self._at = _Standing(
            checkpoints=arranged.checkpoints,
            seen=arranged.seen,
            held=self._at.held | Held.by(folded.parked),
            parked=parked,
        )
        self._tell_standing()
        return Advanced(
            deliveries=len(deliveries),
            applied=folded.applied,
            parked=len(folded.parked),
            duplicates=arranged.duplicates,
            early=arranged.early,
            malformed=arranged.malformed,
            missing=self._missing(),
        )

    def _commit(self, arranged: folding.Arranged, folded: folding.Folded) -> None:
        moved = [
            checkpoint
            for place, checkpoint in arranged.checkpoints.items()
            if checkpoint != self._at.checkpoints[place]
        ]
        batch = Batch(upserts=folded.upserts, deletes=folded.deletes, checkpoints=moved, parked=folded.parked)
        if moved:
            self._store.commit(self.definition, batch, epoch=self.epoch or 0, now=self._clock())

    def _lost(self, error: OffsetLost) -> OffsetLost:
        """The log went on without this version: which one has to be rebuilt."""
        name, version = self.definition.name, self.definition.version
        serves = any(one.serving and one.version == version for one in self._store.versions(name))
        advice = (
            f"It serves reads: raise version= in the code and run `{commands.rebuild(name, version + 1)}`"
            if serves
            else f"Run `{commands.rebuild(name, version)}`: it goes on from the archive"
        )
        return OffsetLost(*error.place, advice, self.definition.identity)

    def _too_much(self, parked: int) -> str:
        return (
            f"{self.definition.identity}: {parked} events are parked, more than {self._pace.park_limit} (read_store.park_limit): "
            f"mend the rule, then run `{commands.replay_events(self.definition.name)}`"
        )

    # --- saying how it is

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """How far the projector has come."""
        return list(self._at.checkpoints.values())

    def _missing(self) -> dict[str, int]:
        return {
            f"{topic}[{partition}]": at.sequence + 1
            for (topic, partition), at in self._at.checkpoints.items()
            if self._at.seen.get((topic, partition), 0) > at.sequence
        }

    def _tell_standing(self) -> None:
        missing = self._missing()
        self._built = self._built or all(one.as_of is not None for one in self._at.checkpoints.values())
        if missing:
            lacks = ", ".join(f"event {sequence} of {place}" for place, sequence in missing.items())
            self._tell("waiting", f"{lacks} has not come, although later ones have: does the relay run?")
        else:
            self._tell("running" if self._built else "building", "")

    def _tell(self, state: str, detail: str) -> None:
        """Write the state down when it changes."""
        if (state, detail) == self._told:
            return
        name, version = self.definition.name, self.definition.version
        self._store.set_state(name, version, state, detail, epoch=self.epoch or 0, now=self._clock())
        self._told = (state, detail)

    # --- the loop

    def run(self, stop: threading.Event, *, report: Callable[[Advanced], None] = lambda _: None) -> None:
        """Advance until `stop`. What is not there is waited for with growing pauses; what is wrong is said and raised."""
        size, pause, started = self._pace.smallest, 0.0, False
        try:
            while not stop.is_set():
                try:
                    if not started:
                        self.start()
                        started = True
                    began = self._clock()
                    done = self.advance(size)
                except Infrastructure as error:
                    # The outcome of a commit may be unknown: only the store can say where it left us.
                    started, pause = False, min(max(pause * 2, 0.5), self._pace.longest_pause)
                    logger.warning("%s: %s; again in %.1f s", self.definition.identity, error, pause)
                    stop.wait(pause)
                    continue
                report(done)
                pause, size = 0.0, self._next_size(size, done.deliveries, self._clock() - began)
        except Fenced:
            raise
        except Exception as error:
            self._fail(error)
            raise
        finally:
            self.close()

    def _next_size(self, size: int, got: int, took: dt.timedelta) -> int:
        """Small batches while little comes, for latency; large ones to catch up, as long as commits stay short."""
        if took.total_seconds() > self._pace.longest_commit:
            return max(self._pace.smallest, size // 2)
        return min(self._pace.largest, size * 2) if got >= size else max(self._pace.smallest, size // 2)

    def _fail(self, error: Exception) -> None:
        """Leave the reason where status looks for it; the error itself is raised anyway."""
        said = str(error) if isinstance(error, StranglerError) else f"{type(error).__name__}: {error}"
        try:
            if self.epoch is not None:
                self._tell("failed", said)
        except StranglerError as other:
            logger.warning("%s: could not note its failure: %s", self.definition.identity, other)

    def close(self) -> None:
        """Give back the consumer; the version stays ours until somebody else takes it over."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
