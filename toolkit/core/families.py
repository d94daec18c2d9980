"""Families: the rows of one parent, and which of them one event is about.

A row usually stands alone: an event names it by its key. An event may state several rows at once, though (the lines of
an order), or speak of all that there are of one parent (the order is withdrawn). Such an event is applied whole or not
at all, so what it holds back when it fails is its parent: the leading columns of the key, which the event itself tells.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from toolkit.core.columns import without_none
from toolkit.core.errors import Fault, Unprojectable

EACH: typing.Final = "each"
"""In a handler's key: the element itself. `each.NAME` is its field, `each.#` its place in the list, from 1."""
PLACE: typing.Final = "each.#"
PARENT_LIMIT: typing.Final = 10_000
"""Rows of one parent that an event may be about, unless the projection says otherwise: all of them are read at once."""


class Takes(Enum):
    """What a handler is given besides the event."""

    EVENT = ()
    ENVELOPE = ("envelope",)
    ELEMENT = ("element",)
    BOTH = ("element", "envelope")

    def given(self, element: object, envelope: object) -> tuple[object, ...]:
        """The arguments after the event."""
        if self is Takes.ENVELOPE:
            return (envelope,)
        return (element,) if self is Takes.ELEMENT else (element, envelope)


class Reach(NamedTuple):
    """The rows that an event is about: their keys, each with the element that tells of it."""

    rows: tuple[tuple[tuple[object, ...], object], ...] = ()
    wide: bool = False
    """all other rows of the parent, too, whichever there are"""


NOWHERE: typing.Final = Reach()
WIDE: typing.Final = Reach(wide=True)


class Rule(NamedTuple):
    """What a handler says of its rows. `key` are fields of the event, or of the element (`each.NAME`)."""

    event: type[Any]
    key: tuple[str, ...]
    each: str = ""
    whole: bool = False
    every: bool = False

    @property
    def spreads(self) -> bool:
        """May it be about more than one row?"""
        return bool(self.each) or self.every

    @property
    def told(self) -> tuple[str, ...]:
        """The leading part of the key that the event itself tells."""
        at = next((at for at, name in enumerate(self.key) if self.each and _of_element(name)), len(self.key))
        return self.key[:at]

    @property
    def fields(self) -> list[str]:
        """The fields of the event that its key is made of."""
        return [name for name in self.key if not (self.each and _of_element(name))]


def _of_element(name: str) -> bool:
    return name == EACH or name.startswith(f"{EACH}.")


def as_tuple(key: object) -> tuple[object, ...]:
    """A key's values, however many."""
    return key if isinstance(key, tuple) else (key,)


Normals = Sequence[tuple[str, Callable[[object], object]]]
"""Columns with what brings a value into their normal form."""


def reacher(identity: str, rule: Rule, rest: Normals, told: int) -> Callable[[Any, object], Reach]:
    """What finds the rows of an event whose parent, the key's first `told` columns, is known. It raises Unprojectable.

    `rest` are the key's other columns.
    """
    if rule.every:
        return lambda _event, _parent: WIDE
    finds = [
        _finder(identity, rule, *column, name) for column, name in zip(rest, rule.key[told:], strict=True)
    ]

    def one(event: Any, parent: object) -> Reach:
        key = (*as_tuple(parent), *(find(event, None, 0) for find in finds))
        return Reach(((key, None),))

    def each(event: Any, parent: object) -> Reach:
        elements = getattr(event, rule.each)
        if elements is None:
            return NOWHERE
        first, rows = as_tuple(parent), {}
        for place, element in enumerate(elements, 1):
            key = (*first, *(find(event, element, place) for find in finds))
            if key in rows:
                raise Unprojectable(
                    f"{identity}: {rule.each} of {rule.event.__name__} names the row {key!r} twice"
                )
            rows[key] = element
        return Reach(tuple(rows.items()), rule.whole)

    return each if rule.each else one


def _finder(
    identity: str, rule: Rule, column: str, normal: Callable[[object], object], name: str
) -> Callable[[Any, object, int], object]:
    value_of = _getter(rule, name)

    def find(event: Any, element: object, place: int) -> object:
        try:
            value = value_of(event, element, place)
            if value is None:
                raise ValueError("is empty")
            return normal(value)
        except ValueError as error:
            where = f" (element {place} of {rule.each})" if rule.each else ""
            kind = rule.event.__name__
            raise Unprojectable(f"{identity}: the key of {kind}, {column}, {error}{where}") from error

    return find


def _getter(rule: Rule, name: str) -> Callable[[Any, Any, int], object]:
    """Where a part of the key is: decided once, not for each element."""
    if not rule.each or not _of_element(name):
        return lambda event, _element, _place: getattr(event, name)
    if name == PLACE:
        return lambda _event, _element, place: place
    if name == EACH:
        return lambda _event, element, _place: element
    field = name.partition(".")[2]

    def of_element(_event: Any, element: Any, _place: int) -> object:
        try:
            return element[field] if type(element) is dict else getattr(element, field)
        except (KeyError, AttributeError):
            raise ValueError(f"is not told: the element has no {field!r}") from None

    return of_element


# --- what cannot be


def parent_of(
    where: str, key: tuple[str, ...], rules: Mapping[str, Rule], faults: list[Fault]
) -> tuple[str, ...]:
    """The columns that name the parent, as the rules say that spread; none when none does."""
    spreading = {handler: rule for handler, rule in rules.items() if rule.spreads}
    for handler, rule in spreading.items():
        faults.extend(_rule_faults(f"{where}.{handler}", key, rule))
    told = {len(rule.told) for rule in spreading.values()}
    if len(told) > 1:
        listed = "; ".join(
            f"{handler}: {', '.join(rule.told)}" for handler, rule in sorted(spreading.items())
        )
        what = f"its handlers that are about many rows name their parent by different columns ({listed})"
        faults.append(
            Fault(where=where, what=what, next="let them all tell the same leading columns of the key")
        )
    return key[: min(told, default=0)]


def _rule_faults(where: str, key: tuple[str, ...], rule: Rule) -> Iterator[Fault]:
    name = rule.event.__name__
    if rule.each and rule.every:
        yield Fault(where=where, what="each= and every= exclude one another")
    elif rule.each:
        if len(rule.key) == len(key) and len(rule.told) in (0, len(key)):
            yield Fault(
                where=where,
                what=f"of the key {', '.join(key)}, {name} has to tell the first part (the parent) and each of its elements the rest",
                next="key=('order_no', 'each.line_no') names a field of the event and one of the element",
            )
        yield from _list_faults(where, rule)
    elif not 0 < len(rule.key) < len(key):
        yield Fault(
            where=where,
            what=f"every=True is about all rows of a parent, and the key of {name} has {len(rule.key)} of {len(key)} columns",
            next=f"key={key[0]!r} is the field that holds the parent: fewer columns than the projection's key, from its beginning",
        )


def _list_faults(where: str, rule: Rule) -> Iterator[Fault]:
    """Is it a list, and do its elements have what the key is made of?"""
    name, hints = rule.event.__name__, {one.name: one.type for one in msgspec.structs.fields(rule.event)}
    if rule.each not in hints:
        yield Fault(
            where=where, what=f"{name} has no field {rule.each!r}", next="each= names a list of the event"
        )
        return
    _, bare = without_none(hints[rule.each])
    if (typing.get_origin(bare) or bare) not in (list, tuple):
        yield Fault(
            where=where,
            what=f"{name}.{rule.each} is {bare}, not a list",
            next="each= names a list of structs, dicts or values",
        )
        return
    element = (*typing.get_args(bare), object)[0]
    if isinstance(element, type) and issubclass(element, msgspec.Struct):
        fields = [
            part.partition(".")[2] for part in rule.key if _of_element(part) and part not in (EACH, PLACE)
        ]
        for unknown in [one for one in fields if one not in element.__struct_fields__]:
            yield Fault(where=where, what=f"{element.__name__} has no field {unknown!r} to find the row by")
