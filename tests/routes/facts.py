"""Facts under which every gate passes, and a store with a fuse."""

import datetime as dt
from typing import Any

import msgspec

from tests.routes.now import NOW
from toolkit.core.evidence import Acceptance, Finding, Rehearsal, RunSummary, Verification
from toolkit.core.freshness import Freshness, ReadClass, WhenStale
from toolkit.core.routes import Route, Stage, default_route, moved
from toolkit.cutover.gates import Facts, Parked
from toolkit.settings import GateSection

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def run(**changes: Any) -> RunSummary:
    good = RunSummary(
        id="run-1",
        versions={"policy": 2},
        config_hash="cfg",
        ended_at=NOW - HOUR / 2,
        judged=400,
        mismatched=0,
    )
    return msgspec.structs.replace(good, **changes)


def finding(*, accepted: bool = False) -> Finding:
    acceptance = Acceptance(owner="ada", reason="known", expires_at=NOW + DAY) if accepted else None
    return Finding(fingerprint="f00", kind="semantic", path="status", keys=3, acceptance=acceptance)


def verification(**changes: Any) -> Verification:
    good = Verification(
        projection="policy", version=2, at=NOW - DAY, deterministic=True, code_hash="c0de", upcaster_hash="u"
    )
    return msgspec.structs.replace(good, **changes)


def rehearsal(**changes: Any) -> Rehearsal:
    good = Rehearsal(capability="portal", consumer="*", at=NOW - DAY, passed=True, detail="walked")
    return msgspec.structs.replace(good, **changes)


def route_at(stage: Stage, share: int = 0) -> Route:
    return moved(default_route("portal"), "*", stage, share)


def facts(**changes: Any) -> Facts:
    """A capability in shadow for which every gate of `canary` holds."""
    good = Facts(
        capability="portal",
        consumer="*",
        route=route_at(Stage.SHADOW),
        now=NOW,
        read_class=ReadClass.OPERATIONAL,
        when_stale=WhenStale.WARN,
        config_hash="cfg",
        limits=GateSection(),
        backfill={"POLICY": True},
        parked=(Parked(where="changes of crm", count=0),),
        freshness=fresh(5),
        versions={"policy": 2},
        run=run(),
        verifications={"policy": verification()},
        code_hashes={"policy": "c0de"},
        rehearsal=rehearsal(),
        since=NOW - HOUR,
        moved_at=NOW - HOUR,
    )
    return msgspec.structs.replace(good, **changes)


def fresh(seconds: float) -> Freshness:
    lag = dt.timedelta(seconds=seconds)
    return Freshness(as_of=NOW - lag, now=NOW, objective=dt.timedelta(seconds=30))


class Blown(Exception):
    """The process dies here."""


class Fuse:
    """Passes calls on to a store, and dies at the n-th one: before it has any effect, or right after it had."""

    def __init__(self, inner: Any, at: int, *, after: bool) -> None:
        self._inner, self._left, self._after = inner, at, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Blown(f"before {name}")
            answer = method(*args, **kwargs)
            if self._left == 0:
                raise Blown(f"after {name}")
            return answer

        return call
