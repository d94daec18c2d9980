"""The two read paths of a capability: its legacy SQL and its projection SQL, asked with the same parameters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from toolkit.core import values
from toolkit.core.errors import BadValue, Fault, FaultySql, ProjectError, UsageError
from toolkit.core.freshness import Freshness
from toolkit.core.projections import Definition
from toolkit.loader import Project
from toolkit.ports import Answer, Checkpoint, LegacyReads, ReadStore, SqlReads, ViewAnswer
from toolkit.router.holding import Look, looking, nobody, of_subjects, subject_at
from toolkit.settings import CapabilitySection, duration

T = TypeVar("T")
Key = Mapping[str, object]
Lacking = Mapping[str, Collection[str] | None]
"""Subjects with a legacy change that no event tells of, each with the events that it may become. None: nobody can say."""
Positions = dict[str, dict[int, int]]
"""Topic to partition to the next offset."""
NOTHING: Lacking = {}
_ANYTHING = "SELECT 1 AS one"


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A projection's answer with what it contains.

    `as_of` is the oldest over all its partitions (None: nothing is promised yet), `as_ofs` the oldest of each
    topic, each on its own source's clock. `held` are the keys this answer depends on whose events are parked;
    `perhaps_held` says per projection how many further ones it may depend on. `untold` are those of the held, by
    projection, that nobody can say of whether they belong to what was asked.
    """

    rows: list[dict[str, object]]
    as_of: dt.datetime | None
    as_ofs: dict[str, dt.datetime | None]
    held: tuple[str, ...]
    perhaps_held: dict[str, int]
    position: Positions
    versions: dict[str, int]
    untold: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question: the key, what both SQL texts are given, and the subject that decides the side."""

    key: dict[str, object]
    parameters: dict[str, object]
    subject: str

    def check(self, capability: str, error: Exception) -> None:
        """Raise UsageError where a database refused a value of the key, not one of the statement's own: it quotes it."""
        if not isinstance(error, BadValue):
            return
        quoted = {name: (f'"{value}"', f"'{value}'") for name, value in self.key.items()}
        blamed = [name for name, forms in quoted.items() if any(form in str(error) for form in forms)]
        if blamed:
            raise UsageError(
                f"{capability}: {', '.join(blamed)} of this key does not fit: {error}"
            ) from error


class ReadPaths:
    """Both ways to answer one capability. The router takes one of them, the shadow both."""

    def __init__(self, project: Project, name: str, legacy: LegacyReads, read_store: ReadStore) -> None:
        section = project.capability(name)
        self.name, self.section = name, section
        self.source = project.legacy_of(section)
        self._project, self._legacy, self._store = project, legacy, read_store
        self._legacy_sql = _text(project, name, section, "legacy_sql")
        self._read_sql = _text(project, name, section, "read_sql")
        self._keys_sql = _text(project, name, section, "keys_sql")
        self._legacy_timeout = duration(project.settings.legacy[self.source].read_timeout)
        self._view_timeout = duration(project.settings.read_store.read_timeout)

    def asked(
        self,
        key: Key | str | int,
        parameters: Mapping[str, object] | None = None,
        *,
        today: dt.date,
    ) -> Asked:
        """Check a question. Raises UsageError saying which key columns are missing or too many.

        Both SQL texts may use `:today` and get it as ISO text, unless the capability's or the caller's
        parameters say another day: an answer that depends on the date depends on an argument, not on a clock.
        Both get the same values, whatever their drivers make of a caller's types.
        """
        columns = self.section.key
        named = key if isinstance(key, Mapping) else {columns[0]: key}
        given = {name: values.parameter(value) for name, value in named.items()}
        if given.keys() != set(columns):
            raise UsageError(
                f"{self.name} is asked with {', '.join(columns)}; this key has {', '.join(given) or 'nothing'}"
            )
        extra = {name: values.parameter(value) for name, value in (parameters or {}).items()}
        if clash := given.keys() & extra.keys():
            raise UsageError(f"{self.name}: {', '.join(sorted(clash))} is in the key and in the parameters")
        subject = self.section.subject
        parts = [given[subject]] if subject else [given[column] for column in columns]
        return Asked(
            key=given,
            parameters={"today": today.isoformat(), **self.section.parameters, **extra, **given},
            subject="\x1f".join(str(value) for value in parts),
        )

    def legacy(self, asked: Asked) -> Answer:
        """Ask the legacy read path."""
        return self._legacy.query(self._legacy_sql, asked.parameters, timeout=self._legacy_timeout)

    def view(
        self,
        asked: Asked,
        versions: Mapping[str, int] | None = None,
        waiting: Lacking = NOTHING,
    ) -> View:
        """Ask the projection read path; `versions` looks at other versions than the serving ones.

        `waiting` are the subjects with a legacy change that is not translated: no event of it is anywhere yet.
        """
        try:
            answer = sql_reads(self._store, self.name).query(
                self._read_sql,
                asked.parameters,
                projections=self.section.projections,
                versions=versions,
                timeout=self._view_timeout,
            )
        except FaultySql as error:
            raise FaultySql(error.reason, self.section.read_sql) from error
        of_each = [answer.checkpoints.get(name, []) for name in self.section.projections]
        checkpoints = [one for some in of_each for one in some]
        as_ofs = oldest_by_topic(checkpoints)
        held, perhaps, untold = self._held(asked, answer, waiting)
        return View(
            rows=answer.rows,
            as_of=oldest(as_ofs.values()) if all(of_each) else None,
            as_ofs=as_ofs,
            held=held,
            perhaps_held=perhaps,
            position=positions(checkpoints),
            versions=answer.versions,
            untold=untold,
        )

    def as_ofs(self) -> dict[str, dt.datetime | None]:
        """How far the view is, by topic, as a read of now would find it: one short transaction."""
        names = self.section.projections
        store = sql_reads(self._store, self.name)
        answer = store.query(_ANYTHING, {}, projections=names, timeout=self._view_timeout)
        return oldest_by_topic([one for some in answer.checkpoints.values() for one in some])

    def keys(self, today: dt.date, parameters: Mapping[str, object] | None = None) -> list[dict[str, object]]:
        """The keys that the capability can be asked with, as the legacy source has them."""
        extra = {name: values.parameter(value) for name, value in (parameters or {}).items()}
        given = {"today": today.isoformat(), **self.section.parameters, **extra}
        rows = self._legacy.query(self._keys_sql, given, timeout=self._legacy_timeout).rows
        columns = self.section.key
        for row in rows[:1]:
            if missing := [column for column in columns if column not in row]:
                raise UsageError(f"{self.section.keys_sql} does not return {', '.join(missing)}")
        # Asked as a consumer asks, who does not know how wide a column is.
        return [{column: _bare(row[column]) for column in columns} for row in rows]

    def _held(
        self, asked: Asked, answer: ViewAnswer, waiting: Lacking
    ) -> tuple[tuple[str, ...], dict[str, int], dict[str, tuple[str, ...]]]:
        """The held keys that this answer depends on, per projection how many it may depend on, and what nobody can tell.

        A projection asked by its own key, or whose key is a column of the answer, is known to the row. Of
        another (a total, a joined name) nobody can say: that is worth a warning, and not worth more, for
        one poisoned event must not make every answer doubtful. An answer without rows is another matter:
        a row that is not there may be just the one that is held, unless its row, its events or its subject tell otherwise.
        """
        held: list[str] = []
        perhaps: dict[str, int] = {}
        untold: dict[str, tuple[str, ...]] = {}
        for projection, parked in answer.held.items():
            definition = self._definition(projection, answer)
            told = self._told(definition, asked, answer.rows, parked, _lacking(definition, waiting))
            held.extend(key for key, one in told.items() if one)
            unsure = tuple(key for key, one in told.items() if one is None)
            if answer.rows:
                perhaps[projection] = len(unsure)
            else:
                held.extend(unsure)
                untold[projection] = unsure
        return tuple(dict.fromkeys(held)), _some(perhaps), _some(untold)

    def _told(
        self,
        definition: Definition | None,
        asked: Asked,
        rows: Sequence[Mapping[str, object]],
        parked: Sequence[str],
        lacks: Sequence[str],
    ) -> dict[str, bool | None]:
        """Does an answer depend on the keys with parked events, and on the subjects with changes that are in no event?"""
        at = None if definition is None else subject_at(definition, self._project.catalogue)
        subjects = of_subjects(definition, at, asked.key, rows, lacks)
        if not rows and not _whole(definition, asked):
            keys = missing(definition, asked, parked, self._look(definition, asked))
        else:
            sure = doubted(definition, asked, rows, parked)
            keys = {key: None if sure is None else key in sure for key in parked}
        both = keys.keys() & subjects.keys()
        return {**subjects, **keys, **{one: _either(keys[one], subjects[one]) for one in both}}

    def _look(self, definition: Definition | None, asked: Asked) -> Look:
        return nobody if definition is None else looking(self._store, definition, asked.key)

    def _definition(self, projection: str, answer: ViewAnswer) -> Definition | None:
        return self._project.projections.get(projection, {}).get(answer.versions.get(projection, 0))


def sql_reads(store: ReadStore, capability: str) -> SqlReads:
    """The read store, as what a capability's `read_sql` can be asked of. Raises UsageError when it speaks no SQL."""
    if isinstance(store, SqlReads):
        return store
    raise UsageError(
        f"{capability}: its read_sql cannot be asked of this read store ({type(store).__name__}), which answers no SQL: leave its "
        "route at legacy, and read the projections with the store's own means, or name an SQL database in read_store.url"
    )


def _bare(value: object) -> object:
    return value.rstrip(" ") if isinstance(value, str) else value


def oldest_by_topic(checkpoints: Sequence[Checkpoint]) -> dict[str, dt.datetime | None]:
    """Each topic's as-of: the minimum over its partitions, None while one of them has seen no watermark."""
    found: dict[str, list[dt.datetime | None]] = {}
    for checkpoint in checkpoints:
        found.setdefault(checkpoint.topic, []).append(checkpoint.as_of)
    return {topic: oldest(instants) for topic, instants in found.items()}


def oldest(instants: Iterable[dt.datetime | None]) -> dt.datetime | None:
    """The minimum, None when there is none or one of them is unknown."""
    known: list[dt.datetime] = []
    for instant in instants:
        if instant is None:
            return None
        known.append(instant)
    return min(known, default=None)


def furthest_behind(
    as_ofs: Mapping[str, dt.datetime | None],
    now_of: Callable[[str], dt.datetime | None],
    objective: dt.timedelta,
) -> Freshness | None:
    """The freshness of the topic with the greatest lag, each on its own source's clock. None: it cannot be said."""
    found: list[tuple[dt.timedelta, Freshness]] = []
    for topic, as_of in as_ofs.items():
        now = now_of(topic)
        if now is None or as_of is None:
            return None
        found.append((now - as_of, Freshness(as_of=as_of, now=now, objective=objective)))
    return max(found, key=lambda one: one[0])[1] if found else None


def positions(checkpoints: Sequence[Checkpoint]) -> Positions:
    """The next offset by topic and partition, the lowest where several projections read the same partition."""
    found: Positions = {}
    for one in checkpoints:
        topic = found.setdefault(one.topic, {})
        topic[one.partition] = min(topic.get(one.partition, one.next_offset), one.next_offset)
    return found


def _text(project: Project, name: str, section: CapabilitySection, key: str) -> str:
    path: Path = project.folder / getattr(section, key)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ProjectError([Fault(where=f"capability.{name}.{key}", what=str(error))]) from error


def _either(one: bool | None, other: bool | None) -> bool | None:
    return True if one or other else None if None in (one, other) else False


def _some(found: dict[str, T]) -> dict[str, T]:
    return {name: one for name, one in found.items() if one}


def _lacking(definition: Definition | None, waiting: Lacking) -> list[str]:
    """The subjects whose changes may become an event that the projection reads."""
    if definition is None:
        return sorted(waiting)
    handled = definition.handlers.keys()
    return sorted(one for one, events in waiting.items() if events is None or not handled.isdisjoint(events))


def doubted(
    definition: Definition | None, asked: Asked, rows: Sequence[Mapping[str, object]], keys: Sequence[str]
) -> list[str] | None:
    """Those of the held keys that an answer depends on; None where nobody can say.

    What was parked before it told its key holds back a subject, which is one of the key's values, if it is in the key.
    """
    if not keys:
        return []
    columns = definition.key if definition is not None else ()
    if definition is not None and _whole(definition, asked):
        mine = {*_names(definition, asked.key), asked.subject}
        return [key for key in keys if key in mine]
    if not rows:
        told = missing(definition, asked, keys)
        return [key for key in keys if told[key] is not False]
    if definition is None:
        return None
    mine = {key for key in keys if _under(definition, asked, key)}
    if {**rows[0], **asked.key}.keys() >= {*columns}:
        for row in rows:
            mine |= _names(definition, {**row, **asked.key})
    elif not mine:
        return None
    return [key for key in keys if key in mine]


def _names(definition: Definition, row: Mapping[str, object]) -> set[str]:
    """What holds back a row: its key's text, its parent's, and each of its key's values, since one may be the subject."""
    key = definition.key_in(row)
    parent = {definition.key_text(definition.parent_in(key))} if definition.parent else set()
    return {definition.key_text(key), *(map(str, key) if isinstance(key, tuple) else ()), *parent}


def missing(
    definition: Definition | None, asked: Asked, keys: Sequence[str], look: Look = nobody
) -> dict[str, bool | None]:
    """Which held keys may be of a row that an empty answer lacks; None where nobody can say.

    The key's own columns decide as far as they were asked for; `look` is asked about the others only.
    """
    told = {key: None if definition is None else _under(definition, asked, key) for key in keys}
    return {**told, **look([key for key in keys if told[key] is None])}


def _whole(definition: Definition | None, asked: Asked) -> bool:
    return definition is not None and asked.key.keys() >= {*definition.key}


def _under(definition: Definition, asked: Asked, key: str) -> bool | None:
    """Is it a key with these values in some of its columns, or one of the values: perhaps of a row that is missing?

    None: it shares no column with what was asked, or is a subject, which need not be part of a key.
    """
    known = {column: str(asked.key[column]) for column in definition.key if column in asked.key}
    if key in known.values():
        return True
    parts = definition.key_parts(key)
    if len(parts) not in (len(definition.key), len(definition.parent)):
        return None
    told = dict(zip(definition.key, parts, strict=False))
    shared = told.keys() & known.keys()
    return all(told[column] == known[column] for column in shared) if shared else None
