"""Partitions of a log that divides nothing by itself: who reads which is said by leases in the state database."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from toolkit.core.errors import Infrastructure, LeaseHeld
from toolkit.core.projections import Definition
from toolkit.core.records import Delivery
from toolkit.loops.following import lease_name, part_name
from toolkit.loops.keeping import logger
from toolkit.loops.sharing import Sharing
from toolkit.ports import Clock, Consumer, Grouped, Holder, LeaseList, Leases, Log, Member
from toolkit.ports.log import Place

TTL = dt.timedelta(seconds=10)
"""How long what a process read that died is read by nobody."""
LOOK_EVERY = 0.5
"""Seconds."""


MakeMember = Callable[[int, Holder], Member]
"""By the epoch that the members have in common."""


def members(
    log: Log,
    definition: Definition,
    topics: Mapping[str, int],
    leases: Leases,
    known: LeaseList,
    owner: str,
    clock: Clock,
    **pace: Any,
) -> MakeMember:
    """What makes the members of those who follow a version together: in the log's own group, or by leases."""

    def member(epoch: int, holder: Holder) -> Member:
        if isinstance(log, Grouped):
            # The epoch makes it the group of this read store alone, and no zombie of an older one is in it.
            group = f"strangler.{definition.name}.v{definition.version}.{epoch}"
            return log.member(group, list(topics), holder)
        name = lease_name(definition)
        return LeasedMember(
            name, topics, log.consumer(), holder, leases, known, owner=owner, clock=clock, **pace
        )

    return member


class LeasedMember:
    """Implements `toolkit.ports.Member` over a log's consumer."""

    def __init__(
        self,
        group: str,
        topics: Mapping[str, int],
        consumer: Consumer,
        holder: Holder,
        leases: Leases,
        known: LeaseList,
        *,
        owner: str,
        clock: Clock,
        look_every: float = LOOK_EVERY,
        ttl: dt.timedelta = TTL,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = {
            (topic, number): part_name(group, topic, number)
            for topic, partitions in topics.items()
            for number in range(partitions)
        }
        self._consumer, self._holder, self._leases = consumer, holder, leases
        self._owner, self._clock, self._ttl = owner, clock, ttl
        self._sharing = Sharing(group, self._names, leases, known, owner=owner, clock=clock)
        self._epochs: dict[Place, int] = {}
        self._look_every, self._sleep, self._monotonic = look_every, sleep, monotonic
        self._looked = self._renewed = -float("inf")

    def poll(self, limit: int, timeout: dt.timedelta) -> list[Delivery]:
        """Up to `limit` deliveries of the partitions that it leads by now. Raises Fenced when one was taken from it."""
        if self._monotonic() - self._looked >= self._look_every:
            self._look()
            self._looked = self._monotonic()
        patience = min(timeout.total_seconds(), self._look_every)
        if not self._epochs:
            self._sleep(patience)
            return []
        return self._consumer.poll(limit, dt.timedelta(seconds=patience))

    def close(self) -> None:
        """Give the leases back."""
        self._consumer.close()
        try:
            self._release(list(self._epochs))
        except Infrastructure as error:
            logger.warning("%s: partitions could not be given back: %s", self._owner, error)
        self._sharing.leave()

    def _look(self) -> None:
        """Renew what it leads, give what is more than its part, take what is free."""
        wanted = self._sharing.look()
        if self._monotonic() - self._renewed >= self._ttl.total_seconds() / 4:
            for place, epoch in self._epochs.items():
                self._leases.renew(self._names[place], epoch, self._ttl, self._clock())
            self._renewed = self._monotonic()
        given = [place for place in self._epochs if self._sharing.gives(place)]
        if given:
            self._consumer.assign(self._holder.give(given))
            self._release(given)
        free = [place for place in wanted if place not in self._epochs and place not in given]
        taken = [place for place in free if self._lead(place)]
        if taken:
            self._consumer.assign(self._holder.take(taken))

    def _lead(self, place: Place) -> bool:
        try:
            self._epochs[place] = self._leases.acquire(
                self._names[place], self._owner, self._ttl, self._clock()
            )
        except LeaseHeld as error:
            self._sharing.refused(place, error)
            return False
        return True

    def _release(self, places: Collection[Place]) -> None:
        for place in places:
            self._leases.release(self._names[place], self._epochs.pop(place), self._clock())
