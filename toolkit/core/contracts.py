"""The catalogue as one document: what each event says and means, and what each projection promises.

It is written by `strangler catalogue export`, kept, and compared with a later one; so it holds what readers depend on,
and nothing of how it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from toolkit.core.errors import UsageError
from toolkit.core.events import Catalogue, EventType, Meaning
from toolkit.core.projections import Definition

FORMAT = 1


class FieldContract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field of an event: its JSON Schema, and what it is when it is not there (`default`, as JSON)."""

    schema: dict[str, Any]
    required: bool = True
    default: str = ""


class MeaningContract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One meaning of an event type."""

    means: str
    not_implied: list[str] = []
    given: bool = False


class EventContract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event type. `meanings` are all that are described, the current one among them."""

    context: str
    subject: list[str]
    version: int
    meaning: int
    meanings: dict[str, MeaningContract]
    fields: dict[str, FieldContract]
    upcasters: list[int] = []
    maps: list[str] = []
    """mappings, as `1 > 2`"""


class ColumnContract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column of a read model."""

    type: str
    nullable: bool = False
    vocabulary: list[str] = []


class ReadContract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a projection makes of one event type."""

    meanings: list[int]
    passes_over: list[int] = []
    creates: bool = False
    key: list[str]
    each: str = ""
    whole: bool = False
    every: bool = False


class ProjectionContract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of a projection."""

    context: str
    key: list[str]
    columns: dict[str, ColumnContract]
    reads: dict[str, ReadContract]
    indexes: list[list[str]] = []


class Contracts(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document. `projections` are by name and version."""

    format: int = FORMAT
    project: str
    events: dict[str, EventContract]
    projections: dict[str, dict[str, ProjectionContract]]


def contracts(project: str, catalogue: Catalogue, definitions: Iterable[Definition]) -> Contracts:
    """The document of a project."""
    projections: dict[str, dict[str, ProjectionContract]] = {}
    for one in definitions:
        projections.setdefault(one.name, {})[str(one.version)] = _projection(one)
    return Contracts(
        project=project,
        events={name: _event(kind) for name, kind in sorted(catalogue.types.items())},
        projections=dict(sorted(projections.items())),
    )


def encoded(document: Contracts) -> bytes:
    """As text that a person can read, and a version control can compare."""
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"


def decoded(text: bytes, where: str) -> Contracts:
    """Read a document. Raises UsageError."""
    try:
        found = msgspec.json.decode(text, type=Contracts)
    except msgspec.MsgspecError as error:
        what = f"{where} is not what `strangler catalogue export` writes: {error}"
        raise UsageError(what) from error
    if found.format != FORMAT:
        raise UsageError(f"{where} has format {found.format}, this version reads {FORMAT}: export it again")
    return found


def _event(kind: EventType) -> EventContract:
    return EventContract(
        context=kind.context,
        subject=[kind.subject] if isinstance(kind.subject, str) else list(kind.subject),
        version=kind.version,
        meaning=kind.meaning,
        meanings={str(number): _meaning(one) for number, one in kind.meanings.items()},
        fields={one.encode_name: _field(one) for one in msgspec.structs.fields(kind.cls)},
        upcasters=sorted(kind.upcasters),
        maps=[f"{meaning} > {to}" for meaning, to in sorted(kind.maps)],
    )


def _meaning(one: Meaning) -> MeaningContract:
    return MeaningContract(means=one.means, not_implied=list(one.not_implied), given=one.given)


def _field(field: msgspec.structs.FieldInfo) -> FieldContract:
    (schema,), components = msgspec.json.schema_components([field.type])
    default = ""
    if field.default is not msgspec.NODEFAULT:
        default = msgspec.json.encode(field.default, order="deterministic").decode()
    elif field.default_factory is not msgspec.NODEFAULT:
        default = msgspec.json.encode(field.default_factory(), order="deterministic").decode()
    return FieldContract(schema=_whole(schema, components), required=field.required, default=default)


def _whole(schema: Any, components: Mapping[str, Any], within: tuple[str, ...] = ()) -> Any:
    """The schema with what it refers to in place; a type within itself stays a reference."""
    if isinstance(schema, list):
        return [_whole(one, components, within) for one in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name and name not in within:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _whole(components[name] | rest, components, (*within, name))
    return {key: _whole(value, components, within) for key, value in schema.items()}


def _projection(one: Definition) -> ProjectionContract:
    return ProjectionContract(
        context=one.context,
        key=list(one.key),
        columns={
            column.name: ColumnContract(
                type=column.type.value, nullable=column.nullable, vocabulary=list(column.vocabulary)
            )
            for column in one.columns
        },
        reads={
            name: ReadContract(
                meanings=list(handler.meanings),
                passes_over=list(handler.passes_over),
                creates=handler.creates,
                key=list(handler.key),
                each=handler.each,
                whole=handler.whole,
                every=handler.every,
            )
            for name, handler in sorted(one.handlers.items())
        },
        indexes=[list(index) for index in one.indexes],
    )
