"""What is in the file, as it is in memory: versions with their rows, positions and parked events. Only entries change it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec

from toolkit.core.columns import ColumnType
from toolkit.core.errors import UsageError
from toolkit.core.projections import Definition
from toolkit.ports import Checkpoint, ParkedEvent, SkippedEvent, VersionState

Of = tuple[str, int]
"""A version of a projection."""
Layout = tuple[tuple[str, str], ...]
"""The columns with their types: rows of others are another version's."""
_MEANT: dict[ColumnType, Any] = {
    ColumnType.DECIMAL: Decimal,
    ColumnType.DATE: dt.date,
    ColumnType.INSTANT: dt.datetime,
}
"""What a text of a document stands for, where JSON has no type for it."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that one transaction changed of one version."""

    of: Of
    state: VersionState | None = None
    layout: Layout = ()
    serves: bool = False
    dropped: bool = False
    deleted: list[bytes] = []
    rows: list[tuple[bytes, bytes]] = []
    moved: list[Checkpoint] = []
    parked: list[ParkedEvent] = []
    unparked: list[str] = []
    skipped: list[SkippedEvent] = []

    def encoded(self) -> bytes:
        """As the journal holds it."""
        return msgspec.msgpack.encode(self)


_ENTRY = msgspec.msgpack.Decoder(Entry)


class Table:
    """One version."""

    def __init__(self, state: VersionState, layout: Layout) -> None:
        self.state, self.layout = state, layout
        self.checkpoints: dict[tuple[str, int], Checkpoint] = {}
        self.parked: dict[str, ParkedEvent] = {}
        self.documents: dict[bytes, bytes] = {}

    def built_as(self, definition: Definition) -> Table:
        """The same, where it has the definition's columns. Raises UsageError: what the code says was changed since."""
        if self.layout != layout_of(definition):
            raise UsageError(
                f"{definition.identity} is built with other columns than the code says: give the changed projection "
                f"version={definition.version + 1}"
            )
        return self

    def named(self, key: object) -> bytes:
        """What a row is found by."""
        return msgspec.json.encode(key)

    def row(self, definition: Definition, key: object) -> dict[str, object] | None:
        """One row, with the values that were written."""
        found = self.documents.get(self.named(key))
        return None if found is None else _decoded(definition, found)

    def rows(self, definition: Definition) -> list[dict[str, object]]:
        """All of them, in the order of their keys: text by code point, as Python has it."""
        rows = [_decoded(definition, one) for one in self.documents.values()]
        return sorted(rows, key=definition.key_in)  # type: ignore[arg-type]

    def positions(self) -> list[Checkpoint]:
        """By topic and partition."""
        return [self.checkpoints[place] for place in sorted(self.checkpoints)]

    def waiting(self) -> list[ParkedEvent]:
        """The parked events by (topic, partition, sequence)."""
        return sorted(self.parked.values(), key=_place)

    def apply(self, entry: Entry) -> None:
        """What an entry says of this version."""
        self.state = entry.state or self.state
        for key in entry.deleted:
            self.documents.pop(key, None)
        self.documents.update(entry.rows)
        self.checkpoints.update({(one.topic, one.partition): one for one in entry.moved})
        for event in (*entry.unparked, *(one.event_id for one in entry.skipped)):
            self.parked.pop(event, None)
        for one in entry.parked:
            before = self.parked.get(one.record.envelope.id)
            since = one.parked_at if before is None else before.parked_at
            self.parked[one.record.envelope.id] = msgspec.structs.replace(one, parked_at=since)


class Tables:
    """All versions, and the ledgers of skipped events, which outlive them."""

    def __init__(self) -> None:
        self.known: dict[Of, Table] = {}
        self._ledgers: dict[Of, list[SkippedEvent]] = {}

    def of(self, projection: str | None = None) -> list[Table]:
        """The versions of a projection, or of all."""
        return [self.known[one] for one in sorted(self.known) if projection in (None, one[0])]

    def version(self, projection: str, version: int) -> Table:
        """One version. Raises UsageError when it is not there."""
        if (projection, version) not in self.known:
            there = ", ".join(f"v{one.state.version}" for one in self.of(projection)) or "none"
            raise UsageError(
                f"the read store has no {projection} v{version} (it has: {there}): run `strangler project` or "
                "`strangler rebuild` first"
            )
        return self.known[projection, version]

    def ledger(self, projection: str, version: int) -> list[SkippedEvent]:
        """The skipped events of a version by (topic, partition, sequence), also of one that was dropped."""
        found = self._ledgers.get((projection, version), [])
        return sorted(found, key=lambda one: _place(one.parked))

    def apply(self, encoded: bytes) -> None:
        """The next entry."""
        entry = _ENTRY.decode(encoded)
        if entry.dropped:
            self.known.pop(entry.of, None)
            return
        if entry.of not in self.known and entry.state is not None:
            self.known[entry.of] = Table(entry.state, entry.layout)
        self.known[entry.of].apply(entry)
        if entry.skipped:
            self._ledgers.setdefault(entry.of, []).extend(entry.skipped)
        if entry.serves:
            for one in self.of(entry.of[0]):
                one.state = msgspec.structs.replace(one.state, serving=one is self.known[entry.of])


def layout_of(definition: Definition) -> Layout:
    """The columns of a version, in the order of their names."""
    return tuple(sorted((one.name, one.type.value) for one in definition.columns))


def _place(one: ParkedEvent) -> tuple[str, int, int]:
    return one.topic, one.record.partition, one.record.sequence


def _decoded(definition: Definition, document: bytes) -> dict[str, object]:
    values: dict[str, object] = msgspec.json.decode(document)
    for column in definition.columns:
        meant, value = _MEANT.get(column.type), values[column.name]
        if meant is not None and value is not None:
            values[column.name] = msgspec.convert(value, meant)
    return values
