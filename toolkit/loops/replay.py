"""Mend a projection's rows: apply parked events again, or fold one row anew from the archive.

Both take the version over, so that a projector that runs meanwhile is fenced, and goes on once it is started again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from toolkit import commands
from toolkit.core.columns import Column, from_text
from toolkit.core.errors import Refused, UsageError
from toolkit.core.events import Catalogue
from toolkit.core.projections import Definition
from toolkit.core.records import Record
from toolkit.loops import folding
from toolkit.loops.folding import Held, Place, Step
from toolkit.loops.history import whole
from toolkit.loops.known import known_rows
from toolkit.ports import Archive, Batch, Checkpoint, Clock, ParkedEvent, ReadStore, SkippedEvent

PAGE = 5_000
"""Records read at once when one row's events have to be looked for in the whole archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of applying parked events again; `waiting` still cannot be applied, each with its new reason."""

    applied: int
    waiting: tuple[ParkedEvent, ...]
    skipped: tuple[SkippedEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reprojected:
    """One row before and after it was folded anew (None: there is none), from how many events."""

    key: object
    before: dict[str, object] | None
    after: dict[str, object] | None
    events: int
    waiting: tuple[ParkedEvent, ...]


def replay_parked(definition: Definition, catalogue: Catalogue, store: ReadStore, clock: Clock) -> Replayed:
    """Apply a version's parked events again, in their order; what still fails keeps its place (R6)."""
    return _replay(definition, catalogue, store, clock, lambda _: [])


def skip_parked(
    definition: Definition,
    catalogue: Catalogue,
    store: ReadStore,
    clock: Clock,
    event_ids: Collection[str],
    *,
    owner: str,
    reason: str,
    code_hash: str,
) -> Replayed:
    """Never apply these parked events: enter them into the ledger, and let what waits behind them go on (R6).

    One transaction, whatever becomes of what waits behind. Raises UsageError when one of them is not parked.
    """

    def decided(parked: Sequence[ParkedEvent]) -> list[SkippedEvent]:
        known = {one.record.envelope.id: one for one in parked}
        if missing := [one for one in event_ids if one not in known]:
            first = next((one.record.envelope.id for one in parked if not one.held), "")
            there = f"{len(known)} events are, the first is {first}" if known else "nothing is"
            raise UsageError(
                f"{definition.identity}: not parked: {', '.join(missing)} ({there}): see `{commands.PARKED}`"
            )
        return [
            SkippedEvent(
                parked=known[one], owner=owner, reason=reason, skipped_at=clock(), code_hash=code_hash
            )
            for one in dict.fromkeys(event_ids)
        ]

    decided(store.parked(definition.name, definition.version))  # before anybody is disturbed
    return _replay(definition, catalogue, store, clock, decided)


def _replay(
    definition: Definition,
    catalogue: Catalogue,
    store: ReadStore,
    clock: Clock,
    decide: Callable[[Sequence[ParkedEvent]], list[SkippedEvent]],
) -> Replayed:
    name, version = definition.name, definition.version
    epoch = store.seize(name, version)
    everything = store.parked(name, version)
    skipped = decide(everything)
    passed = {one.event_id for one in skipped}
    parked = [one for one in everything if one.record.envelope.id not in passed]
    steps = folding.read(definition, catalogue, ((one.topic, one.record) for one in parked))
    known = known_rows(definition)
    known.look_up(definition, steps, store)
    folded = folding.fold(definition, steps, known.rows, Held(), clock(), known.under)
    waiting = {one.record.envelope.id for one in folded.parked}
    released = [one.record.envelope.id for one in parked if one.record.envelope.id not in waiting]
    batch = Batch(
        upserts=folded.upserts,
        deletes=folded.deletes,
        parked=folded.parked,
        unparked=released,
        skipped=skipped,
    )
    store.commit(definition, batch, epoch=epoch, now=clock())
    return Replayed(applied=folded.applied, waiting=tuple(folded.parked), skipped=tuple(skipped))


def reproject(
    definition: Definition,
    catalogue: Catalogue,
    store: ReadStore,
    archive: Archive,
    key: object,
    clock: Clock,
) -> Reprojected:
    """Fold one row anew from all events up to where the version stands, and put it in the place of the old one.

    Where events may be about many rows of a parent, all rows of the parent. Raises Refused when the archive was pruned: which of the row's events went with it, nobody knows.
    """
    name, version = definition.name, definition.version
    wanted = key_of(definition, key)
    topics = Counter(one.topic for one in store.checkpoints(name, version))
    refused = f"{definition.identity}, {definition.key_label} {wanted!r} cannot be folded anew"
    whole(archive, topics, refused)
    epoch = store.seize(name, version)
    _noted(archive, folding.places(store.checkpoints(name, version)))
    steps = passed_steps(definition, catalogue, store, archive, wanted)
    whole(archive, topics, refused)  # again, now that they are read: whoever prunes cuts before anything goes
    held = Held.by((), store.skipped(name, version))
    folded = folding.fold(definition, steps, {}, held, clock())
    changed = folded.changed if definition.parent else {wanted: folded.changed.get(wanted)}
    there = _there(definition, store, wanted)
    before, after = there.get(wanted), changed.get(wanted)
    waiting = {one.record.envelope.id for one in folded.parked}
    told = folding.row_keys(steps) if definition.parent else folding.keys(steps)
    if before is None and wanted not in told:
        raise UsageError(
            f"{definition.identity} has no row of {definition.key_label} {key!r}, and no event that it has seen tells of one"
        )
    batch = Batch(
        upserts=[row for row in changed.values() if row is not None],
        deletes=[key for key in there if changed.get(key) is None],
        parked=folded.parked,
        unparked=[id_ for step in steps if (id_ := step.record.envelope.id) not in waiting],
    )
    store.commit(definition, batch, epoch=epoch, now=clock())
    return Reprojected(
        key=wanted, before=before, after=after, events=folded.applied, waiting=tuple(folded.parked)
    )


def _there(definition: Definition, store: ReadStore, key: object) -> dict[object, dict[str, object]]:
    """The row, with all others of its parent: an event that waits may be about each of them."""
    if definition.parent:
        return store.load_under(definition, [definition.parent_in(key)])
    return store.load(definition, [key])


def _noted(archive: Archive, passed: Mapping[Place, Checkpoint]) -> None:
    """What a projector had from the log before the relay noted it would be missing from the row. Raises Refused."""
    for topic in sorted({topic for topic, _ in passed}):
        partitions = sum(name == topic for name, _ in passed)
        for record in archive.unpublished(topic, partitions):  # the first of each partition that has any
            at = passed.get((topic, record.partition))
            if at is not None and record.sequence <= at.sequence:
                raise Refused(
                    f"{topic}[{record.partition}]: the view holds event {record.sequence}, whose place in the log the "
                    "relay has not noted yet",
                    [f"run `{commands.RELAY} --once`, or let the relay catch up, and try again"],
                )


def key_of(definition: Definition, given: object) -> object:
    """The key as the rows have it; a command gives it as text, the values of several columns separated by slashes."""
    columns = definition.key_columns
    values = definition.key_parts(given) if isinstance(given, str) else given
    values = values if isinstance(values, (list, tuple)) else [values]
    if len(values) != len(columns):
        what = f"{given!r} has {len(values)} values, the key has {len(columns)}: {definition.key_label}"
        raise UsageError(f"{definition.identity}: {what} (write them as A/B, a slash inside one as %2F)")
    try:
        found = tuple(_key_value(column, value) for column, value in zip(columns, values, strict=True))
    except ValueError as error:
        raise UsageError(f"{definition.identity}: {given!r} is no {definition.key_label}: {error}") from error
    return found[0] if len(found) == 1 else found


def _key_value(column: Column, given: object) -> object:
    return from_text(column, given) if isinstance(given, str) else column.normal(given)


def passed_steps(
    definition: Definition, catalogue: Catalogue, store: ReadStore, archive: Archive, key: object
) -> list[Step]:
    """The events of one row that the version has passed, and those that tell no row (they hold back theirs)."""
    unit = definition.parent_in(key) if definition.parent else key
    passed = folding.places(store.checkpoints(definition.name, definition.version))
    steps: list[Step] = []
    for topic in sorted({topic for topic, _ in passed}):
        if (at := subject_in_key(definition, catalogue)) is not None:
            subject = key[at] if isinstance(key, tuple) else key
            records: Iterator[Record] = iter(archive.of_subject(topic, str(subject)))
        else:
            records = _all(archive, topic)
        due = [
            (topic, record)
            for record in records
            if record.sequence <= passed[topic, record.partition].sequence
        ]
        steps.extend(
            step for step in folding.read(definition, catalogue, due) if step.key is None or step.key == unit
        )
    return steps


def subject_in_key(definition: Definition, catalogue: Catalogue) -> int | None:
    """Which of the key's columns holds the subject of every event that changes a row; None when there is none."""
    subjects = {name: catalogue.by_name(name).subject for name in definition.handlers}
    for at in range(len(definition.parent or definition.key)):
        if all(handler.key[at] == subjects[name] for name, handler in definition.handlers.items()):
            return at
    return None


def _all(archive: Archive, topic: str) -> Iterator[Record]:
    """Every record of a topic, by (partition, sequence)."""
    after: dict[int, int] = {}
    while page := archive.scan(topic, after, PAGE):
        for delivery in page:
            if isinstance(delivery.content, Record):
                after[delivery.at.partition] = delivery.content.sequence
                yield delivery.content
