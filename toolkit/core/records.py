"""Events as they are archived and published: CloudEvents attributes around the encoded data."""

from __future__ import annotations

import datetime as dt
import uuid
import zlib
from collections.abc import Iterable

import msgspec

from toolkit.core.changes import Change
from toolkit.core.errors import Untranslatable
from toolkit.core.events import Catalogue, Event

_NAMESPACE = uuid.UUID("5f6f1e0c-6b1e-5d0e-9c1a-3b0a7a1f6d52")


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of an event besides its data; the CloudEvents 1.0 attributes and our extensions.

    `time` is when the fact was committed in (or, for a snapshot, read from) the legacy source;
    `position` is the legacy change it came from.
    """

    id: str
    source: str
    type: str
    subject: str
    time: dt.datetime
    version: int
    meaning: int
    position: str
    transaction: str | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event in its stored form.

    `partition` is chosen when the event is archived, and `sequence` counts the events of one
    (topic, partition) from 1 without a gap. A consumer that applies exactly `last + 1` therefore
    applies every event once and in order, whatever was delivered twice, late or by a zombie.
    """

    envelope: Envelope
    data: bytes
    partition: int
    sequence: int


class Watermark(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything the legacy source had committed by `as_of` has, in this partition, a sequence <= `sequence`."""

    as_of: dt.datetime
    sequence: int


class Coordinates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the log keeps a record."""

    topic: str
    partition: int
    offset: int


class Malformed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What stood in the log but is neither an event nor a watermark of ours.

    It is delivered, not skipped: whoever consumes counts it and shows it. It carries no sequence, so if an
    event of ours was damaged, the next one of its partition reveals the gap.
    """

    reason: str
    raw: bytes


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a consumer of the log gets: an event or a watermark (or neither), and where it stood.

    The position after it is `at.offset + 1`, also for a watermark of a log that gives watermarks no offset.
    """

    at: Coordinates
    content: Record | Watermark | Malformed


def partition_of(subject: str, partitions: int) -> int:
    """The partition of a subject. Stable for ever: changing it means a new topic."""
    return zlib.crc32(subject.encode()) % partitions


def event_id(source: str, position: str, event_type: str, ordinal: int) -> str:
    """The deterministic id of the `ordinal`-th event of this type that this position gave."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join((source, position, event_type, str(ordinal)))))


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event that was translated, before the archive gives it its partition and sequence."""

    envelope: Envelope
    data: bytes


def drafts(catalogue: Catalogue, origin: Change, events: Iterable[Event]) -> list[Draft]:
    """Wrap what a translator yielded for one position into envelopes with deterministic ids.

    Raises Untranslatable when an event is not in the catalogue, or speaks of another subject than
    the rows it came from: order is kept per subject, so a translator speaks for one aggregate only.
    """
    ordinals: dict[str, int] = {}
    made = []
    for event in events:
        if type(event).__name__ not in catalogue.types:
            raise Untranslatable(f"a translator gave {type(event).__name__}, which is not in the catalogue")
        event_type = catalogue.of_event(event)
        subject = str(getattr(event, event_type.subject))
        if subject != origin.subject:
            raise Untranslatable(
                f"{event_type.name} speaks of subject {subject!r}, but the rows belong to {origin.subject!r}: "
                "register the translator with the column that holds the event's subject"
            )
        ordinal = ordinals.get(event_type.name, 0)
        ordinals[event_type.name] = ordinal + 1
        made.append(
            Draft(
                envelope=Envelope(
                    id=event_id(origin.source, origin.position, event_type.name, ordinal),
                    source=origin.source,
                    type=event_type.name,
                    subject=subject,
                    time=origin.captured_at,
                    version=event_type.version,
                    meaning=event_type.meaning,
                    position=origin.position,
                    transaction=origin.transaction,
                ),
                data=_encode(event),
            )
        )
    return made


def _encode(event: Event) -> bytes:
    """Encode, and see that it can be read again: a fact that does not fit its own type must not enter the archive."""
    data = msgspec.json.encode(event)
    try:
        msgspec.json.decode(data, type=type(event))
    except msgspec.ValidationError as error:
        raise Untranslatable(
            f"a translator gave a {type(event).__name__} that does not fit its type: {error}"
        ) from error
    return data
