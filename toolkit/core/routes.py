"""Routes: which side answers a read, decided without looking anything up."""

from __future__ import annotations

import zlib
from enum import StrEnum

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


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where one capability's reads go, for one consumer (`*`: every consumer without its own route).

    `share` is the part of subjects, in hundredths of a percent (0 to 10,000), that the canary serves from the
    projection. Membership is bucket < share, so that raising the share never moves anyone back.
    `hash_version` and `salt` are part of the route: changing either would move people.
    """

    capability: str
    consumer: str = ANY_CONSUMER
    stage: Stage = Stage.LEGACY
    share: int = 0
    salt: str = ""
    hash_version: int = 1
    revision: int = 0

    def bucket(self, subject: str) -> int:
        """The subject's place in the ramp, 0 to 9,999; the same for ever."""
        return (zlib.crc32(f"{self.salt}\x1f{subject}".encode()) * BUCKETS) >> 32

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


def forward(stage: Stage) -> Stage | None:
    """The next stage, or None at the end."""
    at = ORDER.index(stage)
    return ORDER[at + 1] if at + 1 < len(ORDER) else None


def legal(route: Route, stage: Stage, share: int) -> str | None:
    """Why a move forward may not be made, or None when it may. (Back is always legal before `retired`.)"""
    here, there = ORDER.index(route.stage), ORDER.index(stage)
    if route.stage is Stage.RETIRED:
        return "the capability is retired: its legacy read path is gone"
    if there < here:
        return None
    if there > here + 1:
        return f"stages are taken one at a time: {route.stage} is followed by {forward(route.stage)}"
    if stage is Stage.CANARY and not 0 < share <= BUCKETS:
        return "a canary needs a share above 0 % and up to 100 %"
    if stage is Stage.CANARY and route.stage is Stage.CANARY and share < route.share:
        return "a smaller share would move subjects back: use rollback"
    if stage is route.stage and (stage is not Stage.CANARY or share == route.share):
        return f"the route is at {stage} already"
    return None
