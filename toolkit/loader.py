"""Load a project folder: settings, and the user's modules under a private package name.

The user's folder never enters `sys.path`, so that a folder of theirs called `migrations` or `adapters`
cannot shadow ours; their modules import each other relatively (`from .events import PolicyIssued`).
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from toolkit.core.apart import Apart
from toolkit.core.errors import Fault, ProjectError, UsageError
from toolkit.core.events import Catalogue, Context, storage_names
from toolkit.core.evolving import meaning_faults
from toolkit.core.outbox import Layout
from toolkit.core.projections import Definition, Projection
from toolkit.core.subjects import Columns
from toolkit.core.translators import Translators
from toolkit.ports import CapturedTable
from toolkit.settings import CapabilitySection, OutboxColumns, Settings, TableSection, read_settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A loaded project: everything that its author wrote, checked and ready to run."""

    folder: Path
    settings: Settings
    catalogue: Catalogue
    translators: Mapping[str, Translators]
    projections: Mapping[str, Mapping[int, Definition]]

    def topic(self, source: str) -> str:
        """The topic that a legacy source's events are published to."""
        return f"{self.settings.project.name}.{source}"

    @property
    def topics(self) -> dict[str, int]:
        """Every topic and its number of partitions."""
        return {self.topic(source): self.settings.log.partitions for source in self.settings.legacy}

    def captured(self, source: str) -> list[CapturedTable]:
        """The tables to capture, in the order in which the aggregates declare them."""
        section = self.settings.legacy[source]
        outbox = {table.upper() for table in section.outbox}
        said = {table.upper(): one for table, one in section.table.items()}
        return [
            _captured(table, column, table in outbox, said.get(table, TableSection()))
            for aggregate in self.translators[source].aggregates
            for table, column in aggregate.tables.items()
        ]

    def groups(self, source: str) -> list[list[CapturedTable]]:
        """The captured tables by aggregate: what a backfill reads together."""
        tables = {table.table: table for table in self.captured(source)}
        return [
            [tables[name] for name in aggregate.tables] for aggregate in self.translators[source].aggregates
        ]

    def outboxes(self, source: str) -> dict[str, Layout]:
        """How each outbox table of a source is read."""
        section = self.settings.legacy[source]
        named = {table.upper(): columns for table, columns in section.outbox_columns.items()}
        return {table.upper(): _layout(named.get(table.upper(), OutboxColumns())) for table in section.outbox}

    def definition(self, projection: str, version: int) -> Definition:
        """One version of a projection. Raises UsageError when the code does not have it."""
        versions = self.projections.get(projection, {})
        if version not in versions:
            known = ", ".join(
                f"{name} v{number}" for name, all_ in self.projections.items() for number in all_
            )
            raise UsageError(
                f"there is no projection {projection} v{version} in this project; there are {known}"
            )
        return versions[version]

    def capability(self, name: str) -> CapabilitySection:
        """A capability's settings. Raises UsageError when there is none of that name."""
        try:
            return self.settings.capability[name]
        except KeyError:
            known = ", ".join(self.settings.capability) or "none"
            raise UsageError(
                f"there is no capability {name!r} in strangler.toml; there are: {known}"
            ) from None

    def config_hash(self, capability: str) -> str:
        """Hash of what decides a capability's comparison: its settings and its SQL.

        Evidence that was gathered under another configuration opens no gate.
        """
        section = self.capability(capability)
        digest = hashlib.sha256(msgspec.json.encode(section, order="deterministic"))
        for file in (section.legacy_sql, section.read_sql, section.keys_sql):
            digest.update((self.folder / file).read_bytes() + b"\0")
        return digest.hexdigest()[:16]

    def legacy_of(self, capability: CapabilitySection) -> str:
        """The legacy source that a capability's legacy read path asks."""
        return capability.legacy or next(iter(self.settings.legacy))


def _captured(table: str, subject: Columns, outbox: bool, said: TableSection) -> CapturedTable:
    return CapturedTable(
        table=table,
        subject=subject,
        outbox=outbox,
        columns=tuple(said.columns),
        ignore=tuple(said.ignore),
        key=tuple(said.key),
        statement=said.statement,
    )


_OUTBOX_NAMES = {
    "id": "ID",
    "aggregate_type": "AGGREGATETYPE",
    "aggregate_id": "AGGREGATEID",
    "type": "TYPE",
    "payload": "PAYLOAD",
    "occurred_at": "OCCURRED_AT",
    "schema_version": "SCHEMA_VERSION",
}


def _layout(columns: OutboxColumns) -> Layout:
    names = {getattr(columns, key).upper(): name for key, name in _OUTBOX_NAMES.items()}
    return Layout(
        names={given: name for given, name in names.items() if given != name},
        park_updates=columns.update == "park",
    )


def load(folder: Path, environment: Mapping[str, str] | None = None) -> Project:
    """Load the project in `folder`. Raises ProjectError with all faults of the settings, or all of the modules."""
    folder = folder.resolve()
    settings = read_settings(folder, environment)
    modules = list(_modules(folder, settings.project.modules))
    contexts = _instances(modules, Context)
    translators = {one.source: one for one in _instances(modules, Translators)}
    catalogue = Catalogue.of(contexts)
    projections = _projections(modules)
    faults = _faults(folder, settings, catalogue, translators, projections)
    if faults:
        raise ProjectError(faults)
    return Project(
        folder=folder,
        settings=settings,
        catalogue=catalogue,
        translators=translators,
        projections=projections,
    )


def _modules(folder: Path, names: list[str]) -> Iterator[types.ModuleType]:
    package_name = "strangler_project_" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    for name in [name for name in sys.modules if name == package_name or name.startswith(package_name + ".")]:
        del sys.modules[name]
    package = types.ModuleType(package_name)
    package.__path__ = [str(folder)]
    sys.modules[package_name] = package
    importlib.invalidate_caches()
    faults: list[Fault] = []
    for name in names:
        try:
            yield importlib.import_module(f"{package_name}.{name}")
        except ProjectError as error:
            faults.extend(error.faults)
        except Exception as error:  # noqa: BLE001 - whatever a user's module raises is a fault of the project
            where = f"{name.replace('.', '/')}.py"
            faults.append(
                Fault(where=where, what=f"{type(error).__name__}: {error}", next=_import_hint(error))
            )
    if faults:
        raise ProjectError(faults)


def _import_hint(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return "a project's modules import each other relatively: from .events import ..."
    return ""


def _instances(modules: list[types.ModuleType], kind: type[T]) -> list[T]:
    found: list[T] = []
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, kind) and not any(value is one for one in found):
                found.append(value)
    return found


def _projections(modules: list[types.ModuleType]) -> dict[str, dict[int, Definition]]:
    found: dict[str, dict[int, Definition]] = {}
    faults: list[Fault] = []
    for module in modules:
        for value in vars(module).values():
            if not (isinstance(value, type) and issubclass(value, Projection) and value is not Projection):
                continue
            definition = value.definition
            other = found.setdefault(definition.name, {}).setdefault(definition.version, definition)
            if other.row_class is not value:
                faults.append(
                    Fault(
                        where=f"projection {definition.identity}",
                        what=f"declared by two classes, {other.row_class.__name__} and {value.__name__}",
                        next="give one another version, or a name=",
                    )
                )
    if faults:
        raise ProjectError(faults)
    return found


_UNREAD = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_NAME = r'"?(\w+)"?(?:\s+(?:AS\s+)?"?(?!ON\b|JOIN\b|WHERE\b|LEFT\b|INNER\b)\w+"?)?'
_TABLES = re.compile(rf"\b(?:FROM|JOIN)\s+({_NAME}(?:\s*,\s*{_NAME})*)", re.IGNORECASE)
_OWN = re.compile(r'(?:\bWITH|,|\bRECURSIVE)\s+"?(\w+)"?\s*(?:\([^)]*\)\s*)?AS\s*\(', re.IGNORECASE)


def tables_read(sql: str) -> set[str]:
    """The names that a read takes rows from, in lower case, without those that it makes itself (WITH)."""
    plain = _UNREAD.sub(" ", sql)
    listed = [one.group(1) for one in _TABLES.finditer(plain)]
    named = {name.lower() for some in listed for name in re.findall(r'(?:^|,)\s*"?(\w+)"?', some)}
    return named - {name.lower() for name in _OWN.findall(plain)}


def _projection_faults(
    name: str, capability: CapabilitySection, folder: Path, projections: Collection[str]
) -> list[Fault]:
    where = f"capability.{name}"
    faults = [
        Fault(where=f"{where}.projection", what=f"no module has a projection {projection!r}")
        for projection in capability.projections
        if projection not in projections
    ]
    file = folder / capability.read_sql
    known = {projection.lower(): projection for projection in projections}
    for table in sorted(tables_read(file.read_text(encoding="utf-8")) & known.keys()):
        if known[table] not in capability.projections:
            faults.append(
                Fault(
                    where=f"{where}.read_sql",
                    what=f"{capability.read_sql} reads {known[table]}, which {where}.projection does not list: "
                    "nobody would see how far behind it is, or what is parked in it",
                    next=f"add {known[table]!r} to projection",
                )
            )
    return faults


def _faults(
    folder: Path,
    settings: Settings,
    catalogue: Catalogue,
    translators: Mapping[str, Translators],
    projections: Mapping[str, Mapping[int, Definition]],
) -> list[Fault]:
    faults: list[Fault] = []
    tables: list[str] = []
    for name, section in settings.legacy.items():
        captured = [*section.tables, *section.outbox]
        tables.extend(captured)
        if name in translators:
            faults.extend(translators[name].faults(captured))
        else:
            faults.append(Fault(where=f"legacy.{name}", what=f'no module makes Translators("{name}")'))
    for name in translators.keys() - settings.legacy.keys():
        faults.append(
            Fault(where=f'Translators("{name}")', what=f"there is no [legacy.{name}] in strangler.toml")
        )
    for name, capability in settings.capability.items():
        faults.extend(_projection_faults(name, capability, folder, projections))
    for versions in projections.values():
        for definition in versions.values():
            for event in definition.handlers.keys() - catalogue.types.keys():
                faults.append(
                    Fault(where=f"projection {definition.identity}", what=f"{event} is in no context")
                )
            faults.extend(meaning_faults(catalogue, definition))
    faults.extend(_shared_faults(settings, catalogue, projections))
    return [*faults, *storage_names(catalogue, tables)]


def _shared_faults(
    settings: Settings, catalogue: Catalogue, projections: Mapping[str, Mapping[int, Definition]]
) -> list[Fault]:
    """Projections that several processes shall follow together, and cannot."""
    faults: list[Fault] = []
    for name in settings.read_store.shared:
        if name not in projections:
            there = ", ".join(projections) or "none"
            faults.append(
                Fault(where="read_store.shared", what=f"there is no projection {name}; there are: {there}")
            )
        for definition in projections.get(name, {}).values():
            try:
                Apart(definition, catalogue, contexts(settings))
            except ProjectError as error:
                faults.extend(error.faults)
    return faults


def contexts(settings: Settings) -> dict[str, str]:
    """Every source with the context that its events belong to."""
    return {source: section.context for source, section in settings.legacy.items()}
