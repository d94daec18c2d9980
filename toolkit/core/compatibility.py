"""What changed between two catalogues, and how much: documentation, additive, breaking, or meaning.

`compatible` says who can read whom, in the words of schema registries. *backward*: today's code reads yesterday's
events; *forward*: yesterday's code reads today's. A projection is rebuilt from all history, so each change of shape that
is less than full needs a new version with an upcaster, and each change of meaning that the shape hides a new meaning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from toolkit.core.contracts import Contracts, EventContract, FieldContract


class Grade(StrEnum):
    """How much a change asks of those who read."""

    DOCUMENTATION = "documentation"
    ADDITIVE = "additive"
    BREAKING = "breaking"
    MEANING = "meaning"


FULL, BACKWARD, FORWARD, NONE = "full", "backward", "forward", "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference. `covered` says what makes it safe; where nothing does, `next` says what would."""

    where: str
    what: str
    grade: Grade
    compatible: str = FULL
    covered: str = ""
    next: str = ""

    @property
    def safe(self) -> bool:
        """Does it ask for nothing more?"""
        return bool(self.covered) or self.grade in (Grade.DOCUMENTATION, Grade.ADDITIVE)


_ANNOTATIONS = frozenset(("title", "description", "examples", "deprecated", "$comment"))
"""Keywords of JSON Schema that only tell."""
_SHAPE = frozenset(
    [
        "type",
        "format",
        "anyOf",
        "items",
        "prefixItems",
        "properties",
        "required",
        "additionalProperties",
        "propertyNames",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "contentEncoding",
        "discriminator",
        "oneOf",
        "$ref",
    ]
)
_WORDS = frozenset(("enum", "const"))


def changes_of_events(old: Contracts, new: Contracts, same_meaning: Collection[str] = ()) -> list[Change]:
    """What changed in the events. `same_meaning`: types whose new words say what the old ones meant, as somebody answers."""
    found: list[Change] = []
    for name in sorted({*old.events, *new.events}):
        before, after = old.events.get(name), new.events.get(name)
        where = f"event {name}"
        if before is None:
            found.append(Change(where=where, what="is new", grade=Grade.ADDITIVE))
        elif after is None:
            found.append(
                Change(
                    where=where,
                    what="is gone",
                    grade=Grade.BREAKING,
                    compatible=NONE,
                    next="keep it in the catalogue as long as the archive may hold one: a rebuild stops at unknown types",
                )
            )
        elif before != after:
            found.extend(_Event(name, before, after, name in same_meaning).changes())
    return found


class _Event:
    """Compares one event type with what it was."""

    def __init__(self, name: str, old: EventContract, new: EventContract, same_meaning: bool) -> None:
        self._where, self._old, self._new, self._same = f"event {name}", old, new, same_meaning
        steps = range(old.version, new.version)
        self._missing = [step for step in steps if step not in new.upcasters]
        self._raised = new.version > old.version
        self._meant = new.meaning > old.meaning

    def changes(self) -> Iterator[Change]:
        """Every difference."""
        yield from self._numbers()
        yield from self._paths()
        for name in [*self._old.fields, *(one for one in self._new.fields if one not in self._old.fields)]:
            yield from self._field(name, self._old.fields.get(name), self._new.fields.get(name))
        yield from self._meanings()
        if self._old.context != self._new.context:
            yield self._meaning("context", f"belongs to {self._new.context}, not to {self._old.context}")
        if self._old.subject != self._new.subject:
            old, new = ", ".join(self._old.subject), ", ".join(self._new.subject)
            yield Change(
                where=self._where,
                what=f"its subject is {new}, not {old}: another partition, and no order with the events from before",
                grade=Grade.BREAKING,
                compatible=NONE,
                next="declare another event type",
            )

    def _numbers(self) -> Iterator[Change]:
        for what, before, after in (
            ("version", self._old.version, self._new.version),
            ("meaning", self._old.meaning, self._new.meaning),
        ):
            if after < before:
                yield Change(
                    where=self._where,
                    what=f"{what} {before} became {after}: events of {what} {before} are in the archive",
                    grade=Grade.BREAKING,
                    compatible=NONE,
                    next=f"a {what} only rises",
                )
        if self._raised:
            gap = ", ".join(f"{one} to {one + 1}" for one in self._missing)
            yield Change(
                where=self._where,
                what=f"version {self._old.version} became {self._new.version}",
                grade=Grade.BREAKING,
                compatible=NONE if gap else BACKWARD,
                covered="" if gap else "upcasters lead there",
                next=f"an upcaster from version {gap}" if gap else "",
            )
        if self._meant:
            known = str(self._old.meaning) in self._new.meanings
            yield Change(
                where=self._where,
                what=f"meaning {self._old.meaning} became {self._new.meaning}",
                grade=Grade.MEANING,
                covered=f"meaning {self._old.meaning} stays described" if known else "",
                next="" if known else f"context.formerly(..., meaning={self._old.meaning}, means=...)",
            )

    def _paths(self) -> Iterator[Change]:
        """What led from old events to new code, and leads no more."""
        for step in self._old.upcasters:
            if step not in self._new.upcasters:
                what = f"the upcaster from version {step} is gone: the archive may hold such events"
                yield Change(
                    where=self._where, what=what, grade=Grade.BREAKING, compatible=FORWARD, next="keep it"
                )
        for pair in self._old.maps:
            if pair not in self._new.maps:
                what = f"the mapping of meaning {pair} is gone: who read by it parks"
                yield Change(
                    where=self._where, what=what, grade=Grade.BREAKING, compatible=FORWARD, next="keep it"
                )
        for pair in self._new.maps:
            if pair not in self._old.maps:
                yield Change(where=self._where, what=f"a mapping of meaning {pair}", grade=Grade.ADDITIVE)

    def _field(self, name: str, old: FieldContract | None, new: FieldContract | None) -> Iterator[Change]:
        if old is None and new is not None:
            if new.required:
                yield self._shape(name, "is new, and required", FORWARD)
            else:
                yield Change(
                    where=f"{self._where}.{name}",
                    what=f"is new, {new.default} without it",
                    grade=Grade.ADDITIVE,
                )
        elif new is None:
            yield self._shape(name, "is gone: who reads it finds nothing", BACKWARD)
        elif old is not None and old != new:
            yield from self._changed(name, old, new)

    def _changed(self, name: str, old: FieldContract, new: FieldContract) -> Iterator[Change]:
        if old.required and not new.required:
            yield self._shape(name, "need not be there any more", BACKWARD)
        elif new.required and not old.required:
            yield self._shape(name, "has to be there now", FORWARD)
        elif old.default != new.default:
            yield self._meaning(name, f"without it, {new.default} is meant, no longer {old.default}")
        yield from self._schema(name, old.schema, new.schema)

    def _schema(self, name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
        old, new = _flat(old), _flat(new)
        for keyword in sorted({*old, *new}):
            before, after = old.get(keyword), new.get(keyword)
            if before == after:
                continue
            last = keyword.rpartition("/")[2]
            if last in _ANNOTATIONS:
                yield Change(
                    where=f"{self._where}.{name}", what=f"{last} is another", grade=Grade.DOCUMENTATION
                )
            elif last in _WORDS and isinstance(before, list) and isinstance(after, list):
                yield from self._vocabulary(name, before, after)
            elif last in _SHAPE | _WORDS:
                yield self._shape(
                    name, f"{keyword} was {_told(before)}, is {_told(after)}", _width(before, after)
                )
            else:
                yield self._meaning(name, f"{keyword} was {_told(before)}, is {_told(after)}")

    def _vocabulary(self, name: str, old: list[object], new: list[object]) -> Iterator[Change]:
        gone, added = [one for one in old if one not in new], [one for one in new if one not in old]
        if gone:
            yield self._shape(name, f"no longer says {_told(gone)}, and old events do", FORWARD)
        if added:
            yield self._meaning(
                name, f"says {_told(added)}, too, and nobody who reads it knows that word", BACKWARD
            )

    def _meanings(self) -> Iterator[Change]:
        for number, before in self._old.meanings.items():
            after = self._new.meanings.get(number)
            if after is None:
                if int(number) < self._new.meaning and not self._meant:
                    what = f"meaning {number} is no longer described: old events have it"
                    yield Change(
                        where=self._where, what=what, grade=Grade.BREAKING, next="keep context.formerly"
                    )
                continue
            current = int(number) == self._new.meaning
            if _words(before.means) != _words(after.means):
                yield self._said(number, f"means {after.means!r}, meant {before.means!r}", current)
            elif before.means != after.means:
                yield self._documentation(f"meaning {number} is spelled otherwise")
            gone = [one for one in before.not_implied if one not in after.not_implied]
            if gone:
                yield self._said(number, f"no longer says that it does not imply: {'; '.join(gone)}", current)
            if more := [one for one in after.not_implied if one not in before.not_implied]:
                yield self._documentation(f"says that it does not imply: {'; '.join(more)}")
            if before.given and not after.given:
                what = f"meaning {number} is given no more: who reads only that learns nothing new"
                covered = "nothing else to be done in the catalogue; `strangler check` names who reads it"
                yield Change(where=self._where, what=what, grade=Grade.MEANING, covered=covered)
            if after.given and not before.given:
                yield Change(where=self._where, what=f"meaning {number} is given again", grade=Grade.ADDITIVE)

    # --- grades

    def _shape(self, name: str, what: str, compatible: str) -> Change:
        covered = f"version {self._new.version}" if self._raised and not self._missing else ""
        return Change(
            where=f"{self._where}.{name}",
            what=what,
            grade=Grade.BREAKING,
            compatible=compatible,
            covered=covered,
            next=""
            if covered
            else f"raise version= to {self._old.version + 1}, with an upcaster from {self._old.version}",
        )

    def _meaning(self, name: str, what: str, compatible: str = FULL) -> Change:
        covered = ""
        if self._meant:
            covered = f"meaning {self._new.meaning}"
        elif self._raised and not self._missing:
            covered = f"version {self._new.version}"
        where = f"{self._where}.{name}" if name in {*self._old.fields, *self._new.fields} else self._where
        return Change(
            where=where,
            what=what,
            grade=Grade.MEANING,
            compatible=compatible,
            covered=covered,
            next=""
            if covered
            else f"raise meaning= to {self._old.meaning + 1}, and say with context.formerly what "
            f"{self._old.meaning} meant",
        )

    def _said(self, number: str, what: str, current: bool) -> Change:
        """Other words for a meaning: another meaning, unless somebody answers that it is the same."""
        name = self._where.removeprefix("event ")
        if self._same:
            return self._documentation(f"{what} (the same, as --same-meaning {name} says)")
        if current:
            one = self._meaning("", what)
            said = f"{one.next}; if only the words are better, say --same-meaning {name}"
            return one if one.covered else Change(where=one.where, what=what, grade=one.grade, next=said)
        next_ = f"what it meant is past: take the words back, or say --same-meaning {name}"
        return Change(where=self._where, what=f"meaning {number}: {what}", grade=Grade.MEANING, next=next_)

    def _documentation(self, what: str) -> Change:
        return Change(where=self._where, what=what, grade=Grade.DOCUMENTATION)


def _flat(schema: Any, path: str = "") -> dict[str, Any]:
    """A schema by the paths of its keywords; a choice of one type and null is that type, and may be null."""
    if not isinstance(schema, dict):
        return {path: schema}
    choice = schema.get("anyOf")
    if isinstance(choice, list) and {"type": "null"} in choice:
        others = [one for one in choice if one != {"type": "null"}]
        if len(others) == 1 and isinstance(others[0], dict):
            rest = {key: value for key, value in schema.items() if key != "anyOf"}
            schema = {**others[0], **rest, "type": _or_null(others[0].get("type", "any"))}
    found: dict[str, Any] = {}
    for key, value in schema.items():
        name = f"{path}/{key}" if path else key
        if (key in ("properties", "items") and isinstance(value, dict)) or (
            isinstance(value, dict) and path.rpartition("/")[2] == "properties"
        ):
            found |= _flat(value, name)
        elif key == "enum" and isinstance(value, list):
            found[name] = [one for one in value if one is not None]
            if None in value:
                found[f"{path}/type" if path else "type"] = _or_null("word")
        else:
            found[name] = value
    return found


def _or_null(kind: object) -> list[object]:
    return sorted([*(kind if isinstance(kind, list) else [kind]), "null"], key=str)


def _width(before: object, after: object) -> str:
    """Who reads whom when a type becomes wider, or narrower."""
    old, new = (
        set(one) if isinstance(one, list) and all(isinstance(x, str) for x in one) else {str(one)}
        for one in (before, after)
    )
    if old < new:
        return BACKWARD
    return FORWARD if new < old else NONE


def _told(value: object) -> str:
    if value is None:
        return "nothing"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _words(text: str) -> str:
    """What is left of a sentence when only its spelling changes."""
    return re.sub(r"\W+", " ", text).strip().lower()
