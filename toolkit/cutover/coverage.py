"""Coverage: is each kind of event that was ever archived still understood, and by whom?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from toolkit.core.events import Catalogue, EventType
from toolkit.core.meanings import told, ways
from toolkit.core.projections import Definition
from toolkit.golden import Example, name_of
from toolkit.ports import SeenKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """One kind of event in the archive. `findings` is what is missing."""

    event: str
    version: int
    meaning: int
    events: int
    first_at: dt.datetime
    last_at: dt.datetime
    path: str
    golden: int
    read_by: tuple[str, ...]
    passed_over_by: tuple[str, ...]
    findings: tuple[str, ...]


def coverage(
    catalogue: Catalogue, definitions: Iterable[Definition], kept: Sequence[Example], seen: Iterable[SeenKind]
) -> list[Covered]:
    """Every kind that was seen, whatever its topic, with its path to today, its examples and its readers."""
    together: dict[tuple[str, int, int], SeenKind] = {}
    for one in seen:
        key = (one.type, one.version, one.meaning)
        before = together.get(key)
        together[key] = one if before is None else _sum(before, one)
    versions = list(definitions)
    return [_covered(catalogue, versions, kept, one) for _, one in sorted(together.items())]


def uncovered(
    catalogue: Catalogue, definitions: Iterable[Definition], kept: Sequence[Example], seen: Iterable[SeenKind]
) -> tuple[str, ...]:
    """What is missing for these definitions, by kind: of the types that they read, and of those that nobody knows."""
    versions = list(definitions)
    read = {name for one in versions for name in one.handlers}
    return tuple(
        f"{one.event} v{one.version} m{one.meaning}: {finding}"
        for one in coverage(catalogue, versions, kept, seen)
        if one.event in read or one.event not in catalogue.types
        for finding in one.findings
    )


def _sum(one: SeenKind, other: SeenKind) -> SeenKind:
    return SeenKind(
        topic=one.topic,
        type=one.type,
        version=one.version,
        meaning=one.meaning,
        events=one.events + other.events,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
    )


def _covered(
    catalogue: Catalogue, versions: list[Definition], kept: Sequence[Example], seen: SeenKind
) -> Covered:
    kind = catalogue.types.get(seen.type)
    key = (seen.type, seen.version, seen.meaning)
    golden = sum(one.kind == key for one in kept)
    found = Covered(
        event=seen.type,
        version=seen.version,
        meaning=seen.meaning,
        events=seen.events,
        first_at=seen.first_at,
        last_at=seen.last_at,
        path="none",
        golden=golden,
        read_by=(),
        passed_over_by=(),
        findings=(),
    )
    missing = [] if golden else [f"no golden example: {name_of(key)}"]
    if kind is None:
        said = "it is in no catalogue: every projection parks it, and a rebuild stops at it"
        return replace(found, findings=(said, *missing))
    path, faults = _path(kind, seen)
    readers, passing, parking = _readers(kind, seen.meaning, versions)
    return replace(
        found,
        path=path,
        read_by=tuple(readers),
        passed_over_by=tuple(passing),
        findings=(*faults, *(f"{one} cannot read this meaning" for one in parking), *missing),
    )


def _path(kind: EventType, seen: SeenKind) -> tuple[str, list[str]]:
    """How it becomes the current version, and what is in the way."""
    faults = []
    if seen.meaning not in kind.meanings:
        faults.append(f"nobody says what meaning {seen.meaning} means")
    if not 1 <= seen.version <= kind.version:
        return "none", [f"version {seen.version} is not one of this project's 1 to {kind.version}", *faults]
    for step in range(seen.version, kind.version):
        if step not in kind.upcasters:
            return "none", [f"no upcaster from version {step} to {step + 1}", *faults]
    steps = " > ".join(str(one) for one in range(seen.version, kind.version + 1))
    return (steps if seen.version < kind.version else "current"), faults


def _readers(
    kind: EventType, meaning: int, versions: list[Definition]
) -> tuple[list[str], list[str], list[str]]:
    """Who reads the meaning, who passes over it, and who would park it."""
    reading, passing, parking = [], [], []
    for one in versions:
        handler = one.handlers.get(kind.name)
        if handler is None:
            continue
        found = ways(kind, handler, meaning)
        if meaning in handler.passes_over:
            passing.append(one.identity)
        elif len(found) != 1:
            parking.append(one.identity)
        else:
            reading.append(one.identity + _said_as(found[0]))
    return reading, passing, parking


def _said_as(chain: tuple[int, ...]) -> str:
    if len(chain) == 1:
        return ""
    by = f", by {told(chain)}" if len(chain) > 2 else ""
    return f" (as meaning {chain[-1]}{by})"
