"""What is incomplete about how events changed: versions without a path, meanings that nobody gives, reads or describes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from toolkit.core.errors import Fault
from toolkit.core.events import Catalogue, EventType
from toolkit.core.handlers import Handler
from toolkit.core.meanings import reachable, read_as, two_ways, ways
from toolkit.core.projections import Definition


def meaning_faults(catalogue: Catalogue, definition: Definition) -> list[Fault]:
    """Meanings that a projection's handlers name and that cannot be: the project does not load with them."""
    faults = []
    for name, handler in definition.handlers.items():
        kind = catalogue.types.get(name)
        if kind is None:
            continue
        where = f"projection {definition.identity}.{handler.function.__name__}"
        named = {*handler.meanings, *handler.passes_over}
        unknown = sorted(one for one in named if not 1 <= one <= kind.meaning)
        if unknown or not handler.meanings:
            what = f"names meaning {unknown or 'none'} of {name}, whose meanings are 1 to {kind.meaning}"
            faults.append(Fault(where=where, what=what))
        if both := sorted({*handler.meanings} & {*handler.passes_over}):
            faults.append(Fault(where=where, what=f"reads meaning {both} of {name}, and passes over it"))
    return faults


def unfinished(catalogue: Catalogue, definitions: Iterable[Definition]) -> list[Fault]:
    """Everything that is incomplete: it loads, and would park events or stop a rebuild one day."""
    versions = list(definitions)
    found: list[Fault] = []
    for kind in catalogue.types.values():
        found.extend(_steps(kind))
        found.extend(_described(kind))
        found.extend(_nobody_reads(kind, versions))
    for definition in versions:
        for name, handler in definition.handlers.items():
            if name in catalogue.types:
                found.extend(_of_handler(definition, handler, catalogue.types[name]))
    return found


def _steps(kind: EventType) -> Iterator[Fault]:
    """Every version below the current one has a step to the next."""
    where = f"event {kind.name}"
    for version in range(1, kind.version):
        if version not in kind.upcasters:
            yield Fault(
                where=where,
                what=f"no upcaster from version {version} to {version + 1}: its older events cannot be read",
                next=f"declare one with @context.upcast({kind.name}, from_version={version})",
            )
    for version in sorted(kind.upcasters):
        if not 1 <= version < kind.version:
            what = f"an upcaster from version {version}, but the current version is {kind.version}"
            yield Fault(where=where, what=what, next=f"raise version= to {version + 1}, or remove it")


def _described(kind: EventType) -> Iterator[Fault]:
    where = f"event {kind.name}"
    for number in range(1, kind.meaning):
        if number not in kind.formerly:
            yield Fault(
                where=where,
                what=f"nobody says what its events of meaning {number} mean",
                next=f"context.formerly({kind.name}, meaning={number}, means=...)",
            )
    for number in sorted({one for pair in kind.maps for one in pair} - kind.meanings.keys()):
        yield Fault(where=where, what=f"a mapping names meaning {number}, which is not described")


def _nobody_reads(kind: EventType, versions: list[Definition]) -> Iterator[Fault]:
    """A meaning that is given, of a type that is read, and in which nobody reads it."""
    handlers = [one.handlers[kind.name] for one in versions if kind.name in one.handlers]
    for number in kind.given if handlers else ():
        if all(read_as(kind, one, number) is None for one in handlers):
            yield Fault(
                where=f"event {kind.name}",
                what=f"meaning {number} is given, and no projection reads it",
                next="let a version read it before translators give it, or give it no more",
            )


def _of_handler(definition: Definition, handler: Handler, kind: EventType) -> Iterator[Fault]:
    where = f"projection {definition.identity}.{handler.function.__name__}"
    gets = [number for number in kind.given if read_as(kind, handler, number) is not None]
    for number in kind.meanings:
        found = [] if number in handler.passes_over else ways(kind, handler, number)
        then = "its events are parked" if number in kind.given else "a rebuild stops at the first of them"
        if len(found) > 1:
            what, _, advice = two_ways(kind, found).partition(": ")
            yield Fault(where=where, what=f"{what}: {then}", next=advice)
        elif not found and number not in handler.passes_over:
            far = ", ".join(map(str, reachable(kind, number)))
            yield Fault(
                where=where,
                what=f"does not read {kind.name} in meaning {number}: {then}",
                next=f"read it in a new version (meaning={number}), map it"
                + (f" on (mappings lead to {far} and no further)" if far else "")
                + ", or pass over it; remove the class when this version runs no more",
            )
    if not gets:
        reads = " and ".join(map(str, handler.meanings))
        yield Fault(
            where=where,
            what=f"reads {kind.name} in meaning {reads}, which nobody gives any more: it learns nothing new",
            next=f"given is meaning {' and '.join(map(str, kind.given))}",
        )
    elif len(gets) > 1:
        yield Fault(
            where=where,
            what=f"gets {kind.name} in the meanings {' and '.join(map(str, gets))}, which are given side by side: each "
            "fact comes twice",
            next="read one, and pass over the other",
        )
