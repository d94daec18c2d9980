"""Verify: replay a version's history twice, in different orders and batches, and compare with what it serves (R5).

Order is promised per subject only. So the second replay keeps that and nothing else: other batches, as many workers as
there are partitions instead of one, subjects of a batch shuffled. A projection that depends on more gives another digest.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import msgspec

from toolkit import commands
from toolkit.core.events import Catalogue, EventType
from toolkit.core.evidence import Verification
from toolkit.core.projections import Definition, Handler, row_json
from toolkit.core.records import Record
from toolkit.loops import folding
from toolkit.loops.code import code_behind, code_of, data_of, source_of
from toolkit.loops.folding import Held, Place, Step
from toolkit.loops.history import whole
from toolkit.loops.packed import PackedRows
from toolkit.loops.purity import impure_steps, impurities
from toolkit.loops.siblings import Siblings
from toolkit.loops.watching import Watch
from toolkit.ports import Archive, Checkpoint, Clock, Digest, ParkedEvent, ReadStore

FIRST_BATCH, SECOND_BATCH = 1000, 137
WINDOW = 5000
"""Events of a partition whose subjects are shuffled: far more than a batch, or what is rare would stay in its order."""
EXAMPLES = 3
COLUMNS, WIDTH = 5, 60
"""Of a row that differs, how many columns are shown, and how much of each value."""
_ALL = 2**62

Rows = Mapping[object, dict[str, object]]
Due = tuple[str, Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The record to keep, and everything that was found, one line each."""

    record: Verification
    rows: int
    events: int
    findings: tuple[str, ...]


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
    was pruned: what the table began with cannot be replayed.
    """
    live = store.digest(definition)
    topics = Counter(one.topic for one in live.checkpoints)
    whole(archive, topics, f"{definition.identity} cannot be verified")
    positions = {place: one.sequence for place, one in folding.places(live.checkpoints).items()}
    left_out = frozenset((*live.parked, *live.skipped))
    history = _History(archive, positions, left_out)
    if elsewhere is not None:
        there = [(topic, partition, sequence) for (topic, partition), sequence in positions.items()]
        elsewhere.ask(Asked(positions=there, left_out=sorted(left_out)))
    known = _looked_into(definition)
    first = _replay(definition, catalogue, history.in_order(batches[0]), clock)
    watch = Watch(definition)
    second = _replay(definition, catalogue, history.interleaved(batches[1]), clock, watch)
    findings = [
        *map(str, impurities(definition)),
        *(str(one) for kind in _kinds(definition, catalogue) for one in impure_steps(kind)),
        *watch.seen,
        *_changed(known, _looked_into(definition)),
        *_unlike("replayed twice", definition, first.rows, second.rows),
        *([] if elsewhere is None else _elsewhere(elsewhere.told(first.digest()), first)),
    ]
    drift = [*_failed(first.parked), *_against_live(definition, store, live, first)]
    record = Verification(
        projection=definition.name,
        version=definition.version,
        at=clock(),
        deterministic=not findings,
        drifted=bool(drift),
        code_hash=code_hash(definition),
        upcaster_hash=upcaster_hash(definition, catalogue),
        positions={f"{topic}/{partition}": sequence for (topic, partition), sequence in positions.items()},
        digest=first.digest(),
        skipped=live.skipped,
        detail=_summary(
            first, findings, drift, _how(batches, len(positions), elsewhere is not None), len(live.skipped)
        ),
    )
    return Verified(record=record, rows=len(first.rows), events=first.events, findings=(*findings, *drift))


# --- the history


class _History:
    """The events that made the live table, in one order or another."""

    def __init__(self, archive: Archive, positions: Mapping[Place, int], left_out: frozenset[str]) -> None:
        self._archive, self._positions, self._left_out = archive, positions, left_out

    def in_order(self, size: int) -> Iterator[list[Due]]:
        """As one worker gets it that has all partitions: a batch holds some of each."""
        share = max(1, size // len(self._positions))
        turns = [self._batches(place, share) for place in self._positions]
        while turns:
            mixed: list[Due] = []
            for turn in list(turns):
                batch = next(turn, None)
                if batch is None:
                    turns.remove(turn)
                else:
                    mixed += batch
            yield mixed

    def interleaved(self, size: int) -> Iterator[list[Due]]:
        """As workers get it that have one partition each, the last one first; within a window by subject, in no order
        that means anything.
        """
        turns = [self._shuffled(place, size) for place in reversed(list(self._positions))]
        while turns:
            for turn in list(turns):
                batch = next(turn, None)
                if batch is None:
                    turns.remove(turn)
                else:
                    yield batch

    def _shuffled(self, place: Place, size: int) -> Iterator[list[Due]]:
        for window in self._windows(place):
            window.sort(key=lambda due: zlib.crc32(due[1].envelope.subject[::-1].encode()))
            yield from (window[at : at + size] for at in range(0, len(window), size))

    def _batches(self, place: Place, size: int) -> Iterator[list[Due]]:
        for window in self._windows(place):
            yield from (window[at : at + size] for at in range(0, len(window), size))

    def _windows(self, place: Place) -> Iterator[list[Due]]:
        """The events of a partition, read many at a time whatever a batch holds: each page is three queries."""
        (topic, partition), end = place, self._positions[place]
        others = {number: _ALL for name, number in self._positions if name == topic}
        at = 0
        while at < end:
            page = self._archive.scan(topic, {**others, partition: at}, min(WINDOW, end - at))
            records = [one.content for one in page if isinstance(one.content, Record)]
            if not records:
                return
            at = records[-1].sequence
            yield [(topic, one) for one in records if one.envelope.id not in self._left_out]


# --- a replay


def replay_of(
    definition: Definition, catalogue: Catalogue, archive: Archive, clock: Clock, asked: Asked
) -> _Replay:
    """Fold what was asked for, in order."""
    positions = {(topic, partition): sequence for topic, partition, sequence in asked.positions}
    history = _History(archive, positions, frozenset(asked.left_out))
    return _replay(definition, catalogue, history.in_order(FIRST_BATCH), clock)


@dataclass(slots=True, kw_only=True)
class _Replay:
    rows: PackedRows
    parked: list[ParkedEvent]
    events: int = 0

    def digest(self) -> str:
        """As the read store takes it: the rows' canonical JSON in key order."""
        found = hashlib.sha256()
        for key in sorted(self.rows):  # type: ignore[type-var]
            found.update(row_json(self.rows[key]) + b"\n")
        return found.hexdigest()


def _replay(
    definition: Definition,
    catalogue: Catalogue,
    batches: Iterator[list[Due]],
    clock: Clock,
    watch: AbstractContextManager[object] | None = None,
) -> _Replay:
    """Fold in memory as a projector folds into a store: rows are loaded, changed and kept, batch by batch.

    Only what decodes and folds is watched: no user's code runs in between, and being watched takes time with every call.
    """
    watch = watch or nullcontext()
    rows = PackedRows([column.name for column in definition.columns])
    done, held, siblings = _Replay(rows=rows, parked=[]), Held(), Siblings(definition)
    for batch in batches:
        with watch:
            steps = folding.read(definition, catalogue, batch)
        keys = _row_keys(steps, siblings) if definition.parent else folding.keys(steps)
        loaded = {key: rows[key] for key in keys if key in rows}
        now = clock()
        with watch:
            folded = folding.fold(definition, steps, loaded, held, now, siblings.under)
        if definition.parent:
            siblings.add(folded.changed)
        rows.update(folded.changed)
        held |= Held.by(folded.parked)
        done.parked += folded.parked
        done.events += len(batch)
    return done


def _row_keys(steps: list[Step], siblings: Siblings) -> list[object]:
    """The keys of the rows that the steps are about, where one may be about all rows of a parent."""
    wide = [key for parent in folding.wide(steps) for key in siblings.under(parent)]
    return list(dict.fromkeys([*folding.row_keys(steps), *wide]))


# --- what it says


def _unlike(how: str, definition: Definition, one: Rows, other: Rows, *, again: bool = False) -> list[str]:
    """The rows in which two outcomes differ, the first few of them with what differs; `again`: with how each is mended."""
    keys = [key for key in dict.fromkeys((*one, *other)) if one.get(key) != other.get(key)]
    told = [
        f"{how}: {definition.key_label} {key!r}: {_values(one.get(key), other.get(key))}"
        + (f" ({_fold_again(definition, key)})" if again else "")
        for key in keys[:EXAMPLES]
    ]
    if len(keys) > EXAMPLES:
        told.append(f"{how}: {len(keys) - EXAMPLES} more rows differ")
    return told


def _values(one: Mapping[str, object] | None, other: Mapping[str, object] | None) -> str:
    if one is None or other is None:
        return f"{'no row' if one is None else 'a row'} and {'no row' if other is None else 'a row'}"
    differing = [name for name in one if one[name] != other[name]]
    told = [f"{name} {_short(one[name])} and {_short(other[name])}" for name in differing[:COLUMNS]]
    more = len(differing) - len(told)
    return ", ".join(told) + (f", and {more} more columns" if more else "")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}..."


def _fold_again(definition: Definition, key: object) -> str:
    return commands.reproject(definition.name, [definition.key_text(key)])


def _elsewhere(told: Told, replay: _Replay) -> list[str]:
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


def _against_live(definition: Definition, store: ReadStore, live: Digest, replay: _Replay) -> list[str]:
    """The rows of the table that are not what its history gives, and how they are mended.

    A projector may go on meanwhile. A watermark changes no row; where events came, what they changed may be named, too.
    """
    if replay.digest() == live.digest:
        return []
    rows = PackedRows([column.name for column in definition.columns])
    after: object | None = None
    while page := store.rows(definition, after, FIRST_BATCH):
        rows.update({definition.key_in(row): row for row in page})
        after = definition.key_in(page[-1])
    then, now = (
        _sequences(live.checkpoints),
        _sequences(store.checkpoints(definition.name, definition.version)),
    )
    told = _unlike("replayed and live", definition, replay.rows, rows, again=True)
    if then == now and told:
        return told
    newer = " (events came meanwhile: the rows named may be newer; ask again)" if told else ""
    what = f"the live table ({live.rows} rows) is not what its history gives ({len(replay.rows)} rows){newer}"
    return [what, *told]


def _sequences(checkpoints: Sequence[Checkpoint]) -> dict[Place, int]:
    return {place: one.sequence for place, one in folding.places(checkpoints).items()}


def _how(batches: tuple[int, int], partitions: int, elsewhere: bool) -> str:
    """How it was replayed, for the record."""
    workers = max(1, partitions)
    told = f"1 worker with batches of {batches[0]}, {workers} with batches of {batches[1]}"
    return told + ("; once more in another process" if elsewhere else "")


def _summary(replay: _Replay, findings: list[str], drift: list[str], how: str, skipped: int) -> str:
    if findings:
        return "not deterministic: " + _first([*findings, *drift])
    without = f" without {skipped} that were skipped" if skipped else ""
    replayed = f"{replay.events} events replayed twice{without}"
    if drift:
        return f"drifted: {_first(drift)} ({replayed} give the same {len(replay.rows)} rows: the live table is another)"
    return f"{replayed}: the same {len(replay.rows)} rows, and the live table has them ({how})"


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
