"""One of several processes that follow a version together, each the partitions that fall to it.

Who reads what is said by the log's consumer group, or by leases; neither is believed when it comes to writing. Where a
partition stands, and who may move it, is in the read store: who gets it claims it there, and a zombie's commit is refused.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from toolkit.core.apart import Apart
from toolkit.core.errors import Fenced, Infrastructure, LeaseHeld, OffsetLost, Refused
from toolkit.core.events import Catalogue
from toolkit.core.projections import Definition
from toolkit.loops.folding import Step
from toolkit.loops.following import LOOK_EVERY, Report, borrowed, lease_name, stops
from toolkit.loops.keeping import Keeper, Pace, logger
from toolkit.loops.leased import MakeMember
from toolkit.loops.stream import Stream
from toolkit.ports import Clock, LeaseList, Leases, Member, ReadStore
from toolkit.ports.log import Place


class _Left(Exception):
    """Nobody is to follow the version any more."""


class Worker:
    """Follows the log for a version, with all others that do, until told to stop. Implements `toolkit.ports.Holder`."""

    def __init__(
        self,
        definition: Definition,
        catalogue: Catalogue,
        store: ReadStore,
        topics: Mapping[str, int],
        stray: Callable[[Step], str],
        member: MakeMember,
        leases: Leases,
        known: LeaseList,
        owner: str,
        clock: Clock,
        pace: Pace | None = None,
        *,
        report: Report = lambda _: None,
        look_every: float = LOOK_EVERY,
        left: Callable[[], bool] = lambda: False,
    ) -> None:
        self._left = left
        self._definition, self._store, self._clock = definition, store, clock
        self._catalogue, self._topics, self._pace = catalogue, topics, pace or Pace()
        self._stray = stray
        self._member_of, self._leases, self._known, self._owner = member, leases, known, owner
        self._report, self._look_every = report, look_every
        self.said = ""
        """What it told last of how it follows."""
        self._keeper = self._new()
        self._stream: Stream | None = None

    def _new(self) -> Keeper:
        return Keeper(
            self._definition,
            self._catalogue,
            self._store,
            self._clock,
            self._pace,
            topics=self._topics,
            look=self._look,
        )

    def _look(self, steps: list[Step]) -> None:
        """No two processes may write one row, whatever a translator or an upcaster says of subjects."""
        for step in steps:
            if step.key is not None and (stray := self._stray(step)):
                what = f"{self._definition.identity} cannot be shared: {stray}"
                raise Refused(what, ["take it out of read_store.shared, and start its processes again"])

    @property
    def places(self) -> list[Place]:
        """The partitions that it reads now."""
        return sorted(self._keeper.at.checkpoints)

    # --- the loop

    def run(self, stop: threading.Event) -> None:
        """Join, read, and join again after whatever went wrong; what is wrong with the version is said and raised.

        Ends by itself when nobody is to follow the version any more.
        """
        try:
            self._run(stop)
        except _Left:
            return
        except Exception:
            if not stops(self._definition, self._left):
                raise

    def _run(self, stop: threading.Event) -> None:
        pause = 0.0
        with ThreadPoolExecutor(1, f"write {self._definition.identity}") as writer:
            while not stop.is_set():
                try:
                    if self._join():
                        pause = 0.0
                        self._read(stop, writer)
                    else:
                        stop.wait(self._look_every)
                except Fenced as error:
                    logger.info("%s: begins anew: %s", self._definition.identity, error)
                    stop.wait(self._look_every)
                except Infrastructure as error:
                    pause = min(max(pause * 2, 0.5), self._pace.longest_pause)
                    logger.warning("%s: %s; again in %.1f s", self._definition.identity, error, pause)
                    stop.wait(pause)

    def _join(self) -> bool:
        """Write the version with others, unless somebody has it to himself."""
        self._keeper = self._new()  # what the one before knew may not be so
        alone = next((one for one in self._known.leases() if one.name == lease_name(self._definition)), None)
        if alone is not None and alone.expires_at > self._clock():
            self._say(f"waits for {alone.owner}, which follows it alone")
            return False
        try:
            with borrowed(self._leases, self._definition, self._owner, self._clock):
                if stops(self._definition, self._left):
                    raise _Left
                self._keeper.join()
        except LeaseHeld as error:
            logger.debug("%s: %s", self._definition.identity, error)
            return False
        self._say("follows the log with others")
        return True

    def _say(self, what: str) -> None:
        if what != self.said:
            self.said = what
            logger.info("%s: %s", self._definition.identity, what)

    def _read(self, stop: threading.Event, writer: ThreadPoolExecutor) -> None:
        stream = self._stream = Stream(self._keeper, writer, self._report)
        member = self._member_of(self._keeper.epoch or 0, self)
        try:
            while not stop.is_set():
                self._step(member, stream)
            stream.settle()
        except OffsetLost as error:
            raise self._failed(self._keeper.lost(error)) from error
        except (Fenced, Infrastructure):
            raise
        except Exception as error:
            raise self._failed(error) from error
        finally:
            stream.abandon()
            member.close()

    def _step(self, member: Member, stream: Stream) -> None:
        patience = stream.patience(dt.timedelta(seconds=self._pace.patience))
        deliveries = member.poll(stream.wants, patience)
        ours = self._keeper.at.checkpoints
        stream.take([one for one in deliveries if (one.at.topic, one.at.partition) in ours])

    def _failed(self, error: Exception) -> Exception:
        if self._stream is not None:
            self._stream.abandon()
        self._keeper.failed(error)
        return error

    # --- what falls to it

    def take(self, places: Collection[Place]) -> Mapping[Place, int]:
        """These partitions are ours from now on, from where the store says that they stand."""
        self._settle()
        self._keeper.claim(places)
        logger.info("%s: reads %s", self._definition.identity, _listed(places))
        return self._positions

    def give(self, places: Collection[Place]) -> Mapping[Place, int]:
        """What is under way is committed before they are another's."""
        self._settle()
        self._keeper.give_up(places)
        logger.info("%s: gives up %s", self._definition.identity, _listed(places))
        return self._positions

    def _settle(self) -> None:
        if self._stream is not None:
            self._stream.settle()

    @property
    def _positions(self) -> dict[Place, int]:
        return {place: one.next_offset for place, one in self._keeper.at.checkpoints.items()}


def strayed(apart: Apart, topic: str) -> Callable[[Step], str]:
    """What says of an event why its row may be another process's, too; nothing where it cannot be."""

    def stray(step: Step) -> str:
        envelope, subject = step.record.envelope, apart.subject(step.key)
        if envelope.subject != subject:
            return f"event {envelope.id} of the subject {envelope.subject!r} is about a row of {subject!r}"
        if step.topic != topic:
            return f"event {envelope.id} came by {step.topic}, and others of its rows come by {topic}"
        return ""

    return stray


def _listed(places: Collection[Place]) -> str:
    return ", ".join(f"{topic}[{number}]" for topic, number in sorted(places))
