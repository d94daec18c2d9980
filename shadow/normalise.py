"""From a capability's compare rules to comparable answers: names, codes, scales and zones are made one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from functools import lru_cache

from shadow.values import ABSENT, NotANumber, Unmapped, as_number, canonical, zone_named
from toolkit.core.columns import Column, ColumnType
from toolkit.core.errors import Fault, ProjectError
from toolkit.settings import CapabilitySection, CompareRule, duration

Row = Mapping[str, object]
RowKey = tuple[object, ...]

_EXACT = Context(prec=2_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """How one column is made comparable: a CompareRule with its texts turned into values."""

    column: str
    legacy: str
    codes: Mapping[str, str] = field(default_factory=dict)
    scale: Decimal | None = None
    tolerance: Decimal | dt.timedelta | None = None
    collapse: tuple[frozenset[str], ...] = ()
    zone: dt.tzinfo | None = None
    case: bool = True
    ignore: str = ""
    kind: ColumnType | None = None
    vocabulary: frozenset[str] = frozenset()
    """The only words the column holds, from its contract or its code table; empty when it is not coded."""


@lru_cache(maxsize=4_096)
def _plain(name: str) -> ColumnRule:
    return ColumnRule(column=name, legacy=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All rules of one capability.

    `rows` are the columns that identify a record of the answer; empty when the answer is a single record.
    """

    capability: str
    rows: tuple[str, ...] = ()
    columns: Mapping[str, ColumnRule] = field(default_factory=dict)
    sources: Mapping[str, tuple[ColumnRule, ...]] = field(default_factory=dict)
    """legacy column name to the rules that read it"""
    redact: frozenset[str] = frozenset()

    def column(self, name: str) -> ColumnRule:
        """The rule of a column; one that the settings do not mention has the default rule."""
        return self.columns.get(name) or _plain(name)


@dataclass(frozen=True, slots=True)
class Form:
    """An answer in canonical form: records by row key, in no order. Several under one key are duplicates."""

    records: Mapping[RowKey, tuple[Row, ...]]


def compile_rules(name: str, section: CapabilitySection, columns: Sequence[Column] = ()) -> Rules:
    """Turn `[capability.NAME.compare]` into rules. Raises ProjectError with every fault.

    `columns` are those of the capability's projections: their types and vocabularies are taken over for
    columns of the same name in the answer.
    """
    contract = {column.name.lower(): column for column in columns}
    faults: list[Fault] = []
    compiled: dict[str, ColumnRule] = {}
    declared = {column.lower(): rule for column, rule in section.compare.items()}
    for column in {**contract, **declared}:
        where = f"capability.{name}.compare.{column}"
        compiled[column] = _column(
            column, declared.get(column, CompareRule()), contract.get(column), where, faults
        )
    if faults:
        raise ProjectError(faults)
    sources: dict[str, tuple[ColumnRule, ...]] = {}
    for rule in compiled.values():
        sources[rule.legacy] = (*sources.get(rule.legacy, ()), rule)
    redact = {column.lower() for column in section.redact}
    redact |= {rule.column for rule in compiled.values() if rule.legacy in redact}
    return Rules(
        capability=name,
        rows=tuple(column.lower() for column in section.rows),
        columns=compiled,
        sources=sources,
        redact=frozenset(redact),
    )


def _column(
    column: str, rule: CompareRule, contract: Column | None, where: str, faults: list[Fault]
) -> ColumnRule:
    zone = None
    if rule.zone:
        try:
            zone = zone_named(rule.zone)
        except ValueError as error:
            faults.append(Fault(where=f"{where}.zone", what=str(error)))
    words = set(rule.map.values()).union(
        *rule.collapse, rule.vocabulary, contract.vocabulary if contract else ()
    )
    return ColumnRule(
        column=column,
        legacy=(rule.legacy or column).lower(),
        codes={code.rstrip(" "): word for code, word in rule.map.items()},
        scale=Decimal(rule.scale) if rule.scale else None,
        tolerance=_tolerance(rule.tolerance),
        collapse=tuple(frozenset(group) for group in rule.collapse),
        zone=zone,
        case=rule.case,
        ignore=rule.ignore,
        kind=contract.type if contract else None,
        vocabulary=frozenset(words),
    )


def _tolerance(text: str) -> Decimal | dt.timedelta | None:
    if not text:
        return None
    try:
        return duration(text)
    except ValueError:
        return Decimal(text)


def legacy_form(rows: Iterable[Row], rules: Rules) -> Form:
    """A legacy answer in canonical form, under the projection's column names and words."""
    return _form((_legacy_row(row, rules) for row in rows), rules)


def projection_form(rows: Iterable[Row], rules: Rules) -> Form:
    """A projection answer in canonical form. A canonical answer stays what it is."""
    return _form((_projection_row(row, rules) for row in rows), rules)


def _legacy_row(row: Row, rules: Rules) -> dict[str, object]:
    made: dict[str, object] = {}
    for name, value in row.items():
        source = name.lower()
        for rule in rules.sources.get(source) or _unclaimed(source, rules):
            if not rule.ignore:
                made[rule.column] = _legacy_value(value, rule)
    return made


def _unclaimed(source: str, rules: Rules) -> tuple[ColumnRule, ...]:
    """The rule of a legacy column that no rule reads; none when its name was given to another column."""
    return () if source in rules.columns else (rules.column(source),)


def _legacy_value(value: object, rule: ColumnRule) -> object:
    if rule.codes:
        return _decoded(canonical(value), rule)
    if rule.scale is not None and value is not None:
        number = as_number(canonical(value))
        if number is None:
            return NotANumber(str(value).rstrip(" "))
        return _EXACT.multiply(Decimal(number), rule.scale)
    return canonical(value, rule.kind, rule.zone)


def _decoded(value: object, rule: ColumnRule) -> object:
    """The word for a code. NULL stays NULL unless the map has a word for the empty code."""
    if value is None:
        return rule.codes.get("")
    code = str(int(value)) if isinstance(value, bool) else str(value)
    return rule.codes.get(code, Unmapped(code))


def _projection_row(row: Row, rules: Rules) -> dict[str, object]:
    made: dict[str, object] = {}
    for name, value in row.items():
        rule = rules.column(name.lower())
        if not rule.ignore:
            made[rule.column] = _projection_value(value, rule)
    return made


def _projection_value(value: object, rule: ColumnRule) -> object:
    if rule.codes and value is not None:
        # Both sides of a code table are words: true and 1 are spelled as the map spells them.
        return str(value).lower() if isinstance(value, bool) else str(value).rstrip(" ")
    if rule.scale is not None and isinstance(value, str):
        number = as_number(value)
        return canonical(value) if number is None else number
    # What the toolkit stores without a zone is in UTC, always.
    in_utc = rule.zone is not None or rule.kind is ColumnType.INSTANT
    return canonical(value, rule.kind, dt.UTC if in_utc else None)


def _form(rows: Iterable[dict[str, object]], rules: Rules) -> Form:
    records: dict[RowKey, tuple[Row, ...]] = {}
    for row in rows:
        key = tuple(_identity(row.get(column, ABSENT), rules.column(column)) for column in rules.rows)
        same = records.get(key)
        records[key] = (row,) if same is None else tuple(sorted((*same, row), key=_order))
    return Form(records)


def _identity(value: object, rule: ColumnRule) -> object:
    if isinstance(value, dict | list):
        return repr(value)
    return value.casefold() if isinstance(value, str) and not rule.case else value


def _order(row: Row) -> str:
    return repr(sorted((name, _comparable(value)) for name, value in row.items()))


def _comparable(value: object) -> str:
    number = as_number(value) if isinstance(value, bool | int | Decimal) else None
    return repr(value) if number is None else repr(Decimal(number).normalize(_EXACT))
