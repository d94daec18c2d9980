"""Rows in the text format of PostgreSQL's COPY, a column at a time: the driver would go through them value by value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from adapters.read_store.layout import key_first, quoted, values_of
from toolkit.core.columns import Column, ColumnType
from toolkit.core.projections import Definition

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_NULL = r"\N"
_AT_ONCE = 1_000
"""Rows that are written down at once: more of them, and their columns, would not stay near the processor."""
_write = msgspec.json.Encoder().encode
_read_texts = msgspec.json.Decoder(list[str]).decode


class Lines:
    """How the rows of one table are written down. The key comes first, so that the lines sort by it."""

    def __init__(self, definition: Definition) -> None:
        columns = key_first(definition)
        self.listed = ", ".join(quoted(column.name) for column in columns)
        self._values = values_of(columns)
        self._columns = [(column.nullable, _texts(column)) for column in columns]

    def of(self, rows: Sequence[Mapping[str, object]]) -> bytes:
        """The rows in the order of their keys: neighbours in the index are then written one after the other."""
        lines: list[str] = []
        for first in range(0, len(rows), _AT_ONCE):
            lines += self._some(rows[first : first + _AT_ONCE])
        lines.sort()
        lines.append("")
        return "\n".join(lines).encode()

    def _some(self, rows: Sequence[Mapping[str, object]]) -> Iterable[str]:
        given = zip(*map(self._values, rows), strict=True)
        texts = [
            _column(values, nullable, encode)
            for values, (nullable, encode) in zip(given, self._columns, strict=True)
        ]
        return map("\t".join, zip(*texts, strict=True))


_Texts = Callable[[Sequence[object]], Sequence[str]]


def _column(values: Sequence[object], nullable: bool, encode: _Texts) -> Sequence[str]:
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
        case ColumnType.DATE | ColumnType.INSTANT:
            return lambda values: _read_texts(_write(values))
        case _:
            return lambda values: list(map(str, values))


def _escaped(texts: Sequence[str]) -> Sequence[str]:
    together = "".join(texts)
    if together.isprintable() and "\\" not in together:
        return texts
    return [text.translate(_ESCAPES) for text in texts]
