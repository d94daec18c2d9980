"""Projections: versioned, deterministic translators from events to the rows of one read model."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import msgspec

from toolkit.core import values
from toolkit.core.columns import KEY_TYPES, NORMAL, Column, ColumnType, column_of
from toolkit.core.contract import Clause, Keep, finder, keeper
from toolkit.core.errors import Fault, ProjectError, Unprojectable
from toolkit.core.events import Event
from toolkit.core.families import PARENT_LIMIT, Reach, Takes, as_tuple, parent_of, reacher
from toolkit.core.handlers import DELETE, Apply, Handler, RowShape, Verb, applier
from toolkit.core.records import Envelope
from toolkit.core.subjects import joined, parted

__all__ = ["DELETE", "Definition", "Projection", "Verb", "on", "row_json"]

F = TypeVar("F", bound=Callable[..., Any])
Names = str | tuple[str, ...]
"""One column or field, or several."""
Numbers = int | tuple[int, ...]
"""One meaning, or several."""


class Projection:
    """Base of a projection: its fields are the columns, its handlers the rules.

        class CustomerPolicy(Projection, version=1, context="customer-service", key="policy_no"):
            policy_no: str
            status: Literal["in_force", "cancelled"]

            @on(PolicyIssued, creates=True)
            def issued(self, event: PolicyIssued) -> None:
                self.status = "in_force"

    In a handler `self` is the row. A handler is a pure function of (row, event): no clock, no
    randomness, no I/O. It may take the envelope as a third argument, and return DELETE.
    A field without a default must be set by the handler that creates the row.

    `key` is one column or several: `key=("policy_no", "hold_no")` keeps a row for each hold of a policy. `indexes` are
    further columns (or tuples of columns) that reads ask by. `@on(..., each="holds")` makes rows of a list in one event;
    an event about all rows of a parent that has more than `parent_limit` is parked.
    """

    definition: ClassVar[Definition]

    def __init_subclass__(
        cls,
        *,
        version: int,
        context: str,
        key: Names,
        name: str | None = None,
        indexes: Sequence[Names] = (),
        parent_limit: int = PARENT_LIMIT,
        **kwargs: object,
    ) -> None:
        super().__init_subclass__(**kwargs)
        given = (name or _snake(cls.__name__), version, context)
        cls.definition = _define(cls, *given, _names(key), tuple(map(_names, indexes)), parent_limit)

    def as_row(self) -> dict[str, object]:
        """The row's values by column name. Raises Unprojectable naming the columns that were never set."""
        values = self.__dict__
        try:
            return {column.name: values[column.name] for column in self.definition.columns}
        except KeyError:
            missing = ", ".join(one.name for one in self.definition.columns if one.name not in values)
            raise Unprojectable(f"{self.definition.name}: the handler set no value for {missing}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What the toolkit knows of a projection: identity, columns, handlers by event type name."""

    name: str
    version: int
    context: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    defaults: Mapping[str, object]
    handlers: Mapping[str, Handler]
    row_class: type[Projection]
    indexes: tuple[tuple[str, ...], ...] = ()
    parent: tuple[str, ...] = ()
    """The leading columns of the key that name a row's parent, where an event may be about many rows of one."""
    parent_limit: int = PARENT_LIMIT
    """How many rows a parent may have when an event is about all of them."""
    key_columns: tuple[Column, ...] = field(init=False, repr=False, compare=False)
    keep: Keep = field(init=False, repr=False, compare=False)
    """the contract: what brings a row into its normal form, or refuses it"""
    appliers: Mapping[str, Apply] = field(init=False, repr=False, compare=False)
    """by event type, what `apply` does once the key is known"""
    _keys: Mapping[str, Callable[[Event], object]] = field(init=False, repr=False, compare=False)
    _reaches: Mapping[str, Callable[[Event, object], Reach]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find once what is asked for with every event."""
        by_name = {column.name: column for column in self.columns}
        object.__setattr__(self, "key_columns", tuple(by_name[name] for name in self.key))
        in_key = values.indexed_text(len(self.key), of_key=True)
        normals = [
            (column.name, in_key if column.type is ColumnType.TEXT else NORMAL[column.type])
            for column in self.key_columns
        ]
        told = len(self.parent) or len(self.key)
        rules = {name: one.rule for name, one in self.handlers.items()}
        keys = {
            name: finder(self.identity, name, normals[:told], one.key[:told]) for name, one in rules.items()
        }
        reaches = {name: reacher(self.identity, one, normals[told:], told) for name, one in rules.items()}
        object.__setattr__(self, "_keys", keys)
        object.__setattr__(self, "_reaches", reaches if self.parent else {})
        object.__setattr__(self, "keep", keeper([self._clause(column) for column in self.columns]))
        shape = RowShape(
            identity=self.identity,
            key=self.key,
            columns=len(self.columns),
            defaults=self.defaults,
            mutable=[column.name for column in self.columns if column.type is ColumnType.JSON],
            row_class=self.row_class,
            keep=self.keep,
        )
        appliers = {name: applier(one, shape) for name, one in self.handlers.items()}
        object.__setattr__(self, "appliers", appliers)

    def _clause(self, column: Column) -> Clause:
        normal, most = NORMAL[column.type], 0
        over = max((len(index) for index in self.indexes if column.name in index), default=0)
        if over and column.type is ColumnType.TEXT:
            normal, most = values.indexed_text(over, of_key=False), values.INDEXED_BYTES // over
        return Clause(
            self.identity, column.name, column.type, normal, column.nullable, column.vocabulary, most
        )

    @property
    def identity(self) -> str:
        """Name and version, as tables and metrics spell them: `customer_policy v1`."""
        return f"{self.name} v{self.version}"

    @property
    def table(self) -> str:
        """The table of this version; the view `name` points at the version that serves."""
        return f"{self.name}__v{self.version}"

    def key_of(self, event: Event) -> object:
        """The key of the row that this event changes: a value, or a tuple when the key has several columns.

        In a projection with a `parent`, that of the parent. Raises Unprojectable when it cannot be one.
        """
        return self._keys[type(event).__name__](event)

    def finder(self, event_type: str) -> Callable[[Event], object]:
        """What `key_of` asks for events of this type, found once. An event that no handler reads has no key."""
        return self._keys.get(event_type, self.key_of)

    def reach_of(self, event: Event, parent: object) -> Reach:
        """The rows that an event is about, in a projection with a `parent`. Raises Unprojectable."""
        return self._reaches[type(event).__name__](event, parent)

    def parent_in(self, key: object) -> object:
        """The parent of the row with this key: what `key_of` gives for its events."""
        values = as_tuple(key)[: len(self.parent)]
        return values[0] if len(values) == 1 else values

    def key_in(self, row: Mapping[str, object]) -> object:
        """The key of a row."""
        key = self.key
        return row[key[0]] if len(key) == 1 else tuple(row[name] for name in key)

    def key_text(self, key: object) -> str:
        """A key as people and bookkeeping write it; the values of several columns are separated by slashes.

        A slash inside such a value becomes %2F: two keys never have one text, or one would hold the other's row back.
        """
        return joined(key) if isinstance(key, tuple) else str(key)

    def key_parts(self, text: str) -> tuple[str, ...]:
        """The values in a key's text, as many as it has."""
        if len(self.key) == 1:
            return (text,)
        return parted(text)

    @property
    def key_label(self) -> str:
        """What the key is made of, for people."""
        return ", ".join(self.key)

    def apply(
        self,
        row: Mapping[str, object] | None,
        event: Event,
        envelope: Envelope,
        key: object = None,
        element: object = None,
    ) -> dict[str, object] | None:
        """Fold one event into a row: the row as it was (None: there is none) in, the row as it is out.

        `key` is what `key_of` gave for the event, where that was asked already; in a projection with a `parent` it is one
        that `reach_of` gave, with its element. None means that the row is to be deleted. Raises Unprojectable when the
        handler refuses, fails, finds no row, or leaves a value that the contract does not allow.
        """
        key = self.key_of(event) if key is None else key
        return self.appliers[type(event).__name__](row, event, envelope, key, element)


def on(
    event: type[Event],
    *,
    creates: bool = False,
    key: Names | None = None,
    meaning: Numbers = 1,
    passes_over: Numbers = (),
    each: str = "",
    whole: bool = False,
    every: bool = False,
) -> Callable[[F], F]:
    """Register the decorated method for an event type.

    `key` names the event's fields that hold the row's key, when they are called otherwise there. `meaning` is the one
    that the handler was written for, or several: an event of any other is parked, so that a new meaning never flows
    into an old rule in silence. `passes_over` are meanings to leave out, where a fact is given in two side by side.

    `each` names a list of the event: the method is called for each of its elements, with the element after the event, and
    `key` finds the row by fields of both: `key=("order_no", "each.line_no")`. `whole`: the list states all rows of its
    parent (what the event itself tells of the key), so that those that it does not name go. `every`: the method is
    called for all rows that there are of a parent, which `key` names. What fails for one row is done to none of them.
    """

    def register(function: F) -> F:
        function.__dict__.setdefault("_handles", []).append(
            (
                event,
                creates,
                None if key is None else _names(key),
                (_numbers(meaning), _numbers(passes_over)),
                (each, whole, every),
            )
        )
        return function

    return register


def _names(given: Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _numbers(given: Numbers) -> tuple[int, ...]:
    return (given,) if isinstance(given, int) else tuple(sorted(set(given)))


def _define(
    cls: type[Projection],
    name: str,
    version: int,
    context: str,
    key: tuple[str, ...],
    indexes: tuple[tuple[str, ...], ...],
    parent_limit: int,
) -> Definition:
    hints = {
        field: hint
        for field, hint in typing.get_type_hints(cls).items()
        if typing.get_origin(hint) is not ClassVar and not field.startswith("_")
    }
    faults: list[Fault] = []
    columns = tuple(column_of(cls, field, hint, faults) for field, hint in hints.items())
    defaults = _defaults(cls, columns, faults)
    handlers = _handlers(cls, key, faults)
    faults.extend(_key_faults(cls, key, columns))
    rules = {f"{one.function.__name__} ({name})": one.rule for name, one in handlers.items()}
    parent = parent_of(f"projection {cls.__name__}", key, rules, faults)
    faults.extend(_index_faults(cls, indexes, columns))
    if parent_limit < 1:
        faults.append(Fault(where=f"projection {cls.__name__}", what="parent_limit must be 1 or more"))
    if not any(handler.creates for handler in handlers.values()):
        faults.append(
            Fault(
                where=f"projection {cls.__name__}",
                what="no handler creates a row",
                next="mark one with @on(Event, creates=True)",
            )
        )
    if faults:
        raise ProjectError(faults)
    return Definition(
        name=name,
        version=version,
        context=context,
        key=key,
        columns=columns,
        defaults=defaults,
        handlers=handlers,
        row_class=cls,
        indexes=indexes,
        parent=parent,
        parent_limit=parent_limit,
    )


def _index_faults(
    cls: type[Projection], indexes: tuple[tuple[str, ...], ...], columns: tuple[Column, ...]
) -> list[Fault]:
    types = {column.name: column.type for column in columns}
    named = sorted({name for index in indexes for name in index})
    told = {
        **{name: "which is not one of its fields" for name in named if name not in types},
        **{name: "which is JSON" for name in named if types.get(name) is ColumnType.JSON},
    }
    return [
        Fault(where=f"projection {cls.__name__}", what=f"index on {name!r}, {why}")
        for name, why in told.items()
    ]


def _key_faults(cls: type[Projection], key: tuple[str, ...], columns: tuple[Column, ...]) -> list[Fault]:
    where, known = f"projection {cls.__name__}", {column.name: column for column in columns}
    faults = [
        Fault(where=where, what=f"key {name!r} is not one of its fields") for name in key if name not in known
    ]
    if not key or len(set(key)) != len(key):
        faults.append(Fault(where=where, what=f"key {key!r} has to name one column or several, each once"))
    for column in (known[name] for name in key if name in known):
        if column.type not in KEY_TYPES:
            what = "a key is text, a whole number, a date or an instant"
            faults.append(Fault(where=f"{where}.{column.name}", what=what))
    return faults


def _defaults(cls: type[Projection], columns: tuple[Column, ...], faults: list[Fault]) -> dict[str, object]:
    defaults: dict[str, object] = {}
    for column in columns:
        if hasattr(cls, column.name):
            try:
                defaults[column.name] = column.normal(getattr(cls, column.name))
            except ValueError as error:
                faults.append(
                    Fault(where=f"projection {cls.__name__}.{column.name}", what=f"its default {error}")
                )
    return defaults


def _handlers(cls: type[Projection], key: tuple[str, ...], faults: list[Fault]) -> dict[str, Handler]:
    """Collect the handlers, inherited ones too: a new version may be the old one with a rule overridden."""
    handlers: dict[str, Handler] = {}
    methods = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    for method in methods.values():
        for event, creates, own_key, (meanings, passes_over), rows in getattr(method, "_handles", ()):
            if event.__name__ in handlers:
                what = f"{event.__name__} has two handlers"
                faults.append(Fault(where=f"projection {cls.__name__}", what=what))
            each, whole, every = rows
            handler = handlers[event.__name__] = Handler(
                event=event,
                creates=creates,
                key=own_key or key,
                function=method,
                takes=_takes(method, each),
                meanings=meanings,
                passes_over=passes_over,
                each=each,
                whole=whole,
                every=every,
            )
            faults.extend(_handler_faults(cls, handler, len(key)))
    return handlers


def _takes(method: Callable[..., Any], each: str) -> Takes:
    """What it is given, by the number of its parameters (the first two are the row and the event)."""
    more = len(inspect.signature(method).parameters) - 2
    if each:
        return Takes.BOTH if more > 1 else Takes.ELEMENT
    return Takes.ENVELOPE if more > 0 else Takes.EVENT


def _handler_faults(cls: type[Projection], handler: Handler, wanted: int) -> list[Fault]:
    name, where = handler.event.__name__, f"projection {cls.__name__}.{handler.function.__name__}"
    if len(handler.key) != wanted and not handler.every:
        what = f"names {len(handler.key)} fields of {name} for a key of {wanted} columns"
        return [Fault(where=where, what=what)]
    faults = [
        Fault(
            where=where,
            what=f"{name} has no field {field!r} to find the row by",
            next=f"@on({name}, key='...') names the field"
            + (", or that of an element: 'each.NAME'" if handler.each else ""),
        )
        for field in handler.rule.fields
        if field not in handler.event.__struct_fields__
    ]
    if handler.each and len(inspect.signature(handler.function).parameters) < 3:
        what = f"is not given the elements of {handler.each}"
        faults.append(Fault(where=where, what=what, next="def name(self, event, element)"))
    if handler.whole and not handler.each:
        faults.append(Fault(where=where, what="whole=True says something of a list: which one? each='...'"))
    if handler.every and handler.creates:
        faults.append(Fault(where=where, what="every=True finds the rows that there are, it creates none"))
    return faults


def _snake(name: str) -> str:
    return "".join(
        f"_{char.lower()}" if char.isupper() and at else char.lower() for at, char in enumerate(name)
    )


def row_json(row: Mapping[str, object]) -> bytes:
    """One canonical text per row (sorted keys, exact decimals): what digests are taken over."""
    return msgspec.json.encode(dict(row), order="deterministic")
