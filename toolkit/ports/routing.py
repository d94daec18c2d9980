"""Where reads go, and the evidence that their gates look at."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

from toolkit.core.evidence import Rehearsal, RunSummary, Verification, Waiver
from toolkit.core.routes import Move, Moved, Route


class RouteStore(Protocol):
    """Where reads go, and the append-only history of how that came about."""

    def get(self, capability: str, consumer: str = "*") -> Route:
        """The consumer's own route, else that of `*`, else the default (legacy, revision 0)."""

    def all(self) -> list[Route]: ...

    def apply(self, move: Move, now: dt.datetime) -> Route:
        """Write the move and its history line in one transaction. Applying the same move again changes nothing.

        Raises Refused when the route is no longer as `move.was` says: plan again.
        """

    def history(self, capability: str, limit: int = 20) -> list[Moved]:
        """The latest moves, newest first."""


class Waivers(Protocol):
    """The waivers alone: all that a read needs of the evidence."""

    def waivers(self, capability: str | None = None) -> list[Waiver]:
        """All waivers that were granted, expired ones too."""


class Evidence(Waivers, Protocol):
    """What was found out about a capability, for its gates and its guard."""

    def last_run(self, capability: str, config_hash: str, now: dt.datetime) -> RunSummary | None:
        """The latest shadow run under this configuration, its acceptances as they stand at `now`."""

    def last_verification(self, projection: str, version: int) -> Verification | None: ...

    def last_rehearsal(self, capability: str, consumer: str) -> Rehearsal | None: ...

    def save_rehearsal(self, rehearsal: Rehearsal) -> None: ...

    def grant(self, waiver: Waiver, now: dt.datetime) -> None:
        """Store a waiver in place of a former one for the same capability and gate."""
