"""Both sides of a comparison as a test scripts them, with clocks that move only when told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shadow.keys import Key
from shadow.readers import Readers
from shadow.sandwich import Patience, Sides, View
from toolkit.ports import Answer

EPOCH = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
Rows = Sequence[Mapping[str, object]]


def at(tick: float) -> dt.datetime:
    return EPOCH + dt.timedelta(seconds=tick)


def key(label: str) -> Key:
    return Key(values=(("policy_no", label),), subject=label)


@dataclass
class Script:
    """Answers by key, each read taking the next one; the last one stays. An exception in place of rows is raised.

    Every read of legacy takes a second of the legacy clock, and the projection is always `ahead` of it,
    unless it `lags`. Every sleep moves the monotonic clock.
    """

    legacy: dict[str, list[object]]
    view: dict[str, list[object]]
    held: Collection[str] = ()
    because: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lags: bool = False
    ahead: float = 1
    touched: Callable[[Collection[str], dt.datetime], Collection[str]] | None = None
    tick: float = 0
    time: float = 0
    waits: list[dt.datetime] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    stop_after: int = 1_000_000

    def sides(self) -> Sides:
        return Sides(
            legacy=Readers(self._ask_legacy),
            view=Readers(self._ask_view),
            wait_for=self._wait_for,
            now=lambda: at(self.tick),
            monotonic=lambda: self.time,
            sleep=self._sleep,
            touched=self.touched,
            stopping=lambda: len(self.asked) >= self.stop_after,
        )

    def _ask_legacy(self, key: Key) -> Answer:
        self.asked.append(("legacy", key.label))
        rows = _next(self.legacy[key.label])
        self.tick += 1
        return Answer(rows=[dict(row) for row in rows], instant=at(self.tick))

    def _ask_view(self, key: Key) -> View:
        self.asked.append(("view", key.label))
        rows = _next(self.view[key.label])
        as_of = at(0) if self.lags else at(self.tick + self.ahead)
        return View(
            rows=rows,
            as_of=as_of,
            held=key.label in self.held,
            versions={"customer_policy": 1},
            because=self.because.get(key.label, ()),
        )

    def _wait_for(self, instant: dt.datetime, seconds: float) -> bool:
        self.waits.append(instant)
        self.time += seconds if self.lags else 1
        return not self.lags

    def _sleep(self, seconds: float) -> None:
        self.time += seconds

    def reads(self, side: str) -> int:
        return sum(one == side for one, _ in self.asked)


def _next(answers: list[object]) -> Rows:
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, list)
    return answer


QUICK = Patience(settle=0)
SETTLING = Patience(settle=10, first_look_again=1, longest_pause=2)
