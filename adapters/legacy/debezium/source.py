"""The envelope's `source` block: where in the database's history a change stands. Pure; its fields differ by connector."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NOT_SNAPSHOT = ("false", "", "none")
# What names the place of one row's change, by connector. `row` and `event_serial_no` number rows of one log record.
_PLACE = {
    "mysql": ("server_id", "gtid", "file", "pos", "row"),
    "mariadb": ("server_id", "gtid", "file", "pos", "row"),
    "postgresql": ("txId", "lsn"),
    "sqlserver": ("commit_lsn", "change_lsn", "event_serial_no"),
    "oracle": ("commit_scn", "scn", "txId", "rs_id", "ssn"),
    "db2": ("commit_lsn", "change_lsn"),
}
_ALL = tuple(dict.fromkeys(field for fields in _PLACE.values() for field in fields))


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What the source block tells of one change.

    `place` is the same whenever the connector sends the change again, and empty where the block does not name one. A
    place is not yet unique: rows of one log record may share it. `order` compares places of one connector.
    """

    connector: str = ""
    name: str = ""
    schema: str = ""
    table: str = ""
    snapshot: bool = False
    instant: dt.datetime | None = None
    """when the database committed it (MySQL: when the statement began, in whole seconds), never later"""
    place: str = ""
    order: tuple[str, ...] = ()


def source_of(block: Mapping[str, Any]) -> Source:
    """Read a source block; what it does not have stays empty."""
    connector = str(block.get("connector") or "").lower()
    snapshot = str(block.get("snapshot")).lower() not in _NOT_SNAPSHOT
    instant = _instant(block)
    return Source(
        connector=connector,
        name=str(block.get("name") or ""),
        schema=str(block.get("schema") or block.get("db") or ""),
        table=str(block.get("table") or ""),
        snapshot=snapshot,
        instant=instant,
        place=_place(connector, block, instant, snapshot),
        order=_order(connector, block, instant),
    )


def instant_of(milliseconds: object) -> dt.datetime | None:
    """Milliseconds from 1970 as an instant; None for none, and for the zero that old versions write."""
    if not isinstance(milliseconds, int) or milliseconds <= 0:
        return None
    return _EPOCH + dt.timedelta(milliseconds=milliseconds)


def _instant(block: Mapping[str, Any]) -> dt.datetime | None:
    known = instant_of(block.get("ts_ms"))
    if known is not None:
        return known
    micros = block.get("ts_usec")
    return instant_of(micros // 1000) if isinstance(micros, int) else None


def _place(connector: str, block: Mapping[str, Any], instant: dt.datetime | None, snapshot: bool) -> str:
    fields = _PLACE.get(connector, _ALL)
    held = [str(block.get(field)) for field in fields if block.get(field) not in (None, "")]
    if not held:
        return ""
    # A binlog or an LSN begins anew after a reset; the commit's instant tells the two histories apart. That of a
    # snapshot is when the row was read, which differs each time.
    when = "" if instant is None or snapshot else str(int(instant.timestamp() * 1000))
    return "/".join([connector or "debezium", *held, *([when] if when else [])])


def _order(connector: str, block: Mapping[str, Any], instant: dt.datetime | None) -> tuple[str, ...]:
    when = _padded(int(instant.timestamp() * 1000) if instant else 0)
    if connector in ("mysql", "mariadb") and block.get("file"):
        name, _, number = str(block["file"]).rpartition(".")
        return (name, number.zfill(20), _padded(block.get("pos")), _padded(block.get("row")))
    if connector == "postgresql":
        # Transactions come in the order of their commits, so the LSN of a change alone does not order them.
        return (*_sequence(block.get("sequence"), when), _padded(block.get("lsn")))
    if connector in ("sqlserver", "db2"):
        commit, change = (str(block.get(field) or "") for field in ("commit_lsn", "change_lsn"))
        return (commit, change, _padded(block.get("event_serial_no")))
    if connector == "oracle":
        return tuple(_padded(block.get(field)) for field in ("commit_scn", "scn", "ssn"))
    return (when,)


def _sequence(text: object, when: str) -> tuple[str, ...]:
    """PostgreSQL's `sequence`: the LSN of the last commit before, and the change's. Older connectors have none."""
    if not isinstance(text, str):
        return ("", when)
    try:
        commit = msgspec.json.decode(text, type=list[str | None])[0]
    except (msgspec.MsgspecError, IndexError):
        return ("", when)
    return (_padded(commit), "")


def _padded(number: object) -> str:
    return str(number if number is not None else 0).zfill(20)
