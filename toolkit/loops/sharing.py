"""Who leads which shards of a source: the processes that relay it divide them evenly, and make good what one leaves.

Leases say who leads what. A process that leads nothing shows itself by the lease `standby:SOURCE`, so that others give
shards up for it. What a dead process led is free when its leases have run out.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from toolkit.core.errors import Fenced, Infrastructure, LeaseHeld
from toolkit.core.shards import Shard
from toolkit.loops.relay import lease_name
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


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What a process does about the shards of a source now."""

    lead: tuple[Shard, ...] = ()
    give: tuple[Shard, ...] = ()
    standby: bool = False


def decide(
    shards: Sequence[Shard],
    held: Mapping[Shard, LeaseState],
    waiting: str | None,
    me: str,
    now: dt.datetime,
) -> Turn:
    """Lead what is free while this process leads no more than anybody else, and give up what is more than its part.

    `waiting` is the owner who leads nothing and would like to.
    """
    leader = {shard: one.owner for shard, one in held.items() if one.expires_at > now}
    own = [shard for shard in shards if leader.get(shard) == me]
    free = [shard for shard in shards if shard not in leader]
    counts = Counter(owner for owner in leader.values() if not owner.endswith(ALONE))
    counts[me] += 0
    if waiting is not None:
        counts[waiting] += 0
    divided = [shard for shard in shards if not leader.get(shard, "").endswith(ALONE)]
    least, rest = divmod(len(divided), len(counts))
    most, poorest = least + (rest > 0), min(counts.values())
    taken = free[: max(0, most - len(own))] if len(own) <= poorest else []
    left_over = [
        one for one in free if one in held and now - held[one].expires_at > _LEFT_OVER and one not in taken
    ]
    give: list[Shard] = []
    if not free and len(own) > most:
        give = own[most:]
    elif not free and len(own) > least > poorest:
        give = own[-1:]
    return Turn(lead=(*own, *taken, *left_over), give=tuple(give), standby=not own and not free)


class Sharing:
    """One process's part in leading a source. `look` once a second or so; ask `gives` between two passes."""

    def __init__(
        self,
        source: str,
        shards: Sequence[Shard],
        leases: Leases,
        known: LeaseList,
        *,
        owner: str,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._source, self._shards = source, shards
        self._leases, self._known = leases, known
        self._owner, self._clock = owner, clock
        self._epoch: int | None = None
        self._given: frozenset[Shard] = frozenset()
        self._said: dict[Shard, dt.datetime] = {}

    def look(self) -> tuple[Shard, ...]:
        """The shards that this process should lead by now; those that it leads already, too."""
        now = self._clock()
        known = {one.name: one for one in self._known.leases()}
        held = {
            shard: known[name] for shard in self._shards if (name := lease_name(self._source, shard)) in known
        }
        other = known.get(self._standby)
        waiting = other.owner if other is not None and other.expires_at > now else None
        turn = decide(self._shards, held, waiting, self._owner, now)
        self._given = frozenset(turn.give)
        self._stand_by(wanted=turn.standby, now=now)
        return turn.lead

    def gives(self, shard: Shard) -> bool:
        """Should this process give the shard up, for another one that leads fewer?"""
        return shard in self._given

    def refused(self, shard: Shard, why: Exception) -> None:
        """Say why a shard could not be led, and not each second again: one that another led first, or an old division."""
        now = self._clock()
        if now - self._said.get(shard, now - _QUIET) >= _QUIET:
            self._said[shard] = now
            log.info("relay of %s %s stands by: %s", self._source, shard, why)

    def leave(self) -> None:
        """Wait for nothing any more, so that nobody gives anything up for this process."""
        try:
            self._stand_by(wanted=False, now=self._clock())
        except Infrastructure as error:
            log.warning("%s could not be given back: %s", self._standby, error)

    @property
    def _standby(self) -> str:
        return f"standby:{self._source}"

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
