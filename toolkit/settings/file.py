"""strangler.toml as frozen values. Every fault is reported at once, each with its key path."""

from __future__ import annotations

import datetime as dt
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from toolkit.core.errors import Fault, ProjectError
from toolkit.settings.capability import CapabilitySection, check_capability
from toolkit.settings.legacy import LegacySection, check_legacy
from toolkit.settings.units import (
    DURATION,
    FOREVER,
    Section,
    age,
    check_age,
    check_duration,
    check_url,
    duration,
)

FILE_NAME = "strangler.toml"
LEAST_ARCHIVE = dt.timedelta(days=1)
"""Events are archived by the day."""
LEAST_LOG = dt.timedelta(hours=1)
"""A projector that stands still for a lunch break must find its place again."""


class ProjectSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[project]`: the name (it prefixes topics) and the modules with events, translators, projections."""

    name: str
    modules: list[str]


class LogSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[log]`: `sql:` is the embedded log in the state database; `kafka://host:port[,host:port]` is Apache Kafka.

    `content` is how Kafka's messages hold a CloudEvent: as one JSON document, or its attributes as headers.
    `group_protocol` is how its brokers divide a projection's partitions among several processes: `consumer` is KIP-848.
    """

    url: str = "sql:"
    partitions: int = 4
    replication: int = 1
    content: Literal["structured", "binary"] = "structured"
    group_protocol: Literal["classic", "consumer"] = "classic"
    keep: str = "forever"
    settings: dict[str, str] = {}


class ReadStoreSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[read_store]`: where projections and their checkpoints live.

    `park_limit`: a version with more parked events than that has failed. `shared` are the projections whose versions
    several processes follow together, each some partitions of the log; any other is followed by one of them.
    """

    url: str
    read_timeout: str = "5s"
    park_limit: int = 10_000
    shared: list[str] = []


class StateSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[state]`: where the archive, leases, routes and evidence live; the read store's database by default."""

    url: str = ""


class ArchiveSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[archive]`: how long events are kept from which projections are rebuilt, verified and repaired."""

    keep: str = "forever"


class Settings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    project: ProjectSection
    legacy: dict[str, LegacySection]
    read_store: ReadStoreSection
    log: LogSection = LogSection()
    state: StateSection = StateSection()
    archive: ArchiveSection = ArchiveSection()
    capability: dict[str, CapabilitySection] = {}


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
            faults.append(Fault(where=key, what="unknown section", next=_meant(key, fields)))
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
            faults.append(Fault(where=f"{path}.{key}", what="unknown key", next=_meant(key, fields)))
            continue
        values[key] = _value(fields[key].type, value, f"{path}.{key}", faults)
    for name, field in fields.items():
        if field.required and name not in raw:
            faults.append(Fault(where=f"{path}.{name}", what="is missing"))
    if any(field.required and field.name not in values for field in fields.values()):
        return None
    return kind(**values)


_FEW = 8


def _meant(key: str, known: Collection[str]) -> str:
    """The one that was meant, if one is like it; else those that there are, as far as they fit into a line."""
    if alike := get_close_matches(key, known, n=1):
        return f"is it {alike[0]}?"
    names = list(known)
    more = f" and {len(names) - _FEW} more: docs/configuration.md" if len(names) > _FEW else ""
    return f"known are {', '.join(names[:_FEW])}{more}"


def _value(kind: Any, value: Any, path: str, faults: list[Fault]) -> Any:
    if isinstance(kind, type) and issubclass(kind, Section):
        return _struct(kind, value, path, faults)
    if (
        get_origin(kind) is dict
        and isinstance(section := get_args(kind)[1], type)
        and issubclass(section, Section)
        and isinstance(value, dict)
    ):
        return {key: _struct(section, one, f"{path}.{key}", faults) for key, one in value.items()}
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        words = _words(kind) if "enum value" in str(error) else []
        faults.append(Fault(where=path, what=str(error), next=_meant(str(value), words) if words else ""))
        return None


def _words(kind: Any) -> list[str]:
    """What may stand where only some words may."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(one.value) for one in kind]
    if get_origin(kind) is Literal:
        return [str(one) for one in get_args(kind)]
    return [word for part in get_args(kind) for word in _words(part)]


def _state_faults(settings: Settings) -> list[Fault]:
    url = settings.state.url or settings.read_store.url
    scheme = url.partition(":")[0].partition("+")[0].lower()
    if scheme in ("sqlite", "postgresql"):
        return []
    what = f"a database of {scheme}: cannot keep the toolkit's own state"
    if scheme in ("mysql", "mariadb"):
        what = "MariaDB can be the read store, but cannot keep the toolkit's own state"
    return [
        Fault(
            where="state.url",
            what=what,
            next="name an SQLite file (sqlite:///...) or a PostgreSQL database (postgresql+psycopg://...) in [state]",
        )
    ]


def _check_retention(settings: Settings) -> list[Fault]:
    faults: list[Fault] = []
    check_age(settings.archive.keep, LEAST_ARCHIVE, "archive.keep", faults)
    check_age(settings.log.keep, LEAST_LOG, "log.keep", faults)
    if settings.log.keep != FOREVER and not settings.log.url.startswith("sql:"):
        faults.append(
            Fault(
                where="log.keep",
                what="only the embedded log is pruned by us",
                next="take it away, and set retention.ms of the topics in Kafka",
            )
        )
    return faults or _check_evidence(settings)


def _check_evidence(settings: Settings) -> list[Fault]:
    """A replay counts as evidence as long as it could be made again."""
    keep = age(settings.archive.keep)
    return [
        Fault(
            where="archive.keep",
            what=f"{settings.archive.keep} is shorter than capability.{name}.gates.verification_age, "
            f"{one.gates.verification_age}: evidence would outlive the events it was made from",
            next="keep events for longer, or let the evidence age sooner",
        )
        for name, one in settings.capability.items()
        if keep is not None
        and DURATION.match(one.gates.verification_age)
        and keep < duration(one.gates.verification_age)
    ]


def _check(settings: Settings, folder: Path) -> list[Fault]:
    faults = []
    if not settings.legacy:
        faults.append(
            Fault(where="legacy", what="no legacy source", next="add [legacy.NAME] with url and tables")
        )
    if settings.log.partitions < 1:
        faults.append(Fault(where="log.partitions", what="must be 1 or more"))
    check_url(settings.read_store.url, "read_store.url", faults)
    check_url(settings.state.url, "state.url", faults)
    for name, legacy in settings.legacy.items():
        check_url(legacy.url, f"legacy.{name}.url", faults)
        faults.extend(check_legacy(f"legacy.{name}", legacy))
        if legacy.shards > settings.log.partitions > 0:
            what = f"{legacy.shards} shards for {settings.log.partitions} partitions: a shard owns whole partitions"
            then = "set log.partitions when the topic is new, or as many shards as there are partitions, or fewer"
            faults.append(Fault(where=f"legacy.{name}.shards", what=what, next=then))
    if settings.log.group_protocol != "classic" and settings.log.url.startswith("sql:"):
        what = "only Kafka has consumer groups: processes divide the embedded log by leases"
        faults.append(Fault(where="log.group_protocol", what=what, next="take it away"))
    if settings.read_store.park_limit < 1:
        faults.append(Fault(where="read_store.park_limit", what="must be 1 or more"))
    faults.extend(_check_retention(settings))
    check_duration(settings.read_store.read_timeout, "read_store.read_timeout", faults)
    faults.extend(_state_faults(settings))
    for name, capability in settings.capability.items():
        faults.extend(check_capability(f"capability.{name}", capability, settings.legacy, folder))
    return faults
