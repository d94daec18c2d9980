"""Who leads the relay of a source, shard by shard, as far as the leases tell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from toolkit.core.shards import shards_of
from toolkit.cutover.facts import Around
from toolkit.loops.relay import lease_name
from toolkit.ports import LeaseState


def relay_leases(source: str, known: Sequence[LeaseState]) -> tuple[LeaseState, ...]:
    """The leases of a source's relays: of the whole, or of its shards."""
    name = lease_name(source)
    return tuple(one for one in known if one.name == name or one.name.startswith(f"{name}:"))


def leaderless(around: Around, source: str, known: Sequence[LeaseState], now: dt.datetime) -> tuple[str, ...]:
    """The shards that nobody leads, by the names of their leases; none while somebody leads the whole."""
    live = {one.name for one in known if one.expires_at > now}
    if lease_name(source) in live:
        return ()
    settings = around.project.settings
    names = [
        lease_name(source, shard)
        for shard in shards_of(settings.legacy[source].shards, settings.log.partitions)
    ]
    return tuple(name for name in names if name not in live)


def leaders(known: Sequence[LeaseState], now: dt.datetime) -> str:
    """Who leads, and until when, for people."""
    live = [one for one in known if one.expires_at > now]
    if len(live) == 1 and "/" not in live[0].name:
        return f"{live[0].owner} leads until {live[0].expires_at:%H:%M:%S}Z"
    told = [f"{one.owner} leads {one.name} until {one.expires_at:%H:%M:%S}Z" for one in live]
    return ", ".join(told) or "nobody leads"
