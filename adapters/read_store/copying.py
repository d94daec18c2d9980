"""Rows in the text format of PostgreSQL's COPY, a column at a time: the driver would go through them value by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

import msgspec

from adapters.read_store.layout import quoted
from toolkit.core.projections import Column, ColumnType, Definition

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_NULL = r"\N"


class Lines:
    """How the rows of one table are written down. The key comes first, so that the lines sort by it."""

    def __init__(self, definition: Definition) -> None:
        others = [column for column in definition.columns if column.name not in definition.key]
        columns = [*definition.key_columns, *others]
        self.listed = ", ".join(quoted(column.name) for column in columns)
        self._columns = [(itemgetter(column.name), column.nullable, _texts(column)) for column in columns]

    def of(self, rows: Sequence[Mapping[str, object]]) -> bytes:
        """The rows in the order of their keys: neighbours in the index are then written one after the other."""
        texts = []
        for value, nullable, encode in self._columns:
            texts.append(_column(list(map(value, rows)), nullable, encode))
        lines = list(map("\t".join, zip(*texts, strict=True)))
        lines.sort()
        lines.append("")
        return "\n".join(lines).encode()


_Texts = Callable[[list[object]], list[str]]


def _column(values: list[object], nullable: bool, encode: _Texts) -> list[str]:
    if not nullable or None not in values:
        return encode(values)
    given = iter(encode([value for value in values if value is not None]))
    return [_NULL if value is None else next(given) for value in values]


def _texts(column: Column) -> _Texts:
    match column.type:
        case ColumnType.TEXT:
            return _escaped  # type: ignore[return-value]
        case ColumnType.JSON:
            return lambda values: _escaped([msgspec.json.encode(value).decode() for value in values])
        case _:
            return lambda values: list(map(str, values))


def _escaped(texts: list[str]) -> list[str]:
    together = "".join(texts)
    if together.isprintable() and "\\" not in together:
        return texts
    return [text.translate(_ESCAPES) for text in texts]
