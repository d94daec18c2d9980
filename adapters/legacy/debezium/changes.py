"""From messages to changes: whose subject a row is, which place a change has for ever, what was there before."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

import msgspec

from adapters.legacy.debezium.envelope import Ignored, RowChanged, Truncated
from adapters.legacy.debezium.merge import Item
from adapters.legacy.debezium.rows import Image, PlacesStep, Rows, digest
from toolkit.core.changes import Change, Op
from toolkit.core.subjects import subject_text
from toolkit.ports import CapturedTable

_LONGEST_KEY = 120
NO_SUBJECT = (
    'the message does not have the subject column {}: give the table REPLICA IDENTITY FULL (and before = "full"), '
    "or list it under remember in [legacy.NAME.debezium]"
)


class Step:
    """What one step of fetching makes of messages: changes in order, and what is counted, wiped or told besides."""

    def __init__(
        self,
        source: str,
        tables: Mapping[str, CapturedTable],
        rows: Rows,
        places: PlacesStep,
        now: dt.datetime,
    ) -> None:
        self._source, self._tables, self._rows, self._places, self._now = source, tables, rows, places, now
        self.changes: list[Change] = []
        self.ignored: Counter[str] = Counter()
        self.truncated: dict[str, str] = {}

    def take(self, items: Iterable[Item], tables: Mapping[str, str]) -> None:
        """Take messages in their order; `tables` says which table a topic carries."""
        for item in items:
            table = tables[item.at[0]]
            if item.fault:
                self._unreadable(item, table)
            elif isinstance(item.found, RowChanged):
                self._row_changed(item, item.found, table)
            elif isinstance(item.found, Truncated):
                self._truncate(item, item.found, table)
            elif isinstance(item.found, Ignored):
                self.ignored[item.found.kind] += 1
            else:
                self.ignored["transaction boundary"] += 1

    def _unreadable(self, item: Item, table: str) -> None:
        raw = (item.key or b"").decode(errors="replace")
        self.changes.append(
            Change(
                source=self._source,
                table=table,
                op=Op.UPDATE,
                subject="",
                position=_coordinates(item),
                captured_at=self._now,
                after={"MESSAGE": item.raw.decode(errors="replace"), "KEY": raw},
                fault=f"{item.at[0]}[{item.at[1]}] offset {item.offset}: {item.fault}",
            )
        )

    def _row_changed(self, item: Item, found: RowChanged, table: str) -> None:
        key = _key_text(found.key)
        kind = {Op.INSERT: "c", Op.UPDATE: "u", Op.DELETE: "d", Op.SNAPSHOT: "r"}[found.op]
        place = f"{found.source.place}/{kind}/{table}/{key}" if found.source.place else _coordinates(item)
        if not self._places.take(place):
            self.ignored["sent again"] += 1
            return
        before, after, unknown = found.before, found.after, dict(found.unknown)
        if table in self._rows.tables:
            known = self._rows.get(table, key)
            before, after = _completed(found, known, unknown)
            self._rows.put(table, key, after)
            if found.op is Op.SNAPSHOT and known is not None and known == after:
                self.ignored["snapshot of a row that is as it was"] += 1
                return
        change = Change(
            source=self._source,
            table=table,
            op=found.op,
            subject="",
            position=place,
            captured_at=found.source.instant or found.sent_at or self._now,
            before=before,
            after=after,
            transaction=item.transaction if item.whole else None,
            key=tuple(found.key),
            unknown=unknown,
            fault=found.fault,
        )
        self._add(change)

    def _add(self, change: Change) -> None:
        """With its subject; a row that came from another subject left that one."""
        columns = [name.upper() for name in self._tables[change.table].subjects]
        replace = msgspec.structs.replace
        was, becomes = _subject(change.before, columns), _subject(change.after, columns)
        if change.op is Op.UPDATE and was is not None and becomes is not None and was != becomes:
            left, came = change.position + "/left", change.position + "/came"
            self.changes.append(replace(change, op=Op.DELETE, subject=was, after=None, position=left))
            self.changes.append(replace(change, op=Op.INSERT, subject=becomes, before=None, position=came))
            return
        subject = becomes if becomes is not None else was
        if subject is None:
            change = replace(change, fault=change.fault or NO_SUBJECT.format(", ".join(columns)))
        self.changes.append(replace(change, subject=subject or ""))

    def _truncate(self, item: Item, found: Truncated, table: str) -> None:
        place = f"{found.source.place or _coordinates(item)}/t/{table}"
        if not self._places.take(place):
            self.ignored["sent again"] += 1
            return
        if table not in self._rows.tables:
            self.truncated[table] = f"{item.at[0]}[{item.at[1]}] offset {item.offset}"
            return
        for key, image in self._rows.clear(table):
            self._add(
                Change(
                    source=self._source,
                    table=table,
                    op=Op.DELETE,
                    subject="",
                    position=f"{place}/{key}",
                    captured_at=found.source.instant or self._now,
                    before=image,
                )
            )


def _completed(
    found: RowChanged, known: Image | None, unknown: dict[str, str]
) -> tuple[Image | None, Image | None]:
    """The row before and after, with what is remembered where the message does not tell."""
    if found.op is Op.SNAPSHOT or known is None:
        return found.before, found.after
    before = {**known, **{name: value for name, value in (found.before or {}).items() if name not in unknown}}
    after = None if found.after is None else dict(found.after)
    for name in [name for name in unknown if name in known]:
        del unknown[name]
        if after is not None:
            after[name] = known[name]
    return (None if found.op is Op.INSERT else before), after


def _subject(row: Mapping[str, object] | None, columns: Sequence[str]) -> str | None:
    """The subject as text without padding, as triggers write it; None where the row does not tell."""
    if row is None or any(column not in row for column in columns):
        return None
    values = [row[column] for column in columns]
    return subject_text(["" if value is None else str(value).rstrip() for value in values])


def _key_text(key: Mapping[str, object]) -> str:
    text = "/".join(quote(str(value), safe=" ") for value in key.values())
    return text if len(text) <= _LONGEST_KEY else digest(text)


def _coordinates(item: Item) -> str:
    return f"kafka/{item.at[0]}/{item.at[1]}/{item.offset}"
