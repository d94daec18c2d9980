"""What deliveries do to a projection: pure, and the same when live, in a rebuild, in a replay and in `verify`.

Three steps: `arrange` decides by sequence which events are due, `read` decodes them, `fold` applies them to rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from toolkit.core.errors import Unprojectable
from toolkit.core.events import Catalogue, Event
from toolkit.core.families import NOWHERE, Reach
from toolkit.core.meanings import Ways
from toolkit.core.projections import Definition
from toolkit.core.records import Delivery, Passed, Record, Watermark
from toolkit.loops.siblings import Siblings, Under, nobody
from toolkit.ports import Checkpoint, ParkedEvent, SkippedEvent

Place = tuple[str, int]
"""Topic and partition."""


def places(checkpoints: Iterable[Checkpoint]) -> dict[Place, Checkpoint]:
    """The checkpoints by where they stand."""
    return {(one.topic, one.partition): one for one in checkpoints}


# --- which events are due


@dataclass(frozen=True, slots=True, kw_only=True)
class Arranged:
    """What is due of some deliveries, and the checkpoints after it.

    `seen` is the highest sequence per partition that is known to exist: above the checkpoint's, events are missing.
    """

    due: list[tuple[str, Record]]
    checkpoints: dict[Place, Checkpoint]
    seen: dict[Place, int]
    duplicates: int
    early: int
    malformed: int

    @property
    def missing(self) -> dict[Place, int]:
        """The next sequence of each partition that waits for it, although later ones have come."""
        return {
            place: self.checkpoints[place].sequence + 1
            for place, highest in self.seen.items()
            if highest > self.checkpoints[place].sequence
        }


def arrange(
    checkpoints: Mapping[Place, Checkpoint], seen: Mapping[Place, int], deliveries: Sequence[Delivery]
) -> Arranged:
    """Take exactly the event after the last one, per partition, whatever the log delivers (R4).

    An event that came before is a duplicate. One that comes too early is left, not applied and not forgotten:
    the relay publishes the missing ones again, in order and with all that follow them, later in the log. So the
    position moves with every delivery, and the sequence with every event.
    """
    standing = {place: _Standing(one, seen.get(place, 0)) for place, one in checkpoints.items()}
    due: list[tuple[str, Record]] = []
    duplicates = early = malformed = 0
    for delivery in deliveries:
        at, content = delivery.at, delivery.content
        now = standing[at.topic, at.partition]
        if at.offset >= now.next_offset:
            now.next_offset = at.offset + 1
        if type(content) is Record:
            sequence = content.sequence
            if sequence == now.sequence + 1:
                due.append((at.topic, content))
                now.sequence = sequence
            elif sequence <= now.sequence:
                duplicates += 1
            else:
                early += 1
            if sequence > now.seen:
                now.seen = sequence
        elif type(content) is Watermark:
            now.promise(content)
        elif type(content) is Passed:
            now.sequence = max(now.sequence, content.sequence)
            now.seen = max(now.seen, content.sequence)
        else:
            malformed += 1
    return Arranged(
        due=due,
        checkpoints={place: one.checkpoint for place, one in standing.items()},
        seen={place: one.seen for place, one in standing.items() if one.seen},
        duplicates=duplicates,
        early=early,
        malformed=malformed,
    )


class _Standing:
    """How far one partition is, while deliveries are arranged."""

    __slots__ = ("_as_of", "_before", "next_offset", "seen", "sequence")

    def __init__(self, before: Checkpoint, seen: int) -> None:
        self._before, self._as_of = before, before.as_of
        self.next_offset, self.sequence, self.seen = before.next_offset, before.sequence, seen

    def promise(self, mark: Watermark) -> None:
        """A watermark promises only what is in the view already, and a promise is never taken back."""
        self.seen = max(self.seen, mark.sequence)
        if self.sequence >= mark.sequence:
            self._as_of = mark.as_of if self._as_of is None else max(self._as_of, mark.as_of)

    @property
    def checkpoint(self) -> Checkpoint:
        """Where it stands now."""
        return msgspec.structs.replace(
            self._before, next_offset=self.next_offset, sequence=self.sequence, as_of=self._as_of
        )


# --- what they say


class Step(msgspec.Struct, frozen=True, gc=False):
    """An event that a projection handles, read for it; or why it cannot be read (`key` is None then, or known at least).

    In a projection with a `parent`, `key` is the parent's, and `reach` tells the rows.
    """

    topic: str
    record: Record
    event: Event | None = None
    key: object = None
    fault: str = ""
    reach: Reach = NOWHERE


def read(definition: Definition, catalogue: Catalogue, due: Iterable[tuple[str, Record]]) -> list[Step]:
    """Decode the events that the projection handles, and tell of those it cannot read; the rest is not its business."""
    ways = _ways(definition, catalogue)
    steps: list[Step] = []
    for topic, record in due:
        envelope = record.envelope
        way = ways[envelope.type, envelope.version, envelope.meaning]
        if way is None:
            continue
        try:
            event = way.read(record.data)
            step = Step(topic, record, event, way.key_of(event))
        except Unprojectable as error:
            step = Step(topic, record, fault=str(error))
        except msgspec.MsgspecError as error:
            step = Step(topic, record, fault=f"{envelope.type} version {envelope.version}: {error}")
        except Exception as error:  # noqa: BLE001 - upcasters and mappings are a user's code and may fail in any way; the event is parked
            step = Step(topic, record, fault=_reason(error))
        steps.append(step)
    return [_reaching(definition, step) for step in steps] if definition.parent else steps


def _reaching(definition: Definition, step: Step) -> Step:
    """The same with the rows that the event is about. What names none waits with its parent."""
    if step.event is None:
        return step
    try:
        return msgspec.structs.replace(step, reach=definition.reach_of(step.event, step.key))
    except Unprojectable as error:
        return msgspec.structs.replace(step, event=None, fault=str(error))
    except Exception as error:  # noqa: BLE001 - an element may be anything; the event is parked
        return msgspec.structs.replace(step, event=None, fault=_reason(error))


_kept: list[tuple[Definition, Catalogue, Ways]] = []
_KEPT = 64


def _ways(definition: Definition, catalogue: Catalogue) -> Ways:
    """The ways of a projection, kept from batch to batch; a project has few projections, and none changes."""
    for known, of, ways in _kept:
        if known is definition and of is catalogue:
            return ways
    made = Ways(definition, catalogue)
    _kept.append((definition, catalogue, made))
    del _kept[:-_KEPT]
    return made


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


# --- what they do


@dataclass(frozen=True, slots=True)
class Held:
    """What is held back: row keys with a parked event, and subjects whose parked event told no key.

    `skipped` are the ids of events that are passed by, because somebody said so: they hold nothing back.
    """

    keys: frozenset[str] = frozenset()
    subjects: frozenset[tuple[str, str]] = frozenset()
    skipped: frozenset[str] = frozenset()

    @staticmethod
    def by(parked: Iterable[ParkedEvent], skipped: Iterable[SkippedEvent] = ()) -> Held:
        """What these parked events hold back, and what is passed by."""
        events = list(parked)
        return Held(
            skipped=frozenset(one.event_id for one in skipped),
            keys=frozenset(one.key for one in events if one.key is not None),
            subjects=frozenset((one.topic, one.record.envelope.subject) for one in events if one.key is None),
        )

    def __or__(self, other: Held) -> Held:
        """Both."""
        return Held(self.keys | other.keys, self.subjects | other.subjects, self.skipped | other.skipped)


@dataclass(slots=True)
class Folded:
    """What a fold makes of rows: the changed ones (None: to be deleted) and the events that it could not apply."""

    changed: dict[object, dict[str, object] | None] = field(default_factory=dict)
    new: list[object] = field(default_factory=list)
    """keys for which there was no row; of some of them there is none still"""
    parked: list[ParkedEvent] = field(default_factory=list)
    applied: int = 0

    @property
    def upserts(self) -> list[dict[str, object]]:
        """Rows to write."""
        return [row for row in self.changed.values() if row is not None]

    @property
    def deletes(self) -> list[object]:
        """Keys to delete."""
        return [key for key, row in self.changed.items() if row is None]


def keys(steps: Iterable[Step]) -> list[object]:
    """The keys of the rows that the steps are about, each once; in a projection with a `parent`, the parents'."""
    return list(dict.fromkeys(step.key for step in steps if step.key is not None))


def row_keys(steps: Iterable[Step]) -> list[object]:
    """In a projection with a `parent`, the keys of the rows that the steps name, each once."""
    return list(dict.fromkeys(key for step in steps for key, _ in step.reach.rows))


def wide(steps: Iterable[Step]) -> list[object]:
    """The parents all of whose rows the steps are about, each once."""
    return list(dict.fromkeys(step.key for step in steps if step.reach.wide))


def fold(
    definition: Definition,
    steps: Sequence[Step],
    rows: Mapping[object, Mapping[str, object] | None],
    held: Held,
    now: dt.datetime,
    under: Under = nobody,
) -> Folded:
    """Apply events in their order to the rows as they were. `under` tells the rows of the parents that are `wide`.

    What cannot be applied is parked with its reason; whatever comes later for the same row (or, where the event
    does not tell the row, from the same subject) is parked behind it, so that order stays true (R6).
    """
    folded = Folded()
    apply = _Whole(definition, rows, folded, under) if definition.parent else _one(definition, rows, folded)
    held_keys, held_subjects, skipped = set(held.keys), set(held.subjects), held.skipped
    passed = 0
    for step in steps:
        if skipped and step.record.envelope.id in skipped:
            passed += 1
            continue
        behind = bool(held_keys or held_subjects) and _behind(definition, step, held_keys, held_subjects)
        reason = _BEHIND if behind else apply(step)
        if not reason:
            continue
        name = None if step.key is None else definition.key_text(step.key)
        if name is None:
            held_subjects.add((step.topic, step.record.envelope.subject))
        else:
            held_keys.add(name)
        folded.parked.append(
            ParkedEvent(
                record=step.record,
                topic=step.topic,
                key=name,
                reason=reason,
                held=bool(behind),
                parked_at=now,
            )
        )
    folded.applied = len(steps) - passed - len(folded.parked)
    return folded


def _behind(definition: Definition, step: Step, keys: set[str], subjects: set[tuple[str, str]]) -> bool:
    """Does an earlier event of its row, or of its subject, wait?"""
    if (step.topic, step.record.envelope.subject) in subjects:
        return True
    return step.key is not None and definition.key_text(step.key) in keys


_BEHIND = "an earlier event of the same row is parked"


Apply = Callable[[Step], str]
"""Apply one event; returns why it cannot be, or nothing."""


def _one(definition: Definition, rows: Mapping[object, Mapping[str, object] | None], folded: Folded) -> Apply:
    """What applies an event that is about one row: asked with every event."""
    appliers, changed, known, new = definition.appliers, folded.changed, rows.get, folded.new.append

    def apply(step: Step) -> str:
        event, key = step.event, step.key
        if event is None:
            return step.fault
        row: Mapping[str, object] | None
        if key in changed:
            row = changed[key]
        elif (row := known(key)) is None:
            new(key)
        try:
            changed[key] = appliers[type(event).__name__](row, event, step.record.envelope, key, None)
        except Unprojectable as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - whatever a user's code raises, the event is parked and the rest goes on
            return _reason(error)
        return ""

    return apply


class _Whole:
    """Applies an event that may be about many rows: to all of them, or to none (R6)."""

    def __init__(
        self,
        definition: Definition,
        rows: Mapping[object, Mapping[str, object] | None],
        folded: Folded,
        under: Under,
    ) -> None:
        self._definition, self._rows, self._folded = definition, rows, folded
        self._under, self._new = under, Siblings(definition)

    def __call__(self, step: Step) -> str:
        """Returns why it cannot be applied, or nothing."""
        definition, event, envelope = self._definition, step.event, step.record.envelope
        if event is None:
            return step.fault
        every = definition.handlers[type(event).__name__].every
        changes: dict[object, dict[str, object] | None] = {}
        key: object = step.key
        try:
            for key, element in step.reach.rows:
                changes[key] = definition.apply(self._row(key), event, envelope, key, element)
            for key, row in self._others(step, changes):
                changes[key] = definition.apply(row, event, envelope, key) if every else None
        except Unprojectable as error:
            return f"{error} (row {definition.key_text(key)})"
        except Exception as error:  # noqa: BLE001 - whatever a user's code raises, the event is parked and the rest goes on
            return f"{_reason(error)} (row {definition.key_text(key)})"
        self._folded.changed.update(changes)
        self._new.add(changes)
        return ""

    def _row(self, key: object) -> Mapping[str, object] | None:
        if key in self._folded.changed:
            return self._folded.changed[key]
        if (row := self._rows.get(key)) is None:
            self._folded.new.append(key)
        return row

    def _others(
        self, step: Step, named: Mapping[object, object]
    ) -> list[tuple[object, Mapping[str, object]]]:
        """The other rows of the parent, where the event is about all of them, in the order of their keys.

        Raises Unprojectable when there are too many. That a store may have given no more of them than it had to, to
        show that, makes no difference: see `KnownFamilies.look_up`.
        """
        if not step.reach.wide:
            return []
        there = {*self._under(step.key), *self._new.under(step.key)}
        keys = sorted(key for key in there if key not in named)  # type: ignore[type-var]
        found = [(key, self._row(key)) for key in keys]
        others = [(key, row) for key, row in found if row is not None]
        if len(others) + len(named) > self._definition.parent_limit:
            raise Unprojectable(_too_many(self._definition, step))
        return others


def _too_many(definition: Definition, step: Step) -> str:
    parent = ", ".join(definition.parent)
    return (
        f"{definition.identity}: {step.record.envelope.type} is about all rows of {parent} = {step.key!r}, and has more than "
        f"{definition.parent_limit} of them (parent_limit) to read at once: say the fact once, in a projection of the parent, "
        "and join it in the read; or divide the parent by a further column at the beginning of the key; or raise "
        "parent_limit= of the projection, if there is memory for it, and run `strangler repair events`"
    )
