"""Which versions are to be kept up to date, by what the code has and what the read store knows."""

from __future__ import annotations

from collections.abc import Mapping

from toolkit.core.projections import Definition
from toolkit.ports import ReadStore, VersionState


def running(known: Mapping[int, Definition], store: ReadStore, projection: str) -> list[Definition]:
    """Those that serve or are built, of one projection. One that the store does not know begins with its newest version."""
    stored = {state.version: state for state in store.versions(projection)}
    wanted = [number for number, state in stored.items() if number in known and _runs(state)]
    if not wanted and known and not stored:
        wanted = [max(known)]
    return [known[number] for number in wanted]


def _runs(state: VersionState) -> bool:
    return state.serving or state.state in ("running", "waiting")


def left(known: Mapping[int, Definition], store: ReadStore, definition: Definition) -> bool:
    """Is nobody to follow this version any more: was it dropped, or is it a rebuild's by now?

    Whoever follows it would create it again, from the beginning of a log that may have lost that. One that has failed
    is still to be followed, by those for whom it has not.
    """
    name, version = definition.name, definition.version
    failed = any(one.version == version and one.state == "failed" for one in store.versions(name))
    return not failed and all(one.version != version for one in running(known, store, name))
