"""Golden examples: data of each event type, version and meaning that a project keeps, and what must hold for them.

`golden/PolicyCancelled/v1.m2.json` is one; `v1.m2.without-a-reason.json` another of the same kind. They are what old
events looked like when nobody remembers it any more.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from toolkit.core.errors import Fault, Unprojectable
from toolkit.core.events import Catalogue, Event, EventType
from toolkit.core.shapes import JSON, data_of_shape, masked

FOLDER = "golden"
_NAME = re.compile(r"v(\d+)\.m(\d+)(?:\.[\w-]+)?\.json")
_UNKNOWN = "strangler_unknown_field"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One golden example, where it is kept, and its data as it is written there."""

    file: str
    type: str
    version: int
    meaning: int
    data: bytes

    @property
    def kind(self) -> tuple[str, int, int]:
        """Type, version and meaning."""
        return self.type, self.version, self.meaning


def examples(folder: Path) -> tuple[list[Example], list[Fault]]:
    """The examples of a project, and what lies beside them under another name."""
    found, faults = [], []
    for path in sorted((folder / FOLDER).glob("*/*")):
        where = path.relative_to(folder).as_posix()
        named = _NAME.fullmatch(path.name)
        if named is None:
            what = f"{path.name} tells no version and meaning"
            faults.append(Fault(where=where, what=what, next="call it v1.m1.json, or v1.m1.some-words.json"))
            continue
        version, meaning = int(named[1]), int(named[2])
        found.append(
            Example(
                file=where, type=path.parent.name, version=version, meaning=meaning, data=path.read_bytes()
            )
        )
    return found, faults


def name_of(kind: tuple[str, int, int]) -> str:
    """Where the first example of a kind is kept, seen from the project's folder."""
    name, version, meaning = kind
    return f"{FOLDER}/{name}/v{version}.m{meaning}.json"


def broken(catalogue: Catalogue, kept: Iterable[Example]) -> list[Fault]:
    """Everything that does not hold: examples that cannot be read, upcasters and mappings that break their laws."""
    known = list(kept)
    faults = [fault for one in known for fault in _unreadable(catalogue, one)]
    for kind in catalogue.types.values():
        mine = [one for one in known if one.type == kind.name]
        faults.extend(_broken_steps(kind, mine))
        faults.extend(_broken_maps(kind, mine))
    return list(dict.fromkeys(faults))


def _unreadable(catalogue: Catalogue, example: Example) -> Iterator[Fault]:
    kind = catalogue.types.get(example.type)
    if kind is None:
        yield Fault(where=example.file, what=f"there is no event {example.type} in the catalogue")
        return
    if example.meaning not in kind.meanings:
        what = f"{example.type} has no meaning {example.meaning}"
        yield Fault(
            where=example.file, what=what, next="describe it with context.formerly, or rename the file"
        )
    try:
        kind.current(example.data, example.version)
    except Unprojectable as error:
        yield Fault(where=example.file, what=str(error))
    except Exception as error:  # noqa: BLE001 - an upcaster is the user's code and may fail in any way
        yield Fault(where=example.file, what=f"an upcaster failed: {type(error).__name__}: {error}")


# --- upcasters


def _broken_steps(kind: EventType, mine: list[Example]) -> Iterator[Fault]:
    """Each step is total, gives the same again, leaves what it was given, and keeps fields that it does not know."""
    for version, upcast in sorted(kind.upcasters.items()):
        where = f"upcaster of {kind.name} from version {version} ({upcast.__name__})"
        for data, origin in _old_data(kind, version, mine):
            fault = _broken_step(kind, version, data)
            if fault:
                yield Fault(where=where, what=fault, next=f"tried with {origin}")
                break


def _old_data(kind: EventType, version: int, mine: list[Example]) -> Iterator[tuple[JSON, str]]:
    """Golden data of a version, and data made of its shape, where the project says it."""
    for example in mine:
        if example.version == version:
            try:
                yield msgspec.json.decode(example.data, type=JSON), example.file
            except msgspec.MsgspecError:
                continue  # told already
    shape = kind.shapes.get(version)
    if shape is not None:
        for data in data_of_shape(shape):
            yield data, msgspec.json.encode(data).decode()


def _broken_step(kind: EventType, version: int, data: JSON) -> str:
    upcast = kind.upcasters[version]
    given = {**copy.deepcopy(data), _UNKNOWN: [1]}
    before = copy.deepcopy(given)
    try:
        once, again = upcast(given), upcast(copy.deepcopy(before))
        if given != before:
            return "changes the data that it is given: give a new dict, {**data, ...}"
        if once != again:
            return "gives another outcome the second time"
        if once.get(_UNKNOWN) != [1]:
            return "drops fields that it does not know: begin with {**data, ...}"
        kind.current(msgspec.json.encode(data), version)
    except Unprojectable as error:
        return f"what it gives cannot be read: {error}"
    except Exception as error:  # noqa: BLE001 - it is the user's code and may fail in any way
        return f"is not total: {type(error).__name__}: {error}"
    return ""


# --- mappings


def _broken_maps(kind: EventType, mine: list[Example]) -> Iterator[Fault]:
    """Each mapping is total, gives the same again, and gives the same subject."""
    for (meaning, to), one in sorted(kind.maps.items()):
        where = f"mapping of {kind.name} from meaning {meaning} to {to} ({one.function.__name__})"
        for event in _events(kind, meaning, mine):
            fault = _broken_map(kind, one.function, event)
            if fault:
                yield Fault(where=where, what=fault, next=f"tried with {event}")
                break


def _events(
    kind: EventType, meaning: int, mine: list[Example], before: frozenset[int] = frozenset()
) -> Iterator[Event]:
    """Events of a meaning: golden ones, ones made of the class, and what mappings to it make of those of other meanings."""
    for example in mine:
        if example.meaning == meaning:
            try:
                yield kind.current(example.data, example.version)
            except Exception:  # noqa: BLE001 - told already
                continue
    for data in data_of_shape(kind.cls):
        yield msgspec.convert(data, kind.cls, strict=False)
    yield from _mapped_events(kind, meaning, mine, before | {meaning})


def _mapped_events(
    kind: EventType, meaning: int, mine: list[Example], passed: frozenset[int]
) -> Iterator[Event]:
    for (other, to), one in sorted(kind.maps.items()):
        if to != meaning or other in passed:
            continue
        for event in _events(kind, other, mine, passed):
            try:
                mapped = one.function(event)
            except Exception:  # noqa: BLE001 - told of that mapping itself
                continue
            if isinstance(mapped, kind.cls):
                yield mapped


def _broken_map(kind: EventType, function: object, event: Event) -> str:
    assert callable(function)
    try:
        once, again = function(event), function(event)
    except Exception as error:  # noqa: BLE001 - it is the user's code and may fail in any way
        return f"is not total: {type(error).__name__}: {error}"
    if not isinstance(once, kind.cls):
        return f"gives a {type(once).__name__}, not a {kind.name}"
    if once != again:
        return "gives another outcome the second time"
    if kind.subject_of(once) != kind.subject_of(event):
        return "gives another subject: order is kept per subject"
    return ""


# --- writing them


def example_of(kind: EventType, data: bytes, version: int, *, as_it_is: bool) -> bytes:
    """The text of an example. Unless it is wanted as it is, nothing that the event said is in it, only its form.

    Raises Unprojectable when the event cannot be read, or can no more once it is masked: codes that an upcaster looks
    up are such data, and only a person can tell them from a name.
    """
    kind.current(data, version)
    value = original = msgspec.json.decode(data, type=JSON)
    if not as_it_is:
        words = {name: original[name] for name in _vocabularies(kind) if name in original}
        value = {name: masked(one) for name, one in original.items()} | words
        try:
            kind.current(msgspec.json.encode(value), version)
        except Exception as error:
            what = f"masked, it cannot be read any more ({error}): write it by hand, or as it is"
            raise Unprojectable(f"{kind.name} version {version}: {what}") from error
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _vocabularies(kind: EventType) -> list[str]:
    """Fields with a vocabulary: their words are the project's, not a person's."""
    found = []
    for field in msgspec.structs.fields(kind.cls):
        schema = msgspec.json.schema(field.type)
        if "enum" in msgspec.json.encode(schema).decode():
            found.append(field.encode_name)
    return found
