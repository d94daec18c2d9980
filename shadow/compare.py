"""Compare(old, new), in that order whatever the stage: canonical equality first, an explanation only if it fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from shadow.normalise import Form, Row, RowKey, Rules, legacy_form, projection_form
from shadow.values import ABSENT, NotANumber, Unmapped
from shadow.weaker import excused

if TYPE_CHECKING:
    from deepdiff.model import DiffLevel

RECORD = "(record)"
"""The path of a difference that is about a record as a whole."""


class Flaw(StrEnum):
    """What is wrong where it is not simply two values that differ."""

    MISSING = "missing"
    EXTRA = "extra"
    DUPLICATE = "duplicate"
    UNMAPPED = "unmapped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where the answers differ. `path` has no indices, so that it is the same for every record.

    `excuse` names the declared rule (tolerance, case, collapse) under which the values count as one.
    """

    path: str
    legacy: object
    projection: object
    row: RowKey = ()
    flaw: Flaw | None = None
    excuse: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What comparing found. `excused` differences are told, and do not count."""

    differences: tuple[Difference, ...] = ()
    excused: tuple[Difference, ...] = ()

    @property
    def equal(self) -> bool:
        """Do the answers say the same under the declared rules?"""
        return not self.differences


SAME = Comparison()


def compare(legacy_rows: Iterable[Row], projection_rows: Iterable[Row], rules: Rules) -> Comparison:
    """Compare a legacy answer with a projection answer, record by record, aligned by the row key."""
    return compare_forms(legacy_form(legacy_rows, rules), projection_form(projection_rows, rules), rules)


def compare_forms(legacy: Form, projection: Form, rules: Rules) -> Comparison:
    """Compare two answers that are canonical already."""
    if legacy.records == projection.records:
        return SAME
    found = list(_differences(legacy, projection, rules))
    return Comparison(
        differences=tuple(one for one in found if not one.excuse),
        excused=tuple(one for one in found if one.excuse),
    )


def _differences(legacy: Form, projection: Form, rules: Rules) -> Iterator[Difference]:
    for key in dict.fromkeys((*legacy.records, *projection.records)):
        old, new = legacy.records.get(key, ()), projection.records.get(key, ())
        if old == new:
            continue
        if len(old) > 1 or len(new) > 1:
            yield Difference(
                path=RECORD, legacy=list(old), projection=list(new), row=key, flaw=Flaw.DUPLICATE
            )
        elif not new:
            yield Difference(path=RECORD, legacy=old[0], projection=ABSENT, row=key, flaw=Flaw.MISSING)
        elif not old:
            yield Difference(path=RECORD, legacy=ABSENT, projection=new[0], row=key, flaw=Flaw.EXTRA)
        else:
            yield from _columns(old[0], new[0], key, rules)


def _columns(old: Row, new: Row, key: RowKey, rules: Rules) -> Iterator[Difference]:
    for column in dict.fromkeys((*old, *new)):
        one, other = old.get(column, ABSENT), new.get(column, ABSENT)
        if one == other:
            continue
        rule = rules.column(column)
        for path, was, becomes in _leaves(column, one, other):
            flaw = Flaw.UNMAPPED if isinstance(was, Unmapped | NotANumber) else None
            yield Difference(
                path=path,
                legacy=was,
                projection=becomes,
                row=key,
                flaw=flaw,
                excuse="" if flaw else excused(was, becomes, rule) or "",
            )


Leaf = tuple[str, object, object]


def _leaves(column: str, old: object, new: object) -> list[Leaf]:
    """Where inside a column the values differ: DeepDiff looks into structures, a plain value is its own place.

    DeepDiff's notion of equal is looser than ours in places: what tier one told apart is never lost here.
    """
    if not (isinstance(old, dict | list) and isinstance(new, dict | list)):
        return [(column, old, new)]
    from deepdiff import DeepDiff  # takes a tenth of a command's start, and most commands never need it

    tree = DeepDiff(old, new, view="tree")
    found = [_leaf(column, level) for levels in tree.values() for level in levels]
    return [leaf for leaf in found if leaf[1] != leaf[2]] or [(column, old, new)]


def _leaf(column: str, level: DiffLevel) -> Leaf:
    from deepdiff.helper import NotPresent

    def side(value: object) -> object:
        return ABSENT if isinstance(value, NotPresent) or value is NotPresent else value

    steps = level.path(output_format="list")
    path = column + "".join("[]" if isinstance(step, int) else f".{step}" for step in steps)
    return path, side(level.t1), side(level.t2)
