"""Why two versions of a projection differ in a row: the event since which they do, or a row that no event explains."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from toolkit.core.errors import Refused
from toolkit.core.events import Catalogue
from toolkit.core.projections import Definition
from toolkit.loops import folding
from toolkit.loops.folding import Held, Place, Step
from toolkit.loops.history import whole
from toolkit.loops.live import mended_by
from toolkit.loops.rebuild import VersionComparison
from toolkit.loops.replay import passed_steps, subject_in_key
from toolkit.loops.siblings import Siblings
from toolkit.ports import Archive, Checkpoint, ReadStore, serving_of

Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Since which event two versions differ in one row; without a column: since when only one of them has it.

    `parked`: what one of them could not apply of the row's events, and why. `drifted`: where the row of one of them is not
    what its events give, as when somebody wrote it by hand; without an event, that is all there is to it. `behind`: which of
    them has not come as far as the event, as one that nobody follows any more.
    """

    key: object
    column: str
    event: str = ""
    event_id: str = ""
    time: dt.datetime | None = None
    parked: tuple[str, ...] = ()
    drifted: tuple[Drift, ...] = ()
    behind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A version whose row is not what its events give: what it has, what they give, and what mends it."""

    version: int
    has: object
    given: object
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained(VersionComparison):
    """A comparison with the causes of the first difference of each column, and of the first row that one version lacks."""

    why: tuple[Cause, ...] = ()


_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


def explained(
    done: VersionComparison,
    old: Definition,
    new: Definition,
    catalogue: Catalogue,
    store: ReadStore,
    archive: Archive,
) -> Explained:
    """The same comparison, with why."""
    why = _causes(done, old, new, catalogue, store, archive)
    return Explained(**{one.name: getattr(done, one.name) for one in fields(done)}, why=why)


def _causes(
    done: VersionComparison,
    old: Definition,
    new: Definition,
    catalogue: Catalogue,
    store: ReadStore,
    archive: Archive,
) -> tuple[Cause, ...]:
    """For one row of each column that differs, and of those that only one version has, the event since which it does.

    Where the key does not tell the subject, or history has lost its beginning, nobody can say without reading all of it.
    """
    topics = Counter(one.topic for one in store.checkpoints(new.name, new.version))
    if any(subject_in_key(one, catalogue) is None for one in (old, new)):
        return ()
    try:
        whole(archive, topics, "")
    except Refused:
        return ()
    first = {one.column: one.key for one in reversed(done.examples)}
    wanted = [*first.items(), *(("", key) for key in (*done.missing[:1], *done.extra[:1]))]
    found = (_cause(old, new, catalogue, store, archive, column, key) for column, key in wanted)
    return tuple(one for one in found if one is not None)


def _cause(
    old: Definition,
    new: Definition,
    catalogue: Catalogue,
    store: ReadStore,
    archive: Archive,
    column: str,
    key: object,
) -> Cause | None:
    """The last event with which the two, which were alike until then, came apart for good."""
    sides = [_Side(one, store) for one in (old, new)]
    steps = [passed_steps(one, catalogue, store, archive, key) for one in (old, new)]
    since: Step | None = None
    for pair in _together(*steps):
        step = next(one for one in pair if one is not None)
        for side, mine in zip(sides, pair, strict=True):
            side.take(mine)
        before, after = (side.seen(key, column) for side in sides)
        since = None if before == after else since or step
    drifts = (
        _drift(side, mine, catalogue, archive, key, column) for side, mine in zip(sides, steps, strict=True)
    )
    drifted = tuple(one for one in drifts if one is not None)
    if since is None:
        return Cause(key=key, column=column, drifted=drifted) if drifted else None
    envelope = since.record.envelope
    parked = tuple(f"v{side.definition.version}: {side.parked}" for side in sides if side.parked)
    return Cause(
        key=key,
        column=column,
        event=envelope.type,
        event_id=envelope.id,
        time=envelope.time,
        parked=parked,
        drifted=drifted,
        behind=tuple(filter(None, (side.lacking(since) for side in sides))),
    )


def _drift(
    side: _Side, steps: list[Step], catalogue: Catalogue, archive: Archive, key: object, column: str
) -> Drift | None:
    """The row as it is, where its events give another one. None also where that cannot be told now.

    Events that are parked live are not in the row, whatever the code makes of them today; nor is it known what a row
    should be that was written between the look at its events and the look at it.
    """
    store, definition = side.store, side.definition
    ids = [one.record.envelope.id for one in steps]
    parked = {one.record.envelope.id for one in store.parked(definition.name, definition.version)}
    has = _seen(store.load(definition, [key]).get(key), column)
    given = side.seen(key, column)
    if has == given or not parked.isdisjoint(ids):
        return None
    if ids != [one.record.envelope.id for one in passed_steps(definition, catalogue, store, archive, key)]:
        return None
    serves = serving_of(store.versions(definition.name)) == definition.version
    mend = mended_by(definition, key, serves=serves)
    return Drift(version=definition.version, has=has, given=given, next=mend)


@dataclass(slots=True)
class _Side:
    """One version's rows, as they become with each event."""

    definition: Definition
    store: ReadStore
    rows: dict[object, Row | None] = field(default_factory=dict)
    parked: str = ""
    _passed: dict[Place, Checkpoint] = field(init=False)
    _held: Held = field(init=False)
    _siblings: Siblings = field(init=False)

    def __post_init__(self) -> None:
        name, version = self.definition.name, self.definition.version
        self._passed = folding.places(self.store.checkpoints(name, version))
        self._held = Held.by((), self.store.skipped(name, version))
        self._siblings = Siblings(self.definition)

    def take(self, step: Step | None) -> None:
        """Apply the event, if it is one of this version's."""
        if step is None:
            return
        under = self._siblings.under
        folded = folding.fold(self.definition, [step], self.rows, self._held, _NEVER, under)
        self.rows.update(folded.changed)
        if self.definition.parent:
            self._siblings.add(folded.changed)
        if folded.parked:
            self._held |= Held.by(folded.parked)
            self.parked = self.parked or folded.parked[0].reason

    def lacking(self, step: Step) -> str:
        """That the version has not come as far as this event, or nothing."""
        record = step.record
        at = self._passed.get((step.topic, record.partition))
        if at is None or at.sequence >= record.sequence:
            return ""
        where = f"event {at.sequence} of {step.topic}[{record.partition}]"
        return f"v{self.definition.version} has not seen it: it stands at {where}, this is {record.sequence}"

    def seen(self, key: object, column: str) -> object:
        """The value of a column, or whether there is the row at all."""
        return _seen(self.rows.get(key), column)


def _seen(row: Row | None, column: str) -> object:
    return row is not None if not column else None if row is None else row[column]


def _together(old: list[Step], new: list[Step]) -> Iterator[tuple[Step | None, Step | None]]:
    """Both versions' steps by the event that they are of, in the order of history."""
    mine, theirs = ({one.record.envelope.id: one for one in steps} for steps in (old, new))
    places = {
        id_: (one.topic, one.record.partition, one.record.sequence) for id_, one in (mine | theirs).items()
    }
    for id_ in sorted(places, key=lambda one: places[one]):
        yield mine.get(id_), theirs.get(id_)
