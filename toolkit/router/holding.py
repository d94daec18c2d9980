"""To whom a held key may belong, where the key itself does not tell: from its row, and from the events that wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from toolkit.core.columns import from_text
from toolkit.core.projections import Definition
from toolkit.ports import ParkedEvent, ReadStore

MOST = 200
"""Held keys that are looked into for one answer: beyond that a read would cost more than it is worth."""
Look = Callable[[Sequence[str]], Mapping[str, bool | None]]
"""Held keys to whether they may belong to what is asked: None where nobody can say."""


def nobody(keys: Sequence[str]) -> dict[str, bool | None]:
    """The look of somebody who cannot look: nothing is known of any key."""
    return dict.fromkeys(keys)


def looking(store: ReadStore, definition: Definition, asked: Mapping[str, object]) -> Look:
    """Look into the rows of held keys and into their events, for the columns that are asked for."""

    def look(keys: Sequence[str]) -> dict[str, bool | None]:
        shared = {one.name for one in definition.columns} & asked.keys()
        if not keys or len(keys) > MOST:
            return nobody(keys)
        events = _events(store.parked(definition.name, definition.version))
        rows = _rows(store, definition, keys) if shared else {}
        wanted = {name: _text(asked[name]) for name in (shared or asked.keys())}
        return {key: _belongs(definition, wanted, rows.get(key), events.get(key, [])) for key in keys}

    return look


def _events(parked: Sequence[ParkedEvent]) -> dict[str, list[ParkedEvent]]:
    """By what they hold back: a key, or a subject where the key is not known."""
    found: dict[str, list[ParkedEvent]] = {}
    for one in parked:
        found.setdefault(one.record.envelope.subject if one.key is None else one.key, []).append(one)
    return found


def _rows(store: ReadStore, definition: Definition, keys: Sequence[str]) -> dict[str, dict[str, object]]:
    typed = {key: _typed(definition, key) for key in keys}
    known = store.load(definition, [one for one in typed.values() if one is not None])
    return {key: known[one] for key, one in typed.items() if one in known}


def _typed(definition: Definition, text: str) -> object | None:
    """The key of a row from its text; None for a subject, or for the parent of many rows."""
    parts = definition.key_parts(text)
    if len(parts) != len(definition.key):
        return None
    try:
        found = tuple(from_text(one, part) for one, part in zip(definition.key_columns, parts, strict=True))
    except ValueError:
        return None
    return found[0] if len(found) == 1 else found


def _belongs(
    definition: Definition,
    wanted: Mapping[str, str],
    row: Mapping[str, object] | None,
    events: Sequence[ParkedEvent],
) -> bool | None:
    """May it belong to what is asked, once its events are applied? None: nobody can say.

    It does not where, for one of the columns, the row stands with another value or an event names another one, and no
    event that waits brings the asked one. A row may move: so the row alone does not acquit it, its events must, too.
    """
    if not events or any(_wide(definition, one) for one in events):
        return None
    data = [_data(one) for one in events]
    if any(one is None for one in data):
        return None
    pairs = [pair for one in data for pair in one or ()]
    told = [_column(definition, name, value, row, pairs) for name, value in wanted.items()]
    if False in told:
        return False
    return None if None in told else True


def _column(
    definition: Definition,
    name: str,
    wanted: str,
    row: Mapping[str, object] | None,
    pairs: Sequence[tuple[str, str]],
) -> bool | None:
    """The same of one column. Where an event has a field of its name, that and those called after it count
    (`customer_id`, `new_customer_id`); else all that are no part of the row's key, for a handler may call a thing otherwise.
    """
    standing = {_text(row[name])} if row is not None and row.get(name) is not None else set()
    named = {value for field, value in pairs if field == name}
    brought = {value for field, value in pairs if (name in field if named else field not in definition.key)}
    if wanted in standing | brought:
        return True
    return False if standing or named else None


def _wide(definition: Definition, one: ParkedEvent) -> bool:
    """Is it about rows that its key does not name: all those of a parent?"""
    return bool(definition.parent) and one.key is not None and _typed(definition, one.key) is None


def _data(one: ParkedEvent) -> list[tuple[str, str]] | None:
    """All fields of an event's data with their values as text, however deep; None when it cannot be read."""
    try:
        return list(_fields("", msgspec.json.decode(one.record.data)))
    except msgspec.DecodeError:
        return None


def _fields(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _fields(str(key), one)
    elif isinstance(value, list):
        for one in value:
            yield from _fields(name, one)
    elif value is not None:
        yield name, _text(value)


def _text(value: object) -> str:
    return str(value).rstrip(" ")
