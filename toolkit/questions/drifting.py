"""Which projection of a capability a difference comes from, and the keys of its rows that are to be folded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from toolkit.core.columns import from_text
from toolkit.core.evidence import Discrepancy
from toolkit.core.projections import Definition
from toolkit.core.subjects import columns_of, parted
from toolkit.cutover.facts import Around
from toolkit.settings import CapabilitySection

RECORD = ("", "(record)")
"""The paths of a difference that is about a record as a whole."""
_REDACTED = "redacted:"


class Drifting:
    """The projections of a capability, asked which of them a difference is of."""

    def __init__(self, around: Around, capability: str, versions: Mapping[str, int]) -> None:
        self._around = around
        self._section = around.project.capability(capability)
        self._topic = around.project.topic(around.project.legacy_of(self._section))
        known = ((name, around.project.projections.get(name, {}).get(at)) for name, at in versions.items())
        self._definitions = [one for _, one in known if one is not None]

    @property
    def read_sql(self) -> str:
        """The file of the capability's read."""
        return self._section.read_sql

    def having(self, path: str) -> list[Definition]:
        """Those that it may come from: that have the column; of a whole record, what tells one record from another.

        A capability with one projection has no other. None: the column is made by the read SQL.
        """
        if len(self._definitions) == 1:
            return self._definitions
        column = path.partition(".")[0].removesuffix("[]")
        wanted = {one.lower() for one in self._section.rows} if path in RECORD else {column}
        having = [one for one in self._definitions if wanted and wanted <= _columns(one)]
        return having or (self._definitions if path in RECORD else [])

    def keys(self, definition: Definition, discrepancies: Sequence[Discrepancy]) -> tuple[str, ...]:
        """The keys of a projection's rows behind these, as `repair key` takes them: only those that it can fold."""
        found = (self._key(definition, one) for one in discrepancies)
        return tuple(dict.fromkeys(key for key in found if key is not None))

    def _key(self, definition: Definition, one: Discrepancy) -> str | None:
        told = _told(self._section, one)
        try:
            values = [from_text(column, told[column.name.lower()]) for column in definition.key_columns]
        except (KeyError, ValueError):
            return None
        key = values[0] if len(values) == 1 else tuple(values)
        text = definition.key_text(key)
        store = self._around.read_store
        return text if store.load(definition, [key]) or self._archived(definition, text) else None

    def _archived(self, definition: Definition, text: str) -> bool:
        """Is there an event to make a row from that is not there? Only asked for where the subject is the key."""
        catalogue = self._around.project.catalogue
        by_subject = all(
            one.key == columns_of(catalogue.by_name(name).subject)
            for name, one in definition.handlers.items()
        )
        return by_subject and bool(self._around.archive.of_subject(self._topic, text))


def _columns(definition: Definition) -> set[str]:
    return {one.name.lower() for one in definition.columns}


def _told(section: CapabilitySection, one: Discrepancy) -> dict[str, str]:
    """What a difference tells of columns: the key that was asked for, the record's own key, the record itself."""
    parts = [one.key] if len(section.key) == 1 else list(parted(one.key))
    found = dict(zip(section.key, parts, strict=True)) if len(parts) == len(section.key) else {}
    row = one.detail.get("row")
    if isinstance(row, list | tuple) and len(row) == len(section.rows):
        found |= {name: str(value) for name, value in zip(section.rows, row, strict=True)}
    for record in _records(one.detail):
        found = {**{name: str(value) for name, value in record.items() if value is not None}, **found}
    lowered = {name.lower(): value for name, value in found.items()}
    return {name: value for name, value in lowered.items() if not value.startswith(_REDACTED)}


def _records(detail: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The record on either side, where the difference is about a whole one; the first where there are several."""
    for side in ("projection", "legacy"):
        value = detail.get(side)
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, dict):
            yield first
