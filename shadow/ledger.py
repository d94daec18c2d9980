"""The books of a run: verdicts counted, drifts gathered under their fingerprints, examples kept and redacted."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shadow.classify import Drift, Kind, Locate, Redactor, classify, fingerprint
from shadow.compare import Difference
from shadow.keys import Key
from shadow.normalise import Rules
from shadow.readers import Failure
from shadow.sandwich import Judgement, Verdict
from toolkit.core.evidence import Acceptance

ANSWER = "(answer)"
"""The path of a line that is about an answer as a whole."""

PARKED = "an event of the key is parked"

_WORST_FIRST = (Kind.MECHANICAL, Kind.SEMANTIC, Kind.UNMAPPED, Kind.TRANSFORMATIONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One key that shows a drift, with both values as far as they may be shown."""

    key: str
    row: tuple[object, ...] = ()
    legacy: object = None
    projection: object = None
    lasted: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a report: one fingerprint, however many keys show it.

    `finding`: it fails the run unless it is accepted; other lines are told, no more. `acceptance` is the one in force.
    For temporal drift `lasted` is the longest time it was seen for, `healed_within` when it was surely gone.
    """

    fingerprint: str
    kind: Kind
    path: str
    title: str
    keys: int
    finding: bool
    rule: str = ""
    stage: str = ""
    declared: bool = False
    lasted: float = 0.0
    healed_within: float = 0.0
    examples: tuple[Example, ...] = ()
    acceptance: Acceptance | None = None

    @property
    def fails(self) -> bool:
        """Is it a finding that nobody answers for?"""
        return self.finding and self.acceptance is None


@dataclass(slots=True)
class _Entry:
    drift: Drift
    finding: bool
    keys: int = 0
    last_key: str = ""
    lasted: float = 0.0
    healed_within: float = 0.0
    examples: list[Example] = field(default_factory=list)


class Ledger:
    """Takes judgements in, one by one; `lines` and `counts` are the result."""

    def __init__(
        self,
        rules: Rules,
        *,
        objective: dt.timedelta,
        redactor: Redactor,
        hidden_keys: bool = False,
        locate: Locate | None = None,
        examples: int = 20,
    ) -> None:
        self._rules = rules
        self._objective = objective.total_seconds()
        self._redactor = redactor
        self._hidden_keys = hidden_keys
        self._locate = locate
        self._examples = examples
        self._entries: dict[str, _Entry] = {}
        self.counts: Counter[str] = Counter()
        self.confirmed: Counter[tuple[str, ...]] = Counter()
        """confirmed pairs of the drawn keys by the fingerprints that they show"""
        self._agreed = 0
        self.set_aside = 0
        """keys that are parked only because nobody can say whether a parked event is of them"""
        self.because: Counter[str] = Counter()
        """what is parked, by how many keys it set aside so"""
        self.errors = 0
        self.legacy_errors = 0

    @property
    def judged(self) -> int:
        """Pairs of the drawn keys that came to a judgement: match, temporal or confirmed."""
        return self._agreed + self.confirmed.total()

    def mismatched(self, acceptances: Mapping[str, Acceptance]) -> int:
        """Confirmed pairs with a fingerprint that nobody answers for."""
        groups = self.confirmed.items()
        return sum(pairs for prints, pairs in groups if any(one not in acceptances for one in prints))

    def lines(self, acceptances: Mapping[str, Acceptance]) -> tuple[Line, ...]:
        """All lines: findings first, the most frequent first."""
        made = [self._line(entry, acceptances) for entry in self._entries.values()]
        return tuple(sorted(made, key=lambda one: (not one.fails, not one.finding, -one.keys, one.title)))

    def add(self, judgement: Judgement, *, drawn: bool = True) -> None:
        """Book one verdict. What was not drawn is told, and not weighed."""
        if judgement.verdict is Verdict.CONFIRMED:
            self._confirm(judgement, drawn=drawn)
        else:
            self.counts[judgement.verdict] += 1
            self._agreed += drawn and judgement.verdict in (Verdict.MATCH, Verdict.TEMPORAL)
        for difference in judgement.comparison.excused:
            self._book(judgement, difference, finding=False)
        if judgement.verdict is Verdict.TEMPORAL:
            late = judgement.lasted > self._objective
            for difference in judgement.comparison.differences:
                self._book(judgement, difference, finding=late, temporal=True)
        if judgement.verdict is Verdict.PARKED:
            title = "an event that may be of the key is parked" if judgement.because else PARKED
            self._whole_answer(judgement, Kind.PARKED, title, finding=False)
            self.set_aside += bool(judgement.because)
            self.because.update(judgement.because)
        self._failures(judgement)

    def _confirm(self, judgement: Judgement, *, drawn: bool) -> None:
        drifts = [self._book(judgement, one, finding=True) for one in judgement.comparison.differences]
        kinds = {drift.kind for drift in drifts}
        self.counts[next(kind for kind in _WORST_FIRST if kind in kinds)] += 1
        if drawn:
            self.confirmed[tuple(sorted({drift.fingerprint for drift in drifts}))] += 1

    def _failures(self, judgement: Judgement) -> None:
        old, new = judgement.legacy_failure, judgement.projection_failure
        if judgement.verdict is Verdict.TIMEOUT or (new is not None and not judgement.same_failure):
            self.errors += 1
        elif old is not None:
            self.legacy_errors += 1
        if old is None and new is None:
            return
        was = old.error if old else "an answer"
        becomes = new.error if new else "an answer"
        finding = new is not None and not judgement.same_failure
        title = f"{ANSWER}: {was} -> {becomes}"
        self._whole_answer(judgement, Kind.ERROR, title, finding, (self._said(old), self._said(new)))

    def _said(self, failure: Failure | None) -> str:
        """A message of a driver quotes values: with redacted columns no more of it is kept than what is known to have none."""
        if failure is None:
            return ""
        return failure.head if self._rules.redact else str(failure)

    def _whole_answer(
        self,
        judgement: Judgement,
        kind: Kind,
        title: str,
        finding: bool,
        values: tuple[str, str] = ("", ""),
    ) -> None:
        drift = Drift(
            fingerprint=fingerprint(self._rules.capability, ANSWER, kind, (title, "")),
            kind=kind,
            path=ANSWER,
            title=title,
        )
        old, new = values
        self._enter(
            drift, judgement, finding, Example(key=self._key(judgement.key), legacy=old, projection=new)
        )

    def _book(
        self, judgement: Judgement, difference: Difference, *, finding: bool, temporal: bool = False
    ) -> Drift:
        drift = classify(
            difference,
            self._rules,
            temporal=temporal,
            subject=judgement.key.subject,
            locate=self._locate,
        )
        example = Example(
            key=self._key(judgement.key),
            row=tuple(self._row(difference.row)),
            legacy=self._redactor.value(difference.path, difference.legacy),
            projection=self._redactor.value(difference.path, difference.projection),
            lasted=judgement.lasted,
        )
        self._enter(drift, judgement, finding, example)
        return drift

    def _enter(self, drift: Drift, judgement: Judgement, finding: bool, example: Example) -> None:
        entry = self._entries.setdefault(drift.fingerprint, _Entry(drift, finding))
        entry.finding = entry.finding or finding
        entry.lasted = max(entry.lasted, judgement.lasted)
        entry.healed_within = max(entry.healed_within, judgement.healed_within)
        # One key may show a drift in several records: it is one key.
        if entry.keys == 0 or entry.last_key != example.key:
            entry.keys += 1
            entry.last_key = example.key
            if len(entry.examples) < self._examples:
                entry.examples.append(example)

    def _key(self, key: Key) -> str:
        return self._redactor.mask(key.label) if self._hidden_keys else key.label

    def _row(self, row: Iterable[object]) -> Iterable[object]:
        for column, value in zip(self._rules.rows, row, strict=False):
            yield self._redactor.value(column, value)

    def _line(self, entry: _Entry, acceptances: Mapping[str, Acceptance]) -> Line:
        drift = entry.drift
        return Line(
            fingerprint=drift.fingerprint,
            kind=drift.kind,
            path=drift.path,
            title=drift.title,
            keys=entry.keys,
            finding=entry.finding,
            rule=drift.rule,
            stage=drift.stage,
            declared=drift.declared,
            lasted=entry.lasted,
            healed_within=entry.healed_within,
            examples=tuple(entry.examples),
            acceptance=acceptances.get(drift.fingerprint),
        )
