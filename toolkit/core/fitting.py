"""Does an event hold what its class says? A struct takes whatever it is given, and what is written has to be read again.

Reading it again would tell, and takes as long as writing it. So a function is made for each class, once, that tests what
almost every value passes; what does not pass is judged by reading.
"""

from __future__ import annotations

import datetime as dt
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

Fits = Callable[[Any], bool]
"""Does each field certainly hold a value of its type, so that it is read as it was written?"""

_PLAIN: Mapping[object, str] = {
    str: "type({0}) is str",
    int: f"type({{0}}) is int and {-(2**63)} <= {{0}} < {2**63}",
    bool: "({0} is True or {0} is False)",
    Decimal: "type({0}) is Decimal and {0}.is_finite()",
    dt.date: "type({0}) is date",
    dt.datetime: "type({0}) is datetime",
}


def fitter(cls: type[msgspec.Struct]) -> Fits:
    """The function for this class; of one with fields that only reading can judge, it says no."""
    known: dict[str, object] = {"date": dt.date, "datetime": dt.datetime, "Decimal": Decimal}
    tests = []
    for at, field in enumerate(msgspec.structs.fields(cls)):
        test = _test(f"event.{field.name}", field.type, f"given{at}", known)
        if test is None:
            return lambda _event: False
        tests.append(f"({test})")
    exec(f"def fits(event):\n    return {' and '.join(tests) or True}", known)
    written: Fits = known["fits"]  # type: ignore[assignment]
    return written


def _test(value: str, hint: Any, name: str, known: dict[str, object]) -> str | None:
    """The test of one value, over the names that are `known`; None where there is none."""
    if hint in _PLAIN:
        return _PLAIN[hint].format(value)
    if typing.get_origin(hint) is typing.Literal:
        known[name] = frozenset(typing.get_args(hint))
        same = {type(one) for one in typing.get_args(hint)} == {str}
        return f"type({value}) is str and {value} in {name}" if same else None
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [one for one in typing.get_args(hint) if one is not type(None)]
        test = _test(value, rest[0], name, known) if len(rest) == 1 else None
        return f"{value} is None or ({test})" if test else None
    if isinstance(hint, type) and issubclass(hint, Enum):
        known[name] = hint
        return f"type({value}) is {name}"
    return None
