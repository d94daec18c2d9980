"""What is remembered of rows and of changes, in the inbox's rows seen, so that the next message can be judged by it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from toolkit.inbox import Inbox, Seen

PLACES = "debezium: places"
_PAGE = 10_000
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(dict[str, object], float_hook=Decimal).decode
Image = dict[str, object]


def digest(text: str) -> str:
    """A key of a fixed width."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Places:
    """The places of the last changes that were taken, so that what the connector sends again is known.

    A window of them: what is sent again from before it is known by its events, whose ids the archive has.
    """

    def __init__(self, inbox: Inbox, window: int) -> None:
        self._window = window
        held = sorted((int(one.image), one.key) for one in _all(inbox, PLACES))
        self._known = {key: number for number, key in held}
        self._last = held[-1][0] if held else 0

    def __contains__(self, place: str) -> bool:
        return digest(place) in self._known

    def step(self) -> PlacesStep:
        """What one step adds."""
        return PlacesStep(self)

    def keep(self, added: list[Seen], gone: list[tuple[str, str]]) -> None:
        """Once it is stored."""
        for one in added:
            self._known[one.key] = int(one.image)
        for _, key in gone:
            del self._known[key]
        self._last = max([self._last, *(int(one.image) for one in added)])

    def oldest(self) -> Iterator[str]:
        """Keys, the oldest first."""
        return iter(self._known)

    @property
    def last(self) -> int:
        """The number of the newest."""
        return self._last

    def excess(self, added: int) -> int:
        """How many have to go when so many come?"""
        return min(max(len(self._known) + added - self._window, 0), len(self._known))


class PlacesStep:
    """The places of one step, not stored yet."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._added: dict[str, None] = {}

    def take(self, place: str) -> bool:
        """Note a place. False when it was there already."""
        if place in self._places or digest(place) in self._added:
            return False
        self._added[digest(place)] = None
        return True

    def seen(self) -> tuple[list[Seen], list[tuple[str, str]]]:
        """What is to be stored, and what is to go."""
        first = self._places.last + 1
        added = [
            Seen(table=PLACES, key=key, image=str(first + at).encode()) for at, key in enumerate(self._added)
        ]
        oldest = self._places.oldest()
        gone = [(PLACES, next(oldest)) for _ in range(self._places.excess(len(added)))]
        return added, gone


class Rows:
    """The last state of each row of the tables that are to be remembered, with what one step makes of them."""

    def __init__(self, inbox: Inbox, tables: set[str]) -> None:
        self._inbox, self.tables = inbox, tables
        self._now: dict[tuple[str, str], Image | None] = {}

    def get(self, table: str, key: str) -> Image | None:
        """The row as it was last seen; None when there is none."""
        at = (_table(table), digest(key))
        if at in self._now:
            return self._now[at]
        # Keys are of one width: the prefix is less than the key, and above all that are less than it.
        found = self._inbox.seen(at[0], after=at[1][:-1], up_to=at[1], limit=16)
        return next((_decode(one.image) for one in found if one.key == at[1]), None)

    def put(self, table: str, key: str, image: Image | None) -> None:
        """What the row is from now on; None when it is gone."""
        self._now[_table(table), digest(key)] = image

    def clear(self, table: str) -> list[tuple[str, Image]]:
        """Every row of a table, by its key's digest; from now on there is none."""
        name = _table(table)
        rows = {one.key: _decode(one.image) for one in _all(self._inbox, name)}
        rows |= {key: image or {} for (of, key), image in self._now.items() if of == name}
        self._now |= {(name, key): None for key in rows}
        return sorted((key, image) for key, image in rows.items() if image)

    def seen(self) -> tuple[list[Seen], list[tuple[str, str]]]:
        """What is to be stored, and what is to go."""
        kept = [
            Seen(table=table, key=key, image=_encode(image))
            for (table, key), image in self._now.items()
            if image is not None
        ]
        return kept, [at for at, image in self._now.items() if image is None]


def _table(table: str) -> str:
    return f"debezium: {table}"


def _all(inbox: Inbox, table: str) -> Iterator[Seen]:
    after = ""
    while page := inbox.seen(table, after=after, limit=_PAGE):
        yield from page
        after = page[-1].key
