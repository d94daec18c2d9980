"""Look for what is wrong before it hurts: names, tables, capture, connections. Each finding says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import packages_distributions
from typing import TypeVar

import msgspec

from toolkit import commands
from toolkit.core.errors import StranglerError
from toolkit.cutover.facts import Around

T = TypeVar("T")
DISTRIBUTION = "strangler-toolkit"
ROOTS = ("toolkit", "adapters", "shadow", "migrations")


class Ailment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong: where, what, and what to do about it."""

    where: str
    what: str
    next: str


def foreign_owners(owners: Mapping[str, Iterable[str]]) -> list[Ailment]:
    """Other distributions that install a package of one of our names: whoever came last overwrote the other."""
    found = []
    for root in ROOTS:
        others = sorted(
            {one for one in owners.get(root, ()) if one.replace("_", "-").lower() != DISTRIBUTION}
        )
        if others:
            found.append(
                Ailment(
                    where=f"import name {root}",
                    what=f"is installed by {', '.join(others)}, too",
                    next=f"install {DISTRIBUTION} in an environment of its own (pipx, uv tool install)",
                )
            )
    return found


def examine(around: Around, revisions: Mapping[str, tuple[str | None, str]]) -> list[Ailment]:
    """Everything that can be seen from here. `revisions`: by set of tables, where the database is and where it should be."""
    found = foreign_owners(packages_distributions())
    for which, (at, head) in revisions.items():
        if at != head:
            what = f"tables are at {at or 'nothing'}, this version needs {head}"
            found.append(Ailment(where=f"database of {which}", what=what, next="strangler setup"))
    for name, source in around.legacy.items():
        found.extend(_tried(f"legacy.{name}", source.clock, lambda _: []))
        found.extend(_tried(f"capture of {name}", source.capture.installed, _not_captured(around, name)))
        found.extend(_tried(f"capture of {name}", source.capture.holes, _holes))
    if around.log is not None:
        for topic in around.project.topics:
            found.extend(_tried(f"topic {topic}", partial(around.log.bounds, topic), lambda _: []))
    found.extend(_tried("read store", around.read_store.versions, lambda _: []))
    return found


def _tried(where: str, ask: Callable[[], T], judge: Callable[[T], list[Ailment]]) -> list[Ailment]:
    try:
        return judge(ask())
    except StranglerError as error:
        return [Ailment(where=where, what=str(error), next="mend this first: the rest depends on it")]


def _not_captured(around: Around, source: str) -> Callable[[Iterable[str]], list[Ailment]]:
    def judge(installed: Iterable[str]) -> list[Ailment]:
        wanted = {one.table for one in around.project.captured(source)}
        missing = sorted(wanted - set(installed))
        if not missing:
            return []
        what = f"{', '.join(missing)} not captured"
        return [Ailment(where=f"capture of {source}", what=what, next=commands.INSTALL_CAPTURE)]

    return judge


def _holes(holes: Iterable[object]) -> list[Ailment]:
    return [msgspec.convert(one, Ailment, from_attributes=True) for one in holes]
