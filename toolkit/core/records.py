"""Events as they are archived and published: CloudEvents attributes around the encoded data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b

import msgspec

from toolkit.core.changes import Change
from toolkit.core.errors import Untranslatable
from toolkit.core.events import Catalogue, Event, EventType, InMeaning
from toolkit.core.fitting import fitter

try:  # the interpreter's own: OpenSSL's takes twice as long to begin than to hash a subject
    from _md5 import md5
except ImportError:
    from hashlib import md5

_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


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


class Run(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Coordinates of records that stand in the log as they are numbered: neither sequence nor offset leaves one out.

    Sequences have no gaps and are published in order, so that one run tells the places of thousands of records.
    """

    partition: int
    sequence: int
    offset: int
    count: int

    @property
    def last(self) -> int:
        """The sequence of its last record."""
        return self.sequence + self.count - 1

    def beyond(self, sequence: int) -> Run:
        """The part of it that comes after a sequence within it, or just before it."""
        past = max(0, sequence + 1 - self.sequence)
        return Run(
            partition=self.partition,
            sequence=self.sequence + past,
            offset=self.offset + past,
            count=self.count - past,
        )

    def follows(self, other: Run) -> bool:
        """Does it go on just where the other one ends?"""
        return self.sequence == other.last + 1 and self.offset == other.offset + other.count


def runs(partition: int, sequence: int, offsets: Iterable[int]) -> list[Run]:
    """The runs of consecutive records of a partition, from the one with this sequence."""
    found: list[Run] = []
    begun = sequence
    first = following = -1
    for offset in offsets:
        if offset != following:
            if sequence > begun:
                found.append(Run(partition=partition, sequence=begun, offset=first, count=sequence - begun))
            begun, first = sequence, offset
        sequence, following = sequence + 1, offset + 1
    if sequence > begun:
        found.append(Run(partition=partition, sequence=begun, offset=first, count=sequence - begun))
    return found


class Malformed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What stood in the log but is neither an event nor a watermark of ours.

    It is delivered, not skipped: whoever consumes counts it and shows it. It carries no sequence, so if an
    event of ours was damaged, the next one of its partition reveals the gap.
    """

    reason: str
    raw: bytes


class Passed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All events of the partition up to this one, as far as they were not delivered, are none of the reader's business."""

    sequence: int


Content = Record | Watermark | Malformed | Passed
"""What stands at one place of the log; or, where an archive is read, what was left out up to there."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a consumer of the log gets: an event or a watermark (or neither), and where it stood.

    The position after it is `at.offset + 1`, also for a watermark of a log that gives watermarks no offset.
    """

    at: Coordinates
    content: Content


def partition_of(subject: str, partitions: int) -> int:
    """The partition of a subject. Stable for ever: changing it means a new topic.

    Every database that capture knows computes the same from the text (`adapters/legacy/shards.py`).
    """
    return int.from_bytes(md5(subject.encode(), usedforsecurity=False).digest()[:4]) % partitions


def event_id(source: str, position: str, event_type: str, ordinal: int) -> str:
    """The deterministic id of the `ordinal`-th event of this type that this position gave: a UUID of version 8."""
    told = f"{source}\x1f{position}\x1f{event_type}\x1f{ordinal}".encode()
    text = blake2b(told, digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


def keepable(subject: str) -> bool:
    """Is it text that every archive can keep: no NUL, no half of a surrogate pair?"""
    if "\x00" in subject:
        return False
    if subject.isascii():
        return True
    try:
        subject.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    for given in events:
        event, meaning = given, None
        event_type = catalogue.types.get(type(event).__name__)
        if event_type is None and isinstance(event, InMeaning):
            event_type, meaning, event = _former(catalogue, event)
        if event_type is None:
            raise Untranslatable(f"a translator gave {type(event).__name__}, which is not in the catalogue")
        name, subject = event_type.name, event_type.subject_of(event)
        if subject != origin.subject:
            raise Untranslatable(
                f"{name} speaks of subject {subject!r}, but the rows belong to {origin.subject!r}: "
                "register the translator with the column that holds the event's subject"
            )
        ordinal = ordinals.get(name, 0)
        ordinals[name] = ordinal + 1
        made.append(
            Draft(
                envelope=Envelope(
                    id=event_id(origin.source, origin.position, name, ordinal),
                    source=origin.source,
                    type=name,
                    subject=subject,
                    time=origin.captured_at,
                    version=event_type.version,
                    meaning=meaning or event_type.meaning,
                    position=origin.position,
                    transaction=origin.transaction,
                ),
                data=_encode(event),
            )
        )
    return made


def _former(catalogue: Catalogue, said: InMeaning) -> tuple[EventType | None, int, Event]:
    """The type, the meaning and the event that a translator gave in a meaning of its choice. Raises Untranslatable."""
    kind = catalogue.types.get(type(said.event).__name__)
    if kind is not None and said.meaning not in kind.given:
        given = ", ".join(map(str, kind.given))
        raise Untranslatable(
            f"a translator gave {kind.name} in meaning {said.meaning}, which is not given any more (given: {given}): "
            f"say so with context.formerly({kind.name}, meaning={said.meaning}, given=True, ...), or yield another"
        )
    return kind, said.meaning, said.event


_to_json = msgspec.json.Encoder().encode
_decoder = cache(msgspec.json.Decoder)
_fitter = cache(fitter)


def _encode(event: Event) -> bytes:
    """Encode, and see that it can be read again: a fact that does not fit its own type must not enter the archive."""
    data = _to_json(event)
    kind = type(event)
    if _fitter(kind)(event):
        return data
    try:
        _decoder(kind).decode(data)
    except msgspec.ValidationError as error:
        raise Untranslatable(
            f"a translator gave a {kind.__name__} that does not fit its type: {error}"
        ) from error
    return data
