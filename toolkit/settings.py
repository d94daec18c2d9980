"""strangler.toml as frozen values. Every fault is reported at once, each with its key path."""

from __future__ import annotations

import datetime as dt
import os
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from toolkit.core.errors import Fault, ProjectError
from toolkit.core.freshness import ReadClass, WhenStale

FILE_NAME = "strangler.toml"


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of the file: an unknown key is a fault, not a wish granted in silence."""


class ProjectSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[project]`: the name (it prefixes topics) and the modules with events, translators, projections."""

    name: str
    modules: list[str]


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
    poll: PollSection = PollSection()
    snapshot: SnapshotSection = SnapshotSection()
    wal: WalSection = WalSection()
    debezium: DebeziumSection = DebeziumSection()
    outbox_columns: dict[str, OutboxColumns] = {}


class LogSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[log]`: `sql:` is the embedded log in the state database; `kafka://host:port[,host:port]` is Apache Kafka."""

    url: str = "sql:"
    partitions: int = 4
    replication: int = 1
    settings: dict[str, str] = {}


class ReadStoreSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[read_store]`: where projections and their checkpoints live."""

    url: str
    read_timeout: str = "5s"


class StateSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[state]`: where the archive, leases, routes and evidence live; the read store's database by default."""

    url: str = ""


class CompareRule(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[capability.NAME.compare] column = {...}`: how one column is made comparable.

    `legacy` is the column's name in the legacy answer when it differs; `map` the code table; `scale` multiplies the
    legacy number; `tolerance` is a duration or a number; `collapse` declares states that count as one;
    `vocabulary` are the words a coded column speaks, so that a report can tell them apart; `ignore` needs a reason.
    """

    legacy: str = ""
    map: dict[str, str] = {}
    scale: str = ""
    tolerance: str = ""
    collapse: list[list[str]] = []
    vocabulary: list[str] = []
    zone: str = ""
    case: bool = True
    ignore: str = ""


class GateSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[capability.NAME.gates]`: what the checklist asks for, and what the guard puts up with.

    `unclassified` are the kinds of change that may have given no event without anybody having answered for them;
    `guard_errors` are the failed pairs a run may have; `guard_overdue` is how far past its freshness objective a
    view may be before its route moves back; `retire_after` is how long it must have served before legacy may go.
    """

    pairs: int = 300
    mismatch_rate: float = 0.01
    evidence_age: str = "1h"
    rehearsal_age: str = "30d"
    verification_age: str = "7d"
    unclassified: int = 0
    guard_errors: int = 0
    guard_overdue: str = "5m"
    retire_after: str = "14d"


class CapabilitySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[capability.NAME]`: one read that moves, with both read paths, its compare rules and its contract."""

    projection: str | list[str]
    legacy: str = ""
    legacy_sql: str
    read_sql: str
    keys_sql: str
    key: list[str]
    rows: list[str] = []
    subject: str = ""
    read_class: ReadClass
    freshness: str = "30s"
    when_stale: WhenStale = WhenStale.WARN
    means: str = ""
    parameters: dict[str, str | int] = {}
    sample: float = 1.0
    settle: str = "10s"
    redact: list[str] = []
    compare: dict[str, CompareRule] = {}
    gates: GateSection = GateSection()

    @property
    def projections(self) -> tuple[str, ...]:
        """The projections that the read path uses; its freshness is that of the one furthest behind."""
        return (self.projection,) if isinstance(self.projection, str) else tuple(self.projection)


class Settings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    project: ProjectSection
    legacy: dict[str, LegacySection]
    read_store: ReadStoreSection
    log: LogSection = LogSection()
    state: StateSection = StateSection()
    capability: dict[str, CapabilitySection] = {}


_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(text: str) -> dt.timedelta:
    """`30s`, `500ms`, `5m`, `1h`, `7d` as a timedelta. Raises ValueError saying so."""
    match = _DURATION.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write a number and ms, s, m, h or d, e.g. 30s")
    return dt.timedelta(seconds=float(match.group(1)) * _UNITS[match.group(2)])


_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB)$")
_BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


def size(text: str) -> int:
    """`512MB`, `2GB` in bytes, by 1024 as databases count. Raises ValueError saying so."""
    match = _SIZE.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write a number and B, kB, MB, GB or TB, e.g. 2GB")
    return int(float(match.group(1)) * _BYTES[match.group(2)])


def read_settings(folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read `strangler.toml` of a project folder. Raises ProjectError with every fault in it.

    `${NAME}` in a value is replaced from the environment, which is the only place for secrets.
    """
    path = folder / FILE_NAME
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError(
            [
                Fault(
                    where=str(path),
                    what="there is no such file",
                    next="run in the project's folder, or give --project",
                )
            ]
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ProjectError([Fault(where=str(path), what=f"not TOML: {error}")]) from error
    faults: list[Fault] = []
    filled = _fill(raw, "", os.environ if environment is None else environment, faults)
    settings = _convert(filled, faults)
    if settings is not None:
        faults.extend(_check(settings, folder))
    if faults or settings is None:
        raise ProjectError(faults)
    return _anchored(settings, folder.resolve())


def _anchored(settings: Settings, folder: Path) -> Settings:
    """A relative SQLite file lies in the project's folder, wherever the command is run from."""

    def anchor(url: str) -> str:
        file = url.removeprefix("sqlite:///")
        if file == url or not file or file.startswith((":", "/", "file:")):
            return url
        return f"sqlite:///{folder / file}"

    replace = msgspec.structs.replace
    return replace(
        settings,
        legacy={name: replace(one, url=anchor(one.url)) for name, one in settings.legacy.items()},
        read_store=replace(settings.read_store, url=anchor(settings.read_store.url)),
        state=replace(settings.state, url=anchor(settings.state.url)),
    )


_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def _fill(value: Any, path: str, environment: Mapping[str, str], faults: list[Fault]) -> Any:
    if isinstance(value, dict):
        return {
            key: _fill(one, f"{path}.{key}".lstrip("."), environment, faults) for key, one in value.items()
        }
    if isinstance(value, list):
        return [_fill(one, f"{path}[{at}]", environment, faults) for at, one in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found: str | None = environment.get(match.group(1), match.group(2))
        if found is None:
            faults.append(Fault(where=path, what=f"environment variable {match.group(1)} is not set"))
            return ""
        return found

    return _VARIABLE.sub(replace, value)


def _convert(raw: dict[str, Any], faults: list[Fault]) -> Settings | None:
    """Convert section by section, so that one fault does not hide the next."""
    converted: dict[str, Any] = {}
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    for key in raw:
        if key not in fields:
            faults.append(Fault(where=key, what="unknown section", next=f"known are {', '.join(fields)}"))
    for name, field in fields.items():
        if name not in raw:
            if field.required:
                faults.append(Fault(where=name, what="the section is missing"))
            continue
        if name in ("legacy", "capability"):
            kind = LegacySection if name == "legacy" else CapabilitySection
            tables = raw[name] if isinstance(raw[name], dict) else {}
            converted[name] = {
                key: _struct(kind, one, f"{name}.{key}", faults) for key, one in tables.items()
            }
        else:
            converted[name] = _struct(field.type, raw[name], name, faults)
    return None if faults else Settings(**converted)


def _struct(kind: Any, raw: Any, path: str, faults: list[Fault]) -> Any:
    """Convert one table key by key: msgspec stops at its first fault, a person wants them all."""
    if not isinstance(raw, dict):
        faults.append(Fault(where=path, what=f"is {type(raw).__name__}, not a table"))
        return None
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in fields:
            faults.append(
                Fault(where=f"{path}.{key}", what="unknown key", next=f"known are {', '.join(fields)}")
            )
            continue
        values[key] = _value(fields[key].type, value, f"{path}.{key}", faults)
    for name, field in fields.items():
        if field.required and name not in raw:
            faults.append(Fault(where=f"{path}.{name}", what="is missing"))
    if any(field.required and field.name not in values for field in fields.values()):
        return None
    return kind(**values)


def _value(kind: Any, value: Any, path: str, faults: list[Fault]) -> Any:
    if isinstance(kind, type) and issubclass(kind, Section):
        return _struct(kind, value, path, faults)
    if (
        get_origin(kind) is dict
        and issubclass(section := get_args(kind)[1], Section)
        and isinstance(value, dict)
    ):
        return {key: _struct(section, one, f"{path}.{key}", faults) for key, one in value.items()}
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        faults.append(Fault(where=path, what=str(error)))
        return None


def _check(settings: Settings, folder: Path) -> list[Fault]:
    faults = []
    if not settings.legacy:
        faults.append(
            Fault(where="legacy", what="no legacy source", next="add [legacy.NAME] with url and tables")
        )
    if settings.log.partitions < 1:
        faults.append(Fault(where="log.partitions", what="must be 1 or more"))
    for name, legacy in settings.legacy.items():
        faults.extend(_check_legacy(f"legacy.{name}", legacy))
    _check_duration(settings.read_store.read_timeout, "read_store.read_timeout", faults)
    for name, capability in settings.capability.items():
        faults.extend(_check_capability(f"capability.{name}", capability, settings, folder))
    return faults


ENGINES_OWN = ("trigger", "outbox")
"""Ways of capture that write beside the rows, in the legacy database; every other one fetches (`strangler.capture`)."""


def _check_legacy(path: str, legacy: LegacySection) -> list[Fault]:
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
    _check_duration(legacy.read_timeout, f"{path}.read_timeout", faults)
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
    _check_duration(section.in_flight, f"{where}.in_flight", faults)
    if section.connector_lag:
        _check_duration(section.connector_lag, f"{where}.connector_lag", faults)
    return faults


def _check_fetching(path: str, legacy: LegacySection) -> list[Fault]:
    """Polls and snapshots: durations, words, and watermarks of tables that are captured."""
    faults: list[Fault] = []
    poll, snapshot = legacy.poll, legacy.snapshot
    for name in ("window", "interval", "sweep"):
        _check_duration(getattr(poll, name), f"{path}.poll.{name}", faults)
    _check_duration(snapshot.interval, f"{path}.snapshot.interval", faults)
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


def _check_capability(
    path: str, capability: CapabilitySection, settings: Settings, folder: Path
) -> list[Fault]:
    faults: list[Fault] = []
    for key in ("legacy_sql", "read_sql", "keys_sql"):
        file = folder / getattr(capability, key)
        if not file.is_file():
            faults.append(Fault(where=f"{path}.{key}", what=f"there is no file {getattr(capability, key)}"))
    if not capability.key:
        faults.append(
            Fault(where=f"{path}.key", what="is empty", next="name the parameters that a read is asked with")
        )
    if capability.subject and capability.subject not in capability.key:
        faults.append(Fault(where=f"{path}.subject", what=f"{capability.subject!r} is not one of its key"))
    if capability.legacy and capability.legacy not in settings.legacy:
        faults.append(Fault(where=f"{path}.legacy", what=f"there is no [legacy.{capability.legacy}]"))
    if not capability.legacy and len(settings.legacy) > 1:
        faults.append(Fault(where=f"{path}.legacy", what="is missing, and there are several legacy sources"))
    if not 0 < capability.sample <= 1:
        faults.append(Fault(where=f"{path}.sample", what="must be above 0 and at most 1"))
    gates = capability.gates
    for name, text in (
        ("freshness", capability.freshness),
        ("settle", capability.settle),
        ("gates.evidence_age", gates.evidence_age),
        ("gates.rehearsal_age", gates.rehearsal_age),
        ("gates.verification_age", gates.verification_age),
        ("gates.guard_overdue", gates.guard_overdue),
        ("gates.retire_after", gates.retire_after),
    ):
        _check_duration(text, f"{path}.{name}", faults)
    for column, rule in capability.compare.items():
        _check_rule(f"{path}.compare.{column}", rule, faults)
    return faults


def _check_rule(path: str, rule: CompareRule, faults: list[Fault]) -> None:
    if rule.scale:
        try:
            Decimal(rule.scale)
        except InvalidOperation:
            faults.append(Fault(where=f"{path}.scale", what=f"{rule.scale!r} is not a number"))
    if rule.tolerance and not _DURATION.match(rule.tolerance):
        try:
            Decimal(rule.tolerance)
        except InvalidOperation:
            faults.append(
                Fault(
                    where=f"{path}.tolerance", what=f"{rule.tolerance!r} is neither a duration nor a number"
                )
            )


def _check_duration(text: str, path: str, faults: list[Fault]) -> None:
    try:
        duration(text)
    except ValueError as error:
        faults.append(Fault(where=path, what=str(error)))
