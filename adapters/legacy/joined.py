"""Ranges of subjects that several columns hold: compared column by column, each as its engine compares it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapters.legacy.images import Captured
from adapters.legacy.subjects import condition
from toolkit.core.subjects import parted


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """A column as an index finds it: `lowest` and `highest` make of a parameter what its padded values lie between.

    The same parameter twice, `highest` being none: this comparison pays no heed to padding.
    """

    column: str
    lowest: Callable[[str], str]
    highest: Callable[[str], str] | None = None
    order: str = ""
    """how rows are ordered by it, if not by the column alone"""

    def upto(self, parameter: str) -> str:
        """What no value of this parameter's text is above."""
        return (self.highest or self.lowest)(parameter)


class Part(Protocol):
    """One column of the subjects of a group of tables: SQL fragments over a row `t`, a parameter, or a change's text."""

    def value(self, table: Captured) -> str:
        """What is compared of a row."""

    def comparable(self, table: Captured) -> str:
        """Condition: the row has something to compare. Never NULL."""

    def text(self, table: Captured) -> str:
        """The value as changes spell it; NULL where there is none."""

    def given(self, parameter: str) -> str:
        """What is compared of a parameter."""

    def read(self, text: str) -> str:
        """What is compared of the text in a change."""

    def readable(self, text: str) -> str:
        """Condition: the text can be compared. Never NULL."""

    def searched(self, table: Captured) -> Searched | None:
        """The column, if an index over it can find a range."""


class TypedPart:
    """One column of a type that is not text, found by its index. A `Part`.

    `column` spells it in a row, `shown` gives its value as the text that changes have.
    """

    def __init__(self, type_: str, column: Callable[[Captured], str], shown: Callable[[str], str]) -> None:
        self._type, self._column, self._shown = type_, column, shown

    def value(self, table: Captured) -> str:
        return self._column(table)

    def comparable(self, table: Captured) -> str:
        return f"{self._column(table)} IS NOT NULL"

    def text(self, table: Captured) -> str:
        return self._shown(self._column(table))

    def given(self, parameter: str) -> str:
        return f"CAST({parameter} AS {self._type})"

    def read(self, text: str) -> str:
        return f"CAST(nullif({text}, '') AS {self._type})"

    def readable(self, text: str) -> str:
        return f"{text} <> ''"

    def searched(self, table: Captured) -> Searched | None:
        return Searched(column=self._column(table), lowest=self.given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """What the engines say differently. `rows`: they find `(a, b) > (x, y)` by an index over a and b."""

    join: Callable[[Sequence[str]], str]
    split: Callable[[str, int], str]
    rows: bool

    def parts(self, text: str, count: int) -> list[str]:
        """The parts of a joined text, as they were before they were joined."""
        return [f"replace(replace({self.split(text, at)}, '%2F', '/'), '%25', '%')" for at in range(count)]

    def joined(self, texts: Sequence[str]) -> str:
        """The texts as one; see `toolkit.core.subjects.joined`."""
        return self.join([f"replace(replace({one}, '%', '%25'), '/', '%2F')" for one in texts])

    def subject(self, texts: Sequence[str]) -> str:
        """The subject of a row from the texts of its columns, each of them maybe NULL."""
        whole = self.joined([f"coalesce({one}, '')" for one in texts])
        return f"coalesce(nullif({whole}, '{'/' * (len(texts) - 1)}'), '')"


class JoinedSubjects:
    """Subjects of several columns. A `SubjectOrder`.

    A subject lacking one of its parts (NULL, blank) cannot be compared, and belongs to the last range.
    """

    def __init__(self, first: Captured, parts: Sequence[Part], spelling: Spelling) -> None:
        self._first, self._parts, self._spelling = first, parts, spelling

    def given(self, bounds: Mapping[str, str | None]) -> dict[str, object]:
        return {
            f"{name}_{at}": part
            for name, subject in bounds.items()
            if subject is not None
            for at, part in enumerate(parted(subject))
        }

    def edge(self, table: Captured, *, low: bool, high: bool) -> str:
        searched = [one.searched(table) for one in self._parts]
        by = [
            one.order or one.column if one is not None else part.value(table)
            for one, part in zip(searched, self._parts, strict=True)
        ]
        where = condition(
            self._comparable(table),
            self.near(table, low=low, high=high),
            self._between([one.value(table) for one in self._parts], low, high),
        )
        shown = self._spelling.joined([one.text(table) for one in self._parts])
        return f"SELECT {shown} FROM {table.relation} t WHERE {where} ORDER BY {', '.join(by)} LIMIT 1 OFFSET :skip"

    def left(self, *, low: bool) -> str:
        where = condition(
            self.near(self._first, low=low, high=False), self.rows(self._first, low=low, high=False)
        )
        return f"SELECT 1 FROM {self._first.relation} t WHERE {where}"

    def rows(self, table: Captured, *, low: bool, high: bool) -> str:
        values = [one.value(table) for one in self._parts]
        return self._range(values, self._comparable(table), low, high)

    def changes(self, *, low: bool, high: bool) -> str:
        texts = self._texts()
        values = [part.read(text) for part, text in zip(self._parts, texts, strict=True)]
        return self._range(values, self._readable(texts), low, high)

    def established(self, low: str) -> str:
        texts = self._texts()
        values = [part.read(text) for part, text in zip(self._parts, texts, strict=True)]
        return f"({self._readable(texts)} AND {self._upto(values, self._bounds(low.removeprefix(':')))})"

    def near(self, table: Captured, *, low: bool, high: bool) -> str:
        """The columns that an index can find, from the first one on. Padded values of the upper bound lie above it."""
        found: list[tuple[Searched, str, str]] = []
        for at, part in enumerate(self._parts):
            one = part.searched(table)
            if one is None:
                break
            found.append((one, f":low_{at}", f":high_{at}"))
        if not found or not (low or high):
            return ""
        columns = [one.column for one, _, _ in found]
        above = self._from(columns, [one.lowest(lowest) for one, lowest, _ in found]) if low else ""
        if not high:
            return above
        last, _, highest = found[-1]
        upto = [one.lowest(high_) for one, _, high_ in found[:-1]]
        ranges = [condition(above, self._upto(columns, [*upto, last.upto(highest)]))]
        for at, (one, _, high_) in enumerate(found[:-1]):
            if one.highest is not None:
                same = [f"{columns[n]} = {upto[n]}" for n in range(at)]
                ranges.append(
                    condition(
                        *same, f"{one.column} > {one.lowest(high_)}", f"{one.column} <= {one.upto(high_)}"
                    )
                )
        return ranges[0] if len(ranges) == 1 else f"(({') OR ('.join(ranges)}))"

    def _texts(self) -> list[str]:
        return self._spelling.parts("c.subject", len(self._parts))

    def _comparable(self, table: Captured) -> str:
        return f"({' AND '.join(one.comparable(table) for one in self._parts)})"

    def _readable(self, texts: Sequence[str]) -> str:
        return f"({' AND '.join(one.readable(text) for one, text in zip(self._parts, texts, strict=True))})"

    def _bounds(self, name: str) -> list[str]:
        return [one.given(f":{name}_{at}") for at, one in enumerate(self._parts)]

    def _between(self, values: Sequence[str], low: bool, high: bool) -> str:
        return condition(
            _lexical(values, self._bounds("low"), ">", ">") if low else "",
            self._upto(values, self._bounds("high")) if high else "",
        )

    def _range(self, values: Sequence[str], comparable: str, low: bool, high: bool) -> str:
        between = self._between(values, low, high)
        if high:
            return condition(comparable, between)
        return f"({between} OR NOT {comparable})" if low else "1 = 1"

    def _upto(self, values: Sequence[str], bounds: Sequence[str]) -> str:
        if self._spelling.rows and len(values) > 1:
            return f"({', '.join(values)}) <= ({', '.join(bounds)})"
        return _lexical(values, bounds, "<", "<=")

    def _from(self, values: Sequence[str], bounds: Sequence[str]) -> str:
        if self._spelling.rows and len(values) > 1:
            return f"({', '.join(values)}) >= ({', '.join(bounds)})"
        return _lexical(values, bounds, ">", ">=")


def _lexical(values: Sequence[str], bounds: Sequence[str], beyond: str, last: str) -> str:
    """Compared part by part, spelt out: no engine needs to know rows of values, nor to take NULL for anything."""
    if len(values) == 1:
        return f"{values[0]} {last} {bounds[0]}"
    rest = _lexical(values[1:], bounds[1:], beyond, last)
    return f"({values[0]} {beyond} {bounds[0]} OR ({values[0]} = {bounds[0]} AND {rest}))"
