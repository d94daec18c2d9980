"""What becomes of each column: a field of events and read models, with its type and how it is read, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from toolkit.starting import names
from toolkit.starting.codes import Codes, codes_of, seems_coded
from toolkit.starting.facts import Column, Kind, Table

_WATERMARK = re.compile(
    r"(^|_)(last_?)?(upd|updated?|modified|mod|changed?|chg|touched)(_?(at|on|ts|dt|date|time|stamp))?$|"
    r"^(last_?(upd|update|updated|modified|change|changed)|lst_upd|mtime|modtime|row_?version)$"
)
_MINOR_UNITS = re.compile(
    r"(^|_)(cents?|pence|minor|amt|amount|prem|premium|price|fee|cost|salary|balance)(_|$)"
)
_SECRET = re.compile(r"(^|_)(password|passwd|pwd|secret|token|api_?key|pin|salt)(_|$)")
_PERSONAL = re.compile(
    r"(^|_)(e?mail|phone|mobile|fax|street|addr|address\d?|first_name|last_name|full_name|surname|birth\w*"
    r"|dob|iban|ssn)(_|$)"
)
MAY_BE_CENTS = "a whole number that may count cents: if so, divide by 100"
_NAMES = re.compile(r"(^|_)(name|nm)(_|$)")
_TYPES = {
    Kind.TEXT: "str",
    Kind.INTEGER: "int",
    Kind.DECIMAL: "Decimal",
    Kind.BOOLEAN: "bool",
    Kind.DATE: "dt.date",
    Kind.INSTANT: "dt.datetime",
    Kind.LOCAL: "dt.datetime",
    Kind.LIST: "list[str]",
}
_READERS = {
    Kind.TEXT: "text",
    Kind.INTEGER: "integer",
    Kind.DECIMAL: "decimal",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.INSTANT: "instant",
    Kind.LOCAL: "instant",
    Kind.LIST: "texts",
}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One column as events carry it. `note` is what a person should know of its values."""

    name: str
    column: Column
    type: str
    reader: str
    optional: bool
    codes: Codes | None = None
    day_number: bool = False
    note: str = ""

    @property
    def hint(self) -> str:
        """The annotation."""
        return f"{self.type} | None" if self.optional else self.type

    @property
    def upper(self) -> str:
        """The column as changes spell it."""
        return self.column.name.upper()


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A column that no event carries, and why."""

    column: str
    why: str
    ask: bool


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A table's columns, sorted out."""

    fields: tuple[Field, ...]
    left_out: tuple[LeftOut, ...]
    watermarks: tuple[str, ...]

    def of(self, column: str) -> Field | None:
        """The field that a column became."""
        return next((one for one in self.fields if one.upper == column.upper()), None)


def shape_of(table: Table, keep: frozenset[str]) -> Shape:
    """Decide about every column; `keep` are columns (upper case) of keys and references: never codes, never left out."""
    fields: list[Field] = []
    left_out: list[LeftOut] = []
    watermarks: list[str] = []
    for column in table.columns:
        upper = column.name.upper()
        if is_watermark(column):
            watermarks.append(column.name)
        why = _why_not(column, upper in keep)
        if why is not None:
            left_out.append(why)
        else:
            name = names.unique(names.field_name(column.name), [one.name for one in fields])
            fields.append(_field(table, column, name, upper in keep))
    return Shape(fields=tuple(fields), left_out=tuple(left_out), watermarks=tuple(watermarks))


def is_watermark(column: Column) -> bool:
    """Does the column say when its row was last written?"""
    dated = column.kind in (Kind.INSTANT, Kind.LOCAL)
    return dated and bool(_WATERMARK.search(names.field_name(column.name)))


def _why_not(column: Column, keep: bool) -> LeftOut | None:
    def out(why: str, ask: bool = True) -> LeftOut:
        return LeftOut(column=column.name, why=why, ask=ask)

    if keep:
        return None
    if is_watermark(column):
        return out("says when the row was written, which no reader of the business asks", ask=False)
    if _SECRET.search(names.field_name(column.name)):
        return out("looks like a secret: no event should carry it")
    if column.kind is Kind.OTHER:
        return out(f"is of type {column.declared}, which has no form in an event yet")
    return None


def _field(table: Table, column: Column, name: str, keep: bool) -> Field:
    codes = None if keep else codes_of(table, column)
    sample = column.sample
    if codes is not None:
        return _coded(column, name, codes)
    if sample is not None and sample.day_numbers and not keep:
        optional = column.nullable or sample.zeros > 0
        reader = "optional_day_number" if optional else "day_number"
        return Field(
            name=name,
            column=column,
            type="dt.date",
            reader=f'{{v}}.{reader}(change, "{_escaped(column)}")',
            optional=optional,
            day_number=True,
            note=_note(column, "numbers such as 20260630 are taken for days"),
        )
    kind = column.kind
    if sample is not None and sample.unreadable and kind in (Kind.DATE, Kind.INSTANT, Kind.LOCAL):
        kind = Kind.TEXT  # what an engine lets stand in such a column does not have to be a date
    kind = Kind.TEXT if kind is Kind.OTHER else kind
    zero_dates = sample is not None and "0000-00-00" in sample.sentinels
    optional = column.nullable or zero_dates
    reader = f"optional_{_READERS[kind]}" if optional else _READERS[kind]
    return Field(
        name=name,
        column=column,
        type=_TYPES[kind],
        reader=f'{{v}}.{reader}(change, "{_escaped(column)}")',
        optional=optional,
        note=_note(column, "" if keep else seems_coded(column)),
    )


def _coded(column: Column, name: str, codes: Codes) -> Field:
    seen = column.sample
    blank = seen is not None and any(not code.strip() for code in seen.counts)
    optional = column.nullable or blank
    which = "truth" if codes.truth else "member" if codes.enum else "named"
    reader = (
        f'{{v}}.{"optional_" if optional else ""}{which}(codes.{codes.name}, change, "{_escaped(column)}")'
    )
    type_ = "bool" if codes.truth else f"codes.{codes.name}" if codes.enum else "str"
    return Field(
        name=name,
        column=column,
        type=type_,
        reader=reader,
        optional=optional,
        codes=codes,
        note=_note(column, ""),
    )


def _escaped(column: Column) -> str:
    return column.name.upper().replace("\\", "\\\\").replace('"', '\\"')


def _note(column: Column, first: str) -> str:
    return "; ".join(said for said in (first, *_said(column)) if said)


def _said(column: Column) -> Iterator[str]:
    sample = column.sample
    if column.kind is Kind.DECIMAL and column.scale:
        yield f"exact, {column.scale} places"
    if sample is None:
        return
    counting = column.kind is Kind.INTEGER and not sample.day_numbers
    if counting and _MINOR_UNITS.search(names.field_name(column.name)):
        yield MAY_BE_CENTS
    if sample.padded:
        yield f"padded with blanks in {sample.padded:,} of {sample.rows:,} sampled rows, read without them"
    for day, count in sample.sentinels.items():
        meant = "read as empty" if day == "0000-00-00" else "an end that is open, or unknown?"
        yield f"{day} in {count:,} of {sample.rows:,} sampled rows: {meant}"
    if sample.unreadable:
        yield f"{sample.unreadable:,} of {sample.rows:,} sampled values are no date"


def personal(fields: Sequence[Field]) -> set[str]:
    """The fields that look like something about a person, which no report should show.

    A name is one beside an address, a birthday or the like; a department has one, too.
    """
    free = [one.name for one in fields if (one.codes is None and one.type == "str") or one.type == "dt.date"]
    about = {name for name in free if _PERSONAL.search(name)}
    return about | {name for name in free if about and _NAMES.search(name)}
