"""Values as the log writes them (text) in the JSON types that `row_to_json` gives, so that an image is the same by log,
by trigger and by backfill.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import msgspec

Convert = Callable[[str], object]

_exact = msgspec.json.Decoder(object, float_hook=Decimal).decode
_NOT_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})


def number(text: str) -> object:
    """A number: whole ones as int, others exact; what JSON has no number for stays text."""
    return text if text in _NOT_NUMBERS else _exact(text)


def timestamp(text: str) -> str:
    """A timestamp in ISO 8601."""
    return text.replace(" ", "T", 1)


def instant(text: str) -> str:
    """A timestamp with its zone, which is UTC in the sessions that read the log."""
    return text.replace(" ", "T", 1).replace("+00", "+00:00", 1)


CONVERTERS: dict[str, Convert] = {
    "bool": lambda text: text == "t",
    **dict.fromkeys(("int2", "int4", "int8"), int),
    **dict.fromkeys(("float4", "float8", "numeric"), number),
    "timestamp": timestamp,
    "timestamptz": instant,
    "json": _exact,
    "jsonb": _exact,
}
"""By the name of the base type in pg_catalog. Every type that is not here is its own text."""


def array_of(element: Convert, delimiter: str = ",") -> Convert:
    """An array of such elements, as nested lists, whatever its lower bounds are."""

    def convert(text: str) -> object:
        at = text.index("=") + 1 if text.startswith("[") else 0
        found, _ = _array(text, at, element, delimiter)
        return found

    return convert


def _array(text: str, at: int, element: Convert, delimiter: str) -> tuple[list[object], int]:
    """The array whose brace stands at `at`, and the place behind it."""
    found: list[object] = []
    plain = _plain(delimiter)
    at += 1
    while text[at] != "}":
        if text[at] == "{":
            inner, at = _array(text, at, element, delimiter)
            found.append(inner)
        elif text[at] == '"':
            match = _QUOTED.match(text, at)
            assert match is not None
            found.append(element(_ESCAPED.sub(r"\1", match.group(1))))
            at = match.end()
        else:
            match = plain.match(text, at)
            assert match is not None
            bare = match.group()
            found.append(None if bare.upper() == "NULL" else element(bare))
            at = match.end()
        if text[at] == delimiter:
            at += 1
    return found, at + 1


_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PLAIN = {delimiter: re.compile(rf"[^{delimiter}}}]+") for delimiter in ",;"}


def _plain(delimiter: str) -> re.Pattern[str]:
    return _PLAIN[delimiter]


def subject_of(value: object) -> str:
    """A subject as `row_to_json(row) ->> column` spells it, without padding; a row without one has the empty subject."""
    if isinstance(value, str):
        return value.rstrip(" ")
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int):
        return str(value)
    return msgspec.json.encode(value).decode()
