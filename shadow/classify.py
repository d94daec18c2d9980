"""What kind of drift a difference is, and which differences are the same one: kinds and fingerprints."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from shadow.compare import RECORD, Difference, Flaw
from shadow.normalise import Rules
from shadow.values import ABSENT, NotANumber, Unmapped, shown
from shadow.weaker import vanishes_under


class Kind(StrEnum):
    """Drift kinds, and what else a line of a report may be about."""

    TEMPORAL = "temporal"
    TRANSFORMATIONAL = "transformational"
    SEMANTIC = "semantic"
    MECHANICAL = "mechanical"
    UNMAPPED = "unmapped"
    """a legacy code that the compare rules do not know: the rules are wrong, or the data is"""
    ERROR = "error"
    PARKED = "parked"


class Stage(StrEnum):
    """Where on its way a record was lost: the first stage that it did not pass."""

    CAPTURED = "captured"
    TRANSLATED = "translated"
    PUBLISHED = "published"
    PROJECTED = "projected"


Locate = Callable[[str], str | None]
"""Subject to the stage that lost it, or None when nobody can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A classified difference. Drifts with one fingerprint are one thing to understand."""

    fingerprint: str
    kind: Kind
    path: str
    title: str
    rule: str = ""
    """the weaker rule under which it vanishes"""
    stage: str = ""
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Redactor:
    """Hides the values of columns: a keyed hash shows that two are equal, and nothing else."""

    columns: frozenset[str]
    secret: bytes

    def value(self, path: str, value: object) -> object:
        """The value at that path as it may be shown."""
        if isinstance(value, dict):
            return {name: self.value(self._join(path, name), one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.value(path, one) for one in value]
        hidden = self.hides(path) and value is not None and value is not ABSENT
        return self.mask(value) if hidden else shown(value)

    def mask(self, value: object) -> str:
        """The keyed hash of a value, short enough to read."""
        digest = hmac.new(self.secret, str(shown(value)).encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"redacted:{digest.hexdigest()[:12]}"

    def hides(self, path: str) -> bool:
        """Is the column of that path redacted?"""
        return top(path) in self.columns

    @staticmethod
    def _join(path: str, name: str) -> str:
        return name if path == RECORD else f"{path}.{name}"


def top(path: str) -> str:
    """The column that a path starts in."""
    return path.partition(".")[0].removesuffix("[]")


def classify(
    difference: Difference,
    rules: Rules,
    *,
    temporal: bool = False,
    subject: str = "",
    locate: Locate | None = None,
) -> Drift:
    """Tell a difference's kind. `temporal`: it has healed by itself. `locate` is asked for a record that is missing."""
    stage = ""
    rule = difference.excuse
    if temporal:
        kind = Kind.TEMPORAL
    elif difference.flaw is Flaw.UNMAPPED:
        kind = Kind.UNMAPPED
    elif difference.flaw is not None:
        kind = Kind.MECHANICAL
        stage = _stage(difference, subject, locate)
    else:
        rule = rule or vanishes_under(difference.legacy, difference.projection) or ""
        kind = Kind.TRANSFORMATIONAL if rule else Kind.SEMANTIC
    pair = _pair(difference, rules)
    return Drift(
        fingerprint=fingerprint(rules.capability, difference.path, f"{kind}/{rule or stage}", pair),
        kind=kind,
        path=difference.path,
        title=f"{difference.path}: {pair[0]} -> {pair[1]}",
        rule=rule,
        stage=stage,
        declared=bool(difference.excuse),
    )


def _stage(difference: Difference, subject: str, locate: Locate | None) -> str:
    if difference.flaw is not Flaw.MISSING or locate is None:
        return ""
    return locate(subject) or ""


def fingerprint(capability: str, path: str, kind: str, pair: tuple[str, str]) -> str:
    """The name of one thing that is wrong, however many keys show it; stable over runs."""
    text = "\x1f".join((capability, path, kind, *pair))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _pair(difference: Difference, rules: Rules) -> tuple[str, str]:
    if difference.flaw is Flaw.DUPLICATE:
        return _count(difference.legacy), _count(difference.projection)
    column = top(difference.path)
    words = frozenset() if column in rules.redact else rules.column(column).vocabulary
    hidden = column in rules.redact
    return value_class(difference.legacy, words, hidden), value_class(difference.projection, words, hidden)


def _count(records: object) -> str:
    number = len(records) if isinstance(records, list) else 0
    return {0: "absent", 1: "one record"}.get(number, "several records")


_CLASSES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "number"),
    (Decimal, "number"),
    (dt.datetime, "instant"),
    (dt.date, "date"),
    (str, "text"),
    (NotANumber, "no number"),
)


def value_class(value: object, words: frozenset[str], hidden: bool = False) -> str:
    """What a fingerprint keeps of a value: a coded value itself, of any other only its type."""
    if value is ABSENT or value is None:
        return "absent" if value is ABSENT else "null"
    if isinstance(value, dict | list):
        return "present" if isinstance(value, dict) else "list"
    if isinstance(value, Unmapped):
        return "unmapped code" if hidden else f"unmapped code {value.code!r}"
    if isinstance(value, str):
        if value in words:
            return value
        return "text" if value else "empty"
    if isinstance(value, bool) and not hidden:
        return str(value).lower()
    return next((name for kind, name in _CLASSES if isinstance(value, kind)), "other")
