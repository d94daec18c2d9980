"""What changed in the contracts of projections: columns, vocabularies, nullability, keys, and what is read."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.core.compatibility import BACKWARD, FORWARD, FULL, NONE, Change, Grade
from toolkit.core.contracts import ColumnContract, Contracts, ProjectionContract

_NEW_VERSION = "leave this version as it is, and declare a new one beside it"


def changes_of_projections(old: Contracts, new: Contracts) -> list[Change]:
    """Each version with itself; and the newest that there was with the newest that there is, as readers will see it."""
    found: list[Change] = []
    for name in sorted({*old.projections, *new.projections}):
        before, after = old.projections.get(name, {}), new.projections.get(name, {})
        if not before:
            found.append(Change(where=f"projection {name}", what="is new", grade=Grade.ADDITIVE))
            continue
        if not after:
            what = "is gone: its readers find nothing"
            found.append(
                Change(
                    where=f"projection {name}",
                    what=what,
                    grade=Grade.BREAKING,
                    compatible=NONE,
                    next="keep it until no capability names it",
                )
            )
            continue
        for version in sorted(before.keys() & after.keys(), key=int):
            found.extend(
                _of_version(f"projection {name} v{version}", before[version], after[version], new, old)
            )
        last, newest = max(before, key=int), max(after, key=int)
        if int(newest) > int(last):
            found.append(
                Change(
                    where=f"projection {name}", what=f"version {newest} beside {last}", grade=Grade.ADDITIVE
                )
            )
            found.extend(_of_readers(f"projection {name} v{newest}", before[last], after[newest], newest))
    return found


def _of_version(
    where: str, old: ProjectionContract, new: ProjectionContract, to: Contracts, since: Contracts
) -> Iterator[Change]:
    """One version: rows that were built by it before are not what the new code would build."""
    yield from _columns(where, old, new)
    if old.context != new.context:
        yield Change(
            where=where,
            what=f"moved to {new.context}",
            grade=Grade.MEANING,
            next="its words belong to a context",
        )
    for index in new.indexes:
        if index not in old.indexes:
            yield Change(where=where, what=f"an index on {', '.join(index)}", grade=Grade.ADDITIVE)
    yield from _reads(where, old, new, to, since)


def _reads(
    where: str, old: ProjectionContract, new: ProjectionContract, to: Contracts, since: Contracts
) -> Iterator[Change]:
    for name in sorted({*old.reads, *new.reads}):
        before, after = old.reads.get(name), new.reads.get(name)
        if before == after:
            continue
        if before is None:
            fresh = name in to.events and name not in since.events
            yield Change(
                where=where,
                what=f"reads {name}, too" + ("" if fresh else ": its rows lack what came before"),
                grade=Grade.ADDITIVE if fresh else Grade.BREAKING,
                next="" if fresh else _NEW_VERSION,
            )
        elif after is None:
            yield Change(
                where=where,
                what=f"reads {name} no more",
                grade=Grade.BREAKING,
                compatible=NONE,
                next=_NEW_VERSION,
            )
        elif before.meanings != after.meanings or before.passes_over != after.passes_over:
            lost = sorted({*before.meanings} - {*after.meanings})
            yield Change(
                where=where,
                what=f"reads {name} in meaning {_numbers(after.meanings)}, read it in {_numbers(before.meanings)}",
                grade=Grade.MEANING if lost or before.passes_over != after.passes_over else Grade.ADDITIVE,
                covered="" if lost else "it reads what it read",
                next=_NEW_VERSION if lost else "",
            )
        else:
            yield Change(
                where=where,
                what=f"makes other rows of {name}",
                grade=Grade.BREAKING,
                compatible=NONE,
                next=_NEW_VERSION,
            )


def _numbers(some: list[int]) -> str:
    return " and ".join(map(str, some))


def _of_readers(
    where: str, old: ProjectionContract, new: ProjectionContract, version: str
) -> Iterator[Change]:
    """What readers of the view will see once the new version serves; they are asked, so it is covered."""
    for one in _columns(where, old, new):
        covered = f"version {version}: shadow run and switch ask the readers"
        yield Change(
            where=one.where, what=one.what, grade=one.grade, compatible=one.compatible, covered=covered
        )


def _columns(where: str, old: ProjectionContract, new: ProjectionContract) -> Iterator[Change]:
    if old.key != new.key:
        what = f"its key is {', '.join(new.key)}, was {', '.join(old.key)}"
        yield Change(where=where, what=what, grade=Grade.BREAKING, compatible=NONE, next=_NEW_VERSION)
    for name in [*old.columns, *(one for one in new.columns if one not in old.columns)]:
        before, after = old.columns.get(name), new.columns.get(name)
        place = f"{where}.{name}"
        if before is None:
            what = "is new: rows that are built already lack it"
            yield Change(where=place, what=what, grade=Grade.BREAKING, compatible=FULL, next=_NEW_VERSION)
        elif after is None:
            yield Change(
                where=place, what="is gone", grade=Grade.BREAKING, compatible=NONE, next=_NEW_VERSION
            )
        else:
            yield from _column(place, before, after)


def _column(where: str, old: ColumnContract, new: ColumnContract) -> Iterator[Change]:
    if old.type != new.type:
        what = f"is {new.type}, was {old.type}"
        yield Change(where=where, what=what, grade=Grade.BREAKING, compatible=NONE, next=_NEW_VERSION)
    if old.nullable != new.nullable:
        what = "may be empty now" if new.nullable else "may not be empty any more"
        compatible = BACKWARD if new.nullable else FORWARD
        yield Change(where=where, what=what, grade=Grade.BREAKING, compatible=compatible, next=_NEW_VERSION)
    if sorted(old.vocabulary) != sorted(new.vocabulary):
        gone = sorted({*old.vocabulary} - {*new.vocabulary})
        added = sorted({*new.vocabulary} - {*old.vocabulary})
        said = [f"says {', '.join(added)}, too"] if added else []
        said += [f"says {', '.join(gone)} no more"] if gone else []
        yield Change(where=where, what="; ".join(said), grade=Grade.MEANING, next=_NEW_VERSION)
