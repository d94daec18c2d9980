"""Routes: which side answers a read, decided without looking anything up; and the moves between stages."""

from __future__ import annotations

import datetime as dt
import hashlib
import zlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import msgspec


class Stage(StrEnum):
    """How far a capability has moved, for one consumer. One way by default; back at any time."""

    LEGACY = "legacy"
    SHADOW = "shadow"
    CANARY = "canary"
    PROJECTION = "projection"
    RETIRED = "retired"


class Side(StrEnum):
    """Who answers."""

    LEGACY = "legacy"
    PROJECTION = "projection"


ORDER = tuple(Stage)
BUCKETS = 10_000
ANY_CONSUMER = "*"
REHEARSAL_CONSUMER = "__rehearsal__"
"""Nobody's journey: the way back is walked on it, in the real route table."""


def _crc32(salt: str, subject: str) -> int:
    """Numbers that differ in their last digit fall into few places of the ramp: a sample by it is none."""
    return (zlib.crc32(f"{salt}\x1f{subject}".encode()) * BUCKETS) >> 32


def _blake2(salt: str, subject: str) -> int:
    digest = hashlib.blake2b(f"{salt}\x1f{subject}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) * BUCKETS) >> 64


HASHES: Final[Mapping[int, Callable[[str, str], int]]] = {1: _crc32, 2: _blake2}
"""Every way there ever was to place a subject in the ramp. Entries are never changed: that would move people."""
HASH_VERSION: Final = 2
"""The way of routes that begin now."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where one capability's reads go, for one consumer (`*`: every consumer without its own route).

    `share` is the part of subjects, in hundredths of a percent (0 to 10,000), that the canary serves from the
    projection. Membership is bucket < share, so that raising the share never moves anyone back.
    `hash_version` and `salt` are part of the route: changing either would move people. In JSON the share is `share_bp`: a command's `--share` is in per cent.
    """

    capability: str
    consumer: str = ANY_CONSUMER
    stage: Stage = Stage.LEGACY
    share: int = msgspec.field(default=0, name="share_bp")
    salt: str = ""
    hash_version: int = HASH_VERSION
    revision: int = 0

    def bucket(self, subject: str) -> int:
        """The subject's place in the ramp, 0 to 9,999; the same for ever."""
        return HASHES[self.hash_version](self.salt, subject)

    def side(self, subject: str) -> Side:
        """Who answers for this subject."""
        if self.stage in (Stage.PROJECTION, Stage.RETIRED):
            return Side.PROJECTION
        if self.stage is Stage.CANARY and self.bucket(subject) < self.share:
            return Side.PROJECTION
        return Side.LEGACY

    @property
    def shadowed(self) -> bool:
        """Is the other side compared with the one that answers?"""
        return self.stage in (Stage.SHADOW, Stage.CANARY, Stage.PROJECTION)

    @property
    def label(self) -> str:
        """The stage as a person reads it: `canary 5 %`."""
        return f"{self.stage} {self.share / 100:g} %" if self.stage is Stage.CANARY else str(self.stage)


class Action(StrEnum):
    """Why a route moved, in one word of the history."""

    FORWARD = "forward"
    FORCED = "forced"
    ROLLBACK = "rollback"
    REHEARSAL = "rehearsal"


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a route, with who, why and on what evidence.

    `was` is the route as it was found: the consumer's own, or the one of `*` that it had followed so far.
    """

    action: Action
    was: Route
    becomes: Route
    who: str
    why: str
    evidence: dict[str, object] = {}
    config_hash: str = ""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A move that was made: one line of the append-only history."""

    at: dt.datetime
    move: Move


def default_route(capability: str) -> Route:
    """The route of a capability that has never moved; its salt is the capability's name."""
    return Route(capability=capability, salt=capability)


def pick(routes: Mapping[tuple[str, str], Route], capability: str, consumer: str) -> Route:
    """The route that a consumer follows: its own, else that of `*`, else the default."""
    own = routes.get((capability, consumer))
    return own or routes.get((capability, ANY_CONSUMER)) or default_route(capability)


def moved(route: Route, consumer: str, stage: Stage, share: int) -> Route:
    """The route after a move. Salt and hash version stay, whatever else changes: they say who is where."""
    shares = {Stage.CANARY: share, Stage.PROJECTION: BUCKETS, Stage.RETIRED: BUCKETS}
    return msgspec.structs.replace(
        route,
        consumer=consumer,
        stage=stage,
        share=shares.get(stage, 0),
        revision=route.revision + 1 if route.consumer == consumer else 1,
    )


def forward(stage: Stage) -> Stage | None:
    """The next stage, or None at the end."""
    at = ORDER.index(stage)
    return ORDER[at + 1] if at + 1 < len(ORDER) else None


def goes_back(route: Route, stage: Stage, share: int) -> bool:
    """Would this move take any subject from the projection back to legacy, or end the comparison?"""
    if stage is Stage.CANARY and route.stage is Stage.CANARY:
        return share < route.share
    return ORDER.index(stage) < ORDER.index(route.stage)


def legal(route: Route, stage: Stage, share: int) -> str | None:
    """Why a move forward may not be made, or None when it may."""
    here, there = ORDER.index(route.stage), ORDER.index(stage)
    if route.stage is Stage.RETIRED:
        return "the capability is retired: its legacy read path is gone"
    if goes_back(route, stage, share):
        return f"{stage} is behind {route.label}: that is a rollback"
    if there > here + 1:
        return f"stages are taken one at a time: {route.stage} is followed by {forward(route.stage)}"
    if stage is Stage.CANARY and not 0 < share <= BUCKETS:
        return "a canary needs a share above 0 % and up to 100 %"
    if stage is route.stage and (stage is not Stage.CANARY or share == route.share):
        return f"the route is at {route.label} already"
    return None


def legal_back(route: Route, stage: Stage, share: int) -> str | None:
    """Why a rollback may not be made, or None when it may: any former stage, and a smaller canary."""
    if route.stage is Stage.RETIRED:
        return "the capability is retired: its legacy read path is gone, and with it the way back"
    if not goes_back(route, stage, share):
        return f"{stage} is not behind {route.label}: a rollback goes to a former stage or a smaller share"
    if stage is Stage.CANARY and not 0 < share <= BUCKETS:
        return "a canary needs a share above 0 % and up to 100 %: say which"
    return None
