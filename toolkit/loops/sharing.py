"""Who leads which parts of a work: its processes divide them evenly, and make good what one leaves.

The parts are the shards of a source that is relayed, or the partitions that a projection reads of a SQL log. Leases say
who leads what. A process that leads nothing shows itself by a lease of its own (`standby:SOURCE`), so that others give
parts up for it. What a dead process led is free when its leases have run out.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from toolkit.core.errors import Fenced, Infrastructure, LeaseHeld
from toolkit.core.shards import Shard
from toolkit.ports import (
    Answer,
    Capture,
    Divisible,
    LeaseList,
    Leases,
    LeaseState,
    LegacySource,
)

log = logging.getLogger("strangler.relay")

ALONE = " (--shard)"
"""Behind the name of an owner who leads the one shard that he was told to, and takes no other."""
_TTL = dt.timedelta(seconds=15)
_QUIET = dt.timedelta(seconds=30)
_LEFT_OVER = dt.timedelta(seconds=5)
"""What was free for so long is taken by anybody: who would have been next in turn cannot."""


P = TypeVar("P", bound=Hashable)
"""A part."""


class Turn(msgspec.Struct, Generic[P], frozen=True, kw_only=True):
    """What a process does about the parts of a work now."""

    lead: tuple[P, ...] = ()
    give: tuple[P, ...] = ()
    standby: bool = False


def decide(
    parts: Sequence[P],
    held: Mapping[P, LeaseState],
    waiting: str | None,
    me: str,
    now: dt.datetime,
) -> Turn[P]:
    """Lead what is free while this process leads no more than anybody else, and give up what is more than its part.

    `waiting` is the owner who leads nothing and would like to.
    """
    leader = {part: one.owner for part, one in held.items() if one.expires_at > now}
    own = [part for part in parts if leader.get(part) == me]
    free = [part for part in parts if part not in leader]
    counts = Counter(owner for owner in leader.values() if not owner.endswith(ALONE))
    counts[me] += 0
    if waiting is not None:
        counts[waiting] += 0
    divided = [part for part in parts if not leader.get(part, "").endswith(ALONE)]
    least, rest = divmod(len(divided), len(counts))
    most, poorest = least + (rest > 0), min(counts.values())
    taken = free[: max(0, most - len(own))] if len(own) <= poorest else []
    left_over = [
        one for one in free if one in held and now - held[one].expires_at > _LEFT_OVER and one not in taken
    ]
    give: list[P] = []
    if not free and len(own) > most:
        give = own[most:]
    elif not free and len(own) > least > poorest:
        give = own[-1:]
    return Turn(lead=(*own, *taken, *left_over), give=tuple(give), standby=not own and not free)


class Sharing(Generic[P]):
    """One process's part in leading a work. `look` once a second or so; ask `gives` between two passes.

    `parts` are all of its parts, each with the name of the lease of who leads it.
    """

    def __init__(
        self,
        work: str,
        parts: Mapping[P, str],
        leases: Leases,
        known: LeaseList,
        *,
        owner: str,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._work, self._parts = work, parts
        self._leases, self._known = leases, known
        self._owner, self._clock = owner, clock
        self._epoch: int | None = None
        self._given: frozenset[P] = frozenset()
        self._said: dict[P, dt.datetime] = {}

    def look(self) -> tuple[P, ...]:
        """The parts that this process should lead by now; those that it leads already, too."""
        now = self._clock()
        known = {one.name: one for one in self._known.leases()}
        held = {part: known[name] for part, name in self._parts.items() if name in known}
        other = known.get(self._standby)
        waiting = other.owner if other is not None and other.expires_at > now else None
        turn = decide(list(self._parts), held, waiting, self._owner, now)
        self._given = frozenset(turn.give)
        self._stand_by(wanted=turn.standby, now=now)
        return turn.lead

    def gives(self, part: P) -> bool:
        """Should this process give the part up, for another one that leads fewer?"""
        return part in self._given

    def refused(self, part: P, why: Exception) -> None:
        """Say why a part could not be led, and not each second again: one that another led first, or an old division."""
        now = self._clock()
        if now - self._said.get(part, now - _QUIET) >= _QUIET:
            self._said[part] = now
            log.info("%s stands by: %s", self._parts[part], why)

    def leave(self) -> None:
        """Wait for nothing any more, so that nobody gives anything up for this process."""
        try:
            self._stand_by(wanted=False, now=self._clock())
        except Infrastructure as error:
            log.warning("%s could not be given back: %s", self._standby, error)

    @property
    def _standby(self) -> str:
        return f"standby:{self._work}"

    def _stand_by(self, *, wanted: bool, now: dt.datetime) -> None:
        try:
            if self._epoch is not None and wanted:
                self._leases.renew(self._standby, self._epoch, _TTL, now)
            elif self._epoch is not None:
                self._leases.release(self._standby, self._epoch, now)
                self._epoch = None
            elif wanted:
                self._epoch = self._leases.acquire(self._standby, self._owner, _TTL, now)
        except (LeaseHeld, Fenced):
            self._epoch = None  # another one shows that somebody waits


class Part:
    """A legacy source as the leader of one shard reads it. Implements `toolkit.ports.LegacySource`."""

    def __init__(self, source: LegacySource, shard: Shard) -> None:
        if not isinstance(source.capture, Divisible):
            raise TypeError(f"{source.name}: {type(source.capture).__name__} offers all changes or none")
        self.name = source.name
        self.capture: Capture = source.capture.only(shard)
        self._source = source

    def clock(self) -> dt.datetime:
        """The source's own clock."""
        return self._source.clock()

    def query(self, sql: str, parameters: Mapping[str, object], *, timeout: dt.timedelta) -> Answer:
        """Run a read."""
        return self._source.query(sql, parameters, timeout=timeout)

    def close(self) -> None:
        """Nothing: the connections are the whole source's."""
