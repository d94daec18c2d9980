"""Which version of a projection serves is a decision of people: it is kept where the loss of the read store does not reach."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

import msgspec


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """A version began to serve: since when, who let it, and why. `forced` is what stood against it, if somebody did it anyway."""

    projection: str
    version: int
    at: dt.datetime
    who: str
    why: str
    forced: list[str] = []


class ServingLedger(Protocol):
    """Append-only; it outlives the read store, which knows what serves as long as it has the views."""

    def latest(self, projection: str) -> Serving | None: ...

    def history(self, projection: str) -> list[Serving]:
        """All that was decided, newest first."""

    def note(self, one: Serving) -> None: ...
