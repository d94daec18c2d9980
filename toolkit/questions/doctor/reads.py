"""The reads of the project's capabilities, each with a key to explain it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

from toolkit.cutover.facts import Around
from toolkit.diagnosis import SampleRead
from toolkit.settings import CapabilitySection, duration

Parameters = Callable[[], Mapping[str, object] | None]


def legacy_reads(around: Around, source: str) -> tuple[SampleRead, ...]:
    """What the capabilities ask of one legacy source."""
    return tuple(
        SampleRead(
            capability=name,
            sql=_text(around, section.legacy_sql),
            parameters=_sample(around, section),
            file=section.legacy_sql,
        )
        for name, section in around.project.settings.capability.items()
        if around.project.legacy_of(section) == source
    )


def view_reads(around: Around) -> tuple[SampleRead, ...]:
    """What the capabilities ask of the views that are there."""
    return tuple(
        SampleRead(
            capability=name,
            sql=_text(around, section.read_sql),
            parameters=partial(_where_served, around, section, _sample(around, section)),
            file=section.read_sql,
        )
        for name, section in around.project.settings.capability.items()
    )


def _where_served(
    around: Around, section: CapabilitySection, sample: Parameters
) -> Mapping[str, object] | None:
    serving = {one.projection for one in around.read_store.versions() if one.serving}
    return sample() if serving >= set(section.projections) else None


def _text(around: Around, file: str) -> str:
    return (around.project.folder / file).read_text(encoding="utf-8").strip().rstrip(";")


def _sample(around: Around, section: CapabilitySection) -> Parameters:
    """The first key that the capability's keys give; one is enough to see how a read is answered."""

    @cache
    def sample() -> Mapping[str, object] | None:
        source = around.project.legacy_of(section)
        if source not in around.legacy:
            return None
        timeout = duration(around.project.settings.legacy[source].read_timeout)
        given = {"today": around.clock().date().isoformat(), **section.parameters}
        sql = f"SELECT * FROM (\n{_text(around, section.keys_sql)}\n) strangler_keys LIMIT 1"
        rows = around.legacy[source].query(sql, given, timeout=timeout).rows
        return {**given, **{column: rows[0][column] for column in section.key}} if rows else None

    return sample
