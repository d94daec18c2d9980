"""Evidence: what the gates of the checklist look at. Each piece has an age, and says what it was taken of."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

import msgspec


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody answers for a known difference, for a while."""

    owner: str
    reason: str
    expires_at: dt.datetime


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fingerprint of a shadow run: however many keys show it, it is one thing to understand.

    `acceptance` is the one that is in force, if any.
    """

    fingerprint: str
    kind: str
    path: str
    keys: int
    acceptance: Acceptance | None = None


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate needs of a shadow run.

    `judged` pairs came to match, temporal or confirmed; `mismatched` are the confirmed ones that are not
    wholly covered by acceptances in force. `errors` are pairs whose projection side failed or timed out,
    `legacy_errors` those whose legacy side did; neither is judged. `installation` is that of capture as the run began.
    """

    id: str
    versions: dict[str, int]
    config_hash: str
    ended_at: dt.datetime
    judged: int
    mismatched: int
    errors: int = 0
    legacy_errors: int = 0
    findings: tuple[Finding, ...] = ()
    installation: str = ""


class ShadowRun(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow run as it is stored: what gates read, and the report that people read.

    `confirmed` are the confirmed pairs by the set of fingerprints that they show, so that acceptances can be
    applied, and expire, after the run.
    """

    id: str
    capability: str
    config_hash: str
    versions: dict[str, int]
    started_at: dt.datetime
    ended_at: dt.datetime
    verdict: str
    judged: int
    errors: int = 0
    legacy_errors: int = 0
    confirmed: tuple[tuple[tuple[str, ...], int], ...] = ()
    findings: tuple[Finding, ...] = ()
    report: dict[str, object] = {}
    installation: str = ""

    def summary(self, acceptances: Mapping[str, Acceptance]) -> RunSummary:
        """What a gate needs, under these acceptances (by fingerprint; those in force)."""
        return RunSummary(
            id=self.id,
            versions=self.versions,
            config_hash=self.config_hash,
            ended_at=self.ended_at,
            judged=self.judged,
            mismatched=sum(
                pairs for prints, pairs in self.confirmed if any(one not in acceptances for one in prints)
            ),
            errors=self.errors,
            legacy_errors=self.legacy_errors,
            installation=self.installation,
            findings=tuple(
                msgspec.structs.replace(one, acceptance=acceptances.get(one.fingerprint))
                for one in self.findings
            ),
        )


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True):
    """One key that showed one fingerprint in one run: an example, with both values as far as they may be shown."""

    run_id: str
    capability: str
    fingerprint: str
    key: str
    kind: str
    path: str
    detail: dict[str, object]


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of replaying a projection's history twice.

    `deterministic`: the replays agree, and nothing was seen that they might not agree on another time. `drifted`: the live
    table is not what its history gives, as with a row that somebody wrote by hand, or code that is no longer what made it.
    """

    projection: str
    version: int
    at: dt.datetime
    deterministic: bool
    code_hash: str
    upcaster_hash: str
    positions: dict[str, int] = {}
    """topic/partition to the last sequence that was replayed"""
    digest: str = ""
    skipped: list[str] = []
    """ids of the events that were left out because somebody said so: an input like the code"""
    detail: str = ""
    drifted: bool = False

    @property
    def holds(self) -> bool:
        """May reads rely on the version, as far as this one saw?"""
        return self.deterministic and not self.drifted


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """The way back, walked: what was done, and whether legacy answered at its end."""

    capability: str
    consumer: str
    at: dt.datetime
    passed: bool
    detail: str


class Waiver(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody answers for a gate that does not hold, for a while.

    `covers` are the single things that were wrong then, where a gate names such: another one is not answered for.
    """

    capability: str
    gate: str
    owner: str
    reason: str
    expires_at: dt.datetime
    covers: tuple[str, ...] = ()

    def active(self, now: dt.datetime) -> bool:
        """Is it still in force?"""
        return now < self.expires_at


def upper_bound(mismatches: int, judged: int, confidence: float = 0.95) -> float:
    """The mismatch rate that `mismatches` in `judged` pairs still leave possible (exact, one-sided).

    None in 300 leaves 1 %: the rule of three. Nothing judged leaves everything possible.
    """
    if judged <= 0 or mismatches >= judged:
        return 1.0
    low, high = mismatches / judged, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(mismatches, judged, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(successes: int, trials: int, rate: float) -> float:
    """Probability of at most `successes` in `trials` at `rate`."""
    if rate >= 1:
        return 0.0
    total = 0.0
    for count in range(successes + 1):
        ways = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        odds = count * math.log(rate) if count else 0.0
        total += math.exp(ways + odds + (trials - count) * math.log1p(-rate))
    return total
