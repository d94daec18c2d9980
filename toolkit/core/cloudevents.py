"""Records and watermarks as CloudEvents 1.0: the Kafka binding's binary mode, and the JSON format.

A record's source (the legacy source's name) is the attribute `source` as a rooted URI reference, so that any
name fits. The sequence is an extension of fixed width, because CloudEvents compares such values as text.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import quote, unquote

import msgspec

from toolkit.core.records import Content, Draft, Envelope, Malformed, Record, Watermark

WATERMARK_TYPE = "strangler.watermark"
WATERMARK_SOURCE = "/strangler/relay"
JSON: Final = "application/json"
STRUCTURED = "application/cloudevents"
_STRUCTURED_JSON = STRUCTURED + "+json"
_VERSIONS = ("1.0", "0.3")
SEQUENCE_WIDTH = 19
FIRST_MEANING = "1"
"""What an event means that does not tell: there was one meaning only when it was written."""

T = TypeVar("T")

_REQUIRED = ("id", "source", "type")
_Instant = Annotated[dt.datetime, msgspec.Meta(tz=True)]
_Present = Annotated[str, msgspec.Meta(min_length=1)]
_watermark_data = msgspec.json.Decoder(Watermark)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])

Headers = list[tuple[str, bytes]]
STRUCTURED_HEADERS: Headers = [("content-type", _STRUCTURED_JSON.encode())]
_OWN_BINARY = (b"1.0", JSON.encode())


class _OwnJson(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A record in the JSON format: written and read in one pass."""

    specversion: Literal["1.0"]
    id: _Present
    source: _Present
    type: _Present
    time: _Instant
    partitionsequence: str
    schemaversion: str
    meaningversion: str
    data: msgspec.Raw
    datacontenttype: Literal["", "application/json"] = ""
    subject: str = ""
    legacyposition: str = ""
    legacytransaction: str | None = None


_decode_own = msgspec.json.Decoder(_OwnJson).decode
_OWN_BEGINS = b'{"specversion":"1.0","id":"'
_to_own_json = msgspec.json.Encoder().encode
_to_texts = msgspec.json.Decoder(list[str]).decode


class NotOurs(ValueError):
    """The content is no CloudEvent, or one that this toolkit did not write."""


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes (extensions among them) by name, each in its text form, and the data as it travels."""

    attributes: dict[str, str]
    data: bytes


def of_record(record: Record) -> CloudEvent:
    """A record as a CloudEvent. Its partition is not an attribute: the log knows it."""
    envelope = record.envelope
    attributes = {
        "specversion": "1.0",
        "id": envelope.id,
        "source": _rooted(envelope.source),
        "type": envelope.type,
        "time": _time(envelope.time),
        "datacontenttype": JSON,
        "partitionsequence": _sequence(record.sequence),
        "schemaversion": str(envelope.version),
        "meaningversion": str(envelope.meaning),
    }
    optional = {
        "subject": envelope.subject,
        "legacyposition": envelope.position,
        "legacytransaction": envelope.transaction,
    }
    # An attribute that is present must not be empty.
    attributes |= {name: value for name, value in optional.items() if value}
    return CloudEvent(attributes=attributes, data=record.data)


def of_watermark(mark: Watermark, partition: int) -> CloudEvent:
    """A watermark as a CloudEvent. Sent to every partition, it is another event in each, hence the id."""
    as_of = _time(mark.as_of)
    attributes = {
        "specversion": "1.0",
        "id": f"{partition}/{mark.sequence}/{as_of}",
        "source": WATERMARK_SOURCE,
        "type": WATERMARK_TYPE,
        "time": as_of,
        "datacontenttype": JSON,
        "partitionsequence": _sequence(mark.sequence),
    }
    return CloudEvent(attributes=attributes, data=msgspec.json.encode(mark))


def content(event: CloudEvent, partition: int) -> Record | Watermark:
    """The record or watermark that a CloudEvent from this partition carries. Raises NotOurs with the reason."""
    attributes = event.attributes
    try:
        if attributes["type"] == WATERMARK_TYPE:
            return _watermark_data.decode(event.data)
        return Record(
            envelope=Envelope(
                id=attributes["id"],
                source=_UNROOTED[attributes["source"]],
                type=attributes["type"],
                subject=attributes.get("subject", ""),
                time=msgspec.convert(attributes["time"], _Instant),
                version=int(attributes["schemaversion"]),
                meaning=int(attributes.get("meaningversion", FIRST_MEANING)),
                position=attributes.get("legacyposition", ""),
                transaction=attributes.get("legacytransaction"),
            ),
            data=event.data,
            partition=partition,
            sequence=int(attributes["partitionsequence"]),
        )
    except KeyError as error:
        raise NotOurs(f"a CloudEvent without the attribute {error}: not written by this toolkit") from error
    except ValueError as error:  # msgspec's errors are ValueErrors, too
        raise NotOurs(f"a CloudEvent with an attribute that does not fit: {error}") from error


def to_message(event: CloudEvent) -> tuple[Headers, bytes]:
    """Binary mode: attributes as `ce_` headers in UTF-8, the media type as `content-type`, the data as the value."""
    headers = [
        (f"ce_{name}", value.encode())
        for name, value in event.attributes.items()
        if name != "datacontenttype"
    ]
    headers.append(("content-type", event.attributes.get("datacontenttype", JSON).encode()))
    return headers, event.data


def of_message(headers: Iterable[tuple[str, bytes | str | None]], value: bytes | None) -> CloudEvent:
    """Read a Kafka message in binary or structured mode, as its `content-type` says. Raises NotOurs."""
    texts = _texts(headers)
    media = texts.get("content-type", "")
    if media.lower().startswith(STRUCTURED):
        if _bare(media) != _STRUCTURED_JSON:
            raise NotOurs(f"a CloudEvent in structured mode as {media}: only {_STRUCTURED_JSON} can be read")
        return of_json(value or b"")
    if value is None:
        raise NotOurs("no value: a tombstone of a compacted topic (this topic must not be compacted)")
    attributes = {name[3:]: text for name, text in texts.items() if name.startswith("ce_")}
    if media:
        attributes["datacontenttype"] = media
    return CloudEvent(attributes=_checked(attributes), data=value)


def to_json(event: CloudEvent) -> bytes:
    """Structured mode: one JSON object with the attributes and the data: JSON as it is, text as text, all else in base64."""
    if event.data and _is_json(event.attributes.get("datacontenttype", JSON)):
        return msgspec.json.encode({**event.attributes, "data": msgspec.Raw(event.data)})
    if not event.data:
        return msgspec.json.encode(event.attributes)
    try:
        return msgspec.json.encode({**event.attributes, "data": event.data.decode()})
    except UnicodeDecodeError:
        encoded = base64.b64encode(event.data).decode()
        return msgspec.json.encode({**event.attributes, "data_base64": encoded})


def record_json(record: Record) -> bytes:
    """What `to_json(of_record(record))` says, at a fifth of the cost."""
    envelope = record.envelope
    return _to_own_json(
        _OwnJson(
            specversion="1.0",
            id=envelope.id,
            source=_rooted(envelope.source),
            type=envelope.type,
            time=envelope.time,
            partitionsequence=_sequence(record.sequence),
            schemaversion=str(envelope.version),
            meaningversion=str(envelope.meaning),
            data=msgspec.Raw(record.data),
            datacontenttype=JSON,
            subject=envelope.subject,
            legacyposition=envelope.position,
            legacytransaction=envelope.transaction or None,
        )
    )


def instants_text(instants: Iterable[dt.datetime]) -> list[str]:
    """The text of each, told all at once: one by one, they would take several times as long."""
    return _to_texts(_to_own_json(list(instants)))


def size(draft: Draft) -> int:
    """How many bytes the event takes in a log, with its key and its attributes."""
    record = Record(envelope=draft.envelope, data=draft.data, partition=0, sequence=0)
    return len(record_json(record)) + len(draft.envelope.subject.encode())


def of_json(raw: bytes) -> CloudEvent:
    """Read the JSON format. Raises NotOurs."""
    try:
        members: Mapping[str, msgspec.Raw] = _members.decode(raw)
        attributes = {
            name: text
            for name, member in members.items()
            if name not in ("data", "data_base64") and (text := _text(member)) is not None
        }
        data = _data(members, attributes)
    except (msgspec.DecodeError, binascii.Error) as error:
        raise NotOurs(f"not a CloudEvent in JSON: {error}") from error
    return CloudEvent(attributes=_checked(attributes), data=data)


def _data(members: Mapping[str, msgspec.Raw], attributes: dict[str, str]) -> bytes:
    if "data" not in members:
        return _base64(members)
    if "data_base64" in members:
        raise NotOurs("a CloudEvent with both data and data_base64")
    # Without a media type, `data` is JSON; said aloud, it stays so in binary mode, too.
    media = attributes.setdefault("datacontenttype", JSON)
    if attributes.get("specversion") == "0.3" and attributes.pop("datacontentencoding", "") == "base64":
        return base64.b64decode(msgspec.json.decode(members["data"], type=str), validate=True)
    if _is_json(media):
        return bytes(members["data"])
    return msgspec.json.decode(members["data"], type=str).encode()


def _bare(media: str) -> str:
    """A media type without its parameters."""
    return media.partition(";")[0].strip().lower()


def _is_json(media: str) -> bool:
    kind = _bare(media)
    return kind.endswith(("/json", "+json"))


def read_message(
    headers: Iterable[tuple[str, bytes | str | None]], value: bytes | None, partition: int
) -> Content:
    """What a Kafka message carries, or why it cannot be read."""
    headers = headers if isinstance(headers, list) else list(headers)
    record = _own_binary(headers, value, partition)
    if record is not None:
        return record
    try:
        return content(of_message(headers, value), partition)
    except NotOurs as error:
        return Malformed(reason=str(error), raw=value or b"")


def read_json(raw: bytes, partition: int) -> Content:
    """What a structured CloudEvent carries, or why it cannot be read."""
    record = own_record(raw, partition)
    if record is not None:
        return record
    try:
        return content(of_json(raw), partition)
    except NotOurs as error:
        return Malformed(reason=str(error), raw=raw)


def begins_as_ours(data: bytes) -> bool:
    """Does it begin as structured records of ours do? Nothing else in a log of ours may: `own_record` asks for no headers."""
    return data.startswith(_OWN_BEGINS)


def own_record(raw: bytes, partition: int) -> Record | None:
    """A structured record of ours in one pass; None for whatever else, which is read, or refused with its reason, the long way.

    Every projector decodes every record, and the long way takes four times as long.
    """
    if not raw.startswith(_OWN_BEGINS):
        return None
    try:
        found = _decode_own(raw)
        sequence = int(found.partitionsequence)
        version, meaning = _NUMBERS[found.schemaversion], _NUMBERS[found.meaningversion]
    except ValueError:
        return None
    if found.type == WATERMARK_TYPE:
        return None
    return Record(
        envelope=Envelope(
            id=found.id,
            source=_UNROOTED[found.source],
            type=found.type,
            subject=found.subject,
            time=found.time,
            version=version,
            meaning=meaning,
            position=found.legacyposition,
            transaction=found.legacytransaction,
        ),
        data=bytes(found.data),
        partition=partition,
        sequence=sequence,
    )


def _own_binary(
    headers: list[tuple[str, bytes | str | None]], value: bytes | None, partition: int
) -> Record | None:
    """The same for a record in binary mode: its headers are read where they are looked for, and nowhere else."""
    found: dict[str, Any] = dict(headers)
    try:
        if value is None or (found["ce_specversion"], found["content-type"]) != _OWN_BINARY:
            return None
        kind, time = found["ce_type"].decode(), dt.datetime.fromisoformat(found["ce_time"].decode())
        id_, source = found["ce_id"].decode(), found["ce_source"].decode()
        if not (id_ and source and kind) or kind == WATERMARK_TYPE or time.tzinfo is None:
            return None
        transaction = found.get("ce_legacytransaction")
        return Record(
            envelope=Envelope(
                id=id_,
                source=_UNROOTED[source],
                type=kind,
                subject=found.get("ce_subject", b"").decode(),
                time=time,
                version=int(found["ce_schemaversion"]),
                meaning=int(found["ce_meaningversion"]),
                position=found.get("ce_legacyposition", b"").decode(),
                transaction=None if transaction is None else transaction.decode(),
            ),
            data=value,
            partition=partition,
            sequence=int(found["ce_partitionsequence"]),
        )
    except (KeyError, ValueError, AttributeError):
        return None


@cache
def _rooted(source: str) -> str:
    return "/" + quote(source, safe="")


class _Known(dict[str, T]):
    """What a text means, found out once: an event has several of which there are few in a log."""

    def __init__(self, find: Callable[[str], T], most: int) -> None:
        super().__init__()
        self._find, self._most = find, most

    def __missing__(self, text: str) -> T:
        found = self._find(text)
        if len(self) < self._most:  # who writes something else each time gets no memory of ours
            self[text] = found
        return found


_UNROOTED = _Known(lambda source: unquote(source.removeprefix("/")), 1024)
_NUMBERS = _Known(int, 64)


def _time(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _sequence(number: int) -> str:
    return str(number).zfill(SEQUENCE_WIDTH)


def _texts(headers: Iterable[tuple[str, bytes | str | None]]) -> dict[str, str]:
    try:
        return {
            name: value if isinstance(value, str) else value.decode()
            for name, value in headers
            if value is not None
        }
    except UnicodeDecodeError as error:
        raise NotOurs(f"a header is not UTF-8: {error}") from error


def _checked(attributes: dict[str, str]) -> dict[str, str]:
    if attributes.get("specversion") not in _VERSIONS:
        found = attributes.get("specversion", "none")
        raise NotOurs(
            f"not a CloudEvent of version 1.0 (specversion: {found}): who else writes to this topic?"
        )
    missing = [name for name in _REQUIRED if not attributes.get(name)]
    if missing:
        raise NotOurs(f"a CloudEvent without {', '.join(missing)}")
    return attributes


def _text(member: msgspec.Raw) -> str | None:
    """An attribute's text form: JSON's strings, whole numbers and booleans; null means absent."""
    value: object = msgspec.json.decode(member)
    if value is None or isinstance(value, str):
        return value
    return bytes(member).decode()


def _base64(members: Mapping[str, msgspec.Raw]) -> bytes:
    if "data_base64" not in members:
        return b""
    return base64.b64decode(msgspec.json.decode(members["data_base64"], type=str), validate=True)
