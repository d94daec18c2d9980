"""To whom a held key may belong, where the key itself does not tell: from its row, and from the events that wait for it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

from toolkit.core.columns import Column, from_text
from toolkit.core.events import Catalogue
from toolkit.core.projections import Definition
from toolkit.core.subjects import columns_of, parted
from toolkit.ports import ParkedEvent, ReadStore

MOST = 200
"""Held keys that are looked into for one answer: beyond that a read would cost more than it is worth."""
_UNKEEPABLE = "\ufffd"
"""In a subject's text: it stands for what no engine can keep, so that nobody knows whose it is."""
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


def subject_at(definition: Definition, catalogue: Catalogue) -> tuple[int, ...] | None:
    """Which of the key's columns hold the subject of every event that changes a row; None when there are none."""
    found: set[tuple[int, ...] | None] = set()
    for name, handler in definition.handlers.items():
        columns = columns_of(catalogue.by_name(name).subject)
        inside = set(columns) <= set(handler.key)
        found.add(tuple(handler.key.index(one) for one in columns) if inside else None)
    return found.pop() if len(found) == 1 else None


def of_subjects(
    definition: Definition | None,
    at: tuple[int, ...] | None,
    asked: Mapping[str, object],
    rows: Sequence[Mapping[str, object]],
    subjects: Sequence[str],
) -> dict[str, bool | None]:
    """May a change of these subjects, of which no event tells, touch this answer? None: nobody can say.

    Where the key's columns `at` hold the subject, every row that a change of it may make, move or remove has it there: what
    is asked for decides, and where it does not name them, the rows that came. What may be missing from a list of others is
    not looked for there, as with parked events.
    """
    named = {str(value) for value in asked.values()}
    sure: dict[str, bool | None] = {one: one in named or None for one in subjects}
    if definition is None or at is None:
        return sure
    columns = [definition.key_columns[one] for one in at]
    wanted = {at: _alike(one, asked[one.name]) for at, one in enumerate(columns) if one.name in asked}
    there = _there(columns, asked, rows)
    return {one: sure[one] or _touched(columns, wanted, there, one) for one in subjects}


def _there(
    columns: Sequence[Column], asked: Mapping[str, object], rows: Sequence[Mapping[str, object]]
) -> set[tuple[str, ...]] | None:
    """The subjects of the rows of an answer; None where it has none, or does not show them."""
    whole = [{**row, **asked} for row in rows]
    if not whole or any(column.name not in whole[0] for column in columns):
        return None
    return {tuple(_alike(column, row[column.name]) for column in columns) for row in whole}


def _touched(
    columns: Sequence[Column],
    wanted: Mapping[int, str],
    there: Collection[tuple[str, ...]] | None,
    subject: str,
) -> bool | None:
    parts = parted(subject) if len(columns) > 1 else (subject,)
    if not subject or _UNKEEPABLE in subject or len(parts) != len(columns):
        return None
    told = tuple(_alike(column, part) for column, part in zip(columns, parts, strict=True))
    if any(told[at] != value for at, value in wanted.items()):
        return False
    if len(wanted) == len(columns):
        return True
    if there is not None:
        return told in there
    return True if wanted else None


def _alike(column: Column, value: object) -> str:
    """The same text for what a database may take for the same: 7 and 007, and what a collation does not tell apart."""
    text = _text(value)
    try:
        found = from_text(column, text)
    except ValueError:
        found = text
    plain = unicodedata.normalize("NFKD", str(found))
    return "".join(one for one in plain if not unicodedata.combining(one)).casefold().strip()
