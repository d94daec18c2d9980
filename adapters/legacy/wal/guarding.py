"""Is the slot still the one that was read? A slot that was lost or made anew is a gap that nobody sees otherwise."""

from __future__ import annotations

from adapters.legacy.wal.slot import State
from adapters.legacy.wal.standing import Position, Standing, lsn
from toolkit.commands import BACKFILL, INSTALL_CAPTURE
from toolkit.core.errors import Refused

AGAIN = (
    f"install capture anew (`{INSTALL_CAPTURE}` makes a new slot), then read the history again (`{BACKFILL}`): "
    "it shows what rows are now; rows that were deleted meanwhile stay in the projections until a shadow run finds them"
)


class SlotBroken(Refused):
    """What the slot would give is not what comes after what was read."""

    def __init__(self, source: str, slot: str, what: str) -> None:
        self.what = what
        super().__init__(
            f"legacy source {source}: replication slot {slot} cannot be read on: {what}", [AGAIN]
        )


def broken(standing: Standing, position: Position, state: State) -> str:
    """Why reading must not go on; empty when it may."""
    at = lsn(position.lsn)
    if position.stopped:
        return position.stopped
    if state.system != standing.system:
        return (
            f"the server is another one (system identifier {state.system}, was {standing.system}): "
            f"what was changed after {at} there is in no stream here"
        )
    if state.timeline != standing.timeline:
        return (
            f"the server is on timeline {state.timeline}, was on {standing.timeline}: after a failover or a restore "
            f"from a backup, what was read up to {at} need not be what it holds"
        )
    if state.inserted < position.lsn:
        return f"the server's log ends at {lsn(state.inserted)}, and was read up to {at}: it was restored"
    if not state.there:
        return f"it is gone: what was changed after {at} is in no stream"
    if state.database != state.here or state.plugin != "pgoutput":
        return f"it is of the database {state.database} with {state.plugin}: somebody made it anew"
    if state.wal_status == "lost" or state.confirmed is None:
        return f"the server has removed log that it needs (max_slot_wal_keep_size): what follows {at} is lost"
    if state.confirmed > position.lsn:
        return (
            f"it stands at {lsn(state.confirmed)}, beyond {at}, up to which it was read: "
            "somebody advanced it or made it anew, and what is between is lost"
        )
    if not state.published:
        return "its publication is gone: what was changed meanwhile may be in no stream"
    return ""
