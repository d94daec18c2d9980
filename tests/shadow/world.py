"""A model of all that can happen between two reads: a legacy source with its history, capture, relay and projector.

The legacy clock is coarse, so that many things share an instant. A change is stamped when it is made and seen
when it commits, which may be later. A relay pass takes the clock, then its snapshot, and its as-of counts once
everything in the snapshot is projected. Before and after every read, chance lets any of them act.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random

from shadow.keys import Key
from shadow.readers import Readers
from shadow.sandwich import Sides, View
from tests.shadow.fakes import at
from toolkit.ports import Answer

VALUES = ("a", "b", "c")
Project = Callable[[str, str], str]
"""(key, legacy value) to what the projection makes of it."""


@dataclass(frozen=True)
class Commit:
    stamped: int
    key: str
    value: str


@dataclass
class World:
    random: Random
    keys: tuple[str, ...]
    project: Project = lambda _key, value: value
    quiet: bool = False
    """nobody writes"""
    dead: bool = False
    """the relay has stopped"""
    onward: bool = False
    """no value ever comes back, and capture need not be asked"""
    busy: float = 0.3
    tick: int = 0
    time: float = 0.0
    history: list[Commit] = field(default_factory=list)
    rows: dict[str, str] = field(default_factory=dict)
    open: dict[str, tuple[int, str]] = field(default_factory=dict)
    """changes made and not yet committed: the row is locked, nobody else sees them"""
    passing: tuple[int, int] | None = None
    """the relay's pass: its instant, and how much of the history its snapshot holds (-1: not taken yet)"""
    archived: int = 0
    applied: int = 0
    as_of: int = -1
    view: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in self.keys:
            self._commit(key, 0, self.random.choice(VALUES))

    # --- what may happen -----------------------------------------------------------------

    def chance(self) -> None:
        while self.random.random() < self.busy:
            self.random.choice((self.advance, self.write, self.write, self.relay, self.relay, self.relay))()

    def advance(self) -> None:
        self.tick += 1

    def write(self) -> None:
        """Begin a change, or commit one that was begun; half of all changes go back to an earlier value."""
        if self.quiet:
            return
        key = self.random.choice(self.keys)
        if key in self.open:
            self._commit(key, *self.open.pop(key))
            return
        self.open[key] = (self.tick, self._value(key))
        if self.random.random() < 0.7:
            self._commit(key, *self.open.pop(key))

    def _value(self, key: str) -> str:
        if self.onward:
            return f"{self.tick}-{len(self.history)}-{len(self.open)}"
        former = [one.value for one in self.history if one.key == key]
        return self.random.choice(former if self.random.random() < 0.5 else VALUES)

    def _commit(self, key: str, stamped: int, value: str) -> None:
        self.rows[key] = value
        self.history.append(Commit(stamped, key, value))

    def relay(self) -> None:
        """One small step of the relay or the projector."""
        if self.dead:
            return
        if self.passing is None:
            self.passing = (self.tick, -1)
        elif self.passing[1] < 0:
            self.passing = (self.passing[0], len(self.history))
            self.archived = len(self.history)
        elif self.applied < self.passing[1]:
            change = self.history[self.applied]
            self.view[change.key] = self.project(change.key, change.value)
            self.applied += 1
        else:
            self.as_of = self.passing[0]
            self.passing = None

    # --- what the sandwich sees ------------------------------------------------------------

    def sides(self) -> Sides:
        return Sides(
            legacy=Readers(self._ask_legacy),
            view=Readers(self._ask_view),
            wait_for=self._wait_for,
            now=self._now,
            monotonic=lambda: self.time,
            sleep=self._sleep,
            touched=None if self.onward else self._touched,
        )

    def _now(self) -> dt.datetime:
        self.chance()
        return at(self.tick)

    def _ask_legacy(self, key: Key) -> Answer:
        self.chance()
        rows: list[dict[str, object]] = [{"status": self.rows[key.label]}]
        self.chance()
        return Answer(rows=rows, instant=at(self.tick))

    def _ask_view(self, key: Key) -> View:
        self.chance()
        value = self.view.get(key.label)
        rows = [] if value is None else [{"status": value}]
        return View(rows=rows, as_of=None if self.as_of < 0 else at(self.as_of))

    def _wait_for(self, instant: dt.datetime, seconds: float) -> bool:
        until = self.time + seconds
        while self.time < until:
            if self.as_of >= 0 and at(self.as_of) > instant:
                return True
            self.time += 1
            self.advance()
            self.chance()
            for _ in range(self.random.randrange(8)):
                self.relay()
        return False

    def _sleep(self, seconds: float) -> None:
        self.time += seconds
        self.chance()
        for _ in range(self.random.randrange(4)):
            self.relay()

    def _touched(self, subjects: Collection[str], since: dt.datetime) -> Collection[str]:
        """By what is archived, and by the stamp that a change was given when it was made."""
        self.chance()
        known = self.history[: self.archived]
        return {one.key for one in known if one.key in subjects and at(one.stamped) >= since}
