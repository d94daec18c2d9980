"""What a bounded look at a column's values says of them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence

from toolkit.starting.facts import Kind, Sample

SENTINELS = ("9999-12-31", "9999-01-01", "2999-12-31", "0000-00-00", "0001-01-01", "1900-01-01", "1970-01-01")
"""Days that stand for "no end", "never" or "unknown" wherever no other word was at hand."""
FEW = 40
"""So many different values at most are kept with their counts."""
_DAY_NUMBERS = range(1900_01_01, 10000_01_01)


def summarise(kind: Kind, values: Sequence[object]) -> Sample:
    """Look at the values of one column."""
    filled = [value for value in values if value is not None]
    texts = [_text(value) for value in filled]
    counts = Counter(texts)
    dated = kind in (Kind.DATE, Kind.INSTANT, Kind.LOCAL)
    numbers = [text for text in texts if text not in ("0", "")] if kind is Kind.INTEGER else []
    return Sample(
        rows=len(values),
        nulls=len(values) - len(filled),
        distinct=len(counts),
        counts=dict(counts.most_common()) if len(counts) <= FEW else {},
        padded=sum(text != text.rstrip(" ") for text in texts),
        sentinels=_sentinels(texts) if dated else {},
        unreadable=sum(not _is_date(text) for text in texts) if dated else 0,
        zeros=sum(text == "0" for text in texts),
        day_numbers=bool(numbers) and all(_is_day_number(text) for text in numbers),
        alike=_alike(counts) if kind is Kind.TEXT else (),
    )


def _alike(texts: Iterable[str]) -> tuple[str, ...]:
    seen: dict[str, str] = {}
    for text in sorted(texts):
        if (other := seen.setdefault(text.rstrip(" "), text)) != text:
            return other, text
    return ()


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return str(value)


def _sentinels(texts: Sequence[str]) -> dict[str, int]:
    found = Counter(day for text in texts for day in SENTINELS if text.startswith(day))
    return dict(found)


def _is_date(text: str) -> bool:
    if text.startswith("0000-00-00"):
        return True
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_day_number(text: str) -> bool:
    if not text.isdigit() or int(text) not in _DAY_NUMBERS:
        return False
    number = int(text)
    try:
        dt.date(number // 10000, number // 100 % 100, number % 100)
    except ValueError:
        return False
    return True
