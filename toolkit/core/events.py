"""Domain events: what they are called, what they mean, and how old forms become the current one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, dataclass_transform

import msgspec

from toolkit.core.errors import Fault, ProjectError, Unprojectable
from toolkit.core.subjects import Columns, simplest, subject_text

Upcaster = Callable[[dict[str, object]], dict[str, object]]
"""Pure: the data of version n in, the data of version n + 1 out; unknown keys are kept."""
Mapper = Callable[[Any], Any]
"""Pure and total: an event that means one thing in, the same event as it would be said in another meaning out."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of a domain event's data: a fact in the past tense, in the business's words."""


class InMeaning(Event, frozen=True):
    """What a translator yields to say a fact in a former meaning of its type, while both are given side by side."""

    event: Event
    meaning: int


E_ = TypeVar("E_", bound=type[Event])


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What an event type means, or meant. `given`: translators may yield it."""

    means: str
    not_implied: tuple[str, ...] = ()
    given: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MeaningMap:
    """How an event of one meaning is said in another, and what is lost by it."""

    function: Mapper
    loses: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """What the catalogue knows of one event type.

    `version` is the schema's; `meaning` changes when the same shape comes to mean another thing. `formerly` are the
    meanings that its older events have; `maps` leads from one meaning to another, by (from, to).
    `subject` names the field, or fields, that hold the aggregate id, which is also the partition key.
    """

    name: str
    context: str
    cls: type[Event]
    subject: Columns
    version: int
    meaning: int
    means: str
    not_implied: tuple[str, ...]
    upcasters: Mapping[int, Upcaster] = field(default_factory=dict)
    shapes: Mapping[int, type[msgspec.Struct]] = field(default_factory=dict)
    formerly: Mapping[int, Meaning] = field(default_factory=dict)
    maps: Mapping[tuple[int, int], MeaningMap] = field(default_factory=dict)
    decode: Callable[[bytes], Event] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the decoder once: it is called for every event."""
        object.__setattr__(self, "decode", msgspec.json.Decoder(self.cls).decode)

    @property
    def meanings(self) -> dict[int, Meaning]:
        """Every meaning that is described, the current one included, by number."""
        now = Meaning(means=self.means, not_implied=self.not_implied, given=True)
        return {**dict(sorted(self.formerly.items())), self.meaning: now}

    @property
    def given(self) -> tuple[int, ...]:
        """The meanings that translators may yield."""
        return tuple(number for number, one in self.meanings.items() if one.given)

    def subject_of(self, event: Event) -> str:
        """The subject that an event speaks of, as the changes of its aggregate spell it."""
        if isinstance(self.subject, str):
            return str(getattr(event, self.subject))
        values = [getattr(event, name) for name in self.subject]
        return subject_text(["" if value is None else str(value) for value in values])

    def current(self, data: bytes, version: int) -> Event:
        """Decode data written in `version` as the current class, through every upcaster between.

        Unknown fields are tolerated. Raises Unprojectable when the version is newer than this code,
        when an upcaster is missing, or when the data does not fit the class.
        """
        if version > self.version:
            raise Unprojectable(
                f"{self.name} version {version} is newer than this project's version {self.version}: deploy first"
            )
        if version < 1:
            raise Unprojectable(f"{self.name} version {version}: versions begin with 1")
        try:
            if version == self.version:
                return self.decode(data)
            return msgspec.convert(
                self._upcast(msgspec.json.decode(data), version), type=self.cls, strict=False
            )
        except msgspec.MsgspecError as error:
            raise Unprojectable(f"{self.name} version {version}: {error}") from error

    def _upcast(self, data: dict[str, object], version: int) -> dict[str, object]:
        for step in range(version, self.version):
            upcast = self.upcasters.get(step)
            if upcast is None:
                raise Unprojectable(
                    f"{self.name}: no upcaster from version {step} to {step + 1}: "
                    f"declare one with @context.upcast({self.name}, from_version={step})"
                )
            data = upcast(data)
        return data


class Context:
    """A bounded context and the events it owns. A project makes one per context and declares on it.

    `not_implied` is for the conclusions that readers draw and must not.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._types: dict[str, EventType] = {}
        self._upcasters: dict[str, dict[int, Upcaster]] = {}
        self._shapes: dict[str, dict[int, type[msgspec.Struct]]] = {}
        self._formerly: dict[str, dict[int, Meaning]] = {}
        self._maps: dict[str, dict[tuple[int, int], MeaningMap]] = {}

    def event(
        self,
        *,
        subject: str | Sequence[str],
        means: str,
        not_implied: Sequence[str] = (),
        version: int = 1,
        meaning: int = 1,
    ) -> Callable[[E_], E_]:
        """Declare the decorated class as an event type of this context.

        `subject` is its field with the aggregate id, or the fields of one that several columns hold, in their order.
        """
        named = subject if isinstance(subject, str) else simplest(tuple(subject))

        def declare(cls: E_) -> E_:
            if cls.__name__ in self._types:
                raise ProjectError(
                    [Fault(where=cls.__module__, what=f"event {cls.__name__} is declared twice")]
                )
            self._types[cls.__name__] = EventType(
                name=cls.__name__,
                context=self.name,
                cls=cls,
                subject=named,
                version=version,
                meaning=meaning,
                means=means,
                not_implied=tuple(not_implied),
                upcasters=self._upcasters.setdefault(cls.__name__, {}),
                shapes=self._shapes.setdefault(cls.__name__, {}),
                formerly=self._formerly.setdefault(cls.__name__, {}),
                maps=self._maps.setdefault(cls.__name__, {}),
            )
            return cls

        return declare

    def upcast(
        self, cls: type[Event], *, from_version: int, shape: type[msgspec.Struct] | None = None
    ) -> Callable[[Upcaster], Upcaster]:
        """Declare the decorated function as the step from `from_version` to the next of `cls`.

        `shape` is a struct with the fields of `from_version`: `strangler check` makes data of it and tries the step.
        """

        def declare(upcaster: Upcaster) -> Upcaster:
            known = self._upcasters.setdefault(cls.__name__, {})
            if from_version in known:
                what = f"{cls.__name__} has two upcasters from version {from_version}"
                raise ProjectError([Fault(where=cls.__module__, what=what)])
            known[from_version] = upcaster
            if shape is not None:
                self._shapes.setdefault(cls.__name__, {})[from_version] = shape
            return upcaster

        return declare

    def formerly(
        self,
        cls: type[Event],
        *,
        meaning: int,
        means: str,
        not_implied: Sequence[str] = (),
        given: bool = False,
    ) -> None:
        """Say what events of a former meaning of `cls` mean. `given`: translators still yield it, with `InMeaning`."""
        former = Meaning(means=means, not_implied=tuple(not_implied), given=given)
        known = self._formerly.setdefault(cls.__name__, {})
        now = self._types[cls.__name__].meaning if cls.__name__ in self._types else meaning + 1
        if meaning in known or not 1 <= meaning < now:
            what = f"{cls.__name__}: meaning {meaning} is told twice, or is no former one (the current one is {now})"
            raise ProjectError([Fault(where=cls.__module__, what=what)])
        known[meaning] = former

    def mapping(
        self, cls: type[Event], *, from_meaning: int, to_meaning: int, loses: str
    ) -> Callable[[Mapper], Mapper]:
        """Declare the decorated function as the way to say an event of one meaning in another.

        It takes the event (in its current version) and gives one of the same class. `loses` says what readers cannot
        know any more: a mapping that loses nothing would not be one of meanings.
        """

        def declare(mapper: Mapper) -> Mapper:
            known = self._maps.setdefault(cls.__name__, {})
            if (from_meaning, to_meaning) in known or from_meaning == to_meaning or not loses.strip():
                what = f"{cls.__name__}: the mapping from meaning {from_meaning} to {to_meaning} is told twice, leads nowhere, or does not say what it loses"
                raise ProjectError([Fault(where=cls.__module__, what=what)])
            known[from_meaning, to_meaning] = MeaningMap(function=mapper, loses=loses)
            return mapper

        return declare

    @property
    def types(self) -> tuple[EventType, ...]:
        """The event types declared so far, in order of declaration."""
        return tuple(self._types.values())


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All event types of a project, by name."""

    types: Mapping[str, EventType]

    @staticmethod
    def of(contexts: Sequence[Context]) -> Catalogue:
        """Collect the contexts' event types. Raises ProjectError naming every double name."""
        types: dict[str, EventType] = {}
        faults = []
        for event_type in (found for context in contexts for found in context.types):
            other = types.setdefault(event_type.name, event_type)
            if other is not event_type:
                faults.append(
                    Fault(
                        where=f"event {event_type.name}",
                        what=f"declared in two contexts, {other.context} and {event_type.context}",
                        next="an event belongs to one context: rename one",
                    )
                )
        if faults:
            raise ProjectError(faults)
        return Catalogue(types)

    def of_event(self, event: Event) -> EventType:
        """The type of an event instance."""
        return self.by_name(type(event).__name__)

    def by_name(self, name: str) -> EventType:
        """The type called `name`. Raises Unprojectable when the catalogue does not know it."""
        try:
            return self.types[name]
        except KeyError:
            raise Unprojectable(
                f"event type {name} is not in the catalogue: declare it with @context.event"
            ) from None


_STORAGE_WORD = re.compile(r"(Row|Record|Table|Column|Field|Entity|Db|Database)(?=[A-Z]|$)")
_CRUD_ENDING = re.compile(r"(Inserted|Updated|Deleted|Upserted|Modified|Changed|Created|Removed|Saved)$")


def storage_names(catalogue: Catalogue, tables: Sequence[str]) -> list[Fault]:
    """Find event names that describe storage (`RowUpdated`, `PolmastChanged`) instead of a business fact.

    A CRUD verb is refused after a storage word or a legacy table's name, and alone; after a business
    noun it is allowed (`PaymentMethodChanged` is a fact that a customer would recognise).
    """
    names = {re.sub(r"[^a-z0-9]", "", table.lower()) for table in tables}
    faults = []
    for event_type in catalogue.types.values():
        stem = _CRUD_ENDING.sub("", event_type.name)
        crud = stem != event_type.name
        if _STORAGE_WORD.search(event_type.name) or (crud and (not stem or stem.lower() in names)):
            faults.append(
                Fault(
                    where=f"event {event_type.name}",
                    what="names what happened in storage, not in the business",
                    next="name the fact as the business would say it, e.g. PolicyCancellationScheduled",
                )
            )
    return faults
