"""Verify: replay a version's history twice, in different orders and batches, and compare with what it serves (R5).

Order is promised per subject only. So the second replay keeps that and nothing else: other batches, as many workers as
there are partitions instead of one, subjects of a batch shuffled. A projection that depends on more gives another digest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from toolkit import commands
from toolkit.core.errors import NotYet
from toolkit.core.events import Catalogue, EventType
from toolkit.core.evidence import Verification
from toolkit.core.handlers import Handler
from toolkit.core.meanings import unheard
from toolkit.core.projections import Definition, row_json
from toolkit.loops.code import code_behind, code_of, data_of, source_of
from toolkit.loops.history import whole
from toolkit.loops.live import COLUMNS, EXAMPLES, Compared, compare, noted, shortened
from toolkit.loops.purity import impure_steps, impurities
from toolkit.loops.refold import Due, Past, Refold, sequences
from toolkit.loops.watching import Watch
from toolkit.ports import Archive, Clock, ParkedEvent, ReadStore

FIRST_BATCH, SECOND_BATCH = 1000, 137
_LATER = f"run `{commands.RELAY} --once`, or let the relay catch up, and ask again"

Rows = Mapping[object, dict[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The record to keep, and everything that was found, one line each."""

    record: Verification
    rows: int
    events: int
    findings: tuple[str, ...]
    found: Compared
    """of the live table"""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay is to be of: up to which sequence of each (topic, partition), without which parked events."""

    positions: list[tuple[str, int, int]]
    left_out: list[str]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay in another process came to: agreement; or its rows; or why there are none."""

    rows: list[bytes] = []
    failed: str = ""


class Elsewhere(Protocol):
    """A replay in another process, where hashes, time zone, language and folder are others."""

    def ask(self, asked: Asked) -> None:
        """Begin; it works while we do."""

    def told(self, digest: str) -> Told:
        """Wait for it, and compare with our digest."""


def verify(
    definition: Definition,
    catalogue: Catalogue,
    store: ReadStore,
    archive: Archive,
    clock: Clock,
    *,
    batches: tuple[int, int] = (FIRST_BATCH, SECOND_BATCH),
    elsewhere: Elsewhere | None = None,
) -> Verified:
    """Replay twice up to where the live table stands (and once more elsewhere), and compare. Changes nothing.

    Events that are parked live, or were skipped, are left out: their effect is not in the table either. Raises Refused when the archive
    was pruned: what the table began with cannot be replayed. Raises NotYet where nothing was found, and not every row of
    the table could be compared.
    """
    live = store.digest(definition)
    whole(
        archive, Counter(one.topic for one in live.checkpoints), f"{definition.identity} cannot be verified"
    )
    positions = sequences(live.checkpoints)
    if missing := noted(archive, positions):
        raise NotYet(f"{definition.identity} cannot be verified now", [*missing, _LATER])
    left_out = frozenset((*live.parked, *live.skipped))
    past = Past(archive, positions, left_out, unheard=unheard(definition, catalogue))
    if elsewhere is not None:
        there = [(topic, partition, sequence) for (topic, partition), sequence in positions.items()]
        elsewhere.ask(Asked(positions=there, left_out=sorted(left_out)))
    known = _looked_into(definition)
    first = Refold(definition, catalogue, clock).through(past.in_order(batches[0]))
    digest, rows, events = first.digest(), len(first.rows), first.events  # before history is folded on
    findings = [
        *_twice(definition, catalogue, first, past.interleaved(batches[1]), clock, known),
        *([] if elsewhere is None else _elsewhere(elsewhere.told(digest), first)),
    ]
    found = Compared() if digest == live.digest else compare(definition, store, archive, first, live)
    drift = [*_failed(first.parked), *_drift(found, digest == live.digest)]
    if found.undecided and not findings and not drift:
        raise NotYet(f"{definition.identity} cannot be compared with its live table now", found.undecided)
    how = _how(batches, len(positions), elsewhere is not None)
    summary = _summary(f"{events} events replayed twice", rows, len(live.skipped), how, findings, drift)
    record = Verification(
        projection=definition.name,
        version=definition.version,
        at=clock(),
        deterministic=not findings,
        drifted=bool(drift),
        code_hash=code_hash(definition),
        upcaster_hash=upcaster_hash(definition, catalogue),
        positions={f"{topic}/{partition}": sequence for (topic, partition), sequence in positions.items()},
        digest=digest,
        skipped=live.skipped,
        detail="; ".join((summary, *found.undecided)),
    )
    return Verified(record=record, rows=rows, events=events, findings=(*findings, *drift), found=found)


def _twice(
    definition: Definition,
    catalogue: Catalogue,
    first: Refold,
    batches: Iterator[list[Due]],
    clock: Clock,
    known: dict[str, str],
) -> list[str]:
    """Replay again, otherwise and watched. What was seen that replays might not agree on, and whether these did."""
    watch = Watch(definition)
    second = Refold(definition, catalogue, clock).through(batches, watch)
    return [
        *map(str, impurities(definition)),
        *(str(one) for kind in _kinds(definition, catalogue) for one in impure_steps(kind)),
        *watch.seen,
        *_changed(known, _looked_into(definition)),
        *_unlike(definition, first.rows, second.rows),
    ]


def replay_of(
    definition: Definition, catalogue: Catalogue, archive: Archive, clock: Clock, asked: Asked
) -> Refold:
    """Fold what was asked for, in order."""
    positions = {(topic, partition): sequence for topic, partition, sequence in asked.positions}
    past = Past(archive, positions, frozenset(asked.left_out), unheard=unheard(definition, catalogue))
    return Refold(definition, catalogue, clock).through(past.in_order(FIRST_BATCH))


# --- what it says


def _unlike(definition: Definition, one: Rows, other: Rows) -> list[str]:
    """The rows in which two replays differ, the first few of them with what differs."""
    keys = [key for key in dict.fromkeys((*one, *other)) if one.get(key) != other.get(key)]
    told = [
        f"replayed twice: {definition.key_label} {key!r}: {_values(one.get(key), other.get(key))}"
        for key in keys[:EXAMPLES]
    ]
    if len(keys) > EXAMPLES:
        told.append(f"replayed twice: {len(keys) - EXAMPLES} more rows differ")
    return told


def _values(one: Mapping[str, object] | None, other: Mapping[str, object] | None) -> str:
    if one is None or other is None:
        return f"{'no row' if one is None else 'a row'} and {'no row' if other is None else 'a row'}"
    differing = [name for name in one if one[name] != other[name]]
    told = [f"{name} {shortened(one[name])} and {shortened(other[name])}" for name in differing[:COLUMNS]]
    more = len(differing) - len(told)
    return ", ".join(told) + (f", and {more} more columns" if more else "")


def _elsewhere(told: Told, replay: Refold) -> list[str]:
    """What another process makes of the same events: what differs, depends on the process."""
    if told.failed:
        return [f"replayed in another process: it failed: {told.failed}"]
    if not told.rows:
        return []
    here = [row_json(replay.rows[key]) for key in sorted(replay.rows)]  # type: ignore[type-var]
    pairs = [(one, other) for one, other in zip(here, told.rows, strict=False) if one != other]
    said = [
        f"replayed in another process: {one.decode()} here and {other.decode()} there: it depends on the order of a set, "
        "the time zone, the language or the folder of the process"
        for one, other in pairs[:EXAMPLES]
    ]
    return said or [f"replayed in another process: {len(told.rows)} rows there, {len(here)} here"]


def _failed(parked: list[ParkedEvent]) -> list[str]:
    """Events that went through live and cannot be applied now: the code is another one."""
    failing = [one for one in parked if not one.held]
    told = [
        f"event {one.record.sequence} of {one.topic}[{one.record.partition}] is in the table, "
        f"but cannot be applied again: {one.reason}"
        for one in failing[:EXAMPLES]
    ]
    if len(failing) > EXAMPLES:
        told.append(f"{len(failing) - EXAMPLES} more events cannot be applied again")
    return told


def _drift(found: Compared, same: bool) -> list[str]:
    """What is to be said of the live table."""
    more = found.rows - len(found.told)
    told = [*found.told, *([f"the live table: {more} more rows differ (--json lists them)"] if more else [])]
    if told or found.undecided or same:
        return told
    mended = "it was mended, or written over, meanwhile; ask again"
    return [
        f"the live table was not what its history gave when this began, and every row is by now: {mended}"
    ]


def _how(batches: tuple[int, int], partitions: int, elsewhere: bool) -> str:
    """How it was replayed, for the record."""
    workers = max(1, partitions)
    told = f"1 worker with batches of {batches[0]}, {workers} with batches of {batches[1]}"
    return told + ("; once more in another process" if elsewhere else "")


def _summary(replayed: str, rows: int, skipped: int, how: str, findings: list[str], drift: list[str]) -> str:
    if findings:
        return "not deterministic: " + _first([*findings, *drift])
    replayed += f" without {skipped} that were skipped" if skipped else ""
    if drift:
        return f"drifted: {_first(drift)} ({replayed} give the same {rows} rows: the live table is another)"
    return f"{replayed}: the same {rows} rows, and the live table has them ({how})"


def _first(findings: list[str]) -> str:
    more = f" (and {len(findings) - EXAMPLES} more findings)" if len(findings) > EXAMPLES else ""
    return "; ".join(findings[:EXAMPLES]) + more


def _looked_into(definition: Definition) -> dict[str, str]:
    """What handlers look into besides row and event: code tables of modules, attributes of the class."""
    return {
        name: text for one in code_of(definition) for name, text in data_of(definition.row_class, one).items()
    }


def _changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Caches and counters: a replay begins without what they hold by now, whoever filled them."""
    return [
        f"{name} is another one after the replay than before: handlers look into it, and it does not stay as it is"
        for name in before
        if before[name] != after.get(name)
    ]


# --- which code it was


def code_hash(definition: Definition) -> str:
    """Hash of what decides a row: columns, defaults, handlers, the functions they call and the tables they look into."""
    columns = [(one.name, one.type, one.nullable, one.vocabulary) for one in definition.columns]
    handlers = sorted(
        (name, one.creates, one.key, one.meanings, one.passes_over, *_spreading(one))
        for name, one in definition.handlers.items()
    )
    known = [
        definition.name,
        definition.version,
        definition.key,
        columns,
        dict(definition.defaults),
        handlers,
    ]
    codes = code_of(definition)
    return _hash([known, [one.text for one in codes], [data_of(definition.row_class, one) for one in codes]])


def _spreading(handler: Handler) -> tuple[object, ...]:
    return (handler.each, handler.whole, handler.every) if handler.rule.spreads else ()


def upcaster_hash(definition: Definition, catalogue: Catalogue) -> str:
    """Hash of how the events it handles are read: versions, meanings, fields, upcasters, mappings, and what they call."""
    known = []
    for kind in _kinds(definition, catalogue):
        fields = [(one.name, str(one.type), one.required) for one in msgspec.structs.fields(kind.cls)]
        functions = [*kind.upcasters.values(), *(one.function for one in kind.maps.values())]
        codes = code_behind(functions)
        texts = [source_of(one) for one in functions] + [one.text for one in codes]
        steps = [sorted(kind.upcasters), sorted(kind.maps), texts]
        data = [data_of(object, one) for one in codes]
        known.append((kind.name, kind.version, kind.meaning, fields, steps, data))
    return _hash(known)


def _kinds(definition: Definition, catalogue: Catalogue) -> list[EventType]:
    """The event types that a projection handles."""
    return [catalogue.by_name(name) for name in sorted(definition.handlers)]


def _hash(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()
