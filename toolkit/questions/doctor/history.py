"""How far back history reaches: what was pruned, and what should have been."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from toolkit import commands
from toolkit.core.ailments import Ailment, Severity
from toolkit.cutover.coverage import Covered, coverage
from toolkit.cutover.facts import Around
from toolkit.golden import examples
from toolkit.ports import Retention
from toolkit.questions.retention import shortened
from toolkit.settings import age

_GRACE = dt.timedelta(days=35)
"""A prune a month, and the rest of a time partition."""
_NAMED = 8
"""Kinds that one finding names; the others it counts."""


def reach(around: Around, retention: Retention) -> Iterator[Ailment]:
    """A history without its beginning, and one that is longer than was asked for."""
    told = shortened(around, around.project.topics)
    kept = [one for topic in around.project.topics for one in retention.kept(topic)]
    if told:
        yield Ailment(
            where="archive",
            what=told,
            next=commands.ARCHIVE_STATUS,
            severity=Severity.HINT,
            evidence={"pruned": sum(one.pruned for one in kept), "kept": sum(one.events for one in kept)},
        )
    keep = age(around.project.settings.archive.keep)
    oldest = min((one.archived_on for one in kept if one.archived_on is not None), default=None)
    if keep is None or oldest is None:
        return
    days = (around.clock().date() - oldest).days
    if dt.timedelta(days=days) > keep + _GRACE:
        yield Ailment(
            where="archive",
            what=f"events that were archived {days} days ago are there, although archive.keep is "
            f"{around.project.settings.archive.keep}: nobody prunes, or something is held",
            next=f"{commands.ARCHIVE_STATUS} says what is held; run {commands.PRUNE} on a schedule",
            severity=Severity.HINT,
            evidence={"oldest_days": days, "keep_days": keep.days},
        )


def covered(around: Around) -> Iterator[Ailment]:
    """Kinds of events in the archive that cannot be read any more, and those that nobody keeps an example of."""
    if around.kinds is None:
        return
    project = around.project
    kept, _ = examples(project.folder)
    definitions = [one for versions in project.projections.values() for one in versions.values()]
    seen = [one for topic in project.topics for one in around.kinds.seen(topic)]
    found = [one for one in coverage(project.catalogue, definitions, kept, seen) if one.findings]
    bare = [one for one in found if not one.golden and len(one.findings) == 1 and one.path != "none"]
    for one in found:
        if one not in bare:
            yield Ailment(
                where=f"archive, {_kind(one)}",
                what="; ".join(one.findings),
                next=f"{commands.COVERAGE}, and mend the catalogue",
                severity=Severity.BROKEN if one.path == "none" else Severity.RISK,
                evidence={"events": one.events, "golden": one.golden},
            )
    if bare:
        yield _without_example(bare)


def _without_example(kinds: Sequence[Covered]) -> Ailment:
    """One finding for all of them: one command mends it, too."""
    more = f", and {len(kinds) - _NAMED} more" if len(kinds) > _NAMED else ""
    named = ", ".join(_kind(one) for one in kinds[:_NAMED])
    return Ailment(
        where="archive",
        what=f"no golden example of {_counted(kinds)}: {named}{more}",
        next=commands.EXAMPLES,
        severity=Severity.HINT,
        evidence={"kinds": len(kinds), "events": sum(one.events for one in kinds)},
    )


def _counted(kinds: Sequence[Covered]) -> str:
    return "1 kind of events" if len(kinds) == 1 else f"{len(kinds)} kinds of events"


def _kind(one: Covered) -> str:
    return f"{one.event} v{one.version} m{one.meaning}"


def strays(retention: Retention) -> Iterator[Ailment]:
    """Events that no time partition was there for."""
    count = retention.stray()
    if count:
        yield Ailment(
            where="archive",
            what=f"{count} events lie in no time partition of their own: pruning removes them row by row",
            next=f"let {commands.RELAY} run, or {commands.SETUP} daily: they make the partitions of the days to come",
            severity=Severity.HINT,
            evidence={"events": count},
        )
