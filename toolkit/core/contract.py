"""The contract of a projection's columns as one function, written for it once: it is asked with every event.

A loop over the columns would take longer than the handler, the decoding and the writing of the event. What it
writes down are the tests that almost every value passes; whatever does not is judged by the column's own clause.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from toolkit.core.errors import Unprojectable

Keep = Callable[[dict[str, object], Mapping[str, object]], None]
"""Bring a row into its normal form, given what it was before. Raises Unprojectable, KeyError for a missing column."""

PLAIN: Mapping[str, str] = {
    "text": "type(value) is str and value.isascii() and nul not in value",
    "integer": f"type(value) is int and {-(2**63)} <= value <= {2**63 - 1}",
    "decimal": "type(value) is Decimal and len(told := str(value)) < 256 and told.replace('.', '', 1).isdigit()",
    "boolean": "value is True or value is False",
    "date": "type(value) is date",
    "instant": "type(value) is datetime and value.tzinfo is utc",
}
"""By column type, what a value certainly passes that is in its normal form already."""


class Clause(NamedTuple):
    """What the contract says of one column."""

    identity: str
    name: str
    type: str
    normal: Callable[[object], object]
    nullable: bool
    vocabulary: tuple[str, ...]
    bytes: int = 0
    """how many a text may have, where an index has to take it; 0 for any number"""

    def kept(self, value: object) -> object:
        """The value in its normal form. Raises Unprojectable."""
        if value is None:
            if self.nullable:
                return None
            raise Unprojectable(f"{self.identity}: {self.name} may not be empty")
        try:
            value = self.normal(value)
        except ValueError as error:
            raise Unprojectable(f"{self.identity}: {self.name} {error}") from error
        if self.vocabulary and value not in self.vocabulary:
            words = ", ".join(self.vocabulary)
            raise Unprojectable(
                f"{self.identity}: {self.name} = {value!r} is not in its vocabulary ({words})"
            )
        return value


def keeper(clauses: Sequence[Clause]) -> Keep:
    """The function for these columns. What a handler left as it was is in its normal form already."""
    lines = ["def keep(row, before):", "    was = before.get"]
    for at, clause in enumerate(clauses):
        name = repr(clause.name)
        plain = f"type(value) is str and value in words{at}" if clause.vocabulary else PLAIN.get(clause.type)
        if clause.bytes and not clause.vocabulary:
            plain = f"{plain} and len(value) <= {clause.bytes}"
        lines.append(f"    value = row[{name}]")
        if (
            plain is None
        ):  # a value that can be changed in place may be another one although it is the same object
            lines.append(f"    row[{name}] = kept{at}(value)")
        else:
            lines.append(f"    if value is not was({name}, missing) and not ({plain}):")
            lines.append(f"        row[{name}] = kept{at}(value)")
    known: dict[str, object] = {
        "missing": object(),
        "nul": "\x00",
        "utc": dt.UTC,
        "date": dt.date,
        "datetime": dt.datetime,
        "Decimal": Decimal,
    }
    for at, clause in enumerate(clauses):
        known[f"kept{at}"] = clause.kept
        known[f"words{at}"] = frozenset(clause.vocabulary)
    exec("\n".join(lines), known)
    written: Keep = known["keep"]  # type: ignore[assignment]
    return written


def finder(
    identity: str,
    kind: str,
    columns: Sequence[tuple[str, Callable[[object], object]]],
    fields: Sequence[str],
) -> Callable[[Any], object]:
    """What finds the key that an event of this type speaks of, in its normal form. It raises Unprojectable."""

    def part(column: str, normal: Callable[[object], object], name: str) -> Callable[[Any], object]:
        def find(event: Any) -> object:
            try:
                value = getattr(event, name)
                if value is None:
                    raise ValueError("is empty")
                return normal(value)
            except ValueError as error:
                raise Unprojectable(f"{identity}: the key of {kind}, {column}, {error}") from error

        return find

    found = [part(*column, name) for column, name in zip(columns, fields, strict=True)]
    return found[0] if len(found) == 1 else lambda event: tuple(find(event) for find in found)
