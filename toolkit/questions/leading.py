"""Who leads the relay of a source, shard by shard, as far as the leases tell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from toolkit.core.shards import shards_of
from toolkit.cutover.facts import Around
from toolkit.loops.following import part_name, version_name
from toolkit.loops.relay import lease_name
from toolkit.ports import Grouped, LeaseState


def relay_leases(source: str, known: Sequence[LeaseState]) -> tuple[LeaseState, ...]:
    """The leases of a source's relays: of the whole, or of its shards."""
    name = lease_name(source)
    return tuple(one for one in known if one.name == name or one.name.startswith(f"{name}:"))


OF_GROUP = "a member of the log's own group"


class Readers:
    """Who reads which partition for a version: by the leases of all who follow the log."""

    def __init__(self, around: Around, known: Sequence[LeaseState]) -> None:
        now = around.clock()
        self._live = {one.name: one.owner for one in known if one.expires_at > now}
        self._shared = around.project.settings.read_store.shared
        self._grouped = isinstance(around.log, Grouped)

    def of(self, projection: str, version: int, topic: str, partition: int) -> str:
        """The owner of the lease; empty when nobody reads it now. A log that divides partitions by itself knows the member."""
        name = version_name(projection, version)
        alone = self._live.get(name, "")
        if alone or projection not in self._shared:
            return alone
        return OF_GROUP if self._grouped else self._live.get(part_name(name, topic, partition), "")


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
