"""How a projection reads each kind of event (type, version, meaning): decided once per kind, not per event."""

from __future__ import annotations

from collections.abc import Callable

from toolkit.core.errors import Unprojectable
from toolkit.core.events import Catalogue, Event, EventType
from toolkit.core.projections import Definition, Handler

Kind = tuple[str, int, int]
"""Type, version and meaning: what decides how an event is read."""
Read = Callable[[bytes], Event]


class Ways(dict[Kind, Read | None]):
    """For each kind what reads its data for a projection; None when the kind is not the projection's business.

    A kind that the projection cannot read has a way, too: one that raises Unprojectable with what to do.
    """

    def __init__(self, definition: Definition, catalogue: Catalogue) -> None:
        super().__init__()
        self._definition, self._catalogue = definition, catalogue

    def __missing__(self, kind: Kind) -> Read | None:
        try:
            way = self._way(*kind)
        except Unprojectable as error:
            way = _refusing(str(error))
        self[kind] = way
        return way

    def _way(self, name: str, version: int, meaning: int) -> Read | None:
        event_type = self._catalogue.by_name(name)
        handler = self._definition.handlers.get(name)
        if handler is None or meaning in handler.passes_over:
            return None
        target = read_as(event_type, handler, meaning)
        if target is None:
            raise Unprojectable(_unread(self._definition.identity, event_type, handler, meaning))
        read = _reader(event_type, version)
        return read if target == meaning else _mapped(event_type, read, meaning, target)


def read_as(event_type: EventType, handler: Handler, meaning: int) -> int | None:
    """The meaning in which a handler gets an event of this one: itself, or the newest that a mapping leads to."""
    if meaning in handler.meanings:
        return meaning
    return max((to for to in handler.meanings if (meaning, to) in event_type.maps), default=None)


def _reader(event_type: EventType, version: int) -> Read:
    def read(data: bytes) -> Event:
        return event_type.current(data, version)

    return read


def _mapped(event_type: EventType, read: Read, meaning: int, target: int) -> Read:
    mapper = event_type.maps[meaning, target].function

    def read_and_map(data: bytes) -> Event:
        event = mapper(read(data))
        if not isinstance(event, event_type.cls):
            raise Unprojectable(
                f"{event_type.name}: the mapping from meaning {meaning} to {target} gave a "
                f"{type(event).__name__}, not a {event_type.name}"
            )
        return event

    return read_and_map


def _refusing(reason: str) -> Read:
    def refuse(_data: bytes) -> Event:
        raise Unprojectable(reason)

    return refuse


def _unread(projection: str, event_type: EventType, handler: Handler, meaning: int) -> str:
    name, reads = event_type.name, " and ".join(map(str, handler.meanings))
    if meaning > event_type.meaning:
        return f"{name} in meaning {meaning} is newer than this project's meaning {event_type.meaning}: deploy first"
    return (
        f"{projection} reads {name} in meaning {reads}, and this event has meaning {meaning}: write a new version whose "
        f"handler says @on({name}, meaning={meaning}), declare context.mapping({name}, from_meaning={meaning}, "
        f"to_meaning={handler.meanings[-1]}, loses=...), or, where the fact is given in meaning {reads} too, "
        f"passes_over={meaning}"
    )
