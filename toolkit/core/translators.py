"""The anti-corruption layer's registry: which pure function speaks for which legacy rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from toolkit.core.changes import Change
from toolkit.core.events import Event

TranslateOne = Callable[[Change], Iterable[Event]]
TranslateMany = Callable[[Sequence[Change]], Iterable[Event]]


class Scope(StrEnum):
    """How much a translator sees at once."""

    ROW = "row"
    TRANSACTION = "transaction"
    OUTBOX = "outbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Translator:
    """One rule of the anti-corruption layer.

    `tables` are legacy table names (upper case); `subject` is the column that holds the aggregate id.
    A `row` rule is called with each change; a `transaction` rule with all changes of one legacy
    transaction and one subject, in order; an `outbox` rule with the insert of one outbox row.
    """

    name: str
    scope: Scope
    tables: tuple[str, ...]
    subject: str
    translate: Callable[..., Iterable[Event]]
    types: tuple[str, ...] = ()

    def __call__(self, changes: Sequence[Change]) -> Iterable[Event]:
        """Translate the changes that belong together (one, unless the scope is transaction)."""
        return self.translate(changes if self.scope is Scope.TRANSACTION else changes[0])


class Translators:
    """The anti-corruption layer of one legacy source; a project makes one per source and registers on it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._rules: list[Translator] = []

    def table(self, table: str, *, subject: str) -> Callable[[TranslateOne], TranslateOne]:
        """Translate each change of `table`; `subject` is the column with the aggregate id."""

        def register(function: TranslateOne) -> TranslateOne:
            self._add(function, Scope.ROW, (table,), subject)
            return function

        return register

    def transaction(self, *tables: str, subject: str) -> Callable[[TranslateMany], TranslateMany]:
        """Translate all changes to `tables` of one legacy transaction and one subject together."""

        def register(function: TranslateMany) -> TranslateMany:
            self._add(function, Scope.TRANSACTION, tables, subject)
            return function

        return register

    def outbox(
        self, table: str, *types: str, subject: str = "AGGREGATEID"
    ) -> Callable[[TranslateOne], TranslateOne]:
        """Translate outbox rows whose TYPE is one of `types`; `payload(change)` gives their JSON."""

        def register(function: TranslateOne) -> TranslateOne:
            self._add(function, Scope.OUTBOX, (table,), subject, types)
            return function

        return register

    def _add(
        self,
        function: Callable[..., Iterable[Event]],
        scope: Scope,
        tables: Sequence[str],
        subject: str,
        types: tuple[str, ...] = (),
    ) -> None:
        names = tuple(table.upper() for table in tables)
        self._rules.append(
            Translator(
                name=function.__name__,
                scope=scope,
                tables=names,
                subject=subject.upper(),
                translate=function,
                types=types,
            )
        )

    @property
    def rules(self) -> tuple[Translator, ...]:
        """The rules registered so far, in order of registration."""
        return tuple(self._rules)

    @property
    def subjects(self) -> Mapping[str, str]:
        """Table to the column that holds its subject."""
        return {table: rule.subject for rule in self._rules for table in rule.tables}


def payload(change: Change, column: str = "PAYLOAD") -> dict[str, object]:
    """The JSON object in an outbox row's payload, whether the engine kept it as JSON or as text."""
    value = change[column]
    decoded = json.loads(value) if isinstance(value, str) else value
    if not isinstance(decoded, dict):
        raise TypeError(f"{change.table}.{column} holds {type(decoded).__name__}, not a JSON object")
    return decoded
