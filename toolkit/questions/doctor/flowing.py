"""What stands still between capture and the views: watermarks, leases, parked rows, positions that the log has lost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from toolkit import commands
from toolkit.core.ailments import Ailment, Figure, Severity
from toolkit.core.errors import UsageError
from toolkit.cutover.facts import Around
from toolkit.diagnosis import Limits
from toolkit.loops.relay import lease_name
from toolkit.ports import Log, VersionState
from toolkit.questions.backfilling import unread_in
from toolkit.questions.leading import leaderless, leaders, relay_leases

_MANY = 10_000
"""Events that wait to be published: more than a pass or two of the relay."""


def watermark(around: Around, source: str, limits: Limits) -> Iterator[Ailment]:
    """A relay that is not running, or does not get on: all that views promise stands on its watermarks."""
    topic = around.project.topic(source)
    last = around.archive.last_watermark(topic)
    backlog = around.archive.backlog(topic)
    age = None if last is None else around.legacy[source].clock() - last
    evidence: dict[str, Figure] = {"topic": topic, "unpublished": backlog}
    if age is not None:
        evidence["age_seconds"] = round(age.total_seconds(), 1)
    evidence |= _leader(around, source)
    if age is None or age > limits.waiting:
        said = "was never written" if age is None else f"is {age.total_seconds():.0f} s old"
        waits = unread_in(around.archive, source, around.project.groups(source))
        yield Ailment(
            where=f"relay of {source}",
            what=f"the last watermark of {topic} {said}: no view of it gets any fresher; {waits or _led(evidence)}",
            next=commands.backfill(source) if waits else f"{commands.RELAY} (or, if it runs, its log)",
            severity=Severity.RISK,
            evidence=evidence,
        )
    elif backlog > _MANY:
        yield Ailment(
            where=f"relay of {source}",
            what=f"{backlog} events wait to be published to {topic}",
            next="see the relay's log: is the log slow to acknowledge?",
            severity=Severity.RISK,
            evidence=evidence,
        )


def _leader(around: Around, source: str) -> dict[str, Figure]:
    """The lease that tells most: of several shards, the one that ran out first, or would."""
    leases = relay_leases(source, around.leases.leases() if around.leases is not None else ())
    if not leases:
        return {}
    lease = min(leases, key=lambda one: one.expires_at)
    evidence: dict[str, Figure] = {
        "lease": lease.name,
        "leader": lease.owner,
        "epoch": lease.epoch,
        "lease_left_seconds": round((lease.expires_at - around.clock()).total_seconds(), 1),
    }
    if nobody := leaderless(around, source, leases, around.clock()):
        evidence["leaderless"] = ", ".join(nobody)
    if lease.name != lease_name(source):
        evidence["leaders"] = leaders(leases, around.clock())
    return evidence


def _led(evidence: dict[str, Figure]) -> str:
    if "leader" not in evidence:
        return "nobody ever led the relay"
    left = float(evidence["lease_left_seconds"] or 0)
    if "leaders" in evidence:
        nobody = f"nobody leads {evidence['leaderless']}; " if "leaderless" in evidence else ""
        return f"{nobody}{evidence['leaders']}"
    if left <= 0:
        return f"nobody leads: the lease of {evidence['leader']} ran out {-left:.0f} s ago"
    return f"{evidence['leader']} leads for another {left:.0f} s, and does not get on"


def parked_changes(around: Around, source: str) -> Iterator[Ailment]:
    """Changes that no translator understood: their subjects stand still."""
    waiting = around.archive.parked(source)
    if not waiting:
        return
    first = min(waiting, key=lambda one: (one.held, one.parked_at))
    yield Ailment(
        where=f"changes of {source}",
        what=f"{len(waiting)} changes of {len({one.change.subject for one in waiting})} subjects are parked: {first.reason}",
        next=commands.replay_changes(source),
        severity=Severity.RISK,
        evidence={
            "parked": len(waiting),
            "oldest_seconds": _age(around.clock(), min(one.parked_at for one in waiting)),
        },
    )


def parked_events(around: Around) -> Iterator[Ailment]:
    """Events that a version could not apply: their rows stand still."""
    for version in _alive(around):
        waiting = around.read_store.parked(version.projection, version.version)
        if not waiting:
            continue
        first = min(waiting, key=lambda one: (one.held, one.parked_at))
        yield Ailment(
            where=f"events of {version.projection} v{version.version}",
            what=f"{len(waiting)} events are parked: {first.reason}",
            next=commands.replay_events(version.projection),
            severity=Severity.RISK,
            evidence={
                "parked": len(waiting),
                "oldest_seconds": _age(around.clock(), min(one.parked_at for one in waiting)),
            },
        )


def topics(log: Log, topic: str, partitions: int) -> Iterator[Ailment]:
    """A topic that is missing, or has another number of partitions than the project asks for."""
    try:
        found = log.partitions(topic)
    except UsageError as error:
        yield Ailment(where=f"topic {topic}", what=str(error), next="strangler setup")
        return
    if found != partitions:
        yield Ailment(
            where=f"topic {topic}",
            what=f"it has {found} partitions, and the project asks for {partitions}: subjects would change places",
            next=f"set log.partitions to {found}",
            evidence={"partitions": found, "asked": partitions},
        )


def positions(around: Around, log: Log) -> Iterator[Ailment]:
    """Versions that stand where the log does not reach any more, or not yet."""
    bounds = {topic: log.bounds(topic) for topic in around.project.topics}
    for version in _alive(around):
        for one in around.read_store.checkpoints(version.projection, version.version):
            first, end = bounds.get(one.topic, {}).get(one.partition, (one.next_offset, one.next_offset))
            if first <= one.next_offset <= end:
                continue
            passed = one.next_offset < first
            yield Ailment(
                where=f"{version.projection} v{version.version}",
                what=f"it stands at offset {one.next_offset} of {one.topic}[{one.partition}], but the log holds {first} to "
                f"{end}: " + ("retention has passed it" if passed else "was the topic made anew?"),
                next=commands.rebuild(version.projection, version.version + 1)
                + " (a new version, from the archive)",
                evidence={"next_offset": one.next_offset, "first": first, "end": end},
            )


def _alive(around: Around) -> list[VersionState]:
    return [one for one in around.read_store.versions() if one.serving or one.state in ("running", "waiting")]


def _age(now: dt.datetime, since: dt.datetime) -> float:
    return round((now - since).total_seconds(), 1)
