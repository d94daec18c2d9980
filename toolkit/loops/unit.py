"""One unit of changes, by the rules of its source: all its events, or the change that could not be translated. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from toolkit.core.changes import Change, Op
from toolkit.core.errors import Untranslatable
from toolkit.core.events import Catalogue, Event
from toolkit.core.records import Draft, drafts, keepable
from toolkit.core.translators import Scope, Translator, Translators

OUTBOX_TYPE = "TYPE"


class Unit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Changes that are translated together or not at all: what one legacy transaction did to one subject.

    All rows that backfill found of a subject are one unit, too. Where the engine gives no transaction id, each
    change is its own.
    """

    subject: str
    changes: tuple[Change, ...]

    @property
    def number(self) -> int:
        """Its place among the units of its subject: where it ends. What backfill found comes before all changes."""
        if len(self.changes) == 1:
            return self.changes[0].number
        return max(change.number for change in self.changes)


class Places(NamedTuple):
    """Tables whose changes have a place of their own in a unit: the aggregates' first ones, and the outboxes."""

    firsts: frozenset[str] = frozenset()
    outboxes: frozenset[str] = frozenset()

    @staticmethod
    def of(translators: Translators) -> Places:
        """Those of a source."""
        outboxes = (rule.tables for rule in translators.rules if rule.scope is Scope.OUTBOX)
        return Places(
            firsts=frozenset(table for one in translators.aggregates for table in list(one.tables)[:1]),
            outboxes=frozenset(table for tables in outboxes for table in tables),
        )

    def nested(self, changes: list[Change]) -> list[Change]:
        """An aggregate's first row comes before the rows that came with it, and goes after those that went with it.

        What a foreign key does to other rows comes before or after what it was done for, by the engine. Only what follows
        each other directly changes its place, and an outbox's fact stays where it was said.
        """
        if not any(change.table in self.firsts for change in changes):
            return changes
        made: list[Change] = []
        for change in changes:
            at, first = len(made), change.table in self.firsts
            if change.op is Op.INSERT and first:
                while at and made[at - 1].op is Op.INSERT and not self._keeps(made[at - 1]):
                    at -= 1
            elif change.op is Op.DELETE and not first:
                while at and made[at - 1].op is Op.DELETE and made[at - 1].table in self.firsts:
                    at -= 1
            made.insert(at, change)
        return made

    def _keeps(self, change: Change) -> bool:
        return change.table in self.firsts or change.table in self.outboxes


class Failed(Exception):
    """A change of a unit cannot be translated: which one, and why."""

    def __init__(self, change: Change, reason: str) -> None:
        super().__init__(reason)
        self.change, self.reason = change, reason


class Rules:
    """Which rules may speak for a table, in order of registration: a source has dozens, and a change hears one or two."""

    def __init__(self, translators: Translators) -> None:
        self._all, self.mute = translators.rules, frozenset(translators.mute)
        self._of: dict[frozenset[str], list[Translator]] = {}
        self._alone: dict[str, Sequence[Translator]] = {}

    def alone(self, table: str) -> Sequence[Translator]:
        """The rules for this table."""
        if table not in self._alone:
            self._alone[table] = self.of((table,))
        return self._alone[table]

    def of(self, tables: Iterable[str]) -> Sequence[Translator]:
        """The rules for any of these tables."""
        names = frozenset(tables)
        if names not in self._of:
            self._of[names] = [rule for rule in self._all if not names.isdisjoint(rule.tables)]
        return self._of[names]


def translate_unit(unit: Unit, rules: Rules, catalogue: Catalogue) -> tuple[list[Draft], list[Change]]:
    """All events of a unit, by the change they come from; and the changes that no event came from."""
    _readable(unit)
    if len(unit.changes) == 1:
        return _translate_one(unit.changes[0], rules, catalogue)
    given, fruitful = _given(unit.changes, rules)
    made = [
        draft
        for change, events in zip(unit.changes, given, strict=True)
        for draft in _drafts(catalogue, change, events)
    ]
    return made, [change for change, known in zip(unit.changes, fruitful, strict=True) if not known]


Given = tuple[list[list[Event]], list[bool]]
"""By change, its events, and whether any came of it (alone, or with others of its unit)."""


def _given(changes: Sequence[Change], rules: Rules) -> Given:
    given: list[list[Event]] = [[] for _ in changes]
    spoken = [change.table in rules.mute for change in changes]
    fruitful = [False for _ in changes]
    for rule in rules.of(change.table for change in changes):
        mine = [at for at, change in enumerate(changes) if _speaks(rule, change)]
        if not mine:
            continue
        parts = [mine] if rule.scope is Scope.TRANSACTION else [[at] for at in mine]
        for part in parts:
            events = _apply(rule, [changes[at] for at in part])
            given[part[-1]].extend(events)
            for at in part:
                spoken[at] = True
                fruitful[at] |= bool(events)
    for change, known in zip(changes, spoken, strict=True):
        if not known:
            raise Failed(change, _unspoken(change))
    return given, fruitful


def _translate_one(change: Change, rules: Rules, catalogue: Catalogue) -> tuple[list[Draft], list[Change]]:
    """The same for a change that stands alone, as most do."""
    events: list[Event] = []
    spoken = change.table in rules.mute
    for rule in rules.alone(change.table):
        if rule.scope is Scope.OUTBOX and _kind(change) not in rule.types:
            continue
        spoken = True
        events += _apply(rule, [change])
    if not spoken:
        raise Failed(change, _unspoken(change))
    return _drafts(catalogue, change, events), [] if events else [change]


def _readable(unit: Unit) -> None:
    """Raise Failed for a change that capture could not read, and for a subject that not every archive can keep."""
    for change in unit.changes:
        if change.fault:
            raise Failed(change, f"{describe(change)}: {change.fault}")
    if not keepable(unit.subject):
        raise Failed(unit.changes[0], f"the subject {unit.subject!r} is no text that every archive can keep")


def _speaks(rule: Translator, change: Change) -> bool:
    if change.table not in rule.tables:
        return False
    return rule.scope is not Scope.OUTBOX or _kind(change) in rule.types


def _kind(change: Change) -> str:
    return str(change.row.get(OUTBOX_TYPE)).rstrip()


def _unspoken(change: Change) -> str:
    if OUTBOX_TYPE in change.row:
        kind = _kind(change)
        return (
            f"no translator speaks for the type {kind!r} of outbox {change.table}: "
            f'write one with @acl.outbox("{change.table}", "{kind}")'
        )
    return f'no translator speaks for {change.table}: write one with @acl.table("{change.table}")'


def _apply(rule: Translator, changes: list[Change]) -> list[Event]:
    try:
        return list(rule.function(changes if rule.scope is Scope.TRANSACTION else changes[0]))
    except Exception as error:
        raise Failed(changes[-1], f"{rule.name} on {describe(changes[-1])}: {_said(error)}") from error


def _drafts(catalogue: Catalogue, change: Change, events: list[Event]) -> list[Draft]:
    try:
        return drafts(catalogue, change, events)
    except Exception as error:  # an event may hold what JSON cannot
        raise Failed(change, f"{describe(change)}: {_said(error)}") from error


def _said(error: Exception) -> str:
    if isinstance(error, Untranslatable):
        return str(error)
    return f"{type(error).__name__}: {error.args[0] if isinstance(error, KeyError) and error.args else error}"


def describe(change: Change) -> str:
    """Which row: `POLMAST POL_NO=P000000001`, with its subject where the key columns are not known."""
    key = ", ".join(f"{column}={change.text(column)}" for column in change.key if column in change.row)
    return f"{change.table} {key or change.subject} ({change.op})"
