"""Events as rows of the archive, and where the log keeps them: a row for each run, not for each event."""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select, text, true, update
from sqlalchemy import insert as insert_into

from adapters.engines import fetched
from adapters.state.queries import chunks, query
from migrations.schema import state
from toolkit.core.cloudevents import instants_text
from toolkit.core.records import Coordinates, Delivery, Draft, Envelope, Passed, Record, Run

_event, _coordinates = state.event, state.coordinates
_pruned = state.pruned_id.c.id
_COLUMNS = (
    _event.c.partition,
    _event.c.sequence,
    _event.c.id,
    _event.c.source,
    _event.c.type,
    _event.c.subject,
    _event.c.time,
    _event.c.version,
    _event.c.meaning,
    _event.c.position,
    _event.c.transaction,
    _event.c.data,
)
_COPY = (
    'COPY strangler_event (topic, "partition", sequence, archived_on, id, source, type, subject, subject_hash,'
    ' "time", version, meaning, "position", "transaction", data) FROM STDIN'
)
_UNHEARD_AT_MOST = 20
"""Events that are looked through for each one that may be found."""
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_NULL = r"\N"


def subject_hash(subject: str) -> int:
    """What finds a subject in the archive, whatever its length."""
    return zlib.crc32(subject.encode()) - 2**31


# --- writing


def insert(connection: Connection, topic: str, records: Sequence[Record]) -> None:
    """Store new events, the fast way of the engine."""
    if not records:
        return
    today = dt.datetime.now(dt.UTC).date()
    if connection.dialect.name != "postgresql":
        connection.execute(insert_into(_event), [_row(topic, record, today) for record in records])
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor().copy(_COPY) as copy:
        copy.write("".join(_lines(topic, records, today)))


def _row(topic: str, record: Record, today: dt.date) -> dict[str, object]:
    envelope = record.envelope
    return {
        "topic": topic,
        "partition": record.partition,
        "sequence": record.sequence,
        "archived_on": today,
        "id": envelope.id,
        "source": envelope.source,
        "type": envelope.type,
        "subject": envelope.subject,
        "subject_hash": subject_hash(envelope.subject),
        "time": envelope.time,
        "version": envelope.version,
        "meaning": envelope.meaning,
        "position": envelope.position,
        "transaction": envelope.transaction,
        "data": record.data,
    }


def _lines(topic: str, records: Sequence[Record], today: dt.date) -> Iterator[str]:
    """COPY's text format, written by hand: half the cost of an event's whole way, if the driver does it value by value."""
    begin, day = _escaped(topic), str(today)
    told = [record.envelope for record in records]
    times = instants_text(one.time for one in told)
    if not _plain(told):
        told = list(map(_escaped_texts, told))
    for record, one, time in zip(records, told, times, strict=True):
        yield (
            f"{begin}\t{record.partition}\t{record.sequence}\t{day}\t{one.id}\t{one.source}\t{one.type}\t{one.subject}\t"
            f"{subject_hash(record.envelope.subject)}\t{time}\t{one.version}\t{one.meaning}\t{one.position}\t"
            f"{_NULL if one.transaction is None else one.transaction}\t\\\\x{record.data.hex()}\n"
        )


def _plain(envelopes: Iterable[Envelope]) -> bool:
    """Is there nothing to escape in any of them, as nearly always?"""
    texts = [f"{one.source}{one.type}{one.subject}{one.position}{one.transaction}" for one in envelopes]
    together = "".join(texts)
    return together.isprintable() and "\\" not in together


def _escaped_texts(envelope: Envelope) -> Envelope:
    return msgspec.structs.replace(
        envelope,
        source=_escaped(envelope.source),
        type=_escaped(envelope.type),
        subject=_escaped(envelope.subject),
        position=_escaped(envelope.position),
        transaction=None if envelope.transaction is None else _escaped(envelope.transaction),
    )


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def of_topic(topic: str) -> ColumnElement[bool]:
    """A condition that leads to no index: of an archive that was just filled, PostgreSQL takes a topic for something rare."""
    return (_event.c.topic == topic).is_(true())


def unknown(connection: Connection, topic: str, drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts that were never archived, each once: a second run of a step adds nothing, however late it comes."""
    by_id = {draft.envelope.id: draft for draft in drafts}
    if not by_id:
        return []
    look = _known_to_arrays if connection.dialect.name == "postgresql" else _known_to_lists
    for known in look(connection, topic, by_id):
        by_id.pop(known, None)
    return list(by_id.values())


def _known_to_arrays(connection: Connection, topic: str, by_id: Mapping[str, Draft]) -> Iterator[str]:
    hashes = {subject_hash(draft.envelope.subject) for draft in by_id.values()}
    ids = list(by_id)
    given = {"topic": topic, "hashes": sorted(hashes), "ids": ids}
    # To compile the statement takes longer than to run it; its cost is guessed without knowing how rare a hash is.
    connection.execute(text("SET LOCAL jit = off"))
    yield from connection.scalars(query("known_events"), given).all()
    # Afterwards: an event that is pruned between the two questions is found by the second.
    yield from connection.scalars(query("known_pruned"), {"ids": ids}).all()


def _known_to_lists(connection: Connection, topic: str, by_id: Mapping[str, Draft]) -> Iterator[str]:
    for some in chunks(list(by_id.values())):
        ids = [draft.envelope.id for draft in some]
        hashes = {subject_hash(draft.envelope.subject) for draft in some}
        here = of_topic(topic) & _event.c.subject_hash.in_(hashes)
        yield from connection.scalars(select(_event.c.id).where(here, _event.c.id.in_(ids))).all()
        yield from connection.scalars(select(_pruned).where(_pruned.in_(ids))).all()


def note(connection: Connection, topic: str, new: Sequence[Run]) -> None:
    """Note runs in their order; what goes on where the last one of its partition ended makes that one longer."""
    if not new:
        return
    table = _coordinates
    begun = _last_runs(connection, topic)
    longer: dict[int, Run] = {}
    fresh: list[dict[str, object]] = []
    for run in new:
        last = begun.get(run.partition)
        if last is not None and run.follows(last):
            begun[run.partition] = longer[run.partition] = msgspec.structs.replace(
                last, count=last.count + run.count
            )
        else:
            begun.pop(run.partition, None)
            fresh.append(_run_row(topic, run))
    if longer:
        here = (
            (table.c.topic == topic)
            & (table.c.partition == bindparam("at"))
            & (table.c.sequence == bindparam("since"))
        )
        connection.execute(
            update(table).where(here).values(events=bindparam("together")),
            [{"at": one.partition, "since": one.sequence, "together": one.count} for one in longer.values()],
        )
    if fresh:
        connection.execute(insert_into(table), fresh)


def _last_runs(connection: Connection, topic: str) -> dict[int, Run]:
    """The last run of each partition."""
    return {
        row[0]: Run(partition=row[0], sequence=row[1], offset=row[2], count=row[3])
        for row in connection.execute(query("last_runs"), {"topic": topic})
    }


def _run_row(topic: str, run: Run) -> dict[str, object]:
    return {
        "topic": topic,
        "partition": run.partition,
        "sequence": run.sequence,
        "offset": run.offset,
        "events": run.count,
    }


# --- reading


def after(
    connection: Connection, topic: str, partition: int, low: int, high: int, limit: int
) -> list[Record]:
    """Events of one partition above `low`, up to `high`."""
    return _records(fetched(connection, _above(topic, partition, low, high, limit)))


def heard(
    connection: Connection,
    topic: str,
    partition: int,
    low: int,
    high: int,
    limit: int,
    unheard: Collection[str],
) -> list[Record | Passed]:
    """The same without those of some types: in the place of each stretch of them, how far it goes."""
    if not unheard:
        return list(after(connection, topic, partition, low, high, limit))
    high = min(high, low + limit * _UNHEARD_AT_MOST)
    asked = _above(topic, partition, low, high, limit).where(_event.c.type.not_in(unheard))
    found: list[Record | Passed] = []
    for record in _records(fetched(connection, asked)):
        if record.sequence > low + 1:
            found.append(Passed(sequence=record.sequence - 1))
        found.append(record)
        low = record.sequence
        limit -= 1
    if limit and high > low:
        found.append(Passed(sequence=high))
    return found


def whole(
    connection: Connection, topic: str, partition: int, low: int, found: Sequence[Record | Passed]
) -> bool:
    """Is there every event above `low`, as far as this goes?"""
    if not found:
        return False
    reaches = found[-1].sequence
    if len(found) == reaches - low:
        return True
    there = select(func.count()).where(
        _event.c.topic == topic,
        _event.c.partition == partition,
        _event.c.sequence > low,
        _event.c.sequence <= reaches,
    )
    return connection.scalar(there) == reaches - low


def _above(topic: str, partition: int, low: int, high: int, limit: int) -> Select[Any]:
    return (
        select(*_COLUMNS)
        .where(
            _event.c.topic == topic,
            _event.c.partition == partition,
            _event.c.sequence > low,
            _event.c.sequence <= high,
        )
        .order_by(_event.c.sequence)
        .limit(limit)
    )


def of_subject(connection: Connection, topic: str, subject: str) -> list[Record]:
    """All events of one subject, by (partition, sequence)."""
    found = (
        select(*_COLUMNS)
        .where(
            of_topic(topic),
            _event.c.subject_hash == subject_hash(subject),
            _event.c.subject == subject,
        )
        .order_by(_event.c.partition, _event.c.sequence)
    )
    return _records(fetched(connection, found))


def placed(
    connection: Connection, topic: str, partition: int, contents: Sequence[Record | Passed]
) -> Iterator[Delivery]:
    """Published events of one partition, in order, each with its coordinates."""
    if not contents:
        return
    held = iter(_runs(connection, topic, partition, contents[0].sequence, contents[-1].sequence))
    run = next(held)
    for one in contents:
        while one.sequence > run.last:
            run = next(held)
        offset = run.offset + one.sequence - run.sequence
        yield Delivery(at=Coordinates(topic=topic, partition=partition, offset=offset), content=one)


def offset_of(connection: Connection, topic: str, partition: int, sequence: int) -> int:
    """Where the log got a published event, also one that the archive has no more."""
    run = _runs(connection, topic, partition, sequence, sequence)[0]
    return run.offset + sequence - run.sequence


def _runs(connection: Connection, topic: str, partition: int, first: int, last: int) -> list[Run]:
    table, here = _coordinates, _in(topic, partition)
    begin = (
        select(table.c.sequence)
        .where(*here, table.c.sequence <= first)
        .order_by(table.c.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )
    found = (
        select(table.c.sequence, table.c.offset, table.c.events)
        .where(*here, table.c.sequence >= begin, table.c.sequence <= last)
        .order_by(table.c.sequence)
    )
    return [
        Run(partition=partition, sequence=sequence, offset=offset, count=count)
        for sequence, offset, count in connection.execute(found)
    ]


def _in(topic: str, partition: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _coordinates.c.topic == topic, _coordinates.c.partition == partition


def _records(rows: Iterable[Sequence[Any]]) -> list[Record]:
    return [
        Record(
            envelope=Envelope(
                id=id_,
                source=source,
                type=type_,
                subject=subject,
                time=_instant(time),
                version=version,
                meaning=meaning,
                position=position,
                transaction=transaction,
            ),
            data=bytes(data),
            partition=partition,
            sequence=sequence,
        )
        for (
            partition,
            sequence,
            id_,
            source,
            type_,
            subject,
            time,
            version,
            meaning,
            position,
            transaction,
            data,
        ) in rows
    ]


def _instant(given: dt.datetime | str) -> dt.datetime:
    """As a driver gives it."""
    instant = dt.datetime.fromisoformat(given) if isinstance(given, str) else given
    return instant.astimezone(dt.UTC)
