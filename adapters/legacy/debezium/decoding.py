"""The settings' part in reading messages: rules by table, and what a message is by the topic that it stood in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import msgspec

from adapters.legacy.debezium import types
from adapters.legacy.debezium.envelope import (
    Boundary,
    Found,
    Ignored,
    RowChanged,
    Rules,
    Truncated,
    Undecodable,
    decode,
)
from adapters.legacy.debezium.merge import Item
from adapters.legacy.debezium.reader import Read
from adapters.legacy.debezium.routed import decode_routed
from toolkit.core.errors import Fault, ProjectError
from toolkit.ports import CapturedTable
from toolkit.settings import DebeziumSection, LegacySection, duration

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_OUTBOX = {
    "ID": "id",
    "AGGREGATETYPE": "aggregate_type",
    "AGGREGATEID": "aggregate_id",
    "TYPE": "type",
    "PAYLOAD": "payload",
}
_key = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Decoder:
    """Reads messages of the topics of one source."""

    def __init__(self, source: str, section: LegacySection, tables: Mapping[str, CapturedTable]) -> None:
        self._section = section.debezium
        self._rules = _rules(source, section.debezium, tables)
        self._rank = {table: at for at, table in enumerate(tables)}
        self._routed = {table for table, one in tables.items() if one.outbox and section.debezium.routed}
        named = {table.upper(): columns for table, columns in section.outbox_columns.items()}
        self._columns = {
            table: {
                name: getattr(named[table], key).upper() if table in named else name
                for name, key in _OUTBOX.items()
            }
            for table in self._routed
        }

    def item(self, read: Read, table: str) -> Item:
        """A message of a table's topic; what cannot be understood is one, too, with its fault."""
        fault = ""
        found: Found = Ignored(kind="unreadable")
        try:
            if table in self._routed:
                found = decode_routed(read.at[0], read.key, read.value, read.headers, self._columns[table])
            else:
                found = decode(read.value, read.key, self._rules.get(table, Rules()))
        except Undecodable as error:
            fault = str(error)
        order: tuple[str, ...] = ()
        if isinstance(found, RowChanged):
            order = found.source.order
            if found.sent_at is None and read.written_at:
                written = _EPOCH + dt.timedelta(milliseconds=read.written_at)
                found = msgspec.structs.replace(found, sent_at=written)
        elif isinstance(found, Truncated):
            order = found.source.order
        return Item(
            at=read.at,
            offset=read.offset,
            found=found,
            order=order,
            rank=self._rank.get(table, len(self._rank)),
            raw=(read.value or b"") if fault else b"",
            key=read.key if fault else None,
            fault=fault,
        )

    def plain(self, read: Read) -> Item:
        """A message of the topic of transaction metadata."""
        try:
            found = decode(read.value, read.key, Rules())
        except Undecodable:
            found = Ignored(kind="unreadable")
        return Item(at=read.at, offset=read.offset, found=found)

    def heartbeat(self, read: Read) -> tuple[str, dt.datetime] | None:
        """Connector and instant that a heartbeat tells.

        A row that the connector's heartbeat.action.query wrote is as good as any change. The connector's own heartbeat
        only says that it is alive: it tells of the source what the settings vouch for, its greatest lag.
        """
        try:
            found = decode(read.value, read.key, Rules(key=("ANY",)))
        except Undecodable:
            return None
        if isinstance(found, RowChanged | Ignored) and found.source is not None:
            source = found.source
            return None if source.instant is None or source.snapshot else (source.name, source.instant)
        if (
            isinstance(found, Boundary | Truncated)
            or found.sent_at is None
            or not self._section.connector_lag
        ):
            return None
        return _server(read.key), found.sent_at - duration(self._section.connector_lag)


def _server(key: bytes | None) -> str:
    try:
        members = _key.decode(key or b"")
        if "payload" in members:
            members = _key.decode(members["payload"])
        return msgspec.json.decode(members["serverName"], type=str)
    except (msgspec.MsgspecError, KeyError):
        return ""


def _rules(source: str, section: DebeziumSection, tables: Mapping[str, CapturedTable]) -> dict[str, Rules]:
    """By table. Raises ProjectError with every hint that is none."""
    faults: list[Fault] = []
    hints: dict[str, dict[str, object]] = {table: {} for table in tables}
    for name, text in section.columns.items():
        table, _, column = name.upper().rpartition(".")
        try:
            hint = types.hinted(text, section.decimals)
        except ValueError as error:
            faults.append(Fault(where=f"legacy.{source}.debezium.columns.{name}", what=str(error)))
            continue
        for one, known in hints.items():
            if not table:
                known.setdefault(column, hint)
            elif table == one:  # what is named with its table wins over what is named for all
                known[column] = hint
    if faults:
        raise ProjectError(faults)
    keys = {table.upper(): tuple(name.upper() for name in names) for table, names in section.keys.items()}
    return {
        table: Rules(
            hints=hints[table],  # type: ignore[arg-type]
            key=keys.get(table, ()),
            before=section.before,
            unavailable=section.unavailable,
        )
        for table in tables
    }
