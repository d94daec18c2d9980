"""Outbox rows in one form, whatever their table calls its columns, and what may happen to one: it is inserted, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from toolkit.core.changes import Change, Op

UPDATED = (
    "an outbox row was updated, but it is a fact that is written once: mend the application, then "
    'set update = "ignore" for this table in outbox_columns and replay'
)


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """One outbox table: its columns' names to those that translators know, and what an UPDATE there comes to."""

    names: Mapping[str, str] = {}
    park_updates: bool = True


def facts(changes: Iterable[Change], layouts: Mapping[str, Layout]) -> list[Change]:
    """The changes with outbox rows in one form. A row that is deleted was tidied away, and says nothing.

    Done to its own result, it gives the same, so that what was parked can be replayed under other settings.
    """
    made = []
    for change in changes:
        layout = layouts.get(change.table)
        if layout is None:
            made.append(change)
        elif change.op in (Op.INSERT, Op.SNAPSHOT):
            made.append(_renamed(change, layout.names))
        elif change.op is Op.UPDATE and layout.park_updates:
            made.append(msgspec.structs.replace(_renamed(change, layout.names), fault=UPDATED))
    return made


def _renamed(change: Change, names: Mapping[str, str]) -> Change:
    if not names:
        return change
    return msgspec.structs.replace(
        change,
        before=_row(change.before, names),
        after=_row(change.after, names),
        key=tuple(names.get(name, name) for name in change.key),
        unknown={names.get(name, name): why for name, why in change.unknown.items()},
    )


def _row(row: Mapping[str, object] | None, names: Mapping[str, str]) -> dict[str, object] | None:
    if row is None or names.keys().isdisjoint(row):
        return None if row is None else dict(row)
    # A column that only happens to have one of our names gives way to the one that is meant.
    others = {name: value for name, value in row.items() if name not in names.values()}
    return {names.get(name, name): value for name, value in others.items()}
