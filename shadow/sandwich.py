"""The sandwich: judge pairs of answers under live writes, without locks and without false alarms.

A legacy answer is read before and after the projection's. If both are the same, and the projection's answer
contains all that the first one saw (its as-of is strictly later), and capture knows of no change in between,
then the projection's answer has to be the same, too. If it is not, that is confirmed.

Keys are judged in batches: one wait for the projection serves a whole batch.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shadow.compare import SAME, Comparison, compare_forms
from shadow.keys import Key
from shadow.normalise import Form, Rules, legacy_form, projection_form
from shadow.readers import Failure, Readers
from toolkit.ports import Answer


class Verdict(StrEnum):
    """What came of one pair. Only match, temporal and confirmed are judgements; none of the others is a gap."""

    MATCH = "match"
    TEMPORAL = "temporal"
    CONFIRMED = "confirmed"
    UNSETTLED = "unsettled"
    PARKED = "parked"
    LEGACY_ERROR = "legacy_error"
    PROJECTION_ERROR = "projection_error"
    BOTH_ERROR = "both_error"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The projection's answer, its as-of, and whether an event of the key is parked, all read in one transaction."""

    rows: Sequence[Mapping[str, object]]
    as_of: dt.datetime | None
    held: bool = False
    versions: Mapping[str, int] = field(default_factory=dict)
    because: tuple[str, ...] = ()
    """what is parked, as a person writes it: only where nobody can say whether it is of this key"""


Touched = Callable[[Collection[str], dt.datetime], Collection[str]]
"""Of these subjects, those that capture saw change since that instant (inclusive, the legacy clock)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides as the sandwich asks them, and the clocks it goes by.

    `wait_for(instant, seconds)` returns whether the projection's as-of became strictly later than the instant.
    `now` is the legacy source's clock; `monotonic` measures durations.
    """

    legacy: Readers[Key, Answer]
    view: Readers[Key, View]
    wait_for: Callable[[dt.datetime, float], bool]
    now: Callable[[], dt.datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    touched: Touched | None = None
    stopping: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the sandwich waits and how often it tries again. Seconds."""

    catch_up: float = 30.0
    settle: float = 10.0
    first_look_again: float = 0.1
    longest_pause: float = 2.0
    rounds: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one key, and what it rests on.

    A temporal drift was seen for `lasted` seconds at least, and was gone after `healed_within` at the latest.
    """

    key: Key
    verdict: Verdict
    comparison: Comparison = SAME
    legacy_failure: Failure | None = None
    projection_failure: Failure | None = None
    lasted: float = 0.0
    healed_within: float = 0.0
    because: tuple[str, ...] = ()
    """of a parked one: the keys with parked events that nobody can say of whether they are of this key"""

    @property
    def same_failure(self) -> bool:
        """Did both sides fail in the same way (class and message)?"""
        return self.legacy_failure is not None and self.legacy_failure == self.projection_failure


Outcome = Form | Failure


@dataclass(slots=True)
class _Pair:
    """What is known of a key while it is being judged."""

    key: Key
    rounds: int
    before: dt.datetime
    """the legacy clock before the legacy answer was read"""
    legacy: Outcome
    instant: dt.datetime
    """the legacy clock after it"""
    seen_again: dt.datetime
    """the legacy clock after the latest read that said the same, and (next) before it"""
    before_again: dt.datetime
    view: Outcome = field(default_factory=lambda: Form({}))
    drift: Comparison | None = None
    """the first difference that was seen, since `differed`"""
    differed: float = 0.0
    differs_still: float = 0.0

    def moved(self, legacy: Outcome, instant: dt.datetime, before: dt.datetime) -> None:
        """Start again from a newer legacy answer: what was seen before says nothing about it."""
        self.legacy, self.instant, self.before = legacy, instant, before
        self.seen_again, self.before_again = instant, before
        self.drift = None
        self.rounds -= 1


class Sandwich:
    """Judges batches of keys. Everything outside comes in through `sides`; nothing here knows a clock or a database."""

    def __init__(self, rules: Rules, sides: Sides, patience: Patience) -> None:
        self._rules = rules
        self._sides = sides
        self._patience = patience
        self.versions: dict[str, int] = {}
        """the projection versions that answered"""

    def judge(self, keys: Sequence[Key]) -> list[Judgement]:
        """A verdict for each key, in the order in which they were reached."""
        if not keys:
            return []
        done: list[Judgement] = []
        waiting = self._first_look(keys, done)
        while waiting:
            candidates, moved = self._round(waiting, done)
            moved += self._settle(candidates, done)
            waiting = []
            for pair in moved:
                if pair.rounds < 0 or self._sides.stopping():
                    done.append(_given_up(pair))
                else:
                    waiting.append(pair)
        return done

    # --- reading ---------------------------------------------------------------------------

    def _ask_legacy(self, keys: Sequence[Key], before: dt.datetime) -> list[tuple[Outcome, dt.datetime]]:
        """Each answer with the instant after it; a failure keeps the instant before it, which promises less."""
        outcomes: list[tuple[Outcome, dt.datetime]] = []
        for answer in self._sides.legacy.read(keys):
            if isinstance(answer, Failure):
                outcomes.append((answer, before))
            else:
                outcomes.append((legacy_form(answer.rows, self._rules), answer.instant))
        return outcomes

    def _ask_view(self, pairs: Sequence[_Pair]) -> list[View | Failure]:
        """Ask the projection, and keep each answer in its pair."""
        views = self._sides.view.read([pair.key for pair in pairs])
        for pair, view in zip(pairs, views, strict=True):
            if isinstance(view, Failure):
                pair.view = view
            else:
                pair.view = projection_form(view.rows, self._rules)
                self.versions.update(view.versions)
        return views

    def _first_look(self, keys: Sequence[Key], done: list[Judgement]) -> list[_Pair]:
        """Read legacy, and the projection at once: what differs now and not later is drift in time."""
        try:
            before = self._sides.now()
        except Exception as error:  # noqa: BLE001 - a source that cannot tell its time is a legacy error
            failure = Failure.of(error)
            done += [Judgement(key=key, verdict=Verdict.LEGACY_ERROR, legacy_failure=failure) for key in keys]
            return []
        answers = self._ask_legacy(keys, before)
        pairs = [
            _Pair(
                key=key,
                rounds=self._patience.rounds,
                before=before,
                legacy=legacy,
                instant=instant,
                seen_again=instant,
                before_again=before,
            )
            for key, (legacy, instant) in zip(keys, answers, strict=True)
        ]
        self._ask_view(pairs)
        for pair in pairs:
            self._note(pair)
        return pairs

    def _note(self, pair: _Pair) -> Comparison | None:
        """Compare, and remember since when the pair differs. None when a side failed."""
        if isinstance(pair.legacy, Failure) or isinstance(pair.view, Failure):
            return None
        found = compare_forms(pair.legacy, pair.view, self._rules)
        if not found.equal:
            pair.differs_still = self._sides.monotonic()
            if pair.drift is None:
                pair.drift, pair.differed = found, pair.differs_still
        return found

    # --- one round -------------------------------------------------------------------------

    def _round(self, pairs: Sequence[_Pair], done: list[Judgement]) -> tuple[list[_Pair], list[_Pair]]:
        """Wait, read the projection, and read legacy again where they differ.

        Returns the pairs that differ while legacy stood still, and those whose legacy side moved.
        """
        caught_up = self._sides.wait_for(max(pair.instant for pair in pairs), self._patience.catch_up)
        differing, early = [], []
        for pair, view in zip(pairs, self._ask_view(pairs), strict=True):
            verdict = self._at_once(pair, view)
            if verdict is not None:
                done.append(verdict)
            elif isinstance(view, View) and not _later(view.as_of, pair.instant):
                early.append(pair)
            else:
                differing.append(pair)
        candidates, moved = self._again(differing, done)
        for pair in early:
            pair.rounds -= 1
            if not caught_up or pair.rounds < 0:
                done.append(Judgement(key=pair.key, verdict=Verdict.TIMEOUT))
            else:
                moved.append(pair)
        return candidates, moved

    def _at_once(self, pair: _Pair, view: View | Failure) -> Judgement | None:
        """A verdict that needs no second look at legacy, if there is one."""
        if isinstance(pair.legacy, Failure) and isinstance(view, Failure):
            return Judgement(
                key=pair.key,
                verdict=Verdict.BOTH_ERROR,
                legacy_failure=pair.legacy,
                projection_failure=view,
            )
        if isinstance(view, Failure):
            return None
        if view.held:
            return Judgement(key=pair.key, verdict=Verdict.PARKED, because=view.because)
        if not _later(view.as_of, pair.instant):
            return None
        found = self._note(pair)
        return self._equal(pair, found) if found is not None and found.equal else None

    def _equal(self, pair: _Pair, found: Comparison) -> Judgement:
        if pair.drift is None:
            return Judgement(key=pair.key, verdict=Verdict.MATCH, comparison=found)
        return Judgement(
            key=pair.key,
            verdict=Verdict.TEMPORAL,
            comparison=Comparison(differences=pair.drift.differences, excused=found.excused),
            lasted=pair.differs_still - pair.differed,
            healed_within=self._sides.monotonic() - pair.differed,
        )

    def _again(self, pairs: Sequence[_Pair], done: list[Judgement]) -> tuple[list[_Pair], list[_Pair]]:
        """Read legacy once more: the lower half of the sandwich. Errors that stay are verdicts."""
        stood, moved = self._stood_still(pairs)
        candidates = []
        for pair in stood:
            if isinstance(pair.legacy, Failure):
                done.append(Judgement(key=pair.key, verdict=Verdict.LEGACY_ERROR, legacy_failure=pair.legacy))
            elif isinstance(pair.view, Failure):
                done.append(
                    Judgement(key=pair.key, verdict=Verdict.PROJECTION_ERROR, projection_failure=pair.view)
                )
            else:
                candidates.append(pair)
        return candidates, moved

    def _stood_still(self, pairs: Sequence[_Pair]) -> tuple[list[_Pair], list[_Pair]]:
        """Part the pairs whose legacy side is as it was, by its answer and by capture, from those that moved."""
        if not pairs:
            return [], []
        try:
            before = self._sides.now()
        except Exception as error:  # noqa: BLE001 - the source is gone: that is its answer
            before = min(pair.before for pair in pairs)
            answers: list[tuple[Outcome, dt.datetime]] = [(Failure.of(error), pair.instant) for pair in pairs]
        else:
            answers = self._ask_legacy([pair.key for pair in pairs], before)
        touched = self._touched(pairs)
        stood, moved = [], []
        for pair, (legacy, instant) in zip(pairs, answers, strict=True):
            if legacy == pair.legacy and pair.key.subject not in touched:
                pair.seen_again, pair.before_again = instant, before
                stood.append(pair)
            else:
                pair.moved(legacy, instant, before)
                moved.append(pair)
        return stood, moved

    def _untouched(self, pairs: list[_Pair], done: list[Judgement]) -> tuple[list[_Pair], list[_Pair]]:
        """Ask capture once it knows all up to the last legacy read: a change and its undoing may be on their way.

        A change is stamped when it is made, not when it commits, so only the undoing is sure to be stamped late enough.
        """
        if self._sides.touched is None or not pairs:
            return pairs, []
        if not self._sides.wait_for(max(pair.seen_again for pair in pairs), self._patience.catch_up):
            done += [Judgement(key=pair.key, verdict=Verdict.TIMEOUT) for pair in pairs]
            return [], []
        touched = self._touched(pairs)
        moved = [pair for pair in pairs if pair.key.subject in touched]
        for pair in moved:
            pair.moved(pair.legacy, pair.seen_again, pair.before_again)
        return [pair for pair in pairs if pair.key.subject not in touched], moved

    def _touched(self, pairs: Sequence[_Pair]) -> set[str]:
        """Subjects that changed while they were judged, even if they changed back."""
        if self._sides.touched is None:
            return set()
        found: set[str] = set()
        for before in {pair.before for pair in pairs}:
            subjects = {pair.key.subject for pair in pairs if pair.before == before}
            found.update(self._sides.touched(subjects, before))
        return found

    # --- settling --------------------------------------------------------------------------

    def _settle(self, pairs: Sequence[_Pair], done: list[Judgement]) -> list[_Pair]:
        """Look again at what was confirmed until `settle` has passed: what heals was drift in time.

        Returns the pairs whose legacy side moved meanwhile.
        """
        clock, pause = self._sides.monotonic, self._patience.first_look_again
        until = clock() + self._patience.settle
        left, moved = list(pairs), []
        while left and clock() < until and not self._sides.stopping():
            self._sides.sleep(min(pause, max(until - clock(), 0.0)))
            pause = min(2 * pause, self._patience.longest_pause)
            left, went = self._look_again(left, done)
            moved += went
        if self._sides.stopping():
            return moved + left
        if self._patience.settle > 0:
            left, went = self._stood_still(left)
            moved += went
        confirmed, went = self._untouched(left, done)
        for pair in confirmed:
            found = self._note(pair)
            if found is None or found.equal:
                raise AssertionError(f"{pair.key.label}: a pair that is equal was to be confirmed")
            done.append(Judgement(key=pair.key, verdict=Verdict.CONFIRMED, comparison=found))
        return moved + went

    def _look_again(self, pairs: list[_Pair], done: list[Judgement]) -> tuple[list[_Pair], list[_Pair]]:
        """Read the projection again; where it now says what legacy said, see that legacy still says so."""
        same: list[_Pair] = []
        left: list[_Pair] = []
        last = {id(pair): pair.view for pair in pairs}
        for pair, view in zip(pairs, self._ask_view(pairs), strict=True):
            if isinstance(view, Failure) or not _later(view.as_of, pair.instant):
                pair.view = last[id(pair)]  # no answer that could judge: the last one stands
                left.append(pair)
            elif view.held:
                done.append(Judgement(key=pair.key, verdict=Verdict.PARKED, because=view.because))
            else:
                found = self._note(pair)
                (same if found is not None and found.equal else left).append(pair)
        stood, moved = self._stood_still(same)
        for pair in stood:
            found = self._note(pair)
            done.append(self._equal(pair, found or SAME))
        return left, moved


def _given_up(pair: _Pair) -> Judgement:
    """Out of rounds: legacy moved each time, or failed each time in another way."""
    if isinstance(pair.legacy, Failure):
        return Judgement(key=pair.key, verdict=Verdict.LEGACY_ERROR, legacy_failure=pair.legacy)
    return Judgement(key=pair.key, verdict=Verdict.UNSETTLED)


def _later(as_of: dt.datetime | None, instant: dt.datetime) -> bool:
    """Strictly: a commit of the same instant may have come after the relay looked."""
    return as_of is not None and as_of > instant
