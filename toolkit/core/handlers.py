"""Handlers: a projection's rule for one type of event, and the function that applies it to a row."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter
from typing import Any, Final, Protocol

from toolkit.core.contract import Keep
from toolkit.core.errors import Unprojectable
from toolkit.core.events import Event
from toolkit.core.families import Rule, Takes, as_tuple
from toolkit.core.records import Envelope


class Verb(Enum):
    """What a handler may return to say that its row shall go."""

    DELETE = "delete"


DELETE: Final = Verb.DELETE


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One event type's rule. `creates`: it may make the row; otherwise a missing row parks the event."""

    event: type[Event]
    creates: bool
    key: tuple[str, ...]
    """fields of the event that hold the row's key, in the order of the key's columns"""
    function: Callable[..., Verb | None]
    takes: Takes = Takes.EVENT
    meanings: tuple[int, ...] = (1,)
    """the meanings of the event type that it reads"""
    passes_over: tuple[int, ...] = ()
    """the meanings that tell it nothing, because it reads the same fact in another one"""
    each: str = ""
    """the event's list for whose elements it is called, one after the other"""
    whole: bool = False
    """the list states all rows of its parent: those that it does not name go"""
    every: bool = False
    """it is called for all rows that there are of the parent"""

    @property
    def rule(self) -> Rule:
        """What it says of its rows."""
        return Rule(self.event, self.key, self.each, self.whole, self.every)


class RowObject(Protocol):
    """What a handler is called with: an instance of the projection, whose attributes are the row's columns."""

    def as_row(self) -> dict[str, object]:
        """The row's values by column name. Raises Unprojectable naming the columns that were never set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowShape:
    """What the handlers of one projection have in common: how its rows are made and judged."""

    identity: str
    key: tuple[str, ...]
    columns: int
    defaults: Mapping[str, object]
    mutable: Sequence[str]
    """columns whose values a handler could change in place; they are copied before it gets them"""
    row_class: type[RowObject]
    keep: Keep


Row = Mapping[str, object]
Apply = Callable[[Row | None, Event, Envelope, object, object], dict[str, object] | None]
"""(row, event, envelope, key, element) -> the row as it is then; None when it is to be deleted."""


def applier(handler: Handler, shape: RowShape) -> Apply:
    """The function that folds an event of the handler's type into a row: the row as it was (None: there is none) in.

    It is asked with every event, so what can be decided before is. It raises Unprojectable when the handler refuses, fails,
    finds no row, or leaves a value that the contract does not allow.
    """
    function, alone, given = handler.function, handler.takes is Takes.EVENT, handler.takes.given
    begin, key_in, new = _beginner(handler, shape), itemgetter(*shape.key), shape.row_class.__new__
    row_class, mutable, columns, keep = shape.row_class, tuple(shape.mutable), shape.columns, shape.keep

    def apply(
        row: Row | None, event: Event, envelope: Envelope, key: object, element: object
    ) -> dict[str, object] | None:
        before, state = (row, dict(row)) if row is not None else begin(key)
        if mutable:
            _copy(state, mutable)
        subject: Any = new(row_class)
        subject.__dict__ = state
        try:
            verb = function(subject, event) if alone else function(subject, event, *given(element, envelope))
        except Unprojectable:
            raise
        except Exception as error:
            raise _failed(shape, handler, error) from error
        if verb is DELETE:
            return None
        after: dict[str, object] = subject.__dict__
        if len(after) != columns:  # a handler may have noted something besides the columns
            after = subject.as_row()
        try:
            keep(after, before)
        except KeyError:
            subject.as_row()
            raise
        if key_in(after) != key:
            raise Unprojectable(
                f"{shape.identity}: {handler.event.__name__} may not change the key of its row"
            )
        return after

    return apply


def _beginner(handler: Handler, shape: RowShape) -> Callable[[object], tuple[Row, dict[str, object]]]:
    """What makes a row that is not there yet: as it is before the handler, and what that gets. Raises Unprojectable."""
    names, defaults, creates = shape.key, dict(shape.defaults), handler.creates
    only = names[0] if len(names) == 1 else ""

    def begin(key: object) -> tuple[Row, dict[str, object]]:
        if not creates:
            raise Unprojectable(
                f"{shape.identity}: no row for {', '.join(names)} = {key!r}, and "
                f"{handler.event.__name__} does not create one"
            )
        state = defaults.copy()
        if only:
            state[only] = key
        else:
            state.update(zip(names, as_tuple(key), strict=True))
        return state.copy(), state

    return begin


def _copy(state: dict[str, object], mutable: Sequence[str]) -> None:
    """What a handler does to its row must not be seen in the one from before."""
    for name in mutable:
        if name in state:
            state[name] = copy.deepcopy(state[name])


def _failed(shape: RowShape, handler: Handler, error: Exception) -> Unprojectable:
    return Unprojectable(
        f"{shape.identity}: {handler.function.__name__} failed on {handler.event.__name__}: "
        f"{type(error).__name__}: {error}"
    )
