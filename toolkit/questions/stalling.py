"""Why nothing comes: which event, which offset, which error, and what stands in the way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from toolkit import commands
from toolkit.ports import Checkpoint, LeaseState, VersionState
from toolkit.questions.leading import leaders

SILENT = dt.timedelta(seconds=15)
"""How long watermarks may stay away before somebody should look: many heartbeats of the relay."""


class Blocker(StrEnum):
    """What kind of thing stands in the way."""

    LEGACY = "legacy_away"
    CAPTURE = "nothing_captured"
    BACKFILL = "backfill"
    PAUSED = "paused_relay"
    RELAY = "relay"
    TRANSACTION = "legacy_transaction"
    FAILED = "failed_version"
    MISSING = "missing_sequence"
    RETENTION = "retention"
    PARKED = "parked"
    PROJECTOR = "projector"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Something that does not get on: why, what kind of obstacle that is, and what to do."""

    cause: str
    blocker: Blocker
    next: str = commands.PROJECT


def silence(
    watermark: dt.datetime | None,
    now: dt.datetime | None,
    here: dt.datetime,
    leases: Sequence[LeaseState],
    leaderless: Sequence[str] = (),
) -> str:
    """Why no watermark comes, or empty when they come. `now` is the legacy source's clock, `here` this machine's.

    `leaderless` are the shards that nobody leads: the view is as old as the oldest of them.
    """
    leads = [one for one in leases if one.expires_at > here]
    leader = leaders(leases, here)
    if watermark is None:
        return f"no watermark was ever sent: the relay has not run, or not come to an end ({leader})"
    if now is None or now - watermark <= SILENT:
        return ""
    silent = (now - watermark).total_seconds()
    if leads and leaderless:
        return f"no watermark for {silent:.0f} s: nobody leads {', '.join(leaderless)} ({leader})"
    if leads:
        return f"no watermark for {silent:.0f} s although {leader}: the relay is busy, stuck or just started"
    return f"no watermark for {silent:.0f} s: the relay is not running ({leader})"


def stalled(
    state: VersionState,
    checkpoints: Sequence[Checkpoint],
    published: Mapping[int, int],
    bounds: Mapping[int, tuple[int, int]],
    watermark: dt.datetime | None,
) -> Stall | None:
    """Why a projection does not follow, or None when it does.

    `published` is where the log got the next event of a partition, as far as it did; what it did not get yet is the relay's.
    """
    if state.state == "failed":
        return Stall(cause=f"failed: {state.detail}", blocker=Blocker.FAILED)
    if state.state == "waiting":
        return Stall(cause=f"waiting: {state.detail}", blocker=Blocker.MISSING, next=commands.RELAY)
    for one in checkpoints:
        first, following = bounds.get(one.partition, (0, one.next_offset))
        if one.next_offset < first:
            return Stall(
                cause=f"partition {one.partition}: the log no longer has offset {one.next_offset}: rebuild from the archive",
                blocker=Blocker.RETENTION,
                next=commands.rebuild(state.projection, state.version + 1),
            )
        offset = published.get(one.partition, -1)
        if one.partition in bounds and offset >= following:
            return Stall(
                cause=f"sequence {one.sequence + 1} of partition {one.partition} has not come: the log got it at offset "
                f"{offset}, and ends before it, at {following}: was the topic made anew, or restored from a backup?",
                blocker=Blocker.MISSING,
                next=commands.rebuild(state.projection, state.version + 1),
            )
    return _behind(state, checkpoints, watermark)


def _behind(
    state: VersionState, checkpoints: Sequence[Checkpoint], watermark: dt.datetime | None
) -> Stall | None:
    """It stands before the last watermark although nothing is in its way."""
    if watermark is None or not checkpoints:
        return None
    blind = next((one for one in checkpoints if one.as_of is None), None)
    if blind is not None:
        return Stall(
            cause="a partition has seen no watermark: the projector has not come that far, or is not running "
            f"(partition {blind.partition}, offset {blind.next_offset})",
            blocker=Blocker.PROJECTOR,
        )
    oldest = min(checkpoints, key=lambda one: one.as_of or watermark)
    if oldest.as_of is None or watermark - oldest.as_of <= SILENT:
        return None
    written = state.projected_at
    since = f"; it last wrote at {written:%Y-%m-%d %H:%M:%S}Z" if written is not None else ""
    return Stall(
        cause=f"{(watermark - oldest.as_of).total_seconds():.0f} s behind the last watermark: the projector is slow or "
        f"not running (partition {oldest.partition}, offset {oldest.next_offset}){since}",
        blocker=Blocker.PROJECTOR,
    )
