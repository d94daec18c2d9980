"""How a projection reads each kind of event (type, version, meaning): decided once per kind, not per event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import NamedTuple

from toolkit.core.errors import Unprojectable
from toolkit.core.events import Catalogue, Event, EventType
from toolkit.core.handlers import Handler
from toolkit.core.projections import Definition

Kind = tuple[str, int, int]
"""Type, version and meaning: what decides how an event is read."""
Read = Callable[[bytes], Event]


class Way(NamedTuple):
    """How an event of one kind is read for a projection, and how the key of its row is found. Both may raise Unprojectable."""

    read: Read
    """raises msgspec's errors, too, where data does not fit the event's class"""
    key_of: Callable[[Event], object]


class Ways(dict[Kind, Way | None]):
    """For each kind what reads its data for a projection; None when the kind is not the projection's business.

    A kind that the projection cannot read has a way, too: one that raises Unprojectable with what to do.
    """

    def __init__(self, definition: Definition, catalogue: Catalogue) -> None:
        super().__init__()
        self._definition, self._catalogue = definition, catalogue

    def __missing__(self, kind: Kind) -> Way | None:
        try:
            read = self._read(*kind)
        except Unprojectable as error:
            read = _refusing(str(error))
        way = self[kind] = None if read is None else Way(read, self._definition.finder(kind[0]))
        return way

    def _read(self, name: str, version: int, meaning: int) -> Read | None:
        event_type = self._catalogue.by_name(name)
        handler = self._definition.handlers.get(name)
        if handler is None or meaning in handler.passes_over:
            return None
        found = ways(event_type, handler, meaning)
        if len(found) != 1:
            raise Unprojectable(_unread(self._definition.identity, event_type, handler, meaning))
        read = _reader(event_type, version)
        for step in pairwise(found[0]):
            read = _mapped(event_type, read, *step)
        return read


def unheard(definition: Definition, catalogue: Catalogue) -> frozenset[str]:
    """The types that no handler of the projection reads, whatever they say. One that nobody knows is not among them."""
    return frozenset(catalogue.types.keys() - definition.handlers.keys())


Chain = tuple[int, ...]
"""Meanings, each of which a mapping leads to from the one before; one alone is read as it is."""


def read_as(event_type: EventType, handler: Handler, meaning: int) -> int | None:
    """The meaning in which a handler gets an event of this one; None when it cannot, or nobody can say by which way."""
    found = ways(event_type, handler, meaning)
    return found[0][-1] if len(found) == 1 else None


def ways(event_type: EventType, handler: Handler, meaning: int) -> list[Chain]:
    """How a handler gets an event of this meaning: as it is, or by the fewest mappings to the newest that it reads.

    A mapping that leads there by itself is what somebody said of these two meanings. Several chains are as many answers,
    which may differ: then there are two in the list (or more exist), and none is taken.
    """
    if meaning in handler.meanings:
        return [(meaning,)]
    fewest = _fewest(event_type, meaning)
    reached = [to for to in handler.meanings if to in fewest]
    if not reached:
        return []
    target = min(reached, key=lambda to: (fewest[to], -to))
    if fewest[target] == 1:
        return [(meaning, target)]
    return list(islice(_chains(event_type, (meaning,), target), 2))


def reachable(event_type: EventType, meaning: int) -> list[int]:
    """The other meanings that mappings lead to, one or several."""
    return sorted(_fewest(event_type, meaning).keys() - {meaning})


def _fewest(event_type: EventType, meaning: int) -> dict[int, int]:
    """Each meaning that can be reached, with how many mappings it takes at least."""
    found, last = {meaning: 0}, [meaning]
    while last:
        last = sorted({to for one, to in event_type.maps if one in last} - found.keys())
        found.update(dict.fromkeys(last, max(found.values()) + 1))
    return found


def _chains(event_type: EventType, so_far: Chain, target: int) -> Iterator[Chain]:
    """Every way to the target that says nothing twice in the same meaning."""
    for one, to in sorted(event_type.maps):
        if one != so_far[-1] or to in so_far:
            continue
        if to == target:
            yield (*so_far, to)
        else:
            yield from _chains(event_type, (*so_far, to), target)


def told(chain: Chain) -> str:
    """A chain for people: `1 > 2 > 3`."""
    return " > ".join(map(str, chain))


def _reader(event_type: EventType, version: int) -> Read:
    if version == event_type.version:
        return event_type.decode

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
    if found := ways(event_type, handler, meaning):
        return f"{projection}: {two_ways(event_type, found)}"
    if meaning > event_type.meaning:
        return f"{name} in meaning {meaning} is newer than this project's meaning {event_type.meaning}: deploy first"
    return (
        f"{projection} reads {name} in meaning {reads}, and this event has meaning {meaning}: write a new version whose "
        f"handler says @on({name}, meaning={meaning}), declare context.mapping({name}, from_meaning={meaning}, "
        f"to_meaning={handler.meanings[-1]}, loses=...), or, where the fact is given in meaning {reads} too, "
        f"passes_over={meaning}"
    )


def two_ways(event_type: EventType, found: list[Chain]) -> str:
    """What is said of chains that are as good as one another."""
    first, last = found[0][0], found[0][-1]
    return (
        f"{event_type.name} in meaning {first} is said in meaning {last} by more than one chain of mappings "
        f"({' or '.join(map(told, found))}): declare context.mapping({event_type.name}, from_meaning={first}, "
        f"to_meaning={last}, loses=...), which is taken then, or take a mapping away"
    )
