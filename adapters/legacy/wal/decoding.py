"""Messages become changes: rows with names and JSON types, subjects, and positions that are the same when read again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from adapters.legacy.images import Chosen, fact_position
from adapters.legacy.wal.messages import Begin, Delete, Insert, Relation, Truncate, Unchanged, Update, Value
from adapters.legacy.wal.standing import Watched, lsn
from adapters.legacy.wal.values import Convert, subject_of
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Refused
from toolkit.core.subjects import subject_text

_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_CYCLE = 1 << 32
Image = dict[str, object]
Types = Callable[[Iterable[int]], Mapping[int, Convert | None]]
Registry = Mapping[int, Watched]


class Transaction(msgspec.Struct):
    """The transaction that is being read, and how many of its messages were."""

    begin: Begin
    name: str
    captured_at: dt.datetime
    messages: int = 0

    @staticmethod
    def of(begin: Begin, xmax: int) -> Transaction:
        """`xmax` is a transaction id of about now, with its epoch: the log counts in 32 bits, and starts over."""
        return Transaction(
            begin=begin,
            name=str(whole_xid(begin.xid, xmax)),
            captured_at=_EPOCH + dt.timedelta(microseconds=begin.at),
        )


def whole_xid(xid: int, near: int) -> int:
    """The 64-bit transaction id that ends in these 32 bits and is nearest."""
    found = (near & ~(_CYCLE - 1)) | xid
    if found > near + _CYCLE // 2:
        return max(found - _CYCLE, xid)
    return found + _CYCLE if found < near - _CYCLE // 2 else found


class _Table:
    """A captured table as the log describes it now."""

    def __init__(
        self, watched: Watched, relation: Relation, converters: Mapping[int, Convert | None]
    ) -> None:
        self.watched, self.relation = watched, relation
        chosen = set(watched.chosen.of(one.name for one in relation.columns))
        self.columns = [
            (one.name.upper() if one.name in chosen else "", converters.get(one.type))
            for one in relation.columns
        ]
        self.identity = [one.name.upper() for one in relation.columns if one.key]
        self.subjects = tuple(name.upper() for name in watched.subjects)
        self.keys = tuple(name.upper() for name in watched.keys)

    def subject(self, image: Image, otherwise: Image | None = None) -> str:
        """The subject of a row; what the log does not repeat of it is taken from the other image."""
        other = otherwise or {}
        return subject_text([subject_of(image.get(name, other.get(name))) for name in self.subjects])

    def image(self, values: Sequence[Value]) -> Image:
        """The row. A large value that the log does not repeat has no column here: unknown is not NULL."""
        image: Image = {}
        for (name, convert), value in zip(self.columns, values, strict=True):
            if not name:  # not captured
                continue
            if value is None:
                image[name] = None
            elif not isinstance(value, Unchanged):
                image[name] = value if convert is None else convert(value)
        return image

    def images(self, update: Update) -> tuple[Image, Image]:
        """Before and after. Of a former row that the log does not give, only the key is known."""
        after = self.image(update.new)
        if update.old is None:
            return {name: after[name] for name in (self.identity or self.keys) if name in after}, after
        before = self.former(update.old, update.whole)
        if len(after) < len(before):  # the former row is whole, and has what the log does not repeat
            for name, value in before.items():
                after.setdefault(name, value)
        return before, after

    def former(self, values: Sequence[Value], whole: bool) -> Image:
        """A former row, or the part of it that identifies it.

        A partition that logs keys only is announced by its table as whole: nothing but the key has a value then.
        """
        image = self.image(values)
        known = self.keys if whole else self.identity
        if whole and not (self.watched.partitioned and self._only(self.keys, image)):
            return image
        return {name: image[name] for name in known if name in image}

    def _only(self, names: Sequence[str], image: Image) -> bool:
        return all(value is None or name in names for name, value in image.items())


class Decoder:
    """Keeps what the log said of tables, and turns their messages into changes."""

    def __init__(
        self, source: str, stamp: str, watched: Registry, again: Callable[[], Registry], types: Types
    ) -> None:
        self._source, self._stamp = source, stamp
        self._watched, self._again, self._types = watched, again, types
        self._tables: dict[int, _Table] = {}

    def describe(self, relation: Relation) -> None:
        """The log says what a table looks like from here on."""
        if relation.oid not in self._watched:
            self._watched = self._again()  # it may have come since the reading began
        watched = self._watched.get(relation.oid)
        if watched is None:
            return
        known = self._tables.get(relation.oid)
        if known is None or known.relation != relation:
            converters = self._types({one.type for one in relation.columns})
            self._tables[relation.oid] = _Table(watched, relation, converters)

    def changes(self, message: Insert | Update | Delete | Truncate, of: Transaction) -> list[Change]:
        """What a message of this transaction means. Raises Truncated for a TRUNCATE of a captured table."""
        if isinstance(message, Truncate):
            self._truncated(message, of)
            return []
        table = self._tables.get(message.oid)
        if table is None:
            return []
        if isinstance(message, Insert):
            after = table.image(message.new)
            change = self._change(table, Op.INSERT, table.subject(after), None, after, of)
            if table.watched.outbox:
                place = fact_position(change.table, table.keys, after)
                return [msgspec.structs.replace(change, position=place)]
            return [change]
        if table.watched.outbox:
            return []
        if isinstance(message, Delete):
            before = table.former(message.old, message.whole)
            return [self._change(table, Op.DELETE, table.subject(before), before, None, of)]
        return self._updated(table, message, of)

    def _updated(self, table: _Table, message: Update, of: Transaction) -> list[Change]:
        before, after = table.images(message)
        now, was = table.subject(after, before), table.subject(before, after)
        if before == after and table.watched.chosen != Chosen():
            return []
        if was == now:
            return [self._change(table, Op.UPDATE, now, before, after, of)]
        # A row that moves to another subject leaves the one and comes to the other: both must hear of it.
        return [
            self._change(table, Op.DELETE, was, before, None, of, ":left"),
            self._change(table, Op.INSERT, now, None, after, of, ":came"),
        ]

    def _change(
        self,
        table: _Table,
        op: Op,
        subject: str,
        before: Image | None,
        after: Image | None,
        of: Transaction,
        part: str = "",
    ) -> Change:
        return Change(
            source=self._source,
            table=table.watched.table,
            op=op,
            subject=subject,
            position=f"wal:{self._stamp}:{lsn(of.begin.lsn)}:{of.messages}{part}",
            captured_at=of.captured_at,
            before=before,
            after=after,
            transaction=of.name,
            key=table.keys,
        )

    def _truncated(self, message: Truncate, of: Transaction) -> None:
        names = [self._watched[oid].table for oid in message.oids if oid in self._watched]
        if names:
            raise Truncated(names, of)


class Truncated(Refused):
    """A captured table was emptied by TRUNCATE, and the log does not say which rows it had."""

    def __init__(self, tables: Sequence[str], of: Transaction) -> None:
        self.what = (
            f"TRUNCATE of {', '.join(tables)} at {lsn(of.begin.lsn)} ({of.captured_at.isoformat()}): "
            "the log does not say which rows were deleted"
        )
        super().__init__(self.what)
