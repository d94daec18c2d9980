"""`[legacy.NAME]`: one legacy source, and how its changes are captured."""

from __future__ import annotations

import re
from typing import Literal

from toolkit.core.errors import Fault
from toolkit.settings.units import Section, check_duration, size


class TableSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[legacy.NAME.table.TABLE]`: how one table is captured, where the whole row by its own key is not what is wanted.

    `columns` are captured and no others, or all but those in `ignore`; key and subject always are. `key` identifies a
    row where the table has no key of its own. `statement` captures once for each statement instead of each row.
    """

    columns: list[str] = []
    ignore: list[str] = []
    key: list[str] = []
    statement: bool = False


class PollSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[legacy.NAME.poll]`: tables read by a watermark column, a time or a growing number that each write moves on.

    Each poll reads again what lies up to `window` (numbers: `window_count`) behind the highest watermark, for late commits.
    Every `sweep`, all rows are compared (or only their keys looked at), which finds deletes and what the column missed.
    """

    watermark: dict[str, str] = {}
    window: str = "5m"
    window_count: int = 10_000
    interval: str = "1s"
    sweep: str = "1h"
    compare: str = "rows"
    keep: str = "image"
    promise: str = "poll"


class SnapshotSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[legacy.NAME.snapshot]`: every `interval`, all rows are compared with what was seen of them last."""

    interval: str = "15m"
    keep: str = "image"


class WalSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[legacy.NAME.wal]`: reading PostgreSQL's log (`capture = "wal"`).

    `identity` says how much of a former row the log holds: `full`, or `default`, the key alone where that is enough.
    """

    slot: str = ""
    publication: str = ""
    max_retained: str = "2GB"
    identity: str = "full"


class DebeziumSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[legacy.NAME.debezium]`: the topics that a Debezium connector writes, and what its messages do not say themselves.

    `bootstrap` and `settings` reach the Kafka cluster (default: that of `[log]`). `prefix` finds the topic of each table,
    `topics` names them. `columns`, `keys`, `decimals`, `before` and `unavailable` help to read values; `remember` keeps
    the last state of each row. `heartbeat`, `connector_lag` and `in_flight` decide what may be promised.
    """

    bootstrap: str = ""
    settings: dict[str, str] = {}
    prefix: str = ""
    topics: dict[str, str] = {}
    transactions: str = ""
    heartbeat: list[str] = []
    start: Literal["earliest", "latest"] = "earliest"
    routed: bool = False
    columns: dict[str, str] = {}
    keys: dict[str, list[str]] = {}
    decimals: Literal["precise", "string", "double"] = "precise"
    before: Literal["", "full", "key"] = ""
    unavailable: str = "__debezium_unavailable_value"
    remember: list[str] = []
    window: int = 50_000
    in_flight: str = "2s"
    connector_lag: str = ""


class OutboxColumns(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[legacy.NAME.outbox_columns.TABLE]`: what an outbox table calls its columns, and what becomes of an UPDATE there."""

    id: str = "ID"
    aggregate_type: str = "AGGREGATETYPE"
    aggregate_id: str = "AGGREGATEID"
    type: str = "TYPE"
    payload: str = "PAYLOAD"
    occurred_at: str = "OCCURRED_AT"
    schema_version: str = "SCHEMA_VERSION"
    update: Literal["park", "ignore"] = "park"


class LegacySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[legacy.NAME]`: one legacy source.

    `tables` are captured by trigger; `outbox` names tables in Debezium's outbox layout.
    The limits guard the legacy system: at most `max_reads` reads at once, each cancelled after `read_timeout`.
    `shards` leaders relay it side by side, each its own subjects.
    """

    url: str
    context: str
    capture: str = "trigger"
    tables: list[str] = []
    outbox: list[str] = []
    table: dict[str, TableSection] = {}
    read_timeout: str = "5s"
    max_reads: int = 4
    chunk: int = 1000
    pace: float = 1.0
    shards: int = 1
    poll: PollSection = PollSection()
    snapshot: SnapshotSection = SnapshotSection()
    wal: WalSection = WalSection()
    debezium: DebeziumSection = DebeziumSection()
    outbox_columns: dict[str, OutboxColumns] = {}


ENGINES_OWN = ("trigger", "outbox")
"""Ways of capture that write beside the rows, in the legacy database; every other one fetches (`strangler.capture`)."""


def check_legacy(path: str, legacy: LegacySection) -> list[Fault]:
    """Everything that is wrong with one source."""
    faults: list[Fault] = []
    if legacy.capture == "outbox" and legacy.tables:
        faults.append(
            Fault(
                where=f"{path}.tables", what='capture = "outbox" reads outbox tables only', next="use trigger"
            )
        )
    if not legacy.tables and not legacy.outbox:
        faults.append(
            Fault(where=f"{path}.tables", what="nothing to capture", next="list tables or outbox tables")
        )
    if legacy.chunk < 1:
        faults.append(Fault(where=f"{path}.chunk", what="must be 1 or more"))
    if not 0 < legacy.pace <= 1:
        faults.append(Fault(where=f"{path}.pace", what="must be above 0 and at most 1: a share of time"))
    if legacy.max_reads < 1:
        faults.append(Fault(where=f"{path}.max_reads", what="must be 1 or more"))
    if legacy.shards < 1:
        faults.append(Fault(where=f"{path}.shards", what="must be 1 or more"))
    if legacy.shards > 1 and legacy.capture not in ENGINES_OWN:
        what = f'capture = "{legacy.capture}" fetches changes by one process, and does not divide them among several'
        then = (
            "leave it out: one process leads the source, and others that run the same command stand by; where that is too slow, "
            'capture = "trigger" is divided among several'
        )
        faults.append(Fault(where=f"{path}.shards", what=what, next=then))
    check_duration(legacy.read_timeout, f"{path}.read_timeout", faults)
    faults.extend(_check_tables(path, legacy))
    faults.extend(_check_fetching(path, legacy))
    _check_wal(f"{path}.wal", legacy.wal, faults)
    faults.extend(_check_outbox(path, legacy))
    if legacy.capture == "debezium":
        faults.extend(_check_debezium(path, legacy))
    return faults


def _check_outbox(path: str, legacy: LegacySection) -> list[Fault]:
    known = {table.upper() for table in legacy.outbox}
    return [
        Fault(where=f"{path}.outbox_columns.{table}", what=f"{table} is not one of {path}.outbox")
        for table in legacy.outbox_columns
        if table.upper() not in known
    ]


def _check_debezium(path: str, legacy: LegacySection) -> list[Fault]:
    where, section = f"{path}.debezium", legacy.debezium
    known = {table.upper() for table in (*legacy.tables, *legacy.outbox)}
    faults = [
        Fault(where=f"{where}.{key}", what=f"{table} is not one of {path}.tables or {path}.outbox")
        for key, tables in (
            ("topics", section.topics.values()),
            ("keys", section.keys),
            ("remember", section.remember),
        )
        for table in tables
        if table.upper() not in known
    ]
    if not section.prefix and not section.topics:
        what, then = (
            "neither prefix nor topics",
            "set prefix to the connector's topic.prefix, or name the topics",
        )
        faults.append(Fault(where=where, what=what, next=then))
    if section.window < 1:
        faults.append(Fault(where=f"{where}.window", what="must be 1 or more"))
    check_duration(section.in_flight, f"{where}.in_flight", faults)
    if section.connector_lag:
        check_duration(section.connector_lag, f"{where}.connector_lag", faults)
    return faults


def _check_fetching(path: str, legacy: LegacySection) -> list[Fault]:
    """Polls and snapshots: durations, words, and watermarks of tables that are captured."""
    faults: list[Fault] = []
    poll, snapshot = legacy.poll, legacy.snapshot
    for name in ("window", "interval", "sweep"):
        check_duration(getattr(poll, name), f"{path}.poll.{name}", faults)
    check_duration(snapshot.interval, f"{path}.snapshot.interval", faults)
    for where, word, words in (
        ("poll.compare", poll.compare, ("rows", "keys")),
        ("poll.promise", poll.promise, ("poll", "sweep")),
        ("poll.keep", poll.keep, ("image", "hash")),
        ("snapshot.keep", snapshot.keep, ("image", "hash")),
    ):
        if word not in words:
            faults.append(Fault(where=f"{path}.{where}", what=f"{word!r} is none of {', '.join(words)}"))
    if poll.promise == "sweep" and poll.compare == "keys":
        what = 'a sweep that looks at keys alone sees no update: promise = "sweep" needs compare = "rows"'
        faults.append(Fault(where=f"{path}.poll.promise", what=what))
    if poll.window_count < 0:
        faults.append(Fault(where=f"{path}.poll.window_count", what="must be 0 or more"))
    known = {table.upper() for table in legacy.tables}
    for table in poll.watermark:
        if table.upper() not in known:
            what = f"{table} is not one of the tables of {path}"
            faults.append(Fault(where=f"{path}.poll.watermark", what=what))
    if legacy.outbox and legacy.capture in ("poll", "snapshot"):
        what = f'capture = "{legacy.capture}" cannot read outbox tables: it does not see in which order their rows came'
        faults.append(
            Fault(where=f"{path}.outbox", what=what, next="capture them by trigger, wal or debezium")
        )
    return faults


_SLOT = re.compile(r"^[a-z0-9_]{0,63}$")


def _check_wal(path: str, wal: WalSection, faults: list[Fault]) -> None:
    if not _SLOT.match(wal.slot):
        what = f"{wal.slot!r} is no name for a slot"
        faults.append(Fault(where=f"{path}.slot", what=what, next="up to 63 of a to z, 0 to 9 and _"))
    if wal.identity not in ("full", "default"):
        faults.append(
            Fault(where=f"{path}.identity", what=f"{wal.identity!r} is unknown", next="full or default")
        )
    try:
        size(wal.max_retained)
    except ValueError as error:
        faults.append(Fault(where=f"{path}.max_retained", what=str(error)))


def _check_tables(path: str, legacy: LegacySection) -> list[Fault]:
    """Options of single tables, which triggers alone know."""
    faults: list[Fault] = []
    if legacy.table and legacy.capture not in ("trigger", "outbox"):
        what = f'capture = "{legacy.capture}" does not know how single tables are captured: triggers do'
        faults.append(Fault(where=f"{path}.table", what=what, next="leave it out"))
    known = {table.upper() for table in (*legacy.tables, *legacy.outbox)}
    seen: set[str] = set()
    for name, table in legacy.table.items():
        if name.upper() not in known or name.upper() in seen:
            what = "is said twice" if name.upper() in seen else "is not captured"
            faults.append(Fault(where=f"{path}.table.{name}", what=what, next="list it in tables or outbox"))
        seen.add(name.upper())
        _check_table(f"{path}.table.{name}", table, faults)
    return faults


def _check_table(path: str, table: TableSection, faults: list[Fault]) -> None:
    if table.columns and table.ignore:
        faults.append(
            Fault(where=f"{path}.ignore", what="does not go with columns", next="say the one or the other")
        )
    for key in ("columns", "ignore", "key"):
        names = [name.upper() for name in getattr(table, key)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            faults.append(Fault(where=f"{path}.{key}", what=f"{name} is there twice"))
    for name in sorted({name.upper() for name in table.key} & {name.upper() for name in table.ignore}):
        faults.append(Fault(where=f"{path}.ignore", what=f"{name} is part of the key, which is captured"))
