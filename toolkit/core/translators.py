"""The anti-corruption layer's registry: which pure function speaks for which legacy rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from toolkit.core.changes import Change
from toolkit.core.errors import Fault
from toolkit.core.events import Event
from toolkit.core.subjects import Columns, columns_of, simplest
from toolkit.core.unclassified import Meaningless

TranslateOne = Callable[[Change], Iterable[Event]]
TranslateMany = Callable[[Sequence[Change]], Iterable[Event]]


class Scope(StrEnum):
    """How much a translator sees at once."""

    ROW = "row"
    TRANSACTION = "transaction"
    OUTBOX = "outbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """Legacy tables whose rows make up one aggregate, each with the column, or columns, that hold the aggregate's id.

    The order matters: backfill reads the first table's subjects, and gives each subject's rows in this order.
    """

    name: str
    tables: Mapping[str, Columns]


@dataclass(frozen=True, slots=True, kw_only=True)
class Translator:
    """One rule of the anti-corruption layer.

    `tables` are legacy table names (upper case). A `row` rule is called with each change; a `transaction`
    rule with all changes of one legacy transaction and one subject, in order; an `outbox` rule with each
    inserted outbox row whose TYPE is one of `types`.
    """

    name: str
    scope: Scope
    tables: tuple[str, ...]
    function: Callable[..., Iterable[Event]]
    types: tuple[str, ...] = ()


class Translators:
    """The anti-corruption layer of one legacy source; a project makes one per source and registers on it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._aggregates: list[Aggregate] = []
        self._rules: list[Translator] = []
        self._meaningless: list[Meaningless] = []

    def aggregate(self, name: str, tables: Mapping[str, str | Sequence[str]]) -> Aggregate:
        """Declare which tables hold an aggregate's rows, and in which column, or columns, each keeps the aggregate's id.

        The values of several columns are joined by slashes, in the order that is given: the tables name the same parts.
        """
        made = Aggregate(
            name=name, tables={table.upper(): _upper(columns) for table, columns in tables.items()}
        )
        self._aggregates.append(made)
        return made

    def table(self, table: str) -> Callable[[TranslateOne], TranslateOne]:
        """Translate each change of `table`."""

        def register(function: TranslateOne) -> TranslateOne:
            self._add(function, Scope.ROW, (table,))
            return function

        return register

    def transaction(self, *tables: str) -> Callable[[TranslateMany], TranslateMany]:
        """Translate all changes to `tables` of one legacy transaction and one subject together."""

        def register(function: TranslateMany) -> TranslateMany:
            self._add(function, Scope.TRANSACTION, tables)
            return function

        return register

    def outbox(self, table: str, *types: str) -> Callable[[TranslateOne], TranslateOne]:
        """Translate the rows of an outbox table whose TYPE is one of `types`; `payload` gives their JSON."""

        def register(function: TranslateOne) -> TranslateOne:
            self._add(function, Scope.OUTBOX, (table,), types)
            return function

        return register

    def meaningless(self, table: str, *columns: str, why: str) -> None:
        """Declare that an update which touches only these columns means nothing; without columns, no change of `table` does.

        A change that gives no event and is not declared so is counted as unclassified, and shown.
        """
        names = frozenset(column.upper() for column in columns)
        self._meaningless.append(Meaningless(table=table.upper(), columns=names, why=why))

    def _add(
        self,
        function: Callable[..., Iterable[Event]],
        scope: Scope,
        tables: Sequence[str],
        types: tuple[str, ...] = (),
    ) -> None:
        names = tuple(table.upper() for table in tables)
        self._rules.append(
            Translator(name=function.__name__, scope=scope, tables=names, function=function, types=types)
        )

    @property
    def rules(self) -> tuple[Translator, ...]:
        """The rules registered so far, in order of registration."""
        return tuple(self._rules)

    @property
    def declared_meaningless(self) -> tuple[Meaningless, ...]:
        """What was declared to mean nothing, in order of declaration."""
        return tuple(self._meaningless)

    @property
    def mute(self) -> frozenset[str]:
        """Tables none of whose changes means anything."""
        return frozenset(one.table for one in self._meaningless if not one.columns)

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The aggregates declared so far, in order of declaration."""
        return tuple(self._aggregates)

    def faults(self, captured: Sequence[str]) -> list[Fault]:
        """What is wrong between the rules, the aggregates and the tables that the settings capture."""
        owned: dict[str, str] = {}
        faults: list[Fault] = []
        for aggregate in self._aggregates:
            faults += self._uneven(aggregate)
            for table in aggregate.tables:
                other = owned.setdefault(table, aggregate.name)
                if other != aggregate.name:
                    faults.append(
                        self._fault(table, f"belongs to two aggregates, {other} and {aggregate.name}")
                    )
        spoken = {table for rule in self._rules for table in rule.tables}
        names = {table.upper() for table in captured}
        for table in sorted(spoken - owned.keys()):
            faults.append(
                self._fault(table, "belongs to no aggregate", f"add it to {self.source}'s aggregate(...)")
            )
        for table in sorted(names - spoken - self.mute):
            faults.append(self._fault(table, "is captured, but no translator speaks for it"))
        for table in sorted(spoken - names):
            faults.append(
                self._fault(table, "has a translator, but is not captured", "list it in strangler.toml")
            )
        return faults

    def _uneven(self, aggregate: Aggregate) -> Iterator[Fault]:
        """Tables whose subjects cannot be those of the first one."""
        lead = next(iter(aggregate.tables.values()), "")
        for table, subject in aggregate.tables.items():
            names = columns_of(subject)
            if not names or len(set(names)) < len(names):
                yield self._fault(
                    table, "names no subject" if not names else f"names {names[0]} twice as subject"
                )
            elif len(names) != len(columns_of(lead)):
                yield self._fault(
                    table,
                    f"has its subject in {', '.join(names)}, and the first table of {aggregate.name} in "
                    f"{', '.join(columns_of(lead))}",
                    "name the same parts in each table, in the same order",
                )

    def _fault(self, table: str, what: str, next_step: str = "") -> Fault:
        return Fault(where=f"translators of {self.source}, table {table}", what=what, next=next_step)


def _upper(columns: str | Sequence[str]) -> Columns:
    return columns.upper() if isinstance(columns, str) else simplest([str(one).upper() for one in columns])


def payload(change: Change, column: str = "PAYLOAD") -> dict[str, object]:
    """The JSON object in an outbox row's payload, whether the engine kept it as JSON or as text."""
    value = change[column]
    decoded = json.loads(value) if isinstance(value, str) else value
    if not isinstance(decoded, dict):
        raise TypeError(f"{change.table}.{column} holds {type(decoded).__name__}, not a JSON object")
    return decoded
