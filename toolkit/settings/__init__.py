"""strangler.toml: what a project says of itself, read and checked."""

from toolkit.settings.capability import CapabilitySection, CompareRule, GateSection
from toolkit.settings.file import (
    FILE_NAME,
    ArchiveSection,
    LogSection,
    ProjectSection,
    ReadStoreSection,
    Settings,
    StateSection,
    read_settings,
)
from toolkit.settings.legacy import (
    ENGINES_OWN,
    DebeziumSection,
    LegacySection,
    OutboxColumns,
    PollSection,
    SnapshotSection,
    TableSection,
    WalSection,
)
from toolkit.settings.units import FOREVER, Section, age, duration, size

__all__ = [
    "ENGINES_OWN",
    "FILE_NAME",
    "FOREVER",
    "ArchiveSection",
    "CapabilitySection",
    "CompareRule",
    "DebeziumSection",
    "GateSection",
    "LegacySection",
    "LogSection",
    "OutboxColumns",
    "PollSection",
    "ProjectSection",
    "ReadStoreSection",
    "Section",
    "Settings",
    "SnapshotSection",
    "StateSection",
    "TableSection",
    "WalSection",
    "age",
    "duration",
    "read_settings",
    "size",
]
