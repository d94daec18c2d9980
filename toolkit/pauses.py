"""Pauses: a person tells the relay of a source to rest, and it does until it is told otherwise."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

import msgspec


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Who told the relay of a source to rest, since when, and why."""

    source: str
    who: str
    why: str
    since: dt.datetime


class Pauses(Protocol):
    """The relays that rest because somebody said so."""

    def of(self, source: str) -> Pause | None: ...

    def pause(self, source: str, who: str, why: str, now: dt.datetime) -> Pause: ...

    def resume(self, source: str) -> bool:
        """Was it paused?"""
